//! What somebody sees who starts a standalone operator and asks it at once.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kagiban-operator");
const GOOD: &str = include_str!("support/good.yaml");

/// One that is ended with the test.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Operator {
    fn start(directory: &Path) -> Self {
        let child = Command::new(PROGRAM)
            .args(["standalone", "--metrics-address", "127.0.0.1:0", "--manifests"])
            .arg(directory.join("manifests"))
            .arg("--state")
            .arg(directory.join("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("it starts"))
    }
}

fn ask(directory: &Path, words: &[&str]) -> Output {
    let output = Command::new(PROGRAM).args(words).arg("--state").arg(directory.join("state")).output();
    output.expect("it is run")
}

/// It failed where the operator was started in the line before, and what was wrong with a manifest stood in the log alone.
#[test]
fn an_operator_is_asked_right_after_its_start_and_tells_what_is_wrong_with_its_manifests() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    std::fs::create_dir(directory.join("manifests")).expect("a directory");
    std::fs::write(directory.join("manifests/good.yaml"), GOOD).expect("a file");
    let typo = GOOD.replace("  host:", "  hots: x\n  host:").replace("name: ups-01}", "name: ups-02}");
    std::fs::write(directory.join("manifests/typo.yaml"), typo).expect("a file");
    let _operator = Operator::start(directory);
    // No pass ends well without the Secrets
    let waited = ask(directory, &["wait", "ups-01", "--for", "condition=Ready=False", "--timeout", "60s"]);
    let (out, error) = (String::from_utf8_lossy(&waited.stdout), String::from_utf8_lossy(&waited.stderr));
    assert!(waited.status.success() && out.ends_with("/ups-01 condition met\n"), "{out}{error}");
    let named = "Warning: typo.yaml:5: default/ups-02: strict decoding error: unknown field \"spec.hots\": ";
    for form in [&["get"][..], &["get", "-o", "json"], &["get", "-o", "name"]] {
        let told = ask(directory, form);
        let (out, error) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success() && out.contains("ups-01") && !out.contains("hots"), "{out}");
        assert!(error.starts_with(named) && error.lines().count() == 1, "{error}");
    }
    let missed = ask(directory, &["wait", "ups-02", "--timeout", "0s"]);
    let error = String::from_utf8_lossy(&missed.stderr);
    assert!(missed.status.code() == Some(1) && error.contains(named) && error.contains("ups-02: not found"), "{error}");
}
