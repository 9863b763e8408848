//! The program at work: the agents' files made whole, sources watched, the snapshot rendered, pages served, until somebody says
//! stop.

mod check;
mod discover;
mod inspect;
mod keeper;
mod repairs;
mod rotations;
mod secrets;
mod sharing;
mod shown;
mod warnings;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use kagiban_crds::HostName;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::blocking::{self, Work};
use crate::config::{self, CompatSet, Config, ConfigError, HostApiConfig, NamedFile, Salvaged};
use crate::converge::Repairer;
use crate::discovery::{self, Discovered};
use crate::host_api;
use crate::installation::Installed;
use crate::platform::{self, InheritedSocket, Lifecycle, Request, Requests};
use crate::power_log::{Line, PowerLog};
use crate::render::{ExpositionFormat, Program, Rendered};
use crate::rotation::backoff::Backoff;
use crate::rotation::conflicts::{self, Conflict};
use crate::rotation::{StateDirectory, Workers};
use crate::snapshot::{Board, Label, SourceId, SourceKind};
use crate::sources::{self, Gate, Source, Traps, Wakes};
use crate::web::{Guard, GuardError, ListenAddress, ListenError, Listeners, Prober, Site, TelemetryPath};

pub use check::{Checked, check};
pub use discover::{Inventory, discover};
pub use inspect::{Inspected, inspect};
pub use rotations::{FILES_DEADLINE, Rotations, Setup};

/// Changes that come together are rendered together; nobody scrapes more often than this.
const RENDER_AFTER: Duration = Duration::from_millis(100);
/// A page of a thousand outside hosts takes a tenth of a second, and something of it changes all the time: rendering takes no more than
/// this part of one processor.
const RENDER_ONE_IN: u32 = 20;
/// What has changed is on the page by then, however large it is.
const RENDER_AFTER_AT_MOST: Duration = Duration::from_secs(5);
/// Far more than a snapshot of the largest host takes.
const RENDER_WITHIN: Duration = Duration::from_secs(60);
/// For the configuration, on a slow disk.
const CONFIG_WITHIN: Duration = Duration::from_secs(30);
/// For some hundred looks whether a file is there. What hangs is passed over then: nobody may depend on it.
const SEARCH_WITHIN: Duration = Duration::from_secs(5);
/// What changes of the power is told at once; what is told in sum waits for ten minutes anyway.
const POWER_LOG_EVERY: Duration = Duration::from_secs(60);
/// One datagram to a neighbour.
const TELL_DEADLINE: Duration = Duration::from_secs(1);

/// What the command line decides.
#[derive(Debug)]
pub struct Options {
    pub config_file: Option<PathBuf>,
    pub listen: Listen,
    pub web_config_file: Option<PathBuf>,
    pub telemetry_path: TelemetryPath,
}

/// Whose sockets are answered on.
#[derive(Debug)]
pub enum Listen {
    Addresses(Vec<ListenAddress>),
    /// Those that the service manager has opened.
    Inherited(Vec<InheritedSocket>),
}

/// Why the program cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Agents(#[from] Conflict),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Guard(#[from] GuardError),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

impl ServiceError {
    /// Stable, for logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Config(error) => error.reason(),
            Self::Agents(conflict) => conflict.reason(),
            Self::Listen(_) => "listen",
            Self::Guard(_) => "web_config",
            Self::Signals(_) => "signals",
        }
    }
}

/// What to look at, worked out from the configuration and the host.
struct Plan {
    host: HostName,
    config: Config,
    /// The agents that were found in their usual places.
    installed: Vec<Installed>,
    prober: Option<Arc<Prober>>,
    sources: Vec<Source>,
    traps: Option<Traps>,
}

/// Tells the board what a configuration says of the host's power: its loads, and the UPSes that feed it, each with how often it is asked.
fn note_power(board: &Board, config: &Config) {
    let feeding = config.ups.iter().filter(|ups| ups.feeds_host);
    let id = |name: &str| SourceId::own(SourceKind::Ups, Label::new(name));
    board.set_loads(config.loads());
    board.note_ups_sources(feeding.map(|ups| (id(ups.name.as_str()), ups.interval.as_duration())).collect());
    board.note_power(config.power.clone());
}

