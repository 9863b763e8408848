use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::allowance::SPAN;
use super::line::Line;
use super::*;
use crate::shutdown::{Evidence, Load, Member, Sign};
use crate::snapshot::{Backend, Board, Label, Observation, Pass, SourceId, SourceKind, Trouble, UpsSeen};
use crate::ups::{Quantity, Reading, ShutdownTrigger, Status, UpsFault};

const ON_LINE: &[Status] = &[Status::Online];
const ON_BATTERY: &[Status] = &[Status::OnBattery, Status::Discharging];
const LOW: &[Status] = &[Status::OnBattery, Status::LowBattery];

/// What is written while two UPSes of one server share a load, look by look.
struct Scene {
    board: Board,
    log: PowerLog,
    now: Instant,
}

type Outcome<'a> = Result<&'a [Status], UpsFault>;

fn id(kind: SourceKind, name: &str) -> SourceId {
    SourceId::own(kind, Label::new(name))
}

fn seen(name: &str, outcome: Outcome<'_>) -> UpsSeen {
    let reading = |statuses: &[Status]| {
        let mut reading = Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() };
        reading.values.put(Quantity::BatteryCharge, 0.42);
        reading.values.put(Quantity::BatteryRuntime, 600.0);
        Box::new(reading)
    };
    UpsSeen {
        ups: Label::new(name),
        backend: Backend::Nut,
        target: Label::new("127.0.0.1:3493"),
        feeds_host: true,
        contradictions: 0,
        outcome: outcome.map(reading).map_err(|reason| Trouble::new(reason, "why")),
        refused: BTreeMap::new(),
        strong_snmp: None,
    }
}

impl Scene {
    fn new(min_healthy: usize) -> Self {
        let board = Board::default();
        board.expect([(id(SourceKind::Ups, "racks"), &[][..]), (id(SourceKind::Host, "system"), &[][..])]);
        let member = |ups| Member { source: Label::new("racks"), ups: Some(Label::new(ups)) };
        let members = vec![member("a"), member("b")];
        board.set_loads(vec![Load { name: Label::new("server"), members, min_healthy }]);
        Self { board, log: PowerLog::default(), now: Instant::now() }
    }

    fn publish(&mut self, of: &SourceId, observation: Observation) -> Vec<String> {
        self.now += Duration::from_secs(1);
        let ended = Timestamp::now();
        self.board.publish(of, Pass { observation, trouble: None, ended, took: Duration::ZERO });
        self.hear().iter().map(said).collect()
    }

    fn look(&mut self, a: Outcome<'_>, b: Outcome<'_>) -> Vec<String> {
        let upses = Observation::Upses(vec![seen("a", a), seen("b", b)]);
        self.publish(&id(SourceKind::Ups, "racks"), upses)
    }

    fn hear(&mut self) -> Vec<Line> {
        self.log.hear(&self.board.snapshot(), self.now)
    }
}

/// The level, what it is about, and the words.
fn said(line: &Line) -> String {
    let level = |is_worse: bool| if is_worse { "WARN" } else { "INFO" };
    match line {
        Line::Ups { is_worse, message, ups, consequence, .. } => {
            let loads = ups.loads.as_deref().unwrap_or("-");
            let (charge, runtime) = (consequence.charge_percent, consequence.runtime_seconds);
            let rest = format!("{} % {} s", charge.unwrap_or_default(), runtime.unwrap_or_default());
            format!("{} {} of {loads}: {message} ({rest})", level(*is_worse), ups.ups)
        }
        Line::Mute { ups } => format!("INFO {}: mute", ups.ups),
        Line::Lost { ups, reason, .. } => format!("WARN {}: not heard ({reason})", ups.ups),
        Line::Load { is_worse, message, load, host } => {
            format!("{} {}: {message}: {}/{} ({host})", level(*is_worse), load.name, load.healthy, load.members)
        }
        Line::Unlisted(it) => format!("WARN {} names {}/{}, there are {}", it.load, it.source, it.ups, it.listed),
        Line::Begun(latch) => {
            let end = if latch.is_lasting() { "until a person or the boot" } else { "until it is taken back" };
            format!("WARN begun {end}: {} by {}", latch.trigger_names(), latch.names())
        }
        Line::Over => "INFO over".to_owned(),
        Line::HeldBack { about, changes, now } => format!("WARN {about}: {changes} more, now {now}"),
    }
}

