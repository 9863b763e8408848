//! `tls_*`: every endpoint, answering or not.

use std::fmt;

use super::table::{Family, Kind};
use crate::snapshot::{ProbeSeen, Served, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "tls_probe_success",
        help: "Whether the endpoint showed a certificate, trusted or not.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |at, probe| out.put(at, probe.outcome.is_ok())),
    },
    Family {
        name: "tls_probe_error",
        help: "Why no certificate was seen, always 1; only the reason that holds is here.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |at, probe| match &probe.outcome {
                Ok(_) => Ok(()),
                Err(trouble) => out.put(&with(at, ("reason", trouble.reason)), true),
            })
        },
    },
    Family {
        name: "tls_probe_handshake_complete",
        help: "Whether the handshake came to its end; a certificate can be seen before it breaks off.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_served(snapshot, |at, served| out.put(at, served.broken.is_none())),
    },
    Family {
        name: "tls_probe_handshake_error",
        help: "Why the handshake did not come to its end, always 1; old_version and old_cipher_suite: the server speaks \
               nothing newer, its certificate was read in the clear and its key not proven.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_served(snapshot, |at, served| match &served.broken {
                None => Ok(()),
                Some(broken) => out.put(&with(at, ("reason", broken.reason)), true),
            })
        },
    },
    Family {
        name: "tls_probe_verified",
        help: "Whether the chain is trusted for the server name by the configured or the system's authorities, and the server \
               has proven that it holds the key.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_served(snapshot, |at, served| out.put(at, served.refused.is_none())),
    },
    Family {
        name: "tls_probe_verify_error",
        help: "Why the server is not trusted, always 1; only the reason that holds is here. key_not_proven: its chain is trusted, \
               and its certificate was read from an unfinished handshake.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_served(snapshot, |at, served| match served.refused {
                None => Ok(()),
                Some(reason) => out.put(&with(at, ("reason", reason)), true),
            })
        },
    },
    Family {
        name: "tls_probe_chain_error",
        help: "Why certificates of the served chain could not be read, always 1, one for each reason; the log says which.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |at, probe| {
                probe.unread().iter().try_for_each(|t| out.put(&with(at, ("reason", t.reason)), true))
            })
        },
    },
    Family {
        name: "tls_probe_earliest_not_after_timestamp_seconds",
        help: "When the first certificate of the served chain expires, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |at, probe| {
                let whole = probe.outcome.as_ref().ok();
                let earliest = whole.and_then(|_| probe.certificates.iter().map(|seen| seen.facts.not_after).min());
                earliest.map_or(Ok(()), |not_after| out.put(at, not_after))
            })
        },
    },
    Family {
        name: "tls_probe_duration_seconds",
        help: "How long each phase of the last probe that saw a certificate took.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_served(snapshot, |at, served| {
                let phases = &served.phases;
                let named = [("dns", phases.dns), ("connect", phases.connect), ("handshake", phases.handshake)];
                named.into_iter().try_for_each(|(phase, took)| out.put(&with(at, ("phase", phase)), took.as_secs_f64()))
            })
        },
    },
    Family {
        name: "tls_version_info",
        help: "The TLS version that the server chose, always 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_served(snapshot, |at, served| {
                served.tls_version.map_or(Ok(()), |version| out.put(&with(at, ("version", version)), true))
            })
        },
    },
    Family {
        name: "tls_cipher_info",
        help: "The cipher suite that the server chose, always 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_served(snapshot, |at, served| match &served.cipher {
                None => Ok(()),
                Some(cipher) => out.put(&with(at, ("cipher", cipher.as_str())), true),
            })
        },
    },
];

type Labels<'a> = &'a [(&'static str, &'a str)];

/// What `/probe` was asked for has no source, as little as with other exporters that answer there.
fn each(snapshot: &Snapshot, mut put: impl FnMut(Labels<'_>, &ProbeSeen) -> fmt::Result) -> fmt::Result {
    let probes = snapshot.passes().filter_map(|(id, pass)| Some((id, pass.probe()?)));
    probes.into_iter().try_for_each(|(id, probe)| {
        let (source, target, server_name) = (id.name.as_str(), probe.target.as_str(), probe.server_name.as_str());
        let labels = [("source", source), ("target", target), ("server_name", server_name)];
        put(if source.is_empty() { &labels[1..] } else { &labels }, probe)
    })
}

fn each_served(snapshot: &Snapshot, mut put: impl FnMut(Labels<'_>, &Served) -> fmt::Result) -> fmt::Result {
    each(snapshot, |at, probe| probe.outcome.as_ref().map_or(Ok(()), |served| put(at, served)))
}

fn with<'a>(at: Labels<'a>, label: (&'static str, &'a str)) -> Vec<(&'static str, &'a str)> {
    at.iter().copied().chain([label]).collect()
}