/// Works until told to stop. The agents' files are made whole first, whatever else is wrong.
///
/// # Errors
/// Only at the start: a configuration that is bad then, a socket that is taken. What an earlier run left of rotations has
/// been finished by then.
pub async fn serve(options: Options) -> Result<(), ServiceError> {
    let asked = Asked::listen().map_err(ServiceError::Signals)?;
    let board = Arc::new(Board::default());
    let stop = CancellationToken::new();
    let Some(start) = asked.to_stop.run_until_cancelled(loaded(options.config_file.clone())).await.transpose()? else {
        return Ok(());
    };
    let mut rotations = start.setup.map(|setup| Rotations::start(setup, Arc::clone(&board), stop.clone()));
    let whole = async {
        if let Some(rotations) = &mut rotations {
            rotations.files_are_whole_by(start.files_by).await;
        }
    };
    // Beside each other: a state directory that hangs holds up both.
    let opening = keeper::Keeper::open(start.config.state_directory(), start.files_by);
    let ((), keeper) = futures::join!(whole, opening);
    let worked = match start.error {
        Some(error) => Err(error.into()),
        None => work(options, start.config, start.complete, &asked, board, keeper, rotations.as_ref(), stop).await,
    };
    let Some(rotations) = rotations else { return worked.map(|_| ()) };
    if !matches!(worked, Ok(Ended::AtWork)) && rotations.is_unfinished() {
        finish_before_ending(&rotations, &asked).await;
    }
    rotations.end().await;
    worked.map(|_| ())
}

/// What the service manager or a person asks for. A stop is heard at once, whatever is waited for.
struct Asked {
    to_stop: CancellationToken,
    to_reload: Arc<Notify>,
}

impl Asked {
    fn listen() -> io::Result<Self> {
        let mut requests = Requests::listen()?;
        let (to_stop, to_reload) = (CancellationToken::new(), Arc::new(Notify::new()));
        let asked = Self { to_stop: to_stop.clone(), to_reload: Arc::clone(&to_reload) };
        tokio::spawn(async move {
            loop {
                let request = tokio::select! {
                    request = requests.next() => request,
                    request = platform::asked_by_manager() => request,
                };
                match request {
                    Request::Stop => to_stop.cancel(),
                    Request::Reload => to_reload.notify_one(),
                }
            }
        });
        Ok(asked)
    }

    /// False when it is to stop.
    async fn reload(&self) -> bool {
        self.to_stop.run_until_cancelled(self.to_reload.notified()).await.is_some()
    }
}

/// How far the program came before it was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was told before it was ready.
    AtStart,
    AtWork,
}

/// Everything but the rotations, until told to stop.
#[expect(clippy::too_many_arguments, reason = "what the start has made")]
async fn work(
    options: Options,
    config: Config,
    complete: bool,
    asked: &Asked,
    board: Arc<Board>,
    keeper: keeper::Keeper,
    rotations: Option<&Rotations>,
    stop: CancellationToken,
) -> Result<Ended, ServiceError> {
    let started = Timestamp::now();
    let guarded = asked.to_stop.run_until_cancelled(guard(options.web_config_file, &board));
    let Some(guard) = guarded.await.transpose()? else { return Ok(Ended::AtStart) };
    let listeners = match options.listen {
        Listen::Addresses(addresses) => Listeners::bind(&addresses).await?,
        Listen::Inherited(sockets) => Listeners::inherit(sockets)?,
    };

    let planning = asked.to_stop.run_until_cancelled(planned(config));
    let Some(plan_at_start) = planning.await.transpose()? else { return Ok(Ended::AtStart) };
    keeper.resume(&board);
    note_power(&board, &plan_at_start.config);
    let Plan { host, config, installed, prober, sources, traps } = plan_at_start;
    warnings::tell(&config);
    let secret_files = config.secret_files();
    let site = Arc::new(Site {
        host: host.to_string(),
        telemetry_path: options.telemetry_path,
        started,
        board: Arc::clone(&board),
        rendered: ArcSwap::default(),
        prober: ArcSwapOption::new(prober),
        ready: AtomicBool::new(false),
    });
    board.note_reload(complete && !rotations.is_some_and(Rotations::refuses_any), started);
    let compat = Arc::new(ArcSwap::from_pointee(config.compat.clone()));
    let wakes = Wakes::default();
    let mut watches = Watches::start(sources, traps, secret_files, &wakes, &board);
    let mut parts = JoinSet::new();
    for setup in repairs::setups(&config, &installed, &host, rotations.map(Rotations::deliveries), &board) {
        let (wakes, stop) = (wakes.clone(), stop.clone());
        parts.spawn(async move { Repairer::open(setup).await.run(wakes, stop).await });
    }
    parts.spawn(render(Arc::clone(&site), Arc::clone(&compat), stop.clone()));
    parts.spawn(listeners.serve(Arc::clone(&site), guard, stop.clone()));
    parts.spawn(keeper.keep(Arc::clone(&board), stop.clone()));
    parts.spawn(log_power(Arc::clone(&board), stop.clone()));
    if let (Some(api), Some(rotations)) = (config.host_api, rotations) {
        parts.spawn(offer_host_api(api, rotations.workers(), Arc::clone(&board), stop.clone()));
    }

    tell(Lifecycle::Ready { status: "Answers; looks at every source for the first time".to_owned() }).await;
    // Not before READY: the service manager starts an agent that is ordered after this program no sooner, and whoever
    // waited for that start here would wait for ever.
    if let Some(rotations) = rotations {
        rotations.finish();
    }
    // Nothing new is begun from then on, whatever is being loaded.
    let (to_stop, stopped) = (asked.to_stop.clone(), stop.clone());
    parts.spawn(async move {
        to_stop.cancelled().await;
        stopped.cancel();
    });
    while asked.reload().await {
        tell(Lifecycle::Reloading).await;
        let Some(plan) = stop.run_until_cancelled(plan(options.config_file.clone(), |config| config)).await else {
            break;
        };
        match plan {
            Ok(plan) => {
                watches.stop().await;
                board.forget_gone();
                note_power(&board, &plan.config);
                warnings::tell(&plan.config);
                let secret_files = plan.config.secret_files();
                compat.store(Arc::new(plan.config.compat));
                watches = Watches::start(plan.sources, plan.traps, secret_files, &wakes, &board);
                site.prober.store(plan.prober);
                board.note_reload(true, Timestamp::now());
                info!(
                    "configuration loaded; agents and the host API keep the one that they were started with, power counts from \
                     now on"
                );
            }
            Err(error) => {
                board.note_reload(false, Timestamp::now());
                error!(reason = error.reason(), %error, "configuration refused, the one before stays in force");
            }
        }
        tell(Lifecycle::Ready { status: "Answers".to_owned() }).await;
    }
    info!("stopping");
    tell(Lifecycle::Stopping).await;
    watches.stop().await;
    while parts.join_next().await.is_some() {}
    Ok(Ended::AtWork)
}

