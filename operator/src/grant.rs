//! What a Secret says of itself: what the operator may use it for, and for whom.
//!
//! ```text
//!   label kagiban.dev/purpose                  issuer | client-tls | keystore-password
//!   annotation kagiban.dev/allowed-hosts       issuer: names and addresses that may be signed
//!                                              client-tls: hosts that may be contacted with it
//!                                              keystore-password: hosts that it may be sent to
//!   annotation kagiban.dev/allowed-clients     issuer, keystore-password: the client-tls Secrets by which what is made
//!                                              of it may travel
//! ```
//!
//! Whoever may write a resource names Secrets that they may not read; the operator reads them. So the Secret itself says
//! what it is for, which only those can change who may write it, and one that says nothing is not used. The client Secret
//! has the CA by which a host is known: that is why it is named by the Secrets whose contents a host is to have.

use kagiban_crds::SecretName;
use kagiban_crds::resource::{ALLOWED_CLIENTS_ANNOTATION, ALLOWED_HOSTS_ANNOTATION, BlockedBy, PURPOSE_LABEL};

use crate::decide::Obstacle;
use crate::host_pattern::{HostPattern, list};

/// Of one annotation: some hundred names. A longer list, kept for each Secret, would be its author's way to take the operator's
/// memory.
const MAX_ANNOTATION_BYTES: usize = 8 * 1024;

/// What a Secret may be used for: one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs agents' certificates.
    Issuer,
    /// Shows hosts who the operator is, and the operator who the hosts are.
    ClientTls,
    /// Is sent to hosts as a keystore's password.
    KeystorePassword,
}

/// What a Secret says of itself, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub name: String,
    /// The Secret's type, such as `kubernetes.io/tls`.
    pub kind: String,
    pub purpose: Option<String>,
    pub allowed_hosts: Option<String>,
    pub allowed_clients: Option<String>,
}

/// Whom a Secret is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    secret: String,
    hosts: Vec<HostPattern>,
    clients: Vec<SecretName>,
}

/// Why a Secret is not used. The messages say what whoever may write it can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    #[error(
        "Secret {secret} does not say what it may be used for; if the operator is to use it so, label it: kubectl label \
         secret {secret} {label}={word}", label = PURPOSE_LABEL, word = .purpose.word()
    )]
    NoPurpose { secret: String, purpose: Purpose },
    #[error(
        "Secret {secret} has the label {label}={found} and is not used as {word}",
        label = PURPOSE_LABEL, word = .purpose.word()
    )]
    OtherPurpose { secret: String, found: String, purpose: Purpose },
    #[error(
        "Secret {secret} is of type {found}; as {word} it must be of type {kinds}",
        word = .purpose.word(), kinds = .purpose.kinds().join(" or ")
    )]
    Kind { secret: String, found: String, purpose: Purpose },
    #[error("Secret {secret}: its annotation {annotation} cannot be read: {message}")]
    Malformed { secret: String, annotation: &'static str, message: String },
    #[error(
        "Secret {secret} is not for {host}: its annotation {annotation} must name it, or a suffix such as *.example.com",
        annotation = ALLOWED_HOSTS_ANNOTATION
    )]
    Host { secret: String, host: String },
    #[error(
        "Secret {secret} is not used together with the client Secret {client}: its annotation {annotation} must name that",
        annotation = ALLOWED_CLIENTS_ANNOTATION
    )]
    Client { secret: String, client: String },
}

impl Purpose {
    /// The label's value.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::ClientTls => "client-tls",
            Self::KeystorePassword => "keystore-password",
        }
    }

    /// The types that such a Secret may be of. A key is never sent as a password, whatever a label says.
    const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Issuer | Self::ClientTls => &["kubernetes.io/tls"],
            Self::KeystorePassword => &["Opaque", "kubernetes.io/basic-auth"],
        }
    }
}

impl Grant {
    /// Reads what the Secret says, for this use of it.
    ///
    /// # Errors
    /// When it is not for this use.
    pub fn read(claims: &Claims, purpose: Purpose) -> Result<Self, GrantError> {
        let secret = claims.name.clone();
        match claims.purpose.as_deref() {
            None | Some("") => return Err(GrantError::NoPurpose { secret, purpose }),
            Some(found) if found != purpose.word() => {
                return Err(GrantError::OtherPurpose { secret, found: found.to_owned(), purpose });
            }
            Some(_) => {}
        }
        if !purpose.kinds().contains(&claims.kind.as_str()) {
            return Err(GrantError::Kind { secret, found: claims.kind.clone(), purpose });
        }
        let malformed = |annotation, message| GrantError::Malformed { secret: secret.clone(), annotation, message };
        for (annotation, text) in
            [(ALLOWED_HOSTS_ANNOTATION, &claims.allowed_hosts), (ALLOWED_CLIENTS_ANNOTATION, &claims.allowed_clients)]
        {
            if text.as_ref().is_some_and(|text| text.len() > MAX_ANNOTATION_BYTES) {
                return Err(malformed(annotation, format!("it is longer than {MAX_ANNOTATION_BYTES} bytes")));
            }
        }
        let hosts = list(claims.allowed_hosts.as_deref().unwrap_or_default())
            .map_err(|error| malformed(ALLOWED_HOSTS_ANNOTATION, error.to_string()))?;
        let clients = claims.allowed_clients.as_deref().unwrap_or_default().split(',').map(str::trim);
        let clients = clients.filter(|name| !name.is_empty()).map(str::parse).collect::<Result<_, _>>();
        let clients = clients
            .map_err(|error: kagiban_crds::WordError| malformed(ALLOWED_CLIENTS_ANNOTATION, error.to_string()))?;
        Ok(Self { secret, hosts, clients })
    }

