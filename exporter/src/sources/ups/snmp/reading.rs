//! From what an agent answered, and what its traps told, to a reading.

use async_snmp::{Oid, Value};

use super::answers::{Answers, rows};
use super::inbox::TrapState;
use super::oids::{
    ALARM_DESCRIPTION, ALARM_ON_BATTERY, ALARMS, ALARMS_PRESENT, CHARGE_REMAINING, Cell, Meaning, ON_BATTERY_SOURCE,
    OUTPUT_SOURCE, OUTPUT_STATUS, Object, POWERNET, SECONDS_ON_BATTERY, Says, Side, TREES, Tree, UPS_MIB,
    WELL_KNOWN_ALARMS, Who,
};
use super::{lines, value};
use crate::label::Label;
use crate::snapshot::{Trouble, UpsTrouble};
use crate::ups::{Protocol, Reading, ShutdownTrigger, Status, Timer, UpsFault, Values, contradicts_itself};

/// The state of an outlet group, and that a command waits for it.
const GROUP_ON: i64 = 1;
const GROUP_OFF: i64 = 2;
const COMMAND_PENDING: i64 = 1;

/// # Errors
/// `comm_lost` when the agent has lost the UPS: its numbers are old then. An agent that has begun to shut its host down is
/// listened to nevertheless, without its numbers.
pub(super) fn read(answers: &Answers, told: &TrapState) -> Result<Reading, UpsTrouble> {
    let mut draft = Draft::default();
    for tree in TREES {
        for object in tree.scalars {
            if let Some(value) = answers.get(&tree.instance(object.at)) {
                draft.take(object, value);
            }
        }
        draft.take_tables(tree, answers);
    }
    draft.take_told(told);
    draft.decide_on_battery(&Signals::among(answers, told));
    draft.finish()
}

/// A reading that is being put together, and what only the whole decides.
#[derive(Default)]
struct Draft {
    reading: Reading,
    lines: Values,
    /// How many lines the agent counts, at its input and its output.
    line_counts: [Option<u32>; 2],
    comm_lost: bool,
    critical: bool,
    /// What the agent would name as the cause if it were critical.
    critical_cause: Option<Label>,
}

impl Draft {
    fn take(&mut self, object: &Object, value: &Value) {
        let values = &mut self.reading.values;
        match &object.meaning {
            Meaning::Number(quantity, scale) => match value::number(value) {
                Some(number) => values.put(*quantity, number * scale),
                None if value::is_misplaced_text(value) => values.refuse(*quantity),
                None => {}
            },
            Meaning::Tenths(quantity, scale) => {
                let Some(tenths) = value::number(value) else { return };
                let whole = values.of(*quantity).map(|known| known / (scale * 10.0));
                if whole.is_none_or(|whole| are_one(whole, tenths)) {
                    values.put(*quantity, tenths * scale);
                } else if tenths != 0.0 {
                    values.refuse(*quantity);
                }
            }
            Meaning::Timer(quantity) => {
                let Some(written) = value::written(value) else { return };
                self.reading.timers.insert(*quantity, Timer::read(Protocol::Snmp, *quantity, written));
            }
            Meaning::Date(quantity) => value::date(value).into_iter().for_each(|at| values.put(*quantity, at)),
            Meaning::Text(who) => self.name(*who, value::text(value)),
            Meaning::Enum(known) => {
                let Some(number) = value::whole(value) else { return };
                match known.iter().find(|(known, ..)| *known == number) {
                    Some((.., says)) => self.say(says),
                    None => self.unknown(&format!("{}={number}", object.name)),
                }
            }
            Meaning::Flags(known) => {
                let flags = value::flags(value).unwrap_or_default();
                let set = |number: usize| flags.get(number - 1) == Some(&b'1');
                known.iter().filter(|(number, _)| set(*number)).for_each(|(_, says)| self.say(says));
            }
            Meaning::Cause => self.critical_cause = value::text(value).or(self.critical_cause.take()),
            Meaning::Lines(side) => {
                self.line_counts[*side as usize] = value::whole(value).and_then(|count| count.try_into().ok());
            }
        }
    }

    /// What PowerNet calls a thing is more to the point than the general MIB, and the UPS's own version is not the agent's.
    fn name(&mut self, who: Who, text: Option<Label>) {
        let identity = &mut self.reading.identity;
        let place = match who {
            Who::Manufacturer => &mut identity.manufacturer,
            Who::Model => &mut identity.model,
            Who::Serial => &mut identity.serial,
            Who::Firmware => &mut identity.firmware,
            Who::AgentVersion => &mut identity.driver_version,
            Who::Description => &mut identity.description,
        };
        *place = text.or(place.take());
    }

