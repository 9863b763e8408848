//! Who has a port: by the kernel's tables, which no answer of a stranger can imitate.

use std::collections::BTreeSet;
use std::fs;

/// The state LISTEN of a TCP socket, as the kernel writes it.
const LISTEN: &str = "0A";

/// Whether a process listens on a TCP port, or has bound a UDP port, of whatever address.
pub fn has_port(pid: u32, number: u16) -> bool {
    let of_port = sockets_of(number);
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| {
        let target = target.to_string_lossy();
        target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).is_some_and(|it| of_port.contains(it))
    })
}

/// The inodes of the sockets.
fn sockets_of(number: u16) -> BTreeSet<String> {
    let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let tcp = ["tcp", "tcp6"].map(|name| inodes(&table(name), number, Some(LISTEN)));
    let udp = ["udp", "udp6"].map(|name| inodes(&table(name), number, None));
    tcp.into_iter().chain(udp).flatten().collect()
}

fn inodes(table: &str, number: u16, state: Option<&str>) -> Vec<String> {
    let suffix = format!(":{number:04X}");
    let row = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let ours = fields.get(1)?.ends_with(&suffix) && state.is_none_or(|state| fields.get(3) == Some(&state));
        ours.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_port_is_its_listeners_and_nobody_elses() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let ours = std::process::id();
        assert!(has_port(ours, port));
        assert!(!has_port(1, port), "the first process has another");
        let client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let from = client.local_addr().expect("an address").port();
        assert!(!has_port(ours, from), "a client listens on nothing");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        assert!(has_port(ours, udp.local_addr().expect("an address").port()));
    }
}