    /// # Errors
    /// When a name or address is not among those that the Secret is for.
    pub fn covers(&self, host: &str) -> Result<(), GrantError> {
        let covered = self.hosts.iter().any(|pattern| pattern.covers(host));
        if covered { Ok(()) } else { Err(GrantError::Host { secret: self.secret.clone(), host: host.to_owned() }) }
    }

    /// # Errors
    /// When what is made of it may not travel by that client Secret.
    pub fn travels_by(&self, client: &str) -> Result<(), GrantError> {
        let named = self.clients.iter().any(|name| name.as_str() == client);
        if named { Ok(()) } else { Err(GrantError::Client { secret: self.secret.clone(), client: client.to_owned() }) }
    }
}

impl From<GrantError> for Obstacle {
    fn from(error: GrantError) -> Self {
        Self::new(BlockedBy::NotGranted, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(kind: &str, purpose: &str) -> Claims {
        Claims {
            name: "s".into(),
            kind: kind.into(),
            purpose: Some(purpose.into()),
            allowed_hosts: Some("*.fleet.example.com, ups-01.example.com".into()),
            allowed_clients: Some("fleet-client".into()),
        }
    }

    /// Holds B2: the CA's key is no password, whatever a resource or even a label says.
    #[test]
    fn a_secret_is_used_for_what_it_says_and_for_nothing_else() {
        let tls = "kubernetes.io/tls";
        let read = |kind, purpose: &str, used_as| Grant::read(&claims(kind, purpose), used_as).map(|_| ());
        assert_eq!(read(tls, "issuer", Purpose::Issuer), Ok(()));
        assert_eq!(read("Opaque", "keystore-password", Purpose::KeystorePassword), Ok(()));
        assert!(matches!(read(tls, "issuer", Purpose::KeystorePassword), Err(GrantError::OtherPurpose { .. })));
        assert!(matches!(read(tls, "keystore-password", Purpose::KeystorePassword), Err(GrantError::Kind { .. })));
        assert!(matches!(read("Opaque", "issuer", Purpose::Issuer), Err(GrantError::Kind { .. })));
        let silent = Claims { purpose: None, ..claims(tls, "") };
        let error = Grant::read(&silent, Purpose::Issuer).expect_err("it says nothing");
        assert!(error.to_string().ends_with("kubectl label secret s kagiban.dev/purpose=issuer"), "{error}");
    }

    /// Holds B2: what is not said is not allowed.
    #[test]
    fn a_secret_without_annotations_is_for_nobody() {
        let silent = Claims { allowed_hosts: None, allowed_clients: None, ..claims("kubernetes.io/tls", "issuer") };
        let grant = Grant::read(&silent, Purpose::Issuer).expect("its purpose is said");
        assert!(grant.covers("ups-01.example.com").is_err() && grant.travels_by("fleet-client").is_err());
        let grant = Grant::read(&claims("kubernetes.io/tls", "issuer"), Purpose::Issuer).expect("a grant");
        assert!(grant.covers("a.fleet.example.com").is_ok() && grant.covers("ups-01.example.com").is_ok());
        assert!(grant.covers("ups-02.example.com").is_err() && grant.covers("192.0.2.1").is_err());
        assert!(grant.travels_by("fleet-client").is_ok() && grant.travels_by("mine").is_err());
    }

    #[test]
    fn a_list_that_cannot_be_read_allows_nothing() {
        for hosts in ["*", "a b", "https://a"] {
            let odd = Claims { allowed_hosts: Some(hosts.into()), ..claims("kubernetes.io/tls", "issuer") };
            assert!(matches!(Grant::read(&odd, Purpose::Issuer), Err(GrantError::Malformed { .. })), "{hosts}");
        }
        let long = "a,".repeat(MAX_ANNOTATION_BYTES);
        let odd = Claims { allowed_clients: Some(long), ..claims("kubernetes.io/tls", "issuer") };
        assert!(matches!(Grant::read(&odd, Purpose::Issuer), Err(GrantError::Malformed { .. })));
    }
}
