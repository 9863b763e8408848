//! `kagiban_client_repairs_*`: what came of the repairs of a server's clients. Nothing is here where none is repaired.

use super::table::{Family, Kind};
use crate::snapshot::Snapshot;

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_client_repairs",
        help: "Attempts to give a client the server's certificate, each once, when a list has said what came of it: `repaired`, `still_listed` though the program ended well, `failed`, `timed_out`, `cut_off` by the end of the exporter.",
        kind: Kind::Counter,
        samples: |snapshot, out| {
            snapshot.repairs.iter().try_for_each(|(agent, seen)| {
                let mut results = seen.results.iter();
                results
                    .try_for_each(|(result, count)| out.put(&[("agent", agent.as_str()), ("result", result)], *count))
            })
        },
    },
    Family {
        name: "kagiban_clients_not_repaired",
        help: "How many clients stay without the server's certificate: every attempt was made on them, or their names are none of hosts.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let mut repairs = snapshot.repairs.iter();
            repairs.try_for_each(|(agent, seen)| out.put(&[("agent", agent.as_str())], seen.not_repaired))
        },
    },
];
