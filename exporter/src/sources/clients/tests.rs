use std::fs;
use std::path::PathBuf;

use kagiban_agents::Product;
use tempfile::TempDir;

use super::*;
use crate::platform::testing::native;

fn agent(yaml: &str) -> AgentConfig {
    serde_yaml::from_str(&native(yaml)).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn of(yaml: &str) -> Result<Option<ClientList>, ClientsConfigError> {
    let agent = agent(yaml);
    ClientList::of(&agent, Installed::of(&agent, |_| None).as_ref())
}

/// Asks a shell that is given the file as `$1`.
struct Asking {
    state: TempDir,
    agent: AgentConfig,
}

impl Asking {
    fn by(script: &str, rest: &str) -> Self {
        let command = format!("[/bin/sh, -c, {script:?}, list, '{{list}}']");
        let clients = format!("{{list: {{command: {command}{rest}}}, most: 2}}");
        let agent = agent(&format!("{{name: av, product: virus-buster-corp, clients: {clients}}}"));
        Self { state: tempfile::tempdir().expect("a directory"), agent }
    }

    async fn asked(&self) -> Result<LackingClients, Trouble> {
        let list = ClientList::of(&self.agent, None).expect("a good configuration").expect("a list");
        list.ask(&self.agent.name, self.state.path()).await
    }

    async fn reason(&self) -> &'static str {
        self.asked().await.map_or_else(|trouble| trouble.reason, |_| "listed")
    }

    fn directory(&self) -> PathBuf {
        self.state.path().join("client-lists/av")
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).expect("a directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != "lock").collect()
    }
}

#[test]
fn a_list_is_asked_of_a_product_that_has_one_or_of_the_program_that_is_named() {
    let named = |rest: &str| format!("{{name: av, product: virus-buster-corp, clients: {rest}}}");
    for (yaml, expected) in [
        (named("{}"), ClientsConfigError::Unknown),
        ("{name: web, product: tls-service, clients: {}}".to_owned(), ClientsConfigError::Unknown),
        (named("{list: {command: []}}"), NoProgram::Missing.into()),
        (named("{list: {command: [bin/list, '{list}']}}"), NoProgram::Relative.into()),
        (named("{list: {command: [list, \"a\\0\", '{list}']}}"), NoProgram::Nul.into()),
        (named("{list: {command: [list, -l]}}"), ClientsConfigError::NoList),
        (named("{list: {command: ['{list}']}}"), ClientsConfigError::NoList),
        (named("{list: {command: [list, '{list}'], deadline: 61m}}"), ClientsConfigError::Deadline),
        (named("{list: {command: [list, '{list}']}, most: 1001}"), ClientsConfigError::Most),
        (named("{list: {command: [list, '{list}'], column: 0}}"), ClientsConfigError::Column),
        (named("{list: {command: [list, '{list}'], column: 33}}"), ClientsConfigError::Column),
        (named("{list: {command: [list, '{list}'], column: ' - '}}"), ClientsConfigError::Column),
    ] {
        assert_eq!(of(&yaml).err(), Some(expected), "{yaml}");
    }
    assert!(of("{name: av, product: apex-one}").expect("nothing is asked").is_none());
    let list = of(&named("{list: {command: [list, '{list}']}, most: 0}")).expect("good").expect("a list");
    assert_eq!((list.deadline, list.interval), (Duration::from_mins(10), Duration::from_hours(1)));
}

#[tokio::test]
async fn the_column_of_the_names_is_the_one_that_the_configuration_tells() {
    for (column, expected) in [("", None), (", column: 2", Some("PC-1")), (", column: Name", None)] {
        let list = Asking::by("printf 'WG,PC-1\\nWG,PC-2\\n' >$1", column).asked().await;
        let first = list.ok().and_then(|list| list.named.first().map(ToString::to_string));
        assert_eq!(first.as_deref(), expected, "{column}");
    }
}

/// A reload may have taken `repair` out, or have put it in.
#[test]
fn a_list_says_whether_its_clients_are_repaired_and_is_cut_only_where_they_are_not() {
    let rows: String = (0..5).map(|at| format!("PC-{at}\n")).collect();
    let text = format!("Endpoint\n{rows}");
    for (repair, expected) in [("", (false, false)), (", repair: {command: [deliver, '{client}']}", (true, true))] {
        let yaml = format!(
            "{{name: av, product: apex-one, clients: {{list: {{command: [list, '{{list}}']}}, most: 2{repair}}}}}"
        );
        let list = of(&yaml).expect("good").expect("a list");
        let read = reader::read(text.as_bytes(), list.kept, None).expect("a list");
        assert_eq!((list.is_for_repair, read.is_complete), expected, "{repair}");
    }
}

