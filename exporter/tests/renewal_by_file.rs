//! Renewals of an agent that serves nothing which tells: the file that keeps its certificate is the proof.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{AgentReport, RefusalReason, RotationReport, RotationState, Sighting};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use support::pki::fingerprint;
use support::wire::Api;
use support::{AGENT, PATIENCE, World, renewal, rollback};

const MULTI: &str = "a service and a host API live in this process";

/// The program `renew` writes another certificate into the file, and `back` the one before.
async fn world(next_ends: i32) -> World {
    let mut world = World::self_renewing(next_ends).await;
    let endpoint = format!("endpoint: {{address: '{}'}}\n", world.service.address);
    world.rewrite_agent(&endpoint, "");
    let file = format!("verify: {{certificateFile: '{}', ", file(&world).display());
    world.rewrite_agent("verify: {", &file);
    world
}

fn file(world: &World) -> PathBuf {
    world.home().join("tls.crt")
}

fn kept(world: &World) -> Option<LeafSha256> {
    CertificateDer::from_pem_file(file(world)).ok().map(|der| fingerprint(&der))
}

/// Without the API, and what became of it.
async fn renewed(world: &World) -> RotationReport {
    let (mut rotator, _lock) = world.rotator().await;
    rotator.renew(&renewal(1, 1), Ok(())).unwrap();
    rotator.advance(|_| {}).await;
    rotator.report().unwrap()
}

fn reason(report: &RotationReport) -> &str {
    report.failure.as_ref().map_or("", |failure| failure.reason.as_str())
}

/// Seeds 003 and 004: an anti-virus server serves nothing that tells which certificate it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_ends_with_a_later_leaf_in_the_file_and_can_be_taken_back() {
    let world = world(2049).await;
    let api = Api::start(&world).await;
    let report: AgentReport = api.ask("GET", &format!("agents/{AGENT}"), &()).await.expect(MULTI);
    assert_eq!(report.kept_in, Some(file(&world).display().to_string()));
    assert!(matches!(&report.served, Sighting::Leaf(leaf) if leaf.sha256 == world.first), "{report:#?}");
    assert!(report.certificate.is_some(), "who is asked can see who signed it");

    api.renew(1, 1).await.unwrap();
    let decided = api.decided(1).await;
    assert_eq!((decided.state, decided.previous), (RotationState::Committed, Some(world.first)), "{decided:#?}");
    let renewed = kept(&world);
    assert!(renewed.is_some_and(|leaf| leaf != world.first) && decided.leaf.map(|leaf| leaf.sha256) == renewed);
    assert_eq!((world.ran("renew"), world.ran("back")), (1, 0));

    let path = format!("agents/{AGENT}/rotations/1/rollback");
    api.ask::<RotationReport>("POST", &path, &rollback(1, 1)).await.unwrap();
    let decided = api.decided(1).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::RolledBack, "rolled_back_by_order"), "{decided:#?}");
    assert_eq!((kept(&world), world.ran("back")), (Some(world.first), 1));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_program_does_the_file_has_the_leaf_from_before_in_the_end() {
    for (ends, before, why, brought_back) in [
        (2049, "exit 0", "not_renewed", 0),
        (2049, "exit 3", "renew_failed", 0),
        (2049, "sleep 60", "renew_failed", 0),
        (2049, "cp ${0%/*}/next.crt ${0%/*}/tls.crt; exit 3", "renew_failed", 1),
        (2049, "head -c 300 ${0%/*}/next.crt > ${0%/*}/tls.crt; exit 0", "malformed", 1),
        (2049, ": > ${0%/*}/tls.crt; exit 0", "no_certificate", 1),
        (2049, "rm ${0%/*}/tls.crt; exit 0", "not_found", 1),
        (2030, "", "not_later", 1),
    ] {
        let mut world = world(ends).await;
        world.rewrite_agent("timeout: 20s", "timeout: 5s");
        world.before("renew", before);
        let report = renewed(&world).await;
        assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, why), "{before}: {report:#?}");
        // Where nothing was changed, what brings back might bring something older.
        let ran = (world.ran("renew"), world.ran("back"));
        assert_eq!((kept(&world), ran), (Some(world.first), (1, brought_back)), "{before}");
    }
}

/// An empty or a half-written file is none that was not renewed: it is looked at until the time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_slowly_is_waited_for() {
    let mut world = world(2049).await;
    world.rewrite_agent("deadline: 1s", "deadline: 60s");
    let slowly = "( cd ${0%/*}; : > tls.crt; sleep 0.3; head -c 300 next.crt > tls.crt; sleep 0.3; rm tls.crt; sleep 0.3; \
                  cp next.crt tls.crt ) & exit 0";
    world.before("renew", slowly);
    let report = renewed(&world).await;
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");
    assert!(kept(&world).is_some_and(|leaf| leaf != world.first));
}

/// The path may be misspelt: the program would make a new certificate at every attempt, and nobody see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_renewed_where_the_file_has_no_certificate_before() {
    for (contents, why) in [(None, "not_found"), (Some("no certificate"), "unsupported_format")] {
        let world = world(2049).await;
        std::fs::remove_file(file(&world)).unwrap();
        contents.iter().for_each(|contents| std::fs::write(file(&world), contents).unwrap());
        let report = renewed(&world).await;
        assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, why), "{report:#?}");
        assert!(report.failure.unwrap().message.contains("verify.certificateFile"));
        assert_eq!((world.ran("renew"), world.ran("back")), (0, 0));
    }
}

/// What is not there is not taken for a service that is down, and ends the freeze when somebody has put it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_file_is_lost_is_frozen_until_it_is_back() {
    let world = world(2049).await;
    world.before("renew", "rm ${0%/*}/tls.crt; exit 0");
    world.before("back", "exit 0");
    let api = Api::start(&world).await;
    api.renew(1, 1).await.unwrap();
    let decided = api.decided(1).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::Frozen, "not_served_after_rollback"), "{decided:#?}");
    assert_eq!(api.renew(1, 2).await.unwrap_err().reason, RefusalReason::Frozen);
    std::fs::copy(world.home().join("old.crt"), file(&world)).unwrap();
    let began = Instant::now();
    while api.decided(1).await.state != RotationState::RolledBack {
        assert!(began.elapsed() < PATIENCE, "the freeze does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.service.starts(), 0, "nobody has seen that it is down");
    api.stop().await;
}

/// A crash in the middle of the program: it is neither run again nor cut off, and its leaf is what is looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_a_crash_has_left_behind_is_proven_by_the_file_when_its_program_has_ended() {
    for (ends, state) in [(2049, RotationState::Committed), (2030, RotationState::RolledBack)] {
        let world = world(ends).await;
        world.before("renew", "sleep 1");
        {
            let (mut rotator, _lock) = world.rotator().await;
            rotator.renew(&renewal(1, 1), Ok(())).unwrap();
            let cut_off = tokio::time::timeout(Duration::from_millis(300), rotator.advance(|_| {})).await;
            assert!(cut_off.is_err() && world.ran("renew") == 1, "the crash is not in the middle");
        }
        let (rotator, _lock) = world.rotator().await;
        let report = rotator.report().unwrap();
        assert_eq!(report.state, state, "{report:#?}");
        assert_eq!((world.ran("renew"), world.ran("back")), (1, usize::from(state == RotationState::RolledBack)));
        assert_eq!(kept(&world) == Some(world.first), state == RotationState::RolledBack);
    }
}
