//! The values that stand for "none" instead of a number: one table for all backends and for the documentation.

use super::Quantity;

/// Who writes a value: it decides which values stand for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Network UPS Tools, over whichever driver.
    Nut,
    /// RFC 1628, and what else an SNMP agent answers.
    Snmp,
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
        protocol: Protocol::Snmp,
        values: &[0.0, 65_535.0, 2_147_483_647.0],
        origin: "-1 by RFC 1628; agents write 0, -1 of 16 bits, or the largest number too",
    },
];

/// Numbers are whole, or of some decimal places.
const SAME: f64 = 1e-6;

/// Whether a number, as it is written, stands for none.
pub fn is_idle(protocol: Protocol, quantity: Quantity, written: f64) -> bool {
    let rows = IDLE.iter().filter(|row| row.protocol == protocol && row.quantities.contains(&quantity));
    let absent = protocol == Protocol::Snmp && is_absent_in_snmp(written);
    absent || rows.flat_map(|row| row.values).any(|idle| (idle - written).abs() < SAME)
}

/// Whether an agent has no value for an object, whatever it is.
pub fn is_absent_in_snmp(written: f64) -> bool {
    ABSENT_IN_SNMP.iter().any(|absent| (absent - written).abs() < SAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds R1: RFC 1628, upsShutdownAfterDelay: "this object shall return a value of '-1' if no countdown is in effect".
    #[test]
    fn a_countdown_that_is_not_in_effect_is_none_by_its_standard() {
        assert!(is_idle(Protocol::Snmp, Quantity::ShutdownTimer, -1.0));
    }

    /// Holds R1: the numbers next to those that drivers write for none, and delays that people set.
    #[test]
    fn a_number_that_a_countdown_passes_through_is_one() {
        for written in [1.0, 20.0, 60.0, 120.0, 15_299.0, 65_534.0, f64::NAN] {
            assert!(!is_idle(Protocol::Nut, Quantity::ShutdownTimer, written), "{written}");
            assert!(!is_idle(Protocol::Snmp, Quantity::ShutdownTimer, written), "{written}");
        }
        assert!(!is_idle(Protocol::Nut, Quantity::ShutdownDelay, 0.0), "a UPS may be set to wait for no second");
    }
}
