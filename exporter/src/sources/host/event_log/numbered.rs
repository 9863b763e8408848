//! What PowerChute writes to the Application log of Windows: numbered events, among those of all other programs.

use super::event::{LogEvent, LogEventKind, MAX_EVENTS};
use crate::platform::EventRecord;

/// The agent of Serial Shutdown and of Business Edition, as a source of events.
pub(super) const PROVIDER: &str = "APCPBEAgent";

/// How many records are read that were written between two looks. All of them count: one is written every few minutes, unless somebody
/// forges them.
pub(super) const MAX_RECORDS: usize = MAX_EVENTS;

/// Asks for the newest record, whoever has written it.
pub(super) const NEWEST: &str = "*";

/// Asks for what the agent has written that counts: all of it, or what came after a record, with that one, so that it is known to be
/// there still. The log leaves out what does not count: a program that reads the agent's page has it write two events a minute, and
/// whoever forges others makes nobody read them.
pub(super) fn question(since: Option<u64>) -> String {
    let agents = format!("Provider[@Name='{PROVIDER}'] and ({})", counting());
    match since {
        None => format!("*[System[{agents}]]"),
        Some(id) => format!("*[System[({agents} and EventRecordID>{id}) or EventRecordID={id}]]"),
    }
}

/// Numbers that follow one another are asked for by their ends: Windows takes about twenty comparisons in one question.
fn counting() -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for number in LogEventKind::NUMBERS {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let asked = runs.into_iter().map(|(first, last)| match last - first {
        0 => format!("EventID={first}"),
        1 => format!("EventID={first} or EventID={last}"),
        _ => format!("(EventID>={first} and EventID<={last})"),
    });
    asked.collect::<Vec<_>>().join(" or ")
}

/// How far a log was read, and what it told.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What was then its newest record. Its number and its time together know the log from one that was begun anew.
    newest: Option<EventRecord>,
    /// In the order of writing.
    pub(super) events: Vec<LogEvent>,
}

/// How a log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Continued,
    /// The record that was read last is no longer there: the log was cleared, or has been overwritten since.
    BegunAnew,
    /// More has been written than is read. The oldest of it, and the record that was read last, were not seen.
    PassedOver,
}

impl Reading {
    /// Takes what is new up to `newest`, the newest record now. `ask` gives the records of a [`question`], the newest first. Nothing is
    /// taken when it fails.
    pub(super) fn go_on<E, I: Iterator<Item = Result<EventRecord, E>>>(
        &mut self,
        newest: Option<EventRecord>,
        mut ask: impl FnMut(Option<u64>) -> Result<I, E>,
    ) -> Result<Course, E> {
        if self.newest == newest {
            return Ok(Course::Continued);
        }
        let before = self.newest;
        let (course, events) = match (before, newest) {
            (_, None) => (Course::BegunAnew, Vec::new()),
            (None, Some(newest)) => (Course::Continued, all(newest, ask(None)?)?),
            (Some(before), Some(newest)) => match since(before, newest, ask(Some(before.record_id))?)? {
                Since::Found(new) => (Course::Continued, [&self.events[..], &new].concat()),
                Since::Gone => (Course::BegunAnew, all(newest, ask(None)?)?),
                Since::TooMany(new) => (Course::PassedOver, new),
            },
        };
        let events = events[events.len().saturating_sub(MAX_EVENTS)..].to_vec();
        *self = Self { newest, events };
        Ok(course)
    }
}

/// What came after a record, in the order of writing.
#[derive(Debug, PartialEq, Eq)]
enum Since {
    Found(Vec<LogEvent>),
    /// The record is not there.
    Gone,
    /// The newest, of more than are read.
    TooMany(Vec<LogEvent>),
}

fn since<E>(
    before: EventRecord,
    newest: EventRecord,
    records: impl Iterator<Item = Result<EventRecord, E>>,
) -> Result<Since, E> {
    let mut events = Vec::new();
    for (number, record) in records.enumerate() {
        let record = record?;
        let is_before = record.record_id <= before.record_id;
        if is_before || number >= MAX_RECORDS {
            events.reverse();
            return Ok(match is_before {
                true if record == before => Since::Found(events),
                true => Since::Gone,
                false => Since::TooMany(events),
            });
        }
        events.extend(event_of(record, newest));
    }
    Ok(Since::Gone)
}

fn all<E>(newest: EventRecord, records: impl Iterator<Item = Result<EventRecord, E>>) -> Result<Vec<LogEvent>, E> {
    let mut events = Vec::new();
    for record in records.take(MAX_RECORDS) {
        events.extend(event_of(record?, newest));
        if events.len() >= MAX_EVENTS {
            break;
        }
    }
    events.reverse();
    Ok(events)
}

