//! That a shutdown has begun, and in which boot.

use std::fmt;

use jiff::Timestamp;

use super::Evidence;
use crate::label::Label;
use crate::ups::Triggers;

/// Which boot of the host: the kernel's random id.
#[derive(Clone, PartialEq, Eq)]
pub struct BootId(String);

/// A shutdown has begun. It goes on when power returns, when the one who said so is silent or takes it back, and when this
/// program is started again: only the next boot is the end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// When it was first heard.
    pub since: Timestamp,
    pub triggers: Triggers,
    /// The first one that was named, and when.
    pub cause: Option<(Timestamp, Label)>,
}

/// A boot id is a UUID; a file that names a longer one is not ours.
const MAX_BOOT_ID: usize = 64;

impl BootId {
    /// None for a text that cannot tell boots apart.
    pub fn new(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        (!text.is_empty() && text.len() <= MAX_BOOT_ID && plain).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Latch {
    pub(super) const fn new(since: Timestamp) -> Self {
        Self { since, triggers: Triggers::new(), cause: None }
    }

    /// Takes more of what set it off; in whatever order it comes at one time.
    pub(super) fn note(&mut self, begun: &Evidence, now: Timestamp) {
        self.triggers.extend(&begun.triggers);
        let named = begun.cause.clone().map(|cause| (now, cause));
        self.cause = self.cause.take().into_iter().chain(named).min();
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
