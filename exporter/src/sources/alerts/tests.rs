use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use encoding_rs::{ISO_2022_JP, SHIFT_JIS, UTF_8};
use proptest::prelude::*;

use super::reader::MAX_MAIL;
use super::*;
use crate::snapshot::{AlertsSeen, ClientLogsSeen, FolderAlerts, Observation, Sender};
use crate::{config, platform};

/// What is told of an agent of this configuration.
struct Scene {
    root: tempfile::TempDir,
    source: AlertSource,
}

impl Scene {
    /// `ROOT` is where the files of the scene lie.
    fn new(observe: &str) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        for folder in ["mail/new", "mail/cur", "mail/tmp"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        let observe = observe.replace("ROOT", &root.path().display().to_string());
        let text = format!("agents: [{{name: skysea, product: skysea, observe: {{{observe}}}}}]\n");
        let config = config::parse(&text, Path::new("c")).unwrap_or_else(|error| panic!("{error}"));
        Self { root, source: AlertSource::new(&config.agents[0]).expect("it has alerts") }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.root.path().join(name), bytes).expect("a file");
    }

    async fn look(&mut self) -> (AlertsSeen, Option<&'static str>) {
        let (observation, trouble) = self.source.look().await;
        let Observation::Alerts(seen) = observation else { panic!("{observation:?}") };
        (seen, trouble.map(|trouble| trouble.reason))
    }

    /// Of each terminal, or why not all is counted.
    async fn failures(&mut self) -> Result<Vec<(String, usize)>, &'static str> {
        let (seen, trouble) = self.look().await;
        assert_eq!(seen.counts.as_ref().map(|it| it.is_part), Some(trouble.is_some()));
        trouble.map_or(Ok(()), Err)?;
        Ok(senders(&seen))
    }
}

fn senders(seen: &AlertsSeen) -> Vec<(String, usize)> {
    let counts = seen.counts.as_ref().expect("counted");
    let mut senders: Vec<_> = counts.senders.iter().map(|it| (it.sender.to_string(), it.failures)).collect();
    senders.sort();
    senders
}

/// An alert of now, a second before for each number.
fn alert(address: &str, number: i64) -> String {
    let at = Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(60 + number)).expect("a time");
    let at = at.to_zoned(TimeZone::system()).strftime("%Y/%m/%d %H:%M:%S").to_string();
    entry::tests::MAIL.replace("2017/06/13 09:08:07", &at).replace("192.0.2.10", address)
}

fn mail(text: &str) -> Vec<u8> {
    let body = ISO_2022_JP.encode(text).0;
    [b"Subject: alert\nContent-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n\n", &body[..]]
        .concat()
}

fn boxed(mails: &[Vec<u8>]) -> Vec<u8> {
    mails
        .iter()
        .flat_map(|mail| [&b"From skysea@example.com Thu Jun  1 00:00:00 2026\n"[..], &mail[..], b"\n"].concat())
        .collect()
}

fn counted(expected: &[(&str, usize)]) -> Result<Vec<(String, usize)>, &'static str> {
    Ok(expected.iter().map(|(sender, count)| ((*sender).to_owned(), *count)).collect())
}

