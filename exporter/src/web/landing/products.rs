//! The releases of products that a vendor's notice tells apart.

use std::fmt;

use jiff::Timestamp;

use super::html::{Cell, table};
use crate::overview::Severity;
use crate::overview::products::rows;
use crate::snapshot::Snapshot;

pub(super) fn section(out: &mut String, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let rows = rows(snapshot, now).into_iter().map(|row| {
        let has_problems = !row.seen.problems().is_empty();
        let is_affected = row.seen.stops().next().is_some();
        let end = row.end.map(|(severity, left, end)| {
            (if is_affected { severity } else { Severity::Fine }, format!("{left} ({})", end.basis()))
        });
        [
            Cell::of(row.seen.product.id()),
            Cell::of(row.seen.part),
            Cell::of(row.release),
            Cell::marked(if has_problems { Severity::Warning } else { Severity::Fine }, row.said),
            end.map_or_else(|| Cell::of("not known"), |(severity, left)| Cell::marked(severity, left)),
            row.seen.directory.as_ref().map_or_else(|| Cell::of("as configured"), Cell::of),
        ]
    });
    table(out, "Products", ["Product", "Part", "Release", "By its vendor's notice", "Certificate", "Where"], rows)
}
