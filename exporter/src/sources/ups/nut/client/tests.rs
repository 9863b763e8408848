//! A client against peers that are not upsd, or not in a good mood.

use std::fs;
use std::time::Instant as Clock;

use super::*;
use crate::config::StartTlsConfig;
use crate::sources::ups::peer::{Act, serve, serve_each};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(address: &str) -> NutConfig {
    NutConfig { address: address.to_owned(), ups: None, username: None, password_file: None, start_tls: None }
}

async fn look(config: &NutConfig, deadline: Duration) -> Read {
    Client::new(config, Label::new("rack-a"), None, Work::SourceNames, deadline).read().await
}

/// The reason of a look that listed nothing.
async fn reason(acts: Vec<Act>) -> &'static str {
    let address = serve(acts).await;
    look(&config(&address), PATIENCE).await.expect_err("this is no upsd").reason.as_str()
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// A upsd that lists `one` and `two`, then answers for `one` as told, and for `two` over that connection or the next.
async fn with_two(answer: Vec<Act>) -> Vec<(Label, Result<Reading, UpsTrouble>)> {
    let list = "BEGIN LIST UPS\nUPS one \"first\"\nUPS two \"second\"\nEND LIST UPS\n";
    let two = || [Act::HearLine, send("BEGIN LIST VAR two\nVAR two ups.status \"OL\"\nEND LIST VAR two\n")];
    let mut acts = vec![Act::HearLine, send(list), Act::HearLine];
    acts.extend(answer);
    acts.extend(two());
    let address = serve_each(vec![acts, two().into()]).await;
    look(&config(&address), PATIENCE).await.expect("upsd listed its UPSes")
}

fn reasons(seen: &[(Label, Result<Reading, UpsTrouble>)]) -> Vec<(&str, Option<&'static str>)> {
    seen.iter()
        .map(|(ups, outcome)| (ups.as_str(), outcome.as_ref().err().map(|trouble| trouble.reason.as_str())))
        .collect()
}

#[tokio::test]
async fn a_ups_that_is_refused_leaves_its_neighbour_alone() {
    for (refusal, reason) in [("DRIVER-NOT-CONNECTED", "driver_not_connected"), ("DATA-STALE", "data_stale")] {
        let seen = with_two(vec![send(&format!("ERR {refusal}\n"))]).await;
        let [(one, Err(trouble)), (two, Ok(reading))] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((one.as_str(), trouble.reason.as_str(), two.as_str()), ("one", reason, "two"));
        assert!(reading.statuses.contains(&crate::ups::Status::Online));
        assert_eq!(reading.identity.description, Some(Label::new("second")));
    }
}

#[tokio::test]
async fn a_driver_that_has_not_heard_its_ups_yet_tells_no_status() {
    let seen = with_two(vec![send("BEGIN LIST VAR one\nVAR one ups.status \"WAIT\"\nEND LIST VAR one\n")]).await;
    let outcomes: Vec<_> = seen.iter().map(|(_, outcome)| outcome.as_ref().err().map(|t| t.reason.as_str())).collect();
    assert_eq!(outcomes, [Some("data_stale"), None]);
}

#[tokio::test]
async fn what_is_wrong_about_one_ups_is_told_about_that_one_and_no_other() {
    let begun = |rest: &str| send(&format!("BEGIN LIST VAR one\n{rest}"));
    let many = || Act::Send((0..5000).flat_map(|n| format!("VAR one outlet.{n}.id \"1\"\n").into_bytes()).collect());
    let long = || Act::Send(vec![b'x'; 3000]);
    for (answer, reason) in [
        (vec![begun("WHAT\n")], "protocol"),
        (vec![begun("VAR two ups.status \"OB\"\nEND LIST VAR one\n")], "protocol"),
        (vec![begun("VAR one ups.status \"OL\nEND LIST VAR one\n")], "protocol"),
        (vec![begun(""), many(), send("END LIST VAR one\n")], "too_large"),
        (vec![begun(""), long(), send("\nEND LIST VAR one\n")], "too_large"),
        (vec![begun(""), Act::Flood(b"VAR one ups.id \"\"\n".repeat(100_000))], "too_large"),
        (vec![begun("ERR DATA-STALE\nEND LIST VAR one\n")], "data_stale"),
    ] {
        assert_eq!(reasons(&with_two(answer).await), [("one", Some(reason)), ("two", None)]);
    }
}

