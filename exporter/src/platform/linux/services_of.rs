//! Which services a command is about.

use std::path::Path;

use super::super::Command;

/// The services that a command stops or starts, as far as it tells: by the names that a service manager takes, or else the
/// command itself. One that does nothing names none.
pub fn services_of(command: &Command) -> Vec<String> {
    let argv = match command {
        Command::Program(argv) => argv,
        Command::Service { name, .. } => return vec![unit(name)],
    };
    let Some((program, arguments)) = argv.split_first() else { return Vec::new() };
    let path = Path::new(program);
    let in_init_d = path.parent().and_then(Path::file_name).is_some_and(|name| name == "init.d" || name == "rc.d");
    let program = path.file_name().unwrap_or_default().to_string_lossy();
    let mut words = arguments.iter().filter(|argument| !argument.starts_with('-')).map(String::as_str);
    match &*program {
        "true" => Vec::new(),
        script if in_init_d => vec![unit(script)],
        // Systemctl stop UNIT...
        "systemctl" => {
            let (words, of) = systemctl_words(arguments);
            words.into_iter().skip(1).map(|name| format!("{}{of}", unit(name))).collect()
        }
        // Service NAME stop
        "service" | "rc-service" | "invoke-rc.d" => words.next().map(unit).into_iter().collect(),
        _ => vec![argv.join(" ")],
    }
}

/// What of the arguments is no option, and on which host or in which container the units are, where it is another one than this.
fn systemctl_words(arguments: &[String]) -> (Vec<&str>, String) {
    // Those that take a value, by the manual of systemd 257, as far as they have a use with `start` and `stop`.
    const ELSEWHERE: [&str; 4] = ["-H", "--host", "-M", "--machine"];
    const WITH_VALUE: [&str; 16] = [
        "-p",
        "--property",
        "-t",
        "--type",
        "--state",
        "-s",
        "--signal",
        "-n",
        "--lines",
        "-o",
        "--output",
        "--job-mode",
        "--root",
        "--image",
        "--kill-whom",
        "--timestamp",
    ];
    let (mut words, mut of) = (Vec::new(), String::new());
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        if ELSEWHERE.contains(&argument) {
            of = format!(" of {}", rest.next().unwrap_or_default());
        } else if argument == "--user" {
            " of this account".clone_into(&mut of);
        } else if WITH_VALUE.contains(&argument) {
            rest.next();
        } else if !argument.starts_with('-') {
            words.push(argument);
        } else if let Some(host) = ["--host=", "--machine=", "-H", "-M"].iter().find_map(|it| argument.strip_prefix(it))
        {
            of = format!(" of {host}");
        }
    }
    (words, of)
}

/// As systemd completes a name.
fn unit(name: &str) -> String {
    const KINDS: [&str; 5] = [".service", ".socket", ".target", ".timer", ".path"];
    if KINDS.iter().any(|kind| name.ends_with(kind)) { name.to_owned() } else { format!("{name}.service") }
}
