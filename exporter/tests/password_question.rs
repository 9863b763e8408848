//! Whether a password is in force, asked through the host API: what is answered, to whom, and how often.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;

use kagiban_crds::Generation;
use kagiban_crds::host_api::{PasswordQuestion, PasswordReport, Refusal, RefusalReason};
use kagiban_keystore::Format;
use support::service::put;
use support::wire::Api;
use support::{AGENT, HOST, World, target};

const OPEN: &str = "POST /v1/agents/agent/password HTTP/1.1";

fn question(epoch: u64, generation: u64, password: &str) -> PasswordQuestion {
    PasswordQuestion { target: target(epoch, generation), alias: None, store_password: password.into() }
}

async fn ask(api: &Api, question: &PasswordQuestion) -> Result<PasswordReport, Refusal> {
    api.ask("POST", &format!("agents/{AGENT}/password"), question).await
}

/// What is answered by a host that nobody has asked yet.
async fn answer(world: &World, password: &str) -> PasswordReport {
    let api = Api::start(world).await;
    let report = ask(&api, &question(0, 0, password)).await.unwrap();
    api.stop().await;
    report
}

fn reason(report: PasswordReport) -> String {
    match report {
        PasswordReport::NotKnown { reason, .. } => reason,
        PasswordReport::Same | PasswordReport::Different => panic!("{report:?}"),
    }
}

/// A service with its key in one file.
async fn with_store(bytes: &[u8]) -> World {
    let mut world = World::pem_pair().await;
    let at = |name: &str| world.home().join(name).display().to_string();
    let pair = format!("{{certificateFile: {}, keyFile: {}}}", at("tls.crt"), at("tls.key"));
    let store = format!("{{path: {}}}", at("store"));
    std::fs::write(at("store"), bytes).unwrap();
    world.rewrite_agent(&pair, &store);
    world
}

fn digest_of_all(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(digest_of_all(&path));
        } else {
            files.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
        }
    }
    files.sort();
    files
}

/// Holds B11: an agent that is told its password by a file works with that one, whatever opens the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_and_what_the_agent_is_told_must_both_have_the_password() {
    let world = World::powerchute().await;
    let (store, ini) = (world.home().join("keystore"), world.home().join("pcssconfig.ini"));
    let api = Api::start(&world).await;
    let before = digest_of_all(world.directory.path());
    assert_eq!(ask(&api, &question(7, 3, "old-password")).await.unwrap(), PasswordReport::Same);
    assert_eq!(ask(&api, &question(7, 3, "another-password")).await.unwrap(), PasswordReport::Different);
    assert_eq!(digest_of_all(world.directory.path()), before, "a question writes nothing");
    assert_eq!(ask(&api, &question(1, 0, "old-password")).await.unwrap(), PasswordReport::Same, "nor a fence");
    std::fs::write(&ini, "[Credentials]\r\n").unwrap();
    assert_eq!(ask(&api, &question(1, 0, "old-password")).await.unwrap(), PasswordReport::Same, "it was removed");
    api.stop().await;

    std::fs::write(&ini, "[Credentials]\r\nKS_Access_Data = another-password\r\n").unwrap();
    for password in ["old-password", "another-password"] {
        assert_eq!(answer(&world, password).await, PasswordReport::Different, "one of two: {password}");
    }
    std::fs::remove_file(&ini).unwrap();
    assert_eq!(reason(answer(&world, "old-password").await), "password_ini_missing");
    std::fs::write(&ini, service_ini()).unwrap();
    std::fs::write(&store, "no store").unwrap();
    assert_eq!(reason(answer(&world, "old-password").await), "unsupported_format");
    std::fs::remove_file(&store).unwrap();
    assert_eq!(reason(answer(&world, "old-password").await), "not_found");
}

fn service_ini() -> &'static str {
    support::service::INI
}

