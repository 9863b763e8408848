//! What the system tells of this process, and of those that it has started.

use std::fs;
use std::io;
use std::path::PathBuf;

use kagiban_files::read_regular;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::boot_id;
use crate::platform::{StartedProcess, Usage};

/// Whether the system has refused something that it may give in a moment: a descriptor, memory.
pub fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN].contains(&errno))
}

/// `USER_HZ`: the kernel's promise to programs, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// One line of numbers, and a name of 16 bytes.
const MAX_STAT_BYTES: u64 = 4096;

/// Not reaped yet, or being so.
const ENDED: [char; 3] = ['Z', 'X', 'x'];
/// Field 22 of `/proc/PID/stat`, the state being the third.
const STARTED_AFTER_STATE: usize = 18;

/// The process that has this number now; none where the kernel does not tell.
pub fn started_process(number: u32) -> Option<StartedProcess> {
    let boot_id = Some(boot_id()).filter(|id| !id.is_empty())?;
    let (_, ticks) = stat(number)?;
    Some(StartedProcess { boot_id, number, ticks })
}

/// Whether that very process runs, its number not another's by now; none where the kernel does not tell.
pub fn is_running(process: &StartedProcess) -> Option<bool> {
    let boot_id = boot_id();
    if boot_id != process.boot_id {
        return Some(boot_id).filter(|id| !id.is_empty()).map(|_| false);
    }
    if let Some((state, ticks)) = stat(process.number) {
        return Some(ticks == process.ticks && !ENDED.contains(&state));
    }
    // One that is there may be hidden.
    let number = Pid::from_raw(i32::try_from(process.number).ok()?)?;
    (test_kill_process(number) == Err(Errno::SRCH)).then_some(false)
}

/// A process's state, and when it was started. Its name stands in parentheses, and may hold anything.
fn stat(number: u32) -> Option<(char, u64)> {
    let file = read_regular(&PathBuf::from(format!("/proc/{number}/stat")), MAX_STAT_BYTES).ok()?;
    let text = String::from_utf8_lossy(&file.bytes);
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.nth(STARTED_AFTER_STATE)?.parse().ok()?))
}

/// What the system calls itself.
pub fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// What this process uses now.
pub fn usage() -> Usage {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    Usage {
        cpu_seconds: cpu_seconds(&read("stat")),
        resident_bytes: resident_bytes(&read("status")),
        // The directory listing itself holds one.
        open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as u64),
        max_open_files: max_open_files(&read("limits")),
    }
}

/// The program's name stands in parentheses and may hold anything: the fields are counted after the last one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|ticks| ticks.parse::<f64>().ok());
    Some((times.next()?? + times.next()??) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn max_open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_program_name_with_spaces_and_parentheses() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    fn this_process_uses_memory_and_files() {
        let usage = usage();
        assert!(usage.resident_bytes > Some(100_000) && usage.open_files > Some(2) && usage.cpu_seconds.is_some());
    }
}
