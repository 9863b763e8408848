//! One program for all targets: `KAGIBAN_FUZZ_TARGET` says which. `make fuzz` builds and runs it.

#![no_main]

use std::sync::LazyLock;

use kagiban_exporter::fuzzing::TARGETS;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("KAGIBAN_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    found.unwrap_or_else(|| panic!("KAGIBAN_FUZZ_TARGET is {wanted:?}; there are: {}", names.join(", "))).1
});

fuzz_target!(|bytes: &[u8]| (*TARGET)(bytes));
