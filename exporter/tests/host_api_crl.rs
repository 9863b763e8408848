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
             [crl]\nauthorityKeyIdentifier = keyid\n"
        );
        std::fs::write(at("ca.cnf"), config).unwrap();
        Self { directory }
    }

    fn revoke(&self, client: &Identity) {
        std::fs::write(self.directory.path().join("client.crt"), &client.chain).unwrap();
        self.openssl(&["-revoke", "client.crt"]);
    }

    fn list(&self, next_update: &str) -> PathBuf {
        let times = ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", next_update];
        self.openssl(&[&["-gencrl", "-out", "list.crl"][..], &times[..]].concat());
        self.directory.path().join("list.crl")
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
