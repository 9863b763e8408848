//! Whole passes over one resource, between a fake API server and a fake host.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kagiban_crds::host_api::{PowerState, RefusalReason, RotationState, Sighting};
use kagiban_crds::resource::{BlockedBy, FINALIZER};
use kagiban_operator::cluster::kubernetes::Kubernetes;
use kagiban_operator::cluster::{ClusterError, Watched, claim};
use kagiban_operator::decide::owner;
use kagiban_operator::metrics::Metrics;
use kagiban_operator::reconcile::{Context, pass};
use kagiban_operator::schedule::HostContact;
use kagiban_operator::unreadable;
use serde_json::json;
use support::cluster::FakeCluster;
use support::host::{Host, Manner};
use support::pki::Authority;
use support::{fleet, lock};

struct Stage {
    cluster: FakeCluster,
    host: Host,
    context: Context,
}

impl Stage {
    async fn set() -> Self {
        let cluster = FakeCluster::start().await;
        let mutual = Authority::new("mutual");
        let host = Host::start(&mutual, mutual.server()).await;
        fleet::secrets(&cluster, &mutual, &Authority::new("fleet"));
        cluster.put(&fleet::resource(&format!("https://{}", host.address)));
        let context = context(&cluster);
        Self { cluster, host, context }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        self.context.metrics.write(&mut text).expect("a string takes everything");
        text
    }

    /// As the controller does, with the newest object, until it is told to wait for long.
    async fn settle(&self) {
        for _ in 0..20 {
            pass(&self.cluster.mac(), &self.context).await.expect("the API server answers");
        }
    }

    /// The issuer's certificate stays, and its key is another's. Gives the Secret as it was.
    fn break_issuer(&self) -> serde_json::Value {
        let ca = lock(&self.cluster.state).secrets.get("fleet-ca").cloned().expect("the CA");
        let mut broken = ca.clone();
        broken["data"]["tls.key"] = {
            use base64::Engine;
            json!(base64::engine::general_purpose::STANDARD.encode(Authority::new("another").key_pem))
        };
        lock(&self.cluster.state).secrets.insert("fleet-ca".into(), broken);
        ca
    }

    /// The process ends, and another starts.
    fn restart(&mut self) {
        self.context = context(&self.cluster);
    }

    fn annotate(&self, secret: &str, annotation: &str, value: &str) {
        let mut state = lock(&self.cluster.state);
        state.secrets.get_mut(secret).expect("a Secret")["metadata"]["annotations"][annotation] = json!(value);
    }

    fn condition(&self, kind: &str) -> String {
        let status = self.cluster.mac().status.unwrap_or_default();
        let found = status.conditions.iter().find(|condition| condition.type_ == kind);
        found.map(|c| format!("{} {}", c.status, c.reason)).unwrap_or_default()
    }

    fn message(&self, kind: &str) -> String {
        let status = self.cluster.mac().status.unwrap_or_default();
        let found = status.conditions.into_iter().find(|condition| condition.type_ == kind);
        found.map(|condition| condition.message).unwrap_or_default()
    }
}

fn context(cluster: &FakeCluster) -> Context {
    let metrics = Arc::new(Metrics::new(None));
    support::context::context(
        Arc::new(Kubernetes::new(cluster.client.clone(), metrics.clone(), "test".into())),
        metrics,
    )
}

#[tokio::test]
async fn a_rotation_takes_six_writes_and_rest_takes_none() {
    let stage = Stage::set().await;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    assert_eq!(stage.cluster.told(), ["RotationStarted", "Verified"]);
    let writes = stage.cluster.writes();
    assert_eq!(writes.len(), 6, "{writes:#?}");
    assert_eq!(stage.host.changes().len(), 2, "opened once, delivered once");
    assert_eq!(lock(&stage.host.state).epochs, [5]);
    let leaf = stage.cluster.mac().status.and_then(|status| status.leaf).expect("a leaf");
    assert_eq!(leaf.issuer, "CN=fleet");

    stage.settle().await;
    assert_eq!(stage.cluster.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_generation_is_written_before_the_host_is_asked() {
    let stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::Refuse(RefusalReason::Busy);
    stage.settle().await;
    let rotation = stage.cluster.mac().status.and_then(|status| status.rotation).expect("a rotation");
    assert_eq!((rotation.generation, rotation.state), (1, RotationState::Requested));
    assert_eq!(stage.condition("Reconciling"), "True FirstIssue");
    assert_eq!(stage.cluster.told(), ["RotationStarted", "HostBusy"]);
}

/// An exporter from before there was a subject refuses a request that it does not know all of; one that forgot it would have its CSR
/// refused.
#[tokio::test]
async fn a_subject_of_the_spec_is_in_the_leaf_or_nothing_is_signed_and_the_reason_is_shown() {
    let subject = json!({"countries": ["JP"], "organizations": ["Example"]});
    let stage = Stage::set().await;
    stage.cluster.change(|mac| mac["spec"]["certificate"]["subject"] = subject.clone());
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    let chain = lock(&stage.host.state).chain.clone().expect("a chain");
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).expect("PEM");
    let leaf = pem.parse_x509().expect("a certificate");
    assert_eq!(leaf.subject().to_string(), "C=JP, O=Example, CN=ups-01.example.com");

    for (manner, forgets_it, reason, told) in [
        (Manner::RefuseMember("certificate.subject"), false, "False HostRefused", "too old to know one"),
        (
            Manner::RefuseMember("certificate.subject.countries[0]"),
            false,
            "False HostRefused",
            "takes, in certificate.subject",
        ),
        (Manner::RefuseMember("mark"), false, "False HostRefused", "takes, in mark"),
        (Manner::Refuse(RefusalReason::Malformed), false, "False HostRefused", "the test said so"),
        (Manner::Honest, true, "False HostAnswerRefused", "the subject in the host's CSR"),
    ] {
        let stage = Stage::set().await;
        stage.cluster.change(|mac| mac["spec"]["certificate"]["subject"] = subject.clone());
        {
            let mut state = lock(&stage.host.state);
            (state.manner, state.keys_anew) = (manner, forgets_it);
        }
        stage.settle().await;
        assert_eq!(stage.condition("Ready"), reason, "{manner:?}");
        let message = stage.message("Ready");
        assert!(message.contains(told), "{message}");
        let is_too_old = manner == Manner::RefuseMember("certificate.subject") || forgets_it;
        assert_eq!(message.contains("too old"), is_too_old, "{message}");
        assert!(lock(&stage.host.state).chain.is_none(), "{manner:?}");
    }
}

/// Two operators that are each to give the host to the other stop after two rounds a day, by the host's word, and somebody has to see it.
#[tokio::test]
async fn a_host_that_was_given_back_too_often_is_shown_with_its_reason_and_left_alone() {
    let mut stage = Stage::set().await;
    let lineage = |name: &str| Some(name.parse().expect("a lineage"));
    stage.context.policy.lineage = lineage("tokyo");
    stage.context.policy.hand_over_to = lineage("osaka");
    {
        let mut state = lock(&stage.host.state);
        state.report.lineage = lineage("tokyo");
        state.manner = Manner::Refuse(RefusalReason::HandedBack);
    }
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "False HostRefused");
    assert!(stage.message("Ready").contains("handed_back"), "{}", stage.message("Ready"));
    assert_eq!(stage.cluster.told(), ["HostRefused"], "one event, however often it is tried");
    let status = stage.cluster.mac().status.expect("a status");
    assert_eq!(
        (status.blocked_by, status.rotation),
        (Some(BlockedBy::HostRefused), None),
        "nothing is begun beside it"
    );
    let series = stage.metrics();
    let refused = series.lines().find(|line| line.contains("handed_back"));
    assert!(refused.is_some_and(|line| line.contains("hand_over")), "{refused:?}");
}

