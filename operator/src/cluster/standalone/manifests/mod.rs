//! The directory of manifests: what its files say, what of that is new, and what of it is gone.
//!
//! ```text
//!   files ──directory──> a look: resources, Secrets, problems ──follower──> admission ──> store
//!                      └──judged──> a plan                            └──gone──> deletions, or held until a person confirms
//! ```

mod contents;
mod declared;
mod directory;
mod follower;
mod gone;
mod judged;

pub(super) use contents::{Key, claims_of};
pub(crate) use directory::ManifestTrust;
pub(super) use directory::word;
pub(super) use follower::Follower;
pub(super) use gone::HeldDeletions;
pub(crate) use judged::{Judged, judge};
