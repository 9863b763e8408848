//! The salts of DES, which must not repeat under one key (RFC 3414, section 8.1.1.1).

use std::convert::Infallible;
use std::sync::OnceLock;

use async_snmp::{DesSaltState, PersistedDesSaltState};

/// The salts of this run, for every agent that knows nothing better than DES. The RFC counts runs, which needs a count that is kept;
/// a run's number is drawn at random instead. That two runs share one in two thousand million would show that two of their
/// requests begin alike, which is less than what DES shows by itself.
pub(super) fn des_salts() -> DesSaltState {
    static SALTS: OnceLock<DesSaltState> = OnceLock::new();
    SALTS.get_or_init(draw).clone()
}

fn draw() -> DesSaltState {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness, or nothing of TLS would work");
    // From 1 to 2^31 - 2, so that one more is a number of a run too.
    let run = (u32::from_ne_bytes(bytes) % (i32::MAX as u32 - 1)).max(1);
    let before = PersistedDesSaltState::new(run).expect("a number of a run");
    DesSaltState::restart(before, |_| Ok::<_, Infallible>(())).expect("nothing is kept that could fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_has_one_number_and_no_salt_twice() {
        let (one, other) = (des_salts(), des_salts());
        assert_eq!(one.engine_boots(), other.engine_boots());
        assert_ne!(one.reserve().expect("a salt").salt(), other.reserve().expect("a salt").salt());
        assert_ne!(draw().engine_boots(), draw().engine_boots());
    }
}
