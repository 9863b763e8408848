//! Keystores: bounded readers, writers, merge and semantic diff. Knows no product and no I/O.

mod certificate;

pub use certificate::Certificate;
