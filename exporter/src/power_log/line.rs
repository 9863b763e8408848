//! One line of the log.

use tracing::{info, warn};

use super::standing::Power;
use crate::shutdown::{CLEAR_COMMAND, Latch, LoadReport};
use crate::snapshot::{Label, Unlisted, UpsSeen};
use crate::ups::Quantity;

/// Something that has changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Ups {
        is_worse: bool,
        message: &'static str,
        ups: UpsNamed,
        state: Power,
        /// What it said when it was last heard.
        was: Option<Power>,
        consequence: Consequence,
    },
    /// It answers, and says nothing of its power.
    Mute {
        ups: UpsNamed,
    },
    Lost {
        ups: UpsNamed,
        reason: &'static str,
        detail: Option<String>,
    },
    Load {
        is_worse: bool,
        message: &'static str,
        load: LoadReport,
        host: &'static str,
    },
    /// A load names a UPS that nobody has.
    Unlisted(Unlisted),
    /// A shutdown has begun, or more is known of it.
    Begun(Latch),
    Over,
    /// Changes of a UPS, of a source's UPSes, of a load or of the host that were not told one by one.
    HeldBack {
        about: String,
        changes: u32,
        now: &'static str,
    },
}

/// Which UPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpsNamed {
    /// The outside host that it is seen of; absent for the host that this program runs on.
    pub(crate) host: Option<Label>,
    pub(crate) source: Label,
    pub(crate) ups: Label,
    pub(crate) feeds_host: bool,
    /// The loads that it shares with others, named.
    pub(crate) loads: Option<String>,
}

/// What its state means for what hangs on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Consequence {
    pub(crate) charge_percent: Option<f64>,
    pub(crate) runtime_seconds: Option<f64>,
    /// What it says in full, as in `ups_status`.
    pub(crate) status: String,
}

impl Consequence {
    pub(super) fn of(seen: &UpsSeen) -> Self {
        let Ok(reading) = &seen.outcome else { return Self::default() };
        let value = |quantity| reading.values.of(quantity);
        let statuses: Vec<&str> = reading.statuses.iter().map(|status| status.as_str()).collect();
        Self {
            charge_percent: value(Quantity::BatteryCharge).map(|ratio| (ratio * 100.0).round()),
            runtime_seconds: value(Quantity::BatteryRuntime).map(f64::round),
            status: statuses.join(","),
        }
    }
}

impl Line {
    pub(crate) fn write(self) {
        match self {
            Self::Ups { is_worse, message, ups, state, was, consequence } => {
                let UpsNamed { host, source, ups, feeds_host, loads } = ups;
                let host = host.as_ref().map(Label::as_str);
                let (state, was) = (state.as_str(), was.map(Power::as_str));
                let Consequence { charge_percent, runtime_seconds, status } = consequence;
                if is_worse {
                    warn!(host, %source, %ups, feeds_host, loads, state, was, runtime_seconds, charge_percent, status, "{message}");
                } else {
                    info!(host, %source, %ups, feeds_host, loads, state, was, runtime_seconds, charge_percent, status, "{message}");
                }
            }
            Self::Mute { ups: UpsNamed { host, source, ups, feeds_host, loads } } => {
                let host = host.as_ref().map(Label::as_str);
                info!(host, %source, %ups, feeds_host, loads, "UPS answers again, and says nothing of its power yet");
            }
            Self::Lost { ups: UpsNamed { host, source, ups, feeds_host, loads }, reason, detail } => {
                let host = host.as_ref().map(Label::as_str);
                warn!(host, %source, %ups, feeds_host, loads, reason, detail, "UPS is not heard");
            }
            Self::Load { is_worse, message, load, host } => {
                let LoadReport { name, members, healthy, min_healthy } = load;
                if is_worse {
                    warn!(load = %name, healthy, members, min_healthy, host, "{message}");
                } else {
                    info!(load = %name, healthy, members, min_healthy, host, "{message}");
                }
            }
            Self::Unlisted(Unlisted { load, source, ups, listed }) => warn!(
                %load, %source, %ups, listed,
                "`feeds` names a UPS that its server does not list, and counts it as not healthy; correct the name, or take it out"
            ),
            Self::Begun(latch) => {
                let (since, by, triggers) = (latch.since(), latch.names(), latch.trigger_names());
                let cause = latch.cause().map(Label::as_str);
                if latch.is_lasting() {
                    warn!(
                        %since, by, triggers, cause,
                        "a shutdown of this host has begun, and counts until the next boot; if the host stays up all the same, \
                         run `{CLEAR_COMMAND}`"
                    );
                } else {
                    warn!(
                        %since, by, triggers, cause,
                        "a shutdown of this host has begun, and counts until the next boot or until who announced it takes it \
                         back; if it is over and they do not, run `{CLEAR_COMMAND}`"
                    );
                }
            }
            Self::Over => info!("the shutdown of this host that had begun is over"),
            Self::HeldBack { about, changes, now } => {
                warn!(about, changes, now, "changes too often to be told one by one");
            }
        }
    }
}
