//! What needs a person.

use jiff::Timestamp;
use kagiban_crds::host_api::{FunctionReport, FunctionState};

use super::shutdown::ShutdownView;
use super::{Count, Item, Severity, Topic, alerts, certificates, client_logs, clients, fix, item, products, upses};
use crate::health::CheckResult;
use crate::platform::HINTS;
use crate::shutdown::{HostStateReport, LoadReport};
use crate::snapshot::{AgentFunction, KEY_NOT_PROVEN, Label, Reload, Snapshot, SourceKind, Trouble, Unlisted};

/// Why a handshake ended that no client of today comes to its end with.
const OUTDATED: [&str; 3] = ["group_not_spoken", "old_cipher_suite", "old_version"];

/// Everything that needs a person, of this host and then of those that are looked at from here; what is worse of one severity comes
/// first.
pub(crate) fn items(snapshot: &Snapshot, shutdown: Option<&ShutdownView>, now: Timestamp) -> Vec<Item> {
    let outside = snapshot.outside.iter();
    let outside = outside.flat_map(|(host, seen)| of_host(seen, None, now).into_iter().map(|item| item.of_host(host)));
    of_host(snapshot, shutdown, now).into_iter().chain(outside).collect()
}

/// The same of one host.
pub(crate) fn of_host(snapshot: &Snapshot, shutdown: Option<&ShutdownView>, now: Timestamp) -> Vec<Item> {
    let mut items = frozen(snapshot);
    items.extend(shutdown.and_then(|shutdown| going_down(shutdown, now)));
    items.extend(not_rotated(snapshot));
    items.extend(not_working(snapshot));
    items.extend(of_feeds(snapshot));
    items.extend(of_upses(snapshot));
    items.extend(failures(snapshot));
    items.extend(endpoints(snapshot));
    items.extend(of_certificates(snapshot, now));
    let of_products = products::items(snapshot, now).into_iter().chain(alerts::items(snapshot, now));
    let of_products = of_products.chain(clients::items(snapshot)).chain(client_logs::items(snapshot, now));
    items.extend(of_products.filter(|item| item.severity != Severity::Fine));
    items.extend(of_hardening(snapshot));
    items.extend(own(snapshot, now));
    items
}

fn frozen(snapshot: &Snapshot) -> Vec<Item> {
    let frozen = snapshot.rotations.iter().filter(|(_, rotations)| rotations.is_frozen());
    let said = frozen.map(|(agent, rotations)| {
        let failure = rotations.known.as_ref().and_then(|seen| seen.failure.as_ref());
        let why = failure.map_or_else(String::new, |failure| format!(": {} ({})", failure.message, failure.reason));
        let fix = format!("`kagiban-exporter rotation show {agent}` tells what happened; {}", fix::FROZEN);
        item(Topic::Agent, Severity::Critical, format!("Agent {agent}"), format!("its rotations are frozen{why}"))
            .fix_by(Some(fix))
    });
    said.collect()
}

fn not_rotated(snapshot: &Snapshot) -> Vec<Item> {
    let troubles =
        snapshot.rotations.iter().filter_map(|(agent, rotations)| Some((agent, rotations.trouble.as_ref()?)));
    let said = troubles.map(|(agent, trouble)| {
        let said = format!("is not rotated: {} ({})", trouble.message, trouble.reason);
        item(Topic::Agent, Severity::Critical, format!("Agent {agent}"), said)
    });
    said.collect()
}

fn not_working(snapshot: &Snapshot) -> Vec<Item> {
    let said = snapshot.functions().filter(|(_, function)| function.report.latest.state == FunctionState::DoesNotWork);
    let said = said.map(|(agent, AgentFunction { report: FunctionReport { latest, worked_at }, .. })| {
        let why = latest.failure.map_or_else(String::new, |why| format!(": {} ({})", why.message, why.reason));
        let last = worked_at.map_or_else(String::new, |at| format!("; it last did at {at}"));
        let said = format!("does not do its work{why}{last}");
        item(Topic::Agent, Severity::Warning, format!("Agent {agent}"), said).fix_by(Some(fix::FUNCTION))
    });
    said.collect()
}