/// The program cannot work, or is to end before it does, and an agent may be down because of a rotation. The service manager
/// hears READY all the same: it would let no agent start before.
async fn finish_before_ending(rotations: &Rotations, asked: &Asked) {
    if !asked.to_stop.is_cancelled() {
        error!("the program cannot work; it ends when the rotations that an earlier run left are finished");
    }
    tell(Lifecycle::Ready { status: "Cannot work; finishes the rotations that were left".to_owned() }).await;
    rotations.finish();
    let _ = asked.to_stop.run_until_cancelled(rotations.settled()).await;
}

/// One look at everything: the metrics, and whether every source could be looked at.
///
/// # Errors
/// When the configuration is bad.
pub async fn once(config_file: Option<PathBuf>) -> Result<(Vec<u8>, bool), ServiceError> {
    let Looked { started, config, board, .. } = look_once(config_file).await?;
    let snapshot = board.snapshot();
    PowerLog::default().hear(&snapshot, std::time::Instant::now()).into_iter().for_each(Line::write);
    let mut hosts = std::iter::once(&snapshot).chain(snapshot.outside.values().map(AsRef::as_ref));
    let all_up = hosts.all(|seen| seen.passes().all(|(_, pass)| pass.is_up()));
    Ok((
        Rendered::new(&snapshot, &config.compat).answer(ExpositionFormat::Text, &Program::now(started)).concat(),
        all_up,
    ))
}

/// What was seen in one look at everything.
struct Looked {
    started: Timestamp,
    host: HostName,
    config: Config,
    /// The agents that were found in their usual places.
    installed: Vec<Installed>,
    board: Arc<Board>,
}

async fn look_once(config_file: Option<PathBuf>) -> Result<Looked, ServiceError> {
    let started = Timestamp::now();
    let Plan { host, sources, config, installed, .. } = plan(config_file, Config::beside_running_unit).await?;
    let board = Arc::new(Board::default());
    keeper::Keeper::open(config.state_directory(), Instant::now() + FILES_DEADLINE).await.resume(&board);
    note_power(&board, &config);
    board.expect(sources.iter().map(|source| (source.id().clone(), source.reasons())));
    board.note_reload(true, started);
    secrets::look(&Arc::new(config.secret_files()), &board).await;
    sources::look_at_all(sources, &board).await;
    Ok(Looked { started, host, config, installed, board })
}

/// Loads a configuration by what it says alone: no agent's file system is looked at, which may hang, and whose state is no mistake of the
/// configuration.
fn load(path: &Path) -> Result<Config, ServiceError> {
    let config = config::load(path)?;
    conflicts::check_written(&config.agents)?;
    Ok(config)
}

