//! What a vendor's notice says of one part of a product: of a part whose release is known by a mark what stops when its certificate
//! ends, of a component whose version is known which of the notice's problems it has.

use std::time::Duration;

use crate::facts::Part;
use crate::guide::{Component, Guide, Problem, SeenAfter};
use crate::notice::{Effect, Mark, Notice, Release};
use crate::os::Os;

/// A part of a product on a host, as far as the notice tells its release. Where a mark is that of several releases, what is worst
/// of any of them is said.
#[derive(Clone, Debug)]
pub struct Concern {
    /// Never empty.
    releases: Vec<&'static Release>,
    about: About,
}

#[derive(Clone, Debug)]
enum About {
    /// What the end of its certificate does.
    End { notice: &'static Notice, part: &'static Part, os: Os },
    /// Each problem, and whether the component has it; none where that is not known.
    Problems(Vec<(&'static Problem, Option<bool>)>),
}

/// What is known of a host with a product that has problems, beside its version.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// The vendor's module was applied, which mends all of them.
    pub mended: bool,
    /// Whether each condition of a problem that has some holds, in the notice's order; none of what is not known.
    pub conditions: Vec<Option<bool>>,
}

impl Situation {
    /// Whether all of them hold.
    fn holds(&self, conditions: &[&str]) -> Option<bool> {
        let mut known = (0..conditions.len()).map(|at| self.conditions.get(at).copied().flatten());
        if known.clone().any(|holds| holds == Some(false)) {
            return Some(false);
        }
        known.all(|holds| holds.is_some()).then_some(true)
    }
}

impl Concern {
    /// None where the notice does not know the mark.
    pub fn of(notice: &'static Notice, part: &'static Part, os: Os, mark: Mark, text: &str) -> Option<Self> {
        let releases: Vec<_> = notice.marked(mark, text).collect();
        (!releases.is_empty()).then_some(Self { releases, about: About::End { notice, part, os } })
    }

    /// Of a component of a version; none where the notice does not list the version, older ones and newer ones among them.
    pub fn of_version(
        guide: &'static Guide,
        version: &str,
        component: &Component,
        situation: &Situation,
    ) -> Option<Self> {
        let release = guide.notice.releases.iter().find(|release| release.name == version)?;
        let has = |problem: &Problem| {
            let may = problem.versions.contains(&version) && problem.components.contains(component);
            if may && !situation.mended { situation.holds(problem.conditions) } else { Some(false) }
        };
        let problems = guide.problems.iter().map(|problem| (problem, has(problem))).collect();
        Some(Self { releases: vec![release], about: About::Problems(problems) })
    }

    /// The release, or each that it may be.
    pub fn release(&self) -> String {
        let names: Vec<_> = self.releases.iter().map(|release| release.name).collect();
        names.join(" or ")
    }

    /// Everything that a metric has a word for, and whether the end of this part's certificate has it as its effect, or the component as
    /// its problem. What is not known is not there.
    pub fn reasons(&self) -> Vec<(&'static str, bool)> {
        match &self.about {
            About::End { .. } => self.effects().filter_map(|(effect, has)| Some((effect.reason?, has))).collect(),
            About::Problems(problems) => {
                problems.iter().filter_map(|(problem, has)| Some((problem.reason, (*has)?))).collect()
            }
        }
    }

    /// What stops when its certificate ends, in the notice's words.
    pub fn stops(&self) -> impl Iterator<Item = &'static str> {
        self.effects().filter_map(|(effect, has)| has.then_some(effect.what))
    }