#[tokio::test]
async fn an_operator_that_dies_around_any_write_leaves_one_rotation() {
    for lost in 1..=6 {
        let mut stage = Stage::set().await;
        lock(&stage.cluster.state).lose_answer_of = Some(lost);
        let died = async {
            for _ in 0..20 {
                let _ = pass(&stage.cluster.mac(), &stage.context).await;
            }
        };
        // The answer never comes, and then the process is gone
        let _ = tokio::time::timeout(Duration::from_secs(1), died).await;
        lock(&stage.cluster.state).lose_answer_of = None;
        stage.restart();
        stage.settle().await;
        assert_eq!(stage.condition("Ready"), "True Verified", "write {lost}");
        assert_eq!(stage.host.changes().len(), 2, "write {lost}: opened once, delivered once");
    }
}

#[tokio::test]
async fn a_cache_that_lags_behind_our_own_writes_starts_nothing_twice() {
    let stage = Stage::set().await;
    let stale = stage.cluster.mac();
    for _ in 0..20 {
        pass(&stale, &stage.context).await.expect("the API server answers");
    }
    assert_eq!(stage.condition("Ready"), "True Verified");
    assert_eq!(stage.host.changes().len(), 2);
    assert_eq!(stage.cluster.writes().len(), 6);
}

#[tokio::test]
async fn nothing_is_asked_of_a_host_on_battery() {
    let stage = Stage::set().await;
    lock(&stage.host.state).report.power.state = PowerState::OnBattery;
    stage.settle().await;
    assert_eq!(stage.host.changes(), Vec::<String>::new());
    assert_eq!(stage.condition("Ready"), "False OnBattery");
    assert_eq!(stage.cluster.writes().len(), 2, "one status, one event");
    lock(&stage.host.state).report.power.state = PowerState::Mains;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
}

/// Holds B11: a missing issuer is found out before the host makes a key, and seen again within seconds.
#[tokio::test]
async fn a_missing_issuer_blocks_and_its_arrival_is_seen_within_seconds() {
    let stage = Stage::set().await;
    let ca = lock(&stage.cluster.state).secrets.remove("fleet-ca").expect("the CA");
    stage.settle().await;
    assert_eq!(stage.cluster.told(), ["IssuerUnavailable"]);
    assert_eq!(stage.host.changes(), Vec::<String>::new());
    let reads = lock(&stage.cluster.state).reads.iter().filter(|line| line.ends_with("/fleet-ca")).count();
    assert!(reads <= 2, "{reads} reads of one missing Secret");
    lock(&stage.cluster.state).secrets.insert("fleet-ca".into(), ca);
    tokio::time::sleep(SECONDS).await;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
}

/// Holds B1, B8: a Secret that a busy API server did not give was told as missing: Ready was not True any more, and whose the agent
/// was could change by it.
#[tokio::test]
async fn an_api_server_that_gives_no_secret_just_now_changes_nothing() {
    let mut stage = Stage::set().await;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    stage.cluster.writes();
    let changes = stage.host.changes();
    let before = stage.cluster.mac().status;
    for (code, value) in [(429, "a"), (500, "b"), (503, "c")] {
        // It has read no Secret yet
        stage.restart();
        lock(&stage.cluster.state).secrets_refused = Some(code);
        pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
        stage.cluster.change(|mac| mac["metadata"]["annotations"]["kagiban.dev/rotate"] = json!(value));
        pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
        assert_eq!(stage.cluster.mac().status, before, "{code}");
        assert_eq!(stage.cluster.writes(), Vec::<String>::new(), "{code}");
        assert_eq!(stage.host.changes(), changes, "{code}");
    }
    lock(&stage.cluster.state).secrets_refused = None;
    tokio::time::sleep(SECONDS).await;
    stage.settle().await;
    let status = stage.cluster.mac().status.expect("a status");
    assert_eq!(stage.condition("Ready"), "True Verified");
    assert_eq!(status.handled_rotate.as_deref(), Some("c"), "it was owed");
}

#[tokio::test]
async fn a_resource_of_which_nothing_is_known_says_that_its_secret_could_not_be_read() {
    let stage = Stage::set().await;
    lock(&stage.cluster.state).secrets_refused = Some(429);
    pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
    assert_eq!(stage.condition("Ready"), "False SecretUnavailable");
    let told = stage.message("Blocked");
    assert!(told.contains("answered 429") && told.contains("is read again"), "{told}");
}

/// Holds B14: what is large and cannot be used is not read every few seconds, until the resource that names it changes.
#[tokio::test]
async fn a_large_secret_that_cannot_be_used_is_left_alone_until_a_resource_asks_for_it() {
    for purpose in ["none", "issuer"] {
        let stage = Stage::set().await;
        stage.break_issuer();
        {
            let mut state = lock(&stage.cluster.state);
            let secret = state.secrets.get_mut("fleet-ca").expect("the CA");
            secret["data"]["rubbish"] = json!("A".repeat(3_600_000));
            secret["metadata"]["labels"]["kagiban.dev/purpose"] = json!(purpose);
        }
        let reads = || lock(&stage.cluster.state).reads.iter().filter(|line| line.ends_with("/fleet-ca")).count();
        let look = async || pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
        look().await;
        let before = reads();
        tokio::time::sleep(Duration::from_secs(3)).await;
        look().await;
        assert_eq!(reads(), before, "{purpose}");
        stage.cluster.change(|mac| mac["metadata"]["annotations"]["kagiban.dev/rotate"] = json!("now"));
        look().await;
        assert!(reads() > before, "{purpose}");
    }
}

