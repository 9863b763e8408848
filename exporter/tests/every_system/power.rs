//! What Windows sees of its own power.

use super::{Place, once, text};

/// Whatever the machine has: a battery with its state, or none, and then nothing that looks like one.
#[test]
fn the_power_that_windows_sees_is_a_ups_of_this_host() {
    let place = Place::new();
    let output = once(&place.configure("discovery: {enabled: false}\nups: [{name: own, windowsPower: {}}]\n"));
    let (metrics, log) = (text(&output.stdout), text(&output.stderr));
    let of = |metric: &str| {
        let labels = format!("{metric}{{ups=\"own\",backend=\"windows_power\",target=\"localhost\"");
        metrics.lines().filter(|line| line.starts_with(&labels)).collect::<Vec<_>>()
    };
    let [up] = of("ups_up")[..] else { panic!("{metrics}{log}") };
    if up.ends_with(" 1") {
        assert!(!of("ups_status").is_empty(), "{metrics}{log}");
    } else {
        assert!(of("ups_poll_error").iter().any(|line| line.contains("reason=\"no_battery\"")), "{metrics}{log}");
        assert!(of("ups_battery_charge_ratio").is_empty(), "{metrics}{log}");
        assert!(log.contains("Windows sees no battery and no UPS"), "{log}");
    }
}
