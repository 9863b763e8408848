//! The one JVM of the test, and what it answers.

use std::path::Path;

use super::facts::{Facts, number};
use super::jvm::Jvm;

pub(crate) struct Java(Jvm);

/// An entry as Java has it, or a certificate of a file without entries.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) alias: String,
    pub(crate) chain: Vec<Facts>,
}

impl Java {
    pub(crate) fn start() -> Self {
        Self(Jvm::start(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystore_forms/Forms.java"), &[]))
    }

    /// `None` when Java refuses the order.
    pub(crate) fn ask(&mut self, order: &str) -> Option<Vec<Entry>> {
        let lines = self.0.ask(order);
        let is_refused = lines.iter().any(|line| line.starts_with("error\t"));
        (!is_refused).then(|| lines.iter().map(|line| Entry::parse(line)).collect())
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