/// Holds B13: a Secret of a megabyte was read once for each of the keys that hundreds of resources name.
#[tokio::test]
async fn a_secret_is_read_once_for_all_its_keys_however_many_are_named() {
    let (stage, began) = (Stage::set().await, Instant::now());
    lock(&stage.host.state).report.power.state = PowerState::OnBattery;
    let keys: Vec<_> = (0..200).map(|number| format!("key-{number}")).collect();
    let values: Vec<_> = keys.iter().map(|key| (key.as_str(), "changeit")).collect();
    stage.cluster.secret("store", "keystore-password", &values);
    lock(&stage.cluster.state).secrets.get_mut("store").expect("it is there")["data"]["rubbish"] =
        json!("A".repeat(1_000_000));
    let reads = || lock(&stage.cluster.state).reads.iter().filter(|line| line.ends_with("/store")).count();
    let look = async |key: &str, ready: &str| {
        stage
            .cluster
            .change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store", "key": key}}));
        pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
        assert_eq!(stage.condition("Ready"), ready, "{key}");
    };
    for key in &keys {
        look(key, "False OnBattery").await;
    }
    // It is kept for 30 s. A busy machine takes longer for two hundred passes.
    let most = 1 + usize::try_from(began.elapsed().as_secs() / 30).expect("minutes");
    let good = reads();
    assert!((1..=most).contains(&good), "{good} in {} s", began.elapsed().as_secs());
    // For whom it is not what it should be, it is read anew, and once in two seconds at most.
    for key in ["rubbish", "missing"] {
        look(key, "False SecretUnavailable").await;
    }
    assert!(reads() <= good + 2, "{}", reads());
}

/// Longer than the pause between looks at a Secret that is waited for.
const SECONDS: Duration = Duration::from_secs(6);

/// Holds B11: whoever waits for a Secret looks at that Secret again, and not at the host, which has no say in it.
#[tokio::test]
async fn a_host_is_left_alone_while_a_secret_is_waited_for() {
    type Change = fn(&Stage);
    let changes: [(&str, Change); 4] = [
        ("no issuer", |stage| drop(lock(&stage.cluster.state).secrets.remove("fleet-ca"))),
        ("an issuer whose key is another's", |stage| drop(stage.break_issuer())),
        ("an issuer that is not granted", |stage| {
            stage.annotate("fleet-ca", "kagiban.dev/allowed-hosts", "x.example.com");
        }),
        ("no password", |stage| {
            stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
        }),
    ];
    for (what, change) in changes {
        let stage = Stage::set().await;
        let secrets = lock(&stage.cluster.state).secrets.clone();
        change(&stage);
        stage.settle().await;
        let looks = |stage: &Stage| lock(&stage.host.state).asked.iter().filter(|line| line.starts_with("GET")).count();
        let before = looks(&stage);
        assert!(before <= 6, "{what}: {before} looks");
        tokio::time::sleep(SECONDS).await;
        stage.settle().await;
        assert_eq!(looks(&stage), before, "{what}");
        stage.cluster.secret("store", "keystore-password", &[("password", "mended")]);
        lock(&stage.cluster.state).secrets.extend(secrets);
        tokio::time::sleep(SECONDS).await;
        stage.settle().await;
        assert_eq!(stage.condition("Ready"), "True Verified", "{what}: mended");
    }
}

/// Holds B11: the host is looked at within its resync all the same.
#[tokio::test]
async fn a_host_is_looked_at_within_its_resync_whatever_is_waited_for() {
    let mut stage = Stage::set().await;
    stage.context.policy.resync = Duration::from_secs(1);
    lock(&stage.cluster.state).secrets.remove("fleet-ca");
    stage.settle().await;
    let looks = |stage: &Stage| lock(&stage.host.state).asked.iter().filter(|line| line.starts_with("GET")).count();
    let before = looks(&stage);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let rest = pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
    assert_eq!(looks(&stage), before + 1);
    assert!(rest.after <= Duration::from_secs(1), "{rest:?}");
}

/// Holds B4: a rotation in flight keeps its priority when its host falls silent.
#[tokio::test]
async fn a_rotation_whose_host_falls_silent_stays_urgent() {
    let stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::RefuseChain(RefusalReason::Busy);
    stage.settle().await;
    lock(&stage.host.state).manner = Manner::Garbage;
    let rest = pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
    assert_eq!((rest.heard, rest.urgent), (HostContact::Silent, true));
}