/// A configuration, as the program starts with it.
struct Start {
    config: Config,
    /// Nothing of it was refused.
    complete: bool,
    /// Absent where nothing is rotated, and nothing was.
    setup: Option<Setup>,
    /// Why nothing but recovery can be done.
    error: Option<ConfigError>,
    /// Until when the files of agents and the state directory are waited for.
    files_by: Instant,
}

async fn loaded(config_file: Option<PathBuf>) -> Result<Start, ConfigError> {
    let load = move || {
        let whole = |config| Salvaged { config, refused: Vec::new(), error: None };
        config_file.map_or_else(|| config::load_default().map(whole), |path| config::load_at_start(&path))
    };
    let loaded = blocking::run(Work::Config, Instant::now() + CONFIG_WITHIN, load).await;
    let Salvaged { config, refused, error } = loaded.map_err(ConfigError::from)??;
    let complete = refused.is_empty();
    let files_by = Instant::now() + FILES_DEADLINE;
    let rotates = config.host_api.is_some() || may_have_rotated(config.state_directory()).await;
    let setup = rotates.then(|| Setup {
        host: host_name(&config),
        agents: config.rotated_agents().cloned().collect(),
        refused,
        power: config.power.clone(),
        state_directory: config.state_directory(),
        lineage: config.host_api.as_ref().and_then(|api| api.lineage.clone()),
    });
    Ok(Start { config, complete, setup, error, files_by })
}

/// Whether an earlier run may have left journals. Of a state directory that hangs that is not known: it is opened, and tried
/// until it is.
async fn may_have_rotated(state_directory: PathBuf) -> bool {
    let search = move || StateDirectory::exists(&state_directory);
    blocking::run(Work::Search, Instant::now() + SEARCH_WITHIN, search).await.unwrap_or_else(|blocked| {
        warn!(reason = blocked.reason(), error = %blocked, "it is not known whether an earlier run has left rotations");
        true
    })
}

async fn plan(config_file: Option<PathBuf>, settled: fn(Config) -> Config) -> Result<Plan, ServiceError> {
    let default = || Ok(config::load_default()?);
    let load = move || config_file.map_or_else(default, |path| load(&path)).map(settled);
    let loaded = blocking::run(Work::Config, Instant::now() + CONFIG_WITHIN, load).await;
    Ok(planned(loaded.map_err(ConfigError::from)??).await?)
}

async fn planned(config: Config) -> Result<Plan, ConfigError> {
    let found = discovery::search_usual(Instant::now() + SEARCH_WITHIN).await;
    let planned = blocking::run(Work::Config, Instant::now() + CONFIG_WITHIN, move || {
        say(&config, &found);
        let host = host_name(&config);
        let sources = sources::plan(&config, &found, &host);
        let traps = Traps::plan(&config, &sources);
        let prober = Prober::new(&config, found.authorities().as_ref()).map(Arc::new);
        Plan { host, config, installed: found.agents, prober, sources, traps }
    });
    planned.await.map_err(ConfigError::from)
}

async fn guard(path: Option<PathBuf>, board: &Arc<Board>) -> Result<Arc<Guard>, GuardError> {
    let board = Arc::clone(board);
    let open = move || Guard::open(path.as_deref(), &board).map(Arc::new);
    blocking::run(Work::WebConfig, Instant::now() + CONFIG_WITHIN, open).await.map_err(ConfigError::from)?
}

/// A service manager that does not listen is no reason to wait.
async fn tell(word: Lifecycle) {
    match blocking::run(Work::Manager, Instant::now() + TELL_DEADLINE, move || platform::announce(&word)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "the service manager was not reached"),
        Err(_) => warn!("the service manager was not reached in time"),
    }
}

fn say(config: &Config, found: &Discovered) {
    if config.discovers() {
        info!(
            agents = found.agents.len(),
            trust_stores = found.trust_stores.len(),
            system_bundle = found.system_bundle.is_some(),
            "searched the usual places"
        );
    } else {
        info!(certificates = config.certificates.len(), tls_endpoints = config.tls_endpoints.len(), "configured");
    }
    if !config.outside_hosts.is_empty() {
        info!(hosts = config.outside_hosts.len(), "hosts are looked at from here");
    }
}

/// The name that the system gives itself; what it says instead, where that is no host name.
fn own_host_name() -> Result<HostName, String> {
    let said = platform::host_name().unwrap_or_default();
    said.to_lowercase().parse().map_err(|_| said)
}

