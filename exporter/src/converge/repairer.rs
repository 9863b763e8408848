//! Repairs the clients of one agent: under the power and beside the rotations that allow it, each within its deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use kagiban_crds::host_api::{MAX_TOLD_CLIENTS, PowerState, RotationState};
use kagiban_crds::{AgentName, HostName, LeafSha256};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::client::ClientHost;
use super::machine::{AttemptEnd, Listing, RepairResult, Repairs, Tried, WantedFor};
use super::record::{RecordError, RecordFile};
use super::repair::ClientRepair;
use crate::blocking::{self, Work};
use crate::config::AgentConfig;
use crate::platform::{self, FileLock, ProgramError};
use crate::rotation::agent::{Agent, CLIENT_REPAIR_COMMAND};
use crate::rotation::{self, CLIENT_REPAIRS, Deliveries, Delivery, Hindrance, PowerGate, StateDirectory};
use crate::snapshot::{
    AgentRotations, Board, HELD_FOR, Label, Pass, READING, RepairsSeen, Snapshot, SourceId, SourceKind, Trouble,
};
use crate::sources::{Wakes, unexposed};
use crate::trouble::one_of;

/// How often it is looked whether there is a newer list.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A list that is asked for and does not come is asked for again. Pauses end at any time: they have none made more often than that, since
/// each has the server look through all of its clients.
const ASK_AGAIN: Duration = Duration::from_mins(10);
/// After a round that this host was to blame for, such as by a program that is not there; each further rest is twice as long.
const FIRST_REST: Duration = Duration::from_mins(1);
/// So long it takes at most until it is seen that the cause is gone.
const LONGEST_REST: Duration = Duration::from_mins(10);
/// A small file, synced; a disk that writes back gigabytes may take seconds.
const RECORD_WITHIN: Duration = Duration::from_secs(20);
/// For programs that were killed to end; what a file system holds is not waited for.
const END_OF_KILLED: Duration = Duration::from_secs(5);

const COLUMN_UNKNOWN: &str =
    "the list does not tell which of its columns has the names of the clients; set clients.list.column";

const UNREAD: &str = "rotation_unread";
/// What of the programs' reasons is not told by a word of its own.
const NOT_STARTED: &str = "not_started";
const NOT_ENDED: &str = "as many programs as may run at once were killed and do not end, such as in a file system that hangs; end them, or start \
                         this host anew";
const IN_USE: &str = "another kagiban-exporter repairs these clients, or renews their server, with the same state directory; stop one of them";

/// What the repairs of one agent's clients need.
#[derive(Debug)]
pub struct Setup {
    pub config: AgentConfig,
    pub repair: ClientRepair,
    pub state_directory: PathBuf,
    pub power: PowerGate,
    /// Beside which orders the clients are given the certificate.
    pub deliveries: Deliveries,
    /// This host, which repairs itself under no name.
    pub host: HostName,
    /// Where lists and rotations are seen, and what becomes of repairs is told.
    pub board: Arc<Board>,
    /// Whether the agent is rotated on this host, and rotations are to be asked.
    pub rotates: bool,
}

/// Repairs the clients of one agent.
#[derive(Debug)]
pub struct Repairer {
    agent: AgentName,
    config: AgentConfig,
    /// What lists its clients.
    source: SourceId,
    repair: Arc<ClientRepair>,
    record: RecordFile,
    /// Where whoever rotates the agent keeps its journal.
    state: StateDirectory,
    /// Held for as long as this program may begin a client, or one is given the certificate: nobody else begins one meanwhile.
    /// Whoever runs a program has it too.
    lock: Option<Arc<FileLock>>,
    /// Read under the lock; nothing is known of them before that.
    repairs: Repairs,
    power: PowerGate,
    deliveries: Deliveries,
    host: HostName,
    board: Arc<Board>,
    rotates: bool,
    /// Since this program was started.
    results: BTreeMap<&'static str, u64>,
    /// The board has had a place for lists.
    is_listed: bool,
    /// The newest list that counted.
    newest: Option<Newest>,
    /// When the list was begun that was heeded last.
    heeded: Option<Timestamp>,
    trouble: Option<Trouble>,
    rest: Rest,
    told: Option<RepairsSeen>,
}

