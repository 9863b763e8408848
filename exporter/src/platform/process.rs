//! What the seam says of this process, whatever the system.

/// What this process uses; a number that the system does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub max_open_files: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use crate::platform::{StartedProcess, is_running, started_process};

    /// Holds A7: a number that another process has by now, or had before the boot, is not the process that was meant.
    #[test]
    fn a_process_runs_until_it_has_ended_whoever_has_its_number_then() {
        let own = started_process(std::process::id()).expect("this process");
        assert_eq!(is_running(&own), Some(true));
        assert_eq!(is_running(&StartedProcess { ticks: own.ticks + 1, ..own.clone() }), Some(false));
        assert_eq!(is_running(&StartedProcess { boot_id: "another".to_owned(), ..own }), Some(false));
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program).arg("--list").stdout(Stdio::null()).spawn().expect("started");
        let started = started_process(child.id()).expect("not forgotten");
        child.wait().expect("wait");
        assert_eq!(is_running(&started), Some(false), "Windows remembers it while it is held open");
        drop(child);
        assert_eq!(is_running(&started), Some(false), "it is forgotten");
    }
}
