use jiff::SignedDuration;
use kagiban_agents::Product;

use super::*;
use crate::config::PowerConfig;
use crate::platform::testing::TRUE;
use crate::snapshot::{ClientName, ClientsSeen, LackingClients, Observation, RotationSeen};
use crate::sources::clients::counted_as as list_counted_as;

/// The server's certificate.
const LEAF: &str = "OfcNTCer.dat";

async fn repairer(root: &std::path::Path, rotates: bool) -> Repairer {
    let scheduled = root.join("scheduled");
    let power: PowerConfig =
        serde_yaml::from_str(&format!("{{assume: mains, scheduledShutdownFile: '{}'}}", scheduled.display()))
            .expect("a section");
    let board = Arc::<Board>::default();
    let repair = serde_yaml::from_str("{command: [no-such-program, '{client}'], concurrent: 8}").expect("a section");
    let power = PowerGate::new(&power).watching(Arc::clone(&board));
    let leaf = format!("{{certificateFile: '{}'}}", root.join(LEAF).display());
    let config = format!("{{name: av, product: apex-one, renew: {{command: {TRUE}}}, verify: {leaf}}}");
    let (config, state_directory) = (serde_yaml::from_str(&config).expect("an agent"), root.join("state"));
    Repairer::open(Setup {
        config,
        repair: ClientRepair::of(&repair, None).expect("a repair"),
        deliveries: Deliveries::in_state(&state_directory),
        state_directory,
        power,
        host: "apex-01.example.com".parse().expect("a host name"),
        board,
        rotates,
    })
    .await
}

async fn obstacle(repairer: &Repairer) -> Option<&'static str> {
    repairer.check_allowed().await.err().map(|trouble| trouble.reason)
}

/// A push or a renewal of the server's certificate makes all of what is delivered meanwhile useless.
#[tokio::test]
async fn nothing_is_begun_beside_a_rotation_nor_after_one_that_froze_nor_without_mains() {
    let root = tempfile::tempdir().expect("directory");
    let repairer = repairer(root.path(), true).await;
    assert_eq!(obstacle(&repairer).await, Some("rotation_unknown"), "its journal was not read yet");
    for (reason, expected) in [(READING, "rotation_unknown"), ("unreadable", "rotation_unread")] {
        repairer.board.note_rotation(&Label::new("av"), Some(Trouble::new(reason, "its journal")), None);
        assert_eq!(obstacle(&repairer).await, Some(expected), "{reason}");
    }
    for (state, expected) in [
        (None, None),
        (Some(RotationState::Renewing), Some("rotation_in_progress")),
        (Some(RotationState::RolledBack), None),
        (Some(RotationState::Frozen), Some("frozen")),
        (Some(RotationState::Committed), None),
    ] {
        let seen = RotationSeen { state, ..RotationSeen::default() };
        repairer.board.note_rotation(&Label::new("av"), None, Some(seen));
        assert_eq!(obstacle(&repairer).await, expected, "{state:?}");
    }
    std::fs::write(root.path().join("scheduled"), b"USEC=1\n").expect("written");
    assert_eq!(obstacle(&repairer).await, Some("power_unsafe"));
    assert_eq!(power_reason(PowerState::OnBattery), "on_battery");
}

#[tokio::test]
async fn nothing_is_begun_once_an_order_to_rotate_has_come_and_an_order_waits_for_what_is_begun() {
    let root = tempfile::tempdir().expect("directory");
    let repairer = repairer(root.path(), false).await;
    let (deliveries, agent) = (repairer.deliveries.clone(), repairer.agent.clone());
    let delivery = repairer.check_allowed().await.expect("nothing forbids it");
    deliveries.check(&agent).expect_err("a client is begun");
    drop(delivery);
    assert_eq!(obstacle(&repairer).await, Some("rotation_ordered"));
    deliveries.check(&agent).expect("none is any more");
    deliveries.note_rotation(&agent, true);
    assert_eq!(obstacle(&repairer).await, Some("rotation_in_progress"));
    deliveries.note_rotation(&agent, false);
    assert_eq!(obstacle(&repairer).await, None);
}