/// A list, taken apart.
#[derive(Debug)]
struct Newest {
    pass: Arc<Pass>,
    list: Arc<Listing>,
    /// Their names are none of hosts, or this one's, and reach no program.
    nameless: BTreeSet<Label>,
    /// How many it does not name.
    unnamed: usize,
    /// It does not tell which column has the names.
    is_column_unknown: bool,
}

/// As long as a program of a repair may be there no order to renew the server is taken, and no other exporter begins a client.
#[derive(Debug)]
struct Kept {
    delivery: Delivery,
    #[expect(dead_code, reason = "it is held")]
    lock: Option<Arc<FileLock>>,
}

/// None is begun for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rest {
    length: Duration,
    until: Option<Instant>,
}

/// When a list was last asked for, and than which it was to be newer.
#[derive(Debug, Default)]
struct ListAsked(Option<(Timestamp, Instant)>);

impl Repairer {
    /// Goes on from what an earlier run has written down.
    pub async fn open(setup: Setup) -> Self {
        let Setup { config, repair, state_directory, power, deliveries, host, board, rotates } = setup;
        let agent = config.name.clone();
        let record = RecordFile::at(state_directory.join(CLIENT_REPAIRS).join(format!("{agent}.json")));
        let results = RepairResult::ALL.map(|result| (result.as_str(), 0)).into();
        let mut repairer = Self {
            source: SourceId::own(SourceKind::Clients, Label::new(agent.as_str())),
            agent,
            config,
            repair: Arc::new(repair),
            record,
            state: StateDirectory::at(&state_directory),
            lock: None,
            repairs: Repairs::default(),
            power,
            deliveries,
            host,
            board,
            rotates,
            results,
            is_listed: false,
            newest: None,
            heeded: None,
            trouble: None,
            rest: Rest::default(),
            told: None,
        };
        let alone = repairer.be_alone().await;
        repairer.tell(alone.err());
        repairer
    }