fn going_down(shutdown: &ShutdownView, now: Timestamp) -> Option<Item> {
    let remedy = shutdown.remedy().map_or_else(String::new, |remedy| format!("; {remedy}"));
    let said = format!("{}{remedy}", shutdown.sentence(now));
    (shutdown.severity != Severity::Fine).then(|| item(Topic::Shutdown, shutdown.severity, "This host", said))
}

/// Loads that have lost a UPS: the next one that goes may be the one that they hang on.
fn of_feeds(snapshot: &Snapshot) -> Vec<Item> {
    let loads = snapshot.shutdown.iter().flat_map(HostStateReport::loads).filter(|load| load.healthy < load.members);
    let said = loads.map(|LoadReport { name, members, healthy, min_healthy }| {
        let severity = if healthy < min_healthy { Severity::Critical } else { Severity::Warning };
        item(
            Topic::Ups,
            severity,
            format!("Load {name}"),
            format!("{healthy} of {} healthy, {min_healthy} needed", Count(*members, "UPS")),
        )
    });
    let unlisted = snapshot.unlisted().map(|Unlisted { load, source, ups, listed }| {
        let said = format!("names the UPS {source}/{ups}, which its server does not list; it lists {listed}");
        item(Topic::Ups, Severity::Warning, format!("Load {load}"), said)
    });
    said.chain(unlisted).collect()
}

fn of_upses(snapshot: &Snapshot) -> Vec<Item> {
    let seen = upses::each(snapshot).map(|ups| (ups, upses::state(ups)));
    let bad = seen.filter(|(_, (severity, _))| *severity != Severity::Fine);
    let said = bad.map(|(ups, (severity, state))| {
        let fault = ups.outcome.as_ref().err().map(|trouble| trouble.reason);
        item(Topic::Ups, severity, format!("UPS {}", ups.ups), state)
            .fix_by(fault.map(|fault| fix::of_ups(fault, ups.backend)))
    });
    said.collect()
}

/// Sources that failed as a whole, and files of those that did not.
fn failures(snapshot: &Snapshot) -> Vec<Item> {
    let whole = snapshot.troubles();
    let files = snapshot
        .passes()
        .flat_map(|(id, pass)| pass.files().iter().flat_map(|file| file.troubles()).map(move |trouble| (id, trouble)));
    let said = whole.chain(files).map(|(id, trouble)| {
        let about = format!("{} {}", id.kind.as_str(), id.name);
        let fix = fix::of_source(id.kind, trouble.reason);
        item(Topic::of(id.kind), Severity::Critical, about, format!("{} ({})", trouble.message, trouble.reason))
            .fix_by(fix)
            .seen_by(id)
    });
    said.collect()
}

fn endpoints(snapshot: &Snapshot) -> Vec<Item> {
    let probes = snapshot.passes().filter_map(|(_, pass)| pass.probe());
    let said = probes.flat_map(|probe| {
        let about = || format!("Endpoint {}", probe.target);
        let unread = probe.unread().iter().filter(|_| probe.outcome.is_ok());
        let warning = |said| item(Topic::Endpoint, Severity::Warning, about(), said);
        let unread: Vec<_> = unread.map(|t| warning(format!("{} ({})", t.message, t.reason))).collect();
        let [one, another] = match &probe.outcome {
            Err(trouble) => {
                let said = format!("{} ({})", trouble.message, trouble.reason);
                let fix = fix::of_source(SourceKind::Tls, trouble.reason);
                [Some(item(Topic::Endpoint, Severity::Critical, about(), said).fix_by(fix)), None]
            }
            Ok(served) => {
                // Its own expiry is said of the certificate.
                let refused = served.refused.filter(|reason| *reason != "expired");
                let refused = refused.map(|reason| {
                    let said = match reason {
                        KEY_NOT_PROVEN => "its chain is trusted, but that it holds the key was not proven".to_owned(),
                        reason => format!("its chain is not trusted ({reason})"),
                    };
                    warning(said).fix_by(fix::of_chain(reason))
                });
                let is_old = |broken: &&Trouble| OUTDATED.contains(&broken.reason);
                let old = served.broken.as_ref().filter(is_old);
                let old = old.map(|broken| warning(format!("{} ({})", broken.message, broken.reason)));
                [refused, old]
            }
        };
        [one, another].into_iter().flatten().chain(unread)
    });
    said.collect()
}