/// Two would give the same client the certificate at once, and each would write down what it knows over what the other does.
#[tokio::test]
async fn of_two_exporters_with_one_state_directory_one_repairs_and_the_other_goes_on_from_where_it_ends() {
    let root = tempfile::tempdir().expect("directory");
    let mut first = repairer(root.path(), false).await;
    let mut second = repairer(root.path(), false).await;
    assert_eq!((trouble(&first), trouble(&second)), (None, Some("in_use")));
    let known = (told(&first), told(&second));
    assert_eq!(known, (Some((Some(0), None)), Some((None, Some("in_use")))), "who stays is the first one's to tell");
    assert_eq!(second.be_alone().await.map_err(|trouble| trouble.reason), Err("in_use"));
    let client: ClientHost = "PC-01".parse().expect("a name");
    first.repairs.begin(&client, Timestamp::now());
    first.save().await.expect("written");
    let known = first.repairs.clone();
    // It waits for what it has killed first.
    first.see_all_gone().await;
    drop(first);
    assert!(second.be_alone().await.is_ok() && second.repairs == known);
    // The configuration has none to repair any more.
    second.withdraw();
    assert!(second.lock.is_none());
}

/// A disk that hangs, a right that is missing for a while: what is in it was paid for with attempts.
#[tokio::test]
async fn a_record_that_cannot_be_read_now_stays_as_it_is_and_nobody_is_begun() {
    let root = tempfile::tempdir().expect("directory");
    let mut first = repairer(root.path(), false).await;
    first.repairs.begin(&"PC-01".parse().expect("a name"), Timestamp::now());
    first.save().await.expect("written");
    let (path, known) = (first.record.path().to_owned(), first.repairs.clone());
    drop(first);
    // A second name makes it one that is not read.
    let second_name = path.with_extension("second");
    std::fs::hard_link(&path, &second_name).expect("linked");
    let mut repairer = repairer(root.path(), false).await;
    assert_eq!(told(&repairer), Some((None, Some("record"))));
    assert!(repairer.lock.is_none(), "another may have it");
    std::fs::remove_file(second_name).expect("removed");
    assert!(repairer.be_alone().await.is_ok() && repairer.repairs == known);
}

/// Such as of a later version.
#[tokio::test]
async fn what_is_no_record_is_moved_aside_and_every_client_is_begun_anew() {
    let root = tempfile::tempdir().expect("directory");
    let first = repairer(root.path(), false).await;
    first.save().await.expect("written");
    let path = first.record.path().to_owned();
    drop(first);
    for text in [r#"{"clients":{},"later":1}"#, "{"] {
        std::fs::write(&path, text).expect("written");
        let repairer = repairer(root.path(), false).await;
        assert_eq!((trouble(&repairer), &repairer.repairs), (None, &Repairs::default()));
        let aside = std::fs::read_to_string(path.with_extension("unreadable")).expect("it is there");
        assert_eq!((aside.as_str(), path.exists()), (text, false));
    }
}

/// Each list is of the certificate that the server has when it comes.
#[tokio::test]
async fn a_server_that_was_renewed_by_whomever_has_its_clients_begun_anew() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    let made = || rcgen::generate_simple_self_signed(["apex-01.example.com".to_owned()]).expect("made").cert;
    let client: ClientHost = "PC-01".parse().expect("a name");
    let now = Timestamp::now();
    for is_new in [true, false, true] {
        if is_new {
            std::fs::write(root.path().join(LEAF), made().der()).expect("written");
        }
        let list = Listing { begun: now, names: [client.clone()].into(), is_complete: true };
        repairer.heed(&list, now).await;
        let begun: Vec<_> = repairer.repairs.due(&list, repairer.repair.limits, now);
        assert_eq!(begun.len(), usize::from(is_new), "{is_new}");
        repairer.repairs.begin(&client, now);
    }
}

/// It may write to a client still.
#[tokio::test]
async fn an_order_and_another_exporter_wait_for_a_program_that_was_killed_and_does_not_end() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    let delivery = repairer.check_allowed().await.expect("nothing forbids it");
    let kept = Kept { delivery, lock: repairer.lock.clone() };
    let name = "a program that does not end";
    let left = platform::left(name);
    tokio::time::pause();
    assert!(!kept.until_gone(name.to_owned(), Duration::ZERO).await);
    repairer.withdraw();
    let (deliveries, agent) = (repairer.deliveries.clone(), repairer.agent.clone());
    deliveries.check(&agent).expect_err("it may be there");
    let elsewhere = Deliveries::in_state(&root.path().join("state"));
    assert!(elsewhere.lock(&agent).expect("a lock").is_none());
    // The configuration has them repaired again.
    tokio::time::resume();
    repairer.be_alone().await.expect("it is this program's own");
    repairer.withdraw();
    tokio::time::pause();
    drop(left);
    sleep(LOOK_EVERY * 2).await;
    deliveries.check(&agent).expect("it is not");
    assert!(elsewhere.lock(&agent).expect("a lock").is_some());
}

