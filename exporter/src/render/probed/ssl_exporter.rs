//! ssl_exporter's names.

use std::collections::BTreeSet;
use std::fmt;

use kagiban_keystore::Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::table::{Family, Kind, Samples};
use super::Probed;
use crate::snapshot::Label;

/// A leaf with hundreds of names would make one label of kilobytes; the label is cut there anyway.
const MAX_SHOWN_NAMES: usize = 64;
/// We look for one chain, and so it is the first.
const CHAIN: &str = "0";

pub(super) const FAMILIES: &[Family<Probed>] = &[
    Family {
        name: "ssl_probe_success",
        help: "Whether the probe found what its module asks for.",
        kind: Kind::Gauge,
        samples: |probed, out| out.put(&[], probed.success),
    },
    Family {
        name: "ssl_prober",
        help: "How the endpoint was probed, always 1.",
        kind: Kind::Gauge,
        samples: |_, out| out.put(&[("prober", "tcp")], true),
    },
    Family {
        name: "ssl_tls_version_info",
        help: "The negotiated TLS version, always 1.",
        kind: Kind::Gauge,
        samples: |probed, out| {
            let version = probed.seen.outcome.as_ref().ok().and_then(|served| served.tls_version);
            version.map_or(Ok(()), |version| out.put(&[("version", version)], true))
        },
    },
    Family {
        name: "ssl_cert_not_after",
        help: "When a served certificate expires, in seconds since 1970, trusted or not.",
        kind: Kind::Gauge,
        samples: |probed, out| each(&probed.chain, "", out, |one| one.not_after().as_second()),
    },
    Family {
        name: "ssl_cert_not_before",
        help: "When a served certificate becomes valid, in seconds since 1970, trusted or not.",
        kind: Kind::Gauge,
        samples: |probed, out| each(&probed.chain, "", out, |one| one.not_before().as_second()),
    },
    Family {
        name: "ssl_verified_cert_not_after",
        help: "When a certificate of the trusted chain, its root included, expires, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |probed, out| each(path(probed), CHAIN, out, |one| one.not_after().as_second()),
    },
    Family {
        name: "ssl_verified_cert_not_before",
        help: "When a certificate of the trusted chain, its root included, becomes valid, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |probed, out| each(path(probed), CHAIN, out, |one| one.not_before().as_second()),
    },
];

fn path(probed: &Probed) -> &[Certificate] {
    probed.path.as_deref().unwrap_or_default()
}

fn each(
    chain: &[Certificate],
    chain_no: &str,
    out: &mut Samples<'_, '_>,
    value: fn(&Certificate) -> i64,
) -> fmt::Result {
    let mut seen = BTreeSet::new();
    for certificate in chain.iter().filter(|certificate| seen.insert(certificate.sha256())) {
        let said = Said::of(certificate);
        let labels = [
            ("chain_no", chain_no),
            ("serial_no", said.serial.as_str()),
            ("issuer_cn", said.issuer_cn.as_str()),
            ("cn", said.cn.as_str()),
            ("dnsnames", said.dns_names.as_str()),
            ("ips", said.addresses.as_str()),
            ("emails", said.emails.as_str()),
            ("ou", said.units.as_str()),
        ];
        out.put(&labels, value(certificate))?;
    }
    Ok(())
}

/// What the labels say of a certificate.
struct Said {
    /// Decimal.
    serial: Label,
    cn: Label,
    issuer_cn: Label,
    dns_names: Label,
    addresses: Label,
    emails: Label,
    units: Label,
}

impl Said {
    fn of(certificate: &Certificate) -> Self {
        let (serial, emails, units) = match X509Certificate::from_der(certificate.der()) {
            Ok((_, parsed)) => (parsed.serial.to_string(), emails(&parsed), units(&parsed)),
            Err(_) => Default::default(),
        };
        Self {
            serial: Label::new(&serial),
            cn: Label::new(certificate.subject_cn().unwrap_or_default()),
            issuer_cn: Label::new(certificate.issuer_cn().unwrap_or_default()),
            dns_names: list(certificate.dns_names()),
            addresses: list(&certificate.ip_addresses().iter().map(ToString::to_string).collect::<Vec<_>>()),
            emails: list(&emails),
            units: list(&units),
        }
    }
}

fn emails(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let email = |name: &GeneralName<'_>| match name {
        GeneralName::RFC822Name(email) => Some((*email).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(email).collect()
}

fn units(certificate: &X509Certificate<'_>) -> Vec<String> {
    let units = certificate.subject().iter_organizational_unit();
    units.filter_map(|unit| unit.as_str().ok().map(str::to_owned)).collect()
}

/// `,a,b,`: so that a selector finds one name by `.*,a,.*`.
fn list(names: &[String]) -> Label {
    if names.is_empty() {
        return Label::new("");
    }
    Label::new(&format!(",{},", names.iter().take(MAX_SHOWN_NAMES).map(String::as_str).collect::<Vec<_>>().join(",")))
}
