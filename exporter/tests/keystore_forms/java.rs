//! The one JVM of the test, and what it answers.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::facts::{Facts, number};

pub(crate) struct Java {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    child: Child,
}

/// An entry as Java has it, or a certificate of a file without entries.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) alias: String,
    pub(crate) chain: Vec<Facts>,
}

impl Java {
    pub(crate) fn start() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystore_forms/Forms.java");
        let mut child = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"])
            .arg(source)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a JDK is needed: install openjdk-17-jdk-headless");
        let orders = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { orders, answers, child }
    }

    /// `None` when Java refuses the order.
    pub(crate) fn ask(&mut self, order: &str) -> Option<Vec<Entry>> {
        writeln!(self.orders, "{order}").and_then(|()| self.orders.flush()).expect("the JVM runs");
        let mut entries = Some(Vec::new());
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).expect("UTF-8") > 0, "the JVM ended at {order}");
            match line.trim_end_matches('\n') {
                "." => return entries,
                line if line.starts_with("error\t") => entries = None,
                line => entries.as_mut().expect("an error stands alone").push(Entry::parse(line)),
            }
        }
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Entry {
    fn parse(line: &str) -> Self {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        let (kind, alias) = (next(), next());
        let alias = String::from_utf8(hex::decode(alias).expect("hex")).expect("UTF-8");
        let chain = fields.filter(|field| !field.is_empty()).map(|field| {
            let part: Vec<_> = field.split(' ').collect();
            let second = |text: &str| text.parse().expect("a number");
            Facts { sha256: part[0].to_owned(), serial: number(part[1]), from: second(part[2]), until: second(part[3]) }
        });
        Self { kind, alias, chain: chain.collect() }
    }
}
