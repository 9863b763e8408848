//! This program as a service of the system, where it registers itself as one.

use std::time::Duration;

use kagiban_service::ServiceProgram;

/// From the word that the system goes down to the stop: whoever asks for metrics in these seconds reads of it, and no rotation is taken
/// any more. systemd-logind lets programs delay a shutdown by as much.
const TOLD_BEFORE_STOP: Duration = Duration::from_secs(5);

/// The service of this program.
pub static SERVICE: ServiceProgram = ServiceProgram {
    name: "kagiban-exporter",
    display_name: "Kagiban exporter",
    description: "Publishes the expiry of certificates, UPSes and the shutdown state of this host to Prometheus.",
    directory: "kagiban",
    of_systemd: "`systemctl enable --now kagiban-exporter`, or kagiban-exporter-host-api where keystores are rotated; the packages have \
                 both units",
    stop_waits_for: "the service of an agent that is being rotated",
    told_before_stop: TOLD_BEFORE_STOP,
    // Until no service of an agent is down because of a rotation, with the defaults 390 s as `TimeoutStopSec` of the unit for systemd has
    // it, the seconds in which it is told before, and half a minute for what a host that goes down is slow at. Whoever has set it longer,
    // for longer timeouts of an agent, keeps that.
    preshutdown_within: Duration::from_secs(390)
        .saturating_add(TOLD_BEFORE_STOP)
        .saturating_add(Duration::from_secs(30)),
};
