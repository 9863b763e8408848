//! Which releases of products a host has, and what their vendors' notices say of them.

use jiff::Timestamp;

use super::{Item, Severity, Topic, certificates, fix, item};
use crate::snapshot::{CertificateEnd, ReleaseSeen, Snapshot};

/// A part of a product that is installed.
pub(crate) struct ProductRow<'a> {
    pub(crate) seen: &'a ReleaseSeen,
    /// As people say it.
    pub(crate) release: String,
    pub(crate) said: String,
    /// How bad that is, and when it is.
    pub(crate) end: Option<(Severity, String, CertificateEnd)>,
}

pub(crate) fn rows(snapshot: &Snapshot, now: Timestamp) -> Vec<ProductRow<'_>> {
    let seen = snapshot.passes().flat_map(|(_, pass)| pass.releases());
    seen.filter_map(|seen| {
        let end = seen.certificate_end(snapshot).map(|end| {
            let (severity, left) = certificates::left(end.at(), now);
            (severity, left, end)
        });
        Some(ProductRow { seen, release: release(seen)?, said: by_notice(seen), end })
    })
    .collect()
}

/// What needs a person, and what does not. Of an end that was read it is told here what stops, and when with its certificate too.
pub(crate) fn items(snapshot: &Snapshot, now: Timestamp) -> Vec<Item> {
    rows(snapshot, now).iter().map(ProductRow::item).collect()
}

/// The release with what says it, or that alone where the notice does not know it; none of a part that is not installed.
pub(crate) fn release(seen: &ReleaseSeen) -> Option<String> {
    let version = seen.version.as_ref()?;
    Some(match &seen.concern {
        Some(concern) => format!("release {} ({version})", concern.release()),
        None => format!("{version}, of which the vendor's notice does not speak"),
    })
}

/// What stops when its certificate ends, or which problems it has, as a sentence has it.
pub(crate) fn by_notice(seen: &ReleaseSeen) -> String {
    if seen.product.facts().alerts.is_some() {
        return problems(seen);
    }
    let stops: Vec<_> = seen.stops().collect();
    match (&seen.concern, stops.as_slice()) {
        (None, _) => "it is not known what stops when its certificate ends".to_owned(),
        (Some(_), []) => "nothing stops when its certificate ends".to_owned(),
        (Some(_), stops) => format!("when its certificate ends, what stops is {}", stops.join("; and ")),
    }
}

fn problems(seen: &ReleaseSeen) -> String {
    let problems = seen.problems();
    let named: Vec<_> = problems.iter().map(|problem| format!("{} ({})", problem.reason, problem.what)).collect();
    match (&seen.concern, named.as_slice()) {
        (None, _) => "it is not known which problems it has; ask its vendor".to_owned(),
        (Some(_), []) => "it has none of the problems that are told of".to_owned(),
        (Some(_), [one]) => format!("it has the problem {one}"),
        (Some(_), named) => format!("it has the problems {}", named.join("; and ")),
    }
}

