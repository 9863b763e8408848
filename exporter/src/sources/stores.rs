//! Certificate stores that the system keeps itself.
//!
//! ```text
//!   StoreSource (deadline) ──platform──> StoredCertificate ──> Contents, as of a keystore with an entry for each
//! ```
//!
//! A store stands where a file would: its path is the one that Windows' own tools use. A certificate's alias is its friendly name,
//! or the thumbprint that it is known by where it has none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kagiban_keystore::{Certificate, Entry, EntryKind, Fault, Limits};

use super::blocking::Blocking;
use crate::blocking::Work;
use crate::platform::{StoreError, StoreUse, StoredCertificate, SystemTrust, certificate_store, store_path};
use crate::snapshot::{Contents, FileSeen, FilesSeen, Flaws, Label, Observation, SeenCertificate, Trouble};

/// The label `format`.
const FORMAT: &str = "windows_store";

/// Looks at the stores of one rule.
#[derive(Debug)]
pub(super) struct StoreSource {
    stores: Arc<[String]>,
    reader: Blocking<(), Vec<Arc<FileSeen>>>,
}

impl StoreSource {
    /// One that is named twice, in whatever letters, is read once: its series would be there twice, which no Prometheus takes.
    pub(super) fn new(mut stores: Vec<String>, deadline: Duration) -> Self {
        let mut named = BTreeSet::new();
        stores.retain(|store| named.insert(store.to_lowercase()));
        Self { stores: stores.into(), reader: Blocking::new(Work::Files, deadline) }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let stores = Arc::clone(&self.stores);
        let read = move |(): &mut ()| stores.iter().map(|store| Arc::new(seen(store, &Limits::default()))).collect();
        match self.reader.run(|| (), read).await {
            Ok(files) => (Observation::Files(FilesSeen::from(files)), None),
            Err(trouble) => (Observation::Nothing, Some(trouble)),
        }
    }
}

/// One store, whatever is wrong with it. Blocks.
fn seen(store: &str, limits: &Limits) -> FileSeen {
    let read = certificate_store(store, limits.into());
    let failed = |error: StoreError| Trouble::new(error.reason(), error);
    let outcome = read.map(|certificates| contents(store, &certificates, limits)).map_err(failed);
    FileSeen { path: Label::new(&store_path(store)), modified: None, outcome }
}

