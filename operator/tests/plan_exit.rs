//! How `plan` ends, as a pull request's check sees it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kagiban_operator::cli::PlanExit;
use serde_json::{Value, json};

/// It follows the `---` of the document before.
const GOOD: &str = concat!("\n", include_str!("support/good.yaml"));

fn plan(arguments: &[&str], manifest: &str) -> (Option<i32>, String) {
    plan_with(&[], arguments, manifest)
}

fn plan_with(environment: &[(&str, &str)], arguments: &[&str], manifest: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kagiban-operator"))
        .arg("plan")
        .args(arguments)
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // One that ends before it reads has said why
    let _ = child.stdin.take().expect("a pipe").write_all(manifest.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Holds B12: text that is no YAML ended with 1, as if something had been judged.
#[test]
fn a_plan_ends_as_its_help_says() {
    let offline = ["--offline", "-f", "-"];
    let no_cluster = ["--kubeconfig", "/no/such/kubeconfig", "-f", "-"];
    let (unknown_version, bad_name) = (GOOD.replace("v1alpha1", "v9"), GOOD.replace("name: ups-01", "name: UPS_01"));
    let (typo, broken) = (GOOD.replace("  host:", "  hots: x\n  host:"), format!("{GOOD}---\nbad: ["));
    let cases: [(&str, &[&str], &str, PlanExit, &str); 13] = [
        ("a good one", &offline, GOOD, PlanExit::Clear, "well-formed"),
        (
            "a good one, of which much stays open",
            &offline,
            GOOD,
            PlanExit::Clear,
            "not checked, as no cluster and no host was asked",
        ),
        ("a version that is not known", &offline, &unknown_version, PlanExit::Wrong, "apiVersion"),
        ("a name that is none", &offline, &bad_name, PlanExit::Wrong, "metadata.name"),
        ("a field that is not known", &offline, &typo, PlanExit::Wrong, "spec.hots"),
        ("a wrong one among good ones", &offline, &format!("{GOOD}---{typo}"), PlanExit::Wrong, "spec.hots"),
        ("text that is no YAML", &offline, "bad: [", PlanExit::NoPlan, "is no YAML"),
        ("a good one before text that is no YAML", &offline, &broken, PlanExit::NoPlan, "is no YAML"),
        ("no resource", &offline, "kind: Secret\n", PlanExit::NoPlan, "no ManagedAgentCertificate"),
        ("no file", &["--offline", "-f", "/no/such/file"], "", PlanExit::NoPlan, "cannot open"),
        ("no cluster", &no_cluster, GOOD, PlanExit::NoPlan, "cannot read"),
        ("no cluster at all", &no_cluster, GOOD, PlanExit::NoPlan, "--offline checks the manifests alone"),
        ("a wrong command line", &["--no-such-flag"], "", PlanExit::NoPlan, "--no-such-flag"),
    ];
    for (what, arguments, manifest, exit, words) in cases {
        let (code, text) = plan(arguments, manifest);
        assert_eq!(code, Some(exit.code().into()), "{what}: {text}");
        assert!(text.contains(words), "{what}: {text}");
    }
}

/// Holds B12: with a proxy in the environment no plan was made, whatever `NO_PROXY` said, and its password was told.
#[test]
fn a_proxy_in_the_environment_is_left_out_where_it_is_to_be_and_is_refused_otherwise() {
    let directory = std::env::temp_dir().join(format!("plan-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let written = |name: &str, cluster: Value| {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {}}],
        });
        let file = directory.join(name);
        std::fs::write(&file, kubeconfig.to_string()).expect("a file");
        file.to_str().expect("UTF-8").to_owned()
    };
    let here = written("here", json!({"server": "https://127.0.0.1:1"}));
    let there = written("there", json!({"server": "https://api.invalid:6443"}));
    let asks = written("asks", json!({"server": "https://api.invalid", "proxy-url": "http://u:hidden@127.0.0.1:9"}));
    let proxy = ("HTTPS_PROXY", "http://u:hidden@127.0.0.1:9");
    let lower = ("https_proxy", proxy.1);
    // In the system's own words.
    let refused = TcpStream::connect("127.0.0.1:9").expect_err("nobody listens").to_string();
    for (environment, kubeconfig, words) in [
        (&[proxy][..], &here, &*refused),
        (&[proxy, ("NO_PROXY", ".invalid")], &there, "dns error"),
        (&[proxy], &there, "name api.invalid in NO_PROXY"),
        (&[lower, ("no_proxy", ".invalid")], &there, "dns error"),
        (&[lower], &there, "name api.invalid in NO_PROXY"),
        (&[proxy, ("NO_PROXY", ""), ("no_proxy", "api.invalid")], &there, "dns error"),
        (&[("NO_PROXY", "*")], &asks, "proxy-url"),
        (&[("https_proxy", "http://u:hidden@proxy:port")], &there, "https_proxy is no address of a proxy"),
        (&[("HTTPS_PROXY", "http://u:hidden@pro xy")], &here, "HTTPS_PROXY is no address of a proxy"),
    ] {
        let (code, text) = plan_with(environment, &["--kubeconfig", kubeconfig, "-f", "-"], GOOD);
        // To Windows a variable in other letters is the same one.
        let is_told = text.to_lowercase().contains(&words.to_lowercase());
        assert!(is_told && !text.contains("hidden"), "{code:?} {environment:?}: {text}");
        assert!([PlanExit::NoPlan, PlanExit::Untold].map(|exit| Some(exit.code().into())).contains(&code), "{text}");
    }
    std::fs::remove_dir_all(directory).expect("it is there");
}

/// An API server that answers dry runs as it is told, and has nothing else. `resources` are those that it lists.
struct ApiServer {
    /// What the first dry runs are answered, by code and message; those after are taken. `None` stands for all.
    refuses: (Option<usize>, u16, &'static str),
    /// Whether a list is refused likewise.
    refuses_lists: bool,
    /// Whether it is refused likewise to say what is there already.
    refuses_reads: bool,
    /// Whether it is refused likewise to read a Secret.
    refuses_secrets: bool,
    /// Whether each page of a list is empty, and followed by another.
    lists_without_end: bool,
    dry_runs: AtomicUsize,
}

impl ApiServer {
    fn refusing(times: Option<usize>, code: u16, message: &'static str) -> Self {
        Self {
            refuses: (times, code, message),
            refuses_lists: false,
            refuses_reads: false,
            refuses_secrets: false,
            lists_without_end: false,
            dry_runs: AtomicUsize::new(0),
        }
    }

    /// Exit code, what was told, and dry runs that were asked for.
    fn plan(&self, manifest: &str) -> (Option<i32>, String, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "fleet"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": {}}],
        });
        let directory = std::env::temp_dir().join(format!("plan-exit-{}", address.port()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string()).expect("a file");
        let (code, text) = thread::scope(|scope| {
            scope.spawn(|| {
                for stream in listener.incoming().map_while(Result::ok) {
                    if !self.serve(&stream) {
                        return;
                    }
                }
            });
            let ended = plan(&["--kubeconfig", file.to_str().expect("UTF-8"), "-f", "-"], manifest);
            // The server ends at a connection that says nothing
            drop(TcpStream::connect(address));
            ended
        });
        std::fs::remove_dir_all(directory).expect("it is there");
        (code, text, self.dry_runs.load(Ordering::Relaxed))
    }

    /// One request; whether there was one.
    fn serve(&self, mut stream: &TcpStream) -> bool {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        let mut headers = HashMap::new();
        for header in (&mut reader).lines().map_while(Result::ok).take_while(|header| !header.is_empty()) {
            let (name, value) = header.split_once(':').expect("a header");
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let (code, answer) = self.answer(&line, &body);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {code} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
        // Who has gone does not want it
        let _ = stream.write_all((head + &answer).as_bytes());
        true
    }

    fn answer(&self, request: &str, body: &[u8]) -> (u16, Value) {
        let (times, code, message) = self.refuses;
        let status = |code: u16, message: &str| {
            (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}))
        };
        if request.starts_with("PATCH") {
            assert!(request.contains("dryRun=All"), "{request}");
            let before = self.dry_runs.fetch_add(1, Ordering::Relaxed);
            if times.is_none_or(|times| before < times) {
                return status(code, message);
            }
            let mut taken: Value = serde_json::from_slice(body).expect("JSON");
            // Each dry run makes up another: here the later, the smaller
            taken["metadata"]["uid"] = json!(format!("{:04}", 9999 - before));
            taken["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            return (200, taken);
        }
        if request.contains("/managedagentcertificates?") {
            if self.refuses_lists {
                return status(code, message);
            }
            let next = if self.lists_without_end { "more" } else { "" };
            return (200, json!({"metadata": {"resourceVersion": "1", "continue": next}, "items": []}));
        }
        if self.refuses_reads && request.contains("/managedagentcertificates/") {
            return status(code, message);
        }
        if self.refuses_secrets && request.contains("/secrets/") {
            return status(code, message);
        }
        status(404, "not found")
    }
}

/// Holds B12: an API server that fails in itself, whose webhook does not answer, or that has no room, was said to refuse the
/// manifest, and a pull request was stopped for that.
#[test]
fn a_plan_tells_a_refusal_from_an_api_server_that_cannot_tell() {
    let webhook = "Internal error occurred: failed calling webhook \"v.example.com\": context deadline exceeded";
    let quota = "managedagentcertificates.kagiban.dev \"ups-01\" is forbidden: exceeded quota: objects";
    let denied = "admission webhook \"v.example.com\" denied the request: not on a Friday";
    let role = "managedagentcertificates.kagiban.dev \"ups-01\" is forbidden: User \"ci\" cannot patch resource";
    type Case = (Option<usize>, u16, &'static str, PlanExit, &'static str, usize);
    let cases: [Case; 7] = [
        // Taken in the end: that the Secrets are not there is another matter
        (Some(2), 500, "etcdserver: leader changed", PlanExit::Wrong, "no Secret", 3),
        (None, 503, "apiserver is shutting down", PlanExit::Untold, "not known   fleet/ups-01: ", 5),
        (None, 500, webhook, PlanExit::Untold, "not known   fleet/ups-01: ", 5),
        (None, 403, quota, PlanExit::Untold, "exceeded quota", 5),
        (None, 403, denied, PlanExit::Wrong, "refused     fleet/ups-01: admission webhook", 1),
        (None, 422, "spec.host: Invalid value", PlanExit::Wrong, "refused     fleet/ups-01: spec.host", 1),
        (None, 403, role, PlanExit::NoPlan, "cannot patch", 1),
    ];
    thread::scope(|scope| {
        for (times, code, message, exit, words, dry_runs) in cases {
            scope.spawn(move || {
                let (ended, text, asked) = ApiServer::refusing(times, code, message).plan(GOOD);
                assert_eq!((ended, asked), (Some(exit.code().into()), dry_runs), "{code} {message}: {text}");
                assert!(text.contains(words), "{code} {message}: {text}");
                assert_eq!(text.contains("refused "), words.starts_with("refused"), "{code} {message}: {text}");
            });
        }
        scope.spawn(|| {
            let server = ApiServer { refuses_lists: true, ..ApiServer::refusing(Some(0), 503, "busy") };
            let (ended, text, _) = server.plan(GOOD);
            assert_eq!(ended, Some(PlanExit::Untold.code().into()), "{text}");
            assert!(text.contains("not known   fleet/ups-01: the resources cannot be listed"), "{text}");
        });
        for (code, exit, words) in [
            (429, PlanExit::Untold, "not known   fleet/ups-01: Secret fleet-client could not be read"),
            (404, PlanExit::Wrong, "there is no Secret fleet-client"),
        ] {
            scope.spawn(move || {
                let server = ApiServer { refuses_secrets: true, ..ApiServer::refusing(Some(0), code, "no") };
                let (ended, text, _) = server.plan(GOOD);
                assert_eq!(ended, Some(exit.code().into()), "{text}");
                assert!(text.contains(words), "{text}");
            });
        }
        for (code, exit, words) in [
            (503, PlanExit::Untold, "not known   fleet/ups-01: get managedagentcertificates"),
            (403, PlanExit::NoPlan, "the cluster cannot be asked"),
        ] {
            scope.spawn(move || {
                let server = ApiServer { refuses_reads: true, ..ApiServer::refusing(Some(0), code, "no") };
                let (ended, text, _) = server.plan(GOOD);
                assert_eq!(ended, Some(exit.code().into()), "{text}");
                assert!(text.contains(words), "{text}");
            });
        }
    });
}

/// Holds B12: a plan went on with pages without a resource for minutes, and said nothing.
#[test]
fn a_plan_does_not_turn_empty_pages_for_ever() {
    let server = ApiServer { lists_without_end: true, ..ApiServer::refusing(Some(0), 500, "") };
    let (ended, text, _) = server.plan(GOOD);
    assert_eq!(ended, Some(PlanExit::NoPlan.code().into()), "{text}");
    assert!(text.contains("has no end"), "{text}");
}

/// Holds B12: which of two new resources loses the agent hung on the uids that a dry run makes up, so that one file gave
/// different answers.
#[test]
fn of_two_new_resources_for_one_agent_the_first_in_the_file_owns_it() {
    let of = |name: &str| GOOD.replace("ups-01}", &format!("{name}}}"));
    for (first, second) in [("a", "b"), ("b", "a")] {
        let file = format!("{}---{}", of(first), of(second));
        let (ended, text, _) = ApiServer::refusing(Some(0), 500, "").plan(&file);
        assert_eq!(ended, Some(PlanExit::Wrong.code().into()), "{text}");
        let (of_first, of_second) = text.split_once(&format!("fleet/{second}  (host")).expect("both are told of");
        assert!(!of_first.contains("Conflict"), "{text}");
        assert!(of_second.contains("Conflict"), "{text}");
        let assumed = format!("assumed: of the new resources for this agent, fleet/{first} stands first in the file");
        assert!(of_second.contains(&assumed), "{text}");
    }
}
