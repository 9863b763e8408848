//! `kagiban_client_repairs_*`: what came of the repairs of a server's clients. Nothing is here where none is repaired.

use super::table::{Family, Kind};
use crate::snapshot::{HELD_FOR, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_client_repairs",
        help: "Attempts to give a client the server's certificate, each once, when lists have said what came of it: `repaired`, when its program ended well and two that were begun 20 minutes apart have left the client out; after the pause, of an hour at least, `still_listed`, though the program ended well, `failed`, `timed_out`, or `cut_off` by the end of the exporter.",
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
        help: "How many clients stay without the server's certificate: every attempt was made on them, or none can be; absent while it is not known which attempts were made.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let mut known = snapshot.repairs.iter().filter_map(|(agent, seen)| Some((agent, seen.not_repaired?)));
            known.try_for_each(|(agent, count)| out.put(&[("agent", agent.as_str())], count))
        },
    },
    Family {
        name: "kagiban_clients_never_tried",
        help: "How many of the clients that stay no attempt was ever made on, since none can be: the list does not name them, or by what leads to no other host; absent while it is not known which attempts were made.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let mut known = snapshot.repairs.iter().filter_map(|(agent, seen)| Some((agent, seen.never_tried?)));
            known.try_for_each(|(agent, count)| out.put(&[("agent", agent.as_str())], count))
        },
    },
    Family {
        name: "kagiban_clients_repair_held",
        help: "Whether further clients are kept from being repaired for this reason; at most one is 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            snapshot.repairs.iter().try_for_each(|(agent, seen)| {
                let held = seen.trouble.as_ref().map(|trouble| trouble.reason);
                let mut reasons = HELD_FOR.into_iter();
                reasons.try_for_each(|reason| {
                    out.put(&[("agent", agent.as_str()), ("reason", reason)], held == Some(reason))
                })
            })
        },
    },
];

#[cfg(test)]
mod tests {
    use super::super::only;
    use super::super::table::encode;
    use super::*;
    use crate::snapshot::{Board, Label, RepairsSeen, Trouble};

    #[test]
    fn clients_that_were_never_tried_are_counted_apart_and_one_reason_at_most_holds_up_the_others() {
        let board = Board::default();
        let told = |trouble: Option<Trouble>| {
            let seen = RepairsSeen { not_repaired: Some(3), never_tried: Some(1), trouble, ..RepairsSeen::default() };
            board.note_repairs(&Label::new("av"), seen);
            let text = encode(FAMILIES, &only(&board.snapshot()));
            let not_zero = |line: &&str| !line.starts_with('#') && !line.ends_with(" 0");
            text.lines().filter(not_zero).map(|line| line.replace("kagiban_clients_", "")).collect::<Vec<_>>()
        };
        let stay = [r#"not_repaired{agent="av"} 3"#, r#"never_tried{agent="av"} 1"#];
        assert_eq!(told(None), stay);
        for reason in HELD_FOR {
            let held = format!("repair_held{{agent=\"av\",reason=\"{reason}\"}} 1");
            assert_eq!(told(Some(Trouble::new(reason, "")))[2..], [held]);
        }
        assert!(HELD_FOR.is_sorted());
        let trouble = Some(Trouble::new("in_use", ""));
        board.note_repairs(&Label::new("av"), RepairsSeen { trouble, ..RepairsSeen::default() });
        let text = encode(FAMILIES, &only(&board.snapshot()));
        assert!(!text.contains("kagiban_clients_n"), "nobody is told to stay, nor that nobody does: {text}");
    }
}
