//! The Lease that leaders hold.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::Epoch;
use serde_json::Value;

/// Who leads, and since when. It is written as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lease {
    pub holder: Option<String>,
    /// Beside the holder, so that both change in one write.
    pub epoch: Option<Epoch>,
    /// Others wait for this long after they last saw it change.
    pub duration: Duration,
    pub acquired: Option<Timestamp>,
    pub renewed: Option<Timestamp>,
    pub transitions: i32,
    /// Of the place where it is kept: a write with another than the last one is a conflict. None before it is created.
    pub version: Option<String>,
    /// What else stands in it there, and stays.
    pub stored: Value,
}
