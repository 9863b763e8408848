//! Repairs the clients of one agent: under the power and beside the rotations that allow it, each within its deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use kagiban_crds::AgentName;
use kagiban_crds::host_api::{MAX_TOLD_CLIENTS, RotationState};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::client::ClientHost;
use super::machine::{AttemptEnd, Listing, RepairResult, Repairs, Tried};
use super::record::RecordFile;
use super::repair::Repair;
use crate::blocking::{self, Work};
use crate::platform::{self, ProgramError};
use crate::rotation::PowerGate;
use crate::rotation::agent::CLIENT_REPAIR_COMMAND;
use crate::snapshot::{Board, Label, RepairsSeen, SourceId, SourceKind, Trouble};
use crate::sources::{Wakes, unexposed};

/// How often it is looked whether there is a newer list.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A list that is asked for and does not come is asked for again.
const ASK_AGAIN: Duration = Duration::from_mins(10);
/// A small file, synced; a disk that writes back gigabytes may take seconds.
const RECORD_WITHIN: Duration = Duration::from_secs(20);

const COLUMN_UNKNOWN: &str =
    "the list does not tell which of its columns has the names of the clients; set clients.list.column";

/// Below the state directory.
const RECORDS: &str = "client-repairs";

/// What the repairs of one agent's clients need.
#[derive(Debug)]
pub struct Setup {
    pub agent: AgentName,
    pub repair: Repair,
    pub state_directory: PathBuf,
    pub power: PowerGate,
    /// Where lists and rotations are seen, and what becomes of repairs is told.
    pub board: Arc<Board>,
    /// Whether the agent is rotated on this host, and rotations are to be asked.
    pub rotates: bool,
}

/// Repairs the clients of one agent.
#[derive(Debug)]
pub struct Repairer {
    agent: AgentName,
    repair: Arc<Repair>,
    record: RecordFile,
    repairs: Repairs,
    power: PowerGate,
    board: Arc<Board>,
    rotates: bool,
    /// Since this program was started.
    results: BTreeMap<&'static str, u64>,
    /// Of the newest list: their names are none of hosts, and reach no program.
    nameless: BTreeSet<Label>,
    /// Of the newest list: those that it does not name.
    unnamed: usize,
    /// Of the newest list: it does not tell which column has the names.
    is_column_unknown: bool,
    trouble: Option<Trouble>,
    told: Option<RepairsSeen>,
}

impl Repairer {
    /// Goes on from what an earlier run has written down.
    pub async fn open(setup: Setup) -> Self {
        let Setup { agent, repair, state_directory, power, board, rotates } = setup;
        let record = RecordFile::at(state_directory.join(RECORDS).join(format!("{agent}.json")));
        let file = record.clone();
        let read = blocking::run(Work::State, Instant::now() + RECORD_WITHIN, move || file.read()).await;
        let repairs =
            match read.map_err(|blocked| blocked.to_string()).map(|read| read.map_err(|error| error.to_string())) {
                Ok(Ok(repairs)) => repairs,
                Ok(Err(error)) | Err(error) => {
                    warn!(%agent, %error, "which clients were tried before is not known; they are begun anew");
                    Repairs::default()
                }
            };
        let results = RepairResult::ALL.map(|result| (result.as_str(), 0)).into();
        let mut repairer = Self {
            agent,
            repair: Arc::new(repair),
            record,
            repairs,
            power,
            board,
            rotates,
            results,
            nameless: BTreeSet::new(),
            unnamed: 0,
            is_column_unknown: false,
            trouble: None,
            told: None,
        };
        repairer.tell(None);
        repairer
    }

