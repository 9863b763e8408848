//! What stands in the Secrets that a resource names, and when it changes.

use super::*;

/// Of a process that has read every password before this one.
fn references(ca: &str, password: &str) -> References {
    let others = (0..10).map(|word| word.to_string()).filter(|word| word != password).collect();
    with_password(ca, PasswordVersion { others, ..password.into() })
}

fn with_password(ca: &str, password: PasswordVersion) -> References {
    References { password: Some(Ok(password)), ..issuer(ca, at(100 * QUARTER.as_secs())) }
}

/// A resource whose leaf was signed by the CA `ca` and whose keystore has the password of version `1`.
fn recorded() -> (Resource, AgentReport) {
    let (mut resource, report) = settled();
    let decision = decided_with(&resource, &report, &references("ca", "1"), now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    resource.status = decision.status;
    (resource, report)
}

/// Holds B11: an upgrade records what it finds, and restarts nothing.
#[test]
fn a_status_that_does_not_know_the_issuer_takes_the_present_one_without_a_rotation() {
    let (mut resource, report) = settled();
    let leaf = resource.status.leaf.as_mut().expect("a leaf");
    (leaf.issuer_sha256, leaf.password_version) = (None, None);
    let decision = decided_with(&resource, &report, &references("another", "7"), now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(decision.events, vec![]);
    let leaf = decision.status.leaf.as_ref().expect("a leaf");
    assert_eq!((leaf.issuer_sha256.as_deref(), leaf.password_version.as_deref()), (Some("another"), Some("7")));
    resource.status = decision.status.clone();
    let rest = decided_with(&resource, &report, &references("another", "7"), now());
    assert_eq!(rest.status, decision.status, "written once");
}

/// Holds B11: nobody saw that another CA stood under the same name.
#[test]
fn another_ca_under_the_same_name_is_drift_and_so_is_another_password() {
    let (resource, report) = recorded();
    for (references, trigger) in [
        (references("other", "1"), RotationTrigger::IssuerChanged),
        (references("ca", "2"), RotationTrigger::PasswordChanged),
    ] {
        let decision = decided_with(&resource, &report, &references, now());
        assert_eq!(decision.step, Step::Open { generation: Generation(2), trigger });
        assert_eq!(condition(&decision.status, "Ready").0, "False", "what is served is not what is asked for");
        assert_eq!(condition(&decision.status, "Serving").0, "True");
    }
    assert!(matches!(decided_with(&resource, &report, &references("ca", "1"), now()).step, Step::Idle { .. }));
}

/// Holds B11: a host that is added to an annotation of the Secret restarts no agent, and neither does a restart of the operator
/// after that.
#[test]
fn the_same_password_under_another_word_is_written_down_and_rotates_nothing() {
    let (mut resource, report) = recorded();
    let moved =
        with_password("ca", PasswordVersion { before: vec!["0".into(), "1".into()], ..PasswordVersion::from("2") });
    let decision = decided_with(&resource, &report, &moved, now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(decision.status.leaf.as_ref().and_then(|leaf| leaf.password_version.as_deref()), Some("2"));
    resource.status = decision.status;
    let restarted = decided_with(&resource, &report, &references("ca", "2"), now());
    assert!(matches!(restarted.step, Step::Idle { .. }), "{:?}", restarted.step);
    let another = decided_with(&resource, &report, &references("ca", "3"), now());
    assert!(matches!(another.step, Step::Open { trigger: RotationTrigger::PasswordChanged, .. }), "{:?}", another.step);
}

/// Holds B11, B17: after a restart nobody knows whether an annotation was changed or the password, but the host does. Nothing is
/// written and no agent is called out of date before it has said so.
#[test]
fn a_word_that_this_process_has_never_read_is_asked_about_and_restarts_nothing_by_itself() {
    let (mut resource, report) = recorded();
    let question = Step::AskPassword { generation: Generation(1) };
    let unheard = with_password("ca", "2".into());
    let decision = decided_with(&resource, &report, &unheard, now());
    assert_eq!((decision.step, &decision.status), (question, &resource.status));
    assert_eq!(decision.events, vec![]);

    let same = with_password("ca", PasswordVersion { before: vec!["1".into()], ..PasswordVersion::from("2") });
    let decision = decided_with(&resource, &report, &same, now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(decision.status.leaf.as_ref().and_then(|leaf| leaf.password_version.as_deref()), Some("2"));
    let different = with_password("ca", PasswordVersion { others: vec!["1".into()], ..PasswordVersion::from("2") });
    let decision = decided_with(&resource, &report, &different, now());
    assert_eq!(decision.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::PasswordChanged });

    resource.rotate = Some("now".into());
    let decision = decided_with(&resource, &report, &unheard, now());
    assert_eq!(
        decision.step,
        Step::Open { generation: Generation(2), trigger: RotationTrigger::Requested },
        "it is told anyway"
    );
}

/// Holds B11: a host that does not answer is asked again after a pause, and no renewal waits for it.
#[test]
fn a_question_that_is_not_answered_holds_up_nothing_but_itself() {
    let (resource, report) = recorded();
    let unheard = with_password("ca", "2".into());
    let (policy, obstacle) = (Policy::default(), Obstacle::new(BlockedBy::HostBusy, "busy"));
    let setback = Setback { obstacle, count: 1, at: now() };
    let step = |report: &AgentReport, at| {
        let (host, setback) = (Observed::Seen(report), Some(&setback));
        let inputs = Inputs {
            resource: &resource,
            host,
            rival: None,
            setback,
            works_for: None,
            ordered: None,
            references: &unheard,
            policy: &policy,
            now: at,
        };
        let decision = decide(&inputs);
        assert_eq!(condition(&decision.status, "Serving").0, "True");
        decision.step
    };
    let question = Step::AskPassword { generation: Generation(1) };
    assert_eq!(step(&report, now()), Step::Blocked { by: BlockedBy::HostBusy, retry: at(5) });
    assert_eq!(step(&report, at(5)), question, "again");
    let renewal = resource.status.renewal_time.expect("a renewal time");
    let renewing = AgentReport { time: renewal, ..report.clone() };
    let step_then = step(&renewing, renewal);
    assert_eq!(step_then, Step::Open { generation: Generation(2), trigger: RotationTrigger::Renewal });
    assert_eq!(decided_with(&resource, &renewing, &unheard, renewal).step, question, "one try is waited for");
}

/// Holds B11: a question that failed once, while a renewal was due that the issuer's end held up for weeks, was never asked again.
#[test]
fn a_password_is_asked_about_while_what_is_due_is_not_going_to_be_done() {
    let (mut resource, report) = recorded();
    resource.spec.rotation.paused = true;
    let renewal = resource.status.renewal_time.expect("a renewal time");
    let report = AgentReport { time: renewal, ..report };
    let unheard = with_password("ca", "2".into());
    let (policy, obstacle) = (Policy::default(), Obstacle::new(BlockedBy::HostBusy, "busy"));
    let failed = |count| Some(Setback { obstacle: obstacle.clone(), count, at: renewal });
    let after = |setback: Option<Setback>, seconds| {
        let inputs = Inputs {
            resource: &resource,
            host: Observed::Seen(&report),
            rival: None,
            setback: setback.as_ref(),
            works_for: None,
            ordered: None,
            references: &unheard,
            policy: &policy,
            now: renewal + Duration::from_secs(seconds),
        };
        let decision = decide(&inputs);
        assert_eq!(decision.status.blocked_by, Some(BlockedBy::Paused), "what holds the renewal up is told throughout");
        decision.step
    };
    let question = Step::AskPassword { generation: Generation(1) };
    let waits = |seconds| Step::Blocked { by: BlockedBy::Paused, retry: renewal + Duration::from_secs(seconds) };
    assert_eq!(after(None, 0), question);
    assert_eq!([after(failed(1), 0), after(failed(1), 5)], [waits(5), question]);
    assert_eq!([after(failed(2), 9), after(failed(2), 10)], [waits(10), question]);
}

/// Holds B8: a step that failed was not tried again before a clock that was set back had caught up.
#[test]
fn a_clock_that_is_set_back_does_not_put_off_the_next_try() {
    let (resource, report) = recorded();
    let (unheard, policy) = (with_password("ca", "2".into()), Policy::default());
    let obstacle = Obstacle::new(BlockedBy::HostBusy, "busy");
    let setback = Setback { obstacle, count: 1, at: at(24 * 3600) };
    let inputs = Inputs {
        resource: &resource,
        host: Observed::Seen(&report),
        rival: None,
        setback: Some(&setback),
        works_for: None,
        ordered: None,
        references: &unheard,
        policy: &policy,
        now: now(),
    };
    assert_eq!(decide(&inputs).step, Step::AskPassword { generation: Generation(1) });
}

#[test]
fn what_is_not_known_of_a_secret_is_no_change() {
    let (resource, report) = recorded();
    let missing = || Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret");
    for references in
        [References::default(), References { issuer: Some(Err(missing())), password: Some(Err(missing())) }]
    {
        let decision = decided_with(&resource, &report, &references, now());
        assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
        assert_eq!(decision.status, resource.status, "nothing is written");
    }
}

/// Holds B1: a read that failed was taken for a Secret that is missing.
#[test]
fn a_secret_that_could_not_be_read_keeps_the_resource_as_it_is_and_the_rotation_waiting() {
    let (resource, report) = recorded();
    let unread = |by| Obstacle::new(by, "the API server answered 429").unread(true);
    let issuer = || References { issuer: Some(Err(unread(BlockedBy::IssuerUnavailable))), password: None };
    let password = || {
        let password = Some(Err(unread(BlockedBy::SecretUnavailable)));
        References { password, ..references("ca", "1") }
    };
    // Nothing is due: the host is looked at as ever
    for references in [issuer(), password()] {
        let decision = decided_with(&resource, &report, &references, now());
        assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
        assert_eq!(decision.status, resource.status);
    }
    let asked = Resource { rotate: Some("anew".into()), ..resource.clone() };
    let due = decided_with(&asked, &report, &references("ca", "1"), now());
    assert!(matches!(due.step, Step::Open { .. }), "{:?}", due.step);
    let new = Resource { status: ManagedAgentCertificateStatus::default(), ..asked.clone() };
    for (references, by) in [(issuer(), BlockedBy::IssuerUnavailable), (password(), BlockedBy::SecretUnavailable)] {
        let waits = decided_with(&asked, &report, &references, now());
        assert_eq!(waits.step, Step::Blocked { by, retry: at(5) });
        assert_eq!((&waits.status, waits.events.len()), (&asked.status, 0));
        let told = decided_with(&new, &report, &references, now());
        assert_eq!(told.status.blocked_by, Some(by), "where nothing is known, that is");
    }
    // What stands in the way besides is told
    let mut on_battery = report.clone();
    on_battery.power.state = PowerState::OnBattery;
    let blocked = decided_with(&asked, &on_battery, &issuer(), now());
    assert_eq!(blocked.status.blocked_by, Some(BlockedBy::OnBattery));
    // A step that needed it and did not get it
    let setback = Setback { obstacle: unread(BlockedBy::SecretUnavailable), count: 1, at: now() };
    let (policy, references) = (Policy::default(), references("ca", "1"));
    let tried = decide(&Inputs {
        resource: &asked,
        host: Observed::Seen(&report),
        rival: None,
        setback: Some(&setback),
        works_for: None,
        ordered: None,
        references: &references,
        policy: &policy,
        now: now(),
    });
    assert_eq!(tried.step, Step::Blocked { by: BlockedBy::SecretUnavailable, retry: at(5) });
    assert_eq!((&tried.status, tried.events.len()), (&asked.status, 0));
    // The client Secret, without which no host is asked
    let obstacle = unread(BlockedBy::SecretUnavailable);
    let inputs = Inputs {
        resource: &resource,
        host: Observed::Unseen(&obstacle),
        rival: None,
        setback: None,
        works_for: None,
        ordered: None,
        references: &references,
        policy: &policy,
        now: now(),
    };
    let decision = decide(&inputs);
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::SecretUnavailable, .. }), "{:?}", decision.step);
    assert_eq!((&decision.status, decision.events.len()), (&resource.status, 0));
}

