//! `kagiban_source_*`, `x509_source_*`: how looking goes.

use std::fmt;

use super::table::{Family, Kind, Samples, Value};
use crate::snapshot::{Pass, Snapshot, SourceId, SourceKind, SourceState};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_source_up",
        help: "Whether the last look of the source, as a whole, succeeded.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_pass(snapshot, any, out, |pass| pass.is_up().into()),
    },
    Family {
        name: "kagiban_source_errors",
        help: "What went wrong while looking, by reason.",
        kind: Kind::Counter,
        samples: |snapshot, out| errors(snapshot, any, out),
    },
    Family {
        name: "kagiban_source_last_success_timestamp_seconds",
        help: "When the source was last looked at with success, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| last_success(snapshot, any, out),
    },
    Family {
        name: "x509_source_up",
        help: "Whether the last look of the source of certificate files, as a whole, succeeded.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_pass(snapshot, reads_files, out, |pass| pass.is_up().into()),
    },
    Family {
        name: "x509_source_files",
        help: "How many files the source has.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_pass(snapshot, reads_files, out, |pass| pass.files().len().into()),
    },
    Family {
        name: "x509_source_errors",
        help: "What went wrong while looking at certificate files, by reason; a file that stays unreadable counts at each look.",
        kind: Kind::Counter,
        samples: |snapshot, out| errors(snapshot, reads_files, out),
    },
    Family {
        name: "x509_source_last_success_timestamp_seconds",
        help: "When the source of certificate files was last looked at with success, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| last_success(snapshot, reads_files, out),
    },
    Family {
        name: "x509_source_scan_duration_seconds",
        help: "How long the last look at the source's files took.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_pass(snapshot, reads_files, out, |pass| pass.took.as_secs_f64().into()),
    },
    Family {
        name: "kagiban_config_last_reload_successful",
        help: "Whether the last attempt to load the configuration succeeded; when not, the one before is in force.",
        kind: Kind::Gauge,
        samples: |snapshot, out| snapshot.reload.map_or(Ok(()), |reload| out.put(&[], reload.successful)),
    },
    Family {
        name: "kagiban_config_last_reload_success_timestamp_seconds",
        help: "When the configuration in force was loaded, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| snapshot.reload.map_or(Ok(()), |reload| out.put(&[], reload.last_success.as_second())),
    },
    Family {
        name: "kagiban_web_config_last_reload_successful",
        help: "Whether the last attempt to read the web configuration file and its certificates succeeded; when not, the ones before are in force.",
        kind: Kind::Gauge,
        samples: |snapshot, out| snapshot.web_config.map_or(Ok(()), |reload| out.put(&[], reload.successful)),
    },
    Family {
        name: "kagiban_web_config_last_reload_success_timestamp_seconds",
        help: "When the web configuration in force was read, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            snapshot.web_config.map_or(Ok(()), |reload| out.put(&[], reload.last_success.as_second()))
        },
    },
    Family {
        name: "kagiban_host_api_up",
        help: "Whether the host API works; absent where none is configured.",
        kind: Kind::Gauge,
        samples: |snapshot, out| snapshot.host_api_up.map_or(Ok(()), |up| out.put(&[], up)),
    },
    Family {
        name: "kagiban_host_api_tls_last_reload_successful",
        help: "Whether the last attempt to read the host API's certificate, key, client CAs and revocation lists succeeded; when not, the ones before are in force.",
        kind: Kind::Gauge,
        samples: |snapshot, out| snapshot.host_api_tls.map_or(Ok(()), |tls| out.put(&[], tls.reload.successful)),
    },
    Family {
        name: "kagiban_host_api_certificate_not_after_timestamp_seconds",
        help: "When the host API's own certificate ends, in seconds since 1970; from then on no operator takes it for this host's.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let end = snapshot.host_api_tls.and_then(|tls| tls.certificate_not_after);
            end.map_or(Ok(()), |end| out.put(&[], end.as_second()))
        },
    },
    Family {
        name: "kagiban_host_api_client_crl_next_update_timestamp_seconds",
        help: "When the first of the host API's revocation lists expires, in seconds since 1970; from then on no client of its CA is let in.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let end = snapshot.host_api_tls.and_then(|tls| tls.crl_next_update);
            end.map_or(Ok(()), |end| out.put(&[], end.as_second()))
        },
    },
    Family {
        name: "kagiban_secret_file_exposed",
        help: "Whether others than this program's account may read a file that holds a key, a password or a community.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let mut files = snapshot.secret_files.iter();
            files.try_for_each(|file| out.put(&[("setting", &file.setting), ("path", &file.path)], file.exposed))
        },
    },
    Family {
        name: "kagiban_snmp_traps_listening",
        help: "Whether SNMP traps can be received; absent where none are to be.",
        kind: Kind::Gauge,
        samples: |snapshot, out| snapshot.traps.as_ref().map_or(Ok(()), |traps| out.put(&[], traps.listening)),
    },
    Family {
        name: "kagiban_snmp_traps",
        help: "What became of the datagrams that came where SNMP traps are received.",
        kind: Kind::Counter,
        samples: |snapshot, out| {
            let outcomes = snapshot.traps.iter().flat_map(|traps| &traps.outcomes);
            outcomes.into_iter().try_for_each(|(outcome, count)| out.put(&[("outcome", outcome)], *count))
        },
    },
];

const fn any(_: SourceKind) -> bool {
    true
}

const fn reads_files(kind: SourceKind) -> bool {
    matches!(kind, SourceKind::File | SourceKind::Agent)
}

fn labels(id: &SourceId) -> [(&'static str, &str); 2] {
    [("source_kind", id.kind.as_str()), ("source_name", id.name.as_str())]
}

fn of_kind(snapshot: &Snapshot, wanted: fn(SourceKind) -> bool) -> impl Iterator<Item = (&SourceId, &SourceState)> {
    snapshot.sources.iter().filter(move |(id, _)| wanted(id.kind))
}

fn each_pass(
    snapshot: &Snapshot,
    wanted: fn(SourceKind) -> bool,
    out: &mut Samples<'_, '_>,
    value: fn(&Pass) -> Value,
) -> fmt::Result {
    of_kind(snapshot, wanted)
        .filter_map(|(id, state)| Some((id, state.pass.as_deref()?)))
        .try_for_each(|(id, pass)| out.put(&labels(id), value(pass)))
}

fn errors(snapshot: &Snapshot, wanted: fn(SourceKind) -> bool, out: &mut Samples<'_, '_>) -> fmt::Result {
    for (id, state) in of_kind(snapshot, wanted) {
        let [kind, name] = labels(id);
        for (reason, count) in &state.errors {
            out.put(&[kind, name, ("reason", reason)], *count)?;
        }
    }
    Ok(())
}

fn last_success(snapshot: &Snapshot, wanted: fn(SourceKind) -> bool, out: &mut Samples<'_, '_>) -> fmt::Result {
    of_kind(snapshot, wanted)
        .filter_map(|(id, state)| Some((id, state.last_success?)))
        .try_for_each(|(id, at)| out.put(&labels(id), at.as_second()))
}
