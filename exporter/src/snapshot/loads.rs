//! Loads whose configuration names a UPS that nobody has.

use super::{Label, Pass, Snapshot, SourceId, SourceKind, UpsSeen};
use crate::shutdown::Member;

/// A UPS that a load names and that its server, which has answered, does not list: a typo, or a UPS that was taken away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unlisted {
    pub load: Label,
    pub source: Label,
    pub ups: Label,
    /// Some of those that it lists, for people.
    pub listed: String,
}

/// UPSes that are named in a message; a server can list thousands.
const MAX_NAMED: usize = 3;

impl Snapshot {
    /// Every one of them, load by load.
    pub fn unlisted(&self) -> impl Iterator<Item = Unlisted> {
        self.loads.iter().flat_map(|load| {
            load.members.iter().filter_map(|member| self.missing(member)).map(|(source, ups, upses)| Unlisted {
                load: load.name.clone(),
                source,
                ups,
                listed: named(upses),
            })
        })
    }

    fn missing(&self, Member { source, ups }: &Member) -> Option<(Label, Label, &[UpsSeen])> {
        let ups = ups.as_ref()?;
        let id = SourceId::own(SourceKind::Ups, source.clone());
        let pass: &Pass = self.sources.get(&id)?.pass.as_deref()?;
        let upses = pass.upses();
        let answers = |seen: &UpsSeen| match &seen.outcome {
            Ok(_) => true,
            Err(trouble) => trouble.reason.is_link_lost(),
        };
        // A server that lists none has answered too; of one that did not those are here that it listed before.
        let has_answered = pass.trouble.is_none() && (upses.is_empty() || upses.iter().any(answers));
        let is_listed = upses.iter().any(|seen| seen.ups == *ups);
        (has_answered && !is_listed).then(|| (source.clone(), ups.clone(), upses))
    }
}

fn named(upses: &[UpsSeen]) -> String {
    let names: Vec<&str> = upses.iter().take(MAX_NAMED).map(|seen| seen.ups.as_str()).collect();
    match upses.len().saturating_sub(MAX_NAMED) {
        0 if names.is_empty() => "none".to_owned(),
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
