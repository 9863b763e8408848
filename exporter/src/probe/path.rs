//! Through which certificates a trusted leaf leads to an authority.

use kagiban_keystore::Certificate;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Hostile chains of many like-named certificates end here.
const MAX_SIGNATURES: usize = 64;
/// As long as a chain that is looked at at all.
const MAX_LENGTH: usize = 16;

/// From the leaf to one of the authorities, both included. Only for a chain that was found trusted: of all that makes a
/// path good, nothing but names and signatures is asked here.
pub fn trusted_path(served: &[Certificate], authorities: &[Certificate]) -> Option<Vec<Certificate>> {
    let (leaf, others) = served.split_first()?;
    let mut search = Search { others, authorities, signatures: MAX_SIGNATURES };
    let mut path = vec![leaf.clone()];
    search.finish(&mut path).then_some(path)
}

struct Search<'a> {
    others: &'a [Certificate],
    authorities: &'a [Certificate],
    signatures: usize,
}

impl Search<'_> {
    fn finish(&mut self, path: &mut Vec<Certificate>) -> bool {
        let Some(last) = path.last().cloned() else { return false };
        if self.authorities.iter().any(|authority| authority.der() == last.der()) {
            return true;
        }
        if let Some(authority) =
            self.authorities.iter().find(|authority| self.signatures > 0 && signed(&last, authority))
        {
            path.push(authority.clone());
            return true;
        }
        if path.len() >= MAX_LENGTH {
            return false;
        }
        for issuer in self.others {
            let new = path.iter().all(|known| known.der() != issuer.der());
            if new && last.issuer() == issuer.subject() && self.signatures > 0 {
                self.signatures -= 1;
                if signed(&last, issuer) {
                    path.push(issuer.clone());
                    if self.finish(path) {
                        return true;
                    }
                    path.pop();
                }
            }
        }
        false
    }
}

fn signed(certificate: &Certificate, issuer: &Certificate) -> bool {
    let parse = |der| X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed);
    certificate.issuer() == issuer.subject()
        && parse(certificate.der())
            .zip(parse(issuer.der()))
            .is_some_and(|(one, issuer)| one.verify_signature(Some(issuer.public_key())).is_ok())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    type Signer = (Certificate, Issuer<'static, KeyPair>);

    fn issue(name: &str, by: Option<&Signer>) -> Signer {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let made = match by {
            None => params.self_signed(&key),
            Some((_, issuer)) => params.signed_by(&key, issuer),
        };
        let certificate = Certificate::from_der(made.expect("signed").der()).expect("a certificate");
        (certificate, Issuer::new(params, key))
    }

    #[test]
    fn the_path_leads_over_the_intermediates_to_the_authority_whatever_their_order() {
        let root = issue("root", None);
        let upper = issue("upper", Some(&root));
        let lower = issue("lower", Some(&upper));
        let leaf = issue("leaf", Some(&lower));
        let namesake = issue("lower", None);
        let served = [&leaf, &upper, &namesake, &lower].map(|(certificate, _)| certificate.clone());
        let names = |path: Vec<Certificate>| path.iter().map(|one| one.subject().to_owned()).collect::<Vec<_>>();
        let path = trusted_path(&served, &[namesake.0.clone(), root.0.clone()]).expect("there is one");
        assert_eq!(names(path), ["CN=leaf", "CN=lower", "CN=upper", "CN=root"]);
        assert!(trusted_path(&served, &[issue("root", None).0]).is_none(), "of the same name, but another");
        assert_eq!(trusted_path(&served[..1], &served[..1]).map(names), Some(vec!["CN=leaf".to_owned()]));
    }
}