#[test]
fn the_products_own_program_is_run_where_none_is_named() {
    let list = of("{name: av, product: apex-one, directory: /srv/av, clients: {}}").expect("good").expect("a list");
    let program = ["PCCSRV", "Admin", "Utility", "CertificateManager", "CertificateManager.exe"];
    let program = program.iter().fold(PathBuf::from(native("/srv/av")), |path, name| path.join(name));
    let argv = [program.to_string_lossy().into_owned(), "-l".to_owned(), "{list}".to_owned()];
    assert_eq!(list.command(), &Command::Program(argv.to_vec()));
    let without = agent("{name: av, product: apex-one, clients: {}}");
    assert_eq!(ClientList::of(&without, None).err(), Some(ClientsConfigError::NoDirectory));
    assert!(Product::ApexOne.facts().clients.is_some());
}

#[tokio::test]
async fn a_list_is_written_where_nobody_else_may_read_and_is_gone_afterwards() {
    let asking = Asking::by("test ! -e $1 && printf 'Endpoint\\nPC-1\\nPC-2\\nPC-3\\n' >$1", "");
    for _ in 0..2 {
        let list = asking.asked().await.expect("a list");
        assert_eq!((list.count, list.named.len(), list.left_out()), (3, 2, 1));
        assert_eq!(asking.left(), [""; 0]);
    }
    assert_eq!(platform::testing::mode(&asking.directory()), 0o700);
}

/// Each way to fail has a word of its own, and none is a list of no client.
#[tokio::test]
async fn a_program_that_fails_writes_nothing_or_hangs_is_told_by_a_word_of_its_own() {
    for (script, rest, expected) in [
        ("printf 'Endpoint\\nPC-1\\n' >$1; exit 1", "", "failed"),
        ("true", "", "not_written"),
        (">$1", "", "empty"),
        (">$1", ", emptyIsNone: true", "listed"),
        ("printf 'Endpoint\\n' >$1", "", "listed"),
        ("printf 'Endpoint,Domain\\nPC-1' >$1", "", "cut_short"),
        ("echo 'the database cannot be reached' >$1", "", "unknown_format"),
        ("printf 'PC-1\\n' >$1; exec sleep 60", ", deadline: 1s", "timed_out"),
        ("head -c 17000000 /dev/zero >$1", "", "too_large"),
        ("mkdir -p $1/x", "", "not_regular"),
    ] {
        let asking = Asking::by(script, rest);
        assert_eq!(asking.reason().await, expected, "{script}");
        assert_eq!(asking.left(), [""; 0], "{script}");
    }
    let gone =
        agent("{name: av, product: virus-buster-corp, clients: {list: {command: [/nonexistent/list, '{list}']}}}");
    let asking = Asking { agent: gone, ..Asking::by("true", "") };
    assert_eq!(asking.reason().await, "not_started");
    assert!(REASONS.is_sorted());
}

#[tokio::test]
async fn two_lists_of_one_agent_are_never_asked_for_at_once() {
    let asking = Asking::by("printf 'PC-1\\n' >$1", "");
    let place = ListPlace::make(asking.state.path(), &asking.agent.name).await.expect("a place");
    assert_eq!(asking.reason().await, "in_use");
    assert_eq!(place.take().await.expect("it is looked for"), None);
    assert_eq!(asking.reason().await, "listed");
}

/// It would run beside the one of the next look: a source that is looked at anew after a reload waits for the one before no more.
#[tokio::test]
async fn a_program_whose_list_nobody_waits_for_any_more_is_killed_before_another_is_begun() {
    let mut asking = Asking::by("touch $1.begun; exec sleep 600", "");
    asking.agent.name = "unawaited".parse().expect("a name");
    let directory = asking.state.path().join("client-lists/unawaited");
    let has_begun = || {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".begun"))
    };
    let begun = async {
        while !has_begun() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        asked = asking.asked() => panic!("{asked:?}"),
        () = begun => {}
    }
    assert!(platform::is_gone(&counted_as(&asking.agent.name), Duration::from_secs(60)).await);
    let next = Asking::by("printf 'PC-1\\n' >$1", "");
    asking.agent.clients = next.agent.clients;
    assert_eq!(asking.reason().await, "listed");
}

#[tokio::test]
async fn what_a_killed_program_has_left_is_removed_and_no_list_of_a_later_question() {
    let asking = Asking::by("true", "");
    assert_eq!(asking.reason().await, "not_written");
    fs::write(asking.directory().join("1.csv"), "PC-1\n").expect("written");
    fs::create_dir_all(asking.directory().join("2.csv/x")).expect("made");
    assert_eq!(asking.reason().await, "not_written");
    assert_eq!(asking.left(), [""; 0]);
}

#[tokio::test]
async fn where_no_list_can_be_kept_to_ourselves_none_is_asked_for() {
    let asking = Asking::by("printf 'PC-1\\n' >$1", "");
    fs::write(asking.state.path().join("client-lists"), "no directory").expect("written");
    let trouble = asking.asked().await.expect_err("there is no place");
    assert_eq!(trouble.reason, "state_directory");
    assert!(trouble.message.as_str().starts_with("stateDirectory: "), "{}", trouble.message);
}
