//! What a vendor's notice says of one part of a product whose release is known by a mark.

use std::time::Duration;

use crate::facts::Part;
use crate::notice::{Mark, Notice, Release};
use crate::os::Os;

/// A part of a product on a host, as far as the notice tells its release. Where a mark is that of several releases, what is worst
/// of any of them is said.
#[derive(Clone, Debug)]
pub struct Concern {
    notice: &'static Notice,
    part: &'static Part,
    os: Os,
    /// Never empty.
    releases: Vec<&'static Release>,
}

impl Concern {
    /// None where the notice does not know the mark.
    pub fn of(notice: &'static Notice, part: &'static Part, os: Os, mark: Mark, text: &str) -> Option<Self> {
        let releases: Vec<_> = notice.marked(mark, text).collect();
        (!releases.is_empty()).then_some(Self { notice, part, os, releases })
    }

    /// The release, or each that it may be.
    pub fn release(&self) -> String {
        let names: Vec<_> = self.releases.iter().map(|release| release.name).collect();
        names.join(" or ")
    }

    /// Every effect that a metric has a word for, and whether the end of this part's certificate has it.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let effects = self.notice.when_it_ends.iter().filter(|effect| !effect.goes_on);
        effects.filter_map(|effect| {
            let has = |release: &&Release| self.is_checked(release) && effect.concerns(release);
            Some((effect.reason?, self.releases.iter().copied().any(|release| has(&release))))
        })
    }

    /// What stops when its certificate ends, in the notice's words.
    pub fn stops(&self) -> impl Iterator<Item = &'static str> {
        let effects = self.notice.when_it_ends.iter().filter(|effect| !effect.goes_on);
        let has =
            |release: &Release, effect: &crate::notice::Effect| self.is_checked(release) && effect.concerns(release);
        effects.filter(move |effect| self.releases.iter().any(|release| has(release, effect))).map(|effect| effect.what)
    }

    /// How long its certificate lives from its installation on.
    pub fn validity(&self) -> Option<Duration> {
        self.releases.iter().filter_map(|release| release.validity).min()
    }

    fn is_checked(&self, release: &Release) -> bool {
        let mut checked = self.notice.to_check.iter();
        checked.any(|checked| checked.part == self.part.name && checked.on == self.os && checked.concerns(release))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::ReleaseMark;
    use crate::notice::{Checked, Effect};
    use crate::product::Product;

    fn of(part: &str, os: Os, text: &str) -> Option<Concern> {
        let facts = Product::PowerchuteBusinessEdition.facts();
        let part = facts.parts.iter().find(|it| it.name == part).expect("a part");
        let mark = part.release_mark(os).map(ReleaseMark::mark).expect("it has a mark");
        Concern::of(facts.notice.as_ref().expect("a notice"), part, os, mark, text)
    }

    fn said(part: &str, os: Os, text: &str) -> (String, Vec<&'static str>, u64) {
        let concern = of(part, os, text).expect("the notice knows it");
        let reasons = concern.reasons().filter_map(|(reason, has)| has.then_some(reason)).collect();
        (concern.release(), reasons, concern.validity().expect("it says").as_secs() / 86_400)
    }

    /// Every mark of the notice, on the host that has it.
    #[test]
    fn a_part_is_concerned_by_what_the_notice_has_looked_at_of_its_release() {
        let (login, both) = (vec!["console_login"], vec!["console_login", "notifications"]);
        for (part, os, text, release, reasons, days) in [
            ("agent", Os::Linux, "pbeagent-7.0.0-419", "7.0", both.clone(), 3650),
            ("agent", Os::Linux, "pbeagent-7.0.4-414", "7.0.4", vec![], 3650),
            ("agent", Os::Linux, "pbeagent-7.0.5-408", "7.0.5 or 8.0", vec![], 7300),
            ("agent", Os::Linux, "pbeagent-8.0.1-409", "8.0.1", vec![], 7300),
            ("agent", Os::Windows, "7.0.0.119", "7.0", both.clone(), 3650),
            ("agent", Os::Windows, "7.0.4.106", "7.0.4", vec![], 3650),
            ("agent", Os::Windows, "7.0.5.108", "7.0.5 or 8.0", vec![], 7300),
            ("agent", Os::Windows, "8.0.1.109", "8.0.1", vec![], 7300),
            ("server", Os::Windows, "7.0.0.119", "7.0", both, 3650),
            ("server", Os::Windows, "7.0.4.106", "7.0.4", login.clone(), 3650),
            ("server", Os::Windows, "7.0.5.108", "7.0.5 or 8.0", login.clone(), 7300),
            ("server", Os::Windows, "8.0.1.109", "8.0.1", login, 7300),
        ] {
            assert_eq!(said(part, os, text), (release.to_owned(), reasons, days), "{part} {os:?} {text}");
        }
        assert!(of("agent", Os::Linux, "pbeagent-9.0.1-604").is_none());
        assert!(of("agent", Os::Linux, "7.0.0.119").is_none(), "a file version is no package");
    }

    #[test]
    fn what_goes_on_has_no_word_and_what_stops_has_one_of_its_own() {
        for notice in Product::ALL.iter().filter_map(|product| product.facts().notice) {
            assert!(notice.when_it_ends.iter().filter(|effect| effect.goes_on).all(|effect| effect.reason.is_none()));
            let words: Vec<_> = notice.when_it_ends.iter().filter_map(|effect| effect.reason).collect();
            let distinct: std::collections::BTreeSet<_> = words.iter().collect();
            assert_eq!(distinct.len(), words.len(), "{words:?}");
        }
        let notice = Product::PowerchuteBusinessEdition.facts().notice.expect("a notice");
        let named = notice.when_it_ends.iter().all(|effect| effect.goes_on != effect.reason.is_some());
        assert!(named, "{:?}", notice.when_it_ends);
    }

    #[test]
    fn of_two_releases_with_one_mark_the_worse_is_said_of_both() {
        const LIFE: Duration = Duration::from_secs(10);
        const fn release(name: &'static str, validity: Duration) -> Release {
            Release { name, marks: &[(Mark::Package, "a-1-1")], validity: Some(validity), product_codes: &[] }
        }
        const NOTICE: Notice = Notice {
            title: "",
            source: "",
            when_it_ends: &[Effect::stops("mail", &["1"]).known_as("mail")],
            to_check: &[Checked { part: "agent", on: Os::Linux, versions: &[] }],
            remedy: &[],
            releases: &[release("1", Duration::from_secs(20)), release("2", LIFE)],
            told_after_the_end: &[],
        };
        const AGENT: Part = Part { name: "agent", package: Some("a"), program: None };
        let concern = Concern::of(&NOTICE, &AGENT, Os::Linux, Mark::Package, "a-1-1").expect("known");
        assert_eq!(concern.release(), "1 or 2");
        assert_eq!(concern.reasons().collect::<Vec<_>>(), [("mail", true)]);
        assert_eq!(concern.stops().collect::<Vec<_>>(), ["mail"]);
        assert_eq!(concern.validity(), Some(LIFE));
    }
}
