//! What vendors have published about a product's certificate: what a person is told who asks about it, and the table of docs/notices.md.

use std::time::Duration;

use crate::os::Os;

/// A vendor's notice about a product.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// As its publisher has it.
    pub title: &'static str,
    /// Who published it, and when or as which document.
    pub source: &'static str,
    /// What it says, in the order in which a person asks.
    pub when_it_ends: &'static [Effect],
    /// The certificates whose end matters.
    pub to_check: &'static [Checked],
    /// How a new certificate is come by, a step each.
    pub remedy: &'static [&'static str],
    /// Those that it speaks of, the oldest first.
    pub releases: &'static [Release],
    /// What tells which release it is once the certificate has ended.
    pub told_after_the_end: &'static [Mark],
}

impl Notice {
    /// The releases that a mark stands for: more than one where the vendor gave it to several, none where the notice does not know it.
    pub fn marked(&self, mark: Mark, text: &str) -> impl Iterator<Item = &'static Release> {
        self.releases.iter().filter(move |release| release.marks.contains(&(mark, text)))
    }
}

/// A release of a product.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// As the notice names it, without a `v.`.
    pub name: &'static str,
    /// What it is known by.
    pub marks: &'static [(Mark, &'static str)],
    /// How long the certificate lives that it makes when it is installed.
    pub validity: Option<Duration>,
    /// What it was sold as.
    pub product_codes: &'static [&'static str],
}

/// Where a release says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// What `rpm -q` prints.
    Package,
    /// The file version of its programs on Windows.
    FileVersion,
    /// What its console says of an agent on such a host.
    AgentVersion(Os),
    /// What its console says of the server.
    ServerBuild,
    /// The directory of its Java, beside that of the agent.
    Java,
}

impl Mark {
    /// Where a person finds it.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Package => "rpm -q",
            Self::FileVersion => "file version on Windows",
            Self::AgentVersion(Os::Linux) => "agent in the console, Linux",
            Self::AgentVersion(Os::Windows) => "agent in the console, Windows",
            Self::ServerBuild => "server in the console",
            Self::Java => "Java on Windows",
        }
    }
}

/// What a certificate that has ended does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    pub what: &'static str,
    /// Whether it goes on all the same.
    pub goes_on: bool,
    /// The versions of the product that it is said of; empty where it is of all.
    pub versions: &'static [&'static str],
    /// The word for it in metrics; none of what goes on.
    pub reason: Option<&'static str>,
}

impl Effect {
    /// Whether it is said of this release.
    pub fn concerns(&self, release: &Release) -> bool {
        is_said_of(release, self.versions)
    }

    pub(crate) const fn stops(what: &'static str, versions: &'static [&'static str]) -> Self {
        Self { what, goes_on: false, versions, reason: None }
    }

    pub(crate) const fn goes_on(what: &'static str) -> Self {
        Self { what, goes_on: true, versions: &[], reason: None }
    }

    pub(crate) const fn known_as(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

/// A certificate that a person has to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The part of the product that it belongs to.
    pub part: &'static str,
    pub on: Os,
    /// The versions of the product that it is said of; empty where it is of all.
    pub versions: &'static [&'static str],
}

impl Checked {
    /// Whether it is said of this release.
    pub fn concerns(&self, release: &Release) -> bool {
        is_said_of(release, self.versions)
    }
}

fn is_said_of(release: &Release, versions: &[&str]) -> bool {
    versions.is_empty() || versions.contains(&release.name)
}

/// What a notice says, where, and the test that holds it: a row of docs/notices.md.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoticeFact {
    pub(crate) section: &'static str,
    pub(crate) says: &'static str,
    pub(crate) test: &'static str,
}