    /// The problems that it has; none where the notice tells of the end of a certificate.
    pub fn problems(&self) -> Option<Vec<&'static Problem>> {
        match &self.about {
            About::End { .. } => None,
            About::Problems(problems) => {
                Some(problems.iter().filter(|(_, has)| *has == Some(true)).map(|(problem, _)| *problem).collect())
            }
        }
    }

    /// What the vendor has seen of when a problem that it has comes.
    pub fn seen_after(&self) -> Option<SeenAfter> {
        self.problems()?.into_iter().find_map(|problem| problem.seen_after)
    }

    /// How long its certificate lives from its installation on.
    pub fn validity(&self) -> Option<Duration> {
        self.releases.iter().filter_map(|release| release.validity).min()
    }

    /// What stops when its certificate ends, and whether it does in this part.
    fn effects(&self) -> impl Iterator<Item = (&'static Effect, bool)> {
        let told = match self.about {
            About::End { notice, part, os } => Some((notice, part, os)),
            About::Problems(_) => None,
        };
        told.into_iter().flat_map(move |(notice, part, os)| {
            let is_checked = move |release: &Release| {
                let mut checked = notice.to_check.iter();
                checked.any(|checked| checked.part == part.name && checked.on == os && checked.concerns(release))
            };
            let has = move |effect: &Effect| self.releases.iter().any(|it| is_checked(it) && effect.concerns(it));
            let effects = notice.when_it_ends.iter().filter(|effect| !effect.goes_on);
            effects.map(move |effect| (effect, has(effect)))
        })
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
        let reasons = concern.reasons().into_iter().filter_map(|(reason, has)| has.then_some(reason)).collect();
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
        assert_eq!(concern.reasons(), [("mail", true)]);
        assert_eq!(concern.stops().collect::<Vec<_>>(), ["mail"]);
        assert_eq!(concern.validity(), Some(LIFE));
    }

    /// Of skysea: each problem with a figure, `-` where it is not known.
    fn problems(version: &str, component: &str, situation: &Situation) -> Option<String> {
        let guide = crate::published::guide("skysea").expect("a guide");
        let component = guide.component(component).expect("a component");
        let concern = Concern::of_version(guide, version, component, situation)?;
        let told = concern.reasons();
        let figure = |reason: &str| match told.iter().find(|(it, _)| *it == reason) {
            Some((_, has)) => {
                if *has {
                    "1"
                } else {
                    "0"
                }
            }
            None => "-",
        };
        let names: Vec<_> = concern.problems().expect("a list").iter().map(|problem| problem.name).collect();
        Some(format!(
            "{} has {}",
            guide.problems.iter().map(|it| figure(it.reason)).collect::<String>(),
            names.join(" ")
        ))
    }

    /// Cites 対象バージョン, 対象プログラム and 発生する条件 of the notice.
    #[test]
    fn a_component_has_the_problems_of_its_version_where_their_conditions_hold() {
        let (yes, no) = (Some(true), Some(false));
        let with = |conditions: &[Option<bool>]| Situation { mended: false, conditions: conditions.to_vec() };
        let unknown = Situation::default();
        let mended = Situation { mended: true, conditions: vec![yes; 4] };
        for (version, component, situation, expected) in [
            ("12.100.07p", "data-server", &with(&[yes; 4]), "111 has 1 2 3"),
            ("12.100.07p", "data-server", &with(&[yes, yes, no, yes]), "110 has 1 2"),
            ("12.100.07p", "data-server", &with(&[None, None, None, no]), "110 has 1 2"),
            ("12.100.07p", "data-server", &with(&[yes, None, yes, yes]), "11- has 1 2"),
            ("12.100.07p", "data-server", &unknown, "11- has 1 2"),
            ("12.100.07p", "master-server", &with(&[yes; 4]), "110 has 1 2"),
            ("12.100.07p", "data-server", &mended, "000 has "),
            ("12.000.14t", "data-server", &with(&[yes; 4]), "110 has 1 2"),
            ("11.400.07o", "http-gateway", &unknown, "100 has 1"),
            ("11.400.07o", "workflow-server", &unknown, "100 has 1"),
            ("12.101.01b", "data-server", &with(&[yes; 4]), "000 has "),
        ] {
            assert_eq!(problems(version, component, situation).as_deref(), Some(expected), "{version} {component}");
        }
        for unlisted in ["11.300", "12.000", "12.100.07", "13.000", ""] {
            assert_eq!(problems(unlisted, "data-server", &unknown), None, "{unlisted}");
        }
    }

    #[test]
    fn a_problem_has_a_word_of_its_own() {
        for guide in crate::published::GUIDES {
            let words: std::collections::BTreeSet<_> = guide.problems.iter().map(|problem| problem.reason).collect();
            assert_eq!(words.len(), guide.problems.len(), "{}", guide.id);
            let ids: std::collections::BTreeSet<_> = guide.components.iter().map(|component| component.id).collect();
            assert_eq!(ids.len(), guide.components.len(), "{}", guide.id);
        }
    }
}
