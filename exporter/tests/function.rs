//! Rotations of agents that are asked whether they do their work: what worked before has to again, and what did not does not count.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use jiff::{SignedDuration, Zoned};
use kagiban_crds::host_api::{FunctionState, RotationFunction, RotationReport, RotationState};
use support::{World, renewal, rollback, rotate_until};

const OLD_ONLY: &str = "cmp -s $0/tls.crt $0/first.crt";

/// An agent that works when the script of a shell ends well; `$0` is the agent's directory.
fn works_if(mut world: World, script: &str) -> World {
    std::fs::copy(world.home().join("tls.crt"), world.home().join("first.crt")).unwrap();
    let argv = serde_json::to_string(&["/bin/sh", "-c", script, &world.home().display().to_string()]).unwrap();
    world.rewrite_agent("verify: {", &format!("verify: {{function: {{command: {argv}}}, "));
    world
}

async fn pushed(world: &World) -> RotationReport {
    let (mut rotator, _lock) = world.rotator().await;
    support::order(&mut rotator, &world.issuer);
    rotator.advance(|_| {}).await;
    rotator.report().unwrap()
}

async fn renewed(world: &World) -> RotationReport {
    let (mut rotator, _lock) = world.rotator().await;
    rotator.renew(&renewal(1, 1), Ok(())).unwrap();
    rotator.advance(|_| {}).await;
    rotator.report().unwrap()
}

fn states(report: &RotationReport) -> (FunctionState, Option<FunctionState>) {
    let RotationFunction { before, after } = report.function.as_ref().expect("it was asked");
    (before.state, after.as_ref().map(|after| after.state))
}

fn reason(report: &RotationReport) -> &str {
    report.failure.as_ref().map_or("", |failure| failure.reason.as_str())
}

fn notes(report: &RotationReport) -> String {
    report.steps.iter().map(|step| step.note.as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_agent_that_works_before_and_after_is_committed_and_said_to_work() {
    for push in [true, false] {
        let world = if push { World::pem_pair().await } else { World::self_renewing(2049).await };
        let world = works_if(world, "echo >> $0/asked");
        let report = if push { pushed(&world).await } else { renewed(&world).await };
        assert_eq!(report.state, RotationState::Committed, "{report:#?}");
        assert_eq!(states(&report), (FunctionState::Works, Some(FunctionState::Works)));
        assert!(notes(&report).contains("the agent does its work"), "{report:#?}");
        assert_eq!(std::fs::read(world.home().join("asked")).unwrap().len(), 2, "once before, and once after");
    }
}

#[tokio::test]
async fn an_agent_that_needs_a_while_is_asked_again_until_it_works() {
    let script = "[ ! -e $0/asked ] || cmp -s $0/tls.crt $0/first.crt || [ $(wc -l < $0/asked) -ge 4 ] || no=1; echo >> $0/asked; [ -z \"$no\" ]";
    let world = works_if(World::pem_pair().await, script);
    let report = pushed(&world).await;
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");
    assert!(std::fs::read(world.home().join("asked")).unwrap().len() >= 5);
}

#[tokio::test]
async fn an_agent_that_worked_before_and_does_not_after_gets_its_old_certificate_back() {
    for push in [true, false] {
        let world = if push { World::pem_pair().await } else { World::self_renewing(2049).await };
        let world = works_if(world, OLD_ONLY);
        let report = if push { pushed(&world).await } else { renewed(&world).await };
        assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, "function_lost"), "{report:#?}");
        assert_eq!(world.service.served().await, Some(world.first));
        assert_eq!(states(&report), (FunctionState::Works, Some(FunctionState::Works)), "it works again");
        let told = &report.failure.unwrap().message;
        assert!(told.contains("did its work before") && !told.contains("in the rollback"), "{told}");
    }
}

