//! The directory of manifests: what its files say, what of that is new, and what of it is gone.
//!
//! ```text
//!   files ──directory──> a look: resources, Secrets, problems ──follower──> admission ──> store
//!                                                                   └──gone──> deletions, or held until a person confirms
//! ```

mod contents;
mod directory;
mod follower;
mod gone;

pub(super) use contents::{Key, claims_of};
pub(super) use directory::word;
pub(super) use follower::Follower;