/// What upsd says too much about one UPS may arrive when the next one is asked for.
#[tokio::test]
async fn a_remainder_of_one_answer_is_not_taken_for_the_next() {
    let list = "BEGIN LIST UPS\nUPS one \"\"\nUPS two \"\"\nEND LIST UPS\n";
    let one = "BEGIN LIST VAR one\nVAR one ups.status \"OL\"\nEND LIST VAR one\n";
    let two = "BEGIN LIST VAR two\nVAR two ups.status \"OL\"\nEND LIST VAR two\n";
    for first in [
        vec![Act::HearLine, send(list), Act::HearLine, send(&format!("{one}VAR one ups.id \"1\"\n")), Act::HearLine],
        vec![Act::HearLine, send(list), Act::HearLine, send(one), Act::HearLine, send("VAR one ups.id \"1\"\n")],
        vec![Act::HearLine, send(list), Act::HearLine, send(one), Act::HearLine],
    ] {
        let address = serve_each(vec![first, vec![Act::HearLine, send(two)]]).await;
        let seen = look(&config(&address), PATIENCE).await.expect("a list");
        assert_eq!(reasons(&seen), [("one", None), ("two", None)]);
    }
}

#[tokio::test]
async fn when_upsd_cannot_be_reached_any_more_each_ups_that_is_left_is_down_for_that() {
    let list = "BEGIN LIST UPS\nUPS one \"\"\nUPS two \"\"\nUPS three \"\"\nEND LIST UPS\n";
    let address = serve(vec![Act::HearLine, send(list), Act::HearLine, send("WHAT\n")]).await;
    let seen = look(&config(&address), PATIENCE).await.expect("a list");
    assert_eq!(reasons(&seen), [("one", Some("protocol")), ("two", Some("connect")), ("three", Some("connect"))]);
}

/// However much upsd says of the first UPSes, the last one has its part.
#[test]
fn what_all_upses_may_take_is_bounded_and_shared() {
    let mut left = TOTAL;
    for waiting in (1..=List::MAX_UPSES).rev() {
        let share = share(left, waiting);
        assert!((128 * 1024..=LIMITS.total).contains(&share), "{share}");
        left -= share;
    }
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    assert_eq!(patience(now + second, 1, now), now + second);
    assert_eq!(patience(now + second, 2, now), now + second / 2);
}

#[tokio::test]
async fn a_configured_ups_is_asked_for_without_a_list_and_has_its_configured_name() {
    let acts = vec![Act::HearLine, send("BEGIN LIST VAR smart\nVAR smart battery.charge \"50\"\nEND LIST VAR smart\n")];
    let mut config = config(&serve(acts).await);
    config.ups = Some(crate::config::SourceName::parse("smart").expect("a name"));
    let seen = look(&config, PATIENCE).await.expect("an answer");
    let [(name, Ok(reading))] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((name.as_str(), reading.values.of(crate::ups::Quantity::BatteryCharge)), ("rack-a", Some(0.5)));
}

#[tokio::test]
async fn a_line_without_an_end_is_not_read_for_long() {
    assert_eq!(reason(vec![Act::HearLine, Act::Flood(vec![b'x'; 1024 * 1024])]).await, "too_large");
}

#[tokio::test]
async fn a_list_without_an_end_is_not_read_for_long() {
    let upses = vec![Act::HearLine, send("BEGIN LIST UPS\n"), Act::Flood(b"UPS one \"\"\n".repeat(100_000))];
    assert_eq!(reason(upses).await, "too_large");
}

#[tokio::test]
async fn silence_is_a_timeout_and_what_was_read_before_it_stays() {
    let silent = serve(vec![Act::Silence]).await;
    let started = Clock::now();
    let said = look(&config(&silent), Duration::from_millis(200)).await.expect_err("nobody answers");
    assert_eq!(said.reason.as_str(), "timeout");
    assert!(said.message.as_str().contains("LIST UPS") && started.elapsed() < PATIENCE, "{said:?}");

    let list = "BEGIN LIST UPS\nUPS one \"\"\nUPS two \"\"\nUPS three \"\"\nEND LIST UPS\n";
    let said = |ups: &str| send(&format!("BEGIN LIST VAR {ups}\nEND LIST VAR {ups}\n"));
    let first = vec![Act::HearLine, send(list), Act::HearLine, said("one"), Act::HearLine, Act::Hear];
    let address = serve_each(vec![first, vec![Act::HearLine, said("three")]]).await;
    let seen = look(&config(&address), Duration::from_secs(3)).await.expect("a list");
    assert_eq!(reasons(&seen), [("one", None), ("two", Some("timeout")), ("three", None)]);
}

