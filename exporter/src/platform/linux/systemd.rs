//! systemd: the sockets that it has opened, and how it stops and starts services.

use std::borrow::Cow;
use std::env;
use std::path::Path;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use super::super::{Command, HandoverError};
use super::sockets::InheritedSocket;

/// Options of systemd-run(1) whose value is the next word.
const WITH_VALUE: [&str; 30] = [
    "-u",
    "--unit",
    "-p",
    "--property",
    "-E",
    "--setenv",
    "--description",
    "--slice",
    "--service-type",
    "--uid",
    "--gid",
    "--nice",
    "--working-directory",
    "--background",
    "--job-mode",
    "--on-active",
    "--on-boot",
    "--on-startup",
    "--on-unit-active",
    "--on-unit-inactive",
    "--on-calendar",
    "--timer-property",
    "--path-property",
    "--socket-property",
    "-C",
    "--capsule",
    "--root-directory",
    "--expand-environment",
    "--output",
    "--json",
];
/// The program runs elsewhere.
const OF_ANOTHER_HOST: [&str; 4] = ["-H", "--host", "-M", "--machine"];

/// The sockets that systemd has opened for this process; empty when it has opened none. They are taken out of the
/// environment, so it is called once, while the process has one thread.
///
/// # Errors
/// When what was handed over is no socket that clients connect to.
pub fn inherited_sockets() -> Result<Vec<InheritedSocket>, HandoverError> {
    let said = |name| env::var(name).ok();
    let ours = said("LISTEN_PID").and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    let Some(count) = said("LISTEN_FDS").filter(|_| ours) else { return Ok(Vec::new()) };
    let count: usize = count.parse().map_err(|_| HandoverError::Count)?;
    if !(1..=HandoverError::MOST).contains(&count) {
        return Err(HandoverError::Count);
    }
    let mut handed_over = ListenFd::from_env();
    let taken = (0..handed_over.len()).map(|index| match handed_over.take_tcp_listener(index) {
        Ok(taken) => Ok(taken.map(InheritedSocket::Tcp)),
        // It was left where it is.
        Err(_) => handed_over.take_unix_listener(index).map(|taken| taken.map(InheritedSocket::Unix)),
    });
    let taken = taken.filter_map(Result::transpose).map(|taken| taken.and_then(that_listens));
    taken.map(|taken| taken.map_err(HandoverError::Socket)).collect()
}

/// One that is connected, or that nobody has told to listen, would never bring a connection.
fn that_listens(socket: InheritedSocket) -> std::io::Result<InheritedSocket> {
    let listens = match &socket {
        InheritedSocket::Tcp(socket) => socket_acceptconn(socket),
        InheritedSocket::Unix(socket) => socket_acceptconn(socket),
    };
    if listens? { Ok(socket) } else { Err(std::io::Error::other("it does not listen, or is connected")) }
}

/// What is run for it: systemd stops and starts a service when `systemctl` asks it to.
pub(super) fn argv(command: &Command) -> Cow<'_, [String]> {
    match command {
        Command::Program(argv) => Cow::Borrowed(argv),
        Command::Service { name, verb } => Cow::Owned(["systemctl", verb.as_str(), name].map(str::to_owned).into()),
    }
}

/// The same start of a service as `start`, queued instead of waited for. systemd orders a stop before a start: while the unit
/// of this process is being stopped, the start of a unit that is ordered after it is done when this process has ended.
/// Absent where systemd does not run this process, or where `start` is not a start that systemd is known to carry out.
pub fn queued_start(start: &Command) -> Option<Command> {
    let is_unit = env::var_os("INVOCATION_ID").is_some() || env::var_os("NOTIFY_SOCKET").is_some();
    if is_unit { queued(&argv(start)).map(Command::Program) } else { None }
}

/// What `systemd-run` has the service manager of this host run; none of another command.
pub fn run_by_manager(command: &Command) -> Option<Command> {
    behind_systemd_run(&argv(command)).map(Command::Program)
}

/// systemd-run(1): the first word that is no option and no value of one is the program.
fn behind_systemd_run(argv: &[String]) -> Option<Vec<String>> {
    let Some(("systemd-run", words)) = words(argv) else { return None };
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += 1;
        match *word {
            "--" => break,
            word if OF_ANOTHER_HOST.iter().any(|option| is_option(word, option)) => return None,
            word if WITH_VALUE.contains(&word) => at += 1,
            _ => {}
        }
    }
    let behind: Vec<_> = words.get(at..)?.iter().map(|word| (*word).to_owned()).collect();
    (!behind.is_empty()).then_some(behind)
}

