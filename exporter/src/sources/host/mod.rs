//! What the host says of its own going down.
//!
//! ```text
//!   HostSource (deadline) ─┬─ reboot       whether a reboot is pending, through `platform`
//!                          ├─ system       the system's schedule, through `platform`
//!                          └─ event_log/   PowerChute's: a Java stream, text, or what it writes to the log of Windows
//!                                 └──> Evidence ──> shutdown
//! ```
//!
//! Who asks is thin; what an answer means is decided by a pure function beside it.

mod event_log;
mod reboot;
mod system;

pub(crate) use event_log::check_application_log;
pub(super) use event_log::{LinkSince, UpsLink, ups_link};
pub use event_log::{fuzz_event_log, fuzz_event_log_text};

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kagiban_agents::Product;
use tokio::sync::Notify;

use self::event_log::{ApplicationLogSource, EventLogSource};
use self::reboot::RebootSource;
use self::system::SystemSource;
use super::schedule::panicked;
use super::{Look, Source};
use crate::config::Config;
use crate::discovery::Discovered;
use crate::installation::Installed;
use crate::platform::{self, Ability, ShutdownWatch};
use crate::snapshot::{Label, Observation, SourceId, SourceKind, Trouble};

/// Every reason that a look can fail for.
pub(super) const REASONS: &[&str] = &[
    "bus",
    "busy",
    "events_passed_over",
    "malformed",
    "not_found",
    "not_regular",
    "panic",
    "permission_denied",
    "read_failed",
    "symlink_loop",
    "timeout",
    "too_large",
];

/// The source that asks the system; the others are called by the paths of their logs.
const SYSTEM: &str = "system";
/// The source that asks for pending reboots.
const REBOOT: &str = "reboot";
/// A reboot is pending for hours or weeks.
const REBOOT_INTERVAL: Duration = Duration::from_mins(1);

/// logind answers in milliseconds and a log is read as fast, unless something hangs.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum HostSource {
    System(SystemSource),
    EventLog(EventLogSource),
    Reboot(RebootSource),
    ApplicationLog(ApplicationLogSource),
}

impl HostSource {
    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let look = async {
            match self {
                Self::System(source) => source.look().await,
                Self::EventLog(source) => source.look().await,
                Self::Reboot(source) => source.look().await,
                Self::ApplicationLog(source) => source.look().await,
            }
        };
        let look = AssertUnwindSafe(look).catch_unwind().await;
        look.unwrap_or_else(|_| (Observation::Nothing, Some(panicked("panic"))))
    }
}

/// The sources that a configuration and a discovery make.
pub(super) fn plan(config: &Config, found: &Discovered) -> Vec<Source> {
    if !config.shutdown.enabled {
        return Vec::new();
    }
    let source = |name, look, wake| Source {
        id: SourceId::own(SourceKind::Host, name),
        reasons: REASONS,
        interval: config.shutdown.interval.as_duration(),
        look: Look::Host(Box::new(look)),
        wake,
        files: Vec::new(),
    };
    let mut sources = Vec::new();
    if ShutdownWatch::is_told() {
        let wake = Arc::<Notify>::default();
        let system = SystemSource::new(config.power.scheduled_shutdown_file.clone(), Arc::clone(&wake), DEADLINE);
        sources.push(source(Label::new(SYSTEM), HostSource::System(system), wake));
    }
    sources.extend(event_logs(config, found).into_iter().map(|(path, must_exist)| {
        let name = Label::from_path(&path);
        source(name, HostSource::EventLog(EventLogSource::new(path, must_exist, DEADLINE)), Arc::default())
    }));
    if let Some(must_exist) = application_log(config, found, platform::LACKS) {
        let log = ApplicationLogSource::new(must_exist, DEADLINE);
        let name = Label::new(ApplicationLogSource::NAME);
        sources.push(source(name, HostSource::ApplicationLog(log), Arc::default()));
    }
    sources
}

/// Asks whether a reboot is pending.
pub(super) fn reboot(config: &Config) -> Option<Source> {
    config.shutdown.enabled.then(|| Source {
        id: SourceId::own(SourceKind::Host, Label::new(REBOOT)),
        reasons: REASONS,
        interval: REBOOT_INTERVAL,
        look: Look::Host(Box::new(HostSource::Reboot(RebootSource::new(DEADLINE)))),
        wake: Arc::default(),
        files: Vec::new(),
    })
}

/// Whether the log of Windows is read for what PowerChute writes there; `true` where that was asked for, so that the agent must be known
/// to it. Else it is read beside an agent, which may write its own log alone.
fn application_log(config: &Config, found: &Discovered, lacking: &[Ability]) -> Option<bool> {
    let configured = config.agents.iter().map(|agent| agent.product);
    let searched = found.agents.iter().map(|agent| agent.product).filter(|_| config.discovery.enabled != Some(false));
    let writes = |product: Product| product.facts().event_log.is_some();
    match config.shutdown.windows_event_log {
        _ if lacking.contains(&Ability::EventLog) => None,
        None => configured.chain(searched).any(writes).then_some(false),
        Some(is_on) => is_on.then_some(true),
    }
}

