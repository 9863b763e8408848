//! A JVM that runs one source file and answers orders, line by line: to start one costs a second, and tests ask hundreds of times.
//! The exporter's tests use it too.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Jvm {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    child: Child,
}

impl Jvm {
    /// `options` are those of the JVM itself.
    pub(crate) fn start(source: &Path, options: &[&str]) -> Self {
        let mut child = Command::new("java")
            .args(["-Dfile.encoding=UTF-8", "-XX:TieredStopAtLevel=1"])
            .args(options)
            .arg(source)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need a JDK on PATH: install openjdk-17-jdk-headless");
        let orders = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { orders, answers, child }
    }

    /// The lines of its answer, without the dot that ends it.
    pub(crate) fn ask(&mut self, order: &str) -> Vec<String> {
        writeln!(self.orders, "{order}").and_then(|()| self.orders.flush()).expect("the JVM runs");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).expect("UTF-8");
            assert!(read > 0, "the JVM ended at {order:?}: {lines:?}");
            match line.trim_end_matches(['\r', '\n']) {
                "." => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
