//! Stands between the operator and the API server, and kills the operator at the n-th write: before it arrives, or after
//! it was done and before the answer is heard.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::http::{HostClient, TlsStream};

/// Requests of the operator are small; more than this is none.
const LONGEST_BODY: usize = 4 * 1024 * 1024;

/// On which side of a write the operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    BeforeTheServerSeesIt,
    BeforeTheAnswerIsHeard,
}

/// A listening proxy; its threads end with the process.
#[derive(Debug)]
pub struct CrashProxy {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
}

#[derive(Debug)]
struct Shared {
    upstream: HostClient,
    /// Clients do not send theirs without TLS.
    token: String,
    writes: AtomicUsize,
    /// The process to kill; 0 while there is none.
    victim: AtomicU32,
    plan: Mutex<Option<(usize, Moment)>>,
}

impl CrashProxy {
    /// In front of the API server of this kubeconfig; the operator is given [`Self::kubeconfig`] instead.
    pub fn start(kubeconfig: &Path, directory: &Path) -> Result<Self> {
        let mut config: Value = serde_json::from_str(&fs::read_to_string(kubeconfig)?)?;
        let token = config["users"][0]["user"]["token"].as_str().context("no token in the kubeconfig")?.to_owned();
        let cluster = &mut config["clusters"][0]["cluster"];
        let url = cluster["server"].as_str().context("no server in the kubeconfig")?;
        let address: SocketAddr = url.trim_start_matches("https://").parse()?;
        let ca = cluster["certificate-authority"].as_str().context("no CA in the kubeconfig")?;
        let server_ca = fs::read_to_string(ca)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *cluster = json!({"server": format!("http://{}", listener.local_addr()?)});
        let through = directory.join("through-the-proxy.kubeconfig");
        fs::write(&through, serde_json::to_string_pretty(&config)?)?;

        let upstream = HostClient { address, server_name: "localhost".to_owned(), server_ca, identity: None };
        let shared = Arc::new(Shared {
            upstream,
            token,
            writes: AtomicUsize::new(0),
            victim: AtomicU32::new(0),
            plan: Mutex::new(None),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                // A connection that breaks is the operator's to try again.
                thread::spawn(move || shared.relay(client));
            }
        });
        Ok(Self { shared, kubeconfig: through })
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Kills this process at its n-th write from now, counted from 1. Heartbeats do not count.
    pub fn kill_at(&self, process: u32, write: usize, moment: Moment) {
        self.shared.writes.store(0, Ordering::SeqCst);
        self.shared.victim.store(process, Ordering::SeqCst);
        *self.shared.plan.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((write, moment));
    }

    /// Writes since the last [`Self::kill_at`].
    pub fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// One request per connection: the answer ends where the connection ends, watches included.
    fn relay(&self, client: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let request = Request::read(&mut reader, &self.token)?;
        let due = self.is_due(&request);
        if due == Some(Moment::BeforeTheServerSeesIt) {
            self.kill();
            return Ok(());
        }
        let mut upstream: TlsStream = self.upstream.connect().map_err(io::Error::other)?;
        upstream.write_all(&request.bytes)?;
        upstream.flush()?;
        if due == Some(Moment::BeforeTheAnswerIsHeard) {
            // Its first byte shows that the write was done.
            upstream.read_exact(&mut [0])?;
            self.kill();
            return Ok(());
        }
        copy_as_it_comes(&mut upstream, client)
    }

    fn is_due(&self, request: &Request) -> Option<Moment> {
        if !request.is_write() {
            return None;
        }
        let count = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut plan = self.plan.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let moment = plan.filter(|(at, _)| *at == count).map(|(_, moment)| moment);
        if moment.is_some() {
            *plan = None;
        }
        moment
    }

    fn kill(&self) {
        let victim = i32::try_from(self.victim.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw);
        if let Some(victim) = victim {
            // It may have ended by itself; then the test's own checks say so.
            let _ = kill_process(victim, Signal::KILL);
        }
    }
}

struct Request {
    bytes: Vec<u8>,
    line: String,
}

impl Request {
    fn read(reader: &mut impl io::BufRead, token: &str) -> io::Result<Self> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut head = line.clone();
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header == "\r\n" {
                break;
            }
            let lower = header.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if !lower.starts_with("connection:") && !lower.starts_with("authorization:") {
                head.push_str(&header);
            }
        }
        if line.is_empty() || length > LONGEST_BODY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = format!("{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n").into_bytes();
        let start = bytes.len();
        bytes.resize(start + length, 0);
        reader.read_exact(&mut bytes[start..])?;
        Ok(Self { bytes, line })
    }

    fn is_write(&self) -> bool {
        let method = self.line.split(' ').next().unwrap_or_default();
        matches!(method, "POST" | "PUT" | "PATCH" | "DELETE") && !self.line.contains("/leases")
    }
}

fn copy_as_it_comes(from: &mut impl Read, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}
