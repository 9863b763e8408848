//! Which release a part of a product is, and when its certificate ends.

use std::time::Duration;

use kagiban_agents::{Concern, Problem, Product};

use super::{Label, Role, Snapshot, SourceKind};

/// A part of a product that was looked at.
#[derive(Clone, Debug)]
pub struct ReleaseSeen {
    /// The configured name; absent where the product was discovered.
    pub agent: Option<Label>,
    pub product: Product,
    /// As the vendor's notice names it, or the id of a component.
    pub part: &'static str,
    /// Absent where its configuration says its version.
    pub directory: Option<Label>,
    /// The package, the file version or what its configuration says; absent where the part is not installed.
    pub version: Option<Label>,
    /// What the notice says of it; absent where it does not know the version.
    pub concern: Option<Concern>,
    /// Seconds since 1970, where a package says it.
    pub installed_at: Option<i64>,
    /// Where its keystore may lie.
    pub keystores: Vec<Label>,
}

/// When the certificate of a part ends, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateEnd {
    /// By the certificate in the store.
    Read(i64),
    /// By the day of the installation and the days that the notice gives the release: the store cannot be read.
    Computed(i64),
}

impl CertificateEnd {
    /// The label `basis`.
    pub const fn basis(self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Computed(_) => "computed",
        }
    }

    pub const fn at(self) -> i64 {
        match self {
            Self::Read(at) | Self::Computed(at) => at,
        }
    }
}

impl ReleaseSeen {
    /// What stops when its certificate ends, in the notice's words.
    pub fn stops(&self) -> impl Iterator<Item = &'static str> {
        self.concern.iter().flat_map(Concern::stops)
    }

    /// The vendor's problems that it has.
    pub fn problems(&self) -> Vec<&'static Problem> {
        self.concern.as_ref().and_then(Concern::problems).unwrap_or_default()
    }

    /// None while it is not known whether the store can be read, and where a store that was read has no such certificate.
    pub fn certificate_end(&self, snapshot: &Snapshot) -> Option<CertificateEnd> {
        self.version.as_ref()?;
        let files = snapshot.passes().flat_map(|(_, pass)| pass.files());
        let stores: Vec<_> = files.filter(|file| self.keystores.contains(&file.path)).collect();
        let mut read = stores.iter().filter_map(|file| file.outcome.as_ref().ok()).peekable();
        if read.peek().is_some() {
            let alias = self.product.facts().alias;
            let is_its = |alias_seen: &str| alias.is_none_or(|alias| alias.eq_ignore_ascii_case(alias_seen));
            let own = read.flat_map(|contents| &contents.certificates);
            let own = own.filter(|seen| seen.role == Role::Leaf && is_its(seen.alias.as_str()));
            return own.map(|seen| seen.facts.not_after).min().map(CertificateEnd::Read);
        }
        let looks_at_files = |kind| matches!(kind, SourceKind::Agent | SourceKind::File);
        let mut sources = snapshot.sources.iter().filter(|(id, _)| looks_at_files(id.kind));
        if sources.any(|(_, state)| state.pass.is_none()) {
            return None;
        }
        // The product writes its store when it is installed, and an update may leave it as it was; a file that was copied is younger than
        // it. The earlier day is the one that is not too late.
        let written_at = || stores.iter().filter_map(|file| whole_seconds(file.modified?)).min();
        let made_at = self.installed_at.into_iter().chain(written_at()).min()?;
        let validity = self.concern.as_ref()?.validity()?;
        Some(CertificateEnd::Computed(made_at.checked_add(i64::try_from(validity.as_secs()).ok()?)?))
    }
}