/// Makes tests of what a notice says, section by section, and `FACTS`, the rows of them.
#[cfg(test)]
macro_rules! facts_of_notice {
    ($($section:literal, $says:literal => $(#[$attribute:meta])* fn $test:ident() $body:block)+) => {
        $(#[test] $(#[$attribute])* fn $test() $body)+

        pub(crate) const FACTS: &[crate::notice::NoticeFact] = &[
            $(crate::notice::NoticeFact { section: $section, says: $says, test: concat!(module_path!(), "::", stringify!($test)) }),+
        ];
    };
}
#[cfg(test)]
pub(crate) use facts_of_notice;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Product;
    use crate::published::GUIDES;
    use crate::{apex_one, powerchute_business_edition, powerchute_serial_shutdown, skysea, virus_buster_corp};

    /// The rows of each notice, by product.
    const NOTICES: [(Product, &[NoticeFact]); 1] =
        [(Product::PowerchuteBusinessEdition, powerchute_business_edition::tests::FACTS)];

    /// The rows of each guide, by its id.
    const GUIDES_HELD: [(&str, &[NoticeFact]); 4] = [
        ("powerchute-serial-shutdown", powerchute_serial_shutdown::tests::FACTS),
        ("apex-one", apex_one::tests::FACTS),
        ("virus-buster-corp", virus_buster_corp::tests::FACTS),
        ("skysea", skysea::tests::FACTS),
    ];

    #[test]
    fn every_guide_has_its_facts_held_by_tests() {
        let ids: Vec<_> = GUIDES.iter().map(|guide| guide.id).collect();
        let held: Vec<_> = GUIDES_HELD.iter().filter(|(_, facts)| !facts.is_empty()).map(|(id, _)| *id).collect();
        assert_eq!(ids, held);
    }

    #[test]
    fn the_documentation_of_every_notice_is_what_its_tests_hold() {
        let mut page = "# The vendors' notices\n\n\
            What each notice says, and the test that holds it: read the two side by side. Sections are named as the notice names them. `kagiban-operator explain powerchute-business-edition` prints what follows \
            from it for a host, and so it does for each product below. `skysea` is looked at, and a person repairs it. This page is written from the tests.\n"
            .to_owned();
        for (product, facts) in NOTICES {
            page += &rows(product.id(), &product.facts().notice.expect("its facts are held by tests"), facts);
        }
        for ((id, facts), guide) in GUIDES_HELD.iter().zip(GUIDES) {
            page += &rows(id, &guide.notice, facts);
            if !guide.misprints.is_empty() {
                page += "\n| it prints | it means |\n|---|---|\n";
                page.extend(guide.misprints.iter().map(|it| format!("| {} | {} |\n", it.printed, it.meant)));
            }
            if !guide.differences.is_empty() {
                page += "\nWhat differs from it, and what it leaves open:\n\n";
                page.extend(guide.differences.iter().map(|difference| format!("- {difference}\n")));
            }
        }
        kagiban_docs::check_file("docs/notices.md", &page).unwrap_or_else(|error| panic!("{error:#}"));
    }

    fn rows(id: &str, notice: &Notice, facts: &[NoticeFact]) -> String {
        let (title, source) = (notice.title, notice.source);
        let mut text = format!("\n## {id}\n\n{title} ({source})\n\n| section | it says | held by |\n|---|---|---|\n");
        text.extend(facts.iter().map(|fact| {
            let test = fact.test.trim_start_matches("kagiban_agents::");
            format!("| {} | {} | `{test}` |\n", fact.section, fact.says)
        }));
        text
    }

    #[test]
    fn every_product_with_a_notice_has_its_facts_held_by_tests() {
        for product in Product::ALL {
            let held = NOTICES.iter().any(|(held, facts)| held == product && !facts.is_empty());
            assert_eq!(product.facts().notice.is_some(), held, "{product}");
        }
    }

    /// What is said of a release is said of one that there is.
    #[test]
    fn a_notice_speaks_of_its_own_releases() {
        for notice in Product::ALL.iter().filter_map(|product| product.facts().notice) {
            let effects = notice.when_it_ends.iter().flat_map(|effect| effect.versions);
            for version in effects.chain(notice.to_check.iter().flat_map(|checked| checked.versions)) {
                assert!(notice.releases.iter().any(|release| release.name == *version), "{version}");
            }
        }
    }
}