/// Each would leave another one behind.
#[tokio::test]
async fn nobody_is_begun_where_as_many_programs_as_may_run_do_not_end() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    publish(&repairer, Timestamp::now(), &["PC-01"]);
    let list = repairer.listed().expect("a list");
    let mut left: Vec<_> =
        (1..=repairer.repair.concurrent).map(|slot| platform::left(&counted_as(&repairer.agent, slot))).collect();
    repairer.round(&list).await;
    assert_eq!((trouble(&repairer), &repairer.repairs), (Some("not_ended"), &Repairs::default()));
    left.pop();
    repairer.round(&list).await;
    assert_eq!(trouble(&repairer), Some("not_started"), "it was begun");
}

/// It goes by its own lists, and whoever had the lock is gone.
#[tokio::test]
async fn whoever_comes_after_another_exporter_says_nothing_of_it_any_more_before_a_list_has_come() {
    let root = tempfile::tempdir().expect("directory");
    let first = repairer(root.path(), false).await;
    let mut second = repairer(root.path(), false).await;
    assert!(second.list_to_go_by().await.is_none());
    second.deliveries.check(&second.agent).expect_err("it may be giving them the certificate");
    assert_eq!(trouble(&second), Some("in_use"));
    drop(first);
    assert!(second.list_to_go_by().await.is_none() && second.lock.is_some());
    assert_eq!(trouble(&second), None);
    second.deliveries.check(&second.agent).expect("it is this one");
}

/// The program would repair the server.
#[tokio::test]
async fn a_name_that_leads_to_this_host_is_handed_to_no_program_and_stays() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    publish(&repairer, Timestamp::now(), &["localhost", "127.0.0.1", "APEX-01", "PC-01", "pc-01"]);
    let list = repairer.listed().expect("a list");
    let names: Vec<_> = list.names.iter().map(ClientHost::as_str).collect();
    assert_eq!((names, list.is_complete), (vec!["PC-01"], true));
    repairer.tell(None);
    let seen = repairer.told.expect("it is told");
    assert_eq!((seen.not_repaired, seen.never_tried), (Some(3), Some(3)));
    assert_eq!(seen.names, ["127.0.0.1", "APEX-01", "localhost"].map(Label::new));
}

/// A list that was begun at that time, with those names.
fn publish(repairer: &Repairer, begun: Timestamp, names: &[&str]) {
    let named = names.iter().map(|name| ClientName::parse(name).expect("a name")).collect();
    let lacking = LackingClients { count: names.len(), named, is_complete: true, ..LackingClients::default() };
    publish_seen(repairer, lacking, true, begun);
}

fn trouble(repairer: &Repairer) -> Option<&'static str> {
    repairer.trouble.as_ref().map(|trouble| trouble.reason)
}

/// Each attempt is two writes to the disk, and a line of the log.
#[tokio::test]
async fn a_program_that_is_not_there_is_no_attempt_and_is_not_tried_over_and_over() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    publish(&repairer, Timestamp::now(), &["PC-01", "PC-02"]);
    let list = repairer.listed().expect("a list");
    repairer.round(&list).await;
    assert_eq!((trouble(&repairer), repairer.repairs.clone()), (Some("not_started"), Repairs::default()));
    let rest = repairer.rest;
    assert!(!rest.is_over(Instant::now()));
    repairer.round(&list).await;
    assert_eq!((repairer.rest, trouble(&repairer)), (rest, Some("not_started")), "no second round was begun");
    repairer.rest.until = Some(Instant::now());
    repairer.round(&list).await;
    assert_eq!(repairer.rest.length, FIRST_REST * 2);
}

#[test]
fn a_rest_doubles_up_to_the_longest() {
    let now = Instant::now();
    let rests = std::iter::successors(Some(Rest::default()), |rest| Some(rest.longer(now))).skip(1).take(6);
    assert_eq!(rests.map(|rest| rest.length.as_secs() / 60).collect::<Vec<_>>(), [1, 2, 4, 8, 10, 10]);
    let first = Rest::default().longer(now);
    assert!(Rest::default().is_over(now) && !first.is_over(now) && first.is_over(now + FIRST_REST));
}

