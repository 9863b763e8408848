//! Which services a command is about.

use std::path::Path;

use super::super::Command;

/// The services that a command stops or starts, as far as it tells: by the names that the manager of services takes, in lower case, since
/// to it they have no case; or else the command itself.
pub fn services_of(command: &Command) -> Vec<String> {
    let argv = match command {
        Command::Program(argv) => argv,
        Command::Service { name, .. } => return vec![name.to_lowercase()],
    };
    let Some((program, arguments)) = argv.split_first() else { return Vec::new() };
    let program = Path::new(program).file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_lowercase()).collect();
    match (&*program, &words[..]) {
        // Another host's, by `sc \\host stop name`.
        ("sc", [host, _, name, ..]) if host.starts_with(r"\\") => vec![format!("{name} of {host}")],
        ("net" | "net1" | "sc", [verb, name, ..]) if verb == "stop" || verb == "start" => vec![name.clone()],
        _ => vec![argv.join(" ")],
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::ServiceVerb;
    use super::*;

    #[test]
    fn a_service_is_known_however_it_is_named() {
        let of = |words: &str| services_of(&Command::Program(words.split(' ').map(str::to_owned).collect()));
        let named = services_of(&Command::Service { name: "APCPBEAgent".to_owned(), verb: ServiceVerb::Stop });
        for same in [
            "net stop apcpbeagent",
            r"C:\Windows\System32\net.exe START APCPBEAgent",
            "sc stop APCPBEAgent",
            "SC.EXE start apcpbeagent",
        ] {
            assert_eq!(of(same), named, "{same}");
        }
        for other in [r"sc \\other stop APCPBEAgent", "net stop mail", r"C:\x\stop.exe APCPBEAgent"] {
            assert_ne!(of(other), named, "{other}");
        }
    }
}
