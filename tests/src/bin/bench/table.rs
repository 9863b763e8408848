//! How figures are shown.

use std::fmt;
use std::time::Duration;

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// Empty when it is the row above's.
    subject: &'static str,
    what: &'static str,
    figure: String,
    aim: Aim,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    None,
    Below(&'static str),
}

/// What was measured of the programs that do part of this work, once, on the machine that these aims were set on (two
/// cores): a reference, not a ratio to figures of another day and machine.
pub(crate) const PEERS: &str = "\
Reference, measured on another day (two cores; one PEM file per certificate; CPU-seconds are the better comparison):
  x509-certificate-exporter 4   53 MB; 10,000 certificates: ready 3.9 to 8.4 s, 237 to 258 MB, 620 to 750 ms CPU a scrape, 12.7 MB body
  cert-exporter                 47 MB; 10,000 certificates: ready 2.3 s, 95 MB, 203 ms CPU a scrape, 5.0 MB body
  ssl_exporter                  40 MB; 10,000 certificates: parses at each scrape, 129 MB, 512 ms CPU a scrape, 5.4 MB body
  apcupsd_exporter              10 MB; one UPS: 13 MB, 1.3 ms CPU a scrape, 52 kB body
  nut_exporter                  13 MB; one UPS, 24 variables: 16 MB, 2.0 ms CPU a scrape, 4.4 kB body
  prometheus-nut-exporter      4.6 MB; two UPSes: 4.6 MB, below 1 ms CPU a scrape, 6.8 kB body";

impl Row {
    pub(crate) fn new(subject: &'static str, what: &'static str, figure: String, aim: Aim) -> Self {
        Self { subject, what, figure, aim }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, what, figure, aim } = self;
        match aim {
            Aim::None => write!(f, "{subject:22} {what:26} {figure:>30}"),
            Aim::Below(words) => write!(f, "{subject:22} {what:26} {figure:>30}   aim < {words}"),
        }
    }
}

pub(crate) fn megabytes(bytes: u64) -> String {
    // Sizes of programs and processes: far below where an f64 loses whole numbers.
    let kibibytes = u32::try_from(bytes / 1024).map_or(f64::INFINITY, f64::from);
    format!("{:.2} MB", kibibytes / 1024.0)
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
