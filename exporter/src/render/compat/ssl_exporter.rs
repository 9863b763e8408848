//! ssl_exporter: the names of its `file` prober. Those of its `tcp` prober are on `/probe`.

use std::fmt;
use std::net::IpAddr;

use super::super::certificates::each;
use super::super::table::{Family, Kind, Samples};
use super::Unique;
use super::enix::decimal;
use crate::snapshot::{CertificateFacts, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "ssl_file_cert_not_after",
        help: "When the certificate in the file expires, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| in_files(snapshot, out, |facts| facts.not_after),
    },
    Family {
        name: "ssl_file_cert_not_before",
        help: "When the certificate in the file becomes valid, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| in_files(snapshot, out, |facts| facts.not_before),
    },
];

fn in_files(snapshot: &Snapshot, out: &mut Samples<'_, '_>, value: fn(&CertificateFacts) -> i64) -> fmt::Result {
    let mut unique = Unique::default();
    each(snapshot, |at| {
        if at.place.path.is_empty() {
            return Ok(());
        }
        let described = Described::of(&at.seen.facts);
        unique.put(out, &[&[("file", at.place.path)], &described.labels()[..]].concat(), value(&at.seen.facts))
    })
}

/// What ssl_exporter says of every certificate. Its lists stand between commas, so that a pattern finds a whole name.
pub(in crate::render) struct Described<'a> {
    facts: &'a CertificateFacts,
    serial_no: String,
    dnsnames: String,
    ips: String,
    ou: String,
}

impl<'a> Described<'a> {
    pub(in crate::render) fn of(facts: &'a CertificateFacts) -> Self {
        let names = facts.san.as_str().split(',').filter(|name| !name.is_empty());
        let (ips, dnsnames): (Vec<&str>, Vec<&str>) = names.partition(|name| name.parse::<IpAddr>().is_ok());
        Self {
            facts,
            serial_no: decimal(facts.serial.as_str()),
            dnsnames: list(&dnsnames),
            ips: list(&ips),
            ou: list(&organizational_units(facts.subject.as_str())),
        }
    }

    pub(in crate::render) fn labels(&self) -> [(&'static str, &str); 6] {
        let text = |label: &'a Option<crate::snapshot::Label>| label.as_ref().map_or("", |name| name.as_str());
        [
            ("serial_no", &self.serial_no),
            ("issuer_cn", text(&self.facts.issuer_cn)),
            ("cn", text(&self.facts.subject_cn)),
            ("dnsnames", &self.dnsnames),
            ("ips", &self.ips),
            ("ou", &self.ou),
        ]
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { String::new() } else { format!(",{},", names.join(",")) }
}

/// Of a subject as RFC 4514 writes it; a value with a comma inside is escaped there and is not taken apart.
fn organizational_units(subject: &str) -> Vec<&str> {
    let mut units = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in subject.char_indices().chain([(subject.len(), ',')]) {
        if c == ',' && !escaped {
            units.extend(subject[start..at].trim_start().strip_prefix("OU="));
            start = (at + 1).min(subject.len());
        }
        escaped = c == '\\' && !escaped;
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_of_a_subject_are_found_between_its_other_parts() {
        assert_eq!(organizational_units("CN=a,OU=Fleet,OU=UPS\\, rack,O=x"), ["Fleet", "UPS\\, rack"]);
        assert_eq!(organizational_units("OU=x"), ["x"]);
        assert_eq!(organizational_units(""), Vec::<&str>::new());
    }

    #[test]
    fn a_list_stands_between_commas_and_an_empty_one_is_no_label() {
        assert_eq!(list(&["a", "b"]), ",a,b,");
        assert_eq!(list(&[]), "");
    }
}
