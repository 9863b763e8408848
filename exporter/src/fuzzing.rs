//! What reads bytes from outside, each behind one function that takes any: for the fuzzer in `tests/fuzz`.

/// What upsd sends, through parser and mapping.
pub fn nut(bytes: &[u8]) {
    crate::sources::read_nut_bytes(bytes);
}

/// What apcupsd sends, through parser and mapping.
pub fn nis(bytes: &[u8]) {
    crate::sources::read_nis_bytes(bytes);
}

/// A datagram of an SNMP agent: as an answer through the mapping, and as a trap.
pub fn snmp(bytes: &[u8]) {
    crate::sources::read_snmp_bytes(bytes);
}
