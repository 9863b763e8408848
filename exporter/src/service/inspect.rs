//! `check`: what works on this host, what is missing, and what to do about each. It looks once at everything that the exporter would
//! look at, and rotates and configures nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kagiban_agents::Class;
use kagiban_crds::HostName;
use kagiban_crds::host_api::RotationState;
use tokio::time::Instant;

use super::{Looked, ServiceError, check, look_once, own_host_name};
use crate::blocking::{self, Blocked, Work};
use crate::config::{AgentConfig, Config};
use crate::host_api;
use crate::installation::Installed;
use crate::overview::shutdown::ShutdownView;
use crate::overview::{Item, Severity, Topic, attention, fix, item, working};
use crate::platform::{self, AccountId, HINTS, ListenersError, ServiceWrites};
use crate::rotation::agent::{Agent, LeafPlace};
use crate::rotation::failure::RotationFailure;
use crate::rotation::readiness::{self, Unready};
use crate::rotation::{self, PowerGate, StateDirectory};
use crate::snapshot::{Board, Label, SourceKind};
use crate::web::ListenAddress;

/// Of files of one agent, of the state directory, and of a file of a scheduled shutdown: milliseconds, unless something hangs.
const LOOK: Duration = Duration::from_secs(10);
/// timedated is started for the question.
const CLOCK: Duration = Duration::from_secs(5);
/// 2026-01-01: this program was written later, so no clock is right that says less.
const WRITTEN: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// What was found on this host.
#[derive(Clone, Debug)]
pub struct Inspected {
    pub host: String,
    /// The account that looked: others may be let in elsewhere.
    pub account: String,
    pub at: Timestamp,
    /// By host and topic, the worst of each first.
    pub items: Vec<Item>,
}

impl Inspected {
    /// Whether nothing is critical.
    pub fn works(&self) -> bool {
        self.items.iter().all(|item| item.severity != Severity::Critical)
    }
}

/// Looks at everything once.
///
/// # Errors
/// When the configuration cannot be read: then it is not known what to look at.
pub async fn inspect(config_file: Option<PathBuf>, listen: &[ListenAddress]) -> Result<Inspected, ServiceError> {
    let mut items = configuration(config_file.clone()).await?;
    let Looked { host, config, board, installed, .. } = look_once(config_file).await?;
    let now = Timestamp::now();
    items.extend(host_api_name(&config, &host, &board, now).await);
    let snapshot = board.snapshot();
    let shutdown = snapshot.shutdown.as_ref().map(ShutdownView::from);
    items.extend(attention::items(&snapshot, shutdown.as_ref(), now));
    items.extend(working::items(&snapshot, shutdown.as_ref(), now));
    items.extend(unnamed(&config));
    items.extend(without_ups(&config));
    items.extend(power(&config, &board).await);
    let state_directory = config.state_directory();
    items.extend(closed_to_unit(&config).await);
    items.extend(
        join_all(config.agents.iter().map(|agent| of_agent(agent, &state_directory))).await.into_iter().flatten(),
    );
    items.extend(unrotated(&config, &installed));
    items.push(state(&state_directory, config.host_api.is_some()).await);
    items.extend(join_all(listen.iter().map(|address| port(format!("Metrics at {address}"), address))).await);
    if let Some(api) = &config.host_api {
        let address = ListenAddress::from(api.listen_address);
        items.push(port(format!("The host API at {address}"), &address).await);
    }
    items.push(clock(now, platform::is_clock_synchronized(CLOCK).await));
    items.sort_by(|one, other| by_place(one).cmp(&by_place(other)));
    Ok(Inspected { host: host.to_string(), account: own_account().await, at: now, items })
}

/// By its name, for which the controller of a domain may be asked.
async fn own_account() -> String {
    let own = blocking::run(Work::Reports, Instant::now() + LOOK, platform::own_account).await;
    own.unwrap_or_else(|blocked| format!("an account whose name is not told ({blocked})"))
}

/// This host first, and then each that is looked at from here.
fn by_place(item: &Item) -> (Option<&Label>, Topic, Severity) {
    (item.host.as_ref(), item.topic, item.severity)
}

