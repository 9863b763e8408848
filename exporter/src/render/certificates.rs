//! `x509_cert_*`: every certificate, wherever it was seen.

use std::fmt;

use super::table::{Family, Kind, Samples};
use crate::snapshot::{Pass, SeenCertificate, Snapshot, SourceId};

/// A source with more certificates than this is told in brief: when each expires, and what fails. All that can be said of
/// ten thousand certificates is eight megabytes in every scrape.
const MAX_DESCRIBED: usize = 1_000;

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "x509_cert_not_after_timestamp_seconds",
        help: "When the certificate expires, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |at| out.put(&at.labels(), at.seen.facts.not_after)),
    },
    Family {
        name: "x509_cert_not_before_timestamp_seconds",
        help: "When the certificate becomes valid, in seconds since 1970; left out for a source with more than 1000 certificates.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_described(snapshot, |at| out.put(&at.labels(), at.seen.facts.not_before)),
    },
    Family {
        name: "x509_cert_info",
        help: "What the certificate says, always 1; left out for a source with more than 1000 certificates.",
        kind: Kind::Gauge,
        samples: info,
    },
    Family {
        name: "x509_cert_private_key",
        help: "Whether the certificate store of Windows notes a private key for the certificate; whether the key can be used is not tried. Certificates of files and endpoints are not here; left out for a source with more than 1000 certificates.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_described(snapshot, |at| match at.seen.has_private_key {
                Some(has_private_key) => out.put(&at.labels(), has_private_key),
                None => Ok(()),
            })
        },
    },
];

fn info(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    each_described(snapshot, |at| {
        let facts = &at.seen.facts;
        let fingerprint = hex::encode(facts.sha256);
        let described = [
            ("fingerprint_sha256", fingerprint.as_str()),
            ("subject", facts.subject.as_str()),
            ("issuer", facts.issuer.as_str()),
            ("san", facts.san.as_str()),
            ("key_algorithm", facts.key_algorithm.as_str()),
            ("key_bits", facts.key_bits.as_ref().map_or("", |bits| bits.as_str())),
            ("signature_algorithm", facts.signature_algorithm.as_str()),
        ];
        out.put(&[&at.labels()[..], &described].concat(), true)
    })
}

/// Whether only what matters most is told of the source.
pub(super) fn in_brief(pass: &Pass) -> bool {
    places(pass).count() > MAX_DESCRIBED
}

fn each_described(snapshot: &Snapshot, mut put: impl FnMut(&SightedCertificate<'_>) -> fmt::Result) -> fmt::Result {
    for (id, pass) in snapshot.passes().filter(|(_, pass)| !in_brief(pass)) {
        for place in places(pass) {
            put(&place.of(id, pass))?;
        }
    }
    Ok(())
}

pub(super) fn each(snapshot: &Snapshot, mut put: impl FnMut(&SightedCertificate<'_>) -> fmt::Result) -> fmt::Result {
    for (id, pass) in snapshot.passes() {
        for place in places(pass) {
            put(&place.of(id, pass))?;
        }
    }
    Ok(())
}

/// A certificate and where it stood.
pub(super) struct LocatedCertificate<'a> {
    format: &'a str,
    /// Empty for what an endpoint served.
    pub(super) path: &'a str,
    target: &'a str,
    seen: &'a SeenCertificate,
}

/// The same, and which source saw it.
pub(super) struct SightedCertificate<'a> {
    source: &'a str,
    pub(super) place: LocatedCertificate<'a>,
    chain_index: String,
    pub(super) seen: &'a SeenCertificate,
    /// When it was last looked at, in seconds since 1970.
    pub(super) looked_at: i64,
}

impl<'a> LocatedCertificate<'a> {
    fn of(self, id: &'a SourceId, pass: &Pass) -> SightedCertificate<'a> {
        let seen = self.seen;
        SightedCertificate {
            source: id.name.as_str(),
            chain_index: seen.chain_index.to_string(),
            seen,
            looked_at: pass.ended.as_second(),
            place: self,
        }
    }
}

impl SightedCertificate<'_> {
    fn labels(&self) -> [(&'static str, &str); 10] {
        let facts = &self.seen.facts;
        [
            ("source", self.source),
            ("format", self.place.format),
            ("path", self.place.path),
            ("target", self.place.target),
            ("alias", self.seen.alias.as_str()),
            ("chain_index", &self.chain_index),
            ("role", self.seen.role.as_str()),
            ("subject_cn", facts.subject_cn.as_ref().map_or("", |name| name.as_str())),
            ("issuer_cn", facts.issuer_cn.as_ref().map_or("", |name| name.as_str())),
            ("serial", facts.serial.as_str()),
        ]
    }
}

fn places(pass: &Pass) -> impl Iterator<Item = LocatedCertificate<'_>> {
    let in_files = pass.files().iter().filter_map(|file| Some((file, file.outcome.as_ref().ok()?))).flat_map(
        |(file, contents)| {
            let place =
                |seen| LocatedCertificate { format: contents.format, path: file.path.as_str(), target: "", seen };
            contents.certificates.iter().map(place)
        },
    );
    let on_endpoints = pass.probe().into_iter().flat_map(|probe| {
        let place = |seen| LocatedCertificate { format: "tls", path: "", target: probe.target.as_str(), seen };
        probe.certificates.iter().map(place)
    });
    in_files.chain(on_endpoints)
}
