//! What is printed, and how it ends.

use std::time::Duration;

use super::*;
use crate::decide::tests as sample;
use crate::decide::{Decision, Step};

/// Holds B12, with `tests/tests/operator_input.rs`.
#[test]
fn a_plan_says_what_would_be_done_and_what_blocks_it() {
    let now = sample::now();
    let resource = sample::resource();
    let leaf = sample::leaf(9, now, Duration::from_secs(3600));
    let mut report = sample::report(4, &leaf);
    let mut decided = |power, issuer: Option<&Obstacle>| {
        report.power.state = power;
        let references = References { issuer: issuer.map(|obstacle| Err(obstacle.clone())), ..References::default() };
        sample::decided_with(&resource, &report, &references, now)
    };
    let planned = |decision: Decision, afterwards: Option<Decision>, wrong| {
        Planned::Decided(Box::new(Decided {
            name: "fleet/ups-01".into(),
            host: "ups-01.example.com".into(),
            exists: afterwards.is_none(),
            wrong,
            unchecked: Vec::new(),
            is_asked: true,
            assumed: None,
            afterwards: afterwards.unwrap_or_else(|| decision.clone()),
            decision,
        }))
    };
    let on_battery = decided(kagiban_crds::host_api::PowerState::OnBattery, None);
    let passes = render(&[planned(on_battery.clone(), None, Vec::new())], now);
    assert_eq!(passes.exit, PlanExit::Clear, "that passes by itself");
    let unknown = || Planned::Untold { what: "fleet/ups-02: busy".into() };
    let partly = render(&[planned(on_battery.clone(), None, Vec::new()), unknown()], now);
    assert_eq!(partly.exit, PlanExit::Untold);
    let missing = Obstacle::new(BlockedBy::IssuerUnavailable, "there is no Secret fleet-ca");
    let plan = render(
        &[
            planned(
                decided(kagiban_crds::host_api::PowerState::Mains, Some(&missing)),
                Some(decided(kagiban_crds::host_api::PowerState::Mains, None)),
                vec![missing],
            ),
            planned(on_battery, None, Vec::new()),
            Planned::Refused { what: "document 3: no such product".into() },
            unknown(),
        ],
        now,
    );
    assert_eq!(plan.exit, PlanExit::Wrong);
    insta::assert_snapshot!(plan.text, @"
    fleet/ups-01  (host ups-01.example.com, not in the cluster yet)
      would do nothing: blocked by IssuerUnavailable until that is put right
      wrong: IssuerUnavailable: there is no Secret fleet-ca
      once that is put right: would rotate: generation 5, because no certificate of this resource was ever verified
    fleet/ups-01  (host ups-01.example.com)
      would wait: blocked by OnBattery; would look again in 30 s
      Ready=False OnBattery: no certificate yet: the host runs on battery
    refused     document 3: no such product
    not known   fleet/ups-02: busy
      the API server could not tell; ask again later
    ");
}

/// Holds B12: "blocked by HostUnreachable" was said of a host that nobody had asked.
#[test]
fn a_plan_whose_user_may_not_read_the_client_secret_says_that_it_does_not_know() {
    let now = sample::now();
    let unasked = |by| {
        let obstacle = Obstacle::new(by, "the host was not asked: the client Secret may not be read");
        let decision = sample::decided_unseen(&sample::resource(), &obstacle, now);
        let decided = Decided {
            name: "fleet/ups-01".into(),
            host: "ups-01.example.com".into(),
            exists: false,
            wrong: Vec::new(),
            unchecked: vec!["client Secret fleet-client, which may not be read".into()],
            is_asked: false,
            assumed: None,
            afterwards: decision.clone(),
            decision,
        };
        render(&[Planned::Decided(Box::new(decided))], now).text
    };
    insta::assert_snapshot!(unasked(BlockedBy::HostUnreachable), @"
    fleet/ups-01  (host ups-01.example.com, not in the cluster yet)
      not known: the host was not asked
      not checked: client Secret fleet-client, which may not be read
    ");
    assert!(unasked(BlockedBy::Conflict).contains("blocked by Conflict"), "that is known without the host");
}

/// Holds B12: a pull request is stopped for what only another configuration clears, and for nothing else.
#[test]
fn a_plan_is_wrong_for_what_does_not_pass_by_itself() {
    let now = sample::now();
    let exit = |by| {
        let resource = sample::resource();
        let mut report = sample::report(4, &sample::leaf(9, now, Duration::from_secs(3600)));
        report.power.state = kagiban_crds::host_api::PowerState::OnBattery;
        let mut decision = sample::decided(&resource, &report, now);
        decision.step = Step::Blocked { by, retry: now };
        let decided = Decided {
            name: "fleet/ups-01".into(),
            host: "ups-01.example.com".into(),
            exists: true,
            wrong: Vec::new(),
            unchecked: Vec::new(),
            is_asked: true,
            assumed: None,
            afterwards: decision.clone(),
            decision,
        };
        render(&[Planned::Decided(Box::new(decided))], now).exit
    };
    for by in [
        BlockedBy::HostRefused,
        BlockedBy::HostAnswerRefused,
        BlockedBy::SpecInvalid,
        BlockedBy::WrongHost,
        BlockedBy::IssuerUnavailable,
        BlockedBy::IssuerRefused,
        BlockedBy::IssuerEnding,
        BlockedBy::SecretUnavailable,
        BlockedBy::Conflict,
        BlockedBy::NotGranted,
    ] {
        assert_eq!(exit(by), PlanExit::Wrong, "{by:?}");
    }
    for by in [
        BlockedBy::Paused,
        BlockedBy::HostUnreachable,
        BlockedBy::HostBusy,
        BlockedBy::LowBattery,
        BlockedBy::ShutdownPending,
        BlockedBy::PowerUnknown,
        BlockedBy::BackingOff,
    ] {
        assert_eq!(exit(by), PlanExit::Clear, "{by:?}");
    }
}

/// Holds B12: what is left of a file is not asked of an API server that could not tell of what came before it.
#[tokio::test]
async fn once_the_plan_has_waited_long_enough_nothing_more_is_asked() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
    let metrics = Arc::new(Metrics::new(None));
    let client = client(config).expect("a client");
    let cluster: SharedCluster = Arc::new(Kubernetes::new(client, metrics.clone(), "test".to_owned()));
    let agents = AgentClient::new(cluster.clone(), metrics, crate::agent_api::Reach::new(Vec::new(), Vec::new()));
    let observer = Observer { cluster, agents, namespace: "fleet".to_owned(), lineage: None };
    let manifest = manifest::read(include_str!("../../tests/support/good.yaml")).expect("YAML").remove(0);
    let planned = observer.dry_run(manifest.expect("a good one"), 0, &mut Patience::used_up()).await;
    let Ok(Err(Planned::Untold { what })) = planned else { panic!("it was asked") };
    assert!(what.contains("not asked"), "{what}");
}

/// Holds B12: what is wrong keeps the operator from what it would do; what whoever plans may not read does not.
#[test]
fn a_failure_that_is_left_out_is_as_if_nothing_had_been_read() {
    let missing = Obstacle::new(BlockedBy::IssuerUnavailable, "there is no Secret fleet-ca");
    let unread = Obstacle::new(BlockedBy::SecretUnavailable, "may not be read");
    let references = References { issuer: Some(Err(missing.clone())), password: Some(Err(unread.clone())) };
    let wrong = [missing.clone()];
    let as_the_operator = references.without(|obstacle| !wrong.contains(obstacle));
    assert_eq!(as_the_operator, References { issuer: Some(Err(missing)), password: None });
    assert_eq!(references.without(|_| true), References::default());
}

/// Holds B12: a manifest in a pull request wrote lines of its own into a CI's log.
#[test]
fn what_a_manifest_says_stays_in_its_line() {
    let hostile = "x\n::error::pwned\u{1b}[2J";
    let checked = Planned::Checked { name: hostile.into(), host: hostile.into() };
    let plan = render(&[Planned::Refused { what: hostile.into() }, checked], sample::now());
    assert_eq!(plan.text.lines().count(), 4);
    assert!(plan.text.lines().all(|line| !line.starts_with("::") && !line.contains(char::is_control)), "{}", plan.text);
    let obstacle = Obstacle::new(BlockedBy::NotGranted, hostile);
    assert_eq!(obstacle.message, "x::error::pwned[2J");
}

/// What only an order brings to light is not forgotten by a plan.
#[test]
fn a_refusal_that_stands_in_the_status_is_told_until_the_spec_changes() {
    let with_status = |by, observed: i64| {
        let mut resource = sample::resource();
        resource.status.observed_generation = Some(observed);
        resource.status.blocked_by = by;
        refused_last(&resource)
    };
    let now = sample::resource().generation;
    for (by, told) in [
        (Some(BlockedBy::HostRefused), true),
        (Some(BlockedBy::HostAnswerRefused), true),
        (Some(BlockedBy::IssuerRefused), true),
        // A look tells of these by itself.
        (Some(BlockedBy::OnBattery), false),
        (Some(BlockedBy::HostUnreachable), false),
        (None, false),
    ] {
        assert_eq!(with_status(by, now).map(|obstacle| obstacle.by), by.filter(|_| told), "{by:?}");
        assert_eq!(with_status(by, now - 1), None, "another spec");
    }
}
