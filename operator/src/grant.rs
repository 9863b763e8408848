//! What a Secret says of itself: what the operator may use it for, and for whom.
//!
//! ```text
//!   label kagiban.dev/purpose                  issuer | client-tls | keystore-password
//!   annotation kagiban.dev/allowed-hosts       client-tls: hosts that may be contacted with it
//!                                              keystore-password: hosts that it may be sent to
//!                                              issuer: names and addresses that may be signed, and hosts that they are sent to
//!   annotation kagiban.dev/allowed-clients     issuer, keystore-password: the client-tls Secrets by which what is made
//!                                              of it may travel
//! ```
//!
//! Whoever may write a resource names Secrets that they may not read; the operator reads them. So the Secret itself says
//! what it is for, which only those can change who may write it, and one that says nothing is not used. The client Secret
//! has the CA by which a host is known: that is why it is named by the Secrets whose contents a host is to have. It is a name
//! only, which somebody else's Secret may come to have; so a host is meant by both its names, that of the spec and that of the
//! URL, and nothing is sent to an address that the owner of what is sent has not named.
//!
//! A Secret that does not say that it is for the use at hand is told of as if it were not there.

use kagiban_crds::SecretName;
use kagiban_crds::resource::{
    ALLOWED_CLIENTS_ANNOTATION, ALLOWED_HOSTS_ANNOTATION, BlockedBy, CertificateSpec, HostUrl, PURPOSE_LABEL,
};

use crate::cluster::{Cluster, ClusterError, SecretClaims, SecretData};
use crate::decide::{Obstacle, Resource};
use crate::host_pattern::list;
use crate::secret_cache::CachedRead;

/// Of one annotation: some hundred names. A longer list, kept for each Secret, would be its author's way to take the operator's
/// memory.
const MAX_ANNOTATION_BYTES: usize = 8 * 1024;
/// Of one annotation: short names take more memory than their text.
const MAX_ENTRIES: usize = 512;

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

/// Whom a Secret is for. Its lists are kept as text, since many short entries take several times as much, and are read again
/// for each judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    secret: Box<str>,
    hosts: Box<str>,
    clients: Box<str>,
}