#[tokio::test]
async fn a_mail_counts_once_however_it_is_moved_and_wherever_else_it_is_told() {
    let mut scene = Scene::new("mails: [ROOT/mail, ROOT/box, ROOT/*.eml], logs: [ROOT/*.csv]");
    scene.write("box", "");
    assert_eq!(scene.failures().await, counted(&[]), "nothing lies there yet");
    let (one, other) = (alert("192.0.2.1", 0), alert("192.0.2.2", 1));
    scene.write("mail/new/1.a.host", mail(&one));
    assert_eq!(scene.failures().await, counted(&[("192.0.2.1", 1)]));
    fs::rename(scene.root.path().join("mail/new/1.a.host"), scene.root.path().join("mail/cur/1.a.host_2,S"))
        .expect("seen");
    scene.write("box", boxed(&[mail(&one), mail(&other)]));
    scene.write("again.eml", mail(&one));
    assert_eq!(scene.failures().await, counted(&[("192.0.2.1", 1), ("192.0.2.2", 1)]));
    let time = one.lines().find_map(|line| line.strip_prefix("日時:")).expect("a time");
    let row = |sender: &str| format!("{time},認証失敗,\"送信元端末 [IPアドレス:{sender}]\"\r\n");
    scene.write("a.csv", SHIFT_JIS.encode(&(row("192.0.2.1") + &row("192.0.2.3"))).0);
    assert_eq!(scene.failures().await, counted(&[("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 1)]));
    fs::remove_file(scene.root.path().join("a.csv")).expect("removed");
    assert_eq!(scene.failures().await.map(|it| it.len()), Ok(3), "what was seen counts for a day, whoever tidies up");
}

#[tokio::test]
async fn a_mail_that_is_half_written_at_the_end_of_a_box_is_read_when_it_is_whole() {
    let mut scene = Scene::new("mails: [ROOT/box]");
    let whole = boxed(&[mail(&alert("192.0.2.1", 0)), mail(&alert("192.0.2.22", 1))]);
    let text = String::from_utf8_lossy(&whole).into_owned();
    let cut = text.rfind("192.0.2.2").expect("the second") + "192.0.2.2".len();
    scene.write("box", &whole[..cut]);
    assert_eq!(scene.failures().await, counted(&[("192.0.2.1", 1)]));
    scene.write("box", &whole);
    assert_eq!(scene.failures().await, counted(&[("192.0.2.1", 1), ("192.0.2.22", 1)]));
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_told_and_what_was_seen_is_counted_as_a_part() {
    let mut scene = Scene::new(
        "mails: [ROOT/mail, ROOT/gone], logs: [ROOT/none/*.csv], version: 12.100.07p, components: [data-server]",
    );
    scene.write("mail/new/1", mail(&alert("192.0.2.1", 0)));
    let (seen, trouble) = scene.look().await;
    assert_eq!((Ok(senders(&seen)), trouble), (counted(&[("192.0.2.1", 1)]), Some("not_found")));
    assert!(seen.counts.is_some_and(|it| it.is_part));
    assert_eq!(seen.releases.len(), 1, "what is configured is told all the same");
    scene.write("gone", "");
    assert_eq!(scene.failures().await, Err("not_found"), "the folder of logs is missing");
    fs::create_dir(scene.root.path().join("none")).expect("a folder");
    assert_eq!(scene.failures().await, counted(&[("192.0.2.1", 1)]));
    let mut scene = Scene::new("mails: [ROOT/mail/new]");
    assert_eq!(scene.failures().await, Err("not_regular"), "a folder that is no maildir");
}

#[tokio::test]
async fn a_mail_that_is_larger_than_any_alert_and_whatever_else_lies_there_is_passed_over() {
    let mut scene = Scene::new("mails: [ROOT/mail]");
    let large = [mail(&alert("192.0.2.1", 0)), vec![b'x'; MAX_MAIL]].concat();
    scene.write("mail/new/large", large);
    scene.write("mail/new/other", "From: a@b\n\nhello\n");
    scene.write("mail/new/junk", [0xff; 300]);
    scene.write("mail/tmp/unfinished", mail(&alert("192.0.2.2", 0)));
    fs::create_dir(scene.root.path().join("mail/cur/folder")).expect("a folder");
    assert_eq!(scene.failures().await, counted(&[]));
}

#[tokio::test]
async fn the_forecast_is_by_the_clients_and_the_start_of_the_engine_where_the_notice_has_seen_it_stop() {
    let started = "clients: 3000, engineStartedAt: '2026-06-01T00:00:00Z'";
    for (observe, expected) in [
        ("version: 12.100.07p, components: [data-server]", Some("2026-07-01T00:00:00Z")),
        ("version: 12.100.07p, components: [http-gateway, client]", Some("2026-07-01T00:00:00Z")),
        ("version: 12.100.07p, components: [http-gateway]", None),
        ("version: 12.100.07p, components: [data-server], moduleApplied: true", None),
        ("version: 12.101.01b, components: [data-server]", None),
        ("version: 14.000, components: [data-server]", None),
    ] {
        let (seen, trouble) = Scene::new(&format!("{started}, {observe}")).look().await;
        assert_eq!(seen.engine_stop.map(|at| at.to_string()).as_deref(), expected, "{observe}");
        assert_eq!((seen.counts, trouble), (None, None), "no file is named: none is counted, and nothing failed");
    }
    let affected = "version: 12.100.07p, components: [data-server]";
    let (seen, _) = Scene::new(&format!("{affected}, engineStartedAt: '2026-06-01T00:00:00Z'")).look().await;
    assert_eq!(seen.engine_stop, None, "without clients");
    let (seen, _) = Scene::new(&format!("{affected}, clients: 1500")).look().await;
    let since_boot = seen.engine_stop.expect("this system tells when it was started").as_second() - 60 * 86_400;
    let booted_at = platform::booted_at().expect("it tells").as_second();
    assert!((since_boot - booted_at).abs() < 120, "{since_boot} {booted_at}");
}

#[tokio::test]
async fn an_alert_about_the_folder_is_a_false_one_of_the_machine_that_is_named_where_all_four_conditions_hold() {
    let all = "clientInstalled: true, fileOperationsLogged: true, logsCompressed: true, userLoggedOn: true";
    let some = "clientInstalled: true, fileOperationsLogged: true, logsCompressed: true";
    let named = &format!("computer: master, {all}");
    let other = &format!("computer: other, {all}");
    let some = &format!("computer: master, {some}");
    for (version, component, conditions, is_false) in [
        ("12.100.07p", "data-server", named.as_str(), true),
        ("12.100.07p", "data-server", all, false),
        ("12.100.07p", "data-server", other, false),
        ("12.100.07p", "data-server", some, false),
        ("12.100.07p", "client", named, false),
        ("12.000.14t", "data-server", named, false),
        ("12.101.01b", "data-server", named, false),
    ] {
        let observe =
            format!("mails: [ROOT/mail], version: {version}, components: [{component}], falseAlert: {{{conditions}}}");
        let mut scene = Scene::new(&observe);
        let text = alert("192.0.2.1", 0).replace("認証失敗", "ログ保存フォルダ不正アクセス");
        scene.write("mail/new/1", [&b"Content-Type: text/plain\n\n"[..], &UTF_8.encode(&text).0].concat());
        let (seen, _) = scene.look().await;
        let false_ones = usize::from(is_false);
        let expected = FolderAlerts { false_ones, unexplained: 1 - false_ones };
        assert_eq!(seen.counts.map(|it| it.folder), Some(expected), "{observe}");
    }
}

#[tokio::test]
async fn who_sends_more_than_is_read_hides_nothing_that_was_seen() {
    let mut scene = Scene::new("mails: [ROOT/mail], logs: [ROOT/none/*.csv]");
    scene.write("mail/new/1", mail(&alert("192.0.2.1", 0)));
    scene.write("mail/new/large", vec![b'x'; MAX_MAIL + 1]);
    let old = fs::File::create(scene.root.path().join("mail/new/old")).expect("a file");
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_hours(31 * 24)).expect("its time");
    for number in 0..4_100 {
        scene.write(&format!("mail/cur/{number}"), "x");
    }
    let (seen, _) = scene.look().await;
    assert!(seen.counts.as_ref().is_some_and(|it| it.is_part));
    fs::create_dir(scene.root.path().join("none")).expect("a folder");
    // Files that were written just now are read once more, so that this look may have enough, too.
    assert_eq!(senders(&scene.look().await.0), [("192.0.2.1".to_owned(), 1)], "the next look goes on");
}

#[tokio::test]
async fn five_boxes_that_all_grow_are_all_read() {
    let mut scene = Scene::new("mails: [ROOT/*.box]");
    let full = vec![b'\n'; 16 * 1024 * 1024];
    for _ in 0..2 {
        for number in 1..=5 {
            let mails = boxed(&[mail(&alert(&format!("192.0.2.{number}"), 0))]);
            scene.write(&format!("{number}.box"), [&full[..], &mails].concat());
        }
        scene.look().await;
    }
    assert_eq!(senders(&scene.look().await.0).len(), 5);
}

#[tokio::test]
async fn times_are_read_in_the_zone_that_is_named_and_what_lies_ahead_of_another_counts_once() {
    let zone = TimeZone::get("Pacific/Kiritimati").expect("a zone");
    let at = Timestamp::now().to_zoned(zone).strftime("%Y/%m/%d %H:%M:%S").to_string();
    let text = entry::tests::MAIL.replace("2017/06/13 09:08:07", &at);
    for (setting, ahead) in [("timeZone: Pacific/Kiritimati", 0), ("timeZone: UTC", 1)] {
        let mut scene = Scene::new(&format!("mails: [ROOT/mail], {setting}"));
        scene.write("mail/new/1", mail(&text));
        scene.write("mail/new/2", [&b"X-Again: 1\n"[..], &mail(&text)].concat());
        let (seen, _) = scene.look().await;
        assert_eq!(senders(&seen), [("192.0.2.10".to_owned(), 1)], "{setting}");
        assert_eq!(seen.counts.map(|it| it.ahead), Some(ahead), "{setting}");
    }
}

#[tokio::test]
async fn an_alert_without_a_time_is_as_old_as_its_mail_and_not_as_its_box() {
    let mut scene = Scene::new("mails: [ROOT/box, ROOT/mail]");
    let text =
        |address: &str| alert(address, 0).lines().filter(|it| !it.starts_with("日時")).collect::<Vec<_>>().join("\n");
    let dated = |address: &str| [&b"Date: Tue, 13 Jun 2017 09:08:07 +0900\n"[..], &mail(&text(address))].concat();
    let marked = [&b"From a@b Tue Jun 13 00:08:07 2017\n"[..], &mail(&text("192.0.2.2"))].concat();
    let now = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
    let fresh = [format!("Date: {now}\n").as_bytes(), &mail(&text("192.0.2.3"))].concat();
    scene.write(
        "box",
        [boxed(&[dated("192.0.2.1")]), marked, b"\n".to_vec(), boxed(std::slice::from_ref(&fresh))].concat(),
    );
    scene.write("mail/new/1", fresh);
    assert_eq!(scene.failures().await, counted(&[("192.0.2.3", 1)]));
}

#[tokio::test]
async fn a_file_that_two_patterns_name_is_looked_at_once() {
    let mut scene = Scene::new("mails: [ROOT/mail, ROOT/mail/new/*, ROOT/*.csv], logs: [ROOT/*.csv]");
    scene.write("mail/new/1", mail(&alert("192.0.2.1", 0)));
    let row = alert("192.0.2.2", 0).lines().find_map(|line| line.strip_prefix("日時:")).expect("a time").to_owned();
    scene.write("a.csv", format!("{row},認証失敗,送信元端末 [IPアドレス:192.0.2.2]\n"));
    assert_eq!(scene.failures().await, counted(&[("192.0.2.1", 1), ("192.0.2.2", 1)]));
}

#[test]
fn a_terminal_without_an_address_has_a_name_of_its_own() {
    assert_eq!(Sender::Unreadable.to_string(), "unreadable");
}

/// What the clients of an agent are told to have logged.
struct ClientScene {
    root: tempfile::TempDir,
    source: ClientLogSource,
}

/// Written as long ago as this many minutes.
type Age = u64;

impl ClientScene {
    /// With the files of these patterns, below its own directory.
    fn new(patterns: &[&str]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let files: Vec<_> = patterns.iter().map(|it| format!("'{}'", root.path().join(it).display())).collect();
        let logs = format!("files: [{}], failureWords: [failed], timeZone: UTC", files.join(", "));
        let text = format!("agents: [{{name: av, product: apex-one, clientLogs: {{{logs}}}}}]\n");
        let config = config::parse(&text, Path::new("c")).unwrap_or_else(|error| panic!("{error}"));
        Self { root, source: ClientLogSource::new(&config.agents[0]).expect("it has a log") }
    }

    fn export(&self, name: &str, age: Age, rows: &[String]) {
        let path = self.root.path().join(name);
        fs::write(&path, format!("Time,Computer,Message\n{}", rows.concat())).expect("a file");
        let at = std::time::SystemTime::now() - std::time::Duration::from_mins(age);
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(at)).expect("its time");
    }

    async fn look(&mut self) -> (ClientLogsSeen, Option<&'static str>) {
        let (observation, trouble) = self.source.look().await;
        let Observation::ClientLogs(seen) = observation else { panic!("{observation:?}") };
        (seen, trouble.map(|trouble| trouble.reason))
    }

    /// Of an export that was written as many minutes ago, and whether no failure is told as none.
    async fn assert_known_until_an_hour_before(&mut self, age: Age, is_told: bool) {
        let (seen, trouble) = self.look().await;
        let until = seen.known_until.expect("it is known").duration_until(Timestamp::now()).as_mins();
        let hour_before = i64::try_from(age + 60).expect("a number");
        assert!((hour_before..hour_before + 5).contains(&until), "{age}: {until}");
        assert_eq!((seen.counts.tells(0), trouble), (is_told, None), "{age}");
    }
}

/// An entry of a failure, logged as many minutes ago.
fn refused(client: &str, minutes: i64) -> String {
    let at = Timestamp::now().checked_sub(jiff::SignedDuration::from_mins(minutes)).expect("a time");
    format!("{},{client},authentication failed\n", at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d %H:%M:%S"))
}

fn clients(seen: &ClientLogsSeen) -> Vec<(String, usize)> {
    let mut clients: Vec<_> = seen.counts.senders.iter().map(|it| (it.sender.to_string(), it.failures)).collect();
    clients.sort();
    clients
}

#[tokio::test]
async fn an_entry_of_a_client_counts_once_however_often_it_is_exported_and_by_its_own_time() {
    let mut scene = ClientScene::new(&["*.csv"]);
    let (old, new) = ([refused("PC-01", 30 * 60), refused("PC-01", 90)], [refused("PC-02", 80), refused("PC-01", 85)]);
    scene.export("1.csv", 60, &old);
    scene.look().await;
    scene.export("1.csv", 40, &[&old[..], &new].concat());
    scene.export("2.csv", 20, &[&new[..], &old].concat());
    let (seen, trouble) = scene.look().await;
    assert_eq!((clients(&seen), trouble), (vec![("PC-01".to_owned(), 2), ("PC-02".to_owned(), 1)], None));
}

#[tokio::test]
async fn what_clients_have_logged_is_known_until_an_hour_before_the_newest_export() {
    let mut scene = ClientScene::new(&["*.csv"]);
    let (seen, trouble) = scene.look().await;
    assert_eq!((seen.known_until, seen.counts.tells(0), trouble), (None, false, Some("not_found")), "no file is there");
    for (age, is_told) in [(0, true), (22 * 60, true), (24 * 60, false)] {
        scene.export("1.csv", age, &[]);
        scene.assert_known_until_an_hour_before(age, is_told).await;
    }
}

#[tokio::test]
async fn one_log_that_is_exported_proves_nothing_of_another_one_that_is_not() {
    let mut scene = ClientScene::new(&["a*.csv", "b.csv", "*1.csv"]);
    scene.export("b.csv", 5, &[]);
    scene.export("a2.csv", 5, &[]);
    let (seen, trouble) = scene.look().await;
    assert_eq!((seen.known_until, seen.counts.tells(0), trouble), (None, false, Some("not_found")), "of the third");
    for (age, is_told) in [(48 * 60, false), (10, true)] {
        scene.export("a1.csv", age, &[]);
        scene.assert_known_until_an_hour_before(age, is_told).await;
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_understood_stays_a_trouble_and_hides_no_failure_of_another() {
    let mut scene = ClientScene::new(&["*.csv"]);
    scene.export("1.csv", 20, &[refused("PC-01", 90)]);
    for (bytes, reason) in [
        (b"Time,Computer,Message\n2026/06/0".to_vec(), "cut_short"),
        (b"When,Who,What\n".to_vec(), "unknown_format"),
        (vec![b'\n'; 16 * 1024 * 1024 + 1], "too_large"),
    ] {
        fs::write(scene.root.path().join("2.csv"), bytes).expect("a file");
        for _ in 0..2 {
            let (seen, trouble) = scene.look().await;
            assert_eq!((trouble, seen.known_until), (Some(reason), None));
            assert_eq!(clients(&seen), [("PC-01".to_owned(), 1)], "{reason}");
            assert!(!seen.counts.tells(0), "{reason}");
        }
    }
    let settled = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    let file = fs::File::options().write(true).open(scene.root.path().join("2.csv")).expect("the file");
    file.set_modified(settled).expect("its time");
    // Windows removes no file that is open.
    drop(file);
    assert_eq!(scene.look().await.1, Some("too_large"));
    fs::remove_file(scene.root.path().join("2.csv")).expect("it is there");
    assert_eq!(scene.look().await.1, None);
}

proptest! {
    #[test]
    fn a_damaged_mail_box_or_log_tells_of_terminals_or_of_none(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        at in any::<prop::sample::Index>(),
        is_base64: bool,
    ) {
        let text = entry::tests::MAIL;
        let (head, body) = if is_base64 {
            ("base64", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, SHIFT_JIS.encode(text).0).into_bytes())
        } else {
            ("7bit", ISO_2022_JP.encode(text).0.into_owned())
        };
        let head = format!("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\nContent-Transfer-Encoding: {head}\n\n");
        let mut bytes = boxed(&[[head.as_bytes(), &body[..], b"\n--a--\n"].concat(), mail(text)]);
        let start = bytes.windows(body.len()).position(|it| it == body).expect("its body");
        let encoded = start..start + if is_base64 { body.len() } else { 0 };
        let is_damaged = !edits.is_empty();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            // What an edit there makes of the text cannot be seen in it.
            if !encoded.contains(&at) {
                bytes[at] = byte;
            }
        }
        // A field may go on in the next line.
        let text: String = String::from_utf8_lossy(&bytes).split_whitespace().collect();
        let rest = &bytes[at.index(bytes.len())..];
        for (bytes, holds, is_whole) in [(&bytes[..], Holds::Mails, true), (&bytes[..], Holds::Log, false), (rest, Holds::Mails, false)] {
            let counts = alerts(bytes, holds).expect("a product has alerts");
            let told: BTreeSet<_> = counts.senders.iter().map(|it| it.sender.clone()).collect();
            for sender in &told {
                let stands = |address: &std::net::IpAddr| address.to_string() == "192.0.2.10" || text.contains(&address.to_string());
                prop_assert!(!matches!(sender, Sender::Address(address) if !stands(address)), "{sender} is not in {text}");
            }
            if is_whole && !is_damaged {
                prop_assert_eq!(told, BTreeSet::from([Sender::Address([192, 0, 2, 10].into())]));
            }
        }
    }
}
