//! A file system of one directory with one program in it, spoken by the kernel's own protocol (`linux/fuse.h`, version 7.31).
//! It hangs where the program is opened by anybody but one process, until it is told to answer.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// The name of the program.
pub(crate) const PROGRAM: &str = "program";

const ROOT: u64 = 1;
const NODE: u64 = 2;
const HEADER: usize = 40;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// Mounted until it is dropped; whoever hangs in it is let go then, with an error.
pub(crate) struct HangingDisk {
    at: PathBuf,
    state: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whoever it answers always.
    answered: u32,
    answers_all: bool,
    /// The processes that hang.
    hung: Vec<u32>,
}

impl HangingDisk {
    /// With a script as its program.
    pub(crate) fn mount(at: &Path, script: &str) -> Self {
        std::fs::create_dir(at).unwrap();
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("this test needs /dev/fuse");
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other", "hung"]).arg(at);
        let mounted = mount.stdin(Stdio::from(device.try_clone().unwrap())).status().expect("the program mount");
        assert!(mounted.success(), "this test needs root");
        let state = Arc::<Shared>::default();
        let server = Server { device: Arc::new(device), script: script.as_bytes().to_vec(), state: Arc::clone(&state) };
        thread::spawn(move || server.serve());
        Self { at: at.to_owned(), state }
    }

    pub(crate) fn program(&self) -> String {
        self.at.join(PROGRAM).to_str().unwrap().to_owned()
    }

    /// From now on it answers this process always.
    pub(crate) fn answer_process(&self, number: u32) {
        self.state.state.lock().unwrap().answered = number;
    }

    /// The processes that hang in it.
    pub(crate) fn hung(&self) -> Vec<u32> {
        self.state.state.lock().unwrap().hung.clone()
    }

    pub(crate) fn answer_all(&self) {
        self.state.state.lock().unwrap().answers_all = true;
        self.state.changed.notify_all();
    }
}

impl Drop for HangingDisk {
    fn drop(&mut self) {
        self.answer_all();
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

struct Server {
    device: Arc<File>,
    script: Vec<u8>,
    state: Arc<Shared>,
}

struct Request {
    opcode: u32,
    unique: u64,
    node: u64,
    thread: u32,
    body: Vec<u8>,
}

impl Server {
    fn serve(self) {
        let mut buffer = vec![0; 1 << 18];
        // Unmounted, it ends with an error.
        while let Ok(length) = (&*self.device).read(&mut buffer) {
            let [opcode, thread] = [4, 32].map(|at| u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap()));
            let [unique, node] = [8, 16].map(|at| u64::from_ne_bytes(buffer[at..at + 8].try_into().unwrap()));
            let request = Request { opcode, unique, node, thread, body: buffer[HEADER..length].to_vec() };
            match opcode {
                FORGET | INTERRUPT | BATCH_FORGET => {}
                OPEN => self.open(request.unique, request.thread),
                _ => reply(&self.device, request.unique, self.answer(&request)),
            }
        }
    }

    fn answer(&self, request: &Request) -> Result<Vec<u8>, i32> {
        match request.opcode {
            INIT => {
                let mut out = Fields::default().u32(7).u32(31).u32(0).u32(0).u32(0).u32(4096).u32(1).0;
                out.resize(64, 0);
                Ok(out)
            }
            LOOKUP if request.body.strip_suffix(b"\0") == Some(PROGRAM.as_bytes()) => {
                // Not to be kept: neither the name nor the attributes.
                Ok(Fields::default()
                    .u64(NODE)
                    .u64(0)
                    .u64(0)
                    .u64(0)
                    .u64(0)
                    .0
                    .into_iter()
                    .chain(self.attributes(NODE))
                    .collect())
            }
            LOOKUP => Err(ENOENT),
            GETATTR => Ok(Fields::default().u64(0).u64(0).0.into_iter().chain(self.attributes(request.node)).collect()),
            READ => {
                let offset = u64::from_ne_bytes(request.body[8..16].try_into().unwrap());
                Ok(self.script.get(usize::try_from(offset).unwrap()..).unwrap_or_default().to_vec())
            }
            RELEASE | FLUSH => Ok(Vec::new()),
            _ => Err(ENOSYS),
        }
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (mode, size) = if node == ROOT { (0o040_755, 0) } else { (0o100_755, self.script.len() as u64) };
        let times = Fields::default().u64(node).u64(size).u64(1).u64(1).u64(1).u64(1).u32(0).u32(0).u32(0);
        times.u32(mode).u32(1).u32(0).u32(0).u32(0).u32(4096).u32(0).0
    }

    /// On a thread of its own: others are answered meanwhile.
    fn open(&self, unique: u64, thread: u32) {
        let process = process_of(thread);
        let (device, state) = (Arc::clone(&self.device), Arc::clone(&self.state));
        thread::spawn(move || {
            let mut held = state.state.lock().unwrap();
            if process != held.answered && !held.answers_all {
                held.hung.push(process);
                held = state.changed.wait_while(held, |state| !state.answers_all).unwrap();
            }
            drop(held);
            reply(&device, unique, Ok(Fields::default().u64(0).u64(0).0));
        });
    }
}

/// The kernel tells the thread that asks.
fn process_of(thread: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok()).unwrap_or(thread)
}

fn reply(mut device: &File, unique: u64, answer: Result<Vec<u8>, i32>) {
    let (error, body) = answer.map_or_else(|error| (-error, Vec::new()), |body| (0, body));
    let length = u32::try_from(16 + body.len()).unwrap();
    let message = [&length.to_ne_bytes()[..], &error.to_ne_bytes(), &unique.to_ne_bytes(), &body].concat();
    // Nobody may wait for it any more.
    let _ = device.write(&message);
}

#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
}