/// Why a Secret is not used. The messages say what whoever may write it can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not there, or not for this use: which of the two it is, is nothing that an author of resources may learn.
    #[error(
        "there is no Secret {secret} that is labelled {label}={word}: create it; or, if it is there and the operator is to use \
         it so, label it, in its manifest or .secret.yaml where there is no cluster, and else by: kubectl label --overwrite secret \
         {secret} {label}={word}", label = PURPOSE_LABEL, word = .purpose.word()
    )]
    Absent { secret: String, purpose: Purpose },
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

    /// What is in the way where there is no such Secret.
    pub(crate) const fn unavailable(self) -> BlockedBy {
        match self {
            Self::Issuer => BlockedBy::IssuerUnavailable,
            Self::ClientTls | Self::KeystorePassword => BlockedBy::SecretUnavailable,
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
    pub fn read(claims: &SecretClaims, purpose: Purpose) -> Result<Self, GrantError> {
        let secret = claims.name.clone();
        if claims.purpose.as_deref() != Some(purpose.word()) {
            return Err(GrantError::Absent { secret, purpose });
        }
        if !purpose.kinds().contains(&claims.kind.as_str()) {
            return Err(GrantError::Kind { secret, found: claims.kind.clone(), purpose });
        }
        let malformed = |annotation, message| GrantError::Malformed { secret: secret.clone(), annotation, message };
        for (annotation, text) in
            [(ALLOWED_HOSTS_ANNOTATION, &claims.allowed_hosts), (ALLOWED_CLIENTS_ANNOTATION, &claims.allowed_clients)]
        {
            let text = text.as_deref().unwrap_or_default();
            if text.len() > MAX_ANNOTATION_BYTES || text.split(',').count() > MAX_ENTRIES {
                let message = format!("it is longer than {MAX_ANNOTATION_BYTES} bytes or {MAX_ENTRIES} entries");
                return Err(malformed(annotation, message));
            }
        }
        let hosts = claims.allowed_hosts.as_deref().unwrap_or_default();
        list(hosts).map_err(|error| malformed(ALLOWED_HOSTS_ANNOTATION, error.to_string()))?;
        let clients = claims.allowed_clients.as_deref().unwrap_or_default();
        names(clients)
            .try_for_each(|name| name.parse::<SecretName>().map(drop))
            .map_err(|error| malformed(ALLOWED_CLIENTS_ANNOTATION, error.to_string()))?;
        Ok(Self { secret: secret.as_str().into(), hosts: hosts.into(), clients: clients.into() })
    }

    /// Whether the host of a resource may be contacted with it.
    ///
    /// # Errors
    /// When the host is not among those that the Secret is for, by its name or by its URL.
    pub(crate) fn may_contact(&self, resource: &Resource) -> Result<(), Obstacle> {
        let api = resource.spec.api.host_api.as_ref().ok_or_else(|| Obstacle::of_spec("api"))?;
        let url: HostUrl = api.url.parse().map_err(|_| Obstacle::of_spec("api.hostApi.url"))?;
        Ok(self.cover([&resource.spec.host, &url.host])?)
    }

    /// Whether the host of a resource may have it, or what is made of it, by the resource's client Secret.
    ///
    /// # Errors
    /// As [`Self::may_contact`], and when the client Secret is not among those that it may travel by.
    pub(crate) fn may_be_sent(&self, resource: &Resource) -> Result<(), Obstacle> {
        self.may_contact(resource)?;
        let api = resource.spec.api.host_api.as_ref().ok_or_else(|| Obstacle::of_spec("api"))?;
        self.travels_by(&api.tls_secret_ref.name)?;
        Ok(())
    }

    /// Whether it may sign the names that a resource asks for, and the leaf may go where the resource has it go.
    ///
    /// # Errors
    /// As [`Self::may_be_sent`], and when a name or address is not among those that the Secret is for.
    pub(crate) fn may_issue(&self, resource: &Resource, certificate: &CertificateSpec) -> Result<(), Obstacle> {
        self.cover(certificate.dns_names.iter().chain(&certificate.ip_addresses))?;
        self.may_be_sent(resource)
    }

    /// Whether all of these names and addresses are among those that it is for.
    ///
    /// # Errors
    /// The first that is not.
    pub(crate) fn cover<'a>(&self, hosts: impl IntoIterator<Item = &'a String>) -> Result<(), GrantError> {
        // It was read without an error once
        let patterns = list(&self.hosts).unwrap_or_default();
        match hosts.into_iter().find(|host| !patterns.iter().any(|pattern| pattern.covers(host))) {
            None => Ok(()),
            Some(host) => Err(GrantError::Host { secret: self.secret.to_string(), host: host.clone() }),
        }
    }

    fn travels_by(&self, client: &str) -> Result<(), GrantError> {
        let named = names(&self.clients).any(|name| name == client);
        if named {
            Ok(())
        } else {
            Err(GrantError::Client { secret: self.secret.to_string(), client: client.to_owned() })
        }
    }
}

/// The entries of a list of names.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// What is made of a Secret and of whom it is for, if it says that it is for this use.
pub(crate) async fn granted<T>(
    cluster: &dyn Cluster,
    namespace: &str,
    name: &str,
    purpose: Purpose,
    make: impl FnOnce(SecretData, Grant) -> Result<T, Obstacle>,
) -> CachedRead<T> {
    match cluster.secret(namespace, name).await {
        Ok(secret) => {
            let bytes = secret.size();
            let grant = Grant::read(secret.claims(), purpose).map_err(Obstacle::from);
            CachedRead { result: grant.and_then(|grant| make(secret, grant)), bytes }
        }
        Err(error) => Err(unread(name, namespace, purpose, &error)).into(),
    }
}

