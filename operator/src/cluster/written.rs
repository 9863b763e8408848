//! What of a status is ours, and whether it is as it should be.

use std::collections::BTreeMap;

use kagiban_crds::resource::{Condition, ManagedAgentCertificateStatus};
use serde_json::{Map, Value, json};

use crate::decide::{ConditionType, Reason};

const CONDITIONS: &str = "conditions";

/// How a status that should be differs from the one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    None,
    /// In the messages of conditions and nothing else.
    Wording,
    Substance,
}

/// Compares what we write. Conditions of others and their order say nothing.
pub(crate) fn difference(
    wanted: &ManagedAgentCertificateStatus,
    is: Option<&ManagedAgentCertificateStatus>,
) -> Difference {
    let nothing = ManagedAgentCertificateStatus::default();
    let (is, wanted) = (parts(is.unwrap_or(&nothing)), parts(wanted));
    if is == wanted {
        Difference::None
    } else if without_words(is) == without_words(wanted) {
        Difference::Wording
    } else {
        Difference::Substance
    }
}

/// A merge patch that takes away what is there and should not be, if there is such. Of the conditions, those of others stay.
pub(super) fn leftovers(
    wanted: &ManagedAgentCertificateStatus,
    is: Option<&ManagedAgentCertificateStatus>,
) -> Option<Value> {
    let conditions = conditions_that_stay(wanted, is);
    let (wanted, is) = (fields(wanted), fields(is?));
    let left = is.keys().filter(|key| *key != CONDITIONS && !wanted.contains_key(*key));
    let mut patch: Map<_, _> = left.map(|key| (key.clone(), Value::Null)).collect();
    patch.extend(conditions.map(|conditions| (CONDITIONS.to_owned(), conditions)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The same of the conditions alone. They are a list with owners of its own.
pub(super) fn left_conditions(
    wanted: &ManagedAgentCertificateStatus,
    is: Option<&ManagedAgentCertificateStatus>,
) -> Option<Value> {
    conditions_that_stay(wanted, is).map(|conditions| json!({CONDITIONS: conditions}))
}

/// The same where one of them was written while the object could not be read, which no apply takes away.
pub(super) fn unapplied_conditions(
    wanted: &ManagedAgentCertificateStatus,
    is: Option<&ManagedAgentCertificateStatus>,
) -> Option<Value> {
    let is_unapplied =
        |condition: &Condition| condition.reason == Reason::Unreadable.as_str() && is_left_over(wanted, condition);
    is?.conditions.iter().any(is_unapplied).then(|| left_conditions(wanted, is)).flatten()
}

/// The list without what should not be there, if there is such.
fn conditions_that_stay(
    wanted: &ManagedAgentCertificateStatus,
    is: Option<&ManagedAgentCertificateStatus>,
) -> Option<Value> {
    let is = &is?.conditions;
    let kept: Vec<_> = is.iter().filter(|condition| !is_left_over(wanted, condition)).collect();
    (kept.len() < is.len()).then(|| json!(kept))
}

/// Whether it is of a type of ours, and is not wanted.
fn is_left_over(wanted: &ManagedAgentCertificateStatus, condition: &Condition) -> bool {
    let is_wanted = wanted.conditions.iter().any(|wanted| wanted.type_ == condition.type_);
    ConditionType::is_ours(&condition.type_) && !is_wanted
}

type Parts = (ManagedAgentCertificateStatus, BTreeMap<String, Condition>);

fn parts(status: &ManagedAgentCertificateStatus) -> Parts {
    let rest = ManagedAgentCertificateStatus { conditions: Vec::new(), ..status.clone() };
    let ours = status.conditions.iter().filter(|condition| ConditionType::is_ours(&condition.type_));
    (rest, ours.map(|condition| (condition.type_.clone(), condition.clone())).collect())
}

fn without_words((rest, mut conditions): Parts) -> Parts {
    for condition in conditions.values_mut() {
        condition.message.clear();
    }
    (rest, conditions)
}

fn fields(status: &ManagedAgentCertificateStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        // A status is an object
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(conditions: &[(&str, &str, &str)], blocked: Option<&str>) -> ManagedAgentCertificateStatus {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(kind, status, message)| {
                json!({
                    "type": kind, "status": status, "reason": "X", "message": message,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                })
            })
            .collect();
        let mut status = json!({"conditions": conditions});
        if let Some(blocked) = blocked {
            status["blockedBy"] = json!(blocked);
        }
        serde_json::from_value(status).expect("a status")
    }

    /// Holds B13: a condition of somebody else, or another order, is no difference.
    #[test]
    fn conditions_of_others_and_their_order_are_no_difference() {
        let wanted = status(&[("Ready", "True", ""), ("Issued", "True", "")], None);
        let is = status(&[("Issued", "True", ""), ("example.com/Seen", "True", "x"), ("Ready", "True", "")], None);
        assert_eq!(difference(&wanted, Some(&is)), Difference::None);
        assert_eq!(difference(&status(&[("Ready", "True", "")], None), Some(&is)), Difference::Substance);
    }

    /// Holds B8: other words for the same state are not the same as another state.
    #[test]
    fn other_words_are_told_apart_from_another_state() {
        let is = status(&[("Ready", "False", "the host said a")], None);
        assert_eq!(difference(&status(&[("Ready", "False", "the host said b")], None), Some(&is)), Difference::Wording);
        assert_eq!(
            difference(&status(&[("Ready", "True", "the host said a")], None), Some(&is)),
            Difference::Substance
        );
        assert_eq!(difference(&is, None), Difference::Substance);
    }

    /// Holds B13: what somebody else wrote where we write nothing is taken away.
    #[test]
    fn what_should_not_be_there_is_left_over() {
        let wanted = status(&[], None);
        assert_eq!(leftovers(&wanted, Some(&status(&[("Mine", "True", "")], None))), None);
        let left = leftovers(&wanted, Some(&status(&[("Mine", "True", "")], Some("OnBattery"))));
        assert_eq!(left, Some(json!({"blockedBy": null})));

        let wanted = status(&[("Ready", "True", "")], None);
        let is = status(&[("Ready", "False", ""), ("Mine", "True", ""), ("Stalled", "True", "")], None);
        let kept = status(&[("Ready", "False", ""), ("Mine", "True", "")], None).conditions;
        assert_eq!(leftovers(&wanted, Some(&is)), Some(json!({"conditions": kept})));
        assert_eq!(unapplied_conditions(&wanted, Some(&is)), None);
    }
}
