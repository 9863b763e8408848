//! From one snapshot to the next: what has changed, and whether it is told by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::allowance::LineAllowance;
use super::line::{Consequence, Line, UpsNamed};
use super::standing::{Lack, Power, RANK_LOST, UpsPowerState};
use crate::shutdown::{HostStateReport, Latch, LoadReport, Origin};
use crate::snapshot::{Label, Snapshot, SourceId, SourceKind, Unlisted, UpsSeen};

/// Changes of one UPS, of one load or of the host that are told one by one, within ten minutes.
const MOST_OF_ONE: u32 = 6;
/// The same of all UPSes of one source: their names come from outside, and can be new at every look.
const MOST_OF_SOURCE: u32 = 40;

/// What the log has been told.
#[derive(Debug)]
pub(crate) struct PowerLog {
    sources: BTreeMap<SourceId, SourceTold>,
    loads: BTreeMap<Label, LoadTold>,
    begun: Option<Latch>,
    allowance: LineAllowance,
}

#[derive(Debug)]
struct SourceTold {
    upses: BTreeMap<Label, UpsTold>,
    allowance: LineAllowance,
}

#[derive(Debug)]
struct UpsTold {
    /// What it said when it was last heard to say something.
    power: Option<Power>,
    /// Why it is not heard.
    lost: Option<&'static str>,
    allowance: LineAllowance,
}

#[derive(Debug)]
struct LoadTold {
    lack: Lack,
    unlisted: BTreeSet<Unlisted>,
    allowance: LineAllowance,
}

impl Default for PowerLog {
    fn default() -> Self {
        let (sources, loads) = (BTreeMap::new(), BTreeMap::new());
        Self { sources, loads, begun: None, allowance: LineAllowance::new(MOST_OF_ONE) }
    }
}

impl PowerLog {
    /// What is to be written of what has changed since the last time.
    pub(crate) fn hear(&mut self, snapshot: &Snapshot, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        self.upses(snapshot, now, &mut lines);
        self.loads(snapshot, now, &mut lines);
        self.host(snapshot.shutdown.as_ref(), now, &mut lines);
        lines
    }

    fn upses(&mut self, snapshot: &Snapshot, now: Instant, lines: &mut Vec<Line>) {
        let of_host = |host: &Option<Label>| match host {
            None => Some(snapshot),
            Some(host) => snapshot.outside.get(host).map(AsRef::as_ref),
        };
        self.sources.retain(|id, _| of_host(&id.host).is_some_and(|seen| seen.sources.contains_key(id)));
        let hosts = std::iter::once(snapshot).chain(snapshot.outside.values().map(AsRef::as_ref));
        for (id, pass) in hosts.flat_map(Snapshot::passes).filter(|(id, _)| id.kind == SourceKind::Ups) {
            let told = self.sources.entry(id.clone()).or_insert_with(SourceTold::new);
            told.upses.retain(|ups, _| pass.upses().iter().any(|seen| seen.ups == *ups));
            for seen in pass.upses() {
                let of_ups = told.upses.entry(seen.ups.clone()).or_insert_with(UpsTold::new);
                let named = || named(id, seen, snapshot);
                if let Some((rank, line)) = of_ups.change(UpsPowerState::of(seen, pass.ended), seen, &named)
                    && of_ups.allowance.admits(rank, now)
                    && told.allowance.admits(0, now)
                {
                    lines.push(line);
                }
                if let Some(changes) = of_ups.allowance.settle(now) {
                    let about = Origin::Ups { source: id.name.clone(), ups: seen.ups.clone() };
                    let about = format!("UPS {about}{}", of_outside(id));
                    lines.push(Line::HeldBack { about, changes, now: of_ups.state() });
                }
            }
            if let Some(changes) = told.allowance.settle(now) {
                let worst = told.upses.values().max_by_key(|ups| ups.rank()).map_or("gone", UpsTold::state);
                lines.push(Line::HeldBack {
                    about: format!("UPSes of {}{}", id.name, of_outside(id)),
                    changes,
                    now: worst,
                });
            }
        }
    }

    /// A load is not judged before each UPS was asked once: until then all are unheard.
    fn loads(&mut self, snapshot: &Snapshot, now: Instant, lines: &mut Vec<Line>) {
        let mut upses = snapshot.sources.iter().filter(|(id, _)| id.kind == SourceKind::Ups);
        let Some(report) = snapshot.shutdown.as_ref().filter(|_| upses.all(|(_, state)| state.pass.is_some())) else {
            return;
        };
        self.loads.retain(|name, _| report.loads().iter().any(|load| load.name == *name));
        let all_unlisted: Vec<_> = snapshot.unlisted().collect();
        for load in report.loads() {
            let told = self.loads.entry(load.name.clone()).or_insert_with(LoadTold::new);
            if let Some(line) = told.change(load, report)
                && told.allowance.admits(told.lack.rank(), now)
            {
                lines.push(line);
            }
            let unlisted = all_unlisted.iter().filter(|it| it.load == load.name).cloned().collect();
            let before = std::mem::replace(&mut told.unlisted, unlisted);
            let is_new = |it: &&Unlisted| !before.iter().any(|old| (&old.source, &old.ups) == (&it.source, &it.ups));
            for new in told.unlisted.iter().filter(is_new) {
                if told.allowance.admits(told.lack.rank(), now) {
                    lines.push(Line::Unlisted(new.clone()));
                }
            }
            if let Some(changes) = told.allowance.settle(now) {
                let about = format!("load {}", load.name);
                lines.push(Line::HeldBack { about, changes, now: told.lack.message() });
            }
        }
    }