    fn say(&mut self, says: &[Says]) {
        for says in says {
            match says {
                Says::Holds(status) => _ = self.reading.statuses.insert(*status),
                Says::Ended(result) => self.reading.self_test = Some(*result),
                Says::Alarm(name) => self.alarm(name),
                Says::TransferCause(cause) => self.reading.transfer_cause = Some(Label::new(cause)),
                Says::Beeps(beeper) => self.reading.beeper = Some(*beeper),
                Says::CommLost => self.comm_lost = true,
                Says::Critical => self.critical = true,
                Says::ShutdownCommanded => _ = self.reading.triggers.insert(ShutdownTrigger::SnmpAlarm),
            }
        }
    }

    fn alarm(&mut self, name: &str) {
        if self.reading.raise(name) {
            self.reading.statuses.insert(Status::Alarm);
        }
    }

    fn unknown(&mut self, word: &str) {
        let word = Label::new(word);
        if self.reading.unknown.len() < Reading::MAX_UNKNOWN && !self.reading.unknown.contains(&word) {
            self.reading.unknown.push(word);
        }
    }

    fn take_tables(&mut self, tree: &Tree, answers: &Answers) {
        for column in tree.columns {
            match column.cell {
                Cell::GroupPending => {
                    let waiting = rows(tree, column, answers);
                    let waiting = waiting.iter().filter(|(_, value)| value::whole(value) == Some(COMMAND_PENDING));
                    // A command that waits for a group that is off can only turn it on.
                    if waiting.into_iter().any(|(group, _)| is_on(tree, group, answers)) {
                        self.reading.triggers.insert(ShutdownTrigger::SnmpShutdownDelay);
                    }
                }
                Cell::AlarmDescription => {
                    for (_, value) in rows(tree, column, answers) {
                        self.take_alarm(column.name, value);
                    }
                }
                Cell::GroupState => {
                    for (group, state) in rows(tree, column, answers) {
                        let on = match value::whole(state) {
                            Some(GROUP_ON) => true,
                            Some(GROUP_OFF) => false,
                            _ => continue,
                        };
                        let group: Vec<_> = group.iter().map(u32::to_string).collect();
                        self.reading.switch(&format!("group.{}", group.join(".")), on);
                    }
                }
                Cell::Line(..) | Cell::Phase(..) | Cell::Feed(..) | Cell::FeedPhases(_) | Cell::FeedKind(_) => {}
            }
        }
        for side in [Side::Input, Side::Output] {
            // Only UPS-MIB counts its lines in scalars.
            let counted = self.line_counts[side as usize].filter(|_| tree.root == UPS_MIB.root);
            lines::take(tree, side, counted, answers, &mut self.reading.values, &mut self.lines);
        }
    }

    fn take_alarm(&mut self, column: &str, value: &Value) {
        let Some(named) = value.as_oid() else { return };
        match number_of_alarm(named) {
            Some(number) => self.well_known_alarm(number),
            None if named.starts_with(&UPS_MIB.oid(&WELL_KNOWN_ALARMS)) => self.unknown(&format!("{column}={named}")),
            None => self.alarm(&named.to_string()),
        }
    }

    fn well_known_alarm(&mut self, number: u32) {
        if let Some((_, name, says)) = ALARMS.iter().find(|(known, ..)| *known == number) {
            self.alarm(name);
            self.say(says);
        }
    }

    fn take_told(&mut self, told: &TrapState) {
        told.alarms.iter().for_each(|number| self.well_known_alarm(*number));
        self.comm_lost |= told.comms_lost;
        if let Some(cause) = &told.critical {
            self.critical = true;
            self.critical_cause = cause.clone().or(self.critical_cause.take());
        }
        if self.critical {
            self.reading.triggers.insert(ShutdownTrigger::PowerchuteCritical);
            self.reading.statuses.insert(Status::ShuttingDown);
            self.reading.cause = self.critical_cause.take();
        }
    }

    fn decide_on_battery(&mut self, signals: &Signals) {
        let statuses = &mut self.reading.statuses;
        if signals.on_battery() {
            statuses.insert(Status::OnBattery);
        }
        let said = statuses.clone();
        // While the UPS tests itself its battery carries the load, and the mains are there. A test that has drained the battery
        // protects no more than an outage does.
        let tested = statuses.contains(&Status::Testing) || statuses.contains(&Status::Calibrating);
        if tested && !statuses.contains(&Status::LowBattery) {
            statuses.remove(&Status::OnBattery);
        }
        // Several signals have decided it. That the UPS is off beside being on line stays as it was said.
        if statuses.contains(&Status::OnBattery) {
            statuses.remove(&Status::Online);
        }
        self.reading.is_decided = *statuses != said && contradicts_itself(&said);
        if signals.contradicted() {
            self.unknown(&format!("upsOutputSource={ON_BATTERY_SOURCE}"));
        }
    }

