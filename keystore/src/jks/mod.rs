//! JKS and JCEKS, the two formats of Java that share one layout.
//!
//! ```text
//! magic  version  count  entry*  SHA-1(password as UTF-16BE, "Mighty Aphrodite", all before)
//! entry: tag  alias  date   1: sealed key, chain | 2: certificate | 3 (JCEKS): serialized SealedObject
//! ```
//! Nothing but keys is encrypted, and those one by one: certificates are read, and other entries kept, without a password.

mod alias;
pub(crate) mod merge;
mod protector;
mod read;
mod serialized;

pub(crate) use protector::open as open_sealed;
pub(crate) use read::{Body, RawKind, parse, read};

pub(crate) const JKS_MAGIC: [u8; 4] = [0xFE, 0xED, 0xFE, 0xED];
pub(crate) const JCEKS_MAGIC: [u8; 4] = [0xCE, 0xCE, 0xCE, 0xCE];

const TAG_KEY: u32 = 1;
const TAG_TRUSTED: u32 = 2;
const TAG_SECRET: u32 = 3;
const DIGEST_LENGTH: usize = 20;
