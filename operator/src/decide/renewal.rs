//! When a certificate is to be renewed.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::resource::RenewalSpec;
use sha2::{Digest, Sha256};

/// notAfter − renewBefore − a jitter that the uid fixes, always between notBefore and notAfter.
///
/// `renewBefore` is the spec's, else its percentage of the lifetime that was really issued, else a third of it; one
/// that does not fit into the issued lifetime is a third of it too. The jitter spreads a fleet that was installed in
/// one night: at most a tenth of renewBefore, and never more than half of the time that is left before it.
pub fn renewal_time(not_before: Timestamp, not_after: Timestamp, spec: RenewalSpec, uid: &str) -> Timestamp {
    let expiry = not_after.as_second();
    let lifetime = expiry.saturating_sub(not_before.as_second()).max(0);
    let before = renew_before(lifetime, spec);
    let most = (before / 10).min((lifetime - before) / 2);
    let seconds = expiry - before - jitter(uid, most);
    Timestamp::from_second(seconds).unwrap_or(not_after).min(not_after)
}

/// Within this of notAfter a rotation that is blocked is a risk of its own: a quarter of renewBefore.
pub(crate) fn near_expiry(not_before: Timestamp, not_after: Timestamp, spec: RenewalSpec) -> Timestamp {
    let lifetime = not_after.as_second().saturating_sub(not_before.as_second()).max(0);
    earlier(not_after, Duration::from_secs((renew_before(lifetime, spec) / 4).unsigned_abs()))
}

/// What a renewal would gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gain {
    Enough,
    /// The asked duration would end hardly later than the leaf in force; it will end late enough from then on.
    TooEarly(Timestamp),
    /// The issuer ends then, and waiting changes nothing.
    IssuerEnds(Timestamp),
}

/// What a renewal at that time would gain over a leaf that ends at `end`.
///
/// Each rotation restarts the agent, so one that moves the end by less than a tenth of the asked duration is not worth it.
/// This also bounds the rotations that a `renewBefore` close to the duration would ask for: ten in one lifetime.
pub(super) fn gain(at: Timestamp, end: Timestamp, duration: Duration, issuer_end: Option<Timestamp>) -> Gain {
    let wanted = later(end, (duration / LEAST_GAIN).max(SHORTEST_GAIN));
    match issuer_end.filter(|issuer_end| *issuer_end < later(at, duration)) {
        Some(issuer_end) if issuer_end < wanted => Gain::IssuerEnds(issuer_end),
        None if later(at, duration) < wanted => Gain::TooEarly(earlier(wanted, duration)),
        Some(_) | None => Gain::Enough,
    }
}

/// A renewal moves the end by at least this part of the asked duration.
const LEAST_GAIN: u32 = 10;
/// And by at least this: a rotation itself takes about as long.
pub(super) const SHORTEST_GAIN: Duration = Duration::from_secs(60);

pub(crate) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

pub(crate) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Seconds, from 0 to less than the lifetime (0 for a lifetime of 0).
fn renew_before(lifetime: i64, spec: RenewalSpec) -> i64 {
    let asked = match (spec.renew_before, spec.renew_before_percentage) {
        (Some(duration), _) => i64::try_from(duration.as_duration().as_secs()).ok(),
        // Divided first: lifetimes up to the year 9999 times a hundred do not fit otherwise
        (None, Some(percentage)) => (lifetime / 100).checked_mul(i64::from(percentage)),
        (None, None) => None,
    };
    asked.filter(|seconds| (1..lifetime).contains(seconds)).unwrap_or(lifetime / 3)
}

/// From 0 to `most`, the same for the same uid.
fn jitter(uid: &str, most: i64) -> i64 {
    let digest = Sha256::digest(uid.as_bytes());
    let fraction = digest.iter().take(4).fold(0i128, |sum, byte| sum << 8 | i128::from(*byte));
    i64::try_from((i128::from(most.max(0)) * fraction) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::tests::certificate;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("within jiff's range")
    }

    #[test]
    fn renewal_is_spread_over_a_tenth_of_renew_before() {
        let spec = certificate("2160h", Some("720h"), None).renewal();
        let (start, end) = (at(0), at(2160 * 3600));
        let hours: Vec<i64> = (0..500)
            .map(|n| (end.as_second() - renewal_time(start, end, spec, &format!("uid-{n}")).as_second()) / 3600)
            .collect();
        assert!(hours.iter().all(|h| (720..=792).contains(h)), "{hours:?}");
        assert!(hours.iter().any(|h| *h < 735) && hours.iter().any(|h| *h > 775), "not spread: {hours:?}");
    }

    #[test]
    fn a_percentage_of_a_lifetime_of_centuries_does_not_overflow() {
        let spec = certificate("876000h", None, Some(33)).renewal();
        let renewal = renewal_time(at(0), Timestamp::MAX, spec, "uid");
        assert!(renewal > at(0) && renewal < Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn renewal_is_never_after_expiry_nor_before_the_start(
            start in -1_000_000_000i64..250_000_000_000, lifetime in 0i64..4_000_000_000, percentage in proptest::option::of(1u8..=90),
            hours in proptest::option::of(1u64..876_000), uid: String,
        ) {
            let mut spec = certificate("2160h", None, percentage).renewal();
            spec.renew_before = hours.map(kagiban_crds::resource::GoDuration::from_hours);
            let (not_before, not_after) = (at(start), at((start + lifetime).min(253_000_000_000).max(start)));
            let renewal = renewal_time(not_before, not_after, spec, &uid);
            prop_assert!(renewal <= not_after && renewal >= not_before);
            prop_assert_eq!(renewal, renewal_time(not_before, not_after, spec, &uid));
        }
    }
}
