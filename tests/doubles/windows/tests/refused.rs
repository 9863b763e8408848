//! What a test asks of a double by mistake is refused with words. That these programs have a test has cargo build them with those of the
//! exporter, whose tests for Windows run them.

use std::process::Command;

#[test]
fn a_command_line_that_is_not_documented_is_refused_with_words() {
    for program in [
        env!("CARGO_BIN_EXE_agent-double"),
        env!("CARGO_BIN_EXE_certificate-manager-double"),
        env!("CARGO_BIN_EXE_ipxfer-double"),
    ] {
        let output = Command::new(program).arg("--not-documented").output().expect("it starts");
        assert!(!output.status.success(), "{program}: {output:?}");
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{program} says nothing");
    }
}