/// Which logs there are; `true` for one that was named and must be there. An agent makes its log when it first has
/// something to write.
fn event_logs(config: &Config, found: &Discovered) -> BTreeMap<PathBuf, bool> {
    let configured = config
        .agents
        .iter()
        .filter_map(|agent| Installed::of(agent, |product| found.directory_of(product))?.event_log());
    let searched = if config.discovery.enabled == Some(false) { Vec::new() } else { found.event_logs() };
    let mut logs: BTreeMap<_, _> = configured.chain(searched).map(|path| (path, false)).collect();
    logs.extend(config.shutdown.event_logs.iter().map(|path| (path.clone(), true)));
    logs
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::blocking::Blocked;
    use crate::config;
    use crate::platform::{EventLogError, FileError, RebootError, ShutdownError};

    fn names(yaml: &str, found: &Discovered) -> Vec<String> {
        let config = config::parse(yaml, Path::new("exporter.yaml")).expect("a good configuration");
        plan(&config, found).iter().map(|source| source.id().name.to_string()).collect()
    }

    #[test]
    fn without_a_word_the_system_is_asked_and_the_logs_that_are_found_are_read() {
        let found = Discovered {
            agents: vec![
                Installed { product: Product::PowerchuteSerialShutdown, directory: "/opt/pcss".into() },
                Installed { product: Product::TlsService, directory: "/opt/web".into() },
            ],
            network_shutdown_logs: vec!["/opt/pcns/EventLog.txt".into()],
            ..Discovered::default()
        };
        assert_eq!(names("", &found), ["system", "/opt/pcns/EventLog.txt", "/opt/pcss/EventLog"]);
        assert_eq!(names("discovery: {enabled: false}", &found), ["system"]);
        assert_eq!(
            names("certificates: [{name: a, paths: [/a]}]", &found).len(),
            3,
            "naming certificates stops nothing"
        );
        assert!(names("shutdown: {enabled: false, eventLogs: [/a]}", &found).is_empty());
    }

    #[test]
    fn the_log_of_a_configured_agent_is_read_where_that_agent_lies() {
        let agent = "{name: a, product: powerchute-serial-shutdown}";
        let elsewhere = "{name: a, product: powerchute-business-edition, directory: /srv/pcbe}";
        let product = Product::PowerchuteSerialShutdown;
        let found =
            Discovered { agents: vec![Installed { product, directory: "/opt/pcss".into() }], ..Discovered::default() };
        let configured = |agent: &str| format!("discovery: {{enabled: false}}\nagents: [{agent}]");
        assert_eq!(names(&configured(agent), &found), ["system", "/opt/pcss/EventLog"]);
        assert_eq!(names(&configured(elsewhere), &found), ["system", "/srv/pcbe/EventLog"]);
        assert_eq!(names(&configured("{name: a, product: tls-service, directory: /srv}"), &found), ["system"]);
        let named = names("shutdown: {eventLogs: [/opt/pcss/EventLog]}", &found);
        assert_eq!(named, ["system", "/opt/pcss/EventLog"], "one log is read once");
    }

    /// What a system lacks is a value: this is decided for every system on each.
    #[test]
    fn the_log_of_windows_is_read_beside_an_agent_or_where_that_is_asked_for_and_nowhere_else() {
        let agent = |product| Installed { product, directory: "/opt/agent".into() };
        let found = |agents| Discovered { agents, ..Discovered::default() };
        let (with, without) =
            (found(vec![agent(Product::PowerchuteBusinessEdition)]), found(vec![agent(Product::TlsService)]));
        let configured = "agents: [{name: a, product: powerchute-serial-shutdown}]";
        for (yaml, found, read) in [
            ("", &with, Some(false)),
            ("", &without, None),
            ("discovery: {enabled: false}", &with, None),
            (configured, &without, Some(false)),
            ("shutdown: {windowsEventLog: true}", &without, Some(true)),
            ("shutdown: {windowsEventLog: false}", &with, None),
        ] {
            let config = config::parse(yaml, Path::new("exporter.yaml")).expect("a good configuration");
            assert_eq!(application_log(&config, found, &[]), read, "{yaml}");
            assert_eq!(application_log(&config, found, &[Ability::EventLog]), None, "{yaml}");
        }
    }

    #[test]
    fn pending_reboots_are_asked_for_unless_the_host_is_not_to_be_asked() {
        let planned = |yaml| reboot(&config::parse(yaml, Path::new("exporter.yaml")).expect("a good configuration"));
        assert_eq!(planned("").map(|source| source.id().name.to_string()).as_deref(), Some("reboot"));
        assert!(planned("shutdown: {enabled: false}").is_none());
    }

    #[test]
    fn every_reason_is_counted_from_the_start() {
        let path = || "/a".into();
        let io = || io::Error::other("a");
        let files = [
            FileError::NotFound { path: path() },
            FileError::PermissionDenied { path: path() },
            FileError::NotRegular { path: path(), kind: "a FIFO" },
            FileError::SymlinkLoop { path: path() },
            FileError::TooLarge { path: path(), size: 2, limit: 1 },
            FileError::Read { path: path(), source: io() },
        ];
        let asked = [
            ShutdownError::Malformed(Label::new("a")),
            ShutdownError::NoAnswer { deadline: DEADLINE },
            ShutdownError::Bus { detail: Label::new("a") },
        ];
        let unread = [io::ErrorKind::PermissionDenied, io::ErrorKind::Other]
            .map(|kind| RebootError { place: "a".to_owned(), source: kind.into() });
        let log = "Application";
        let events = [
            EventLogError::NoProvider { log, provider: "a".to_owned() },
            EventLogError::PermissionDenied { log },
            EventLogError::TimedOut { log, deadline: DEADLINE },
            EventLogError::Read { log, source: io() },
        ];
        let blocked = Blocked::REASONS;
        let reasons = files.iter().map(FileError::reason).chain(asked.iter().map(ShutdownError::reason));
        let reasons = reasons.chain(unread.iter().map(RebootError::reason));
        let reasons = reasons.chain(events.iter().map(EventLogError::reason));
        for reason in
            reasons.chain(blocked).chain([event_log::MALFORMED, event_log::PASSED_OVER, panicked("panic").reason])
        {
            assert!(REASONS.contains(&reason), "{reason} has no counter");
        }
    }
}