#[tokio::test]
async fn what_is_not_upsd_is_told_as_such() {
    assert_eq!(reason(vec![Act::HearLine, send("BEGIN LIST UPS\nUPS o\0ne \"\"\n"), Act::Silence]).await, "protocol");
    assert_eq!(reason(vec![Act::HearLine, send("HTTP/1.1 400 Bad Request\r\n"), Act::Silence]).await, "protocol");
    assert_eq!(reason(vec![Act::HearLine, send("BEGIN LIST UPS\nUPS o")]).await, "protocol");
    assert_eq!(reason(vec![Act::HearLine]).await, "connect");
    assert_eq!(reason(vec![Act::HearLine, send("ERR ACCESS-DENIED\n")]).await, "auth");
    let nobody = look(&config("127.0.0.1:1"), PATIENCE).await.expect_err("nobody listens there");
    assert_eq!(nobody.reason.as_str(), "connect");
    let nowhere = look(&config("no-such-host.invalid:3493"), PATIENCE).await.expect_err("there is no such host");
    assert_eq!(nowhere.reason.as_str(), "dns");
}

#[tokio::test]
async fn texts_of_a_ups_cannot_look_like_something_else() {
    let seen = with_two(vec![send(
        "BEGIN LIST VAR one\nVAR one device.model \"x\\\"} 1\rups_up 0\u{202e}\"\nVAR one ups.status \"OL\\n\"\nEND LIST VAR one\n",
    )])
    .await;
    let Some((_, Ok(reading))) = seen.first() else { panic!("{seen:?}") };
    let model = reading.identity.model.as_ref().expect("a model").as_str();
    assert!(!model.chars().any(crate::snapshot::is_deceptive), "{model:?}");
}

#[tokio::test]
async fn user_and_password_are_said_word_by_word_whatever_is_in_them() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let heard = tokio::spawn(async move {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
        let (stream, _) = listener.accept().await.expect("a client");
        let (read, mut write) = stream.into_split();
        let mut lines = tokio::io::BufReader::new(read).lines();
        let mut heard = Vec::new();
        for answer in ["OK\n", "OK\n", "BEGIN LIST UPS\nEND LIST UPS\n"] {
            heard.push(lines.next_line().await.expect("a line").expect("no end yet"));
            write.write_all(answer.as_bytes()).await.expect("the client reads");
        }
        heard
    });
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    fs::write(&file, "a \"b\\c\" d\n").expect("a password file");
    let mut config = config(&address);
    (config.username, config.password_file) = (Some("mon itor".to_owned()), Some(file.clone()));
    assert!(look(&config, PATIENCE).await.expect("upsd answers").is_empty());
    let expected = [r#"USERNAME "mon itor""#, r#"PASSWORD "a \"b\\c\" d""#, "LIST UPS"];
    assert_eq!(heard.await.expect("the peer ended well"), expected);

    fs::write(&file, "two\rlines\n").expect("a password file");
    config.address = serve(vec![Act::HearLine, send("OK\n"), Act::Silence]).await;
    let said = look(&config, PATIENCE).await.expect_err("it cannot be said");
    assert!(said.reason.as_str() == "auth" && !said.message.as_str().contains("lines"), "{said:?}");
    fs::remove_file(&file).expect("it is there");
    config.address = serve(vec![Act::Silence]).await;
    assert_eq!(look(&config, PATIENCE).await.expect_err("there is no password").reason.as_str(), "not_found");
}

#[tokio::test]
async fn nothing_goes_in_the_clear_when_tls_was_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let ca_file = directory.path().join("ca.crt");
    let key = rcgen::KeyPair::generate().expect("a key");
    let ca = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name").self_signed(&key);
    fs::write(&ca_file, ca.expect("a certificate").pem()).expect("a CA file");
    let tls = |address: &str, ca_file: Option<PathBuf>| NutConfig {
        start_tls: Some(StartTlsConfig { ca_file, server_name: None }),
        ..config(address)
    };
    for (answer, expected) in [
        ("ERR FEATURE-NOT-CONFIGURED\n", "tls"),
        ("ERR UNKNOWN-COMMAND\n", "protocol"),
        ("OK STARTTLS\nBEGIN LIST UPS\nEND LIST UPS\n", "tls"),
        ("OK STARTTLS\n", "tls"),
    ] {
        let address = serve(vec![Act::HearLine, send(answer), Act::Hear, send("BEGIN LIST UPS\nEND LIST UPS\n")]).await;
        let said = look(&tls(&address, Some(ca_file.clone())), PATIENCE).await.expect_err("this is not protected");
        assert_eq!(said.reason.as_str(), expected, "{answer}: {}", said.message);
    }
    let nobody = serve(vec![Act::Silence]).await;
    let said = look(&tls(&nobody, None), PATIENCE).await.expect_err("nobody vouches for it");
    assert_eq!(said.reason.as_str(), "tls");
}
