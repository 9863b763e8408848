//! The headings of tables that other programs have written, of which no vendor has published a word.

use super::text::narrowed;
use crate::snapshot::ClientName;

/// What a column with a client's name is called, without spaces and in small letters: what a machine is called, and what may follow.
const MACHINES: [&str; 22] = [
    "agent",
    "client",
    "computer",
    "device",
    "endpoint",
    "host",
    "machine",
    "pc",
    "securityagent",
    "terminal",
    "エンドポイント",
    "エージェント",
    "クライアント",
    "コンピュータ",
    "コンピューター",
    "セキュリティエージェント",
    "セキュリティエージェントのエンドポイント",
    "デバイス",
    "ホスト",
    "マシン",
    "端末",
    "端末機",
];
const NAME: [&str; 6] = ["", "name", "hostname", "名", "の名前", "名称"];

/// Whether a column is called so, as [`plain`] has it, that has the name of a client.
pub(super) fn is_machine(word: &str) -> bool {
    MACHINES.into_iter().any(|machine| word.strip_prefix(machine).is_some_and(|rest| NAME.contains(&rest)))
}

/// A word of a heading without what is written in one way or the other.
pub(super) fn plain(cell: &str) -> String {
    let marks = |c: &char| !c.is_whitespace() && !"_-()".contains(*c);
    narrowed(cell).to_lowercase().chars().filter(marks).collect()
}

/// The client that a cell names. A name may have its domain before it.
pub(super) fn client_in(cell: &str) -> Option<ClientName> {
    let cell = cell.trim();
    ClientName::parse(cell.rsplit_once('\\').map_or(cell, |(_, name)| name))
}
