//! Logs as Java writes them, and what is left of them after an accident.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::{ProptestConfig, Strategy as _, any, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::event::{LogEventKind, MAX_EVENTS};
use super::*;
use crate::shutdown::Sign;

const JDK: &str = "a JDK is needed: install openjdk-17-jdk-headless";
const BEGUN: i64 = 1_800_000_000;
const ON_BATTERY: &str = "3.5.1.5.4.1";
const SHUTDOWN: &str = "3.5.1.5.3.19";

/// The compiled writer of logs.
fn writer() -> &'static Path {
    static WRITER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = WRITER.get_or_init(|| {
        let sources = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/event_log"));
        let classes = tempfile::tempdir().expect("a directory");
        let compiled = Command::new("javac")
            .args(["-encoding", "UTF-8", "-d"])
            .arg(classes.path())
            .arg("-sourcepath")
            .arg(&sources)
            .arg(sources.join("WriteEvents.java"))
            .output()
            .expect(JDK);
        assert!(compiled.status.success(), "{compiled:?}");
        classes
    });
    made.path()
}

/// A log that Java wrote in one of its manners: events as (seconds, active, id).
fn written(manner: &str, events: &[(i64, bool, &str)]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("EventLog");
    let run = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(writer())
        .args(["WriteEvents", manner])
        .arg(&path)
        .args(events.iter().map(|(second, active, id)| format!("{second}000,{active},{id}")))
        .output()
        .expect(JDK);
    assert!(run.status.success(), "{run:?}");
    fs::read(path).expect("it was written")
}

/// A log with an outage, made once.
fn outage() -> &'static Vec<u8> {
    static OUTAGE: OnceLock<Vec<u8>> = OnceLock::new();
    OUTAGE.get_or_init(|| written("plain", OUTAGE_EVENTS))
}

const OUTAGE_EVENTS: &[(i64, bool, &str)] = &[
    (BEGUN, true, "3.5.1.5.6.10"),
    (BEGUN + 1, true, ON_BATTERY),
    (BEGUN + 2, true, "3.5.1.5.4.5"),
    (BEGUN + 3, false, "3.5.1.5.3.3"),
    (BEGUN + 4, true, "3.5.1.5.3.18"),
    (BEGUN + 5, true, SHUTDOWN),
    (BEGUN + 6, true, "3.5.1.5.4.2"),
];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn kinds(events: &[LogEvent]) -> Vec<(LogEventKind, bool)> {
    events.iter().map(|event| (event.kind, event.active)).collect()
}

const OUTAGE_KINDS: [(LogEventKind, bool); 6] = [
    (LogEventKind::MonitoringStarted, true),
    (LogEventKind::OnBattery, true),
    (LogEventKind::LowBattery, false),
    (LogEventKind::TimeOnBattery, true),
    (LogEventKind::ShutdownStarted, true),
    (LogEventKind::NoLongerOnBattery, true),
];

#[test]
fn a_log_is_read_however_java_put_its_events_together() {
    for manner in ["plain", "appended", "reset", "list", "crowd"] {
        let events = java::events(&written(manner, OUTAGE_EVENTS)).unwrap_or_else(|error| panic!("{manner}: {error}"));
        assert_eq!(kinds(&events), OUTAGE_KINDS, "{manner}");
        assert_eq!(events[0].at, at(BEGUN), "{manner}");
        let mut followed = Followed::default();
        followed.follow(&events, at(BEGUN - 60), at(BEGUN + 60));
        let evidence = followed.evidence();
        assert_eq!(evidence[0].sign, Sign::InProgress, "{manner}");
        assert_eq!(evidence[0].begun_at, Some(at(BEGUN + 5)), "{manner}");
        assert_eq!(
            evidence[0].cause.as_ref().map(crate::snapshot::Label::as_str),
            Some("Time On Battery Threshold Exceeded")
        );
    }
}

