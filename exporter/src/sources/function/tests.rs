use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::Zoned;
use kagiban_crds::host_api::FunctionState;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::*;

fn agent(yaml: &str) -> AgentConfig {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn web(function: &str) -> AgentConfig {
    agent(&format!(
        "{{name: web, product: tls-service, endpoint: {{address: '127.0.0.1:9'}}, verify: {{function: {function}}}}}"
    ))
}

fn check(config: &AgentConfig) -> FunctionCheck {
    FunctionCheck::of(config, None).expect("a good configuration").expect("a question")
}

async fn asked(config: &AgentConfig) -> FunctionAnswer {
    check(config).ask(&config.name, Moment::Between, Work::SourceNames, LONGEST_TIMEOUT).await
}

fn reason(answer: &FunctionAnswer) -> &'static str {
    match answer {
        FunctionAnswer::Works => "works",
        FunctionAnswer::DoesNotWork(trouble) | FunctionAnswer::Unknown(trouble) => trouble.reason,
    }
}

#[test]
fn a_question_is_one_of_three_and_each_is_checked() {
    for (function, expected) in [
        ("{}", FunctionConfigError::NotOne),
        ("{command: [a], http: {path: /}}", FunctionConfigError::NotOne),
        ("{command: []}", NoProgram::Missing.into()),
        ("{command: ['']}", NoProgram::Missing.into()),
        ("{command: [\"a\", \"b\\0\"]}", NoProgram::Nul.into()),
        ("{command: [bin/check]}", NoProgram::Relative.into()),
        ("{http: {path: healthz}}", FunctionConfigError::NoPath),
        ("{http: {path: 'http://other/'}}", FunctionConfigError::NoPath),
        ("{http: {path: '/a b'}}", FunctionConfigError::NoPath),
        ("{http: {path: '/a#b'}}", FunctionConfigError::NoPath),
        ("{http: {path: /, status: []}}", FunctionConfigError::NoStatus),
        ("{http: {path: /, status: [99]}}", FunctionConfigError::NoStatus),
        ("{ups: hears}", FunctionConfigError::NoEventLog),
        ("{command: [a], timeout: 0s}", FunctionConfigError::Timeout),
        ("{command: [a], timeout: 11m}", FunctionConfigError::Timeout),
    ] {
        assert_eq!(FunctionCheck::of(&web(function), None).map(|_| ()), Err(expected), "{function}");
    }
    let nowhere = agent("{name: web, product: tls-service, verify: {function: {http: {path: /}}}}");
    assert_eq!(FunctionCheck::of(&nowhere, None).map(|_| ()), Err(FunctionConfigError::NoEndpoint));
    assert!(
        serde_yaml::from_str::<AgentConfig>("{name: a, product: tls-service, verify: {function: {shell: a}}}").is_err()
    );
}

/// A command may have effects: nobody asks it more often than somebody has said.
#[test]
fn a_command_is_asked_by_rotations_alone_unless_an_interval_is_set() {
    for (function, interval) in [
        ("{command: [a]}", None),
        ("{command: [a], interval: 1h}", Some(Duration::from_hours(1))),
        ("{http: {path: /}}", Some(INTERVAL)),
        ("{http: {path: /}, interval: 30s}", Some(Duration::from_secs(30))),
    ] {
        assert_eq!(check(&web(function)).interval, interval, "{function}");
    }
}

#[test]
fn an_agent_with_an_event_log_is_asked_for_its_ups_unless_something_else_is_said_and_no_other_agent_is() {
    let of = |product: &str, function: &str| {
        let config = agent(&format!("{{name: a, product: {product}, verify: {{{function}}}}}"));
        let at = Installed { product: config.product, directory: "/opt/agent".into() };
        FunctionCheck::of(&config, Some(&at)).expect("a good configuration").map(|check| check.way)
    };
    for product in ["powerchute-serial-shutdown", "powerchute-business-edition"] {
        for function in ["", "function: {ups: hears}"] {
            let way = of(product, function);
            assert!(matches!(&way, Some(Way::Ups { event_log, .. }) if event_log.ends_with("EventLog")), "{way:?}");
        }
        assert!(of(product, "function: {ups: unasked}").is_none());
        assert!(matches!(of(product, "function: {command: [check]}"), Some(Way::Command(_))));
    }
    assert!(of("tls-service", "").is_none(), "nothing is told as verified that nobody asks about");
}