/// Of the host API's files, where they make a server; where not, the configuration has said so. The board is told when they end.
async fn host_api_name(config: &Config, host: &HostName, board: &Board, now: Timestamp) -> Option<Item> {
    let api = config.host_api.clone()?;
    let file = api.certificate_file.display().to_string();
    let looked = blocking::run(Work::HostApiTls, Instant::now() + LOOK, move || host_api::check(&api)).await;
    let facts = looked.ok()?.ok()?;
    board.note_host_api_tls(true, facts.certificate_not_after, facts.crl_next_update, now);
    let said = format!("{file} is not for {host}, so no operator takes what answers for this host (WrongHost)");
    let told = || item(Topic::Exporter, Severity::Critical, "The host API's certificate", said);
    (!facts.is_for(host)).then(told).map(|item| item.fix_by(Some(fix::OTHER_NAME)))
}

/// The problems and warnings of `--config.check`.
async fn configuration(file: Option<PathBuf>) -> Result<Vec<Item>, ServiceError> {
    let Some(file) = file else {
        let said = "none is named; what is found in the usual places is looked at, and nothing is rotated";
        return Ok(vec![item(Topic::Configuration, Severity::Fine, "Configuration", said)]);
    };
    let about = file.display().to_string();
    let checked = blocking::run(Work::Config, Instant::now() + super::CONFIG_WITHIN, move || check(&file, None)).await;
    let checked = checked.map_err(crate::config::ConfigError::from)??;
    let each = |severity, said: &String| item(Topic::Configuration, severity, about.clone(), said.clone());
    let problems = checked.problems.iter().map(|said| each(Severity::Critical, said));
    let warnings = checked.warnings.iter().map(|said| each(Severity::Warning, said));
    let fine = checked.problems.is_empty().then(|| each(Severity::Fine, &checked.to_string()));
    Ok(problems.chain(warnings).chain(fine).collect())
}

/// Where nothing names the host, as the operator and its certificates do.
fn unnamed(config: &Config) -> Option<Item> {
    let own = if config.host.is_some() { return None } else { own_host_name().err()? };
    let said = format!("calls itself {own:?}, which is no host name, so that it is told as localhost");
    let fix = "set `host` in the configuration to its name";
    Some(item(Topic::Configuration, Severity::Warning, "This host", said).fix_by(Some(fix)))
}

fn without_ups(config: &Config) -> Option<Item> {
    config.ups.is_empty().then(|| {
        let said =
            "none is configured, so its battery is not told and nobody is warned before a power cut ends this host";
        item(Topic::Ups, Severity::Warning, "UPS", said).fix_by(Some(fix::NAME_UPS))
    })
}

/// Whether the power allows rotations; where nothing is rotated nobody asks.
async fn power(config: &Config, board: &Arc<Board>) -> Option<Item> {
    config.rotated_agents().next()?;
    let gate = PowerGate::new(&config.power).watching(Arc::clone(board));
    let about = "Power of this host";
    Some(match gate.check().await {
        Ok(()) => item(Topic::Power, Severity::Fine, about, "is on mains, so rotations are taken"),
        Err(power) => {
            let said = format!("rotations are refused (power_unsafe): {}", power.message);
            item(Topic::Power, Severity::Critical, about, said)
        }
    })
}

/// Whether a rotation of it would be taken, and how the last one ended.
async fn of_agent(config: &AgentConfig, state_directory: &Path) -> Vec<Item> {
    let about = format!("Agent {}", config.name);
    let (config, state) = (config.clone(), StateDirectory::at(state_directory));
    let look = move || {
        let agent = Agent::resolve(&config).ok()?;
        Some((readiness::files_and_commands(&agent), rotation::peek(&state, &agent.name), agent))
    };
    let looked = blocking::run(Work::Reports, Instant::now() + LOOK, look).await;
    let (ready, journal, agent) = match looked {
        Ok(Some(looked)) => looked,
        // A configuration that is wrong about it has said so.
        Ok(None) => return Vec::new(),
        Err(blocked) => return vec![hangs(Topic::Agent, about, &blocked)],
    };
    let ready = match ready {
        Ok(()) if agent.push().is_some() => {
            let said = "its files can be replaced, and its commands be run";
            item(Topic::Agent, Severity::Fine, about.clone(), said)
        }
        Ok(()) => item(Topic::Agent, Severity::Fine, about.clone(), "its commands can be run"),
        Err(why) => unready(&about, &why),
    };
    let mut items: Vec<_> = std::iter::once(ready).chain(last_rotation(&about, journal)).collect();
    if matches!(agent.leaf_place, LeafPlace::Nowhere) {
        return items;
    }
    items.push(match readiness::leaf(&agent).await {
        Ok(Some(leaf)) => {
            let place = &agent.leaf_place;
            let said = match place {
                LeafPlace::Endpoint(_) => format!("serves {} at {place}, and has its key", leaf.sha256),
                LeafPlace::File(_) | LeafPlace::Nowhere => format!("has {} in {place}", leaf.sha256),
            };
            item(Topic::Agent, Severity::Fine, about, said)
        }
        Ok(None) => {
            let said = format!("does not answer at {}; a rotation is taken all the same", agent.leaf_place);
            let fix = "start its service, or correct endpoint.address";
            item(Topic::Agent, Severity::Warning, about, said).fix_by(Some(fix))
        }
        Err(failure) => item(Topic::Agent, Severity::Critical, about, told(&failure)),
    });
    items
}

