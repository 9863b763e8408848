//! Holds A18: what lies in the exporter's memory stays there.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An account without rights.
const NOBODY: u32 = 65534;
/// For the program to be past its first lines, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel gives the files that tell of a process's memory to root when the process cannot be dumped, and to its own
/// account otherwise: so it must run as another than root.
#[test]
fn no_other_process_of_its_account_looks_into_the_exporters_memory() {
    let exporter = env!("CARGO_BIN_EXE_kagiban-exporter");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("kagiban-exporter");
    let mut command = if rustix::process::geteuid().is_root() {
        // The build's own directory may be closed to others.
        use std::os::unix::fs::PermissionsExt;
        std::fs::copy(exporter, &copy).unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]).arg(&copy);
        command
    } else {
        Command::new(exporter)
    };
    let arguments = ["--web.listen-address", "127.0.0.1:0"];
    let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = Ended(child.expect("these tests need the program setpriv: install the package util-linux"));
    let process = format!("/proc/{}", child.0.id());
    let started = Instant::now();
    loop {
        assert_eq!(child.0.try_wait().unwrap(), None, "the exporter has ended");
        // Until it is the exporter and no more setpriv, and its first lines have run.
        let runs = std::fs::read_to_string(format!("{process}/comm")).is_ok_and(|name| name.starts_with("kagiban"));
        if runs && std::fs::metadata(format!("{process}/environ")).unwrap().uid() == 0 {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "its memory belongs to its account");
        std::thread::sleep(Duration::from_millis(20));
    }
}
