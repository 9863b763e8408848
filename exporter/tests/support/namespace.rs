//! A test in a mount namespace of its own, so that no mount outlives it.

use std::env;
use std::process::Command;

/// Set inside the namespace.
const INSIDE: &str = "KAGIBAN_TEST_INSIDE_NAMESPACE";

/// Runs a test, whose whole name is `name`, in a namespace. It takes root, and the program `unshare`.
pub fn in_a_namespace(name: &str, test: impl Future<Output = ()>) {
    if env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(test);
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--"]).arg(env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().expect("this test needs the program unshare: install util-linux");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "it needs root, and what it says:\n{}", said.concat());
}