    /// Until told to stop. What runs then is killed with what it has started; its client counts as cut off, and is due again after its
    /// pause. Nobody else begins one before that.
    pub async fn run(mut self, wakes: Wakes, stop: CancellationToken) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = ListAsked::default();
        let work = async {
            loop {
                ticks.tick().await;
                let Some(list) = self.list_to_go_by().await else { continue };
                if self.heeded != Some(list.begun) {
                    self.heed(&list, Timestamp::now()).await;
                }
                self.round(&list).await;
                if self.wants_list(&list).is_some_and(|wanted| asked.ask(wanted, list.begun, Instant::now())) {
                    wakes.wake(&self.source);
                }
            }
        };
        let _: Option<()> = stop.run_until_cancelled(work).await;
        self.see_all_gone().await;
    }

    /// The newest list, where this program is the one that repairs by it.
    async fn list_to_go_by(&mut self) -> Option<Arc<Listing>> {
        if self.is_withdrawn() {
            self.withdraw();
            return None;
        }
        // Whoever rotates the agent has its clients, too: orders would wait for this one for ever, which begins nobody.
        if let Err(why) = self.check_readable() {
            self.lock = None;
            self.tell(Some(why));
            return None;
        }
        let was_alone = self.lock.is_some();
        if let Err(trouble) = self.be_alone().await {
            self.tell(Some(trouble));
            return None;
        }
        if !was_alone {
            self.tell(None);
        }
        let list = self.listed();
        // While none could be made nobody knows who lacks the certificate. What held repairs up may be over meanwhile, and is told anew by
        // the next list.
        if list.is_none() && self.rest.is_over(Instant::now()) {
            self.tell(None);
        }
        list
    }

    /// Takes the lock, where it is not held yet, and goes on from what whoever had it before has written down.
    async fn be_alone(&mut self) -> Result<(), Trouble> {
        if self.lock.is_some() {
            return Ok(());
        }
        let (file, deliveries, agent) = (self.record.clone(), self.deliveries.clone(), self.agent.clone());
        let take = move || deliveries.lock(&agent).map(|lock| lock.map(|lock| (lock, file.read())));
        let taken = blocking::run(Work::State, Instant::now() + RECORD_WITHIN, take).await;
        let failed = |why: &dyn std::fmt::Display| {
            Trouble::new("record", format!("the lock beside {}: {why}", self.record.path().display()))
        };
        let (lock, read) = match taken {
            Ok(Ok(Some(taken))) => taken,
            Ok(Ok(None)) => return Err(Trouble::new("in_use", IN_USE)),
            Ok(Err(error)) => return Err(failed(&error)),
            Err(blocked) => return Err(failed(&blocked)),
        };
        self.repairs = match read {
            Ok(repairs) => repairs,
            // What cannot be read now may be whole, and nothing is written over it.
            Err(RecordError::File(error)) => {
                let remedy = "which clients were tried before is in it; without it all are begun anew";
                return Err(Trouble::new("record", format!("{error}: {remedy}")));
            }
            Err(error @ RecordError::NotARecord { .. }) => {
                let file = self.record.clone();
                let moved = blocking::run(Work::State, Instant::now() + RECORD_WITHIN, move || file.set_aside()).await;
                let moved = moved.map_err(|why| why.to_string()).and_then(|moved| moved.map_err(|why| why.to_string()));
                let aside =
                    moved.map_err(|why| Trouble::new("record", format!("{error}; it is not moved aside: {why}")))?;
                warn!(
                    agent = %self.agent, %error, aside = %aside.display(),
                    "which clients were tried before is not known; they are begun anew"
                );
                Repairs::default()
            }
        };
        self.lock = Some(lock);
        Ok(())
    }

    /// Waits for those that were killed.
    async fn see_all_gone(&self) {
        let until = Instant::now() + END_OF_KILLED;
        for slot in 1..=self.repair.concurrent {
            let left = until.saturating_duration_since(Instant::now());
            if !platform::is_gone(&counted_as(&self.agent, slot), left).await {
                warn!(agent = %self.agent, "a program that repairs a client was killed and does not end: a file system hangs");
            }
        }
    }

    /// Whether the configuration in force has no `clients.repair`, by which the newest list was made, or lists no clients any more.
    fn is_withdrawn(&mut self) -> bool {
        let is_for_repair = |snapshot: &Snapshot| {
            let listing = snapshot.sources.get(&self.source)?;
            Some(listing.pass.as_ref().and_then(|pass| pass.clients()).is_none_or(|clients| clients.is_for_repair))
        };
        let is_for_repair = self.board.read(is_for_repair);
        self.is_listed |= is_for_repair.is_some();
        !is_for_repair.unwrap_or(!self.is_listed)
    }

    /// The newest list, as long as it counts. It is taken apart once.
    fn listed(&mut self) -> Option<Arc<Listing>> {
        let (pass, counts) = self.board.read(|snapshot| {
            let pass = snapshot.sources.get(&self.source)?.pass.clone()?;
            let counts = snapshot.lacking(pass.clients()?).is_some();
            Some((pass, counts))
        })?;
        if !counts {
            return None;
        }
        if self.newest.as_ref().is_none_or(|newest| !Arc::ptr_eq(&newest.pass, &pass)) {
            self.newest = Newest::of(pass, &self.host);
        }
        self.newest.as_ref().map(|newest| Arc::clone(&newest.list))
    }

    /// No other look at the clients has ended since.
    fn is_newest(&self, list: &Listing) -> bool {
        let begun_at = |snapshot: &Snapshot| Some(snapshot.sources.get(&self.source)?.pass.as_deref()?.begun());
        self.board.read(begun_at) == Some(list.begun)
    }

    /// The configuration in force has no `clients.repair` any more, which the one of the start had: nobody is repaired, and nobody stays.
    fn withdraw(&mut self) {
        // Another program may have it, once none of ours is left.
        self.lock = None;
        if self.told.take().is_some() {
            info!(agent = %self.agent, "clients.repair is not in the configuration any more: no further client is repaired");
            self.board.forget_repairs(&Label::new(self.agent.as_str()));
        }
    }

    /// Takes what a list says of the attempts before it.
    async fn heed(&mut self, list: &Listing, now: Timestamp) {
        let before = self.repairs.clone();
        self.heeded = Some(list.begun);
        let leaf = self.leaf().await;
        if self.repairs.note_leaf(leaf) {
            info!(agent = %self.agent, "the server has another certificate than was known of: its clients are begun anew");
        }
        for (result, count) in self.repairs.heed(list, leaf.is_some(), now) {
            *self.results.entry(result.as_str()).or_default() += count;
            info!(agent = %self.agent, clients = count, result = result.as_str(), "the list says what came of earlier repairs");
        }
        // What is not written down is heard again of the next list.
        if self.repairs != before
            && let Err(Trouble { reason, message }) = self.save().await
        {
            warn!(agent = %self.agent, reason, error = %message, "what came of repairs is known in memory only");
        }
        self.tell(self.trouble.clone());
    }

    /// The certificate that the server has, as its rotations see it; none where it cannot be seen.
    async fn leaf(&self) -> Option<LeafSha256> {
        let config = self.config.clone();
        let resolve = move || Agent::resolve(&config);
        let agent = blocking::run(Work::LeafFiles, Instant::now() + RECORD_WITHIN, resolve).await.ok()?.ok()?;
        let leaf = rotation::look(&agent.leaf_place).await.ok()?;
        Some(LeafSha256::new(leaf.sha256()))
    }

    fn wants_list(&self, list: &Listing) -> Option<WantedFor> {
        self.repairs.wants_list(list.begun, Timestamp::now())
    }

    /// Repairs those that are due by this list, as long as nothing forbids it and there is no newer one.
    async fn round(&mut self, list: &Listing) {
        if self.wants_list(list) == Some(WantedFor::Attempt) || !self.rest.is_over(Instant::now()) {
            return;
        }
        let mut waiting = self.repairs.due(list, self.repair.limits, Timestamp::now()).into_iter().peekable();
        if waiting.peek().is_none() {
            let is_column_unknown = self.newest.as_ref().is_some_and(|newest| newest.is_column_unknown);
            self.tell(is_column_unknown.then(|| Trouble::new("names_unknown", COLUMN_UNKNOWN)));
            return;
        }
        let mut running = FuturesUnordered::new();
        let mut free = self.free_slots().await;
        if free.is_empty() {
            self.tell(Some(Trouble::new("not_ended", NOT_ENDED)));
            return;
        }
        // What forbids it may pass at any time; what is broken is not tried over and over.
        let (mut forbidden, mut broken, mut has_run) = (None, None, false);
        loop {
            while forbidden.is_none() && broken.is_none() && self.is_newest(list) {
                let Some(&slot) = free.first() else { break };
                let Some(client) = waiting.next() else { break };
                let delivery = match self.check_allowed().await {
                    Ok(delivery) => delivery,
                    Err(why) => {
                        self.tell(Some(why.clone()));
                        forbidden = Some(why);
                        break;
                    }
                };
                match self.begin(&client, slot).await {
                    Ok(before) => {
                        // After a rest it is told when the program has run.
                        if self.rest == Rest::default() {
                            self.tell(None);
                        }
                        free.remove(&slot);
                        let (agent, repair) = (self.agent.clone(), Arc::clone(&self.repair));
                        let kept = Kept { delivery, lock: self.lock.clone() };
                        running.push(repaired(agent, slot, repair, client, before, kept));
                    }
                    Err(why) => broken = Some(why),
                }
            }
            let Some(Attempt { slot, client, before, ended, is_gone }) = running.next().await else { break };
            if is_gone {
                free.insert(slot);
            }
            match ended {
                Ok(how) => {
                    has_run = true;
                    self.repairs.end(&client, how, Timestamp::now());
                }
                // The program is not there, or this host has no process for it: no client is to blame.
                Err(why) => {
                    self.repairs.take_back(&client, before);
                    broken.get_or_insert(why);
                }
            }
            if let Err(why) = self.save().await {
                broken.get_or_insert(why);
            }
        }
        if broken.is_some() {
            self.rest = self.rest.longer(Instant::now());
        } else if has_run {
            self.rest = Rest::default();
        }
        self.tell(broken.or(forbidden));
    }

    /// Those in which nothing runs: what was killed and does not end keeps its own.
    async fn free_slots(&self) -> BTreeSet<usize> {
        let mut free = BTreeSet::new();
        for slot in 1..=self.repair.concurrent {
            if platform::is_gone(&counted_as(&self.agent, slot), Duration::ZERO).await {
                free.insert(slot);
            }
        }
        free
    }

    /// Looks at the program, and writes down that a client is begun.
    async fn begin(&mut self, client: &ClientHost, slot: usize) -> Result<Option<Tried>, Trouble> {
        let name = counted_as(&self.agent, slot);
        unexposed(CLIENT_REPAIR_COMMAND, &name, self.repair.command()).await?;
        let before = self.repairs.begin(client, Timestamp::now());
        if let Err(trouble) = self.save().await {
            self.repairs.take_back(client, before);
            return Err(trouble);
        }
        Ok(before)
    }

    /// As for a rotation: nothing is begun but on mains, nor beside one. For as long as it is held none begins.
    async fn check_allowed(&self) -> Result<Delivery, Trouble> {
        self.power.check().await.map_err(|power| Trouble::new(power_reason(power.state), power.message))?;
        if self.rotates {
            self.board.read(|snapshot| check_rotations(snapshot.rotations.get(self.agent.as_str())))?;
        } else {
            self.check_journal().await?;
        }
        self.deliveries.begin(&self.agent).map_err(|hindrance| match hindrance {
            Hindrance::Rotated => rotated(),
            Hindrance::Ordered => {
                Trouble::new("rotation_ordered", "an order to rotate this agent waits until no client is begun")
            }
        })
    }

    /// Whether it can be known how the agent's rotations stand, as where no other exporter has the state directory.
    fn check_readable(&self) -> Result<(), Trouble> {
        match self.board.read(|snapshot| check_rotations(snapshot.rotations.get(self.agent.as_str()))) {
            Err(why) if self.rotates && why.reason == UNREAD => Err(why),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Where nothing is rotated by this program another one with its state directory may do it, and have been started anew in the middle.
    async fn check_journal(&self) -> Result<(), Trouble> {
        let (state, agent) = (self.state.clone(), self.agent.clone());
        let peek = move || rotation::peek(&state, &agent);
        let known = match blocking::run(Work::State, Instant::now() + RECORD_WITHIN, peek).await {
            Ok(Ok(known)) => known,
            Ok(Err(why)) => return Err(unread(&why)),
            Err(blocked) => return Err(unread(&blocked)),
        };
        check_state(known.and_then(|record| record.rotation).map(|rotation| rotation.report().state))
    }

    async fn save(&self) -> Result<(), Trouble> {
        let (file, repairs) = (self.record.clone(), self.repairs.clone());
        match blocking::run(Work::State, Instant::now() + RECORD_WITHIN, move || file.write(&repairs)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Trouble::new("record", error)),
            Err(blocked) => Err(Trouble::new("record", format!("{}: {blocked}", self.record.path().display()))),
        }
    }

    /// What the page, the metrics and the host API are told. What keeps clients from being repaired is in the log too, when it changes.
    fn tell(&mut self, trouble: Option<Trouble>) {
        let of_set = |why: Trouble| Trouble { reason: one_of(&HELD_FOR, why.reason, NOT_STARTED), ..why };
        let (agent, trouble) = (&self.agent, trouble.map(of_set));
        match &trouble {
            Some(now) if self.trouble.as_ref().map(|before| before.reason) != Some(now.reason) => {
                warn!(%agent, reason = now.reason, detail = %now.message, "no further client is repaired; it is tried again");
            }
            None if self.trouble.is_some() => info!(%agent, "nothing keeps clients from being repaired any more"),
            _ => {}
        }
        let staying = self.repairs.staying(self.repair.limits).map(|client| Label::new(client.as_str()));
        let nameless = self.newest.iter().flat_map(|newest| &newest.nameless);
        let mut staying: BTreeSet<_> = staying.chain(nameless.cloned()).collect();
        let unnamed = self.newest.as_ref().map_or(0, |newest| newest.unnamed);
        let never_tried = self.newest.as_ref().map_or(0, |newest| newest.nameless.len()) + unnamed;
        // Of what was not read yet nobody is told that it is nobody.
        let is_known = self.lock.is_some();
        let not_repaired = is_known.then_some(staying.len() + unnamed);
        if !is_known {
            staying.clear();
        }
        let seen = RepairsSeen {
            results: self.results.clone(),
            not_repaired,
            never_tried: is_known.then_some(never_tried),
            list: self.heeded,
            names: staying.into_iter().take(MAX_TOLD_CLIENTS).collect(),
            trouble: trouble.clone(),
        };
        // Who reads the board is woken by what is new alone.
        if self.told.as_ref() != Some(&seen) {
            self.board.note_repairs(&Label::new(agent.as_str()), seen.clone());
            self.told = Some(seen);
        }
        self.trouble = trouble;
    }
}