/// Holds B8: a host that always has another rotation to be called off is asked less and less.
#[tokio::test]
async fn a_host_with_which_no_pass_comes_to_an_end_is_asked_less_and_less() {
    let stage = Stage::set().await;
    let mut rests = Vec::new();
    lock(&stage.host.state).relapses = true;
    for _ in 0..8 {
        rests.push(pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers").after.as_secs());
    }
    // Of the third pass on it is told nothing more for a while, whatever it shows.
    assert_eq!(rests[..2], [5, 10]);
    assert!(rests[2..].iter().all(|&rest| (1..=5).contains(&rest)), "the first pause after a step in vain: {rests:?}");
    assert_eq!(stage.host.changes().len(), 12);
    // The person who asked for a rotation looks there.
    assert_eq!(stage.condition("Blocked"), "True HostAnswerRefused");
    assert!(stage.message("Blocked").contains("told once a minute now"), "{}", stage.message("Blocked"));
}

/// Holds B17: a host that said it had called a rotation off, and went on with it, was told so a hundred times a second.
#[tokio::test]
async fn a_host_that_goes_on_with_what_it_has_called_off_is_asked_again_once_and_then_with_pauses() {
    let stage = Stage::set().await;
    lock(&stage.host.state).report.generation = kagiban_crds::Generation(1);
    lock(&stage.host.state).clings = true;
    for _ in 0..8 {
        pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
    }
    assert_eq!(stage.condition("Blocked"), "True HostAnswerRefused");
    let orders = stage.host.changes();
    assert_eq!(orders.len(), 2, "{orders:?}");
}

/// Holds B1: a host that takes its time in every round does not bring a pass to its deadline, which counts as a process that
/// hangs.
#[tokio::test]
async fn a_slow_host_alone_does_not_bring_a_pass_to_its_deadline() {
    let stage = Stage::set().await;
    lock(&stage.host.state).relapses = true;
    lock(&stage.host.state).delay = Duration::from_secs(11);
    let mac = stage.cluster.mac();
    let pass = tokio::time::timeout(Duration::from_secs(60), pass(&mac, &stage.context)).await;
    let rest = pass.expect("it begins no further round").expect("the API server answers");
    assert_eq!((rest.after, rest.heard), (Duration::from_secs(5), HostContact::Answered));
}

/// Holds B4: a host that refuses has answered, and what was thought of it while it was silent is over.
#[tokio::test]
async fn a_refusal_is_an_answer() {
    let stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::RefuseLook(RefusalReason::ClientNotAuthorised);
    let rest = pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
    assert_eq!(rest.heard, HostContact::Answered);
    assert_eq!(stage.condition("Ready"), "False HostRefused");
}

/// Holds B3: a resource that cannot be read and changes all the time is written and told of at a bounded rate.
#[tokio::test]
async fn a_resource_that_cannot_be_read_is_written_no_more_often_than_others() {
    let stage = Stage::set().await;
    let seen = |generation: u32| {
        stage.cluster.change(|mac| {
            mac["metadata"]["generation"] = json!(generation);
            mac["spec"]["certificate"]["duration"] = json!(format!("-{generation}h"));
        });
        let object = lock(&stage.cluster.state).mac.clone();
        serde_json::from_value::<Watched>(object).expect("metadata").0.expect_err("its duration is negative")
    };
    for generation in 2..102 {
        let rest = unreadable::pass(&seen(generation), &stage.context).await.expect("the API server answers");
        assert!(rest.after <= stage.context.policy.resync);
    }
    let writes = stage.cluster.writes();
    let count = |end: &str| writes.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!((count("/status"), count("/events")), (10, 6), "{writes:#?}");
    stage.cluster.change(|mac| {
        mac["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        mac["metadata"]["finalizers"] = json!(["example.com/backup", FINALIZER]);
    });
    let mut last = seen(102);
    // As the store keeps it
    last.metadata.finalizers = Some(vec![FINALIZER.into()]);
    unreadable::pass(&last, &stage.context).await.expect("the API server answers");
    let left = lock(&stage.cluster.state).mac["metadata"]["finalizers"].clone();
    assert_eq!(left, json!(["example.com/backup"]), "it is always released, and others' finalizers stay");
}

#[tokio::test]
async fn an_issuer_whose_key_is_corrected_goes_on_with_the_same_key_of_the_host() {
    let stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::RefuseChain(RefusalReason::Busy);
    stage.settle().await;
    let ca = stage.break_issuer();
    lock(&stage.host.state).manner = Manner::Honest;
    tokio::time::sleep(SECONDS).await;
    stage.settle().await;
    assert_eq!(stage.cluster.told(), ["RotationStarted", "HostBusy", "IssuerUnavailable"]);
    lock(&stage.cluster.state).secrets.insert("fleet-ca".into(), ca);
    tokio::time::sleep(SECONDS).await;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    let opened = stage.host.changes().iter().filter(|line| line.ends_with("/rotations")).count();
    assert_eq!(opened, 1, "the key was kept: {:?}", stage.host.changes());
}

/// Holds B11, B13: an issuer that cannot sign is found out before the host makes a key, and is read once for all who wait.
#[tokio::test]
async fn an_issuer_whose_key_is_anothers_blocks_before_the_host_makes_a_key() {
    let stage = Stage::set().await;
    stage.break_issuer();
    stage.settle().await;
    assert_eq!(stage.cluster.told(), ["IssuerUnavailable"]);
    assert_eq!(stage.host.changes(), Vec::<String>::new());
    let reads = lock(&stage.cluster.state).reads.iter().filter(|line| line.ends_with("/fleet-ca")).count();
    assert!(reads <= 2, "{reads} reads of one Secret");
}

/// Holds B11, B13: a Secret without a password that can be sent is found out before a rotation is begun, and read once for all.
#[tokio::test]
async fn a_password_that_cannot_be_sent_blocks_before_the_rotation_is_begun() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, &str, Change); 3] = [
        ("another key", "SecretUnavailable", |secret| secret["data"] = json!({"pass": "Zmlyc3Q="})),
        ("no text", "SecretUnavailable", |secret| secret["data"]["password"] = json!("//8=")),
        ("another type", "NotGranted", |secret| secret["type"] = json!("kubernetes.io/tls")),
    ];
    for (what, reason, change) in changes {
        let stage = Stage::set().await;
        stage.cluster.secret("store", "keystore-password", &[("password", "first")]);
        change(lock(&stage.cluster.state).secrets.get_mut("store").expect("a Secret"));
        stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
        stage.settle().await;
        assert_eq!(stage.cluster.told(), [reason], "{what}");
        assert_eq!(stage.cluster.mac().status.and_then(|status| status.rotation), None, "{what}");
        let reads = lock(&stage.cluster.state).reads.iter().filter(|line| line.ends_with("/store")).count();
        assert!(reads <= 2, "{what}: {reads} reads of one Secret");
    }
}

/// Holds B6: the metric that a CA's end is watched by does not go when the CA has ended.
#[tokio::test]
async fn the_end_of_an_issuer_that_has_ended_is_still_told() {
    let stage = Stage::set().await;
    let ended = Authority::until("fleet", 2020);
    fleet::issuer(&stage.cluster, &ended);
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "False IssuerUnavailable");
    let text = stage.metrics();
    let line = "kagiban_operator_issuer_not_after_timestamp_seconds{namespace=\"fleet\",name=\"fleet-ca\"} 1577836800";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn deletion_in_flight_calls_the_rotation_off_before_the_finalizer_goes() {
    let stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::RefuseChain(RefusalReason::Busy);
    stage.settle().await;
    stage.cluster.change(|mac| mac["metadata"]["deletionTimestamp"] = json!(jiff::Timestamp::now().to_string()));
    tokio::time::sleep(SECONDS).await;
    stage.settle().await;
    assert!(stage.host.changes().last().is_some_and(|line| line.ends_with("/rollback")), "{:?}", stage.host.changes());
    assert!(!stage.cluster.mac().metadata.finalizers.unwrap_or_default().contains(&FINALIZER.to_owned()));
}

