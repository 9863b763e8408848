//! Against a double of Apex Central, not the product: an HTTPS server that speaks the documented interface, and checks each token by itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::snapshot::{InventorySeen, Label};

const APPLICATION: &str = "11111111-2222-3333-4444-555555555555";
const KEY: &str = "0f0f0f0f-an-api-key";
const SERVERS: &str = "/WebApp/API/ServerResource/ProductServers";
const AGENTS: &str = "/WebApp/API/AgentResource/ProductAgents";
/// In seconds; what the console calls the communication time-out.
const TIME_OUT: u64 = 120;

const SERVER_LIST: &str = r#"{"result_code":1,"result_description":"Operation successful","result_content":[
    {"entity_id":"B-1","product":"SLF_PRODUCT_OFFICESCAN_CE","ad_domain":"","ip_address_list":"192.0.2.10","host_name":"apex-01","capabilities":["cmd_deploy_update_sources"]},
    {"entity_id":"B-2","product":"SLF_PRODUCT_PLS_TMSM","ad_domain":"","ip_address_list":"","host_name":"","capabilities":[]}]}"#;

fn agent(host: &str, isolation: &str) -> String {
    format!(
        r#"{{"entity_id":"e-{host}","product":"SLF_PRODUCT_OFFICESCAN_CE","managing_server_id":"b-1","ad_domain":"","folder_path":"Workgroup","ip_address_list":"192.0.2.1","mac_address_list":"00-00-5E-00-53-01","host_name":"{host}","isolation_status":"{isolation}","capabilities":["cmd_uninstall_agent","cmd_relocate_agent","cmd_isolate_agent","cmd_restore_isolated_agent"]}}"#
    )
}

fn list(entries: &[String]) -> String {
    format!(
        r#"{{"result_code":1,"result_description":"Operation successful","result_content":[{}]}}"#,
        entries.join(",")
    )
}

/// An answer with this status and this body.
fn answer(status: &str, more: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", "", body)
}

/// What is sent to a question that was taken, by its path, part for part.
type Says = Arc<dyn Fn(&str, usize) -> Option<Vec<u8>> + Send + Sync>;

/// The usual list of servers, and this for that of agents.
fn to_agents(say: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Says {
    Arc::new(move |path, part| if path == SERVERS { (part == 0).then(|| ok(SERVER_LIST)) } else { say(part) })
}

fn agents(body: String) -> Says {
    to_agents(move |part| (part == 0).then(|| ok(&body)))
}

/// Replies are read on one thread, as in the program: a test that has it long would keep it from another.
static THREAD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Double {
    directory: tempfile::TempDir,
    port: u16,
    /// The first line of each request, and what came after its head.
    asked: Arc<Mutex<Vec<(String, usize)>>>,
}

impl Double {
    async fn of(says: Says) -> Self {
        Self::called("127.0.0.1", 0, says).await
    }

    /// Whose certificate is for `name`, and whose clock is `ahead` by so many seconds.
    async fn called(name: &str, ahead: i64, says: Says) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).expect("a key");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let config = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key).expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), cert.pem()).expect("written");
        std::fs::write(directory.path().join("key"), format!("{KEY}\n")).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                serve(stream, ahead, &says, &noted).await;
            }
        });
        Self { directory, port, asked }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn source(&self, timeout: &str) -> InventorySource {
        let yaml = format!(
            "{{url: 'https://127.0.0.1:{}', applicationId: {APPLICATION}, apiKeyFile: '{}', caFile: '{}', timeout: {timeout}}}",
            self.port,
            self.path("key").display(),
            self.path("ca.pem").display()
        );
        InventorySource::new(&serde_yaml::from_str(&yaml).expect("a configuration"), None)
    }

    async fn look(&self) -> Result<InventorySeen, Trouble> {
        of(&mut self.source("60s")).await
    }

    async fn refusal(&self) -> Trouble {
        self.look().await.expect_err("there is no inventory")
    }
}

