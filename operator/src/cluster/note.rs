//! What an event says: one line in the log, and a note that is kept with the resource.

use kagiban_crds::resource::Metadata;

use crate::decide::{self, EventKind};
use crate::foreign::within;

/// An API server refuses a longer note; it counts bytes.
const LONGEST_NOTE: usize = 1000;

/// Writes the line. The note, in its length.
pub(super) fn logged(metadata: &Metadata, host: &str, told: &decide::Event) -> String {
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref().unwrap_or_default());
    let (reason, note) = (told.reason.as_str(), within(&told.message, LONGEST_NOTE));
    match told.kind {
        EventKind::Normal => tracing::info!(namespace, name, host, reason, "{note}"),
        EventKind::Warning => tracing::warn!(namespace, name, host, reason, "{note}"),
    }
    note
}