#[test]
fn a_log_that_ends_in_the_middle_of_an_event_has_all_the_events_before() {
    let log = outage();
    let mut before = 0;
    for end in java::MAGIC.len()..=log.len() {
        let events = java::events(&log[..end]).unwrap_or_else(|error| panic!("cut at {end}: {error}"));
        assert_eq!(kinds(&events), OUTAGE_KINDS[..events.len()], "cut at {end}");
        assert!(events.len() >= before, "cut at {end}");
        before = events.len();
    }
    assert_eq!(before, OUTAGE_KINDS.len());
}

#[test]
fn only_the_newest_events_are_kept() {
    let event = outage();
    let mut log = event.clone();
    for _ in 0..MAX_EVENTS {
        log.extend_from_slice(event);
    }
    let events = java::events(&log).expect("streams one after the other");
    assert_eq!(events.len(), MAX_EVENTS);
    assert_eq!(kinds(&events[MAX_EVENTS - 6..]), OUTAGE_KINDS);
}

/// A stream of these bytes after the magic.
fn stream(parts: &[&[u8]]) -> Vec<u8> {
    [&java::MAGIC[..], &parts.concat()].concat()
}

/// A class without fields; what follows is its parent.
fn class(flags: u8) -> Vec<u8> {
    [&[0x72, 0, 1, b'A'][..], &[0; 8], &[flags, 0, 0, 0x78]].concat()
}

#[test]
fn a_stream_that_would_take_all_memory_all_stack_or_all_time_is_refused() {
    let refused = |bytes: &[u8]| java::events(bytes).expect_err("it must be refused").to_string();
    let nested = stream(&[&[0x75, 0x72, 0, 2, b'[', b'['], &[0; 8], &[2, 0, 0, 0x78, 0x70], &[0, 0, 0, 1]]);
    let deeper = [0x75, 0x71, 0, 0x7e, 0, 0, 0, 0, 0, 1].repeat(100_000);
    assert!(refused(&[nested, deeper].concat()).contains("within each other"));
    let lineage: Vec<u8> = class(2).repeat(100_000);
    assert!(refused(&stream(&[&lineage])).contains("within each other"));
    // Each class names the one before as its parent, by reference.
    let mut by_reference = [class(2), vec![0x70]].concat();
    for handle in 0..100_u8 {
        by_reference.extend([class(2), vec![0x71, 0, 0x7e, 0, handle]].concat());
    }
    assert!(refused(&stream(&[&by_reference])).contains("within each other"));
    let crowd = [0x74, 0, 0].repeat(600_000);
    assert!(refused(&stream(&[&crowd])).contains("more than"));
    // Lengths beyond the end ask for nothing in advance.
    for length in [&[0x7a, 0x7f, 0xff, 0xff, 0xff][..], &[0x7c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(java::events(&stream(&[length])), Ok(Vec::new()));
    }
    assert!(refused(&stream(&[&[0x7a, 0xff, 0xff, 0xff, 0xff]])).contains("below zero"));
}

#[test]
fn a_stream_that_makes_no_sense_is_refused_and_not_half_believed() {
    let junk: &[&[u8]] = &[
        &[0x00],
        &[0x78],
        &[0x71, 0, 0x7e, 0, 0],
        &[0x71, 0, 0, 0, 0],
        &[0x73, 0x70],
        &[0x73, 0x71, 0, 0x7e, 0, 0],
        &[0x75, 0x70, 0, 0, 0, 0],
        &[&[0x73], &class(4)[..], &[0x70]].concat(),
        &[&[0x73], &class(2)[..], &[0x71, 0, 0x7e, 0, 0]].concat(),
    ];
    for bytes in junk {
        assert!(java::events(&stream(&[outage(), &java::MAGIC, bytes])).is_err(), "{bytes:x?}");
    }
    assert_eq!(java::events(b"07/08/2026"), Err(java::StreamError::NotAStream));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = java::events(&stream(&[&bytes]));
        fuzz_event_log(&bytes);
        fuzz_event_log_text(&bytes);
    }

    #[test]
    fn a_log_with_wrong_bytes_in_it_ends_with_an_answer(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut log = outage().clone();
        for (place, byte) in changes {
            let place = place.index(log.len());
            log[place] = byte;
        }
        if let Ok(events) = java::events(&log) {
            prop_assert!(events.len() <= OUTAGE_KINDS.len());
        }
    }

    /// What has begun stays begun until the next boot; of a form that was never met nobody may have to be freed by a person.
    #[test]
    fn no_text_says_that_a_shutdown_has_begun(
        events in proptest::collection::vec(proptest::sample::select(named()), 1..20),
    ) {
        let lines: String = (0..).zip(&events).map(|(at, kind)| format!("2027-01-15 10:00:{at:02} {}\n", kind.name())).collect();
        let clock = text::Clock::of(TimeZone::UTC);
        let mut followed = Followed::default();
        let read = text::events(lines.as_bytes(), true, &clock);
        prop_assert_eq!(read.len(), events.len());
        followed.follow(&read, Timestamp::MIN, Timestamp::MAX);
        prop_assert!(followed.evidence().iter().all(|evidence| evidence.sign < Sign::InProgress));
    }

    #[test]
    fn a_text_of_any_encoding_loses_no_line_that_is_whole(
        noise in proptest::collection::vec(any::<u8>().prop_filter("a line's end", |b| *b != b'\n'), 0..300),
    ) {
        let line = b"\n11/08/2026 19:48:00 Power Failed\n";
        // More zeros than text make a UTF-16 of it.
        let zeros = noise.iter().filter(|byte| **byte == 0).count();
        if zeros * 4 < noise.len() {
            let bytes = [&noise[..], line, &noise[..]].concat();
            prop_assert_eq!(kinds(&text::events(&bytes, true, &text::Clock::of(TimeZone::UTC))), [(LogEventKind::OnBattery, true)]);
        }
    }
}

