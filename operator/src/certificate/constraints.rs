//! Name constraints (RFC 5280, 4.2.1.10): what a CA may put into a leaf. A verifier refuses a leaf that breaks them, so none is
//! signed.

use std::net::IpAddr;

use kagiban_crds::resource::CertificateSpec;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, Oid};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::{IssuerError, common_name};

/// Whether one certificate of the issuer's chain allows every name of the spec, and the subject that follows from them.
pub(super) fn check(certificate: &CertificateDer<'_>, spec: &CertificateSpec) -> Result<(), IssuerError> {
    let unreadable = || IssuerError::Unreadable("tls.crt");
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
    let Some(extension) = parsed.name_constraints().map_err(|_| unreadable())? else { return Ok(()) };
    let constraints = extension.value;
    for name in &spec.dns_names {
        if !allows_dns(constraints, name) {
            return Err(IssuerError::NameConstraint(name.clone()));
        }
    }
    for text in &spec.ip_addresses {
        let address: IpAddr = text.parse().map_err(|_| IssuerError::BadName(text.clone()))?;
        if !allows_address(constraints, address) {
            return Err(IssuerError::NameConstraint(text.clone()));
        }
    }
    let subject = subject(spec);
    // An empty subject is no name, and not constrained
    if subject.is_empty() || allows_subject(constraints, &subject) {
        return Ok(());
    }
    let told: Vec<_> = subject.iter().map(|(_, text)| *text).collect();
    Err(IssuerError::SubjectConstraint(told.join(", ")))
}

/// The subject that follows from the spec, part by part.
fn subject(spec: &CertificateSpec) -> Vec<(Oid<'static>, &str)> {
    let parts = spec.subject.parts().filter_map(|(part, text)| Some((Oid::from(part.oid()).ok()?, text)));
    parts.chain(common_name(spec).map(|name| (OID_X509_COMMON_NAME, name))).collect()
}

/// Whether the subject may have these parts.
fn allows_subject(constraints: &NameConstraints<'_>, subject: &[(Oid<'_>, &str)]) -> bool {
    let permitted = directories(&constraints.permitted_subtrees);
    let excluded = directories(&constraints.excluded_subtrees);
    (permitted.is_empty() || permitted.iter().any(|base| is_above(base, subject)))
        && !excluded.iter().any(|base| is_above(base, subject))
}

fn directories<'a>(subtrees: &'a Option<Vec<GeneralSubtree<'a>>>) -> Vec<&'a X509Name<'a>> {
    let names = subtrees.iter().flatten().map(|subtree| &subtree.base);
    names.filter_map(|base| if let GeneralName::DirectoryName(base) = base { Some(base) } else { None }).collect()
}

/// Whether a subject begins with what the base has, part by part. One that holds two attributes in one part is above none of ours.
fn is_above(base: &X509Name<'_>, subject: &[(Oid<'_>, &str)]) -> bool {
    let mut parts = subject.iter();
    base.iter_rdn().all(|rdn| {
        let mut attributes = rdn.iter();
        let (Some(only), None, Some((kind, text))) = (attributes.next(), attributes.next(), parts.next()) else {
            return false;
        };
        only.attr_type() == kind && only.as_str().is_ok_and(|base| base.eq_ignore_ascii_case(text))
    })
}

fn allows_dns(constraints: &NameConstraints<'_>, name: &str) -> bool {
    let bases = |subtrees| dns_bases(subtrees);
    let permitted = bases(&constraints.permitted_subtrees);
    let excluded = bases(&constraints.excluded_subtrees);
    (permitted.is_empty() || permitted.iter().any(|base| is_within(name, base)))
        && !excluded.iter().any(|base| is_within(name, base) || covers(name, base))
}

fn dns_bases<'a>(subtrees: &'a Option<Vec<GeneralSubtree<'a>>>) -> Vec<&'a str> {
    let names = subtrees.iter().flatten().map(|subtree| &subtree.base);
    names.filter_map(|base| if let GeneralName::DNSName(base) = base { Some(*base) } else { None }).collect()
}

/// Whether the name is the base or below it. A wildcard is within a base if everything that it stands for is.
fn is_within(name: &str, base: &str) -> bool {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    if base.is_empty() {
        return true;
    }
    // A leading dot, which OpenSSL takes too, leaves out the base itself
    let (suffix, with_itself) = base.strip_prefix('.').map_or((base.as_str(), true), |base| (base, false));
    let below = name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    below || (with_itself && name == suffix)
}

/// Whether a wildcard stands for a name that is within the base.
fn covers(name: &str, base: &str) -> bool {
    let Some(parent) = name.strip_prefix("*.") else { return false };
    let base = base.strip_prefix('.').unwrap_or(base);
    base.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
}

fn allows_address(constraints: &NameConstraints<'_>, address: IpAddr) -> bool {
    let permitted = ranges(&constraints.permitted_subtrees);
    let excluded = ranges(&constraints.excluded_subtrees);
    // A range of the other family permits nothing of this one, as RFC 5280 has one form for both
    (permitted.is_empty() || permitted.iter().any(|range| is_in(address, range)))
        && !excluded.iter().any(|range| is_in(address, range))
}

fn ranges<'a>(subtrees: &'a Option<Vec<GeneralSubtree<'a>>>) -> Vec<&'a [u8]> {
    let names = subtrees.iter().flatten().map(|subtree| &subtree.base);
    names.filter_map(|base| if let GeneralName::IPAddress(range) = base { Some(*range) } else { None }).collect()
}

/// An address followed by a mask of the same length.
fn is_in(address: IpAddr, range: &[u8]) -> bool {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (base, mask) = range.split_at(range.len() / 2);
    base.len() == bytes.len()
        && mask.len() == bytes.len()
        && bytes.iter().zip(base).zip(mask).all(|((byte, base), mask)| byte & mask == base & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_within_its_domain_and_a_longer_word_is_not() {
        for (name, base, expected) in [
            ("ups-01.example.com", "example.com", true),
            ("example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("UPS.Example.com", "example.COM", true),
            ("example.com", ".example.com", false),
            ("a.example.com", ".example.com", true),
            ("*.example.com", "example.com", true),
            ("*.com", "example.com", false),
            ("anything", "", true),
        ] {
            assert_eq!(is_within(name, base), expected, "{name} within {base}");
        }
        assert!(covers("*.example.com", "secret.example.com") && !covers("*.example.com", "a.secret.example.com"));
    }

    #[test]
    fn an_address_is_within_its_network() {
        let range = [192, 0, 2, 0, 255, 255, 255, 0];
        assert!(is_in([192, 0, 2, 7].into(), &range));
        assert!(!is_in([192, 0, 3, 7].into(), &range));
        assert!(!is_in("2001:db8::1".parse().expect("an address"), &range));
        assert!(!is_in([192, 0, 2, 7].into(), &[1, 2, 3]));
    }
}
