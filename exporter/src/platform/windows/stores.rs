//! Certificate stores of the machine.

use std::io;

use schannel::cert_context::{CertContext, HashAlgorithm, ValidUses};
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND};

use super::super::{StoreError, StoreLimits, StoredCertificate, store_path};
use super::sys;

const ROOT: &str = "Root";
const DISALLOWED: &str = "Disallowed";

/// The extended key usages that let an authority vouch for a server.
const SERVER_AUTHENTICATION: &str = "1.3.6.1.5.5.7.3.1";
const ANY_USE: &str = "2.5.29.37.0";

/// Reads a store of the machine. A store that is not there is not made.
///
/// # Errors
/// When it is not there, may not be read, or holds more than the limits allow.
pub fn certificate_store(store: &str, limits: StoreLimits) -> Result<Vec<StoredCertificate>, StoreError> {
    read(store, limits, stored)
}

/// Those that Windows trusts for servers: what lies in `Root`, with what others bring to it, unless it is in `Disallowed` too, or was
/// restricted to something else.
///
/// # Errors
/// As of [`certificate_store`].
pub fn system_authorities(limits: StoreLimits) -> Result<Vec<Vec<u8>>, StoreError> {
    let der = |certificate: &CertContext| certificate.to_der().to_vec();
    let refused = match read(DISALLOWED, limits, der) {
        Err(StoreError::NotFound { .. }) => Vec::new(),
        refused => refused?,
    };
    let trusted = read(ROOT, limits, |certificate| is_for_servers(certificate).then(|| der(certificate)))?;
    Ok(trusted.into_iter().flatten().filter(|der| !refused.contains(der)).collect())
}

fn is_for_servers(certificate: &CertContext) -> bool {
    match certificate.valid_uses() {
        Ok(ValidUses::All) => true,
        Ok(ValidUses::Oids(uses)) => uses.iter().any(|use_| use_ == SERVER_AUTHENTICATION || use_ == ANY_USE),
        Err(_) => false,
    }
}

fn read<T>(store: &str, limits: StoreLimits, take: impl Fn(&CertContext) -> T) -> Result<Vec<T>, StoreError> {
    let opened = sys::open_machine_store(store).map_err(|error| unread(store, error))?;
    let (mut read, mut bytes) = (Vec::new(), 0);
    for certificate in opened.certs() {
        bytes += certificate.to_der().len();
        for (found, limit, what) in
            [(read.len() + 1, limits.certificates, "certificates"), (bytes, limits.bytes, "bytes of certificates")]
        {
            if found > limit {
                return Err(StoreError::TooLarge { path: store_path(store), limit, what });
            }
        }
        read.push(take(&certificate));
    }
    Ok(read)
}

fn stored(certificate: &CertContext) -> StoredCertificate {
    let thumbprint = certificate.fingerprint(HashAlgorithm::sha1()).map(hex::encode_upper).unwrap_or_default();
    StoredCertificate {
        der: certificate.to_der().to_vec(),
        friendly_name: sys::friendly_name(certificate),
        thumbprint,
        has_private_key: sys::notes_private_key(certificate),
    }
}

fn unread(store: &str, error: io::Error) -> StoreError {
    let path = store_path(store);
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_FILE_NOT_FOUND) => StoreError::NotFound { path },
        Some(ERROR_ACCESS_DENIED) => StoreError::PermissionDenied { path },
        _ => StoreError::Read { path, source: error },
    }
}

#[cfg(test)]
mod tests {
    use schannel::cert_context::KeySpec;
    use schannel::cert_store::{CertAdd, CertStore};
    use schannel::crypt_prov::ProviderType;

    use super::*;

    const LIMITS: StoreLimits = StoreLimits { certificates: 2, bytes: 4096 };

    fn certificate(name: &str) -> CertContext {
        let params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        let key = rcgen::KeyPair::generate().expect("a key");
        CertContext::new(params.self_signed(&key).expect("a certificate").der()).expect("a certificate")
    }

    /// Made by another program than the one that reads it, as vendors' installers do: `open_local_machine` makes it.
    fn put(store: &str, certificates: &[CertContext]) {
        let mut made = CertStore::open_local_machine(store).expect("it can be made");
        certificates.iter().for_each(|it| drop(made.add_cert(it, CertAdd::Always).expect("it can be added")));
    }

    #[test]
    fn a_store_is_read_with_the_names_and_the_keys_that_it_notes() {
        let (keyed, bare) = (certificate("keyed.example.com"), certificate("bare.example.com"));
        keyed.set_friendly_name("コンソール").expect("a name");
        let mut key = keyed.set_key_prov_info();
        key.container("kagiban").provider("Microsoft Strong Cryptographic Provider").type_(ProviderType::rsa_full());
        key.machine_keyset(true).key_spec(KeySpec::key_exchange()).set().expect("it can be noted");
        put("kagiban keyed", &[keyed.clone(), bare.clone()]);
        let mut read = certificate_store("kagiban keyed", LIMITS).expect("it is there");
        read.sort_by_key(|it| !it.has_private_key);
        let [first, second] = &read[..] else { panic!("{read:?}") };
        assert_eq!((first.friendly_name.as_deref(), first.has_private_key), (Some("コンソール"), true));
        assert_eq!((second.friendly_name.as_deref(), second.has_private_key), (None, false));
        assert_eq!((first.der.as_slice(), second.der.as_slice()), (keyed.to_der(), bare.to_der()));
        assert!(read.iter().all(|it| it.thumbprint.len() == 40), "{read:?}");
    }

    #[test]
    fn a_store_that_is_not_there_is_told_and_not_made() {
        for _ in 0..2 {
            let error = certificate_store("kagiban nowhere", LIMITS).expect_err("nobody has made it");
            assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
            assert!(error.to_string().starts_with(r"Cert:\LocalMachine\kagiban nowhere: "), "{error}");
        }
    }

    #[test]
    fn the_systems_authorities_are_those_of_root_that_are_not_disallowed_and_may_vouch_for_servers() {
        let [trusted, disallowed, restricted] = ["trusted", "disallowed", "restricted"].map(|name| {
            let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
            if name == "restricted" {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
            }
            let key = rcgen::KeyPair::generate().expect("a key");
            CertContext::new(params.self_signed(&key).expect("a certificate").der()).expect("a certificate")
        });
        put(ROOT, &[trusted.clone(), disallowed.clone(), restricted.clone()]);
        put(DISALLOWED, std::slice::from_ref(&disallowed));
        let found = system_authorities(StoreLimits { certificates: 5_000, bytes: 4 << 20 }).expect("there are some");
        let is_found = |certificate: &CertContext| found.iter().any(|der| der == certificate.to_der());
        assert_eq!([&trusted, &disallowed, &restricted].map(is_found), [true, false, false]);
    }

    #[test]
    fn a_store_beyond_the_limits_is_refused_and_one_within_is_read_though_it_is_empty() {
        put("kagiban full", &["a", "b", "c"].map(certificate));
        let refused = |limits| certificate_store("kagiban full", limits).expect_err("too much").reason();
        assert_eq!(refused(LIMITS), "too_large");
        assert_eq!(refused(StoreLimits { certificates: 9, bytes: 100 }), "too_large");
        put("kagiban empty", &[]);
        assert_eq!(certificate_store("kagiban empty", LIMITS).expect("it is there"), []);
    }
}
