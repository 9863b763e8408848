//! `x509_file_*`, `x509_keystore_*`: every file, readable or not; of a source that is told in brief, those that fail.

use std::fmt;

use super::certificates::in_brief;
use super::table::{Family, Kind};
use crate::snapshot::{Contents, FileSeen, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "x509_file_up",
        help: "Whether all certificates of the file could be read; those that could are published in any case. A file that is named without a pattern is always here. Of a source with more than 1000 certificates, only files that fail or do not open with their password.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |at, file| out.put(&at, file.is_whole())),
    },
    Family {
        name: "x509_file_error",
        help: "Why certificates of the file could not be read, always 1; only reasons that hold are here. The log says where in the file.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |[source, path], file| {
                let mut troubles = file.troubles().iter();
                troubles.try_for_each(|trouble| out.put(&[source, path, ("reason", trouble.reason)], true))
            })
        },
    },
    Family {
        name: "x509_file_mtime_timestamp_seconds",
        help: "When the file was last written, in seconds since 1970; of a source with more than 1000 certificates, only of files that fail or do not open with their password.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |at, file| file.modified.map_or(Ok(()), |modified| out.put(&at, modified)))
        },
    },
    Family {
        name: "x509_file_certificates",
        help: "How many certificates of the file could be read; left out for a source with more than 1000.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |at, file| match &file.outcome {
                Ok(contents) => out.put(&at, contents.certificates.len()),
                Err(_) => Ok(()),
            })
        },
    },
    Family {
        name: "x509_files_skipped",
        help: "How many files patterns led to that are no certificates and are passed over: texts, requests, revocation lists, keys, empty files. A file that is named without a pattern is never.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            snapshot.passes().try_for_each(|(id, pass)| {
                let source = ("source", id.name.as_str());
                pass.skipped().try_for_each(|(kind, skipped)| out.put(&[source, ("kind", kind)], skipped.count))
            })
        },
    },
    Family {
        name: "x509_keystore_password_verified",
        help: "Whether the configured password, or without one the empty one, is the keystore's: 0 when it was read without one, or with a wrong one. Of a source with more than 1000 certificates, only those with 0.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |at, file| match file.outcome.as_ref().ok().and_then(|c| c.password_verified) {
                Some(verified) => out.put(&at, verified),
                None => Ok(()),
            })
        },
    },
    Family {
        name: "x509_keystore_password_empty",
        help: "No password is configured and the empty one opens the keystore, always 1: who can read the file can read its keys.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |at, file| match &file.outcome {
                Ok(contents) if contents.password_empty => out.put(&at, true),
                Ok(_) | Err(_) => Ok(()),
            })
        },
    },
];

fn each(snapshot: &Snapshot, mut put: impl FnMut([(&'static str, &str); 2], &FileSeen) -> fmt::Result) -> fmt::Result {
    for (id, pass) in snapshot.passes() {
        let brief = in_brief(pass);
        for file in pass.files().iter().filter(|file| !brief || !is_well(file)) {
            put([("source", id.name.as_str()), ("path", file.path.as_str())], file)?;
        }
    }
    Ok(())
}

/// Whether nobody has to look at the file.
fn is_well(file: &FileSeen) -> bool {
    let has_its_password = |contents: &Contents| contents.password_verified != Some(false) && !contents.password_empty;
    file.is_whole() && file.outcome.as_ref().is_ok_and(has_its_password)
}