/// None of what was written since the newest record was asked for: that is read the next time.
fn event_of(record: EventRecord, newest: EventRecord) -> Option<LogEvent> {
    let (kind, active) = LogEventKind::of_number(record.event_id).filter(|_| record.record_id <= newest.record_id)?;
    Some(LogEvent { at: record.at, kind, active })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use jiff::Timestamp;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use proptest::sample::select;
    use proptest::{prop_assert, prop_assert_eq};

    use super::super::fold::Followed;
    use super::*;
    use crate::shutdown::Sign;

    const BOOT: i64 = 1_800_000_000;
    /// Of another program.
    const OTHER: u16 = 0;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// The log as Windows keeps it, with the records of the agent and of others, the oldest first.
    #[derive(Debug, Default)]
    struct WindowsLog {
        records: Vec<EventRecord>,
        written: u64,
        seconds: i64,
        /// Questions that were asked, and records that were given.
        asked: Vec<Option<u64>>,
        given: usize,
    }

    impl WindowsLog {
        fn write(&mut self, event_id: u16) {
            self.written += 1;
            self.seconds += 1;
            self.records.push(EventRecord { record_id: self.written, event_id, at: at(BOOT + self.seconds) });
        }

        fn clear(&mut self, counts_anew: bool) {
            self.records.clear();
            self.written = if counts_anew { 0 } else { self.written };
        }

        fn newest(&self) -> Option<EventRecord> {
            self.records.last().copied()
        }

        /// As the question's words say.
        fn answer(&mut self, since: Option<u64>) -> Vec<Result<EventRecord, Infallible>> {
            self.asked.push(since);
            let is_asked = |record: &&EventRecord| {
                let is_agents = LogEventKind::NUMBERS.contains(&record.event_id);
                since.map_or(is_agents, |id| is_agents && record.record_id > id || record.record_id == id)
            };
            self.records.iter().rev().filter(is_asked).copied().map(Ok).collect()
        }

        fn read(&mut self, reading: &mut Reading) -> Course {
            let newest = self.newest();
            self.read_to(newest, reading)
        }

        fn read_to(&mut self, newest: Option<EventRecord>, reading: &mut Reading) -> Course {
            let Ok(course) = reading.go_on(newest, |since| {
                let answer = self.answer(since);
                Ok::<_, Infallible>(answer.into_iter().inspect(|_| self.given += 1).collect::<Vec<_>>().into_iter())
            });
            course
        }

        /// What there is to be told.
        fn events(&self) -> Vec<LogEvent> {
            self.records.iter().filter_map(|record| event_of(*record, self.newest()?)).collect()
        }
    }

    #[test]
    fn every_number_that_counts_tells_what_the_log_of_the_agent_tells() {
        let sign_after = |numbers: &[u16]| {
            let (mut log, mut reading, mut followed) = (WindowsLog::default(), Reading::default(), Followed::default());
            numbers.iter().for_each(|number| log.write(*number));
            log.read(&mut reading);
            followed.follow(&reading.events, at(BOOT), at(BOOT + 60));
            followed.evidence().into_iter().map(|evidence| evidence.sign).max()
        };
        for (numbers, sign) in [
            (&[1001][..], Some(Sign::Normal)),
            (&[1001, 1000], None),
            (&[2000], Some(Sign::OnBattery)),
            (&[2000, 2003], Some(Sign::LowBattery)),
            (&[2000, 3030], Some(Sign::LowBattery)),
            (&[2000, 3030, 1053], Some(Sign::OnBattery)),
            (&[2000, 2060], Some(Sign::Pending)),
            (&[2000, 2003, 3030, 2060, 1003], Some(Sign::Normal)),
            (&[3000], Some(Sign::CommsLost)),
            (&[3004], Some(Sign::CommsLost)),
            (&[3005], Some(Sign::CommsLost)),
            (&[3000, 1002], Some(Sign::Normal)),
            (&[1026], Some(Sign::Pending)),
            (&[1026, 1005], Some(Sign::Pending)),
            (&[1026, 1003], Some(Sign::Pending)),
            (&[1026, 1006], Some(Sign::Normal)),
            (&[1026, 1027], Some(Sign::Normal)),
            (&[2000, 2060, 1006], Some(Sign::Pending)),
            (&[2000, 1016, 1003, 1006], Some(Sign::InProgress)),
            (&[1025, 1001, 1027], Some(Sign::InProgress)),
            (&[1004, 1005, 1010, 2002, 2007, 2208, 3003, 3016], None),
        ] {
            assert_eq!(sign_after(numbers), sign, "{numbers:?}");
        }
    }

    #[test]
    fn the_question_names_the_agent_every_number_that_counts_and_the_record_that_was_read_last() {
        let known: Vec<u16> = (0..=u16::MAX).filter(|number| LogEventKind::of_number(*number).is_some()).collect();
        assert_eq!(known, LogEventKind::NUMBERS);
        let agents = "Provider[@Name='APCPBEAgent'] and ((EventID>=1000 and EventID<=1003) or EventID=1006 or EventID=1016 or \
                      (EventID>=1025 and EventID<=1027) or EventID=1053 or EventID=2000 or EventID=2003 or EventID=2060 or \
                      EventID=3000 or EventID=3004 or EventID=3005 or EventID=3030)";
        assert_eq!(question(None), format!("*[System[{agents}]]"));
        let since = question(Some(7));
        assert_eq!(since, format!("*[System[({agents} and EventRecordID>7) or EventRecordID=7]]"));
        assert!(since.matches(['=', '<', '>']).count() <= 23, "Windows refuses a question of so many parts: {since}");
    }

    #[test]
    fn what_is_put_to_windows_by_hand_is_the_question_that_is_asked() {
        let script = include_str!("../../../../../examples/windows/verify.ps1");
        let agents = question(None);
        let agents = agents.strip_prefix("*[System[").and_then(|rest| rest.strip_suffix("]]")).expect("a question");
        assert!(script.contains(&format!("$agents = \"{agents}\"\n")), "{agents}");
        let whole = question(Some(7)).replace(agents, "$agents").replace('7', "$id");
        assert!(script.contains(&format!("-FilterXPath \"{whole}\"")), "{whole}");
    }

    #[test]
    fn a_log_that_has_not_changed_is_not_asked_again_and_of_one_that_has_only_what_is_new_is_read() {
        let (mut log, mut reading) = (WindowsLog::default(), Reading::default());
        [2000, OTHER, 2209].into_iter().for_each(|number| log.write(number));
        for _ in 0..3 {
            assert_eq!(log.read(&mut reading), Course::Continued);
        }
        assert_eq!((&log.asked[..], log.given), (&[None][..], 1));
        [OTHER, 1004, 2210, 2003].into_iter().for_each(|number| log.write(number));
        assert_eq!(log.read(&mut reading), Course::Continued);
        assert_eq!((&log.asked[..], log.given), (&[None, Some(3)][..], 3));
        assert_eq!(reading.events, log.events());
    }

    #[test]
    fn what_is_written_while_the_log_is_read_is_told_the_next_time_and_once() {
        let (mut log, mut reading) = (WindowsLog::default(), Reading::default());
        log.write(2000);
        let newest = log.newest();
        log.write(2003);
        log.read_to(newest, &mut reading);
        assert_eq!(reading.events, log.events()[..1]);
        let newest = log.newest();
        log.write(2060);
        log.read_to(newest, &mut reading);
        assert_eq!(reading.events, log.events()[..2]);
        log.read(&mut reading);
        assert_eq!(reading.events, log.events());
    }

    /// Numbers start again, and may have passed those that were read when the log is looked at.
    #[test]
    fn a_log_that_was_cleared_is_read_from_what_is_there_and_told_once() {
        for (counts_anew, written_since) in
            [(true, 0), (true, 1), (true, 2), (true, 3), (true, 9), (false, 0), (false, 1)]
        {
            let (mut log, mut reading) = (WindowsLog::default(), Reading::default());
            [OTHER, 2000, OTHER].into_iter().for_each(|number| log.write(number));
            assert_eq!(log.read(&mut reading), Course::Continued);
            log.clear(counts_anew);
            (0..written_since).for_each(|_| log.write(2003));
            let said = [log.read(&mut reading), log.read(&mut reading)];
            assert_eq!(said, [Course::BegunAnew, Course::Continued], "{counts_anew} {written_since}");
            assert_eq!(reading.events, log.events(), "{counts_anew} {written_since}");
        }
    }

    #[test]
    fn a_read_that_fails_on_the_way_is_made_again_from_where_the_last_whole_one_ended() {
        let (mut log, mut reading) = (WindowsLog::default(), Reading::default());
        log.write(2000);
        log.read(&mut reading);
        [2003, 2060].into_iter().for_each(|number| log.write(number));
        let newest = log.newest();
        let broken = reading.go_on(newest, |_| Ok([Ok(log.records[2]), Err("timeout")].into_iter()));
        assert_eq!(broken, Err("timeout"));
        assert_eq!(reading.events, log.events()[..1]);
        log.read(&mut reading);
        assert_eq!(reading.events, log.events());
    }

    #[test]
    fn no_more_is_read_and_kept_than_there_is_room_for() {
        let (mut log, mut reading) = (WindowsLog::default(), Reading::default());
        (0..MAX_EVENTS + 9).for_each(|_| log.write(2000));
        log.read(&mut reading);
        assert_eq!(reading.events, log.events()[9..]);
        log.write(2003);
        assert_eq!(log.read(&mut reading), Course::Continued);
        assert_eq!(reading.events, log.events()[10..]);
        let endless = std::iter::repeat_with(|| Ok::<_, Infallible>(log.records[0]));
        assert_eq!(all(log.records[0], endless).map(|events| events.len()), Ok(MAX_EVENTS));
        let first = EventRecord { record_id: 0, ..log.records[0] };
        let newest = since(first, log.records[0], endless);
        assert!(matches!(newest, Ok(Since::TooMany(events)) if events.len() == MAX_RECORDS));
    }

    #[test]
    fn a_flood_of_what_does_not_count_costs_nothing_and_one_of_what_does_is_bounded_and_told() {
        let (mut log, mut reading) = (WindowsLog::default(), Reading::default());
        log.write(2000);
        log.read(&mut reading);
        (0..=4 * MAX_RECORDS).for_each(|at| log.write([1004, 2209, 3003][at % 3]));
        log.write(2003);
        let given = log.given;
        assert_eq!(log.read(&mut reading), Course::Continued);
        assert_eq!((log.given - given, &reading.events), (2, &log.events()), "nobody was kept from being heard");

        (0..MAX_RECORDS).for_each(|_| log.write(1003));
        assert_eq!(log.read(&mut reading), Course::Continued, "it was just in time");
        log.write(2060);
        (0..MAX_RECORDS).for_each(|_| log.write(1003));
        assert_eq!(log.read(&mut reading), Course::PassedOver);
        assert_eq!(reading.events, log.events()[log.events().len() - MAX_EVENTS..]);
        log.write(2000);
        assert_eq!(log.read(&mut reading), Course::Continued, "it goes on from there");
        assert_eq!(reading.events.last().map(|event| event.kind), Some(LogEventKind::OnBattery));
    }

    #[derive(Clone, Debug)]
    enum Happening {
        Write(u16),
        Clear {
            counts_anew: bool,
        },
        /// The oldest records go.
        Overwrite(usize),
        Look,
        /// The configuration is loaded anew.
        Reload,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        const NUMBERS: &[u16] = &[OTHER, 1000, 1001, 1002, 1003, 1006, 1026, 1053, 2000, 2003, 2060, 2209, 3000, 3030];
        prop_oneof![
            6 => select(NUMBERS).prop_map(Happening::Write),
            1 => any::<bool>().prop_map(|counts_anew| Happening::Clear { counts_anew }),
            1 => (0_usize..4).prop_map(Happening::Overwrite),
            4 => Just(Happening::Look),
            1 => Just(Happening::Reload),
        ]
    }

    proptest! {
        /// Whatever becomes of the log, what was read stands as if one had read along.
        #[test]
        fn what_was_read_is_told_once_and_in_order_whatever_becomes_of_the_log(
            happenings in proptest::collection::vec(happening(), 0..60),
        ) {
            let (mut log, mut reading, mut followed) =
                (WindowsLog::default(), Reading::default(), Followed::default());
            let (mut told, mut along) = (Vec::new(), Followed::default());
            let (boot, now) = (at(BOOT), at(BOOT + 3600));
            let mut unread = Vec::new();
            for happening in happenings.into_iter().chain([Happening::Look]) {
                match happening {
                    Happening::Write(number) => {
                        log.write(number);
                        unread.push(log.written);
                    }
                    Happening::Clear { counts_anew } => {
                        log.clear(counts_anew);
                        unread.clear();
                    }
                    Happening::Overwrite(count) => {
                        log.records.drain(..count.min(log.records.len()));
                    }
                    Happening::Reload => reading = Reading::default(),
                    Happening::Look => {
                        log.read(&mut reading);
                        prop_assert!(reading.events.ends_with(&log.events()), "{reading:?} {log:?}");
                        followed.follow(&reading.events, boot, now);
                        let new: Vec<_> = log.records.iter().filter(|record| unread.contains(&record.record_id)).collect();
                        told.extend(new.into_iter().filter_map(|record| event_of(*record, *record)));
                        unread.clear();
                        along.follow(&told, boot, now);
                        prop_assert_eq!(followed.evidence(), along.evidence());
                    }
                }
            }
        }
    }
}
