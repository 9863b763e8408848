//! Holds A17: name servers that do not answer take threads from nothing but the lookups that wait for them.
//!
//! The test starts itself again in network and mount namespaces of its own, where `/etc/resolv.conf` names a server that is
//! silent. That takes root, or user namespaces, and the programs `unshare`, `mount` and `ip`.

mod scene;

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scene::{Authority, Exporter};

const TEST: &str = "while_name_servers_are_silent_other_sources_keep_their_interval";
/// Set inside the namespaces.
const INSIDE: &str = "KAGIBAN_TEST_INSIDE_NAMESPACES";
const ENTER: &str = "mount --bind \"$0\" /etc/resolv.conf; ip link set lo up; exec \"$@\"";
/// A lookup hangs for longer than the test lasts.
const RESOLVER: &str = "nameserver 127.0.0.1\noptions timeout:30 attempts:3\n";
/// Fewer than the connections that the exporter takes, so that it can be scraped meanwhile.
const AT_ONCE: usize = 50;
const PROBES: usize = 200;
/// Hosts that are looked at from here, by names that are not answered either.
const SILENT_HOSTS: usize = 100;
/// By then the first probes have given up, and their lookups hang on.
const SETTLED: Duration = Duration::from_secs(8);
const WATCHED: Duration = Duration::from_secs(12);

#[test]
fn while_name_servers_are_silent_other_sources_keep_their_interval() {
    if env::var_os(INSIDE).is_some() {
        return inside();
    }
    let directory = tempfile::tempdir().expect("a directory");
    let resolver = directory.path().join("resolv.conf");
    fs::write(&resolver, RESOLVER).expect("it can be written");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--net", "--", "sh", "-ec", ENTER]).arg(&resolver);
    command.arg(env::current_exe().expect("this program")).args(["--exact", TEST, "--nocapture"]).env(INSIDE, "1");
    let output = command.output().expect("this test needs the program unshare: install util-linux");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "it needs root or user namespaces, mount and ip (iproute2):\n{}", said.concat());
}

fn inside() {
    let _silent = UdpSocket::bind("127.0.0.1:53").expect("a namespace of our own");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("a.pem"), Authority::new("Fleet CA").pem()).expect("it can be written");
    let yaml = format!(
        "certificates: [{{name: fleet, paths: [{}], interval: 1s}}]\n\
         tlsEndpoints: [{{name: near, address: 'localhost:1', interval: 1s}}]\n\
         shutdown: {{enabled: false}}\n\
         probe: {{allow: ['*.silent.example:443'], timeout: 5s, maxConcurrent: {AT_ONCE}}}\n\
         outsideHosts:\n  - {{host: outside, tlsEndpoints: [{{name: outside, address: 'localhost:1', interval: 1s}}]}}\n",
        path("a.pem").display()
    );
    let of_silent = |number| {
        format!(
            "  - {{host: s{number}, tlsEndpoints: [{{address: 's{number}.outside.example:1', interval: 1s, timeout: 3s}}]}}\n"
        )
    };
    let yaml = yaml + &(0..SILENT_HOSTS).map(of_silent).collect::<String>();
    fs::write(path("exporter.yaml"), yaml).expect("it can be written");
    let exporter = Exporter::start(&path("exporter.yaml"));
    let address = exporter.address();

    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let number @ 0..PROBES = next.fetch_add(1, Ordering::Relaxed) {
                    // One that is not answered in time is no matter here.
                    let _ = probe(address, &format!("n{number}.silent.example:443"));
                }
            });
        }
        thread::sleep(SETTLED);
        let (mut looks, started) = (Vec::new(), Instant::now());
        while started.elapsed() < WATCHED {
            looks.push(value(&exporter.metrics(), "x509_source_last_success_timestamp_seconds", "\"fleet\""));
            thread::sleep(Duration::from_millis(200));
        }
        looks.dedup();
        assert!(looks.len() > 6, "one look a second, and in {} s only {looks:?}", WATCHED.as_secs());

        let metrics = exporter.metrics();
        let stuck = |work: &str| value(&metrics, "kagiban_blocking_stuck", &format!("work=\"{work}\""));
        let most = value(&metrics, "kagiban_blocking_threads", "work=\"probe_names\"");
        assert_eq!(stuck("probe_names"), most, "each keeps its thread until it ends");
        assert_eq!((stuck("files"), stuck("source_names")), (0.0, 0.0));
        assert!(value(&metrics, "kagiban_blocking_refused_total", "work=\"probe_names\"") > 0.0);
        let count = |source: &str, reason: &str| {
            let reason = format!("reason=\"{reason}\"");
            let mut lines = metrics.lines().filter(|line| line.starts_with("kagiban_source_errors_total{"));
            let line = lines.find(|line| line.contains(&format!("source_name=\"{source}\"")) && line.contains(&reason));
            line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0.0)
        };
        for (source, name) in [("near", "a name of a source"), ("outside", "the name of another outside host")] {
            assert!(count(source, "connect") > 6.0, "{name} is looked up all the same:\n{metrics}");
            let missed = ["busy", "timeout", "dns"].map(|reason| count(source, reason));
            assert_eq!(missed, [0.0; 3], "{name}");
        }
        assert!((1.0..8.0).contains(&(stuck("outside_names") + stuck("slow_outside_names"))), "{metrics}");
    });
    let answer = probe(address, "another.silent.example:443").expect("it answers");
    assert!(answer.contains("reason=\"busy\""), "{answer}");
}

fn probe(address: SocketAddr, target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET /probe?target={target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Of the only sample with this label.
fn value(metrics: &str, family: &str, label: &str) -> f64 {
    let is_it =
        |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{')) && line.contains(label);
    let line = metrics.lines().find(is_it).unwrap_or_else(|| panic!("no {family} with {label}:\n{metrics}"));
    line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).expect("a number")
}