impl From<GrantError> for Obstacle {
    fn from(error: GrantError) -> Self {
        let by = match &error {
            GrantError::Absent { purpose, .. } => purpose.unavailable(),
            GrantError::Kind { .. }
            | GrantError::Malformed { .. }
            | GrantError::Host { .. }
            | GrantError::Client { .. } => BlockedBy::NotGranted,
        };
        Self::new(by, error.to_string())
    }
}

/// Why a Secret could not be read for a use, and what to do. An API server that could not tell has not said that it is not there.
fn unread(secret: &str, namespace: &str, purpose: Purpose, error: &ClusterError) -> Obstacle {
    if error.is_transient() {
        let message = format!("Secret {secret} could not be read, and is read again: {error}");
        return Obstacle::new(purpose.unavailable(), message).unread(true);
    }
    let message = match error {
        ClusterError::NotFound { .. } => return GrantError::Absent { secret: secret.to_owned(), purpose }.into(),
        ClusterError::Forbidden { .. } => format!(
            "Secret {secret} may not be read: grant the operator's account `get` on it in namespace {namespace} (the chart's \
             operator.secrets, or the Role kagiban-operator-secrets)"
        ),
        ClusterError::Timeout { .. }
        | ClusterError::Conflict { .. }
        | ClusterError::Status { .. }
        | ClusterError::Unreleasable { .. }
        | ClusterError::Transport { .. }
        | ClusterError::Unreadable { .. } => format!("Secret {secret} cannot be read: {error}"),
    };
    Obstacle::new(purpose.unavailable(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(kind: &str, purpose: &str) -> SecretClaims {
        SecretClaims {
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
        assert!(matches!(read(tls, "issuer", Purpose::KeystorePassword), Err(GrantError::Absent { .. })));
        assert!(matches!(read(tls, "keystore-password", Purpose::KeystorePassword), Err(GrantError::Kind { .. })));
        assert!(matches!(read("Opaque", "issuer", Purpose::Issuer), Err(GrantError::Kind { .. })));
    }

    /// Holds B2: whoever may write a resource and read no Secret does not learn from it which Secrets there are.
    #[test]
    fn a_secret_that_is_not_for_the_use_is_told_of_as_if_it_were_not_there() {
        let not_found = ClusterError::NotFound { verb: "get", resource: "secrets" };
        for purpose in [Purpose::Issuer, Purpose::ClientTls, Purpose::KeystorePassword] {
            let absent = unread("s", "fleet", purpose, &not_found);
            assert!(
                absent
                    .message
                    .ends_with(&format!("kubectl label --overwrite secret s kagiban.dev/purpose={}", purpose.word()))
            );
            for found in [None, Some(""), Some("another"), Some("a service account's")] {
                let mut claims = claims("kubernetes.io/service-account-token", "");
                claims.purpose = found.map(str::to_owned);
                let error = Grant::read(&claims, purpose).expect_err("it is for something else");
                assert_eq!(Obstacle::from(error), absent, "{found:?}");
            }
        }
    }

    /// Holds B2: what is sent to a host goes to an address that the Secret names too. The client Secret is only a name, and
    /// whoever puts another in its place puts another CA there, by which a server of his own is any host.
    #[test]
    fn a_host_is_meant_by_its_name_and_by_the_host_of_its_url() {
        type Judge = fn(&Grant, &Resource) -> Result<(), Obstacle>;
        let may_issue = |grant: &Grant, resource: &Resource| {
            let push = resource.spec.procedure.push().expect("what is pushed");
            grant.may_issue(resource, &push.certificate)
        };
        let judges: [(Judge, &str, Purpose); 3] = [
            (Grant::may_contact, "kubernetes.io/tls", Purpose::ClientTls),
            (Grant::may_be_sent, "Opaque", Purpose::KeystorePassword),
            (may_issue, "kubernetes.io/tls", Purpose::Issuer),
        ];
        for (judge, kind, purpose) in judges {
            let grant = Grant::read(&claims(kind, purpose.word()), purpose).expect("a grant");
            let judged = |host: &str, url: &str| {
                let mut resource = crate::decide::tests::resource();
                resource.spec.host = host.into();
                resource.spec.api.host_api.as_mut().expect("an address").url = url.into();
                judge(&grant, &resource).map_err(|obstacle| obstacle.by)
            };
            let own = "ups-01.example.com";
            assert_eq!(judged(own, "https://ups-01.example.com:9995"), Ok(()), "{purpose:?}");
            assert_eq!(judged(own, "https://mine.example.org:9995"), Err(BlockedBy::NotGranted), "{purpose:?}");
            assert_eq!(judged(own, "https://192.0.2.1:9995"), Err(BlockedBy::NotGranted), "{purpose:?}");
            let elsewhere = judged("ups-02.example.com", "https://ups-01.example.com:9995");
            assert_eq!(elsewhere, Err(BlockedBy::NotGranted), "{purpose:?}");
        }
    }

    /// Holds B2: what is not said is not allowed.
    #[test]
    fn a_secret_without_annotations_is_for_nobody() {
        let silent =
            SecretClaims { allowed_hosts: None, allowed_clients: None, ..claims("kubernetes.io/tls", "issuer") };
        let grant = Grant::read(&silent, Purpose::Issuer).expect("its purpose is said");
        let covers = |grant: &Grant, host: &str| grant.cover([&host.to_owned()]).is_ok();
        assert!(!covers(&grant, "ups-01.example.com") && grant.travels_by("fleet-client").is_err());
        let grant = Grant::read(&claims("kubernetes.io/tls", "issuer"), Purpose::Issuer).expect("a grant");
        assert!(covers(&grant, "a.fleet.example.com") && covers(&grant, "ups-01.example.com"));
        assert!(!covers(&grant, "ups-02.example.com") && !covers(&grant, "192.0.2.1"));
        assert!(grant.travels_by("fleet-client").is_ok() && grant.travels_by("mine").is_err());
    }

    /// Holds B14: a list of many short entries takes no more memory than its text, for each of the Secrets that are remembered.
    #[test]
    fn a_list_is_kept_as_its_text() {
        let many = "a,".repeat(MAX_ENTRIES - 1);
        let claims = SecretClaims {
            allowed_hosts: Some(many.clone()),
            allowed_clients: Some(many.clone()),
            ..claims("kubernetes.io/tls", "issuer")
        };
        let grant = Grant::read(&claims, Purpose::Issuer).expect("a grant");
        let Grant { secret, hosts, clients } = &grant;
        let taken = [secret, hosts, clients].map(|text| size_of_val::<str>(text)).iter().sum::<usize>();
        assert!(taken + size_of_val(&grant) <= 2 * many.len() + 64, "{taken}");
    }

    #[test]
    fn a_list_that_cannot_be_read_allows_nothing() {
        for hosts in ["*", "a b", "https://a"] {
            let odd = SecretClaims { allowed_hosts: Some(hosts.into()), ..claims("kubernetes.io/tls", "issuer") };
            assert!(matches!(Grant::read(&odd, Purpose::Issuer), Err(GrantError::Malformed { .. })), "{hosts}");
        }
        let long = "a,".repeat(MAX_ANNOTATION_BYTES);
        let many = "a,".repeat(MAX_ENTRIES);
        for clients in [long, many] {
            let odd = SecretClaims { allowed_clients: Some(clients), ..claims("kubernetes.io/tls", "issuer") };
            assert!(matches!(Grant::read(&odd, Purpose::Issuer), Err(GrantError::Malformed { .. })));
        }
    }
}