/// Whatever a program does, a question ends and nothing is kept of what it prints.
#[tokio::test]
async fn a_program_says_by_its_status_whether_the_agent_works() {
    let said = async |script: &str, timeout: &str| {
        let config = web(&format!("{{command: [/bin/sh, -c, '{script}'], timeout: {timeout}}}"));
        reason(&asked(&config).await)
    };
    assert_eq!(said("exit 0", "30s").await, "works");
    assert_eq!(said("exit 3", "30s").await, "failed");
    assert_eq!(said("kill -9 $$", "30s").await, "failed");
    assert_eq!(said("exec sleep 600", "1s").await, "timed_out", "it hangs");
    assert_eq!(said("sleep 600; exit 0", "1s").await, "timed_out", "it ends well, and late");
    assert_eq!(said("head -c 100000000 /dev/zero", "30s").await, "works", "it prints a lot");
    let missing = asked(&web("{command: [/no/such/program]}")).await;
    assert!(matches!(missing, FunctionAnswer::Unknown(_)), "{missing:?}: nobody was asked");
}

/// A service that answers every request of one connection so, at the address that it returns.
async fn service(answer: impl Fn(usize) -> Option<Vec<u8>> + Send + 'static) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["web.example.com".to_owned()]).expect("a key");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key).expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = listener.local_addr().expect("an address");
    let address = own.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let port = format!(":{}\r\n", own.port());
            if !String::from_utf8_lossy(&request[..read]).contains(&format!("host: web.example.com{port}")) {
                continue;
            }
            for part in 0.. {
                let Some(bytes) = answer(part) else { break };
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                if bytes.len() == 1 {
                    sleep(Duration::from_millis(50)).await;
                }
            }
            let _ = stream.shutdown().await;
        }
    });
    address
}

async fn answered(answer: impl Fn(usize) -> Option<Vec<u8>> + Send + 'static, http: &str) -> FunctionAnswer {
    let address = service(answer).await;
    let config = agent(&format!(
        "{{name: web, product: tls-service, endpoint: {{address: '{address}', serverName: web.example.com}}, verify: {{function: {{http: {http}, timeout: 2s}}}}}}"
    ));
    asked(&config).await
}

fn once(head: &str) -> impl Fn(usize) -> Option<Vec<u8>> + Send + 'static {
    let head = head.as_bytes().to_vec();
    move |part| (part == 0).then(|| head.clone())
}

#[tokio::test]
async fn an_answer_over_tls_says_by_its_status_whether_the_agent_works() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const MOVED: &str = "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n";
    let path = "{path: /healthz}";
    assert_eq!(answered(once(OK), path).await, FunctionAnswer::Works);
    let unwell = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(reason(&answered(once(unwell), path).await), "status");
    assert_eq!(answered(once(unwell), "{path: /, status: [200, 503]}").await, FunctionAnswer::Works);
    assert_eq!(reason(&answered(once(MOVED), path).await), "status", "no redirect is followed");
}

#[tokio::test]
async fn a_hostile_answer_ends_with_its_deadline_or_its_bound() {
    let path = "{path: /}";
    let slowly = |part: usize| Some(vec![b"HTTP/1.1 200 OK\r\nX: "[..].get(part).copied().unwrap_or(b'x')]);
    assert_eq!(reason(&answered(slowly, path).await), "timeout", "byte by byte");
    let endless = |part: usize| Some(if part == 0 { b"HTTP/1.1 200 OK\r\nX: ".to_vec() } else { vec![b'x'; 4096] });
    assert_eq!(reason(&answered(endless, path).await), "not_http", "an endless header");
    assert_eq!(reason(&answered(once("SSH-2.0-x\r\n"), path).await), "not_http");
    assert_eq!(reason(&answered(once(""), path).await), "not_http", "nothing");
    let body = |part: usize| {
        Some(if part == 0 {
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec()
        } else {
            vec![b'x'; 4096]
        })
    };
    assert_eq!(answered(body, path).await, FunctionAnswer::Works, "its body is not read");
}