/// Holds B11: who corrects a Secret is watching, and no key was made in vain before.
#[test]
fn a_missing_secret_is_looked_for_every_few_seconds_before_any_rotation_is_opened() {
    let report = report(0, &leaf(9, now(), QUARTER));
    let missing = Obstacle::new(BlockedBy::IssuerUnavailable, "there is no Secret fleet-ca");
    let references = References { issuer: Some(Err(missing)), password: None };
    let decision = decided_with(&resource(), &report, &references, now());
    assert_eq!(decision.step, Step::Blocked { by: BlockedBy::IssuerUnavailable, retry: at(5) });
    assert_eq!(decision.status.rotation, None, "no generation is used up");
    assert_eq!(condition(&decision.status, "Reconciling"), ("True", "IssuerUnavailable"));
}

#[test]
fn a_failed_rotation_to_another_password_is_tried_again_after_a_pause_and_at_once_for_the_next_password() {
    let (mut resource, mut report) = recorded();
    resource.status = decided_with(&resource, &report, &references("ca", "2"), now()).status;
    report.generation = Generation(2);
    report.rotation = Some(rotation(2, RotationState::RolledBack));
    let waits = decided_with(&resource, &report, &references("ca", "2"), now());
    assert!(matches!(waits.step, Step::Blocked { by: BlockedBy::BackingOff, .. }), "{:?}", waits.step);
    let corrected = decided_with(&resource, &report, &references("ca", "3"), now());
    assert_eq!(corrected.step, Step::Open { generation: Generation(3), trigger: RotationTrigger::PasswordChanged });
}

/// Holds B11: an agent is not restarted twice because its password was written anew while a rotation began.
#[test]
fn a_rotation_goes_on_with_the_password_that_the_host_was_told_and_is_called_off_for_another() {
    let (mut resource, mut report) = recorded();
    let opened = decided_with(&resource, &report, &references("ca", "2"), now());
    resource.status = opened.status;
    let told = |resource: &Resource| {
        let rotation = resource.status.rotation.as_ref().expect("a rotation");
        rotation.password_version.clone()
    };
    assert_eq!(told(&resource).as_deref(), Some("2"));

    let again = decided_with(&resource, &report, &references("ca", "3"), now());
    assert_eq!(again.step, opened.step, "the host has not heard of it");
    resource.status = again.status;
    assert_eq!(told(&resource).as_deref(), Some("3"));

    report.generation = Generation(2);
    report.rotation = Some(rotation(2, RotationState::Keyed));
    let step = |password: &str| decided_with(&resource, &report, &references("ca", password), now()).step;
    assert_eq!(step("3"), Step::Deliver { generation: Generation(2) });
    assert_eq!(step("4"), Step::Rollback { generation: Generation(2) });
}
