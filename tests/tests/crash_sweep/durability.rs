//! What a power cut would leave, told from a trace: which bytes and names were not yet on the disk when something was done
//! that relies on them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use kagiban_tests::strace::Call;

/// Checks the order of a rotation's calls:
/// a file is synced before it gets its final name; everything is durable before the journal says so; the journal is
/// durable before what it announces begins; and when it is over, nothing is left to the page cache.
///
/// Returns how often something was relied on.
pub(crate) fn check(calls: &[Call], root: &Path, journal: &Path) -> Result<usize> {
    let journals = journal.parent().unwrap_or(journal);
    // Files whose bytes or permissions, and directories whose names, a power cut may take.
    let mut volatile = BTreeSet::<PathBuf>::new();
    let mut relied_on = 0;
    for call in calls.iter().filter(|call| call.succeeded()) {
        let shown = format!("{}({})", call.name, call.arguments);
        let descriptors: Vec<_> = call.descriptors().map(PathBuf::from).collect();
        let names: Vec<_> = call.names().map(PathBuf::from).collect();
        let Some(first) = descriptors.first().or(names.first()).filter(|path| path.starts_with(root)) else {
            if call.starts_a_program() {
                ensure!(volatile.is_empty(), "{shown} while these are not durable: {volatile:?}");
                relied_on += 1;
            }
            continue;
        };
        match call.name.as_str() {
            "openat" if call.arguments.contains("O_EXCL") => {
                ensure!(!volatile.contains(journals), "{shown} before the journal's last entry is durable");
                volatile.insert(first.clone());
            }
            "write" | "pwrite64" | "writev" | "ftruncate" | "fchmod" | "fchown" | "fsetxattr" | "fremovexattr" => {
                volatile.insert(first.clone());
            }
            "fsync" | "fdatasync" => {
                volatile.remove(first);
            }
            "renameat" | "renameat2" => {
                let (from, to) = (first.join(&names[0]), descriptors[1].join(&names[1]));
                ensure!(!volatile.contains(&from), "{shown} before its contents are durable");
                let in_journal = |path: &PathBuf| path == journals;
                if to == journal {
                    let not_durable: Vec<_> = volatile.iter().filter(|path| !in_journal(path)).collect();
                    ensure!(not_durable.is_empty(), "{shown} while these are not durable: {not_durable:?}");
                } else {
                    ensure!(!volatile.contains(journals), "{shown} before the journal's last entry is durable");
                }
                relied_on += 1;
                volatile.insert(descriptors[1].clone());
            }
            "linkat" => {
                ensure!(!volatile.contains(journals), "{shown} before the journal's last entry is durable");
                volatile.insert(descriptors[1].clone());
            }
            "mkdirat" => {
                volatile.insert(first.clone());
            }
            "unlinkat" => {
                ensure!(!volatile.contains(journals), "{shown} before the journal's last entry is durable");
                volatile.remove(&first.join(&names[0]));
                volatile.insert(first.clone());
            }
            // Opening what is there, or the lock, which need not survive.
            "openat" => {}
            other => ensure!(false, "{other} is not known here: {shown}"),
        }
    }
    ensure!(volatile.is_empty(), "when all is over, these are not durable: {volatile:?}");
    Ok(relied_on)
}
