//! ssl_exporter: the names of its `tcp` prober.

use std::fmt;

use kagiban_keystore::Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::compat::{Described, Unique};
use super::super::table::{Family, Kind, Samples};
use super::Probed;
use crate::snapshot::{CertificateFacts, Label};

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
    let mut unique = Unique::default();
    for certificate in chain {
        let (facts, emails) = (CertificateFacts::of(certificate), emails(certificate));
        let more = [("chain_no", chain_no), ("emails", emails.as_str())];
        unique.put(out, &[&more[..], &Described::of(&facts).labels()].concat(), value(certificate))?;
    }
    Ok(())
}

/// `,a,b,`, as the other lists.
fn emails(certificate: &Certificate) -> Label {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate.der()) else { return Label::new("") };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Label::new("") };
    let email = |name: &GeneralName<'_>| match name {
        GeneralName::RFC822Name(email) => Some((*email).to_owned()),
        _ => None,
    };
    let emails: Vec<_> = names.value.general_names.iter().filter_map(email).take(MAX_SHOWN_NAMES).collect();
    if emails.is_empty() { Label::new("") } else { Label::new(&format!(",{},", emails.join(","))) }
}
