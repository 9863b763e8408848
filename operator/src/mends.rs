//! What a person does about what the operator has found on its own machine, in the words of that machine's system.

use kagiban_agents::Os;

/// The system that this program is built for.
const HERE: Os = if cfg!(windows) { Os::Windows } else { Os::Linux };

/// What takes a file from everybody but the account that works with it.
pub(crate) const fn make_private() -> &'static str {
    make_private_on(HERE)
}

/// What takes a file from everybody but the person who reads this.
pub(crate) fn make_own(file: &str) -> String {
    make_own_on(HERE, file)
}

/// Who may ask an operator, and how one becomes that.
pub(crate) const fn ask_as() -> &'static str {
    ask_as_on(HERE)
}

const fn make_private_on(os: Os) -> &'static str {
    match os {
        Os::Linux => "chmod 600",
        // The system and Administrators have the same names in every language. A service with an account of its own needs that one too
        Os::Windows => {
            "icacls FILE /inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F (and \"NT SERVICE\\kagiban-operator:F\" where the service has that account)"
        }
    }
}

fn make_own_on(os: Os, file: &str) -> String {
    match os {
        Os::Linux => format!("chmod 600 {file}"),
        Os::Windows => format!("icacls \"{file}\" /inheritance:r /grant:r ACCOUNT:F, where ACCOUNT is yours"),
    }
}

const fn ask_as_on(os: Os) -> &'static str {
    match os {
        Os::Linux => "only the operator's own account and root may ask: try sudo",
        Os::Windows => "only administrators and the service's own account may ask: try a console of an administrator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_a_command_of_another_system() {
        let told = |os| [make_private_on(os).to_owned(), make_own_on(os, "ca.key"), ask_as_on(os).to_owned()];
        for words in told(Os::Windows) {
            assert!(!words.contains("chmod") && !words.contains("sudo") && !words.contains("root"), "{words}");
        }
        for words in told(Os::Linux) {
            assert!(!words.contains("icacls") && !words.contains("administrator"), "{words}");
        }
        assert!(make_own_on(Os::Windows, "C:\\ca.key").contains("\"C:\\ca.key\""));
    }

    /// The page about Windows has the command of the messages.
    #[test]
    fn the_page_about_windows_has_the_same_command() {
        let page = include_str!("../../docs/windows.md");
        assert!(page.contains(&format!("`{}`", make_private_on(Os::Windows))));
    }

    /// Whatever else of the operator names such a command, names it on the other system too.
    #[test]
    fn no_message_has_such_a_command_of_its_own() {
        for (file, text) in [
            ("manifest_health.rs", include_str!("manifest_health.rs")),
            ("secrets.rs", include_str!("cluster/standalone/secrets.rs")),
            ("database.rs", include_str!("cluster/standalone/store/database.rs")),
            ("follower.rs", include_str!("cluster/standalone/manifests/follower.rs")),
            ("client.rs", include_str!("commands/client.rs")),
            ("ca.rs", include_str!("enroll/ca.rs")),
        ] {
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            assert!(!shipped.contains("chmod") && !shipped.contains("sudo"), "{file}");
        }
    }
}