#[test]
fn each_change_is_one_line_with_what_it_means_for_the_load() {
    let mut scene = Scene::new(1);
    assert!(scene.look(Ok(ON_LINE), Ok(ON_LINE)).is_empty(), "all is as it should be");
    let lost = "WARN server: load has lost a UPS of its redundancy: 1/2 (none)";
    let on_battery = "WARN a of server: UPS is on battery (42 % 600 s)";
    assert_eq!(scene.look(Ok(ON_BATTERY), Ok(ON_LINE)), [on_battery, lost]);
    assert!(scene.look(Ok(ON_BATTERY), Ok(ON_LINE)).is_empty(), "nothing has changed");
    assert_eq!(scene.look(Ok(LOW), Ok(ON_LINE)), ["WARN a of server: UPS has a low battery (42 % 600 s)"]);
    let short = "WARN server: load has fewer healthy UPSes than it needs: 0/2 (ups_low_battery)";
    assert_eq!(scene.look(Ok(LOW), Err(UpsFault::CommLost)), ["WARN b: not heard (comm_lost)", short]);
    let enough = "INFO server: load has enough healthy UPSes, but not all of them: 1/2 (none)";
    let answers = "INFO b of server: UPS answers again (42 % 600 s)";
    assert_eq!(scene.look(Ok(LOW), Ok(ON_LINE)), [answers, enough]);
    assert_eq!(scene.look(Ok(ON_BATTERY), Ok(ON_LINE)), ["INFO a of server: UPS is on battery (42 % 600 s)"]);
    let back = "INFO a of server: UPS is back on line (42 % 600 s)";
    let whole = "INFO server: all UPSes of the load are healthy again: 2/2 (none)";
    assert_eq!(scene.look(Ok(ON_LINE), Ok(ON_LINE)), [back, whole]);
}

#[test]
fn one_that_answers_again_in_a_worse_state_is_a_warning_and_a_test_is_none() {
    let mut scene = Scene::new(1);
    scene.look(Err(UpsFault::Connect), Ok(&[Status::Online, Status::Testing]));
    let lines = scene.look(Ok(ON_BATTERY), Ok(ON_LINE));
    assert!(lines[0].starts_with("WARN a of server: UPS is on battery"), "{lines:?}");
    assert!(lines[1].starts_with("INFO b of server: UPS is back on line"), "{lines:?}");
}