/// An empty store is a whole one: Windows has some that are.
fn contents(store: &str, certificates: &[StoredCertificate], limits: &Limits) -> Contents {
    let (mut entries, mut keys, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for stored in certificates {
        match limits.check_certificate(&stored.der).and_then(|()| Certificate::observe(&stored.der)) {
            Ok(certificate) => {
                entries.push(entry(store, stored, certificate));
                keys.push(stored.has_private_key);
            }
            Err(cause) => faults.push(Fault { place: format!("{}\\{}", store_path(store), stored.thumbprint), cause }),
        }
    }
    let flaws = Flaws::of(&faults, entries.iter().flat_map(|entry| &entry.chain));
    let mut certificates = SeenCertificate::stored(&entries);
    certificates.iter_mut().zip(keys).for_each(|(seen, has_key)| seen.has_private_key = Some(has_key));
    let system_trust = match StoreUse::of(store) {
        StoreUse::Authorities => SystemTrust::Shared,
        StoreUse::Trusted | StoreUse::Other => SystemTrust::None,
    };
    Contents { system_trust, flaws, ..Contents::whole(FORMAT, None, certificates) }
}

fn entry(store: &str, stored: &StoredCertificate, certificate: Certificate) -> Entry {
    let kind = match StoreUse::of(store) {
        _ if stored.has_private_key => EntryKind::Key,
        StoreUse::Trusted => EntryKind::Trusted,
        StoreUse::Authorities | StoreUse::Other => EntryKind::Certificate,
    };
    let alias = stored.friendly_name.clone().unwrap_or_else(|| stored.thumbprint.clone());
    Entry { alias, kind, chain: vec![certificate], nested: false }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;
    use crate::snapshot::Role;

    fn stored(name: Option<&str>, is_ca: IsCa, has_private_key: bool) -> StoredCertificate {
        let mut params = CertificateParams::new(["ups-01.example.com".to_owned()]).expect("a name");
        params.is_ca = is_ca;
        let der = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec();
        StoredCertificate {
            der,
            friendly_name: name.map(str::to_owned),
            thumbprint: "AB12".to_owned(),
            has_private_key,
        }
    }

    const CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

    #[test]
    fn a_certificate_is_called_by_its_friendly_name_or_its_thumbprint_and_has_its_key_or_none() {
        let certificates = [
            stored(Some("console"), IsCa::NoCa, true),
            stored(None, IsCa::NoCa, false),
            stored(Some("console"), CA, true),
        ];
        let contents = contents("MY", &certificates, &Limits::default());
        let told = |it: &SeenCertificate| (it.alias.to_string(), it.chain_index, it.role, it.has_private_key);
        assert_eq!(
            contents.certificates.iter().map(told).collect::<Vec<_>>(),
            [
                ("console".to_owned(), 0, Role::Leaf, Some(true)),
                ("AB12".to_owned(), 0, Role::Leaf, Some(false)),
                ("console".to_owned(), 1, Role::Leaf, Some(true)),
            ]
        );
        assert!(contents.flaws.is_none() && contents.format == "windows_store");
    }

    #[test]
    fn a_store_that_is_named_twice_is_read_once() {
        let named = ["MY", "Root", "my", "ROOT", "MY"].map(str::to_owned).to_vec();
        let read = StoreSource::new(named, Duration::from_secs(1)).stores;
        assert_eq!(*read, ["MY".to_owned(), "Root".to_owned()]);
    }

    /// Windows brings authorities that have expired, and needs some of them.
    #[test]
    fn what_lies_in_a_store_of_trust_is_trusted_unless_the_machine_has_its_key() {
        for (store, is_ca, has_key, role, trust) in [
            ("Root", CA, false, Role::Trusted, SystemTrust::None),
            ("AUTHROOT", CA, false, Role::Trusted, SystemTrust::None),
            ("ROOT", IsCa::NoCa, true, Role::Leaf, SystemTrust::None),
            ("ca", CA, false, Role::Root, SystemTrust::Shared),
            ("MY", CA, false, Role::Root, SystemTrust::None),
            ("OfficeScan NT", IsCa::NoCa, false, Role::Leaf, SystemTrust::None),
        ] {
            let contents = contents(store, &[stored(None, is_ca, has_key)], &Limits::default());
            assert_eq!((contents.certificates[0].role, contents.system_trust), (role, trust), "{store}");
        }
    }

    #[test]
    fn one_certificate_that_cannot_be_read_hides_no_other_and_an_empty_store_is_whole() {
        let junk = StoredCertificate { der: vec![7; 7], ..stored(None, IsCa::NoCa, false) };
        let large = [&[0x30, 0x83, 0x10, 0, 0][..], &[0; 0x10_0000]].concat();
        let large = StoredCertificate { der: large, ..junk.clone() };
        let certificates = [junk, stored(None, IsCa::NoCa, true), large];
        let seen = contents("MY", &certificates, &Limits::default());
        assert_eq!(seen.certificates.len(), 1);
        assert_eq!(seen.certificates[0].has_private_key, Some(true));
        let unread = seen.flaws.expect("two were not read").unread;
        let reasons: Vec<_> = unread.iter().map(|trouble| trouble.reason).collect();
        assert_eq!(reasons, ["malformed", "too_large"]);
        assert!(unread[0].message.as_str().contains(r"Cert:\LocalMachine\MY\AB12"), "{}", unread[0].message);
        let empty = contents("MY", &[], &Limits::default());
        assert!(empty.certificates.is_empty() && empty.flaws.is_none());
    }
}
