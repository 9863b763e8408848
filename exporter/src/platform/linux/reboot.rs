//! Whether a reboot is pending: Debian and Ubuntu have a file that says so.

use std::io;
use std::path::Path;

use super::super::{PendingReboots, RebootError, RebootReason};

/// Made when a package wants a reboot, and gone with it.
const REQUIRED: &str = "/run/reboot-required";
/// Who makes the file: a script of `update-notifier-common` or `reboot-notifier` that packages call, and one of `unattended-upgrades`
/// that is run for each kernel.
const MAKERS: [&str; 2] =
    ["/usr/share/update-notifier/notify-reboot-required", "/etc/kernel/postinst.d/unattended-upgrades"];

/// Empty where nothing makes the file: that it is not there says nothing then. Blocks.
pub fn pending_reboots() -> PendingReboots {
    look(Path::new(REQUIRED), &MAKERS.map(Path::new))
}

fn look(required: &Path, makers: &[&Path]) -> PendingReboots {
    let is_there = required.try_exists();
    let is_made = makers.iter().any(|maker| maker.try_exists().unwrap_or(false));
    let failed = |source: io::Error| RebootError { place: required.display().to_string(), source };
    match is_there {
        Ok(false) if !is_made => Vec::new(),
        is_there => vec![(RebootReason::Packages, is_there.map_err(failed))],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_reboot_is_pending_while_the_file_is_there_and_not_known_where_nothing_makes_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let [required, maker] = ["reboot-required", "notify-reboot-required"].map(|name| directory.path().join(name));
        let told = || {
            let told = look(&required, &[Path::new("/nonexistent/maker"), &maker]);
            told.into_iter()
                .map(|(reason, is_pending)| (reason, is_pending.expect("it can be told")))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(), []);
        fs::write(&maker, "").expect("it can be written");
        assert_eq!(told(), [(RebootReason::Packages, false)]);
        fs::write(&required, "*** System restart required ***\n").expect("it can be written");
        assert_eq!(told(), [(RebootReason::Packages, true)]);
        fs::remove_file(&maker).expect("it can be removed");
        assert_eq!(told(), [(RebootReason::Packages, true)], "whoever has made it");
    }

    #[test]
    fn a_file_that_cannot_be_looked_for_is_told_with_its_path_and_is_no_reboot() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let told = look(&file.path().join("below"), &[]);
        let [(RebootReason::Packages, Err(error))] = &told[..] else { panic!("{told:?}") };
        assert_eq!(error.reason(), "read_failed");
        assert!(error.to_string().starts_with(&format!("{}/below: ", file.path().display())), "{error}");
    }
}