/// Directories that the unit of the host API would have to write to and may not: this check may have other rights than it.
async fn closed_to_unit(config: &Config) -> Vec<Item> {
    if config.host_api.is_none() {
        return Vec::new();
    }
    let (agents, state_directory) = (config.agents.clone(), config.state_directory());
    let look = move || {
        let Some(service) = platform::host_api_service_writes() else { return Vec::new() };
        let agents = agents.iter().filter_map(|agent| Agent::resolve(agent).ok());
        let needed = agents.flat_map(|agent| {
            let directories = agent.replaced().into_iter().filter_map(Path::parent).map(Path::to_owned);
            let directories: BTreeSet<PathBuf> = directories.collect();
            directories.into_iter().map(move |directory| (format!("Agent {}", agent.name), Topic::Agent, directory))
        });
        let own = ("State directory".to_owned(), Topic::Exporter, state_directory);
        let closed = needed.chain([own]).filter(|(.., directory)| !service.may_write(directory));
        closed.map(|(about, topic, directory)| closed_item(&service, about, topic, &directory)).collect()
    };
    let looked = blocking::run(Work::Reports, Instant::now() + LOOK, look).await;
    // What hangs is told of the agent itself.
    looked.unwrap_or_default()
}

fn closed_item(service: &ServiceWrites, about: String, topic: Topic, directory: &Path) -> Item {
    let said = format!("{} may not write to {}, by its file and drop-ins", service.service(), directory.display());
    item(topic, Severity::Warning, about, said).fix_by(Some(service.fix(directory)))
}

fn unready(about: &str, why: &Unready) -> Item {
    match why {
        Unready::WantsPassword => {
            let said = "this host knows no password of its store";
            let fix = "name one in the resource (passwordSecretRef), or put it into passwordFile of the agent";
            item(Topic::Agent, Severity::Warning, about, said).fix_by(Some(fix))
        }
        Unready::Refused(failure) => {
            let fix = fix::of_source(SourceKind::Agent, &failure.reason);
            item(Topic::Agent, Severity::Critical, about, format!("cannot be rotated: {}", told(failure))).fix_by(fix)
        }
    }
}

fn last_rotation(about: &str, journal: Result<Option<rotation::Record>, String>) -> Option<Item> {
    let record = match journal {
        Ok(record) => record?,
        Err(why) => return Some(item(Topic::Agent, Severity::Critical, about, why)),
    };
    let report = record.rotation?.report();
    let failure =
        report.failure.map_or_else(String::new, |failure| format!(": {} ({})", failure.message, failure.reason));
    let said = format!("its rotation {} is {}{failure}", record.generation, report.state.as_str());
    let (severity, fix) = match report.state {
        RotationState::Frozen => (Severity::Critical, Some(fix::FROZEN)),
        RotationState::RolledBack => (Severity::Warning, Some("mend what it tells of, and the operator tries again")),
        _ => (Severity::Fine, None),
    };
    Some(item(Topic::Agent, severity, about, said).fix_by(fix))
}