/// What trust stores hold expires there without harm.
fn of_certificates(snapshot: &Snapshot, now: Timestamp) -> Vec<Item> {
    let rows = certificates::with_sources(snapshot).into_iter();
    let own = rows.filter(|(_, placed)| !placed.is_authority());
    let said = own.map_while(|(id, placed)| {
        let (severity, left) = placed.left(now);
        let about = format!("Certificate {}", placed.certificate.facts.subject);
        (severity != Severity::Fine).then(|| {
            item(Topic::Certificate, severity, about, format!("{left}, in {}", placed.place))
                .fix_by(Some(fix_of_certificate(snapshot, placed.place)))
                .seen_by(id)
        })
    });
    said.collect()
}

/// No CA makes the certificate of a product that makes its own.
fn fix_of_certificate(snapshot: &Snapshot, place: &Label) -> String {
    let mut releases = snapshot.passes().flat_map(|(_, pass)| pass.releases());
    let its = releases.find(|seen| seen.version.is_some() && seen.keystores.contains(place));
    its.map_or_else(|| fix::RENEW.to_owned(), |seen| fix::reinstall(seen.product))
}

fn of_hardening(snapshot: &Snapshot) -> Vec<Item> {
    let checked = snapshot.passes().filter_map(|(id, pass)| Some((id, pass.health()?)));
    let said = checked.flat_map(|(id, health)| {
        let failed = health.checks.iter().filter(|check| check.verdict == CheckResult::Failed);
        failed.map(move |check| {
            let said = format!("{}: {}", check.check.id(), check.detail);
            item(Topic::Hardening, Severity::Warning, format!("Hardening of {}", id.name), said)
                .fix_by(Some(fix::HARDEN))
        })
    });
    said.collect()
}

fn own(snapshot: &Snapshot, now: Timestamp) -> Vec<Item> {
    let failed = |reload: Option<Reload>| reload.is_some_and(|reload| !reload.successful);
    let kept = "was refused, or a part of it, and what was in force before stays; the log says why";
    let mut items = Vec::new();
    if failed(snapshot.reload) {
        items.push(item(Topic::Exporter, Severity::Warning, "The configuration", kept));
    }
    if failed(snapshot.web_config) {
        items.push(item(Topic::Exporter, Severity::Warning, "The web configuration", kept));
    }
    if snapshot.host_api_up == Some(false) {
        items.push(item(
            Topic::Exporter,
            Severity::Warning,
            "The host API",
            "does not listen; the log says why, and it is tried again",
        ));
    }
    for file in snapshot.secret_files.iter().filter(|file| file.exposed) {
        let said = format!("{} may be read by others; {} and change the secret", file.path, HINTS.make_private);
        items.push(item(Topic::Exporter, Severity::Warning, format!("Secret {}", file.setting), said));
    }
    if failed(snapshot.host_api_tls.map(|tls| tls.reload)) {
        items.push(item(Topic::Exporter, Severity::Warning, "The host API's TLS files", kept));
    }
    let end = snapshot.host_api_tls.and_then(|tls| tls.certificate_not_after);
    let left =
        end.map(|end| certificates::left(end.as_second(), now)).filter(|(severity, _)| *severity != Severity::Fine);
    items.extend(left.map(|(severity, left)| {
        let said = format!("{left}; then no operator speaks to this host");
        item(Topic::Exporter, severity, "The host API's certificate", said).fix_by(Some(fix::ENROLL))
    }));
    if snapshot.host_api_tls.and_then(|tls| tls.crl_next_update).is_some_and(|end| end <= now) {
        let said = "has expired, so no client of its CA is let in; put a new one into clientCrlFile";
        items.push(item(Topic::Exporter, Severity::Critical, "The host API's revocation list", said));
    }
    items
}
