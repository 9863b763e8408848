//! From a snapshot to what Prometheus reads.
//!
//! ```text
//!   Snapshot ──families──> prometheus-client ──> OpenMetrics ──text──> text 0.0.4     when the snapshot changes
//!   Usage, build ────────────────────────────────────────────────────────────────>    when somebody scrapes
//! ```
//!
//! A family is a row of a table: its name, help, type, and how its samples come out of the snapshot of one host. A value that is not
//! known is no sample. What is seen of other hosts from here goes through the same rows, host by host, and gets its label `host` where
//! samples are written: no row knows of it.

mod alerts;
mod certificates;
mod client_logs;
mod clients;
mod compat;
mod files;
mod functions;
mod health;
mod inventory;
mod probed;
mod probes;
mod products;
mod program;
mod repairs;
mod rotations;
mod shutdown;
mod sources;
mod table;
mod text;
mod ups;

use std::fmt;
use std::sync::Arc;

use hyper::body::Bytes;

use self::table::{Family, Kind, Subjects, encode};
use crate::config::CompatSet;
use crate::snapshot::Snapshot;

pub use probed::Probed;
pub use program::Program;

const END_OF_OPEN_METRICS: &[u8] = b"# EOF\n";

/// The two languages that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

/// A snapshot in both languages, without the end mark of OpenMetrics.
#[derive(Clone, Debug, Default)]
pub struct Rendered(Vec<Table>);

/// One table of families in both languages.
#[derive(Clone, Debug)]
struct Table {
    text: Bytes,
    open_metrics: Bytes,
}

impl ExpositionFormat {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Rendered {
    /// In our own names, and in those of `compat` too.
    pub fn new(snapshot: &Snapshot, compat: &[CompatSet]) -> Self {
        let own = [
            sources::FAMILIES,
            certificates::FAMILIES,
            files::FAMILIES,
            probes::FAMILIES,
            ups::FAMILIES,
            ups::QUANTITIES,
            health::FAMILIES,
            products::FAMILIES,
            alerts::FAMILIES,
            clients::FAMILIES,
            client_logs::FAMILIES,
            inventory::FAMILIES,
            shutdown::FAMILIES,
            repairs::FAMILIES,
            rotations::FAMILIES,
            functions::FAMILIES,
        ];
        let others = CompatSet::ALL.into_iter().filter(|set| compat.contains(set)).map(compat::families);
        let subjects = by_host(snapshot);
        Self(own.into_iter().chain(others).map(|families| Table::new(families, &subjects)).collect())
    }

    /// The whole answer to a scrape, in parts: what was rendered before, and what the program says of itself now.
    pub fn answer(&self, format: ExpositionFormat, program: &Program) -> Vec<Bytes> {
        Self::ended(self.0.iter().chain([&Table::new(program::FAMILIES, &only(program))]), format)
    }

    /// Without what the program says of itself: an answer about something else.
    pub fn alone(&self, format: ExpositionFormat) -> Vec<Bytes> {
        Self::ended(self.0.iter(), format)
    }

    fn ended<'a>(tables: impl Iterator<Item = &'a Table>, format: ExpositionFormat) -> Vec<Bytes> {
        let end = (format == ExpositionFormat::OpenMetrics).then(|| Bytes::from_static(END_OF_OPEN_METRICS));
        tables.map(|table| table.in_format(format)).chain(end).collect()
    }
}

/// This host and those that are looked at from here.
fn by_host(snapshot: &Snapshot) -> Arc<Subjects<Snapshot>> {
    let outside = snapshot.outside.iter().map(|(host, seen)| (Some(host.clone()), Arc::clone(seen)));
    [(None, Arc::new(snapshot.clone()))].into_iter().chain(outside).collect()
}

fn only<T: Clone>(subject: &T) -> Arc<Subjects<T>> {
    [(None, Arc::new(subject.clone()))].into()
}

impl Table {
    fn new<T: Send + Sync + fmt::Debug + 'static>(families: &'static [Family<T>], subjects: &Arc<Subjects<T>>) -> Self {
        let mut open_metrics = encode(families, subjects);
        // What it grew by is megabytes with ten thousand certificates.
        open_metrics.shrink_to_fit();
        // A gauge reads the same in both, and the tables that grow large are of gauges: they are kept once.
        let differs = families.iter().any(|family| family.kind == Kind::Counter);
        let text = differs.then(|| Bytes::from(text::from_open_metrics(&open_metrics)));
        let open_metrics = Bytes::from(open_metrics);
        Self { text: text.unwrap_or_else(|| open_metrics.clone()), open_metrics }
    }

    fn in_format(&self, format: ExpositionFormat) -> Bytes {
        match format {
            ExpositionFormat::Text => self.text.clone(),
            ExpositionFormat::OpenMetrics => self.open_metrics.clone(),
        }
    }
}

/// The names of what is published of UPSes, and whether they count up.
#[cfg(test)]
pub(crate) fn ups_families() -> impl Iterator<Item = (&'static str, bool)> {
    ups::FAMILIES.iter().chain(ups::QUANTITIES).map(|family| (family.name, family.kind == Kind::Counter))
}

#[cfg(test)]
mod documentation;
#[cfg(test)]
mod tests;
