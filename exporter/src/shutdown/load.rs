//! UPSes that share a load of this host: which of them the load hangs on.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::origin_record::OriginRecord;
use super::{HostState, Origin};
use crate::label::Label;

/// UPSes that share a load, and how many of them carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub name: Label,
    pub members: Vec<Member>,
    /// From 1 to the number of members.
    pub min_healthy: usize,
}

/// One of them: a UPS, or all that a source asks, which are healthy together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub source: Label,
    /// One UPS of a server that lists several.
    pub ups: Option<Label>,
}

/// How a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadReport {
    pub name: Label,
    pub members: usize,
    pub healthy: usize,
    pub min_healthy: usize,
}

/// What a group makes of its members.
#[derive(Debug)]
pub(super) struct Carried {
    /// Whose evidence counts for the host: those that the load hangs on.
    pub(super) by: BTreeSet<Origin>,
    pub(super) report: LoadReport,
}

/// How a member stands, from the one that the load can best do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MemberState {
    /// Nothing is known of it now, or it says that it gives no power.
    is_unknown: bool,
    state: HostState,
    /// Of two on battery the load hangs on the one that lasts longer.
    ends: std::cmp::Reverse<Timestamp>,
}

impl Member {
    pub(super) fn is(&self, origin: &Origin) -> bool {
        match origin {
            Origin::Ups { source, ups } => *source == self.source && self.ups.as_ref().is_none_or(|named| named == ups),
            Origin::Host { .. } => false,
        }
    }
}

impl Load {
    pub(crate) fn has(&self, origin: &Origin) -> bool {
        self.members.iter().any(|member| member.is(origin))
    }

    /// Whether one of them is this very UPS: it is missed when nobody has it any more.
    pub(super) fn names(&self, origin: &Origin) -> bool {
        self.members.iter().any(|member| member.ups.is_some() && member.is(origin))
    }

    /// As long as enough members are known, the host follows the best of them; otherwise all that any of them says.
    pub(super) fn carried<'a>(
        &self,
        origins: impl Iterator<Item = (&'a Origin, &'a OriginRecord)> + Clone,
        now: Timestamp,
    ) -> Carried {
        let mut standings: Vec<(Option<MemberState>, &Member)> = self
            .members
            .iter()
            .map(|member| {
                let upses = origins.clone().filter(|(origin, _)| member.is(origin));
                // Several UPSes that are one member are as good as the worst of them.
                (upses.map(|(_, known)| MemberState::of(known, now)).max(), member)
            })
            .collect();
        // One that was never heard is the last that the load can hang on.
        standings.sort_by_key(|(standing, _)| (standing.is_none(), *standing));
        let is_known = |standing: &Option<MemberState>| standing.is_some_and(|it| !it.is_unknown);
        let known = standings.iter().filter(|(standing, _)| is_known(standing)).count();
        let healthy = standings.iter().filter(|(standing, _)| is_known(standing) && is_healthy(*standing)).count();
        let enough = known >= self.min_healthy;
        let count = if enough { self.min_healthy } else { standings.len() };
        let carriers: Vec<&Member> = standings.iter().take(count).map(|(_, member)| *member).collect();
        Carried {
            by: origins
                .map(|(origin, _)| origin)
                .filter(|it| carriers.iter().any(|member| member.is(it)))
                .cloned()
                .collect(),
            report: LoadReport {
                name: self.name.clone(),
                members: self.members.len(),
                healthy,
                min_healthy: self.min_healthy,
            },
        }
    }
}

impl MemberState {
    fn of(known: &OriginRecord, now: Timestamp) -> Self {
        Self {
            is_unknown: !known.gives_power(),
            state: known.feed_state(now),
            ends: std::cmp::Reverse(known.end(now).unwrap_or(Timestamp::MAX)),
        }
    }
}

/// A test of the battery is none of an outage.
fn is_healthy(standing: Option<MemberState>) -> bool {
    standing.is_some_and(|standing| standing.state <= HostState::Testing)
}
