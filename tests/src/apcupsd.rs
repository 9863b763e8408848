//! apcupsd: real ones, with its test driver or as the slave of another, and one whose answers a test replays.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ports::{Port, on_ports};
use crate::process::Program;
use crate::tools;

const DEADLINE: Duration = Duration::from_secs(60);

/// Where an apcupsd has its UPS from.
#[derive(Clone, Copy, Debug)]
pub enum Feed {
    /// The driver for tests that is built into apcupsd: one UPS whose numbers never change.
    TestDriver,
    /// Another apcupsd, whose slave this one is.
    Master(SocketAddr),
}

/// A running apcupsd. Its script does nothing, so that nothing that it sees can do anything to this machine. A script that
/// is missing is not enough: apcupsd has threads, and its child, which says then that it cannot be run, may wait for ever for
/// a lock that one of them held at the fork.
#[derive(Debug)]
pub struct Apcupsd {
    pub program: Program,
    port: Port,
}

impl Apcupsd {
    /// Starts it with its files in a directory of its own and waits until it answers.
    pub fn start(directory: &Path, feed: Feed) -> Result<Self> {
        fs::create_dir(directory)?;
        on_ports(|[port]| Self::start_on(directory, feed, port))
    }

    fn start_on(directory: &Path, feed: Feed, port: Port) -> Result<Self> {
        let feed = match feed {
            Feed::TestDriver => "UPSCABLE smart\nUPSTYPE test\nDEVICE\n".to_owned(),
            Feed::Master(address) => format!("UPSCABLE ether\nUPSTYPE net\nDEVICE {address}\n"),
        };
        let here = directory.display();
        let config = format!(
            "## apcupsd.conf v1.1 ##\n{feed}LOCKFILE {here}\nSCRIPTDIR {here}\nPWRFAILDIR {here}\nNOLOGINDIR {here}\n\
             NETSERVER on\nNISIP 127.0.0.1\nNISPORT {}\nEVENTSFILE {here}/events\nSTATFILE {here}/status\nPOLLTIME 1\n\
             UPSCLASS standalone\nUPSMODE disable\nUPSNAME of-the-test\n",
            port.number()
        );
        let file = directory.join("apcupsd.conf");
        fs::write(&file, config)?;
        let script = directory.join("apccontrol");
        if !script.is_symlink() {
            symlink("/bin/true", script)?;
        }
        let mut command = tools::apcupsd("sbin/apcupsd")?;
        command.args(["-b", "-f"]).arg(&file).arg("-P").arg(directory.join("pid"));
        let mut program = Program::start("apcupsd", &command, directory)?;
        let ready = || status(port.address()).is_ok_and(|text| text.contains("END APC"));
        program.wait_ready_on(port.number(), DEADLINE, ready)?;
        Ok(Self { program, port })
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

/// A server that answers every `status` with the bytes that it was given last.
#[derive(Debug)]
pub struct Replay {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
}

#[derive(Debug)]
enum Answer {
    Bytes(Vec<u8>),
    /// Nothing more, and nobody is let in.
    Gone,
}

impl Replay {
    /// Answers with these lines, each in a frame as apcupsd sends it.
    pub fn start(lines: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let answer = Arc::new(Mutex::new(Answer::Bytes(framed(lines)?)));
        let shared = Arc::clone(&answer);
        // It ends with the process, as the port does.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if matches!(*shared.lock().unwrap_or_else(PoisonError::into_inner), Answer::Gone) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Ok(Self { address, answer })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is answered from now on.
    pub fn say(&self, lines: &str) -> Result<()> {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Answer::Bytes(framed(lines)?);
        Ok(())
    }

    /// As if apcupsd had ended.
    pub fn vanish(&self) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Answer::Gone;
        // Wakes the one who lets others in, so that it can go.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, answer: &Mutex<Answer>) {
    while let Ok(request) = frame(&mut stream) {
        let bytes = match &*answer.lock().unwrap_or_else(PoisonError::into_inner) {
            Answer::Bytes(bytes) if request == b"status" => bytes.clone(),
            Answer::Bytes(_) => b"\0\0".to_vec(),
            Answer::Gone => return,
        };
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn framed(lines: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines.lines() {
        let length = u16::try_from(line.len() + 1).context("the line is too long for a frame")?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(line.bytes());
        bytes.push(b'\n');
    }
    bytes.extend([0, 0]);
    Ok(bytes)
}

/// The status report of an apcupsd.
pub fn status(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"\0\x06status")?;
    let mut text = String::new();
    loop {
        let record = frame(&mut stream)?;
        if record.is_empty() {
            return Ok(text);
        }
        text += &String::from_utf8_lossy(&record);
    }
}

fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut record = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut record)?;
    Ok(record)
}