/// It may take hours.
#[tokio::test]
async fn a_round_ends_when_there_is_a_newer_list() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    let now = Timestamp::now();
    publish(&repairer, now - SignedDuration::from_secs(1), &["PC-01"]);
    let older = repairer.listed().expect("a list");
    publish(&repairer, now, &["PC-02"]);
    repairer.round(&older).await;
    assert_eq!(trouble(&repairer), None, "nobody is begun by the older one");
    let newer = repairer.listed().expect("a list");
    repairer.round(&newer).await;
    assert_eq!(trouble(&repairer), Some("not_started"));
}

#[tokio::test]
async fn a_pause_that_has_ended_holds_up_no_other_client() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    let now = Timestamp::now();
    let minutes_ago = |minutes| now - SignedDuration::from_mins(minutes);
    let off: ClientHost = "PC-01".parse().expect("a name");
    repairer.repairs.begin(&off, minutes_ago(61));
    repairer.repairs.end(&off, AttemptEnd::Failed, minutes_ago(60));
    publish(&repairer, minutes_ago(30), &["PC-01", "PC-02"]);
    let list = repairer.listed().expect("a list");
    assert_eq!(repairer.wants_list(&list), Some(WantedFor::Pause));
    repairer.round(&list).await;
    assert_eq!(trouble(&repairer), Some("not_started"), "the other was begun");
    repairer.rest = Rest::default();
    repairer.repairs.end(&off, AttemptEnd::Failed, minutes_ago(20));
    repairer.tell(None);
    repairer.round(&list).await;
    assert_eq!(trouble(&repairer), None, "an attempt since then does");
}

#[test]
fn pauses_that_end_have_a_list_made_every_ten_minutes_at_most_and_an_attempt_has_one_made_at_once() {
    let (mut asked, start) = (ListAsked::default(), Instant::now());
    for (minute, wanted, newer_than, is_asked) in [
        (0, WantedFor::Pause, 0, true),
        (1, WantedFor::Pause, 0, false),
        // It has come, and a pause ended since.
        (3, WantedFor::Pause, 1, false),
        (4, WantedFor::Attempt, 1, true),
        (5, WantedFor::Attempt, 1, false),
        (6, WantedFor::Attempt, 5, true),
        (15, WantedFor::Pause, 7, false),
        (16, WantedFor::Pause, 7, true),
        (26, WantedFor::Attempt, 7, true),
    ] {
        let newer_than = Timestamp::from_second(newer_than).expect("a time");
        let now = start + Duration::from_mins(minute);
        assert_eq!(asked.ask(wanted, newer_than, now), is_asked, "{minute}");
    }
}

/// On Windows whatever runs counts as left, and four of one name keep each further look from being made.
#[test]
fn each_of_those_that_run_at_once_is_counted_apart_and_so_is_the_list() {
    let agent: AgentName = "av".parse().expect("a name");
    let names: BTreeSet<_> = (1..=8).map(|slot| counted_as(&agent, slot)).chain([list_counted_as(&agent)]).collect();
    assert_eq!(names.len(), 9);
    assert!(names.iter().all(|name| name != agent.as_str()));
}

fn publish_lacking(repairer: &Repairer, lacking: LackingClients, is_for_repair: bool) {
    publish_seen(repairer, lacking, is_for_repair, Timestamp::now());
}

fn publish_seen(repairer: &Repairer, lacking: LackingClients, is_for_repair: bool, ended: Timestamp) {
    let agent = Label::new("av");
    let id = SourceId::own(SourceKind::Clients, agent.clone());
    let changes = repairer.board.certificate_changes(&agent);
    repairer.board.expect([(id.clone(), &[][..])]);
    let (product, lacking) = (Product::ApexOne, Some(lacking));
    let seen = ClientsSeen { agent, product, lacking, listed_at: Some(ended), changes, is_for_repair };
    let took = Duration::ZERO;
    repairer.board.publish(&id, Pass { observation: Observation::Clients(seen), trouble: None, ended, took });
}

fn told(repairer: &Repairer) -> Option<(Option<usize>, Option<&'static str>)> {
    let seen = repairer.board.snapshot().repairs.get(&Label::new("av")).cloned()?;
    Some((seen.not_repaired, seen.trouble.map(|trouble| trouble.reason)))
}