/// A battery passes by itself. For the others a person may be needed, such as where no UPS can be asked.
const fn power_reason(state: PowerState) -> &'static str {
    match state {
        PowerState::OnBattery | PowerState::LowBattery => "on_battery",
        PowerState::Mains | PowerState::ShutdownPending | PowerState::Unknown | PowerState::Stale => "power_unsafe",
    }
}

/// Nothing is begun beside a rotation, nor before it is known whether there is one.
fn check_rotations(rotations: Option<&AgentRotations>) -> Result<(), Trouble> {
    let seen = rotations.and_then(|rotations| rotations.known.as_ref());
    match seen.map(|seen| seen.state) {
        Some(state) => check_state(state),
        None => match rotations.and_then(|rotations| rotations.trouble.as_ref()) {
            Some(Trouble { reason, message }) if *reason != READING => {
                Err(unread(&format_args!("{message} ({reason})")))
            }
            _ => Err(Trouble::new("rotation_unknown", "how the rotations of this agent stand is not known yet")),
        },
    }
}

fn check_state(newest: Option<RotationState>) -> Result<(), Trouble> {
    match newest {
        None | Some(RotationState::Committed | RotationState::RolledBack) => Ok(()),
        Some(RotationState::Frozen) => {
            Err(Trouble::new("frozen", "a rotation of this agent is frozen; see to that first"))
        }
        Some(_) => Err(rotated()),
    }
}

