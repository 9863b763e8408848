//! The values that stand for "none" instead of a number: one table for all backends and for the documentation.

use super::Quantity;

/// Who writes a value: it decides which values stand for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Network UPS Tools, over whichever driver.
    Nut,
    /// RFC 1628.
    UpsMib,
    /// APC's MIB.
    PowerNet,
}

/// Values of some quantities that say that there is none.
#[derive(Debug)]
pub struct Idle {
    pub quantities: &'static [Quantity],
    pub protocol: Protocol,
    /// As they are written, in the unit of the protocol.
    pub values: &'static [f64],
    /// Where they come from, for the documentation.
    pub origin: &'static str,
}

/// The countdowns of a UPS. Where none runs, a UPS, its card or its driver writes one of these, or a value that never moves:
/// see [`super::Countdowns`].
const COUNTDOWNS: &[Quantity] = &[Quantity::ShutdownTimer, Quantity::RebootTimer, Quantity::StartupTimer];
/// What agents write into objects of every type that they have no value for.
pub const ABSENT_IN_SNMP: &[f64] = &[-1.0, 4_294_967_295.0];

pub const IDLE: &[Idle] = &[
    Idle {
        quantities: COUNTDOWNS,
        protocol: Protocol::Nut,
        values: &[-1.0, -60.0, 0.0, 255.0 * 60.0, 65_535.0, 65_535.0 * 60.0],
        origin: "-1 in seconds or in minutes, -1 of a byte in minutes, -1 of 16 bits in seconds or in minutes, or 0, by driver",
    },
    Idle {
        quantities: &[Quantity::ShutdownDelay, Quantity::StartDelay],
        protocol: Protocol::Nut,
        values: &[-1.0],
        origin: "no delay is set",
    },
    Idle {
        quantities: COUNTDOWNS,
        protocol: Protocol::UpsMib,
        values: &[-1.0, 0.0, 65_535.0, 2_147_483_647.0, 4_294_967_295.0],
        origin: "-1 by RFC 1628; agents write 0, -1 of 16 bits, or the largest number too",
    },
    Idle { quantities: Quantity::ALL.as_slice(), protocol: Protocol::UpsMib, values: ABSENT_IN_SNMP, origin: ABSENT },
    Idle { quantities: Quantity::ALL.as_slice(), protocol: Protocol::PowerNet, values: ABSENT_IN_SNMP, origin: ABSENT },
];

const ABSENT: &str = "the object is not present";
/// Numbers are whole, or of some decimal places.
const SAME: f64 = 1e-6;

/// Whether a number, as it is written, stands for none.
pub fn is_idle(protocol: Protocol, quantity: Quantity, written: f64) -> bool {
    let rows = IDLE.iter().filter(|row| row.protocol == protocol && row.quantities.contains(&quantity));
    rows.flat_map(|row| row.values).any(|idle| (idle - written).abs() < SAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds R1: what real drivers and agents write while no countdown runs is none.
    #[test]
    fn what_drivers_and_agents_write_while_nothing_counts_down_is_idle() {
        for (protocol, written) in [
            // RFC 1628: -1 if no countdown is in effect.
            (Protocol::UpsMib, -1.0),
            (Protocol::UpsMib, 0.0),
            (Protocol::UpsMib, 65_535.0),
            (Protocol::UpsMib, 2_147_483_647.0),
            // tripplite_hid, cps-hid, powercom-hid, nutdrv_qx.
            (Protocol::Nut, 65_535.0),
            (Protocol::Nut, -60.0),
            (Protocol::Nut, 15_300.0),
            (Protocol::Nut, 0.0),
            (Protocol::Nut, -1.0),
        ] {
            assert!(is_idle(protocol, Quantity::ShutdownTimer, written), "{protocol:?} {written}");
            assert!(is_idle(protocol, Quantity::StartupTimer, written), "{protocol:?} {written}");
        }
        for written in [1.0, 20.0, 60.0, 120.0, 15_299.0, 65_534.0, f64::NAN] {
            assert!(!is_idle(Protocol::Nut, Quantity::ShutdownTimer, written), "{written}");
            assert!(!is_idle(Protocol::UpsMib, Quantity::ShutdownTimer, written), "{written}");
        }
        assert!(!is_idle(Protocol::Nut, Quantity::ShutdownDelay, 0.0), "a UPS may be set to wait for no second");
    }
}
