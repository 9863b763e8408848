//! Which alerts were seen: each once, whichever mails and logs tell of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::entry::{Entry, EntryKind};
use crate::snapshot::{AlertCounts, FolderAlerts, LeftOutSenders, Sender, SenderSeen};

/// Alerts count for as long.
pub(super) const WINDOW: Duration = Duration::from_hours(24);
/// A terminal is told of for as long after its last failure.
pub(super) const KEPT: Duration = Duration::from_hours(30 * 24);
/// Clocks of two hosts differ; what is further ahead has a wrong date, and would count for years.
const AHEAD: Duration = Duration::from_hours(1);
/// Terminals that are told one by one. A site with as many that fail has one fault, and not a hundred.
pub(super) const MAX_SENDERS: usize = 100;
/// What is kept in memory; who forges mails makes no more. Ten thousand terminals that fail five times a day.
const MAX_KEPT: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Those of the window, with their time.
    alerts: BTreeMap<Key, Timestamp>,
    /// Those whose own time is no help, and when they were seen first: a file that holds them and grows makes them no younger, and a clock
    /// that comes up to them does not either.
    first: BTreeMap<Key, Timestamp>,
    /// When each terminal failed last.
    last: BTreeMap<Sender, Timestamp>,
    /// The terminals that were told one by one at last: while they fail, others do not take their places.
    told: BTreeSet<Sender>,
}

/// What makes two alerts one. A server and its mails tell no more of a second: two failures of one terminal within it are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    At(Timestamp, EntryKind),
    /// Without a time: the same text.
    Text(u64, EntryKind),
}

impl Ledger {
    /// Notes an alert of a text with this digest. One without a time that can be right is as old as what it was read from was when it was
    /// seen there first. What its time is called makes it the same alert whatever our clock says then and later.
    pub(super) fn note(&mut self, entry: &Entry, digest: u64, arrived: Timestamp, now: Timestamp) {
        let key = entry.at.map_or_else(|| Key::Text(digest, entry.kind.clone()), |at| Key::At(at, entry.kind.clone()));
        let usable = entry.at.filter(|at| *at <= now + AHEAD && !self.first.contains_key(&key));
        let at = usable.map_or_else(|| *self.first.entry(key.clone()).or_insert(arrived.min(now)), |at| at.min(now));
        shorten(&mut self.first);
        if at > now - WINDOW {
            self.alerts.entry(key).or_insert(at);
            shorten(&mut self.alerts);
        }
        if let EntryKind::Failed(sender) = &entry.kind
            && at > now - KEPT
        {
            let last = self.last.entry(sender.clone()).or_insert(at);
            *last = at.max(*last);
            shorten(&mut self.last);
        }
    }

    pub(super) fn counts(&mut self, now: Timestamp) -> AlertCounts {
        self.alerts.retain(|_, at| *at > now - WINDOW);
        self.last.retain(|_, at| *at > now - KEPT);
        let mut failures: BTreeMap<&Sender, usize> = BTreeMap::new();
        let (mut folder, mut ahead) = (FolderAlerts::default(), 0);
        for key in self.alerts.keys() {
            let (Key::At(_, kind) | Key::Text(_, kind)) = key;
            match kind {
                EntryKind::Failed(sender) => *failures.entry(sender).or_default() += 1,
                EntryKind::Folder { is_false: true, .. } => folder.false_ones += 1,
                EntryKind::Folder { is_false: false, .. } => folder.unexplained += 1,
            }
            ahead += usize::from(matches!(key, Key::At(at, _) if *at > now + AHEAD));
        }
        let failures = |sender: &Sender| failures.get(sender).copied().unwrap_or_default();
        let mut senders: Vec<_> = self
            .last
            .iter()
            .map(|(sender, last)| SenderSeen { sender: sender.clone(), failures: failures(sender), last: *last })
            .collect();
        senders.sort_by(|one, other| other.last.cmp(&one.last).then_with(|| one.sender.cmp(&other.sender)));
        senders.sort_by_key(|it| !(it.failures > 0 && self.told.contains(&it.sender)));
        let others = senders.split_off(senders.len().min(MAX_SENDERS));
        senders.sort_by(|one, other| other.last.cmp(&one.last).then_with(|| one.sender.cmp(&other.sender)));
        self.told = senders.iter().map(|it| it.sender.clone()).collect();
        let left_out = LeftOutSenders { senders: others.len(), failures: others.iter().map(|it| it.failures).sum() };
        AlertCounts { senders, left_out, folder, ahead, is_part: false }
    }
}