    /// Until told to stop. What runs then is waited for no longer, and killed at its deadline: to repair a client twice harms nobody.
    pub async fn run(mut self, wakes: Wakes, stop: CancellationToken) {
        let list_of = SourceId::own(SourceKind::Clients, Label::new(self.agent.as_str()));
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heeded, mut asked) = (None, None::<(Timestamp, Instant)>);
        let work = async {
            loop {
                ticks.tick().await;
                // While none could be made, nobody knows who lacks the certificate.
                let Some(list) = self.listed() else { continue };
                if heeded != Some(list.begun) {
                    heeded = Some(list.begun);
                    self.heed(&list, Timestamp::now()).await;
                }
                self.round(&list).await;
                let is_asked = |(of, at): (Timestamp, Instant)| of == list.begun && at.elapsed() < ASK_AGAIN;
                if self.wants_list(&list) && !asked.is_some_and(is_asked) {
                    asked = Some((list.begun, Instant::now()));
                    wakes.wake(&list_of);
                }
            }
        };
        let _: Option<()> = stop.run_until_cancelled(work).await;
    }

    /// The newest list, with those whose names are none of hosts set apart.
    fn listed(&mut self) -> Option<Listing> {
        let id = SourceId::own(SourceKind::Clients, Label::new(self.agent.as_str()));
        let snapshot = self.board.snapshot();
        let pass = snapshot.sources.get(&id)?.pass.as_deref()?;
        let seen = pass.clients()?;
        if !seen.is_for_repair {
            self.withdraw();
            return None;
        }
        let lacking = snapshot.lacking(seen)?;
        let (mut names, mut nameless) = (BTreeSet::new(), BTreeSet::new());
        for name in lacking.named.iter().chain(&lacking.others) {
            match name.as_str().parse::<ClientHost>() {
                Ok(host) => _ = names.insert(host),
                Err(_) => _ = nameless.insert(Label::new(name.as_str())),
            }
        }
        (self.nameless, self.unnamed, self.is_column_unknown) = (nameless, lacking.nameless, lacking.is_column_unknown);
        // Before the program was begun: who was repaired since may be in it.
        let took = SignedDuration::try_from(pass.took).unwrap_or(SignedDuration::ZERO);
        Some(Listing { begun: pass.ended - took, names, is_complete: lacking.is_complete })
    }

    /// The configuration in force has no `clients.repair` any more, which the one of the start had: nobody is repaired, and nobody stays.
    fn withdraw(&mut self) {
        if self.told.take().is_some() {
            info!(agent = %self.agent, "clients.repair is not in the configuration any more: no further client is repaired");
            self.board.forget_repairs(&Label::new(self.agent.as_str()));
        }
    }

    /// Takes what a list says of the attempts before it.
    async fn heed(&mut self, list: &Listing, now: Timestamp) {
        let before = self.repairs.clone();
        for (result, count) in self.repairs.heed(list, now) {
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

    fn wants_list(&self, list: &Listing) -> bool {
        self.repairs.wants_list(list.begun, Timestamp::now())
    }

    /// Repairs those that are due by this list, as long as nothing forbids it. Returns how many were begun.
    async fn round(&mut self, list: &Listing) -> usize {
        // An older one may name those that were repaired since.
        if self.wants_list(list) {
            return 0;
        }
        let mut waiting = self.repairs.due(list, self.repair.limits, Timestamp::now()).into_iter().peekable();
        if waiting.peek().is_none() {
            self.tell(self.is_column_unknown.then(|| Trouble::new("names_unknown", COLUMN_UNKNOWN)));
            return 0;
        }
        let (mut running, mut begun, mut trouble) = (FuturesUnordered::new(), 0, None);
        loop {
            while trouble.is_none() && running.len() < self.repair.concurrent {
                let Some(client) = waiting.next() else { break };
                match self.begin(&client).await {
                    Ok(before) => {
                        begun += 1;
                        running.push(repaired(self.agent.clone(), Arc::clone(&self.repair), client, before));
                    }
                    Err(why) => trouble = Some(why),
                }
            }
            let Some((client, before, ended)) = running.next().await else { break };
            match ended {
                Ok(how) => self.repairs.end(&client, how, Timestamp::now()),
                // The program is not there, or this host has no process for it: no client is to blame.
                Err(why) => {
                    begun -= 1;
                    self.repairs.take_back(&client, before);
                    trouble.get_or_insert(why);
                }
            }
            if let Err(why) = self.save().await {
                trouble.get_or_insert(why);
            }
        }
        self.tell(trouble);
        begun
    }

    /// Asks whether another client may be begun, and writes down that it is.
    async fn begin(&mut self, client: &ClientHost) -> Result<Option<Tried>, Trouble> {
        self.check_allowed().await?;
        let asked = asked(&self.agent);
        unexposed(CLIENT_REPAIR_COMMAND, &asked, self.repair.command()).await?;
        let before = self.repairs.begin(client, Timestamp::now());
        if let Err(trouble) = self.save().await {
            self.repairs.take_back(client, before);
            return Err(trouble);
        }
        info!(agent = %self.agent, %client, "a client is given the certificate");
        Ok(before)
    }

    /// As for a rotation: nothing is begun but on mains, nor beside one.
    async fn check_allowed(&self) -> Result<(), Trouble> {
        self.power.check().await.map_err(|power| Trouble::new("power_unsafe", power.message))?;
        if !self.rotates {
            return Ok(());
        }
        let snapshot = self.board.snapshot();
        let rotations = snapshot.rotations.get(self.agent.as_str());
        let known = rotations.and_then(|rotations| rotations.known.as_ref());
        match known.map(|seen| seen.state) {
            Some(None | Some(RotationState::Committed | RotationState::RolledBack)) => Ok(()),
            Some(Some(RotationState::Frozen)) => {
                Err(Trouble::new("frozen", "a rotation of this agent is frozen; see to that first"))
            }
            Some(Some(_)) => Err(Trouble::new("rotation_in_progress", "a rotation of this agent is on its way")),
            None => Err(Trouble::new("rotation_unknown", "how the rotations of this agent stand is not known yet")),
        }
    }

    async fn save(&self) -> Result<(), Trouble> {
        let (file, repairs) = (self.record.clone(), self.repairs.clone());
        match blocking::run(Work::State, Instant::now() + RECORD_WITHIN, move || file.write(&repairs)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Trouble::new("record", error)),
            Err(blocked) => Err(Trouble::new("record", format!("{}: {blocked}", self.record.path().display()))),
        }
    }

    /// What the metrics and the host API are told. What keeps clients from being repaired is in the log when it changes.
    fn tell(&mut self, trouble: Option<Trouble>) {
        let agent = &self.agent;
        match &trouble {
            Some(now) if self.trouble.as_ref().map(|before| before.reason) != Some(now.reason) => {
                warn!(%agent, reason = now.reason, detail = %now.message, "no further client is repaired; it is tried again");
            }
            None if self.trouble.is_some() => info!(%agent, "nothing keeps clients from being repaired any more"),
            _ => {}
        }
        let staying = self.repairs.staying(self.repair.limits).map(|client| Label::new(client.as_str()));
        let staying: BTreeSet<_> = staying.chain(self.nameless.iter().cloned()).collect();
        let seen = RepairsSeen {
            results: self.results.clone(),
            not_repaired: staying.len() + self.unnamed,
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

/// No name of an agent has a space: programs that hang take nothing from what starts the service.
fn asked(agent: &AgentName) -> String {
    format!("{agent} clients")
}

/// One client, for as long as its program takes.
async fn repaired(
    agent: AgentName,
    repair: Arc<Repair>,
    client: ClientHost,
    before: Option<Tried>,
) -> (ClientHost, Option<Tried>, Result<AttemptEnd, Trouble>) {
    let ran = platform::run(&asked(&agent), &repair.for_client(&client), repair.deadline).await;
    let ended = match ran {
        Ok(()) => Ok(AttemptEnd::Done),
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
    (client, before, ended)
}

#[cfg(test)]
mod tests {
    use kagiban_agents::Product;

    use super::*;
    use crate::config::PowerConfig;
    use crate::snapshot::{ClientsSeen, LackingClients, Observation, Pass, RotationSeen};

    async fn repairer(root: &std::path::Path, rotates: bool) -> Repairer {
        let scheduled = root.join("scheduled");
        let power: PowerConfig =
            serde_yaml::from_str(&format!("{{assume: mains, scheduledShutdownFile: '{}'}}", scheduled.display()))
                .expect("a section");
        let board = Arc::<Board>::default();
        let repair = serde_yaml::from_str("{command: [deliver, '{client}']}").expect("a section");
        let power = PowerGate::new(&power).watching(Arc::clone(&board));
        let (agent, state_directory) = ("av".parse().expect("a name"), root.join("state"));
        Repairer::open(Setup { agent, repair: Repair::of(&repair, None), state_directory, power, board, rotates }).await
    }

    async fn obstacle(repairer: &Repairer) -> Option<&'static str> {
        repairer.check_allowed().await.err().map(|trouble| trouble.reason)
    }

    /// A push or a renewal of the server's certificate makes all of what is delivered meanwhile useless.
    #[tokio::test]
    async fn nothing_is_begun_beside_a_rotation_nor_after_one_that_froze_nor_without_mains() {
        let root = tempfile::tempdir().expect("directory");
        let repairer = repairer(root.path(), true).await;
        assert_eq!(obstacle(&repairer).await, Some("rotation_unknown"), "its journal was not read yet");
        for (state, expected) in [
            (None, None),
            (Some(RotationState::Renewing), Some("rotation_in_progress")),
            (Some(RotationState::RolledBack), None),
            (Some(RotationState::Frozen), Some("frozen")),
            (Some(RotationState::Committed), None),
        ] {
            let seen = RotationSeen { state, ..RotationSeen::default() };
            repairer.board.note_rotation(&Label::new("av"), None, Some(seen));
            assert_eq!(obstacle(&repairer).await, expected, "{state:?}");
        }
        std::fs::write(root.path().join("scheduled"), b"USEC=1\n").expect("written");
        assert_eq!(obstacle(&repairer).await, Some("power_unsafe"));
    }

    fn publish(repairer: &Repairer, lacking: LackingClients, is_for_repair: bool) {
        let agent = Label::new("av");
        let id = SourceId::own(SourceKind::Clients, agent.clone());
        let changes = repairer.board.certificate_changes(&agent);
        repairer.board.expect([(id.clone(), &[][..])]);
        let (product, lacking) = (Product::ApexOne, Some(lacking));
        let seen = ClientsSeen { agent, product, lacking, listed_at: None, changes, is_for_repair };
        let (ended, took) = (Timestamp::now(), Duration::ZERO);
        repairer.board.publish(&id, Pass { observation: Observation::Clients(seen), trouble: None, ended, took });
    }

    fn told(repairer: &Repairer) -> Option<(usize, Option<&'static str>)> {
        let seen = repairer.board.snapshot().repairs.get(&Label::new("av")).cloned()?;
        Some((seen.not_repaired, seen.trouble.map(|trouble| trouble.reason)))
    }

    #[tokio::test]
    async fn those_whom_the_list_does_not_name_stay_and_why_is_told() {
        let root = tempfile::tempdir().expect("directory");
        let mut repairer = repairer(root.path(), false).await;
        let unknown = LackingClients { count: 3, nameless: 3, is_column_unknown: true, ..LackingClients::default() };
        for (lacking, expected) in [
            (unknown, (3, Some("names_unknown"))),
            (LackingClients { count: 1, nameless: 1, ..LackingClients::default() }, (1, None)),
            (LackingClients { is_complete: true, ..LackingClients::default() }, (0, None)),
        ] {
            publish(&repairer, lacking, true);
            let list = repairer.listed().expect("a list");
            repairer.heed(&list, Timestamp::now()).await;
            assert_eq!(repairer.round(&list).await, 0);
            assert_eq!(told(&repairer), Some(expected));
        }
    }

    /// The list of a configuration without `clients.repair` leaves names out.
    #[tokio::test]
    async fn nobody_is_repaired_by_a_list_of_before_a_rotation_nor_once_the_configuration_has_no_repair() {
        let root = tempfile::tempdir().expect("directory");
        let mut repairer = repairer(root.path(), true).await;
        let list = || LackingClients { is_complete: true, ..LackingClients::default() };
        publish(&repairer, list(), true);
        assert!(repairer.listed().is_some_and(|list| list.is_complete));
        publish(&repairer, LackingClients { is_complete: false, ..list() }, true);
        assert!(repairer.listed().is_some_and(|list| !list.is_complete));
        let committed =
            RotationSeen { generation: 1, state: Some(RotationState::Committed), ..RotationSeen::default() };
        repairer.board.note_rotation(&Label::new("av"), None, Some(committed));
        assert!(repairer.listed().is_none());
        publish(&repairer, list(), true);
        assert!(repairer.listed().is_some() && told(&repairer).is_some());
        publish(&repairer, list(), false);
        assert!(repairer.listed().is_none() && told(&repairer).is_none());
    }

    #[tokio::test]
    async fn where_nothing_is_rotated_no_rotation_is_waited_for() {
        let root = tempfile::tempdir().expect("directory");
        assert_eq!(obstacle(&repairer(root.path(), false).await).await, None);
    }
}