#[tokio::test]
async fn those_whom_the_list_does_not_name_stay_and_why_is_told() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), false).await;
    let unknown = LackingClients { count: 3, nameless: 3, is_column_unknown: true, ..LackingClients::default() };
    for (lacking, expected) in [
        (unknown, (3, Some("names_unknown"))),
        (LackingClients { count: 1, nameless: 1, ..LackingClients::default() }, (1, None)),
        (LackingClients { is_complete: true, ..LackingClients::default() }, (0, None)),
    ] {
        publish_lacking(&repairer, lacking, true);
        let list = repairer.listed().expect("a list");
        repairer.heed(&list, Timestamp::now()).await;
        repairer.round(&list).await;
        let (not_repaired, trouble) = expected;
        assert_eq!(told(&repairer), Some((Some(not_repaired), trouble)));
    }
}

/// The list of a configuration without `clients.repair` leaves names out.
#[tokio::test]
async fn nobody_is_repaired_by_a_list_of_before_a_rotation_nor_once_the_configuration_has_no_repair() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), true).await;
    let list = || LackingClients { is_complete: true, ..LackingClients::default() };
    publish_lacking(&repairer, list(), true);
    assert!(repairer.listed().is_some_and(|list| list.is_complete));
    publish_lacking(&repairer, LackingClients { is_complete: false, ..list() }, true);
    assert!(repairer.listed().is_some_and(|list| !list.is_complete));
    let committed = RotationSeen { generation: 1, state: Some(RotationState::Committed), ..RotationSeen::default() };
    repairer.board.note_rotation(&Label::new("av"), None, Some(committed));
    assert!(repairer.listed().is_none());
    publish_lacking(&repairer, list(), true);
    assert!(repairer.listed().is_some() && told(&repairer).is_some());
    publish_lacking(&repairer, list(), false);
    assert!(repairer.list_to_go_by().await.is_none() && told(&repairer).is_none() && repairer.lock.is_none());
    publish_lacking(&repairer, list(), true);
    assert!(repairer.list_to_go_by().await.is_some() && told(&repairer).is_some() && repairer.lock.is_some());
    // It has no `clients` at all.
    repairer.board.expect([]);
    assert!(repairer.list_to_go_by().await.is_none() && told(&repairer).is_none() && repairer.lock.is_none());
}

/// Its orders would wait for this one for ever, which begins nobody.
#[tokio::test]
async fn whoever_cannot_know_of_rotations_leaves_the_clients_to_the_exporter_that_has_the_state_directory() {
    let root = tempfile::tempdir().expect("directory");
    let mut repairer = repairer(root.path(), true).await;
    publish(&repairer, Timestamp::now(), &["PC-01"]);
    let in_use = Some(Trouble::new("state_directory_in_use", "another kagiban-exporter has it"));
    repairer.board.note_rotation(&Label::new("av"), in_use, None);
    assert!(repairer.list_to_go_by().await.is_none());
    assert_eq!((trouble(&repairer), repairer.lock.is_some()), (Some("rotation_unread"), false));
    Deliveries::in_state(&root.path().join("state")).check(&repairer.agent).expect("nobody repairs");
    repairer.board.note_rotation(&Label::new("av"), None, Some(RotationSeen::default()));
    assert!(repairer.list_to_go_by().await.is_some() && repairer.lock.is_some());
}

/// Another exporter may rotate, whose journal lies in the same state directory.
#[tokio::test]
async fn where_this_program_rotates_nothing_the_journal_of_the_agent_is_looked_at() {
    let root = tempfile::tempdir().expect("directory");
    let repairer = repairer(root.path(), false).await;
    assert_eq!(obstacle(&repairer).await, None, "there is none");
    let journal = repairer.state.journal(&repairer.agent);
    std::fs::create_dir_all(journal.parent().expect("a directory")).expect("made");
    std::fs::write(&journal, "{").expect("written");
    assert_eq!(obstacle(&repairer).await, Some("rotation_unread"));
    let [going_on, frozen] = [RotationState::Renewing, RotationState::Frozen].map(|state| check_state(Some(state)));
    assert_eq!(going_on.map_err(|why| why.reason), Err("rotation_in_progress"));
    assert_eq!(frozen.map_err(|why| why.reason), Err("frozen"));
}