impl ProductRow<'_> {
    fn item(&self) -> Item {
        let Self { seen, release, said, end } = self;
        let (severity, left) = match end {
            Some((severity, left, CertificateEnd::Computed(_))) => {
                (*severity, format!("; by its release and the day of its installation, it {left}"))
            }
            Some((severity, left, CertificateEnd::Read(_))) => (*severity, format!("; it {left}")),
            None => (Severity::Fine, String::new()),
        };
        let has_problems = !seen.problems().is_empty();
        let severity = match seen.stops().next() {
            Some(_) => severity,
            None if has_problems => Severity::Warning,
            None => Severity::Fine,
        };
        let place = seen.directory.as_ref().map_or_else(String::new, |directory| format!(" in {directory}"));
        let about = format!("{} of {}{place}", seen.part, seen.product);
        let fix = if has_problems { fix::mend } else { fix::reinstall };
        let fix = (severity != Severity::Fine).then(|| fix(seen.product));
        item(Topic::Agent, severity, about, format!("{release}; {said}{left}")).fix_by(fix)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use kagiban_agents::{Concern, Mark, Os, Product};

    use super::super::samples::{NOW, certificate};
    use super::super::{attention, working};
    use super::*;
    use crate::snapshot::{Board, Contents, FileSeen, Label, Observation, Pass, Role, SourceId, SourceKind};

    const INSTALLED: i64 = 1_000_000_000;
    const DAY: i64 = 86_400;

    /// An agent on Linux.
    fn agent(package: &str) -> ReleaseSeen {
        let product = Product::PowerchuteBusinessEdition;
        let facts = product.facts();
        let (notice, part) = (facts.notice.as_ref().expect("a notice"), &facts.parts[1]);
        ReleaseSeen {
            agent: None,
            product,
            part: part.name,
            directory: Some(Label::new("/opt/pcbe/Agent")),
            version: Some(Label::new(package)),
            concern: Concern::of(notice, part, Os::Linux, Mark::Package, package),
            installed_at: None,
            keystores: Vec::new(),
        }
    }

    /// What is told of an agent on Linux, so many days after its installation: what needs a person, and what does not.
    fn told(package: &str, days: i64) -> [Vec<Item>; 2] {
        let seen = ReleaseSeen { installed_at: Some(INSTALLED), ..agent(package) };
        let now = Timestamp::from_second(INSTALLED + days * DAY).expect("a time");
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Release, Label::new("/opt/pcbe/Agent")));
        board.expect([(id.clone(), &[][..])]);
        let took = Duration::ZERO;
        board.publish(&id, Pass { observation: Observation::Release(seen), trouble: None, ended: now, took });
        let snapshot = board.snapshot();
        [attention::items(&snapshot, None, now), working::items(&snapshot, None, now)]
    }

    #[test]
    fn a_release_whose_certificate_ends_needs_a_person_where_something_stops_and_is_told_else() {
        for (package, days, severity) in [
            ("pbeagent-7.0.0-419", 1, None),
            ("pbeagent-7.0.0-419", 3649, Some(Severity::Warning)),
            ("pbeagent-7.0.0-419", 3651, Some(Severity::Critical)),
            ("pbeagent-7.0.4-414", 3651, None),
            ("pbeagent-7.0.5-408", 7299, None),
            ("pbeagent-9.0.1-604", 9999, None),
        ] {
            let [bad, good] = told(package, days);
            assert_eq!(bad.iter().map(|item| item.severity).next(), severity, "{package} {days}: {bad:?}");
            assert_eq!(bad.len() + good.len(), 1, "it is told once: {bad:?} {good:?}");
            assert!(bad.iter().all(|item| item.fix.is_some()), "{bad:?}");
        }
    }

    /// What needs a person on a host whose store ends in so many days.
    fn told_of_a_store(package: &str, days: i64) -> Vec<Item> {
        const STORE: &str = "/opt/pcbe/Agent/commkey";
        let (board, [release, files]) = (
            Board::default(),
            [SourceKind::Release, SourceKind::Agent].map(|kind| SourceId::own(kind, Label::new("/opt/pcbe/Agent"))),
        );
        let seen = ReleaseSeen { keystores: vec![Label::new(STORE)], ..agent(package) };
        let contents = Contents::whole("jks", None, vec![certificate("PCBE", Role::Leaf, days)]);
        let file = FileSeen { path: Label::new(STORE), modified: None, outcome: Ok(contents) };
        board.expect([(release.clone(), &[][..]), (files.clone(), &[][..])]);
        for (id, observation) in
            [(&release, Observation::Release(seen)), (&files, Observation::Files(vec![Arc::new(file)].into()))]
        {
            board.publish(id, Pass { observation, trouble: None, ended: NOW, took: Duration::ZERO });
        }
        attention::items(&board.snapshot(), None, NOW)
    }

    /// A CA makes no certificate of this product: who is told to have one issued does the wrong thing.
    #[test]
    fn an_end_that_was_read_needs_a_person_too_and_the_product_is_installed_again_for_it() {
        for (package, days, expected) in [
            ("pbeagent-7.0.0-419", 14, &[Severity::Warning, Severity::Warning][..]),
            ("pbeagent-7.0.0-419", -5, &[Severity::Critical, Severity::Critical]),
            ("pbeagent-7.0.4-414", -5, &[Severity::Critical]),
            ("pbeagent-7.0.0-419", 3000, &[]),
        ] {
            let items = told_of_a_store(package, days);
            assert_eq!(
                items.iter().map(|item| item.severity).collect::<Vec<_>>(),
                expected,
                "{package} {days}: {items:?}"
            );
            let explained = "`kagiban-operator explain powerchute-business-edition`";
            assert!(items.iter().all(|item| item.fix.as_ref().is_some_and(|fix| fix.contains(explained))), "{items:?}");
        }
    }

    #[test]
    fn the_release_and_what_stops_are_told_in_the_notices_words() {
        let [bad, _] = told("pbeagent-7.0.0-419", 3651);
        let said = &bad[0].said;
        assert!(
            said.starts_with("release 7.0 (pbeagent-7.0.0-419); when its certificate ends, what stops is logging in"),
            "{said}"
        );
        assert!(said.contains("; and e-mail and broadcast notifications; by its release and the day"), "{said}");
        let [_, good] = told("pbeagent-7.0.5-408", 1);
        let said = &good[0].said;
        assert!(said.starts_with("release 7.0.5 or 8.0 (pbeagent-7.0.5-408); nothing stops"), "{said}");
        let [_, good] = told("pbeagent-9.0.1-604", 1);
        let said = "pbeagent-9.0.1-604, of which the vendor's notice does not speak; it is not known what stops when its certificate ends";
        assert_eq!(good[0].said, said);
    }
}