/// With its value behind it in the same word, or in the next.
fn is_option(word: &str, option: &str) -> bool {
    word.strip_prefix(option).is_some_and(|rest| !option.starts_with("--") || rest.is_empty() || rest.starts_with('='))
}

/// Whether systemd itself carries this stop out: it knows then until when that goes on.
pub fn is_managed_stop(stop: &Command) -> bool {
    match words(&argv(stop)) {
        Some(("systemctl", words)) => words.contains(&"stop"),
        Some(("service", words)) => matches!(words[..], [_, "stop"]),
        _ => false,
    }
}

/// The name of a command's program, without its directory, and its arguments.
fn words(argv: &[String]) -> Option<(&str, Vec<&str>)> {
    let (program, arguments) = argv.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    Some((name, arguments.iter().map(String::as_str).collect()))
}

fn queued(argv: &[String]) -> Option<Vec<String>> {
    let (program, (name, words)) = (argv.first()?, words(argv)?);
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    match (name, &words[..]) {
        ("systemctl", words) if words.iter().any(|word| matches!(*word, "start" | "restart")) => {
            Some([owned(&[program, "--no-block"]), owned(words)].concat())
        }
        ("service", [name, verb @ ("start" | "restart")]) => Some(owned(&["systemctl", "--no-block", verb, name])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::ServiceVerb;

    #[test]
    fn a_start_through_systemd_is_queued_and_any_other_is_left_as_it_is() {
        let queued = |words: &str| {
            let argv: Vec<_> = words.split(' ').map(str::to_owned).collect();
            queued(&argv).map(|argv| argv.join(" "))
        };
        assert_eq!(queued("systemctl start a.service").as_deref(), Some("systemctl --no-block start a.service"));
        assert_eq!(queued("/bin/systemctl -q restart a").as_deref(), Some("/bin/systemctl --no-block -q restart a"));
        assert_eq!(queued("service pbeagent start").as_deref(), Some("systemctl --no-block start pbeagent"));
        let by_name = argv(&Command::Service { name: "a".to_owned(), verb: ServiceVerb::Start }).into_owned();
        assert_eq!(super::queued(&by_name).map(|argv| argv.join(" ")).as_deref(), Some("systemctl --no-block start a"));
        for other in ["systemctl stop a", "service a stop", "/etc/init.d/a start", "sh -c start"] {
            assert_eq!(queued(other), None, "{other}");
        }
    }

    #[test]
    fn the_program_behind_systemd_run_is_the_first_word_that_is_no_option() {
        let behind = |words: &str| {
            let argv: Vec<_> = words.split(' ').map(str::to_owned).collect();
            behind_systemd_run(&argv).map(|argv| argv.join(" "))
        };
        for (command, program) in [
            ("systemd-run --wait --collect --property=RuntimeMaxSec=9min /opt/renew now", Some("/opt/renew now")),
            ("/usr/bin/systemd-run -p RuntimeMaxSec=9min -u renewal -G /opt/renew -x", Some("/opt/renew -x")),
            ("systemd-run --wait -- /opt/renew", Some("/opt/renew")),
            ("systemd-run --unit a --setenv A=b /bin/sh /opt/renew", Some("/bin/sh /opt/renew")),
            ("systemd-run -H other /opt/renew", None),
            ("systemd-run --machine=other /opt/renew", None),
            ("systemd-run --wait", None),
            ("/opt/renew --wait", None),
        ] {
            assert_eq!(behind(command).as_deref(), program, "{command}");
        }
    }

    #[test]
    fn a_socket_that_brings_no_connections_is_refused() {
        use std::net::{TcpListener, TcpStream};
        use std::os::fd::OwnedFd;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let connected = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        assert!(that_listens(InheritedSocket::Tcp(OwnedFd::from(connected).into())).is_err());
        assert!(that_listens(InheritedSocket::Tcp(listener)).is_ok());
    }

    #[test]
    fn only_a_stop_through_systemd_is_one_that_it_knows_of() {
        let is_managed = |words: &str| {
            let argv: Vec<_> = words.split(' ').map(str::to_owned).collect();
            is_managed_stop(&Command::Program(argv))
        };
        for stop in ["systemctl stop a", "/bin/systemctl --no-block stop a.service", "service a stop"] {
            assert!(is_managed(stop), "{stop}");
        }
        let by_name = |verb| Command::Service { name: "a".to_owned(), verb };
        assert!(is_managed_stop(&by_name(ServiceVerb::Stop)) && !is_managed_stop(&by_name(ServiceVerb::Start)));
        for other in ["systemctl kill a", "service a restart", "/etc/init.d/a stop", "sh -c stop", "stop"] {
            assert!(!is_managed(other), "{other}");
        }
    }
}
