//! Salts and IVs.

use aws_lc_rs::rand;

pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    rand::fill(&mut out).expect("aws-lc gives random bytes or aborts; it does not fail");
    out
}