/// Whoever panicked with it has noted whole alerts only.
pub(super) fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of twice as many as are kept, the newer half: so that one alert more costs nothing.
fn shorten<K: Ord>(kept: &mut BTreeMap<K, Timestamp>) {
    if kept.len() >= 2 * MAX_KEPT {
        let mut times: Vec<_> = kept.values().copied().collect();
        let (_, middle, _) = times.select_nth_unstable(MAX_KEPT);
        let (middle, mut spare) = (*middle, kept.len() - MAX_KEPT);
        kept.retain(|_, at| {
            let goes = spare > 0 && *at <= middle;
            spare -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
    const HOUR: Duration = Duration::from_hours(1);

    fn sender(last: u8) -> Sender {
        Sender::Address([192, 0, 2, last].into())
    }

    fn failed(last: u8, at: Option<Timestamp>) -> Entry {
        Entry { kind: EntryKind::Failed(sender(last)), at }
    }

    fn seen(counts: &AlertCounts) -> Vec<(Sender, usize)> {
        counts.senders.iter().map(|it| (it.sender.clone(), it.failures)).collect()
    }

    #[test]
    fn an_alert_that_is_read_twice_is_one_and_ages() {
        let mut ledger = Ledger::default();
        for digest in [1, 2] {
            ledger.note(&failed(1, Some(NOW - HOUR)), digest, NOW, NOW);
        }
        ledger.note(&failed(1, Some(NOW - 2 * HOUR)), 1, NOW, NOW);
        ledger.note(&failed(2, Some(NOW - 25 * HOUR)), 1, NOW, NOW);
        ledger.note(&failed(3, Some(NOW - 31 * 24 * HOUR)), 1, NOW, NOW);
        ledger.note(&Entry { kind: EntryKind::Folder { machine: 1, is_false: false }, at: Some(NOW) }, 1, NOW, NOW);
        let counts = ledger.counts(NOW);
        assert_eq!((seen(&counts), counts.folder.unexplained), (vec![(sender(1), 2), (sender(2), 0)], 1));
        assert_eq!(counts.senders[0].last, NOW - HOUR);
        let later = ledger.counts(NOW + 23 * HOUR);
        assert_eq!((seen(&later), later.folder.unexplained), (vec![(sender(1), 0), (sender(2), 0)], 1));
        assert_eq!(seen(&ledger.counts(NOW + 31 * 24 * HOUR)), []);
    }

    #[test]
    fn an_alert_without_a_time_that_can_be_right_is_as_old_as_its_mail_and_counts_once() {
        let mut ledger = Ledger::default();
        for (at, digest) in [(None, 1), (None, 1), (Some(NOW + 2 * HOUR), 2), (Some(NOW + 2 * HOUR), 3)] {
            ledger.note(&failed(1, at), digest, NOW - HOUR, NOW);
        }
        ledger.note(&failed(2, None), 3, NOW + 99 * HOUR, NOW);
        let counts = ledger.counts(NOW);
        assert_eq!(seen(&counts), [(sender(2), 1), (sender(1), 2)]);
        assert_eq!(counts.senders.iter().map(|it| it.last).collect::<Vec<_>>(), [NOW, NOW - HOUR]);
    }

    #[test]
    fn an_alert_whose_time_is_no_help_stays_as_old_as_when_it_was_seen_first() {
        for at in [None, Some(NOW + 9 * HOUR)] {
            let mut ledger = Ledger::default();
            for hour in 0..60 {
                // What holds it was written to just now.
                let now = NOW + hour * HOUR;
                ledger.note(&failed(1, at), 1, now, now);
                let counts = ledger.counts(now);
                assert_eq!(seen(&counts), [(sender(1), usize::from(hour < 24))], "{at:?}, after {hour} hours");
                assert_eq!(counts.ahead, usize::from(at.is_some() && hour < 8), "{at:?}, after {hour} hours");
            }
        }
    }

    #[test]
    fn two_machines_that_alert_in_one_second_are_two_and_each_has_its_verdict() {
        let mut ledger = Ledger::default();
        for (machine, is_false) in [(1, true), (1, true), (2, false), (3, false)] {
            ledger.note(&Entry { kind: EntryKind::Folder { machine, is_false }, at: Some(NOW) }, 1, NOW, NOW);
        }
        assert_eq!(ledger.counts(NOW).folder, FolderAlerts { false_ones: 1, unexplained: 2 });
    }

    #[test]
    fn a_terminal_keeps_its_place_while_it_fails_whoever_comes_after() {
        let mut ledger = Ledger::default();
        ledger.note(&failed(200, Some(NOW - HOUR)), 1, NOW, NOW);
        ledger.counts(NOW);
        for last in 0..100 {
            ledger.note(&failed(last, Some(NOW)), 1, NOW, NOW);
        }
        let told = |ledger: &mut Ledger, now| seen(&ledger.counts(now)).contains(&(sender(200), 1));
        assert!(told(&mut ledger, NOW) && told(&mut ledger, NOW + HOUR));
        assert!(!told(&mut ledger, NOW + 24 * HOUR));
        assert_eq!(ledger.counts(NOW + HOUR).senders.len(), 100);
    }

    #[test]
    fn of_many_terminals_the_last_are_told_one_by_one_and_the_others_together() {
        let mut ledger = Ledger::default();
        for last in 0..=120 {
            ledger.note(&failed(last, Some(NOW - Duration::from_secs(u64::from(last)))), 1, NOW, NOW);
        }
        let counts = ledger.counts(NOW);
        assert_eq!((counts.senders.len(), counts.left_out), (100, LeftOutSenders { senders: 21, failures: 21 }));
        assert_eq!(counts.senders[0].sender, sender(0));
    }

    #[test]
    fn a_hundred_clients_are_told_one_by_one_and_the_others_together() {
        let mut ledger = Ledger::default();
        for number in 0..130_u8 {
            let name = crate::snapshot::ClientName::parse(&format!("PC-{number}")).expect("a name");
            let kind = EntryKind::Failed(Sender::Client(name));
            ledger.note(&Entry { kind, at: Some(NOW - HOUR) }, 1, NOW, NOW);
        }
        let counts = ledger.counts(NOW);
        assert_eq!((counts.senders.len(), counts.left_out), (100, LeftOutSenders { senders: 30, failures: 30 }));
        assert_eq!(counts.failures(), 130);
    }

    #[test]
    fn a_client_whose_name_is_written_in_other_letters_is_the_same_one() {
        let mut ledger = Ledger::default();
        for (name, hours) in [("PC-01", 1), ("pc-01", 1), ("pc-01", 2)] {
            let name = crate::snapshot::ClientName::parse(name).expect("a name");
            let kind = EntryKind::Failed(Sender::Client(name));
            ledger.note(&Entry { kind, at: Some(NOW - hours * HOUR) }, 1, NOW, NOW);
        }
        let told: Vec<_> = ledger.counts(NOW).senders.iter().map(|it| (it.sender.to_string(), it.failures)).collect();
        assert_eq!(told, [("PC-01".to_owned(), 2)], "as it was written first");
    }

    #[test]
    fn a_flood_of_forged_alerts_takes_no_more_memory_and_hides_no_newer_one() {
        let mut ledger = Ledger::default();
        for number in 0..250_000_u32 {
            let kind = EntryKind::Failed(Sender::Address(std::net::Ipv4Addr::from(number).into()));
            ledger.note(&Entry { kind, at: Some(NOW - HOUR) }, 1, NOW, NOW);
        }
        ledger.note(&failed(1, Some(NOW)), 1, NOW, NOW);
        assert!(ledger.alerts.len() <= 2 * MAX_KEPT && ledger.last.len() <= 2 * MAX_KEPT);
        assert_eq!(seen(&ledger.counts(NOW))[0], (sender(1), 1));
    }
}
