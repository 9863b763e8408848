//! Renewals of an agent that serves nothing which tells: the file that keeps its certificate is the proof.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
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
        world.crash_in("renew", Duration::from_millis(300)).await;
        let (rotator, _lock) = world.rotator().await;
        let report = rotator.report().unwrap();
        assert_eq!(report.state, state, "{report:#?}");
        assert_eq!((world.ran("renew"), world.ran("back")), (1, usize::from(state == RotationState::RolledBack)));
        assert_eq!(kept(&world) == Some(world.first), state == RotationState::RolledBack);
    }
}

/// The shortest archive with one entry, whose name and contents are empty.
const ARCHIVE: &str = r"PK\003\004\012\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\001\002\036\003\012\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\005\006\0\0\0\0\001\0\001\0\056\0\0\0\036\0\0\0\0\0";

/// A server as seed 003 describes it, with a program that takes the notice's arguments and no others, and writes over no archive.
async fn anti_virus_server(product: &str) -> World {
    let mut world = World::self_renewing(2049).await;
    let home = world.home();
    let file = home.join("PCCSRV/Pccnt/Common/OfcNTCer.dat");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::copy(home.join("tls.crt"), &file).unwrap();
    std::fs::write(home.join("password"), "of the backup\n").unwrap();
    let program = home.join("CertificateManager.exe");
    let script = format!(
        "#!/bin/sh\nhome={home}; file={file}\necho >> $home/ran$1\n[ ! -e $home/before$1 ] || . $home/before$1\n[ \"$2\" = 'of the backup' ] || exit 5\n\
         case $1 in\n-b) case $3 in *.zip) ;; *) exit 6;; esac; [ ! -e $3 ] || exit 7; printf '{ARCHIVE}' > $3; cp $file $home/saved;;\n\
         -c) cp $home/next.crt $file;;\n-r) [ -s $3 ] || exit 8; cp $home/saved $file;;\n*) exit 4;;\nesac\n",
        home = home.display(),
        file = file.display(),
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let call = |option: &str, rest: &str| format!("['{}', {option}, '{{password}}'{rest}]", program.display());
    let backup = ", '{backup}'";
    world.agent_yaml = format!(
        "name: {AGENT}\nproduct: {product}\ndirectory: '{home}'\n\
         renew:\n  command: {}\n  back: {}\n  backup: {{command: {}, format: zip}}\n  passwordFile: '{home}/password'\n  timeout: 20s\n\
         service: {{minRestartInterval: 0s}}\nbackups: 2\nverify: {{deadline: 1s, holdDown: 100ms, interval: 20ms}}\n",
        call("-c", ""),
        call("-r", backup),
        call("-b", backup),
        home = home.display(),
    );
    world.agent = serde_yaml::from_str(&world.agent_yaml).unwrap();
    world
}

fn archives(world: &World) -> Vec<String> {
    let directory = std::fs::read_dir(world.state().join("product-backups").join(AGENT)).into_iter().flatten();
    let mut names: Vec<_> = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anti_virus_server_is_backed_up_renewed_and_taken_back_by_its_own_program() {
    for product in ["virus-buster-corp", "apex-one"] {
        let world = anti_virus_server(product).await;
        let file = world.home().join("PCCSRV/Pccnt/Common/OfcNTCer.dat");
        let has = |name: &str| std::fs::read(&file).unwrap() == std::fs::read(world.home().join(name)).unwrap();
        let api = Api::start(&world).await;
        let report: AgentReport = api.ask("GET", &format!("agents/{AGENT}"), &()).await.unwrap();
        assert_eq!((report.product.as_str(), report.kept_in), (product, Some(file.display().to_string())));
        for generation in 1..=3 {
            std::fs::copy(world.home().join("tls.crt"), &file).unwrap();
            api.renew(1, generation).await.unwrap();
            let decided = api.decided(generation).await;
            assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
            assert!(has("next.crt"));
        }
        // Each has a key in it.
        assert_eq!(archives(&world), ["2.zip", "3.zip"]);
        let path = format!("agents/{AGENT}/rotations/3/rollback");
        api.ask::<RotationReport>("POST", &path, &rollback(1, 3)).await.unwrap();
        assert_eq!(reason(&api.decided(3).await), "rolled_back_by_order");
        assert!(has("tls.crt"));
        assert_eq!((world.ran("b"), world.ran("c"), world.ran("r")), (3, 3, 1));
        api.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anti_virus_server_is_not_brought_back_from_what_is_no_backup() {
    for (of_the_backup, of_the_renewal, why, ran, left) in [
        ("echo text > $3; exit 0", "", "not_backed_up", (1, 0, 0), 0),
        ("exit 0", "", "not_backed_up", (1, 0, 0), 0),
        ("echo text > $3; exit 3", "", "not_backed_up", (1, 0, 0), 0),
        ("", "cp $home/next.crt $file; exit 3", "renew_failed", (1, 1, 1), 1),
        // Somebody has damaged it meanwhile: the new certificate is valid, and stays.
        (
            "",
            "cp $home/next.crt $file; echo text > ${home%/*}/state/product-backups/agent/1.zip; exit 3",
            "revert_failed",
            (1, 1, 0),
            1,
        ),
        // It is an archive still, and another one.
        (
            "",
            "cp $home/next.crt $file; printf x | dd of=${home%/*}/state/product-backups/agent/1.zip bs=1 seek=10 conv=notrunc; exit 3",
            "revert_failed",
            (1, 1, 0),
            1,
        ),
    ] {
        let world = anti_virus_server("virus-buster-corp").await;
        std::fs::write(world.home().join("before-b"), of_the_backup).unwrap();
        std::fs::write(world.home().join("before-c"), of_the_renewal).unwrap();
        let report = renewed(&world).await;
        assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, why), "{report:#?}");
        // What is no backup takes no place among those that are kept.
        assert_eq!(archives(&world).len(), left, "{report:#?}");
        assert_eq!((world.ran("b"), world.ran("c"), world.ran("r")), ran, "{why}: {report:#?}");
        assert!(!format!("{report:?}").contains("of the backup"), "{report:#?}");
    }
}
