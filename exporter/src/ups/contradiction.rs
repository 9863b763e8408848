//! States that exclude each other: a UPS that says both is published as it speaks, and counted.

use super::{Status, Statuses, is_on_line};

/// Beside being on line, none of these can hold: power from the line reaches the load, or it does not.
const NOT_ON_LINE: &[Status] = &[Status::Off, Status::Sleeping, Status::OnBattery];

/// Whether a UPS contradicts itself.
pub fn contradicts_itself(statuses: &Statuses) -> bool {
    let holds = |status: &Status| statuses.contains(status);
    (is_on_line(statuses) && NOT_ON_LINE.iter().any(holds)) || (holds(&Status::Charging) && holds(&Status::Discharging))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_exclude_each_other_contradict_and_no_others() {
        for (statuses, expected) in [
            (&[Status::Online, Status::Off][..], true),
            (&[Status::Online, Status::Trim, Status::OnBattery], true),
            (&[Status::Trim, Status::Off], true),
            (&[Status::Boost, Status::OnBattery], true),
            (&[Status::Eco, Status::Sleeping], true),
            (&[Status::Charging, Status::Discharging], true),
            (&[Status::Trim, Status::Overload], false),
            (&[Status::Bypass, Status::OnBattery], false),
            (&[Status::Online, Status::Charging], false),
            (&[Status::OnBattery, Status::Off], false),
            (&[], false),
        ] {
            assert_eq!(contradicts_itself(&statuses.iter().copied().collect()), expected, "{statuses:?}");
        }
    }
}
