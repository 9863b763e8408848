//! What a client CA has revoked, with lists that OpenSSL makes. Holds A18: the host API takes revocation lists.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::pki::{Authority, Identity};
use support::wire::{Api, OPERATOR};
use support::{HOST, World};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const GET_HOST: &str = "GET /v1/host HTTP/1.1";
/// Of the lists that are in force.
const LATER: &str = "20490101000000Z";
/// Files are looked at every 5 s; a busy machine takes longer.
const RELOADED: Duration = Duration::from_secs(60);

/// `openssl ca` with a directory of its own.
struct Revoker {
    directory: tempfile::TempDir,
}

impl Revoker {
    fn of(authority: &Authority) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("ca.crt"), &authority.pem).unwrap();
        std::fs::write(at("ca.key"), authority.key_pem()).unwrap();
        std::fs::write(at("index.txt"), "").unwrap();
        std::fs::write(at("crlnumber"), "01\n").unwrap();
        let root = directory.path().display();
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {root}/index.txt\ncrlnumber = {root}/crlnumber\n\
             certificate = {root}/ca.crt\nprivate_key = {root}/ca.key\ndefault_md = sha256\ncrl_extensions = crl\n\
             [crl]\nauthorityKeyIdentifier = keyid\n[nameless]\n\
             [part]\nauthorityKeyIdentifier = keyid\nissuingDistributionPoint = critical, @point\n\
             [point]\nfullname = URI:http://crl.example.com/part.crl\n"
        );
        std::fs::write(at("ca.cnf"), config).unwrap();
        Self { directory }
    }

    fn revoke(&self, client: &Identity) {
        std::fs::write(self.directory.path().join("client.crt"), &client.chain).unwrap();
        self.openssl(&["-revoke", "client.crt"]);
    }

    fn list(&self, next_update: &str) -> PathBuf {
        self.list_of("crl", "20200101000000Z", next_update)
    }

    /// With the extensions of a section.
    fn list_of(&self, section: &str, this_update: &str, next_update: &str) -> PathBuf {
        let times = ["-crl_lastupdate", this_update, "-crl_nextupdate", next_update, "-crlexts", section];
        self.openssl(&[&["-gencrl", "-out", "list.crl"][..], &times[..]].concat());
        self.directory.path().join("list.crl")
    }

    /// The number of the next list, in hexadecimal.
    fn number(&self, number: &str) {
        std::fs::write(self.directory.path().join("crlnumber"), format!("{number}\n")).unwrap();
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        command.current_dir(self.directory.path()).args(["ca", "-config", "ca.cnf"]).args(arguments);
        let done = command.output().expect("these tests need the program openssl: install the package openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn section(list: &Path) -> String {
    format!(", clientCrlFile: {}", list.display())
}

async fn lets_in(api: &Api, client: &Identity) -> bool {
    api.send(Some(client), GET_HOST, b"").await.is_ok_and(|reply| reply.status == 200)
}

/// One more request on a connection that stays open. An answer is shorter than what is read of it at once.
async fn answers(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    let request = format!("{GET_HOST}\r\nHost: {HOST}\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = [0; 64 * 1024];
    matches!(stream.read(&mut answer).await, Ok(read) if read > 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_is_let_in_no_more_and_a_new_list_counts_without_a_restart() {
    let world = World::pem_pair().await;
    let fleet = Authority::new("clients");
    let (revoker, file) = (Revoker::of(&fleet), world.directory.path().join("clients.crl"));
    let [revoked, lost_later, third] = [(); 3].map(|()| fleet.client(OPERATOR));
    revoker.revoke(&revoked);
    std::fs::copy(revoker.list(LATER), &file).unwrap();
    let api = Api::start_with(&world, fleet, &section(&file)).await;
    assert!(lets_in(&api, &api.operator).await);
    assert!(!lets_in(&api, &revoked).await);
    assert!(lets_in(&api, &lost_later).await);
    let tls = api.board.snapshot().host_api_tls.expect("the host API works");
    assert_eq!(tls.crl_next_update.map(|end| end.to_string()).as_deref(), Some("2049-01-01T00:00:00Z"));

    revoker.revoke(&lost_later);
    std::fs::copy(revoker.list(LATER), &file).unwrap();
    let reloading = async {
        while lets_in(&api, &lost_later).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(RELOADED, reloading).await.expect("the new list counts");
    assert!(lets_in(&api, &api.operator).await);

    // A file to which the next list is appended.
    let mut opened_before = api.connect(Some(&third)).await.unwrap();
    assert!(answers(&mut opened_before).await);
    let before = std::fs::read(&file).unwrap();
    revoker.revoke(&third);
    let next = std::fs::read(revoker.list(LATER)).unwrap();
    std::fs::write(&file, [before, next].concat()).unwrap();
    let reloading = async {
        while answers(&mut opened_before).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(RELOADED, reloading).await.expect("whoever was let in before is asked again");
    assert!(!lets_in(&api, &third).await, "the newest list of an issuer counts");
    assert!(lets_in(&api, &api.operator).await && !lets_in(&api, &revoked).await);

    // A bad one does not take the place of a good one.
    std::fs::write(&file, "no list").unwrap();
    let telling = async {
        while api.board.snapshot().host_api_tls.is_none_or(|tls| tls.reload.successful) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(RELOADED, telling).await.expect("it is told");
    assert!(lets_in(&api, &api.operator).await && !lets_in(&api, &revoked).await);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_by_a_list_that_has_expired_or_speaks_of_another_authority() {
    for (of_another, next_update) in [(false, "20200102000000Z"), (true, LATER)] {
        let world = World::pem_pair().await;
        let fleet = Authority::new("clients");
        let revoker = if of_another { Revoker::of(&Authority::new("others")) } else { Revoker::of(&fleet) };
        let api = Api::start_with(&world, fleet, &section(&revoker.list(next_update))).await;
        assert!(!lets_in(&api, &api.operator).await, "of another: {of_another}");
        api.stop().await;
    }
}

/// Holds A18: an older list for all of a CA's certificates stands beside a newer one for a part of them, as `openssl ca` makes
/// them in a file to which each is appended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_list_for_everything_lets_nobody_in_whom_a_newer_list_for_a_part_has_revoked() {
    for (numbers, first_is_older) in [(["01", "05"], true), (["01", "05"], false), (["50", "05"], true)] {
        let world = World::pem_pair().await;
        let fleet = Authority::new("clients");
        let (revoker, file) = (Revoker::of(&fleet), world.directory.path().join("clients.crl"));
        let revoked = fleet.client(OPERATOR);
        revoker.number(numbers[0]);
        let older = std::fs::read(revoker.list_of("crl", "20200101000000Z", LATER)).unwrap();
        revoker.number(numbers[1]);
        revoker.revoke(&revoked);
        let newer = std::fs::read(revoker.list_of("part", "20200102000000Z", LATER)).unwrap();
        let both = if first_is_older { [older, newer] } else { [newer, older] };
        std::fs::write(&file, both.concat()).unwrap();
        let api = Api::start_with(&world, fleet, &section(&file)).await;
        assert!(!lets_in(&api, &revoked).await, "{numbers:?}, the older first: {first_is_older}");
        assert!(lets_in(&api, &api.operator).await);
        api.stop().await;
    }
}

/// Holds A18: a CA that takes a new key keeps its name, and each key signs lists with numbers of its own, which may leave out
/// which key that was: as a root does, and as an issuing CA does of which this host knows the root alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_of_a_ca_speaks_for_its_own_clients() {
    for (numbers, sections) in [
        (["50", "01"], ["crl", "crl"]),
        (["01", "50"], ["crl", "crl"]),
        (["01", "50"], ["crl", "nameless"]),
        (["50", "01"], ["nameless", "crl"]),
        (["01", "50"], ["nameless", "nameless"]),
        (["50", "01"], ["nameless", "nameless"]),
    ] {
        for has_issuing in [false, true] {
            let world = World::pem_pair().await;
            let (mut lists, mut clients, mut bundle) = (Vec::new(), Vec::new(), String::new());
            for (number, section) in numbers.into_iter().zip(sections) {
                let root = Authority::new("clients");
                bundle += &root.pem;
                let of_root = std::fs::read(Revoker::of(&root).list_of(section, "20200101000000Z", LATER)).unwrap();
                let authority = if has_issuing { root.issuing("issuing") } else { root };
                if has_issuing {
                    lists.extend(of_root);
                }
                let revoker = Revoker::of(&authority);
                revoker.number(number);
                let (well, revoked) = (authority.client(OPERATOR), authority.client(OPERATOR));
                revoker.revoke(&revoked);
                // The newest of each key is of the same day.
                for day in ["20200101000000Z", "20200102000000Z"] {
                    lists.extend(std::fs::read(revoker.list_of(section, day, LATER)).unwrap());
                }
                clients.push((well, revoked));
            }
            let (file, bundle_file) =
                (world.directory.path().join("clients.crl"), world.directory.path().join("all.crt"));
            std::fs::write(&file, lists).unwrap();
            std::fs::write(&bundle_file, bundle).unwrap();
            let api = Api::start_with_bundle(&world, Authority::new("fleet"), &bundle_file, &section(&file)).await;
            for (well, revoked) in &clients {
                assert!(lets_in(&api, well).await, "{numbers:?}, {sections:?}, issuing: {has_issuing}");
                assert!(!lets_in(&api, revoked).await, "{numbers:?}, {sections:?}, issuing: {has_issuing}");
            }
            api.stop().await;
        }
    }
}

/// Holds A18: a request of which a part was sent before its client was revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_has_begun_to_ask_before_it_was_revoked_is_not_answered() {
    let world = World::pem_pair().await;
    let fleet = Authority::new("clients");
    let (revoker, file) = (Revoker::of(&fleet), world.directory.path().join("clients.crl"));
    let client = fleet.client(OPERATOR);
    std::fs::copy(revoker.list(LATER), &file).unwrap();
    let api = Api::start_with(&world, fleet, &section(&file)).await;
    let body = serde_json::to_vec(&support::open(1, 1)).unwrap();
    let (begun, rest) = body.split_at(body.len() / 2);
    let head =
        format!("POST /v1/agents/agent/rotations HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", body.len());
    revoker.revoke(&client);
    let mut held = Vec::new();
    std::fs::copy(revoker.list(LATER), &file).unwrap();
    let reloading = async {
        // Each is given up after a while, so that there is always one that was begun just before.
        while let Ok(mut stream) = api.connect(Some(&client)).await {
            let is_begun = stream.write_all(&[head.as_bytes(), begun].concat()).await.is_ok();
            held.push(stream);
            if !is_begun || !lets_in(&api, &client).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(RELOADED, reloading).await.expect("the new list counts");
    for mut stream in held {
        let mut answer = Vec::new();
        if stream.write_all(rest).await.is_ok() {
            let _ = stream.read_to_end(&mut answer).await;
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(world.phase(), None, "no rotation was opened");
    api.stop().await;
}