/// The configured name, or what the system calls itself.
fn host_name(config: &Config) -> HostName {
    config.host.clone().or_else(|| own_host_name().ok()).unwrap_or_else(|| {
        warn!("the system's name is no host name; set `host` in the configuration");
        "localhost".parse().expect("localhost is a host name")
    })
}

/// Between two tries to listen for requests to the host API.
const HOST_API_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Offers the host API. A failure leaves the metrics standing, and every rotation that was begun; it is tried again, since an address may
/// come later than this program at a boot, and whoever has taken the port may leave it.
async fn offer_host_api(
    config: HostApiConfig,
    workers: impl Future<Output = Option<Arc<Workers>>>,
    board: Arc<Board>,
    stop: CancellationToken,
) {
    board.note_host_api(false);
    let workers = tokio::select! {
        workers = workers => workers,
        () = stop.cancelled() => return,
    };
    // None when the program ends.
    let Some(workers) = workers else { return };
    let (first, longest) = HOST_API_RETRY;
    let mut backoff = Backoff::at_once(first, longest, Instant::now());
    let mut told = String::new();
    let running = loop {
        match host_api::start(&config, Arc::clone(&workers), Arc::clone(&board), stop.clone()).await {
            Ok(running) => break running,
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    error!(%error, "the host API does not listen; it is tried again, every {} s at most", longest.as_secs());
                    told = text;
                }
            }
        }
        backoff.failed(Instant::now());
        tokio::select! {
            () = sleep_until(backoff.due()) => {}
            () = stop.cancelled() => return,
        }
    };
    info!(address = %running.local_addr, "host API listening");
    board.note_host_api(true);
    if let Err(error) = running.task.await {
        error!(%error, "the host API ended in a bug of this program, please report it");
    }
    board.note_host_api(false);
}

/// The sources of one configuration, being watched.
struct Watches {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Watches {
    fn start(
        sources: Vec<Source>,
        traps: Option<Traps>,
        secret_files: Vec<NamedFile>,
        wakes: &Wakes,
        board: &Arc<Board>,
    ) -> Self {
        wakes.follow(&sources);
        board.expect(sources.iter().map(|source| (source.id().clone(), source.reasons())));
        let (stop, gate, mut tasks) = (CancellationToken::new(), Gate::default(), JoinSet::new());
        for source in sources {
            tasks.spawn(sources::watch(source, Arc::clone(board), gate.clone(), stop.clone()));
        }
        tasks.spawn(secrets::watch(secret_files, Arc::clone(board), stop.clone()));
        match traps {
            Some(traps) => _ = tasks.spawn(traps.receive(Arc::clone(board), stop.clone())),
            None => board.forget_traps(),
        }
        Self { stop, tasks }
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Renders when something has changed, never because somebody asks.
async fn render(site: Arc<Site>, compat: Arc<ArcSwap<Vec<CompatSet>>>, stop: CancellationToken) {
    loop {
        let snapshot = site.board.snapshot();
        let complete = snapshot.is_complete();
        let compat = compat.load_full();
        let rendering = move || {
            let began = std::time::Instant::now();
            (Rendered::new(&snapshot, &compat), began.elapsed())
        };
        let mut pause = RENDER_AFTER;
        if let Ok((rendered, took)) = blocking::run(Work::Render, Instant::now() + RENDER_WITHIN, rendering).await {
            site.rendered.store(Arc::new(rendered));
            pause = (took * RENDER_ONE_IN).clamp(RENDER_AFTER, RENDER_AFTER_AT_MOST);
            if complete && !site.ready.load(Ordering::Relaxed) {
                info!("every source has been looked at");
                site.ready.store(true, Ordering::Relaxed);
                tell(Lifecycle::Status { status: "Answers; every source has been looked at".to_owned() }).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed(&site.board, complete, pause) => {}
        }
    }
}

/// Says what changes of the power. Often enough that what was held back is told soon after its time.
async fn log_power(board: Arc<Board>, stop: CancellationToken) {
    let mut log = PowerLog::default();
    loop {
        log.hear(&board.snapshot(), std::time::Instant::now()).into_iter().for_each(Line::write);
        tokio::select! {
            () = stop.cancelled() => return,
            () = board.power_changed() => {}
            () = sleep(POWER_LOG_EVERY) => {}
        }
    }
}

/// Returns a while after something has changed, or at once with what makes the snapshot a whole one: for that somebody waits.
async fn changed(board: &Board, was_complete: bool, pause: Duration) {
    board.changed().await;
    let mut pause = std::pin::pin!(sleep(pause));
    while was_complete || !board.snapshot().is_complete() {
        tokio::select! {
            () = &mut pause => return,
            () = board.changed() => {}
        }
    }
}
