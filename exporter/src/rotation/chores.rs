//! What a rotator does besides rotating, when its time comes.

use tokio::time::Instant;

use super::backoff::Backoff;

/// When what has to wait is looked at again.
#[derive(Debug, Default)]
pub(super) struct Chores {
    /// While the agent is frozen.
    pub(super) freeze: Option<Backoff>,
    /// When it is started again if it is down then, at a look.
    pub(super) start: Option<Backoff>,
    pub(super) thaw: Option<Instant>,
    /// While the journal says less than the record in memory.
    pub(super) unsaved: Option<Backoff>,
    /// After a chain that never came could not be given up.
    pub(super) expiry: Option<Backoff>,
    /// Why left-over files could not be removed, as it was told last.
    pub(super) untidy: Option<String>,
    /// While that is so.
    pub(super) tidying: Option<Backoff>,
    /// Whether something of the rotation may be left: it went on in this process, or an earlier one could not remove all of it.
    pub(super) discard_due: bool,
}
