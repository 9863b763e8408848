//! Packages, by rpm: the products that are looked after come as such, on whatever distribution.

use std::time::Duration;

use super::program::ask;
use crate::platform::{Answer, InstalledPackage, PackageError};

const RPM: &str = "rpm";
/// Under it programs that do not end are counted, apart from those of agents: no agent has such a name.
const ASKED_BY: &str = "rpm, asked for packages";
/// Of a version, of a release and of an architecture there are few: two lines at most are usual.
const MAX_ANSWER: usize = 64 * 1024;
/// rpm answers in a tenth of a second, and waits where another one installs.
const DEADLINE: Duration = Duration::from_secs(20);
/// A line of the answer, for rpm.
const FORMAT: &str = r"%{NAME}-%{VERSION}-%{RELEASE} %{INSTALLTIME}\n";
/// Enough to see what rpm complains of.
const MAX_SAID: usize = 200;

/// The package of this name, and when it was installed last; none where it is not installed, or there is no rpm.
///
/// # Errors
/// When rpm gives no answer.
pub async fn installed_package(name: &str) -> Result<Option<InstalledPackage>, PackageError> {
    installed_by(RPM, name, DEADLINE).await
}

async fn installed_by(rpm: &str, name: &str, deadline: Duration) -> Result<Option<InstalledPackage>, PackageError> {
    let argv = [rpm, "-q", "--qf", FORMAT, name].map(str::to_owned);
    match ask(ASKED_BY, &argv, deadline, MAX_ANSWER).await {
        Ok(answer) => read(name, &answer),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Of several, the one whose files are there: the last that was installed. rpm complains of a database that it cannot open, and says of
/// the package that it is not installed: that is no answer.
fn read(name: &str, answer: &Answer) -> Result<Option<InstalledPackage>, PackageError> {
    let mut lines = answer.text.lines().map(str::trim_end);
    if let Some(package) = lines.clone().filter_map(|line| package(name, line)).max_by_key(|it| it.installed_at) {
        return Ok(Some(package));
    }
    let not_installed = format!("package {name} is not installed");
    if lines.clone().any(|line| line == not_installed) && !lines.any(|line| line.starts_with("error:")) {
        return Ok(None);
    }
    let said: String = answer.text.trim().chars().take(MAX_SAID).collect();
    Err(PackageError::NoAnswer { package: name.to_owned(), status: answer.status.clone(), said })
}

fn package(name: &str, line: &str) -> Option<InstalledPackage> {
    let (full_name, installed_at) = line.split_once(' ')?;
    let mut parts = full_name.rsplitn(3, '-');
    let (release, version) = (parts.next()?, parts.next()?);
    let installed_at = installed_at.parse().ok().filter(|time| *time > 0)?;
    let is_it = parts.next() == Some(name) && !release.is_empty() && !version.is_empty();
    is_it.then(|| InstalledPackage { full_name: full_name.to_owned(), installed_at })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn answer(text: &str) -> Answer {
        Answer { is_success: true, status: "exit status: 0".to_owned(), text: text.to_owned() }
    }

    fn told(text: &str) -> Result<Option<(String, i64)>, &'static str> {
        let read = read("pbeagent", &answer(text));
        read.map(|it| it.map(|it| (it.full_name, it.installed_at))).map_err(|error| error.reason())
    }

    #[test]
    fn an_answer_of_rpm_is_read_and_nothing_else_is_taken_for_one() {
        let seen = |name: &str, at| Ok(Some((name.to_owned(), at)));
        assert_eq!(told("pbeagent-7.0.0-419 1100083680\n"), seen("pbeagent-7.0.0-419", 1_100_083_680));
        let two = "pbeagent-7.0.4-414 300\npbeagent-7.0.0-419 200\n";
        assert_eq!(told(two), seen("pbeagent-7.0.4-414", 300), "the last that was installed");
        let warned = "warning: Found bdb Packages database\r\npbeagent-7.0.0-419 5\r\n";
        assert_eq!(told(warned), seen("pbeagent-7.0.0-419", 5));
        assert_eq!(told("package pbeagent is not installed\n"), Ok(None));
        for none in [
            "",
            "\n",
            "pbeagent-7.0.0-419\n",
            "pbeagent-7.0.0-419 never\n",
            "pbeagent-7.0.0-419 0\n",
            "pbeagent-7.0.0-419 99999999999999999999\n",
            "pbeagent-419 5\n",
            "other-7.0.0-419 5\n",
            "-7.0.0-419 5\n",
            "package other is not installed\n",
            "error: cannot open Packages database in /var/lib/rpm\npackage pbeagent is not installed\n",
        ] {
            assert_eq!(told(none), Err("failed"), "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_rpm_says_is_an_answer_about_this_package_or_none(text in "(pbeagent|-|7|error:| |\n|\u{fffd}|.){0,40}") {
            if let Ok(Some((name, at))) = told(&text) {
                prop_assert!(name.starts_with("pbeagent-") && at > 0 && text.contains(&name));
            }
        }
    }

    /// A program in the place of rpm.
    async fn asked(script: &str) -> Result<Option<InstalledPackage>, PackageError> {
        let directory = tempfile::tempdir().expect("a directory");
        let rpm = directory.path().join("rpm");
        fs::write(&rpm, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&rpm, fs::Permissions::from_mode(0o755)).expect("its mode");
        installed_by(rpm.to_str().expect("UTF-8"), "pbeagent", Duration::from_secs(2)).await
    }

    #[tokio::test]
    async fn rpm_is_asked_by_its_documented_words() {
        let words = r#"[ "$1 $2 $4" = "-q --qf pbeagent" ] && printf '%s' "$3" | sed 's/%{NAME}/pbeagent/; s/%{VERSION}/7.0.0/; s/%{RELEASE}/419/; s/%{INSTALLTIME}\\n/5/'"#;
        let package = asked(words).await.expect("an answer").expect("a package");
        assert_eq!(package, InstalledPackage { full_name: "pbeagent-7.0.0-419".to_owned(), installed_at: 5 });
    }

    #[tokio::test]
    async fn a_host_without_rpm_has_no_package() {
        let none = installed_by("no-such-rpm", "pbeagent", Duration::from_secs(20)).await;
        assert_eq!(none.expect("an ordinary answer"), None);
        let none = asked("echo package pbeagent is not installed; exit 1").await;
        assert_eq!(none.expect("an ordinary answer"), None);
    }

    #[tokio::test]
    async fn a_hostile_rpm_gives_no_answer_and_is_told_apart() {
        for (script, reason) in [
            ("exec yes pbeagent-7.0.0-419 5", "too_much_output"),
            ("sleep 60", "timeout"),
            ("exit 0", "failed"),
            ("exit 1", "failed"),
            (r"printf 'pbeagent-\377\376-\201 5\377'", "failed"),
            ("kill -9 $$", "failed"),
        ] {
            assert_eq!(asked(script).await.expect_err(script).reason(), reason, "{script}");
        }
    }
}
