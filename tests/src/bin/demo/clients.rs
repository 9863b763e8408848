//! The clients of a server that have missed its new certificate: they are given it one by one, and who cannot be is named.

use std::collections::{BTreeMap, BTreeSet};

use kagiban_tests::products::ProductHost;
use serde_json::Value;

use crate::progress::Progress;
use crate::seen;

/// What was seen of them so far.
pub(crate) struct Clients<'a> {
    host: &'a ProductHost,
    listed: Option<BTreeSet<String>>,
    /// Those whose attempt has ended, each with how.
    tried: BTreeMap<String, String>,
    /// Those of them whom a list has left out since: a second one much later says that they are repaired.
    given: BTreeSet<String>,
    most: usize,
}

impl<'a> Clients<'a> {
    pub(crate) const fn of(host: &'a ProductHost) -> Self {
        Self { host, listed: None, tried: BTreeMap::new(), given: BTreeSet::new(), most: 0 }
    }

    /// Prints what is new; whether nothing more is to come before the pause of those that stay is over.
    pub(crate) fn look(&mut self, say: &Progress) -> bool {
        let record = self.host.tried();
        let record = || record.as_object().into_iter().flatten();
        let tried: BTreeMap<_, _> = record().filter_map(ended).collect();
        let given = record().filter(|(_, tried)| tried["absentSince"].is_string());
        self.given = given.map(|(client, _)| client.clone()).collect();
        for (client, how) in tried.iter().filter(|(client, how)| self.tried.get(*client) != Some(how)) {
            say.line(&format!("  {client} is given it by the site's script, {how}"));
        }
        let Ok(metrics) = self.host.exporter.metrics() else { return false };
        let listed = seen::clients(&metrics);
        if listed.is_some() && listed != self.listed {
            let names: Vec<_> = listed.iter().flatten().map(String::as_str).collect();
            match names.len() {
                0 => say.line("  the server lists its clients: all have its certificate"),
                count => say.line(&format!("  the server lists {count} without its certificate: {}", names.join(", "))),
            }
            self.most = self.most.max(names.len());
            self.listed.clone_from(&listed);
        }
        self.tried = tried;
        let stay = || self.stay().map(|(client, _)| client);
        !self.given.is_empty() && listed.is_some_and(|listed| listed.iter().eq(stay()))
    }

    /// Whom the renewal has not reached.
    pub(crate) fn affected(&self) -> String {
        format!("{} clients missed it", self.most)
    }

    pub(crate) fn repaired(&self) -> String {
        format!("{} clients given it", self.given.len())
    }

    /// Those that stay, each with how its attempt has ended.
    fn stay(&self) -> impl Iterator<Item = (&String, &String)> {
        self.tried.iter().filter(|(client, _)| !self.given.contains(*client))
    }

    pub(crate) fn left(&self) -> String {
        let stay: Vec<_> = self.stay().map(|(client, how)| format!("{client} ({how})")).collect();
        if stay.is_empty() { "no client left".to_owned() } else { format!("left: {}", stay.join("; ")) }
    }
}

fn ended((client, tried): (&String, &Value)) -> Option<(String, String)> {
    let (how, attempts) = (tried["ended"]["how"].as_str()?, &tried["attempts"]);
    Some((client.clone(), format!("attempt {attempts}: {how}")))
}
