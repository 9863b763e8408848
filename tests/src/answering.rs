//! An HTTP server that answers as a test says: for programs that ask, such as Prometheus, or tell, such as Alertmanager.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Who asks here is on this machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// Larger than any message of a test.
const MAX_BODY: u64 = 4 << 20;

/// Answers each request, given as its path and its body, until the process ends; `None` closes the connection without a word.
pub fn start(answer: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A client that goes away in the middle is its own affair.
            thread::spawn(move || drop(serve(stream, answer.as_ref())));
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream, answer: &impl Fn(&str, &str) -> Option<String>) -> Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(MAX_BODY));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let path = first.split_whitespace().nth(1).context("no path")?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; usize::min(length, usize::try_from(MAX_BODY)?)];
    reader.read_exact(&mut body)?;
    if let Some(text) = answer(path, &String::from_utf8_lossy(&body)) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length:";
        let mut stream = stream;
        write!(stream, "{head} {}\r\n\r\n{text}", text.len())?;
    }
    Ok(())
}
