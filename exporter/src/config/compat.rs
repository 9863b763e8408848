//! `compat:` — names of other exporters under which the same facts are published too.

use serde::Deserialize;

/// The names of one other exporter: its dashboards and alert rules go on working.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompatSet {
    /// x509-certificate-exporter, by enix.
    Enix,
    SslExporter,
    /// blackbox_exporter; only on `/probe`.
    Blackbox,
    ApcupsdExporter,
    NutExporter,
    Hon95,
}

impl CompatSet {
    pub const ALL: [Self; 6] =
        [Self::Enix, Self::SslExporter, Self::Blackbox, Self::ApcupsdExporter, Self::NutExporter, Self::Hon95];

    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enix => "enix",
            Self::SslExporter => "ssl_exporter",
            Self::Blackbox => "blackbox",
            Self::ApcupsdExporter => "apcupsd_exporter",
            Self::NutExporter => "nut_exporter",
            Self::Hon95 => "hon95",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_written_as_it_calls_itself() {
        for set in CompatSet::ALL {
            assert_eq!(serde_yaml::from_str::<CompatSet>(set.as_str()).ok(), Some(set));
        }
    }
}
