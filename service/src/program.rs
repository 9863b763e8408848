//! Which program is a service, and what is particular to it.

use std::time::Duration;

/// A program of ours, as its service is called and behaves.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceProgram {
    /// The program's name, the service's, and that of its source of events.
    pub name: &'static str,
    /// What consoles show.
    pub display_name: &'static str,
    pub description: &'static str,
    /// What it keeps lies in the directory of this name, where the system has such directories.
    pub directory: &'static str,
    /// How it is run where systemd starts programs: what the message says.
    pub of_systemd: &'static str,
    /// What its stop may wait for: what the message says.
    pub stop_waits_for: &'static str,
    /// From the word that the system goes down to the stop.
    pub told_before_stop: Duration,
    /// How long a system that goes down waits for it, unless somebody has set it longer.
    pub preshutdown_within: Duration,
}

impl ServiceProgram {
    /// The account that Windows has for this service alone, with no right but what it is given, and no password.
    pub fn account(&self) -> String {
        format!(r"NT SERVICE\{}", self.name)
    }
}

#[cfg(test)]
pub(crate) static TESTED: ServiceProgram = ServiceProgram {
    name: "kagiban-tested",
    display_name: "Kagiban tested",
    description: "A program of a test.",
    directory: "kagiban-tested",
    of_systemd: "`systemctl enable --now kagiban-tested`",
    stop_waits_for: "a test",
    told_before_stop: Duration::from_secs(5),
    preshutdown_within: Duration::from_secs(425),
};
