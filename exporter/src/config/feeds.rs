//! `feeds:` — which UPSes share a load of this host, and how many of them it needs.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::outside::OutsideHost;
use super::ups::{UpsBackend, UpsConfig};
use super::values::SourceName;
use crate::label::Label;
use crate::shutdown::{Load, Member};

/// UPSes that share a load.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadConfig {
    /// What they feed: the label `load`.
    pub name: SourceName,
    /// Names of entries of `ups`. Of an entry that stands for every UPS of an upsd, `ENTRY/UPS` is one of them.
    pub ups: Vec<String>,
    /// How many of them must be healthy for the load to go on.
    pub min_healthy: usize,
}

/// Between the name of an entry and that of one of its UPSes.
const WITHIN: char = '/';

impl LoadConfig {
    /// # Errors
    /// When a name is none of an entry that feeds this host, stands twice, or the count cannot be.
    pub(super) fn check(&self, upses: &[UpsConfig], outside: &[OutsideHost]) -> Result<(), String> {
        let name = &self.name;
        let wrong = |problem: String| Err(format!("feeds {name}: {problem}"));
        let mut seen = BTreeSet::new();
        for written in &self.ups {
            let Some((entry, _)) = find(written, upses) else {
                if let Some(at) = outside.iter().position(|host| find(written, &host.ups).is_some()) {
                    let host = &outside[at].host;
                    return wrong(format!(
                        "{written:?} is a UPS of outsideHosts[{at}], {host}; only a UPS of this host carries a load of it"
                    ));
                }
                return wrong(format!(
                    "{written:?} is no entry of `ups`; write the `name` of one, or NAME/UPS for one UPS of an upsd that is asked \
                     for all"
                ));
            };
            if !entry.feeds_host {
                return wrong(format!("{written} has `feedsHost: false`, so it carries no load of this host"));
            }
            if !seen.insert(written) {
                return wrong(format!("{written} stands there twice"));
            }
        }
        if !(1..=self.ups.len()).contains(&self.min_healthy) {
            return wrong(format!("minHealthy is from 1 to the number of its UPSes, {}", self.ups.len()));
        }
        Ok(())
    }

    pub(super) fn resolve(&self, upses: &[UpsConfig]) -> Load {
        let members = self.ups.iter().filter_map(|written| Some(find(written, upses)?.1));
        Load { name: Label::new(self.name.as_str()), members: members.collect(), min_healthy: self.min_healthy }
    }
}

/// The entry that a name is of, and which of its UPSes it means.
fn find<'a>(written: &str, upses: &'a [UpsConfig]) -> Option<(&'a UpsConfig, Member)> {
    let named = |name: &str| upses.iter().find(|ups| ups.name.as_str() == name);
    if let Some(entry) = named(written) {
        let source = Label::new(written);
        let ups = (!lists(entry)).then(|| source.clone());
        return Some((entry, Member { source, ups }));
    }
    let (entry, ups) = written.split_once(WITHIN)?;
    let config = named(entry).filter(|config| lists(config) && !ups.is_empty())?;
    Some((config, Member { source: Label::new(entry), ups: Some(Label::new(ups)) }))
}

/// Whether an entry stands for every UPS that its server lists.
const fn lists(config: &UpsConfig) -> bool {
    match &config.backend {
        UpsBackend::Nut(nut) => nut.ups.is_none(),
        UpsBackend::Apcupsd(_) | UpsBackend::Snmp(_) | UpsBackend::PowerchuteWeb(_) | UpsBackend::WindowsPower(_) => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn feeds(entry: &str) -> Result<Vec<Load>, String> {
        let text = format!(
            "ups:\n  - {{name: a, apcupsd: {{address: \"h:3551\"}}}}\n  - {{name: b, nut: {{address: \"h:3493\", ups: x}}}}\n  \
             - {{name: all, nut: {{address: \"h:3493\"}}}}\n  - {{name: other, feedsHost: false, apcupsd: {{address: \"h:3551\"}}}}\n\
             feeds:\n  - {entry}\n"
        );
        super::super::parse(&text, Path::new("c")).map(|config| config.loads()).map_err(|error| error.to_string())
    }

    fn member(source: &str, ups: Option<&str>) -> Member {
        Member { source: Label::new(source), ups: ups.map(Label::new) }
    }

    /// Holds R5.
    #[test]
    fn a_group_names_entries_of_ups_or_single_ones_of_an_upsd() {
        let found = feeds("{name: server, ups: [a, b, all/rack-2, all], minHealthy: 2}").expect("a good group");
        let [group] = &found[..] else { panic!("{found:?}") };
        assert_eq!((group.name.as_str(), group.min_healthy), ("server", 2));
        let expected =
            [member("a", Some("a")), member("b", Some("b")), member("all", Some("rack-2")), member("all", None)];
        assert_eq!(group.members, expected);
    }

    /// Holds R5.
    #[test]
    fn a_group_that_cannot_be_is_refused_with_what_to_write() {
        for (entry, why) in [
            ("{name: s, ups: [a, c], minHealthy: 1}", "\"c\" is no entry of `ups`"),
            ("{name: s, ups: [a/x], minHealthy: 1}", "is no entry of `ups`"),
            ("{name: s, ups: [all/], minHealthy: 1}", "is no entry of `ups`"),
            ("{name: s, ups: [a, other], minHealthy: 1}", "feedsHost: false"),
            ("{name: s, ups: [a, a], minHealthy: 1}", "twice"),
            ("{name: s, ups: [a, b], minHealthy: 0}", "from 1 to the number of its UPSes, 2"),
            ("{name: s, ups: [a, b], minHealthy: 3}", "from 1 to the number of its UPSes, 2"),
            ("{name: s, ups: [], minHealthy: 1}", "from 1 to the number of its UPSes, 0"),
            ("{name: s, ups: [a, b]}", "minHealthy"),
            ("{name: s, ups: [a, b], minHealthy: 1}\n  - {name: s, ups: [a], minHealthy: 1}", "two entries of feeds"),
        ] {
            let said = feeds(entry).expect_err("this is no group");
            assert!(said.contains(why), "{entry}: {said}");
        }
    }
}
