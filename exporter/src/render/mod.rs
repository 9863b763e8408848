//! From a snapshot to what Prometheus reads.
//!
//! ```text
//!   Snapshot ──families──> prometheus-client ──> OpenMetrics ──text──> text 0.0.4     when the snapshot changes
//!   Usage, build ────────────────────────────────────────────────────────────────>    when somebody scrapes
//! ```
//!
//! A family is a row of a table: its name, help, type, and how its samples come out of the snapshot. A value that is not
//! known is no sample.

mod certificates;
mod compat;
mod files;
mod probes;
mod program;
mod shutdown;
mod sources;
mod table;
mod text;
mod ups;

use hyper::body::Bytes;

use self::table::encode;
use crate::config::CompatSet;
use crate::snapshot::Snapshot;

pub use program::Program;

/// The two languages that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

/// A snapshot in both languages, without the end mark of OpenMetrics.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    text: Bytes,
    open_metrics: Bytes,
}

impl Format {
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
            shutdown::FAMILIES,
        ];
        let tables =
            own.into_iter().chain(CompatSet::ALL.into_iter().filter(|set| compat.contains(set)).map(compat::families));
        let open_metrics: String = tables.map(|families| encode(families, snapshot)).collect();
        Self { text: text::from_open_metrics(&open_metrics).into(), open_metrics: open_metrics.into() }
    }

    /// The whole answer to a scrape, in parts: what was rendered before, and what the program says of itself now.
    pub fn answer(&self, format: Format, program: &Program) -> [Bytes; 2] {
        let own = encode(program::FAMILIES, program);
        match format {
            Format::Text => [self.text.clone(), text::from_open_metrics(&own).into()],
            Format::OpenMetrics => [self.open_metrics.clone(), (own + "# EOF\n").into()],
        }
    }
}

#[cfg(test)]
mod tests;
