//! What is printed, and how it ends.

use std::time::Duration;

use super::*;
use crate::decide::Step;
use crate::decide::tests as sample;

/// Holds B12, with `tests/tests/operator_input.rs`.
#[test]
fn a_plan_says_what_would_be_done_and_what_blocks_it() {
    let now = sample::now();
    let resource = sample::resource();
    let leaf = sample::leaf(9, now, Duration::from_secs(3600));
    let mut report = sample::report(4, &leaf);
    let mut decided = |power| {
        report.power.state = power;
        sample::decided(&resource, &report, now)
    };
    let planned = |decision, exists, wrong| {
        Planned::Decided(Box::new(Decided {
            name: "fleet/ups-01".into(),
            host: "ups-01.example.com".into(),
            exists,
            wrong,
            unchecked: Vec::new(),
            assumed: None,
            decision,
        }))
    };
    let on_battery = decided(kagiban_crds::host_api::PowerState::OnBattery);
    let passes = render(&[planned(on_battery.clone(), true, Vec::new())], now);
    assert_eq!(passes.exit, PlanExit::Clear, "that passes by itself");
    let unknown = || Planned::Untold { what: "fleet/ups-02: busy".into() };
    let partly = render(&[planned(on_battery.clone(), true, Vec::new()), unknown()], now);
    assert_eq!(partly.exit, PlanExit::Untold);
    let missing = Obstacle::new(BlockedBy::IssuerUnavailable, "there is no Secret fleet-ca");
    let plan = render(
        &[
            planned(decided(kagiban_crds::host_api::PowerState::Mains), false, vec![missing]),
            planned(on_battery, true, Vec::new()),
            Planned::Refused { what: "document 3: no such product".into() },
            unknown(),
        ],
        now,
    );
    assert_eq!(plan.exit, PlanExit::Wrong);
    insta::assert_snapshot!(plan.text, @"
    fleet/ups-01  (host ups-01.example.com, not in the cluster yet)
      wrong: IssuerUnavailable: there is no Secret fleet-ca
      would rotate now: generation 5, because no certificate of this resource was ever verified
      Ready=False NotIssued: no certificate yet
      Reconciling=True FirstIssue: rotation 5 is on its way
    fleet/ups-01  (host ups-01.example.com)
      blocked by OnBattery; would look again in 30 s
      Ready=False OnBattery: no certificate yet: the host runs on battery
      Reconciling=True OnBattery: the host runs on battery
      Blocked=True OnBattery: the host runs on battery
    refused     document 3: no such product
    not known   fleet/ups-02: busy
      the API server could not tell; ask again later
    ");
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
            assumed: None,
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
    let observer = Observer { cluster, agents, namespace: "fleet".to_owned() };
    let manifest = manifest::read(include_str!("../../tests/support/good.yaml")).expect("YAML").remove(0);
    let planned = observer.dry_run(manifest.expect("a good one"), 0, &mut Patience::used_up()).await;
    let Ok(Err(Planned::Untold { what })) = planned else { panic!("it was asked") };
    assert!(what.contains("not asked"), "{what}");
}

/// Holds B12: a manifest in a pull request wrote lines of its own into a CI's log.
#[test]
fn what_a_manifest_says_stays_in_its_line() {
    let hostile = "x\n::error::pwned\u{1b}[2J";
    let checked = Planned::Checked { name: hostile.into(), host: hostile.into() };
    let plan = render(&[Planned::Refused { what: hostile.into() }, checked], sample::now());
    assert_eq!(plan.text.lines().count(), 3);
    assert!(plan.text.lines().all(|line| !line.starts_with("::") && !line.contains(char::is_control)), "{}", plan.text);
    let obstacle = Obstacle::new(BlockedBy::NotGranted, hostile);
    assert_eq!(obstacle.message, "x::error::pwned[2J");
}
