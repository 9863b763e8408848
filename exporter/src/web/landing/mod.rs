//! The page for people: what needs them, then everything that is seen.
//!
//! ```text
//!   Snapshot ──> attention   what is wrong, the worst first
//!           ├──> shutdown    whether the host goes down
//!           ├──> upses, products, certificates, sources, outside   tables (html)
//! ```

mod attention;
mod certificates;
mod html;
mod outside;
mod products;
mod shutdown;
mod sources;
mod upses;

use std::fmt::{self, Write};

use jiff::Timestamp;
use kagiban_html::{END, begin};

use self::html::Escaped;
use super::TelemetryPath;
use crate::overview::Moment;
use crate::overview::shutdown::ShutdownView;
use crate::shutdown::HostStateReport;
use crate::snapshot::Snapshot;

/// What the page is made of.
pub(super) struct LandingPage<'a> {
    pub(super) host: &'a str,
    pub(super) metrics: &'a TelemetryPath,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: Timestamp,
    /// Absent while nobody knows.
    pub(super) shutdown: Option<&'a HostStateReport>,
    pub(super) probes: bool,
}

impl LandingPage<'_> {
    pub(super) fn html(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a String does not fail");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let (host, snapshot, now) = (Escaped(self.host), self.snapshot, self.now);
        let shutdown = self.shutdown.map(ShutdownView::from);
        begin(out, &format!("{}: kagiban-exporter", self.host))?;
        write!(
            out,
            "<header><h1>{host}</h1>\n<p>kagiban-exporter {version}, as of {at}</p>\n\
             <nav aria-label=\"Endpoints\"><a href=\"{metrics}\">Metrics</a> | <a href=\"/-/healthy\">Health</a> | \
             <a href=\"/-/ready\">Readiness</a></nav></header>\n<main>\n",
            version = env!("CARGO_PKG_VERSION"),
            at = Moment(now),
            metrics = self.metrics,
        )?;
        attention::section(out, snapshot, shutdown.as_ref(), now)?;
        shutdown::section(out, shutdown.as_ref(), now)?;
        upses::section(out, snapshot)?;
        products::section(out, snapshot, now)?;
        certificates::section(out, snapshot, now)?;
        sources::endpoints(out, snapshot)?;
        sources::section(out, snapshot)?;
        outside::section(out, snapshot, now)?;
        if self.probes {
            out.write_str("<p>One endpoint, now: <code>/probe?target=host:port</code></p>\n")?;
        }
        out.write_str(END)
    }
}

#[cfg(test)]
mod tests;