/// Those that a text can tell of.
fn named() -> Vec<LogEventKind> {
    LogEventKind::ALL.into_iter().filter(|kind| LogEventKind::of_name(kind.name()).is_some()).collect()
}

/// A log in a directory, and its source's memory.
struct OnDisk {
    _directory: tempfile::TempDir,
    log: Log,
}

impl OnDisk {
    fn new(must_exist: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = Log { path: directory.path().join("EventLog"), must_exist, read: None };
        Self { _directory: directory, log }
    }

    fn write(&self, bytes: impl AsRef<[u8]>) {
        fs::write(&self.log.path, bytes).expect("it can be written");
    }

    fn look(&mut self, now: Timestamp) -> Result<Option<Sign>, &'static str> {
        let seen = self.log.look(Some(at(BEGUN - 60)), now);
        seen.map(|evidence| evidence.iter().map(|it| it.sign).max()).map_err(|trouble| trouble.reason)
    }
}

#[test]
fn a_stream_and_a_text_are_told_apart_by_content_and_a_log_may_not_be_there_yet() {
    let mut log = OnDisk::new(false);
    assert_eq!(log.look(at(BEGUN + 60)), Ok(None));
    log.write(outage());
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)));
    log.write("");
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)), "it was emptied, and nothing is over");
    let zone = TimeZone::system();
    let begun = zone.to_datetime(at(BEGUN));
    log.write(format!("{} {} On Battery\r\n", begun.date(), begun.time()));
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)));
    log.write(stream(&[&[0x00]]));
    assert_eq!(log.look(at(BEGUN + 60)), Err(MALFORMED));
    fs::remove_file(&log.log.path).expect("it was there");
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)), "nor by its end");
    assert_eq!(OnDisk::new(true).look(at(BEGUN + 60)), Err("not_found"));
}