/// Holds B17: the serial of a certificate that was signed and never arrived was known to nobody.
#[tokio::test]
async fn what_was_signed_is_on_record_before_it_is_pushed_and_is_signed_once() {
    let stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::RefuseChain(RefusalReason::Busy);
    stage.settle().await;
    tokio::time::sleep(SECONDS).await;
    stage.settle().await;
    let tries = stage.host.changes().iter().filter(|line| line.ends_with("/chain")).count();
    assert_eq!(tries, 2);
    let signed = |stage: &Stage| {
        let rotation = stage.cluster.mac().status.and_then(|status| status.rotation).expect("a rotation");
        rotation.signed
    };
    let on_record = signed(&stage);
    assert_eq!(on_record.len(), 1, "the same certificate is pushed again");

    lock(&stage.host.state).report.rotation.as_mut().expect("it was opened").state = RotationState::RolledBack;
    stage.settle().await;
    let history = stage.cluster.mac().status.expect("a status").history;
    assert_eq!(history[0].serials, [on_record[0].serial.clone()]);
}

/// Holds B17: a cluster restored without statuses restarts no agent.
#[tokio::test]
async fn a_resource_that_lost_its_status_adopts_the_leaf_on_the_host() {
    let mut stage = Stage::set().await;
    stage.settle().await;
    let leaf = stage.cluster.mac().status.and_then(|status| status.leaf).expect("a leaf");
    stage.cluster.change(|mac| {
        mac["status"] = json!(null);
        mac["metadata"]["uid"] = json!("u-2");
    });
    stage.restart();
    stage.settle().await;
    assert_eq!(stage.cluster.told(), ["RotationStarted", "Verified", "Adopted"]);
    assert_eq!(stage.host.changes().len(), 2, "opened once, delivered once");
    assert_eq!(stage.cluster.mac().status.and_then(|status| status.leaf), Some(leaf));
    assert_eq!(stage.condition("Ready"), "True Verified");
}

/// Holds B11: another CA under the same name, and another password, are seen and acted on.
#[tokio::test]
async fn another_ca_or_another_password_under_the_same_name_rotates_once() {
    let mut stage = Stage::set().await;
    stage.cluster.secret("store", "keystore-password", &[("password", "first")]);
    stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    fleet::issuer(&stage.cluster, &Authority::new("fleet"));
    // What was read of Secrets is kept for a while: another process has nothing
    stage.restart();
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    assert_eq!(stage.host.changes().len(), 4, "rotated for the CA");
    stage.cluster.secret("store", "keystore-password", &[("password", "second")]);
    stage.restart();
    stage.settle().await;
    assert_eq!(stage.host.changes().len(), 6, "rotated for the password");
    stage.restart();
    stage.settle().await;
    assert_eq!(stage.host.changes().len(), 6, "once");
    let whys: Vec<_> = lock(&stage.cluster.state).events.iter().map(|event| event["note"].to_string()).collect();
    assert!(whys.iter().any(|why| why.contains("another CA stands under")), "{whys:?}");
}