#[tokio::test]
async fn an_agent_that_works_after_neither_is_rolled_back_and_not_frozen_and_that_is_told() {
    for push in [true, false] {
        let world = if push { World::pem_pair().await } else { World::self_renewing(2049).await };
        let world = works_if(world, "[ ! -e $0/asked ] && touch $0/asked");
        let report = if push { pushed(&world).await } else { renewed(&world).await };
        assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, "function_lost"), "{report:#?}");
        assert_eq!(world.service.served().await, Some(world.first));
        assert_eq!(states(&report), (FunctionState::Works, Some(FunctionState::DoesNotWork)));
        let told = &report.failure.unwrap().message;
        assert!(told.contains("; in the rollback: the agent did its work before"), "{told}");
    }
}

#[tokio::test]
async fn what_did_not_work_before_is_said_before_and_does_not_count_against_the_rotation() {
    for (script, after) in
        [("exit 1", FunctionState::DoesNotWork), ("! cmp -s $0/tls.crt $0/first.crt", FunctionState::Works)]
    {
        for push in [true, false] {
            let world = if push { World::pem_pair().await } else { World::self_renewing(2049).await };
            let world = works_if(world, script);
            let report = if push { pushed(&world).await } else { renewed(&world).await };
            assert_eq!(report.state, RotationState::Committed, "{report:#?}");
            assert_eq!(states(&report), (FunctionState::DoesNotWork, Some(after)));
            let notes = notes(&report);
            assert!(notes.contains("function_not_working_before"), "{notes}");
            let told = if after == FunctionState::Works { "the agent does its work" } else { "as before" };
            assert!(notes.contains(told), "{notes}");
        }
    }
}

#[tokio::test]
async fn a_program_that_hangs_after_the_restart_ends_the_rotation_and_not_the_agent() {
    // Its own timeout is longer than what is left of verify.deadline.
    let mut world = works_if(World::pem_pair().await, &format!("{OLD_ONLY} || sleep 600"));
    world.rewrite_agent("\"]}, ", "\"], timeout: 10m}, ");
    let report = pushed(&world).await;
    assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, "function_lost"), "{report:#?}");
    assert!(report.failure.unwrap().message.contains("did not end within"));
    assert_eq!(world.service.served().await, Some(world.first));
}