#[test]
fn a_log_that_has_not_changed_is_not_read_again_and_one_that_has_is() {
    let mut log = OnDisk::new(true);
    log.write(outage());
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)));
    let read = log.log.read.as_mut().expect("it was read");
    assert!(read.settled, "by the test's clock it is old");
    read.events.clear();
    let events = |log: &OnDisk| log.log.read.as_ref().map(|read| read.events.len());
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)));
    assert_eq!(events(&log), Some(0), "it was read again");
    log.write(written("plain", &OUTAGE_EVENTS[..2]));
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)));
    assert_eq!(events(&log), Some(2));
    log.log.read.as_mut().expect("it was read").settled = false;
    log.log.read.as_mut().expect("it was read").events.clear();
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::InProgress)));
    assert_eq!(events(&log), Some(2), "what had just changed is read once more");
}

#[test]
fn what_was_told_is_known_to_the_next_who_reads_the_log_though_it_is_emptied() {
    let mut log = OnDisk::new(false);
    log.write(written("plain", &OUTAGE_EVENTS[..2]));
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::OnBattery)));
    log.write("");
    log.log = Log { path: log.log.path.clone(), must_exist: false, read: None };
    assert_eq!(log.look(at(BEGUN + 90_000)), Ok(Some(Sign::OnBattery)));
    log.write(written("plain", &[OUTAGE_EVENTS[0]]));
    assert_eq!(log.look(at(BEGUN + 60)), Ok(Some(Sign::Normal)), "the agent starts anew");
}

#[test]
fn a_log_of_ten_gigabytes_is_read_at_its_end_only_and_a_stream_of_that_size_not_at_all() {
    let mut log = OnDisk::new(true);
    let now = Timestamp::now();
    let zone = TimeZone::system();
    let written_at = zone.to_datetime(now);
    let line = format!(
        "\n{} {} Power Failed\n",
        written_at.date(),
        written_at.time().round(jiff::Unit::Second).expect("a time")
    );
    let huge = |head: &[u8], tail: &[u8]| {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let mut file = fs::File::create(&log.log.path).expect("it can be written");
        file.write_all(head).expect("it can be written");
        file.seek(SeekFrom::Start(10 << 30)).expect("the file may have holes");
        file.write_all(&[b'x'; 300_000]).expect("it can be written");
        file.write_all(tail).expect("it can be written");
    };
    huge(b"one line", line.as_bytes());
    let path = log.log.path.clone();
    let mut look = || log.log.look(Some(now - Duration::from_secs(60)), now + Duration::from_secs(5));
    assert_eq!(look().map(|it| it.iter().map(|it| it.sign).max()), Ok(Some(Sign::OnBattery)));
    fs::remove_file(&path).expect("it was there");
    let mut file = fs::File::create(&path).expect("it can be written");
    std::io::Write::write_all(&mut file, &java::MAGIC).expect("it can be written");
    file.set_len(10 << 30).expect("the file may have holes");
    assert_eq!(look().map_err(|trouble| trouble.reason), Err("too_large"));
}

#[tokio::test]
async fn the_source_tells_what_its_log_tells_and_what_is_wrong_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("EventLog");
    let mut source = EventLogSource::new(path.clone(), true, Duration::from_secs(60));
    let (observation, trouble) = source.look().await;
    assert!(matches!(observation, Observation::Nothing));
    assert_eq!(trouble.map(|trouble| trouble.reason), Some("not_found"));
    let now = Timestamp::now().as_second();
    fs::write(&path, written("plain", &[(now, true, ON_BATTERY), (now, true, SHUTDOWN)])).expect("it can be written");
    let (observation, trouble) = source.look().await;
    let Observation::Host(evidence) = observation else { panic!("{observation:?}") };
    assert_eq!((evidence[0].sign, trouble), (Sign::InProgress, None));
    let earlier = directory.path().join("EarlierLog");
    fs::write(&earlier, written("plain", &[(0, true, SHUTDOWN)])).expect("it can be written");
    let (observation, _) = EventLogSource::new(earlier, true, Duration::from_secs(60)).look().await;
    assert!(matches!(observation, Observation::Host(evidence) if evidence.is_empty()), "that was another boot");
}
