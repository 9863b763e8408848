#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;
mod mapping;
mod objects;
mod traps;

use proptest::prelude::*;

proptest! {
    #[test]
    fn any_bytes_and_any_change_of_good_ones_come_to_an_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        position in 0..60_usize,
        value in any::<u8>(),
    ) {
        super::read_bytes(&bytes);
        let mut good = traps::v2_trap("public", &async_snmp::oid!(1, 3, 6, 1, 4, 1, 318, 0, 790), vec![]).to_vec();
        let end = good.len() - 1;
        good[position.min(end)] = value;
        super::read_bytes(&good);
    }
}