/// Installations that were found and that no agent of the configuration names.
fn unrotated(config: &Config, found: &[Installed]) -> Vec<Item> {
    let takes_rotations = |at: &&Installed| matches!(at.product.facts().class, Class::Push);
    let named = |at: &Installed| {
        let mut same = config.agents.iter().filter(|agent| agent.product == at.product);
        same.any(|agent| agent.directory.as_ref().is_none_or(|directory| *directory == at.directory))
    };
    let said = found.iter().filter(takes_rotations).filter(|at| !named(at)).map(|at| {
        let said = "is installed, and nothing rotates its certificate";
        let fix = "`kagiban-exporter discover -o manifests` prints what does";
        item(Topic::Agent, Severity::Warning, format!("{} in {}", at.product.id(), at.directory.display()), said)
            .fix_by(Some(fix))
    });
    said.collect()
}

/// Where something is rotated, nobody else may write there.
async fn state(directory: &Path, rotates: bool) -> Item {
    let about = format!("State directory {}", directory.display());
    let (root, looked_at) = (directory.to_owned(), directory.to_owned());
    let look = move || {
        let is_directory = std::fs::metadata(&looked_at).map(|it| it.is_dir());
        let shared = matches!(is_directory, Ok(true)).then(|| platform::check_private_directory(&looked_at).err());
        (StateDirectory::at(&root).used_elsewhere(), is_directory, shared.flatten().filter(|_| rotates))
    };
    let looked = blocking::run(Work::State, Instant::now() + LOOK, look).await;
    let item = |severity, said: String| item(Topic::Exporter, severity, about.clone(), said);
    match looked {
        Err(blocked) => hangs(Topic::Exporter, about, &blocked),
        Ok((Some(process), ..)) => item(
            Severity::Critical,
            format!("the exporter that runs (process {process}) uses another directory than the one that is there now"),
        )
        .fix_by(Some("unmount what was mounted over it, or restart the exporter where this one is meant")),
        Ok((None, Ok(true), None)) => item(Severity::Fine, "is there".to_owned()),
        Ok((None, Ok(true), Some(error))) => {
            item(Severity::Critical, format!("nothing is rotated with it: {error} ({})", error.reason())).fix_by(Some(
                "run the check as the account that rotates, root with the package, and move away what another account has left there",
            ))
        }
        Ok((None, Ok(false), _)) => {
            item(Severity::Critical, "is no directory".to_owned()).fix_by(Some("move away what is in its place"))
        }
        Ok((None, Err(error), _)) if error.kind() == std::io::ErrorKind::NotFound => item(
            Severity::Fine,
            "is not there yet; the exporter makes it when it first has something to keep".to_owned(),
        ),
        Ok((None, Err(error), _)) => item(Severity::Critical, format!("cannot be looked at: {error}"))
            .fix_by(Some("run the check as the account that kagiban-exporter runs as")),
    }
}

