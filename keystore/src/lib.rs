//! Keystores: bounded readers, writers, merge and semantic diff. Knows no product and no I/O.
//!
//! ```text
//! bytes --sniff--> format --+-- jks     (JKS, JCEKS) --+
//!                           +-- pkcs12               --+--> Store --+--> list
//!                           +-- pem, pkcs7, DER      --+            +--> diff
//!
//! old bytes, key, chain --merge--> new bytes      (read again and compared before they are handed out)
//! bytes, alias --open_key--> leaf                 (the key opens and belongs to it)
//! bytes --java_stream--> objects, as they come     (sealed keys of a JCEKS; the exporter's event logs)
//! ```
//! Who looks calls `read`: one part that cannot be read hides no other, and is a fault of the store. Who writes calls
//! `read_whole`, as merges do: what is not understood whole is not rewritten.
//! Every input is hostile until shown otherwise: readers are bounded by [`Limits`], never recurse without a limit, and never
//! allocate by a count they were told. Secrets live in wiped memory and appear in no `Debug` and no error.

#![forbid(unsafe_code)]

mod alias;
mod ber;
mod certificate;
mod certificates;
mod content;
mod cursor;
mod der;
mod diff;
mod distinguished_name;
mod error;
pub mod java_stream;
mod jks;
mod key_pair;
mod limits;
mod merge;
mod open_key;
mod pem;
mod pkcs12;
mod pkcs7;
mod pkix;
mod put;
mod random;
mod read;
mod sniff;
mod store;
mod text;
mod trusted;

pub use certificate::{Certificate, Defect, Time};
pub use content::{Content, Foreign};
pub use diff::{Change, Diff, Summary, diff};
pub use error::{MergeError, ReadError};
pub use limits::Limits;
pub use merge::{Merged, check_password, merge};
pub use open_key::{extract_key, open_key};
pub use pem::pem_block;
pub use put::{Merge, OnUnreadable, Trusted, TrustedPlace};
pub use read::{read, read_whole};
pub use sniff::sniff;
pub use store::{Entry, EntryKind, Fault, Format, KeyMaterial, PasswordCheck, Pkcs12Profile, Store};
pub use text::to_utf8;