/// Holds B11, B17: GitOps that changes a Secret's annotation and the operator's image in one commit restarts no agent.
#[tokio::test]
async fn an_annotation_that_was_written_while_no_operator_ran_rotates_nothing() {
    let mut stage = Stage::set().await;
    let write = |stage: &Stage, password| stage.cluster.secret("store", "keystore-password", &[("password", password)]);
    let word = |stage: &Stage| stage.cluster.mac().status.and_then(|status| status.leaf?.password_version);
    write(&stage, "first");
    stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
    stage.settle().await;
    assert_eq!((stage.condition("Ready").as_str(), stage.host.changes().len()), ("True Verified", 2));
    let first = word(&stage);

    write(&stage, "first");
    stage.restart();
    stage.cluster.writes();
    stage.settle().await;
    assert_eq!((stage.host.questions(), stage.host.changes().len()), (1, 2), "it was asked, and nothing was rotated");
    assert_ne!(word(&stage), first);
    assert_eq!(stage.cluster.writes().len(), 1, "the word");
    assert!(stage.metrics().contains(r#"kagiban_host_requests_total{call="password",outcome="ok"} 1"#));
    stage.restart();
    stage.settle().await;
    assert_eq!((stage.host.questions(), stage.cluster.writes().len()), (1, 0), "the status has the new word");

    write(&stage, "second");
    stage.restart();
    stage.settle().await;
    assert_eq!((stage.host.questions(), stage.host.changes().len()), (2, 4), "that is another password");
    stage.settle().await;
    assert_eq!((stage.host.questions(), stage.host.changes().len()), (2, 4), "once");
}

/// Holds B11: whoever does not answer is asked again, and who knows of no such question is rotated.
#[tokio::test]
async fn a_host_that_does_not_answer_for_a_password_is_not_rotated_and_an_older_one_is() {
    let mut stage = Stage::set().await;
    stage.cluster.secret("store", "keystore-password", &[("password", "first")]);
    stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
    stage.settle().await;
    stage.cluster.secret("store", "keystore-password", &[("password", "first")]);
    stage.restart();
    lock(&stage.host.state).manner = Manner::Refuse(RefusalReason::RotationInProgress);
    stage.settle().await;
    assert_eq!(stage.host.changes().len(), 2);
    assert_eq!(
        (stage.condition("Ready"), stage.condition("Blocked")),
        ("True Verified".into(), "True HostBusy".into())
    );
    tokio::time::sleep(SECONDS).await;
    lock(&stage.host.state).manner = Manner::Honest;
    stage.settle().await;
    assert_eq!((stage.host.questions(), stage.condition("Blocked").as_str()), (1, ""));

    stage.cluster.secret("store", "keystore-password", &[("password", "first")]);
    lock(&stage.host.state).knows_no_question = true;
    stage.restart();
    stage.settle().await;
    assert_eq!(stage.host.changes().len(), 4, "as before there was the question");
}

#[tokio::test]
async fn a_process_that_does_not_lead_changes_nothing() {
    let mut stage = Stage::set().await;
    let (_, follower) = kagiban_operator::leader::Election::new(
        Arc::new(Kubernetes::new(stage.cluster.client.clone(), Arc::new(Metrics::new(None)), "other".into())),
        "fleet".into(),
        "lease".into(),
    );
    stage.context.leadership = follower;
    stage.settle().await;
    assert_eq!(stage.cluster.writes(), Vec::<String>::new());
    assert_eq!(stage.host.changes(), Vec::<String>::new());
}

/// Holds B13: what others write into the status causes no write at rest, and what stands where we write nothing goes once.
#[tokio::test]
async fn what_others_write_into_the_status_is_left_or_put_right_once() {
    let stage = Stage::set().await;
    stage.settle().await;
    let _ = stage.cluster.writes();
    let theirs = json!({
        "type": "example.com/Seen", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    lock(&stage.cluster.state).foreign = json!({"conditions": [theirs], "blockedBy": "OnBattery"});
    stage.cluster.change(|mac| {
        mac["status"]["blockedBy"] = json!("OnBattery");
        mac["status"]["conditions"].as_array_mut().expect("conditions").push(theirs);
    });
    stage.settle().await;
    let status = stage.cluster.mac().status.unwrap_or_default();
    assert_eq!((status.blocked_by, status.conditions.len()), (None, 6));
    assert_eq!(stage.cluster.writes().len(), 2, "applied, and taken away");
    stage.settle().await;
    assert_eq!(stage.cluster.writes(), Vec::<String>::new());
}

/// Holds B8: a host that says the same in other words at every look causes no more than a few writes.
#[tokio::test]
async fn a_host_that_varies_its_words_causes_few_writes() {
    let stage = Stage::set().await;
    stage.settle().await;
    let _ = stage.cluster.writes();
    for number in 0..60 {
        let message = format!("attempt {number} failed");
        lock(&stage.host.state).report.served = Sighting::Unseen { reason: "timeout".into(), message };
        pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
    }
    let writes = stage.cluster.writes();
    assert!(writes.len() <= 5, "{} writes: {writes:#?}", writes.len());
}

/// Holds B8: a host whose power flips causes a bounded number of writes and events.
#[tokio::test]
async fn a_host_whose_power_flips_causes_a_bounded_number_of_writes() {
    let stage = Stage::set().await;
    stage.settle().await;
    stage.cluster.change(|mac| mac["metadata"]["annotations"] = json!({"kagiban.dev/rotate": "now"}));
    let _ = stage.cluster.writes();
    for number in 0..100 {
        let state = if number % 2 == 0 { PowerState::OnBattery } else { PowerState::LowBattery };
        lock(&stage.host.state).report.power.state = state;
        pass(&stage.cluster.mac(), &stage.context).await.expect("the API server answers");
    }
    let writes = stage.cluster.writes();
    assert!(writes.len() <= 20, "{} writes: {writes:#?}", writes.len());
    lock(&stage.host.state).report.power.state = PowerState::Mains;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified", "a rotation is held up by no bound");
    let generation = stage.cluster.mac().status.and_then(|status| status.rotation).map(|rotation| rotation.generation);
    assert_eq!(generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_ends_the_pass_in_time() {
    let stage = Stage::set().await;
    // The clock of this test runs ahead while everything waits
    lock(&stage.cluster.state).hang = true;
    let error = pass(&stage.cluster.mac(), &stage.context).await.expect_err("it hangs");
    assert!(matches!(error, ClusterError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn no_secret_is_in_what_the_operator_writes() {
    let stage = Stage::set().await;
    stage.cluster.secret("store", "keystore-password", &[("password", "canary-4711\n")]);
    stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    let state = lock(&stage.cluster.state);
    let written = format!("{}{:?}", state.mac, state.events);
    assert!(!written.contains("canary-4711") && !written.contains("PRIVATE KEY"));
}

/// Holds B2: a resource cannot have a Secret sent or used for what it is not for, nor for whom it is not.
#[tokio::test]
async fn a_secret_is_neither_sent_nor_used_for_what_it_does_not_say() {
    type Change = fn(&Stage);
    let absent = BlockedBy::SecretUnavailable;
    let changes: [(&str, BlockedBy, Change); 10] = [
        ("the CA's key as a password", absent, |stage| {
            let reference = json!({"passwordSecretRef": {"name": "fleet-ca", "key": "tls.key"}});
            stage.cluster.change(|mac| mac["spec"]["keystore"] = reference);
        }),
        ("a password for another host", BlockedBy::NotGranted, |stage| {
            stage.cluster.secret("store", "keystore-password", &[("password", "canary-4711")]);
            stage.annotate("store", "kagiban.dev/allowed-hosts", "ups-02.example.com");
            stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
        }),
        ("a password by a client Secret of somebody else", BlockedBy::NotGranted, |stage| {
            stage.cluster.secret("store", "keystore-password", &[("password", "canary-4711")]);
            stage.annotate("store", "kagiban.dev/allowed-clients", "another");
            stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
        }),
        ("a password to a server of somebody else", BlockedBy::NotGranted, |stage| {
            stage.cluster.secret("store", "keystore-password", &[("password", "canary-4711")]);
            stage.annotate("store", "kagiban.dev/allowed-hosts", "ups-01.example.com");
            stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
        }),
        ("a leaf to a server of somebody else", BlockedBy::NotGranted, |stage| {
            stage.annotate("fleet-ca", "kagiban.dev/allowed-hosts", "ups-01.example.com");
        }),
        ("a leaf for another name", BlockedBy::NotGranted, |stage| {
            stage.cluster.change(|mac| mac["spec"]["certificate"]["dnsNames"] = json!(["ups-02.example.com"]));
        }),
        ("a leaf for an address", BlockedBy::NotGranted, |stage| {
            stage.cluster.change(|mac| mac["spec"]["certificate"]["ipAddresses"] = json!(["192.0.2.1"]));
        }),
        ("a leaf by a client Secret of somebody else", BlockedBy::NotGranted, |stage| {
            stage.annotate("fleet-ca", "kagiban.dev/allowed-clients", "another");
        }),
        ("a host that the client Secret is not for", BlockedBy::NotGranted, |stage| {
            stage.annotate("fleet-client", "kagiban.dev/allowed-hosts", "ups-02.example.com");
        }),
        ("a client Secret without a label", absent, |stage| {
            lock(&stage.cluster.state).secrets.get_mut("fleet-client").expect("a Secret")["metadata"]["labels"] =
                json!({});
        }),
    ];
    for (what, by, change) in changes {
        let stage = Stage::set().await;
        change(&stage);
        stage.settle().await;
        let status = stage.cluster.mac().status.unwrap_or_default();
        assert_eq!(status.blocked_by, Some(by), "{what}");
        if by == BlockedBy::NotGranted {
            assert_eq!(stage.condition("Stalled"), "True NotGranted", "{what}");
        }
        let host = lock(&stage.host.state);
        assert!(host.chain.is_none(), "{what}: a leaf was delivered");
        assert!(!host.bodies.contains("PRIVATE KEY") && !host.bodies.contains("canary-4711"), "{what}: it was sent");
    }
}

/// Holds B2: what a name in a spec leads to in the API server's path is one Secret of the namespace, and nothing else.
#[tokio::test]
async fn a_name_with_a_path_in_it_is_asked_of_nobody() {
    let stage = Stage::set().await;
    stage
        .cluster
        .change(|mac| mac["spec"]["api"]["hostApi"]["tlsSecretRef"]["name"] = json!("../../kube-system/secrets/x"));
    let error = pass(&stage.cluster.mac(), &stage.context).await.expect_err("it is no name");
    assert!(error.to_string().contains("spec.api.hostApi.tlsSecretRef.name"), "{error}");
    let state = lock(&stage.cluster.state);
    assert!(state.reads.iter().all(|read| !read.contains("kube-system")), "{:?}", state.reads);
}

/// Holds B2: whoever may write a resource and read no Secret learns from it neither which Secrets there are, nor when they were
/// written, nor what stands in them.
#[tokio::test]
async fn what_is_not_granted_is_told_of_as_little_as_what_is_not_there() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Option<Change>); 3] = [
        ("missing", None),
        ("without a label", Some(|secret| secret["metadata"]["labels"] = json!({}))),
        ("for something else", Some(|secret| secret["metadata"]["labels"]["kagiban.dev/purpose"] = json!("another"))),
    ];
    for name in ["fleet-ca", "fleet-client", "store"] {
        let mut told = Vec::new();
        for (what, change) in changes {
            let stage = Stage::set().await;
            stage.cluster.secret("store", "keystore-password", &[("password", "canary-4711")]);
            stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
            match change {
                None => drop(lock(&stage.cluster.state).secrets.remove(name)),
                Some(change) => change(lock(&stage.cluster.state).secrets.get_mut(name).expect("a Secret")),
            }
            stage.settle().await;
            let status = stage.cluster.mac().status.unwrap_or_default();
            assert_eq!(status.rotation, None, "{name} {what}: it was found out before the host was asked");
            let words: Vec<_> = status.conditions.into_iter().map(|c| (c.type_, c.reason, c.message)).collect();
            told.push((status.blocked_by, words));
        }
        assert!(told.windows(2).all(|two| two[0] == two[1]), "{name}: {told:#?}");
    }

    let stage = Stage::set().await;
    stage.annotate("fleet-ca", "kagiban.dev/allowed-clients", "another");
    stage.settle().await;
    let metrics = stage.metrics();
    assert!(!metrics.contains("fleet-ca"), "{metrics}");
    assert!(metrics.contains("fleet-client"), "{metrics}");
}

/// Holds B13: an ungranted Secret is read as seldom as a missing one, however many resources name it.
#[tokio::test]
async fn a_secret_that_is_not_granted_is_not_read_by_every_look() {
    for secret in ["fleet-client", "fleet-ca"] {
        let stage = Stage::set().await;
        stage.annotate(secret, "kagiban.dev/allowed-hosts", "ups-02.example.com");
        stage.settle().await;
        let reads = lock(&stage.cluster.state).reads.iter().filter(|line| line.ends_with(secret)).count();
        assert!(reads <= 2, "{reads} reads of {secret} in 20 looks");
    }
}

/// Holds B11: what a decision knew of Secrets was older than what the rotation then used, and the difference was taken for a
/// change afterwards: the agent was restarted twice.
#[tokio::test]
async fn a_password_and_a_ca_that_change_just_before_a_rotation_cause_no_second_one() {
    let mut stage = Stage::set().await;
    stage.cluster.secret("store", "keystore-password", &[("password", "first")]);
    stage.cluster.change(|mac| mac["spec"]["keystore"] = json!({"passwordSecretRef": {"name": "store"}}));
    stage.settle().await;
    assert_eq!(stage.host.changes().len(), 2);
    // Both are still remembered as they were
    stage.cluster.secret("store", "keystore-password", &[("password", "second")]);
    fleet::issuer(&stage.cluster, &Authority::new("fleet"));
    stage.cluster.change(|mac| mac["metadata"]["annotations"] = json!({"kagiban.dev/rotate": "now"}));
    stage.settle().await;
    assert_eq!(stage.host.changes().len(), 4, "rotated once for all of it");
    stage.restart();
    stage.settle().await;
    assert_eq!(stage.host.changes().len(), 4, "{:#?}", stage.host.changes());
    assert_eq!(stage.condition("Ready"), "True Verified");
    assert!(lock(&stage.host.state).bodies.contains("second"));
}

/// Holds B2, B7: what was signed and not delivered is handed out only while it is what would be signed now.
#[tokio::test]
async fn what_waits_for_its_host_is_signed_anew_by_another_ca() {
    let stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::RefuseChain(RefusalReason::Busy);
    stage.settle().await;
    let ca = Authority::new("another fleet");
    fleet::issuer(&stage.cluster, &ca);
    lock(&stage.host.state).manner = Manner::Honest;
    tokio::time::sleep(SECONDS).await;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");
    let leaf = stage.cluster.mac().status.and_then(|status| status.leaf).expect("a leaf");
    assert_eq!(leaf.issuer, "CN=another fleet");
}

/// Holds B5, B17: a rotation whose record of what was signed was full waited for its deadline, although its host was back.
#[tokio::test]
async fn a_rotation_that_may_sign_no_more_is_called_off_at_once() {
    let mut stage = Stage::set().await;
    lock(&stage.host.state).manner = Manner::RefuseChain(RefusalReason::Busy);
    stage.settle().await;
    stage.cluster.change(|mac| {
        let signed = mac["status"]["rotation"]["signed"].as_array_mut().expect("it was signed");
        while signed.len() < 4 {
            let mut another = signed[0].clone();
            another["sha256"] = json!(format!("{:064x}", signed.len()));
            signed.push(another);
        }
    });
    lock(&stage.host.state).manner = Manner::Honest;
    stage.restart();
    stage.settle().await;
    assert!(stage.host.changes().last().is_some_and(|last| last.ends_with("/rollback")), "{:?}", stage.host.changes());
    assert!(stage.cluster.told().contains(&"RotationCalledOff".to_owned()), "{:?}", stage.cluster.told());
    assert_eq!(stage.condition("Ready"), "False BackingOff");
}

/// Holds B9: the owner appears while the host is looked at.
#[tokio::test]
async fn whose_the_agent_is_is_asked_again_before_anything_is_changed_there() {
    let stage = Stage::set().await;
    // Its first look is the one after which it would open
    stage.cluster.change(|mac| mac["metadata"]["finalizers"] = json!([FINALIZER]));
    lock(&stage.host.state).delay = Duration::from_millis(300);
    let mut owner = serde_json::to_value(stage.cluster.mac()).expect("plain data");
    owner["metadata"]["name"] = json!("owner");
    owner["metadata"]["uid"] = json!("u-0");
    owner["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    owner["status"] = json!({"observedGeneration": 1, "rotation": {
        "generation": 1, "trigger": "FirstIssue", "state": "Requested", "startedAt": "2026-01-01T00:00:00Z",
        "attempts": 1, "requestDigest": "d",
    }});
    let owner: Watched = serde_json::from_value(owner).expect("a resource");
    let appears = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.context.fleet.apply(kagiban_operator::cluster::watch::Event::Apply(owner));
    };
    let mac = stage.cluster.mac();
    let (ended, ()) = tokio::join!(pass(&mac, &stage.context), appears);
    ended.expect("the API server answers");
    assert_eq!(stage.host.changes(), Vec::<String>::new());
    assert_eq!(stage.cluster.mac().status.and_then(|status| status.blocked_by), Some(BlockedBy::Conflict));
}

/// Holds B9: what a host says says nothing of the one that the spec means meanwhile.
#[tokio::test]
async fn a_leaf_is_not_verified_at_an_address_that_was_written_while_another_host_was_looked_at() {
    let stage = Stage::set().await;
    stage.settle().await;
    let verified = |stage: &Stage| stage.cluster.mac().status.and_then(|status| status.leaf?.verified_url);
    let there = format!("https://{}", stage.host.address);
    assert_eq!(verified(&stage), Some(there.clone()));
    {
        let mut host = lock(&stage.host.state);
        host.delay = Duration::from_millis(300);
        host.report.power.state = PowerState::OnBattery;
    }
    // So that there is something to write
    stage.cluster.change(|mac| mac["metadata"]["annotations"] = json!({"kagiban.dev/rotate": "now"}));
    let changes = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.cluster.change(|mac| {
            mac["metadata"]["generation"] = json!(2);
            mac["spec"]["api"]["hostApi"]["url"] = json!("https://127.0.0.1:1");
        });
    };
    let mac = stage.cluster.mac();
    let (ended, ()) = tokio::join!(pass(&mac, &stage.context), changes);
    ended.expect("the API server answers");
    assert_eq!(verified(&stage), Some(there));
    assert_eq!(stage.condition("Verified"), "Unknown HostUnreachable");
}

/// Holds B9: a resource that was verified, is refused now, and has grown too large for its status to say so.
#[tokio::test]
async fn a_status_that_cannot_be_written_any_more_keeps_nobody_out() {
    let mut stage = Stage::set().await;
    stage.settle().await;
    let mut other = serde_json::to_value(stage.cluster.mac()).expect("plain data");
    (other["metadata"]["namespace"], other["metadata"]["uid"], other["status"]) =
        (json!("other"), json!("o"), json!({}));
    let other = claim(&serde_json::from_value(other).expect("a resource"));
    let watched = |stage: &Stage| {
        let object = serde_json::to_value(stage.cluster.mac()).expect("plain data");
        let object = serde_json::from_value(object).expect("a resource");
        stage.context.fleet.apply(kagiban_operator::cluster::watch::Event::Apply(object));
    };
    let is_kept_out = |stage: &Stage| {
        watched(stage);
        let claims = stage.context.fleet.claims(&stage.cluster.mac());
        owner(&other, claims.iter().map(Arc::as_ref)).is_some()
    };
    assert!(is_kept_out(&stage), "it is the owner");
    lock(&stage.cluster.state).too_large = true;
    stage.annotate("fleet-client", "kagiban.dev/allowed-hosts", "elsewhere.example.com");
    stage.cluster.change(|mac| mac["metadata"]["annotations"] = json!({"example.com/note": "long"}));
    // What was read of the Secret is forgotten
    stage.restart();
    assert!(is_kept_out(&stage), "by what its status still says");
    let mut refused = 0;
    for _ in 0..3 {
        refused += usize::from(pass(&stage.cluster.mac(), &stage.context).await.is_err());
    }
    assert_eq!(refused, 3, "each of them would write its status");
    assert!(!is_kept_out(&stage));
    lock(&stage.cluster.state).too_large = false;
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "Unknown NotGranted");
    assert!(!is_kept_out(&stage));
}

/// Holds B14: that an object has more finalizers than are read stood in the log only.
#[tokio::test]
async fn an_object_with_too_many_finalizers_says_so_until_some_are_gone() {
    let stage = Stage::set().await;
    let finalizers = |count: usize| json!((0..count).map(|n| format!("example.com/{n}")).collect::<Vec<_>>());
    stage.cluster.change(|mac| mac["metadata"]["finalizers"] = finalizers(65));
    for _ in 0..5 {
        pass(&stage.cluster.mac(), &stage.context).await.expect("it is told, and no failure");
    }
    let status = stage.cluster.mac().status.expect("a status");
    assert_eq!(status.blocked_by, Some(BlockedBy::SpecInvalid));
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("it stands there");
    assert!(ready.message.contains("more finalizers than 64"), "{}", ready.message);
    assert_eq!(stage.cluster.writes().len(), 2, "the status and an event, once");
    assert_eq!(stage.host.changes().len(), 0, "nothing is begun on the host");
    stage.cluster.change(|mac| {
        mac["metadata"]["finalizers"] = finalizers(2);
        mac["metadata"]["generation"] = json!(2);
    });
    stage.settle().await;
    assert_eq!(stage.condition("Ready"), "True Verified");

    stage.cluster.change(|mac| {
        let mut many: Vec<_> = finalizers(65).as_array().cloned().expect("a list");
        many.push(json!(FINALIZER));
        mac["metadata"]["finalizers"] = json!(many);
        mac["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    lock(&stage.cluster.state).events.clear();
    for _ in 0..3 {
        assert!(pass(&stage.cluster.mac(), &stage.context).await.is_err(), "it is tried again");
    }
    let events = lock(&stage.cluster.state).events.clone();
    let told =
        events.iter().any(|event| event["note"].as_str().is_some_and(|note| note.contains("more finalizers than 64")));
    assert!(told, "{events:#?}");
}