fn whole_seconds(time: f64) -> Option<i64> {
    i64::try_from(Duration::try_from_secs_f64(time).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use kagiban_agents::{Mark, Os};

    use super::*;
    use crate::overview::samples::certificate;
    use crate::snapshot::{Board, Contents, FileSeen, Observation, Pass, SourceId, Trouble};

    const STORE: &str = "/opt/pcbe/Agent/commkey";
    const DAY: i64 = 86_400;

    fn agent(version: &str, installed_at: Option<i64>) -> ReleaseSeen {
        let product = Product::PowerchuteBusinessEdition;
        let facts = product.facts();
        let part = facts.parts.iter().find(|part| part.name == "agent").expect("a part");
        let notice = facts.notice.as_ref().expect("a notice");
        ReleaseSeen {
            agent: None,
            product,
            part: part.name,
            directory: Some(Label::new("/opt/pcbe/Agent")),
            version: Some(Label::new(version)),
            concern: Concern::of(notice, part, Os::Linux, Mark::Package, version),
            installed_at,
            keystores: vec![Label::new(STORE)],
        }
    }

    /// Of a host whose agent was looked at, with this in the place of its store.
    fn end(seen: &ReleaseSeen, file: Option<FileSeen>) -> Option<CertificateEnd> {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Agent, Label::new("/opt/pcbe/Agent")));
        board.expect([(id.clone(), &[][..])]);
        assert_eq!(seen.certificate_end(&board.snapshot()), None, "nobody has looked at the store");
        let files: Vec<_> = file.into_iter().map(Arc::new).collect();
        let (ended, took) = (Timestamp::UNIX_EPOCH, Duration::ZERO);
        board.publish(&id, Pass { observation: Observation::Files(files.into()), trouble: None, ended, took });
        seen.certificate_end(&board.snapshot())
    }

    fn unread(modified: Option<f64>) -> Option<FileSeen> {
        Some(FileSeen { path: Label::new(STORE), modified, outcome: Err(Trouble::new("permission_denied", "no")) })
    }

    fn read(alias: &str, role: Role) -> (Option<FileSeen>, i64) {
        let mut seen = certificate("PCBE SmartSecure Communications Key", role, 1);
        seen.alias = Label::new(alias);
        let not_after = seen.facts.not_after;
        let outcome = Ok(Contents::whole("jks", None, vec![seen]));
        (Some(FileSeen { path: Label::new(STORE), modified: Some(5.0), outcome }), not_after)
    }

    #[test]
    fn an_end_is_computed_where_the_store_cannot_be_read_and_never_where_it_was() {
        let seven = agent("pbeagent-7.0.0-419", Some(1000));
        assert_eq!(end(&seven, unread(Some(2000.5))), Some(CertificateEnd::Computed(1000 + 3650 * DAY)));
        let older = end(&seven, unread(Some(7.5)));
        assert_eq!(older, Some(CertificateEnd::Computed(7 + 3650 * DAY)), "an update has left the store as it was");
        assert_eq!(end(&seven, None), Some(CertificateEnd::Computed(1000 + 3650 * DAY)), "there is no store");
        let twenty_years = agent("pbeagent-7.0.5-408", Some(1000));
        assert_eq!(end(&twenty_years, unread(None)), Some(CertificateEnd::Computed(1000 + 7300 * DAY)));
        let (store, not_after) = read("securekey", Role::Leaf);
        assert_eq!(end(&seven, store), Some(CertificateEnd::Read(not_after)));
        assert_eq!(end(&seven, read("other", Role::Leaf).0), None, "a store that was read without the entry");
        assert_eq!(end(&seven, read("securekey", Role::Trusted).0), None);
    }

    #[test]
    fn without_a_package_the_day_of_the_stores_file_counts() {
        let undated = agent("pbeagent-7.0.0-419", None);
        assert_eq!(end(&undated, unread(Some(7.5))), Some(CertificateEnd::Computed(7 + 3650 * DAY)));
        for impossible in [None, Some(-1.0), Some(f64::NAN), Some(1e300)] {
            assert_eq!(end(&undated, unread(impossible)), None, "{impossible:?}");
        }
        assert_eq!(end(&agent("pbeagent-7.0.0-419", Some(i64::MAX)), unread(None)), None);
    }

    #[test]
    fn of_a_version_that_the_notice_does_not_know_nothing_is_computed() {
        let newer = agent("pbeagent-9.0.1-604", Some(1000));
        assert_eq!(end(&newer, unread(None)), None);
        let (store, not_after) = read("securekey", Role::Leaf);
        assert_eq!(end(&newer, store), Some(CertificateEnd::Read(not_after)));
        let absent = ReleaseSeen { version: None, concern: None, ..newer };
        assert_eq!(end(&absent, read("securekey", Role::Leaf).0), None, "a part that is not installed");
    }
}