    fn finish(mut self) -> Result<Reading, UpsTrouble> {
        if !self.comm_lost {
            // What is known line by line stands for the one number that another MIB gives for all of them.
            self.reading.values.replace_by_phase(self.lines);
            return Ok(self.reading);
        }
        if !self.reading.statuses.contains(&Status::ShuttingDown) {
            return Err(Trouble::new(
                UpsFault::CommLost,
                "the agent answers and says that it has lost the UPS; look at the cable between them",
            ));
        }
        let Reading { identity, triggers, cause, .. } = self.reading;
        let statuses = [Status::CommLost, Status::ShuttingDown].into();
        Ok(Reading { identity, triggers, cause, statuses, ..Reading::default() })
    }
}

/// What tells of UPS-MIB agents whether the battery carries the load. There are agents whose source says `battery` on mains.
struct Signals {
    /// Whether the source says `battery`.
    source: Option<bool>,
    /// Whether the alarm stands, where it is known which ones do.
    alarm: Option<bool>,
    seconds: Option<f64>,
    full: bool,
    /// A PowerNet agent says it outright.
    outright: bool,
}

impl Signals {
    fn among(answers: &Answers, told: &TrapState) -> Self {
        let scalar = |at: &[u32]| answers.get(&UPS_MIB.instance(at));
        let alarm = told.alarms.contains(&ALARM_ON_BATTERY)
            || alarm_names(answers).any(|named| number_of_alarm(named) == Some(ALARM_ON_BATTERY));
        let counted = scalar(&ALARMS_PRESENT).and_then(value::number);
        let outright = answers.get(&POWERNET.instance(&OUTPUT_STATUS)).and_then(value::whole);
        Self {
            source: scalar(&OUTPUT_SOURCE).and_then(value::whole).map(|source| source == ON_BATTERY_SOURCE),
            alarm: (alarm || counted.is_some()).then_some(alarm),
            seconds: scalar(&SECONDS_ON_BATTERY).and_then(value::number),
            full: scalar(&CHARGE_REMAINING).and_then(value::number).is_some_and(|charge| charge >= 100.0),
            outright: outright.is_some_and(|status| (2..=28).contains(&status)),
        }
    }

    fn on_battery(&self) -> bool {
        let seconds = self.seconds.map(|seconds| seconds > 0.0);
        let signals = [self.source, self.alarm, seconds];
        let count = |says| signals.iter().filter(|signal| **signal == Some(says)).count();
        // Full, and for no second on its battery: that counts twice. In the first second of an outage the alarm outweighs it.
        let denied = count(false) + usize::from(seconds == Some(false) && self.full);
        let claimed = count(true);
        !self.outright && claimed > 0 && claimed >= denied
    }

    fn contradicted(&self) -> bool {
        self.source == Some(true) && !self.outright && !self.on_battery()
    }
}

/// Whether an object in whole units and one in tenths say the same. Cards that do not fill one of them leave it at 0: the one in whole
/// units counts where they differ by more than rounding does, unless it is the one that is not filled.
fn are_one(whole: f64, tenths: f64) -> bool {
    const ROUNDING: f64 = 1.0 + 1e-6;
    whole == 0.0 || (whole - tenths / 10.0).abs() <= ROUNDING
}

fn is_on(tree: &Tree, group: &[u32], answers: &Answers) -> bool {
    let states = tree.columns.iter().filter(|column| matches!(column.cell, Cell::GroupState));
    states.into_iter().any(|column| {
        let instance = Oid::new(tree.root.iter().chain(column.at).chain(group).copied());
        answers.get(&instance).and_then(value::whole) == Some(GROUP_ON)
    })
}

/// The rows of the alarm table.
fn alarm_names(answers: &Answers) -> impl Iterator<Item = &Oid> {
    let column = UPS_MIB.oid(&ALARM_DESCRIPTION);
    answers.iter().filter(move |(instance, _)| instance.starts_with(&column)).filter_map(|(_, value)| value.as_oid())
}

/// Which of RFC 1628's alarms an object names. Some agents add the zero of a scalar to it.
pub(super) fn number_of_alarm(named: &Oid) -> Option<u32> {
    match named.strip_prefix(&UPS_MIB.oid(&WELL_KNOWN_ALARMS))?.arcs() {
        [number] | [number, 0] if ALARMS.iter().any(|(known, ..)| known == number) => Some(*number),
        _ => None,
    }
}

/// Whether an agent that answered so has anything of a UPS to say.
pub(super) fn is_of_a_ups(answers: &Answers) -> bool {
    TREES.iter().any(|tree| answers.keys().any(|instance| instance.arcs().starts_with(tree.root)))
}