fn unread(why: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(UNREAD, format!("how the rotations of this agent stand cannot be known: {why}"))
}

impl Kept {
    /// Whether the program is gone. One that was killed and does not end holds up no other client, and is held for as long as it is there.
    async fn until_gone(mut self, name: String, patience: Duration) -> bool {
        if platform::is_gone(&name, patience).await {
            return true;
        }
        warn!(
            program = name,
            "a program that repairs a client was killed and does not end: no order to renew the server is taken"
        );
        self.delivery.note_left();
        tokio::spawn(async move {
            while !platform::is_gone(&name, Duration::ZERO).await {
                sleep(LOOK_EVERY).await;
            }
            drop(self);
        });
        false
    }
}

impl Rest {
    fn is_over(self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn longer(self, now: Instant) -> Self {
        let length = (self.length * 2).clamp(FIRST_REST, LONGEST_REST);
        Self { length, until: Some(now + length) }
    }
}

impl ListAsked {
    /// Whether a list is asked for now.
    fn ask(&mut self, wanted: WantedFor, newer_than: Timestamp, now: Instant) -> bool {
        let is_early = self.0.is_some_and(|(than, at)| {
            (wanted == WantedFor::Pause || than == newer_than) && now.duration_since(at) < ASK_AGAIN
        });
        if !is_early {
            self.0 = Some((newer_than, now));
        }
        !is_early
    }
}

impl Newest {
    /// None of a look that brought no list.
    fn of(pass: Arc<Pass>, own: &HostName) -> Option<Self> {
        let lacking = pass.clients()?.lacking.as_ref()?;
        let (mut names, mut nameless) = (BTreeSet::new(), BTreeSet::new());
        for name in lacking.named.iter().chain(&lacking.others) {
            match ClientHost::try_from(name.clone()) {
                Ok(host) if !host.is_here(own) => _ = names.insert(host),
                Ok(_) | Err(_) => _ = nameless.insert(Label::new(name.as_str())),
            }
        }
        let (unnamed, is_column_unknown) = (lacking.nameless, lacking.is_column_unknown);
        let list = Arc::new(Listing { begun: pass.begun(), names, is_complete: lacking.is_complete });
        Some(Self { pass, list, nameless, unnamed, is_column_unknown })
    }
}

fn rotated() -> Trouble {
    Trouble::new("rotation_in_progress", "a rotation of this agent is on its way")
}

/// What the commands of one of those that run at once are counted under. No name of an agent has a space: programs that hang take nothing
/// from what starts the service, nor from the list, nor from each other. On Windows also one that runs counts.
fn counted_as(agent: &AgentName, slot: usize) -> String {
    format!("{agent} client {slot}")
}

/// What came of one client's program.
struct Attempt {
    slot: usize,
    client: ClientHost,
    /// What was known of it before.
    before: Option<Tried>,
    ended: Result<AttemptEnd, Trouble>,
    is_gone: bool,
}

/// One client, for as long as its program takes. What would be left of that when nobody waits any more is killed.
async fn repaired(
    agent: AgentName,
    slot: usize,
    repair: Arc<ClientRepair>,
    client: ClientHost,
    before: Option<Tried>,
    kept: Kept,
) -> Attempt {
    let name = counted_as(&agent, slot);
    let ran = platform::run_while_awaited(&name, &repair.for_client(&client), repair.deadline).await;
    let is_gone = kept.until_gone(name, END_OF_KILLED).await;
    let ended = match ran {
        Ok(()) => {
            info!(%agent, %client, "the program that repairs a client has ended well; the next list says what came of it");
            Ok(AttemptEnd::Done)
        }
        Err(error) => {
            info!(%agent, %client, reason = error.reason(), %error, "the program that repairs a client did not do its work");
            match error {
                ProgramError::Failed { .. } | ProgramError::TooMuch { .. } | ProgramError::Lost { .. } => {
                    Ok(AttemptEnd::Failed)
                }
                ProgramError::TimedOut { .. } => Ok(AttemptEnd::TimedOut),
                ProgramError::NotRunnable { .. }
                | ProgramError::NotStarted { .. }
                | ProgramError::NotLaunched { .. }
                | ProgramError::Service(_) => {
                    Err(Trouble::new(error.reason(), format!("{CLIENT_REPAIR_COMMAND}: {error}")))
                }
            }
        }
    };
    Attempt { slot, client, before, ended, is_gone }
}

#[cfg(test)]
mod tests;