    fn host(&mut self, report: Option<&HostStateReport>, now: Instant, lines: &mut Vec<Line>) {
        let begun = report.and_then(HostStateReport::latch);
        if self.begun.as_ref() != begun {
            self.begun = begun.cloned();
            if self.allowance.admits(u8::from(begun.is_some()), now) {
                lines.push(begun.cloned().map_or(Line::Over, Line::Begun));
            }
        }
        if let Some(changes) = self.allowance.settle(now) {
            let now = if self.begun.is_some() { "a shutdown has begun" } else { "no shutdown has begun" };
            lines.push(Line::HeldBack { about: "this host".to_owned(), changes, now });
        }
    }
}

impl SourceTold {
    fn new() -> Self {
        Self { upses: BTreeMap::new(), allowance: LineAllowance::new(MOST_OF_SOURCE) }
    }
}

impl UpsTold {
    const fn new() -> Self {
        Self { power: None, lost: None, allowance: LineAllowance::new(MOST_OF_ONE) }
    }

    /// What this look has changed, with its rank. A UPS that is on line when it is first heard is as it should be.
    fn change(
        &mut self,
        heard: UpsPowerState<'_>,
        seen: &UpsSeen,
        named: &impl Fn() -> UpsNamed,
    ) -> Option<(u8, Line)> {
        match heard {
            UpsPowerState::Lost { reason, detail } => {
                let before = self.lost.replace(reason);
                let line = || Line::Lost { ups: named(), reason, detail: detail.map(str::to_owned) };
                (before != Some(reason)).then(|| (RANK_LOST, line()))
            }
            UpsPowerState::Mute => self.lost.take().map(|_| (0, Line::Mute { ups: named() })),
            UpsPowerState::Power(state) => {
                let (lost, was) = (self.lost.take(), self.power.replace(state));
                let before = was.unwrap_or(Power::OnLine);
                if lost.is_none() && state == before {
                    return None;
                }
                let message = if lost.is_some() && state <= before { "UPS answers again" } else { state.message() };
                let is_worse = state > before && state != Power::Testing;
                let consequence = Consequence::of(seen);
                Some((state.rank(), Line::Ups { is_worse, message, ups: named(), state, was, consequence }))
            }
        }
    }

    fn rank(&self) -> u8 {
        let of_power = self.power.map_or(0, Power::rank);
        self.lost.map_or(of_power, |_| of_power.max(RANK_LOST))
    }

    fn state(&self) -> &'static str {
        match (self.lost, self.power) {
            (Some(reason), _) => reason,
            (None, Some(power)) => power.as_str(),
            (None, None) => "unknown",
        }
    }
}

impl LoadTold {
    fn new() -> Self {
        Self { lack: Lack::default(), unlisted: BTreeSet::new(), allowance: LineAllowance::new(MOST_OF_ONE) }
    }

    fn change(&mut self, load: &LoadReport, report: &HostStateReport) -> Option<Line> {
        let (before, lack) = (self.lack, Lack::of(load));
        self.lack = lack;
        let host = report.state().as_str();
        (lack != before).then(|| {
            let is_worse = lack > before;
            // The first UPS that is lost is the redundancy.
            let message =
                if is_worse && !lack.is_short { "load has lost a UPS of its redundancy" } else { lack.message() };
            Line::Load { is_worse, message, load: load.clone(), host }
        })
    }
}

/// Which host, where it is another one.
fn of_outside(id: &SourceId) -> String {
    id.host.as_ref().map_or_else(String::new, |host| format!(" on {host}"))
}

/// A UPS of another host carries no load of this one, whatever it is called.
fn named(id: &SourceId, seen: &UpsSeen, snapshot: &Snapshot) -> UpsNamed {
    let origin = Origin::Ups { source: id.name.clone(), ups: seen.ups.clone() };
    let loads = snapshot.loads.iter().filter(|load| id.host.is_none() && load.has(&origin));
    let loads: Vec<&str> = loads.map(|load| load.name.as_str()).collect();
    UpsNamed {
        host: id.host.clone(),
        source: id.name.clone(),
        ups: seen.ups.clone(),
        feeds_host: seen.feeds_host,
        loads: (!loads.is_empty()).then(|| loads.join(", ")),
    }
}