async fn of(source: &mut InventorySource) -> Result<InventorySeen, Trouble> {
    match source.look().await {
        (Observation::Inventory(seen), None) => Ok(seen),
        (Observation::Nothing, Some(trouble)) => {
            assert!(REASONS.contains(&trouble.reason), "{trouble:?}");
            assert!(
                !trouble.message.as_str().contains(KEY) && !trouble.message.as_str().contains("eyJ"),
                "{trouble:?}"
            );
            Err(trouble)
        }
        other => panic!("{other:?}"),
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, ahead: i64, says: &Says, noted: &Mutex<Vec<(String, usize)>>) {
    let mut request = Vec::new();
    let end = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return;
        }
    };
    let head = String::from_utf8(request[..end].to_vec()).expect("text");
    let first = head.lines().next().unwrap_or_default().to_owned();
    noted.lock().expect("whole").push((first.clone(), request.len() - end - 4));
    let now = Timestamp::now().as_second() + ahead;
    if !is_signed(&first, &head, now) {
        let date = DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&Timestamp::from_second(now).expect("a time"))
            .expect("a date");
        let body = r#"{"result_code":-1,"result_description":"invalid token","result_content":""}"#;
        let _ = stream.write_all(&answer("401 Unauthorized", &format!("Date: {date}\r\n"), body)).await;
        let _ = stream.shutdown().await;
        return;
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    for part in 0.. {
        let Some(bytes) = says(path, part) else { break };
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            break;
        }
        if bytes.len() == 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let _ = stream.shutdown().await;
}

/// As the vendor's guide says: by the key, for this request, for this application, now.
fn is_signed(first: &str, head: &str, now: i64) -> bool {
    let token = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).expect("a token");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    if hmac::verify(&key, signed.as_bytes(), &signature).is_err() {
        return false;
    }
    let (header, payload) = signed.split_once('.').expect("two parts");
    let json = |part: &str| {
        serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
    };
    let (header, payload) = (json(header), json(payload));
    let mut words = first.split(' ');
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let hashed = format!("{}|{}||", method.to_uppercase(), path.to_lowercase());
    let issued_at = payload["iat"].as_i64().expect("whole seconds");
    header["alg"] == "HS256"
        && header["typ"] == "JWT"
        && payload["appid"] == APPLICATION
        && payload["version"] == "V1"
        && payload["checksum"] == STANDARD.encode(Sha256::digest(hashed))
        && issued_at.abs_diff(now) <= TIME_OUT
}

#[tokio::test]
async fn both_lists_make_an_inventory_and_nothing_but_two_gets_without_a_body_is_ever_sent() {
    let _thread = THREAD.lock().await;
    let entries = [agent("PC-01", "normal"), agent("pc-01", "normal"), agent("経理-02", "isolated"), agent("", "")];
    let double = Double::of(agents(list(&entries))).await;
    let seen = double.look().await.expect("an inventory");
    let told = |it: &crate::snapshot::ServerAgents| {
        (it.server_id.to_string(), it.server.as_ref().map(Label::to_string), it.agents)
    };
    assert_eq!(
        seen.servers.iter().map(told).collect::<Vec<_>>(),
        [("b-1".to_owned(), Some("apex-01".to_owned()), 4), ("B-2".to_owned(), None, 0)]
    );
    assert_eq!((seen.agents, seen.isolated.count, seen.repeated.count), (4, 1, 1));
    assert_eq!(seen.isolated.first[0].client.as_str(), "経理-02");
    let asked = double.asked.lock().expect("whole").clone();
    assert_eq!(asked, [(format!("GET {SERVERS} HTTP/1.1"), 0), (format!("GET {AGENTS} HTTP/1.1"), 0)]);
}