/// What was said before outlives every crash after it: a start that knew nothing of it would take the new certificate for good.
#[tokio::test]
async fn a_rotation_that_was_cut_off_at_any_edge_goes_by_what_was_said_before() {
    for (script, lost) in [(OLD_ONLY, true), ("exit 1", false)] {
        // The answer is in the fourth entry; before that nothing was touched.
        for edge in 3.. {
            let world = works_if(World::pem_pair().await, script);
            let (rotator, lock) = world.rotator().await;
            let (new, ended) = rotate_until(rotator, &world.issuer, edge).await;
            drop(lock);
            let report = world.rotator().await.0.report().unwrap();
            let served = world.service.served().await;
            match report.state {
                RotationState::Committed => assert!(!lost && served == Some(new), "edge {edge}: {report:#?}"),
                RotationState::RolledBack => assert_eq!(served, Some(world.first), "edge {edge}: {report:#?}"),
                _ => panic!("edge {edge}: {report:#?}"),
            }
            if ended {
                assert_eq!(reason(&report), if lost { "function_lost" } else { "" });
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_rollback_by_order_tells_whether_the_agent_works_after_it() {
    let world = works_if(World::pem_pair().await, "[ ! -e $0/broken ]");
    let (mut rotator, _lock) = world.rotator().await;
    support::order(&mut rotator, &world.issuer);
    rotator.advance(|_| {}).await;
    assert_eq!(rotator.report().unwrap().state, RotationState::Committed);
    std::fs::write(world.home().join("broken"), "").unwrap();
    rotator.roll_back(&rollback(1, 1), || true).await.unwrap();
    rotator.advance(|_| {}).await;
    let report = rotator.report().unwrap();
    assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, "rolled_back_by_order"));
    assert_eq!(states(&report).1, Some(FunctionState::DoesNotWork));
    assert!(report.failure.unwrap().message.contains("the agent did its work before"));
}

/// Has the script that the agent is started by write into its event log: `first` at the first start, on the new files, and `later` at the
/// others.
fn writes_when_started(world: &mut World, first: &[&str], later: &[&str]) {
    let written = |events: &[&str]| {
        let lines = events.iter().map(|event| format!("echo \"$(date '+%Y-%m-%d %H:%M:%S') {event}\"; "));
        lines.collect::<String>()
    };
    let mut argv = world.service.start_argv();
    let before = serde_json::to_string(&argv).unwrap();
    argv[2] = format!(
        "if [ -e \"$0/starts\" ]; then {} :; else {} :; fi >> {}; {}",
        written(later),
        written(first),
        world.home().join("EventLog").display(),
        argv[2]
    );
    world.rewrite_agent(&before, &serde_json::to_string(&argv).unwrap());
}

fn wrote(world: &World, events: &[&str]) {
    let at = Zoned::now().checked_sub(SignedDuration::from_secs(20)).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let lines: String = events.iter().map(|event| format!("{at} {event}\n")).collect();
    std::fs::write(world.home().join("EventLog"), lines).unwrap();
}

const STARTED: &str = "Monitoring Started";
const HEARD: &str = "Communication Established";
const LOST: &str = "Communication Lost";

#[tokio::test]
async fn a_powerchute_agent_is_asked_for_its_ups_without_a_word_of_configuration() {
    use FunctionState::{DoesNotWork, Unknown, Works};
    for (before, after, expected, ends) in [
        (&[STARTED, HEARD][..], &[STARTED, HEARD][..], (Works, Some(Works)), ""),
        (&[STARTED, HEARD], &[STARTED, LOST], (Works, Some(Works)), "function_lost"),
        (&[STARTED, HEARD, LOST], &[STARTED, LOST], (DoesNotWork, Some(DoesNotWork)), ""),
        // Such a version would not say it after the restart either.
        (&[HEARD], &[STARTED], (Unknown, Some(Unknown)), ""),
        (&[], &[], (Unknown, Some(Unknown)), ""),
    ] {
        let mut world = World::powerchute().await;
        std::fs::write(world.home().join("password"), "new-password\n").unwrap();
        wrote(&world, before);
        writes_when_started(&mut world, after, &[STARTED, HEARD]);
        let report = pushed(&world).await;
        let state = if ends.is_empty() { RotationState::Committed } else { RotationState::RolledBack };
        assert_eq!((report.state, reason(&report)), (state, ends), "{before:?} {after:?}: {report:#?}");
        assert_eq!(states(&report), expected, "{before:?} {after:?}: {report:#?}");
    }
}

/// An agent that renews its own certificate, and writes an event log.
async fn renewing_with_event_log() -> World {
    let mut world = World::self_renewing(2049).await;
    let product = format!("product: powerchute-business-edition\ndirectory: '{}'\n", world.home().display());
    world.rewrite_agent("product: self-renewing-service\n", &product);
    world
}

/// What the vendor tells of some releases renews the server's certificate alone.
#[tokio::test]
async fn a_renewal_that_leaves_the_agent_as_it_is_does_not_ask_it_to_say_again_that_it_hears_its_ups() {
    use FunctionState::{DoesNotWork, Works};
    for (during, after, state) in [
        (&[][..], Works, RotationState::Committed),
        (&[STARTED, HEARD], Works, RotationState::Committed),
        (&[LOST], DoesNotWork, RotationState::RolledBack),
    ] {
        let world = renewing_with_event_log().await;
        wrote(&world, &[STARTED, HEARD]);
        let log = world.home().join("EventLog");
        let lines =
            during.iter().map(|event| format!("echo \"$(date '+%Y-%m-%d %H:%M:%S') {event}\" >> {}\n", log.display()));
        world.before("renew", &lines.collect::<String>());
        let report = renewed(&world).await;
        assert_eq!((report.state, states(&report)), (state, (Works, Some(after))), "{during:?}: {report:#?}");
    }
}

#[tokio::test]
async fn a_renewal_whose_program_did_nothing_does_not_say_that_the_agent_has_lost_its_work() {
    let world = renewing_with_event_log().await;
    wrote(&world, &[STARTED, HEARD]);
    world.before("renew", "exit 1");
    let report = renewed(&world).await;
    let told = format!("{:?}", report.failure);
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert!(!told.contains("did its work before"), "{told}");
}