#[test]
fn a_load_is_not_judged_before_every_ups_was_asked() {
    let mut scene = Scene::new(1);
    let said = scene.publish(&id(SourceKind::Host, "system"), Observation::Host(vec![Evidence::new(Sign::Normal)]));
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_flapping_ups_writes_few_lines_hides_nothing_worse_and_no_neighbour() {
    let mut scene = Scene::new(1);
    let mut lines = Vec::new();
    for look in 0..200 {
        lines.extend(scene.look(Ok(if look % 2 == 0 { ON_BATTERY } else { ON_LINE }), Ok(ON_LINE)));
    }
    assert_eq!(lines.iter().filter(|line| line.contains("a of server")).count(), 6, "{lines:#?}");
    assert_eq!(lines.len(), 12, "the same of its load: {lines:#?}");
    let lines = scene.look(Ok(LOW), Ok(ON_BATTERY));
    assert!(lines.iter().any(|line| line.contains("a of server: UPS has a low battery")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("b of server: UPS is on battery")), "{lines:?}");
    scene.now += SPAN;
    let lines: Vec<String> = scene.hear().iter().map(said).collect();
    let held_back = "WARN UPS racks/a: 194 more, now low_battery";
    assert!(lines.iter().any(|line| line == held_back), "{lines:?}");
    scene.now += SPAN;
    assert!(scene.hear().is_empty(), "what was told is told");
}

#[test]
fn a_server_whose_upses_are_new_at_every_look_cannot_fill_the_log() {
    let mut scene = Scene::new(1);
    let mut lines = 0;
    for look in 0..200 {
        let of_others = |ups| UpsSeen { feeds_host: false, ..seen(&format!("{look}-{ups}"), Ok(ON_BATTERY)) };
        let upses = (0..10).map(of_others).collect();
        lines += scene.publish(&id(SourceKind::Ups, "racks"), Observation::Upses(upses)).len();
    }
    assert!(lines <= 50, "{lines}");
}

#[test]
fn a_shutdown_that_begins_is_told_with_who_announced_it_and_how_and_that_it_is_over_too() {
    let mut scene = Scene::new(1);
    let system = id(SourceKind::Host, "system");
    let begun = Evidence { triggers: [ShutdownTrigger::SystemdPreparing].into(), ..Evidence::new(Sign::InProgress) };
    let lines = scene.publish(&system, Observation::Host(vec![begun]));
    assert_eq!(lines, ["WARN begun until it is taken back: systemd_preparing by system"]);
    let over = Evidence { denies: true, ..Evidence::new(Sign::Normal) };
    assert_eq!(scene.publish(&system, Observation::Host(vec![over])), ["INFO over"]);
    let begun = Evidence { triggers: [ShutdownTrigger::PowerchuteEvent].into(), ..Evidence::new(Sign::InProgress) };
    let lines = scene.publish(&system, Observation::Host(vec![begun]));
    assert_eq!(lines, ["WARN begun until a person or the boot: powerchute_event by system"]);
}

/// Holds R5: a name that is mistyped is told, not only counted as a UPS that is not heard.
#[test]
fn a_ups_that_a_load_names_and_its_server_does_not_list_is_told_once_the_server_has_answered() {
    let (mut scene, racks) = (Scene::new(1), id(SourceKind::Ups, "racks"));
    let count = |scene: &Scene| scene.board.snapshot().unlisted().count();
    let dead = scene.publish(&racks, Observation::Upses(vec![seen("racks", Err(UpsFault::Connect))]));
    assert!(dead.iter().all(|line| !line.contains("names")) && count(&scene) == 0, "{dead:?}");
    let upses = || Observation::Upses(["a", "c", "d", "e", "f"].map(|ups| seen(ups, Ok(ON_LINE))).to_vec());
    let said = scene.publish(&racks, upses());
    let expected = "WARN server names racks/b, there are a, c, d and 2 more";
    assert!(said.iter().any(|line| line == expected) && count(&scene) == 1, "{said:?}");
    assert!(scene.publish(&racks, upses()).is_empty(), "it is told once");
    scene.look(Ok(ON_LINE), Err(UpsFault::DataStale));
    assert_eq!(count(&scene), 0, "one that is listed and not heard is another matter");
}

/// Two hosts have a UPS of one name; each is told by itself, and only that of this host carries its load.
#[test]
fn a_ups_of_an_outside_host_is_told_with_its_host_and_without_a_load() {
    let mut scene = Scene::new(1);
    let own = id(SourceKind::Ups, "racks");
    let other = SourceId { host: Some(Label::new("win-01")), ..own.clone() };
    scene.board.expect([own.clone(), other.clone()].map(|id| (id, &[][..])));
    assert!(scene.look(Ok(ON_LINE), Ok(ON_LINE)).is_empty());
    let upses = |a| Observation::Upses(vec![UpsSeen { feeds_host: false, ..seen("a", a) }]);
    let ended = Timestamp::now();
    let pass = |observation| Pass { observation, trouble: None, ended, took: Duration::ZERO };
    scene.board.publish(&other, pass(upses(Ok(ON_BATTERY))));
    let lines = scene.hear();
    let [Line::Ups { ups, .. }] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((ups.host.as_ref().map(Label::as_str), ups.loads.as_deref()), (Some("win-01"), None));
    assert_eq!(said(&lines[0]), "WARN a of -: UPS is on battery (42 % 600 s)");
    assert!(scene.look(Ok(ON_LINE), Ok(ON_LINE)).is_empty(), "ours has not changed");
    scene.board.expect([(own, &[][..])]);
    assert!(scene.hear().is_empty());
}
