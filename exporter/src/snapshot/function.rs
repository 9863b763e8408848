//! Whether an agent does its work, as it was seen last: by a look of its own, or by a rotation.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kagiban_agents::Product;
use kagiban_crds::host_api::{FunctionReport, FunctionSighting};

use super::{Label, Snapshot};

/// A clock that is being corrected goes back by less.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// An agent that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSeen {
    /// The configured name.
    pub agent: Label,
    pub product: Product,
    pub sighting: FunctionSighting,
    /// When it was last seen to work since this program was started, in this look or in one before it.
    pub worked_at: Option<Timestamp>,
}

/// The newest that is known of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFunction {
    pub product: Option<Product>,
    pub report: FunctionReport,
}

impl Snapshot {
    /// None where nothing was asked. A question of a rotation counts as one between rotations does.
    pub fn function(&self, agent: &Label) -> Option<AgentFunction> {
        self.function_at(agent, Timestamp::now())
    }

    /// What has a time that is still to come was seen by a clock that was ahead, and makes nothing that was seen since old.
    fn function_at(&self, agent: &Label, now: Timestamp) -> Option<AgentFunction> {
        let latest = now.checked_add(SKEW).unwrap_or(now);
        let has_been = |at: Timestamp| at <= latest;
        let seen = self.passes().filter_map(|(_, pass)| pass.function()).find(|seen| seen.agent == *agent);
        let rotation = self.rotations.get(agent).and_then(|rotations| rotations.known.as_ref());
        let of_rotation = rotation.and_then(|known| known.function.as_ref());
        let sightings = seen.map(|seen| &seen.sighting).into_iter().chain(of_rotation);
        let latest = sightings.max_by_key(|sighting| (has_been(sighting.at), sighting.at))?.clone();
        let times = [seen.and_then(|seen| seen.worked_at), rotation.and_then(|known| known.function_worked_at)];
        let worked_at = times.into_iter().flatten().filter(|at| has_been(*at)).max();
        let product = seen.map(|seen| seen.product).or_else(|| rotation?.product);
        Some(AgentFunction { product, report: FunctionReport { latest, worked_at } })
    }

    /// The agents that were asked.
    pub fn functions(&self) -> impl Iterator<Item = (&Label, AgentFunction)> {
        let asked = self.passes().filter_map(|(_, pass)| pass.function()).map(|seen| &seen.agent);
        let agents: BTreeSet<_> = asked.chain(self.rotations.keys()).collect();
        agents.into_iter().filter_map(|agent| Some((agent, self.function(agent)?)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kagiban_crds::host_api::FunctionState;

    use super::*;
    use crate::snapshot::{Board, Observation, Pass, RotationSeen, SourceId, SourceKind};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// A look that came into a restart says nothing of the agent that was proven after it.
    #[test]
    fn the_newest_question_counts_whoever_asked_it_and_no_time_at_which_it_worked_is_forgotten() {
        let (board, agent) = (Board::default(), Label::new("web"));
        let id = SourceId::own(SourceKind::Function, agent.clone());
        board.expect([(id.clone(), &[][..])]);
        assert_eq!(board.snapshot().function(&agent), None, "nothing was asked");
        let sighting = |state, second| FunctionSighting { state, at: at(second), failure: None };
        let looked = FunctionSeen {
            agent: agent.clone(),
            product: Product::TlsService,
            sighting: sighting(FunctionState::DoesNotWork, 20),
            worked_at: None,
        };
        let publish = |seen: FunctionSeen| {
            let (ended, observation) = (seen.sighting.at, Observation::Function(seen));
            board.publish(&id, Pass { observation, trouble: None, ended, took: Duration::ZERO });
        };
        let sighting_before = sighting(FunctionState::Works, 10);
        publish(FunctionSeen { sighting: sighting_before, worked_at: Some(at(10)), ..looked.clone() });
        // The configuration is loaded again: the sources are new, and what was seen stays.
        board.expect([(id.clone(), &[][..])]);
        publish(looked);
        for (rotation, state, worked_at) in [
            (None, FunctionState::DoesNotWork, 10),
            (Some(sighting(FunctionState::Works, 30)), FunctionState::Works, 30),
            (Some(sighting(FunctionState::Works, 15)), FunctionState::DoesNotWork, 15),
        ] {
            let known = rotation.map(|seen: FunctionSighting| RotationSeen {
                function_worked_at: Some(seen.at),
                function: Some(seen),
                ..RotationSeen::default()
            });
            board.note_rotation(&agent, None, known);
            let AgentFunction { product, report } = board.snapshot().function(&agent).expect("it was asked");
            assert_eq!((report.latest.state, report.worked_at), (state, Some(at(worked_at))));
            assert_eq!(product, Some(Product::TlsService));
        }
    }

    /// Else a rotation before the clock was set right would be the newest for as long as the clock was ahead.
    #[test]
    fn an_answer_of_a_time_that_is_still_to_come_is_older_than_any_other() {
        let (board, agent) = (Board::default(), Label::new("web"));
        let id = SourceId::own(SourceKind::Function, agent.clone());
        board.expect([(id.clone(), &[][..])]);
        let sighting = |state, second| FunctionSighting { state, at: at(second), failure: None };
        let ahead = RotationSeen {
            function_worked_at: Some(at(9000)),
            function: Some(sighting(FunctionState::Works, 9000)),
            ..RotationSeen::default()
        };
        board.note_rotation(&agent, None, Some(ahead));
        let told = |now| board.snapshot().function_at(&agent, at(now)).expect("it was asked").report;
        assert_eq!(
            (told(100).latest.state, told(100).worked_at),
            (FunctionState::Works, None),
            "nothing else is known"
        );
        let publish = |state, second, worked_at| {
            let sighting = sighting(state, second);
            let seen = FunctionSeen { agent: agent.clone(), product: Product::TlsService, sighting, worked_at };
            let observation = Observation::Function(seen);
            board.publish(&id, Pass { observation, trouble: None, ended: at(second), took: Duration::ZERO });
        };
        publish(FunctionState::Works, 90, Some(at(90)));
        publish(FunctionState::DoesNotWork, 100, None);
        assert_eq!((told(100).latest.state, told(100).worked_at), (FunctionState::DoesNotWork, Some(at(90))));
        assert_eq!((told(9000).latest.state, told(9000).worked_at), (FunctionState::Works, Some(at(9000))));
    }
}