#[tokio::test]
async fn a_key_that_is_wrong_or_a_clock_that_is_off_is_told_with_what_to_do_and_a_new_key_is_taken_at_the_next_look() {
    let _thread = THREAD.lock().await;
    let double = Double::of(agents(list(&[]))).await;
    std::fs::write(double.path("key"), "another").expect("written");
    let mut source = double.source("60s");
    let refused = of(&mut source).await.expect_err("another key");
    assert_eq!(refused.reason, "unauthorized");
    assert!(
        refused.message.as_str().contains("applicationId and apiKeyFile")
            && refused.message.as_str().contains("the clocks agree"),
        "{refused:?}"
    );
    std::fs::write(double.path("key"), format!("{KEY}\r\nas the console gave it\n")).expect("written");
    assert!(of(&mut source).await.is_ok());
    let late = Double::called("127.0.0.1", 600, agents(list(&[]))).await.refusal().await;
    let told = late.message.as_str();
    assert!(
        late.reason == "unauthorized" && told.contains("s behind the server's") && told.contains("set the clock"),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_key_or_a_ca_that_is_not_there_is_told_and_nothing_is_asked() {
    let _thread = THREAD.lock().await;
    let double = Double::of(agents(list(&[]))).await;
    std::fs::write(double.path("key"), "\n").expect("written");
    assert_eq!(double.refusal().await.reason, "key_unreadable");
    std::fs::remove_file(double.path("key")).expect("removed");
    assert_eq!(double.refusal().await.reason, "key_unreadable");
    std::fs::write(double.path("key"), KEY).expect("written");
    std::fs::write(double.path("ca.pem"), "no certificate").expect("written");
    assert_eq!(double.refusal().await.reason, "ca_unreadable");
    assert!(double.asked.lock().expect("whole").is_empty());
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_told_no_token() {
    let _thread = THREAD.lock().await;
    let other_name = Double::called("central.example.com", 0, agents(list(&[]))).await;
    let refused = other_name.refusal().await;
    assert!(refused.reason == "tls" && refused.message.as_str().contains("NotValidForName"), "{refused:?}");
    let (one, other) = (Double::of(agents(list(&[]))).await, Double::of(agents(list(&[]))).await);
    std::fs::copy(other.path("ca.pem"), one.path("ca.pem")).expect("copied");
    assert_eq!(one.refusal().await.reason, "tls");
    assert!(other_name.asked.lock().expect("whole").is_empty() && one.asked.lock().expect("whole").is_empty());
}

#[tokio::test]
async fn whatever_else_is_answered_is_no_inventory_and_is_told_by_its_reason() {
    let _thread = THREAD.lock().await;
    let elsewhere = Double::of(agents(list(&[]))).await;
    let to = format!("Location: https://127.0.0.1:{}{AGENTS}\r\n", elsewhere.port);
    for (bytes, reason) in [
        (answer("302 Found", &to, ""), "redirect"),
        (answer("307 Temporary Redirect", &to, ""), "redirect"),
        (answer("403 Forbidden", "", ""), "unauthorized"),
        (answer("400 Bad Request", "", ""), "status"),
        (answer("500 Internal Server Error", "", ""), "status"),
        (answer("204 No Content", "", ""), "status"),
        (ok("<html><form action=login>"), "unknown_format"),
        (ok(r#"{"Data":[],"Meta":{"Result":1}}"#), "unknown_format"),
        (ok(r#"{"result_code":-3,"result_description":"eyJ0b2tlbg","result_content":""}"#), "refused"),
        (ok(&list(&[agent("PC-01", "normal")])[..100]), "cut_short"),
        (ok(""), "cut_short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec(), "cut_short"),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "not_http"),
        (Vec::new(), "not_http"),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024)).into_bytes(), "not_http"),
    ] {
        let shown = String::from_utf8_lossy(&bytes).chars().take(60).collect::<String>();
        let double = Double::of(to_agents(move |part| (part == 0).then(|| bytes.clone()))).await;
        let refused = double.refusal().await;
        assert_eq!(refused.reason, reason, "{shown}: {refused:?}");
    }
    assert!(elsewhere.asked.lock().expect("whole").is_empty(), "a redirect is not followed");
}

#[tokio::test]
async fn a_list_without_an_end_ends_with_its_bound_or_its_deadline() {
    let _thread = THREAD.lock().await;
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n{\"result_code\":1,\"result_content\":[";
    let endless = |piece: Vec<u8>| to_agents(move |part| Some(if part == 0 { HEAD.to_vec() } else { piece.clone() }));
    let many = Double::of(endless(b"{},".repeat(16 * 1024))).await.refusal().await;
    assert!(many.reason == "too_large" && many.message.as_str().contains("200000"), "{many:?}");
    // One text that never ends is bounded by the bytes.
    let long = Double::of(to_agents(|part| {
        Some(if part == 0 { [HEAD, b"{\"host_name\":\""].concat() } else { vec![b'x'; 256 * 1024] })
    }));
    let long = long.await.refusal().await;
    assert!(long.reason == "too_large" && long.message.as_str().contains("67108864 bytes"), "{long:?}");
    for slow in [
        endless(b" ".to_vec()),
        to_agents(|part| Some(if part == 0 { b"HTTP/1.1 200 OK\r\nX: ".to_vec() } else { b"x".to_vec() })),
    ] {
        let double = Double::of(slow).await;
        let late = of(&mut double.source("1s")).await.expect_err("it has no end");
        assert!(late.reason == "timeout" && late.message.as_str().contains("apexCentral.timeout"), "{late:?}");
        // The thread that read it is free again.
        let next = Double::of(agents(list(&[]))).await;
        assert!(next.look().await.is_ok());
    }
}

#[tokio::test]
async fn a_hundred_thousand_agents_are_counted() {
    let _thread = THREAD.lock().await;
    let entries: Vec<_> = (0..100_000).map(|at| agent(&format!("PC-{}", at % 99_000), "normal")).collect();
    let seen = Double::of(agents(list(&entries))).await.look().await.expect("an inventory");
    assert_eq!((seen.agents, seen.repeated.count, seen.repeated.first.len()), (100_000, 1_000, 100));
}