#[tokio::test]
async fn nobody_who_listens_does_not_work_and_a_name_that_is_not_found_says_nothing() {
    let refused = asked(&web("{http: {path: /}}")).await;
    assert!(matches!(&refused, FunctionAnswer::DoesNotWork(trouble) if trouble.reason == "connect"), "{refused:?}");
    let config = agent(
        "{name: web, product: tls-service, endpoint: {address: 'no-such-host.invalid:1'}, verify: {function: {http: {path: /}, timeout: 2s}}}",
    );
    let unknown = asked(&config).await;
    assert!(matches!(unknown, FunctionAnswer::Unknown(_)), "{unknown:?}");
}

#[tokio::test]
async fn an_agent_whose_event_log_cannot_be_read_or_says_nothing_is_not_known_to_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("EventLog");
    let ask =
        async |path: &Path, moment| hears(path, None, moment, Work::SourceNames, Instant::now() + READ_WITHIN).await;
    for moment in [Moment::Between, Moment::Before, Moment::After(None), Moment::Renewed(None)] {
        assert_eq!(reason(&ask(&log, moment).await), "not_told", "there is none yet");
    }
    fs::create_dir(&log).expect("mkdir");
    let unread = ask(&log, Moment::Between).await;
    assert!(matches!(&unread, FunctionAnswer::Unknown(trouble) if trouble.reason != "not_told"), "{unread:?}");
}

/// An agent that has crashed has written nothing of that, so that its log has it at work for as long as the host runs.
#[tokio::test]
async fn an_agent_that_has_written_that_it_hears_its_ups_works_only_while_it_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("EventLog");
    let now = Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    fs::write(&log, format!("{now} Monitoring Started\n{now} Communication Established\n")).expect("write");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = Endpoint { address: listener.local_addr().expect("an address").to_string(), server_name: None };
    let ask =
        async |endpoint, moment| hears(&log, endpoint, moment, Work::SourceNames, Instant::now() + READ_WITHIN).await;
    for moment in [Moment::Between, Moment::Before, Moment::After(None), Moment::Renewed(None)] {
        assert_eq!(ask(Some(&endpoint), moment).await, FunctionAnswer::Works, "{moment:?}");
    }
    drop(listener);
    for moment in [Moment::Between, Moment::Before, Moment::After(None), Moment::Renewed(None)] {
        let gone = ask(Some(&endpoint), moment).await;
        assert!(matches!(&gone, FunctionAnswer::DoesNotWork(why) if why.reason == "connect"), "{moment:?}: {gone:?}");
    }
    let unasked = ask(None, Moment::Between).await;
    assert!(matches!(&unasked, FunctionAnswer::Unknown(why) if why.reason == "not_told"), "{unasked:?}");
    assert_eq!(ask(None, Moment::Before).await, FunctionAnswer::Works, "it has to say so again after the restart");
}

#[tokio::test]
async fn a_look_that_was_not_taken_is_a_trouble_and_an_agent_that_does_not_work_is_none() {
    let look = async |function: &str| {
        let config = web(function);
        let mut source = FunctionSource::new(config.name.clone(), config.product, check(&config));
        source.look().await
    };
    let (seen, trouble) = look("{http: {path: /}}").await;
    let Observation::Function(seen) = seen else { panic!("{seen:?}") };
    assert_eq!((seen.sighting.state, seen.worked_at, trouble), (FunctionState::DoesNotWork, None, None));
    let (seen, trouble) = look("{command: [/no/such/program]}").await;
    let Observation::Function(seen) = seen else { panic!("{seen:?}") };
    assert_eq!(seen.sighting.state, FunctionState::Unknown);
    assert!(trouble.is_some_and(|trouble| REASONS.contains(&trouble.reason)));
}