async fn port(about: String, address: &ListenAddress) -> Item {
    let item = |severity, said: String| item(Topic::Exporter, severity, about.clone(), said);
    match address.try_bind().await {
        Ok(()) => item(Severity::Fine, "nothing listens there, so the exporter can".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => occupied(about, address).await,
        Err(error) => {
            item(Severity::Critical, format!("cannot be listened on: {error}")).fix_by(Some(HINTS.other_address))
        }
    }
}

/// Whose sockets have the address already.
async fn occupied(about: String, address: &ListenAddress) -> Item {
    let (host, port) = address.host_and_port();
    let until = Instant::now() + LOOK;
    // It was looked up a moment ago, to be listened on
    let addresses = blocking::resolve(Work::SourceNames, host, port, until).await.unwrap_or_default();
    let look = move || {
        let accounts = addresses.into_iter().map(platform::occupants).collect::<Result<Vec<_>, _>>();
        let called = |accounts: Vec<BTreeSet<AccountId>>| {
            let accounts: BTreeSet<AccountId> = accounts.into_iter().flatten().collect();
            accounts.iter().map(platform::account_called).collect()
        };
        (accounts.map(called), platform::own_account())
    };
    match blocking::run(Work::Reports, until, look).await {
        Ok((accounts, own)) => listened_by(about, accounts, &own),
        Err(blocked) => hangs(Topic::Exporter, about, &blocked),
    }
}

/// What is said of the accounts whose sockets have an address that the exporter is to listen at; `own` is the one that looks.
fn listened_by(about: String, accounts: Result<BTreeSet<String>, ListenersError>, own: &str) -> Item {
    let item = |severity, said: String| item(Topic::Exporter, severity, about, said);
    let maybe_ours = format!("this exporter, if it runs already ({} tells)", HINTS.who_listens);
    let others_socket =
        format!("see which program it is ({}), and stop it or choose another address", HINTS.who_listens);
    let accounts = match accounts {
        Ok(accounts) => accounts,
        Err(error @ ListenersError::Untold(_)) => {
            return item(Severity::Fine, format!("something listens there: {maybe_ours}; {error}"));
        }
        Err(error @ ListenersError::Unread { .. }) => {
            let said = format!("something listens there, and it is not known whose it is: {error}");
            return item(Severity::Warning, said).fix_by(Some(others_socket));
        }
    };
    let is_foreign = |account: &&String| !platform::EXPORTERS.contains(&account.as_str()) && account.as_str() != own;
    let foreign: Vec<_> = accounts.iter().filter(is_foreign).map(String::as_str).collect();
    if !foreign.is_empty() {
        let said = format!("{} listens there, which is not the exporter's account", foreign.join(" and "));
        return item(Severity::Warning, said).fix_by(Some(others_socket));
    }
    // None where the socket was closed meanwhile, or is not of this network namespace.
    let whose: Vec<_> = accounts.iter().map(String::as_str).collect();
    let who = if whose.is_empty() { "something".to_owned() } else { whose.join(" and ") };
    item(Severity::Fine, format!("{who} listens there: {maybe_ours}"))
}

fn clock(now: Timestamp, is_synchronized: Option<bool>) -> Item {
    let item = |severity, said: String| item(Topic::Clock, severity, "Clock", said);
    let fix =
        format!("have it synchronized, {}: certificates are valid from and until a moment", HINTS.synchronize_clock);
    match is_synchronized {
        _ if now < WRITTEN => item(Severity::Critical, format!("says {now:.0}, which is past")).fix_by(Some(fix)),
        Some(true) => item(Severity::Fine, format!("is synchronized; it says {now:.0}")),
        Some(false) => item(Severity::Warning, format!("is not synchronized; it says {now:.0}")).fix_by(Some(fix)),
        None => {
            let told_by = HINTS.clock_is_told_by;
            let said = format!("says {now:.0}; whether it is synchronized nobody tells here ({told_by})");
            item(Severity::Fine, said)
        }
    }
}

fn told(failure: &RotationFailure) -> String {
    format!("{} ({})", failure.text(), failure.reason)
}

fn hangs(topic: Topic, about: impl Into<String>, blocked: &Blocked) -> Item {
    let fix = if *blocked == Blocked::Panic { fix::BUG } else { fix::HANGS };
    item(topic, Severity::Critical, about, format!("{blocked} ({})", blocked.reason())).fix_by(Some(fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_an_account_that_no_exporter_runs_as_is_worth_a_warning() {
        let told = |accounts: &[&str], own: &str| {
            let accounts = accounts.iter().map(|account| (*account).to_owned()).collect();
            let item = listened_by("Metrics".to_owned(), Ok(accounts), own);
            (item.severity, item.said)
        };
        for (accounts, own, severity, who) in [
            (&["root"][..], "root", Severity::Fine, "root listens there: this exporter"),
            (&["monitor"], "monitor", Severity::Fine, "monitor listens there: this exporter"),
            (&[], "root", Severity::Fine, "something listens there: this exporter"),
            (&["web"], "root", Severity::Warning, "web listens there, which is not"),
            (&["monitor", "web"], "monitor", Severity::Warning, "web listens there, which is not"),
            (&["account 1234"], "monitor", Severity::Warning, "account 1234 listens there"),
        ] {
            let (found, said) = told(accounts, own);
            assert!(found == severity && said.starts_with(who), "{accounts:?} {own}: {found:?} {said}");
        }
        // As the package runs it, whoever looks.
        for exporter in platform::EXPORTERS {
            assert_eq!(told(&[exporter], "monitor").0, Severity::Fine, "{exporter}");
        }
        // An account that opens very many sockets hides that one of them is here.
        let unread = ListenersError::Unread { table: "/proc/self/net/tcp", why: "too long".to_owned() };
        assert_eq!(listened_by("Metrics".to_owned(), Err(unread), "root").severity, Severity::Warning);
        let untold = ListenersError::Untold(std::io::ErrorKind::NotFound.into());
        assert_eq!(listened_by("Metrics".to_owned(), Err(untold), "root").severity, Severity::Fine);
    }
}
