//! `kagiban_agent_function_*`: whether agents do their work. Nothing is here of an agent that nobody asks about it.

use jiff::Timestamp;
use kagiban_agents::Product;
use kagiban_crds::host_api::FunctionState;

use super::table::{Family, Kind};
use crate::snapshot::{AgentFunction, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_agent_function_up",
        help: "Whether the agent did its work when it was asked last (1) or not (0), between rotations or in one; absent while that is not known.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            snapshot.functions().try_for_each(|(agent, AgentFunction { product, report })| match report.latest.state {
                FunctionState::Works => out.put(&labels(agent.as_str(), product), true),
                FunctionState::DoesNotWork => out.put(&labels(agent.as_str(), product), false),
                FunctionState::Unknown => Ok(()),
            })
        },
    },
    Family {
        name: "kagiban_agent_function_verified_timestamp_seconds",
        help: "When the agent was last seen to do its work, in seconds since 1970, between rotations or in one; absent while it was not since the exporter was started, nor in a rotation.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            snapshot.functions().try_for_each(|(agent, AgentFunction { product, report })| {
                let at = report.worked_at.map(Timestamp::as_second);
                at.map_or(Ok(()), |at| out.put(&labels(agent.as_str(), product), at))
            })
        },
    },
];

fn labels(agent: &str, product: Option<Product>) -> [(&'static str, &str); 2] {
    [("agent", agent), ("product", product.map_or("", Product::id))]
}
