//! `check` and `discover` on hosts that are in order and on hosts that are not.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::World;
use support::pki::Authority;
use support::wire::HostApiFiles;

/// Items of one host, as scripts get them.
struct Checked {
    code: i32,
    page: Value,
}

impl Checked {
    fn of(world: &World, config: &str) -> Self {
        let file = world.directory.path().join("check.yaml");
        fs::write(&file, config).unwrap();
        let output = run(&["check", "-o", "json", "--config.file", path(&file), "--web.listen-address", "127.0.0.1:0"]);
        let page = serde_json::from_slice(&output.stdout);
        let page = page.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        Self { code: output.status.code().unwrap(), page }
    }

    fn items(&self, topic: &str, verdict: &str) -> Vec<&Value> {
        let items = self.page["items"].as_array().unwrap().iter();
        items.filter(|item| item["topic"] == topic && item["verdict"] == verdict).collect()
    }

    /// The only item of a topic and verdict.
    fn only(&self, topic: &str, verdict: &str) -> &Value {
        let items = self.items(topic, verdict);
        assert_eq!(items.len(), 1, "{topic} {verdict}: {:#}", self.page);
        items[0]
    }
}

fn run(arguments: &[&str]) -> Output {
    // A bus of the machine would tell of its own shutdowns.
    let bus = ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    Command::new(env!("CARGO_BIN_EXE_kagiban-exporter")).args(arguments).env(bus.0, bus.1).output().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn message(item: &Value) -> &str {
    item["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_in_order_has_nothing_missing_and_is_left_as_it_was() {
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    let before = listed(world.directory.path());
    let checked = Checked::of(&world, &config);
    assert_eq!((checked.code, &checked.page["works"]), (0, &true.into()), "{:#}", checked.page);
    assert!(message(checked.only("power", "ok")).contains("mains"));
    let agent: Vec<_> = checked.items("agent", "ok").into_iter().map(message).collect();
    assert!(agent.iter().any(|said| said.contains("its files can be replaced")), "{agent:?}");
    let serves = format!("serves {}", world.first);
    assert!(agent.iter().any(|said| said.starts_with(&serves)), "{agent:?}");
    assert!(message(checked.only("clock", "ok")).contains("nobody tells here"));
    let mut after = listed(world.directory.path());
    after.retain(|name| !name.ends_with("check.yaml"));
    assert_eq!(before, after, "a check writes nothing");
    // No UPS is configured: that is worth a word, and nothing is missing for it.
    assert!(checked.only("ups", "warning")["fix"].as_str().unwrap().contains("apcupsd"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_with_what_to_do_and_the_exit_code_is_1() {
    let mut world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let api = format!("hostApi: {}", files.config(""));
    let nowhere = "ups: [{name: rack, apcupsd: {address: '127.0.0.1:1'}}]\ncertificates: [{name: fleet, paths: [/nonexistent.pem]}]";
    let checked = Checked::of(&world, &world.config(&format!("{api}\n{nowhere}")));
    assert_eq!((checked.code, &checked.page["works"]), (1, &false.into()));
    let ups = checked.only("ups", "critical");
    assert!(message(ups).contains("connect") && ups["fix"].as_str().unwrap().contains("NETSERVER"), "{ups}");
    // A UPS that feeds the host and is not heard counts, whatever is assumed without one.
    assert!(message(checked.only("power", "critical")).contains("power_unsafe"));
    let file = checked.only("file", "critical");
    assert!(message(file).contains("not_found") && file["fix"].as_str().unwrap().contains("path"), "{file}");

    // A command that cannot be run, and a service that does not answer.
    let port = world.resolved().leaf_place.to_string();
    world.rewrite_agent(&port, "127.0.0.1:1");
    let stop = world.agent.service.stop.as_ref().expect("a command")[0].clone();
    world.rewrite_agent(&format!("stop: [{stop:?}"), "stop: [\"/nonexistent/stop\"");
    let checked = Checked::of(&world, &world.config(&api));
    let agent = checked.only("agent", "critical");
    assert!(message(agent).contains("service.stop"), "{agent}");
    let silent = checked.only("agent", "warning");
    assert!(message(silent).contains("does not answer at 127.0.0.1:1"), "{silent}");
    assert_eq!(checked.items("configuration", "critical").len(), 1, "{:#}", checked.page);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_this_host_knows_no_password_of_wants_one_in_the_resource() {
    let world = World::powerchute().await;
    let config = world.config("");
    assert!(Checked::of(&world, &config).items("agent", "warning").is_empty());
    fs::write(world.home().join("pcssconfig.ini"), "[Credentials]\r\n").unwrap();
    let without = config.lines().filter(|line| !line.contains("passwordFile")).collect::<Vec<_>>().join("\n");
    let checked = Checked::of(&world, &without);
    let wanted = checked.only("agent", "warning");
    assert!(wanted["fix"].as_str().unwrap().contains("passwordSecretRef"), "{wanted}");
    assert_eq!(checked.code, 0, "{:#}", checked.page);
}

#[test]
fn a_page_for_people_has_a_line_for_each_thing_and_its_fix_below() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    let state = directory.path().join("state");
    fs::write(&config, format!("stateDirectory: {}\ndiscovery: {{enabled: false}}\n", state.display())).unwrap();
    let output = run(&["check", "--config.file", path(&config), "--web.listen-address", "127.0.0.1:0"]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{page}");
    let (first, rest) = page.split_once('\n').unwrap();
    assert!(first.contains(", looked at by "), "{first}");
    assert!(
        rest.contains("warning  UPS: none is configured") && rest.contains("\n         -> name each under `ups`"),
        "{rest}"
    );
    assert!(page.ends_with(" ok\n") && page.contains("0 critical, 1 warning, "), "{page}");
    assert!(page.contains("configuration OK: 0 sources, 0 UPSes, 0 agents"), "{page}");
    assert!(!state.exists(), "a check makes no state directory");
    // A configuration that cannot be read leaves nothing to look at.
    fs::write(&config, "upses: []\n").unwrap();
    let output = run(&["check", "--config.file", path(&config)]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("upses"), "{output:?}");
    // The file is named once.
    let output = run(&["check", "--config.file", "/nonexistent.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "kagiban-exporter: cannot read the configuration: /nonexistent.yaml: not found\n");
}

#[test]
fn what_is_discovered_is_printed_for_people_and_as_a_configuration_that_is_taken() {
    let output = run(&["discover", "--host", "ups-01.example.com"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("host          ups-01.example.com\n"), "{text}");
    assert!(text.contains("(tls-service) is in no usual place and is not found."), "{text}");
    let output = run(&["discover", "--host", "ups-01.example.com", "-o", "config"]);
    let config = String::from_utf8(output.stdout).unwrap();
    kagiban_exporter::config::parse(&config, Path::new("proposed")).unwrap_or_else(|error| panic!("{error}\n{config}"));
    assert_eq!(run(&["discover", "--host", "UPS 01"]).status.code(), Some(2));
}

/// Every file and directory below one.
fn listed(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        names.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            names.extend(listed(&entry.path()));
        }
    }
    names.sort();
    names
}

/// An operator speaks to no host whose own certificate has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_host_apis_own_certificate_is_told() {
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    let parsed = kagiban_exporter::config::parse(&config, Path::new("c")).unwrap();
    let api = parsed.host_api.unwrap();
    assert!(Checked::of(&world, &config).items("exporter", "critical").is_empty());
    let ended = Authority::new("hosts").issue(support::HOST, rcgen::ExtendedKeyUsagePurpose::ServerAuth, 2020);
    fs::write(&api.certificate_file, &ended.chain).unwrap();
    fs::write(&api.key_file, &ended.key).unwrap();
    let checked = Checked::of(&world, &config);
    let told = checked.only("exporter", "critical");
    assert!(message(told).starts_with("expired") && told["fix"].as_str().unwrap().contains("--renew"), "{told}");
    assert_eq!(checked.code, 1);
}

/// An operator takes the certificate of the host that it looks for, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_host_api_for_another_host_is_told() {
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    assert!(Checked::of(&world, &config).items("exporter", "critical").is_empty());
    let checked = Checked::of(&world, &config.replacen(support::HOST, "ups-99.example.com", 1));
    let told = checked.only("exporter", "critical");
    assert!(message(told).contains("is not for ups-99.example.com"), "{told}");
    assert!(told["fix"].as_str().unwrap().contains("kagiban-operator enroll"), "{told}");
}

/// The shell of whoever checks may write where the unit may not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_the_unit_may_not_write_to_is_told_with_the_line_that_opens_it() {
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.directory.path().join("check.yaml");
    fs::write(&config, world.config(&format!("hostApi: {}", files.config("")))).unwrap();
    let directory = world.resolved().replaced()[0].parent().unwrap().to_owned();
    let unit = world.directory.path().join("unit");
    let checked = || {
        let script = "mount -t tmpfs tmpfs /etc/systemd/system && cp \"$1\" /etc/systemd/system/kagiban-exporter-host-api.service && shift && exec \"$@\"";
        let program = [env!("CARGO_BIN_EXE_kagiban-exporter"), "check", "--config.file", path(&config)];
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, "sh", path(&unit)]).args(program);
        let output = command.args(["--web.listen-address", "127.0.0.1:0"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    fs::write(&unit, "[Service]\nProtectSystem=strict\n").unwrap();
    let fix = format!("with ReadWritePaths=-{} below [Service]", directory.display());
    let page = checked();
    assert!(page.contains("kagiban-exporter-host-api.service may not write to") && page.contains(&fix), "{page}");
    let open = format!("[Service]\nProtectSystem=strict\nReadWritePaths=-{}\n", world.directory.path().display());
    fs::write(&unit, open).unwrap();
    let page = checked();
    assert!(page.contains("its files can be replaced") && !page.contains("may not write to"), "{page}");
}

/// The rotator refuses it, so a page without a word of it would send people away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_others_may_write_to_is_told_where_something_is_rotated() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    let state = kagiban_exporter::config::parse(&config, Path::new("c")).unwrap().state_directory();
    fs::create_dir_all(&state).unwrap();
    for (mode, verdicts) in [(0o700, 0), (0o770, 1)] {
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        let checked = Checked::of(&world, &config);
        assert_eq!(checked.items("exporter", "critical").len(), verdicts, "{mode:o}: {:#}", checked.page);
        let metrics_alone = Checked::of(&world, &world.config(""));
        assert!(metrics_alone.items("exporter", "critical").is_empty(), "{mode:o}: {:#}", metrics_alone.page);
    }
}
