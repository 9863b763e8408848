//! States that exclude each other: a UPS that says both is published as it speaks, and counted.

use super::{Status, Statuses};

/// Of each pair one at most can hold: power from the line reaches the load, or it does not.
const EXCLUDE: &[(Status, Status)] = &[
    (Status::Online, Status::Off),
    (Status::Online, Status::Sleeping),
    (Status::Online, Status::OnBattery),
    (Status::Charging, Status::Discharging),
];

/// Whether a UPS contradicts itself.
pub fn contradicts_itself(statuses: &Statuses) -> bool {
    EXCLUDE.iter().any(|(one, other)| statuses.contains(one) && statuses.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_exclude_each_other_contradict_and_no_others() {
        for (statuses, expected) in [
            (&[Status::Online, Status::Off][..], true),
            (&[Status::Online, Status::Trim, Status::OnBattery], true),
            (&[Status::Online, Status::Charging], false),
            (&[Status::OnBattery, Status::Off], false),
            (&[], false),
        ] {
            assert_eq!(contradicts_itself(&statuses.iter().copied().collect()), expected, "{statuses:?}");
        }
    }
}
