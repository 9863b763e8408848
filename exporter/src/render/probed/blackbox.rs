//! blackbox_exporter's names. What it publishes of a chain only when that is trusted is absent otherwise, and never a
//! year before the first.

use super::super::table::{Family, Kind};
use super::Probed;
use crate::snapshot::Label;

pub(super) const FAMILIES: &[Family<Probed>] = &[
    Family {
        name: "probe_success",
        help: "Whether the probe found what its module asks for.",
        kind: Kind::Gauge,
        samples: |probed, out| out.put(&[], probed.success),
    },
    Family {
        name: "probe_duration_seconds",
        help: "How long the probe took.",
        kind: Kind::Gauge,
        samples: |probed, out| out.put(&[], probed.took.as_secs_f64()),
    },
    Family {
        name: "probe_ssl_earliest_cert_expiry",
        help: "When the first certificate of the served chain expires, in seconds since 1970, trusted or not.",
        kind: Kind::Gauge,
        samples: |probed, out| {
            let earliest = probed.chain.iter().map(|certificate| certificate.not_after().as_second()).min();
            earliest.map_or(Ok(()), |at| out.put(&[], at))
        },
    },
    Family {
        name: "probe_ssl_last_chain_expiry_timestamp_seconds",
        help: "When the first certificate of the trusted chain expires, in seconds since 1970; absent when none is trusted.",
        kind: Kind::Gauge,
        samples: |probed, out| {
            let path = probed.path.iter().flatten();
            let earliest = path.map(|certificate| certificate.not_after().as_second()).min();
            earliest.map_or(Ok(()), |at| out.put(&[], at))
        },
    },
    Family {
        name: "probe_ssl_last_chain_info",
        help: "What the served leaf says, always 1.",
        kind: Kind::Gauge,
        samples: |probed, out| {
            let Some(leaf) = probed.chain.first() else { return Ok(()) };
            let fingerprint = hex::encode(leaf.sha256());
            let [issuer, subject, names] = [leaf.issuer(), leaf.subject(), &leaf.dns_names().join(",")].map(Label::new);
            let said = [
                ("fingerprint_sha256", fingerprint.as_str()),
                ("issuer", issuer.as_str()),
                ("subject", subject.as_str()),
                ("subjectalternative", names.as_str()),
                ("serialnumber", leaf.serial()),
            ];
            out.put(&said, true)
        },
    },
    Family {
        name: "probe_tls_version_info",
        help: "The negotiated TLS version, always 1.",
        kind: Kind::Gauge,
        samples: |probed, out| {
            let version = probed.seen.outcome.as_ref().ok().and_then(|served| served.tls_version);
            version.map_or(Ok(()), |version| out.put(&[("version", version)], true))
        },
    },
];