/// Holds B11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_alone_tells_by_itself_and_a_pem_pair_has_no_password() {
    let pair = World::pem_pair().await;
    assert_eq!(reason(answer(&pair, "old-password").await), "no_password");
    for format in [Format::Jks, Format::Jceks, Format::Pkcs12] {
        let store = put(None, "store-password", "web", &pair.issuer.server(HOST), Some(format));
        let world = with_store(&store).await;
        assert_eq!(answer(&world, "store-password").await, PasswordReport::Same, "{format}");
        assert_eq!(answer(&world, "another-password").await, PasswordReport::Different, "{format}");
        // That is the host's own, and says nothing of the agent.
        assert_eq!(answer(&world, "old-password").await, PasswordReport::Different, "{format}");
    }
    let identity = pair.issuer.server(HOST);
    let world = with_store(format!("{}{}", identity.chain, identity.key).as_bytes()).await;
    assert_eq!(reason(answer(&world, "old-password").await), "no_password");
}

/// Holds B11: of several keys the question names one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_under_the_named_alias_is_opened() {
    let world = World::pem_pair().await;
    let one = put(None, "store-password", "one", &world.issuer.server(HOST), Some(Format::Jks));
    let both = put(Some(&one), "other-password", "other", &world.issuer.server(HOST), None);
    let world = with_store(&both).await;
    let api = Api::start(&world).await;
    let ask_for = async |alias: Option<&str>| {
        let question = PasswordQuestion { alias: alias.map(str::to_owned), ..question(0, 0, "other-password") };
        ask(&api, &question).await.unwrap()
    };
    assert_eq!(reason(ask_for(None).await), "no_alias");
    assert_eq!(ask_for(Some("other")).await, PasswordReport::Same);
    assert_eq!(ask_for(Some("one")).await, PasswordReport::Different, "the store opens, and the key does not");
    assert_eq!(reason(ask_for(Some("none")).await), "no_key");
    api.stop().await;
}

/// Holds B11: nobody learns anything who may not replace the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_authorised_client_at_the_present_epoch_that_names_this_agent_is_answered() {
    let world = World::powerchute().await;
    let api = Api::start(&world).await;
    let body = serde_json::to_vec(&question(1, 1, "old-password")).unwrap();
    assert!(api.send(None, OPEN, &body).await.is_err(), "no certificate");
    let stranger = api.fleet.client("other.example.com");
    let reply = api.send(Some(&stranger), OPEN, &body).await.unwrap();
    assert_eq!(reply.reason(), RefusalReason::ClientNotAuthorised);
    let reply = api.send(Some(&api.operator), OPEN, br#"{"storePassword":"canary"}"#).await.unwrap();
    assert_eq!(reply.reason(), RefusalReason::Malformed);
    assert!(!String::from_utf8_lossy(&reply.body).contains("canary"));

    let mut elsewhere = question(9, 9, "old-password");
    elsewhere.target.host = "ups-02.example.com".parse().unwrap();
    assert_eq!(ask(&api, &elsewhere).await.unwrap_err().reason, RefusalReason::WrongTarget);

    let refused = async |epoch, generation| {
        let asked = ask(&api, &question(epoch, generation, "old-password")).await;
        asked.map_err(|refusal| (refusal.reason, refusal.generation))
    };
    api.open(5, 3).await.unwrap();
    assert_eq!(refused(4, 3).await, Err((RefusalReason::StaleEpoch, None)));
    assert_eq!(refused(5, 2).await, Err((RefusalReason::StaleGeneration, Some(Generation(3)))));
    assert_eq!(refused(5, 3).await, Err((RefusalReason::RotationInProgress, Some(Generation(3)))));
    let opened = api.open(5, 3).await.unwrap();
    let (chain, _) = world.sign(&opened.csr.unwrap());
    api.deliver(5, 3, &chain).await.unwrap();
    api.decided(3).await;
    assert_eq!(refused(5, 3).await, Ok(PasswordReport::Same), "none of those counts as a question");
    api.stop().await;
}

/// Holds B11: it is no place to try a list of words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_few_questions_in_a_minute_no_more_are_answered() {
    let world = World::powerchute().await;
    let api = Api::start(&world).await;
    for word in ["a", "b", "c", "d"] {
        assert_eq!(ask(&api, &question(1, 1, word)).await.unwrap(), PasswordReport::Different);
    }
    let refusal = ask(&api, &question(1, 1, "old-password")).await.unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::Busy);
    api.stop().await;
}
