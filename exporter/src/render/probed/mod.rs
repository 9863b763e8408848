//! The answer of `/probe`: one endpoint in our own families, and in those of the exporters that answer there.

mod blackbox;
mod ssl_exporter;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_keystore::Certificate;

use super::table::Family;
use super::{Rendered, Table, certificates, only, probes};
use crate::config::CompatSet;
use crate::snapshot::{Label, Observation, Pass, ProbeSeen, Snapshot, SourceId, SourceKind, SourceState};

/// The label `source` of the certificates that `/probe` shows.
const SOURCE: &str = "probe";

/// One endpoint, just now.
#[derive(Clone, Debug)]
pub struct Probed {
    pub seen: ProbeSeen,
    /// As served, leaf first; empty when no certificate was seen.
    pub chain: Vec<Certificate>,
    /// From the leaf to the authority that vouches for it; absent when none does.
    pub path: Option<Vec<Certificate>>,
    /// What the module asked for was there.
    pub success: bool,
    pub took: Duration,
}

impl Rendered {
    pub fn of_probe(probed: &Probed, compat: &[CompatSet]) -> Self {
        let ours = [(probes::FAMILIES, ""), (certificates::FAMILIES, SOURCE)];
        let ours = ours.map(|(families, source)| Table::new(families, &only(&alone(probed, source))));
        let aliases = CompatSet::ALL.into_iter().filter(|set| compat.contains(set)).map(families);
        Self(ours.into_iter().chain(aliases.map(|families| Table::new(families, &only(probed)))).collect())
    }
}

/// What a set publishes of one probe.
pub(super) const fn families(set: CompatSet) -> &'static [Family<Probed>] {
    match set {
        CompatSet::SslExporter => ssl_exporter::FAMILIES,
        CompatSet::Blackbox => blackbox::FAMILIES,
        CompatSet::Enix | CompatSet::ApcupsdExporter | CompatSet::NutExporter | CompatSet::Hon95 => &[],
    }
}

fn alone(probed: &Probed, source: &str) -> Snapshot {
    let id = SourceId::own(SourceKind::Tls, Label::new(source));
    let observation = Observation::Endpoint(probed.seen.clone());
    let pass = Pass { observation, trouble: None, ended: Timestamp::now(), took: probed.took };
    let state = SourceState { pass: Some(Arc::new(pass)), ..SourceState::default() };
    Snapshot { sources: [(id, state)].into(), ..Snapshot::default() }
}
