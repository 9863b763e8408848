//! Which leaf an agent has: the only proof that counts, by fingerprint.
//!
//! A certificate is public, so a look at an endpoint counts only when the handshake proves its key, and when every account that listens
//! there has business with that key. An agent that serves nothing has its leaf in a file ([`super::leaf_file`]), which is never down.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{Leaf, MAX_TOLD_NAMES, Sighting};
use kagiban_keystore::Certificate;
use tokio::time::{Instant, sleep, sleep_until};
use x509_parser::der_parser::Oid;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use super::agent::{AgentEndpoint, LeafPlace, Verify};
use super::drain::{BegunStop, Responder};
use super::failure::RotationFailure;
use super::hold::{Hold, Look, PATIENCE};
use super::leaf_file::{self, LeafFileError};
use crate::blocking::{Turns, Work};
use crate::platform::{self, AccountId, HINTS, ListenersError};
use crate::probe::{self, OldTls, ProbeError};

/// One handshake with a service on the same host.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
/// The kernel's tables and the attributes of one file.
const LISTENERS_DEADLINE: Duration = Duration::from_secs(5);

/// By agent: where one agent's directory hangs, one thread does, and no other agent waits for it.
static LISTENERS: LazyLock<Turns<LookedAt>> = LazyLock::new(Turns::new);

/// What tells the agents apart. Not all have a file with a key.
type LookedAt = (Option<PathBuf>, String);

/// What the TLS stack checks signatures of.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
const CURVES: [Oid<'static>; 3] = [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521];

/// Why nothing was seen that counts.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(
        "{address}: what answers does not prove that it has the key of the certificate it serves ({detail}); see which process \
         holds the port ({})", HINTS.who_listens
    )]
    Unproven { address: String, detail: String },
    #[error("{address}: whether what answers has the key of the certificate it serves cannot be checked: {why}")]
    Uncheckable { address: String, why: String },
    #[error(
        "{address}: the account {account} listens there, which is {}; see which process it is ({}), and if it is the \
         service, name the account in endpoint.accounts",
        without_right(key_file.as_deref()), HINTS.who_listens
    )]
    ForeignListener { address: String, account: AccountId, key_file: Option<PathBuf> },
    #[error(
        "{address}: whose socket listens there was not found out ({detail}); see whether the key's file system answers"
    )]
    ListenerUnknown { address: String, detail: String },
    #[error(transparent)]
    File(#[from] LeafFileError),
    #[error("no certificate of this product is looked at")]
    Nowhere,
}

impl LookError {
    /// Stable, for conditions and failure reasons.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Probe(error) => error.reason(),
            Self::File(error) => error.reason(),
            Self::Unproven { .. } => "unproven_key",
            Self::Uncheckable { .. } => "uncheckable_key",
            Self::ForeignListener { .. } => "foreign_listener",
            Self::ListenerUnknown { .. } => "listener_unknown",
            Self::Nowhere => "not_looked_at",
        }
    }

    /// Whether the place itself has shown so: an endpoint that has answered so or has not answered, a file that is so. Not a name server,
    /// nor this host's own want of something, which say nothing of the agent.
    pub(super) fn is_the_places(&self) -> bool {
        match self {
            Self::Probe(error) => error.is_the_endpoints(),
            Self::File(error) => error.is_the_files(),
            Self::Unproven { .. } | Self::Uncheckable { .. } | Self::ForeignListener { .. } | Self::Nowhere => true,
            Self::ListenerUnknown { .. } => false,
        }
    }
}

/// One look.
///
/// # Errors
/// See [`LookError`].
pub async fn look(place: &LeafPlace) -> Result<Certificate, LookError> {
    look_from_here(place).await.map(|seen| seen.leaf)
}

/// What was seen.
struct ProvenLeaf {
    leaf: Certificate,
    /// Else nobody knows whose port it is: the key's proof alone counts. A file is this host's own.
    is_own_address: bool,
}

/// Whether a file is where the leaf is seen, and it is not there or cannot be read as what it is.
pub(super) async fn is_damaged(place: &LeafPlace) -> bool {
    matches!(look(place).await, Err(LookError::File(error)) if error.is_damage())
}

async fn look_from_here(place: &LeafPlace) -> Result<ProvenLeaf, LookError> {
    match place {
        LeafPlace::Endpoint(endpoint) => look_at_endpoint(endpoint).await,
        LeafPlace::File(file) => Ok(ProvenLeaf { leaf: leaf_file::look(file).await?, is_own_address: true }),
        LeafPlace::Nowhere => Err(LookError::Nowhere),
    }
}

async fn look_at_endpoint(endpoint: &AgentEndpoint) -> Result<ProvenLeaf, LookError> {
    let address = || endpoint.at.address.clone();
    let deadline = Instant::now() + LOOK_DEADLINE;
    let dialled = probe::dial(&endpoint.at, Work::RotationNames, deadline).await?;
    let (peer, is_own_address) = (dialled.peer, dialled.is_own_address);
    let seen = probe::shake_hands(&endpoint.at, dialled, None, deadline).await;
    // Whatever came of the handshake: who answers without TLS holds the port just as well.
    if is_own_address {
        refuse_stranger(endpoint, peer).await?;
    }
    let seen = seen?;
    let leaf = seen.leaf().clone();
    if seen.key_proven {
        return Ok(ProvenLeaf { leaf, is_own_address });
    }
    let detail = seen.failure.map_or_else(|| "it signed nothing".to_owned(), |broken| broken.message);
    Err(match uncheckable(&leaf) {
        None => LookError::Unproven { address: address(), detail },
        Some(why) => LookError::Uncheckable { address: address(), why },
    })
}

/// Why the TLS stack checks no signature of this certificate's key, whoever made it.
fn uncheckable(leaf: &Certificate) -> Option<String> {
    let version = X509Certificate::from_der(leaf.der()).map(|(_, certificate)| certificate.version());
    match version {
        Ok(version) if version != X509Version::V3 => Some(format!(
            "it is an X.509 certificate of version {}, and TLS takes version 3; make it with extensions (openssl: -extfile or \
             -addext)",
            version.0.saturating_add(1)
        )),
        Ok(_) | Err(_) if is_checkable(leaf) => None,
        Ok(_) | Err(_) => Some(format!(
            "the key ({}) is of a kind or length that is given up; the next certificate's will do",
            leaf.key_algorithm()
        )),
    }
}

/// # Errors
/// When an account without business listens at `peer`, an address of this host, or when that is not known.
async fn refuse_stranger(endpoint: &AgentEndpoint, peer: SocketAddr) -> Result<(), LookError> {
    let address = || endpoint.at.address.clone();
    let (key_file, accounts) = (endpoint.key_file.clone(), endpoint.accounts.clone());
    let (agent, until) = (looked_at(endpoint), Instant::now() + LISTENERS_DEADLINE);
    let find = move || foreign_listener(peer, key_file.as_deref(), &accounts);
    let unknown = |detail| LookError::ListenerUnknown { address: address(), detail };
    let found = LISTENERS.run(Work::Listeners, agent, until, find).await;
    let found = found.map_err(|blocked| unknown(blocked.to_string()))?;
    match found.map_err(|error| unknown(error.to_string()))? {
        None => Ok(()),
        Some(account) => {
            let key_file = endpoint.key_file.clone();
            Err(LookError::ForeignListener { address: address(), account, key_file })
        }
    }
}

fn looked_at(endpoint: &AgentEndpoint) -> LookedAt {
    (endpoint.key_file.clone(), endpoint.at.address.clone())
}

/// What an account lacks that listens at an agent's endpoint.
fn without_right(key_file: Option<&Path>) -> String {
    match key_file {
        Some(key_file) => {
            format!("neither root nor has a right of its own to read {}", key_file.display())
        }
        None => "not root".to_owned(),
    }
}

/// Whether the TLS stack checks signatures of such a key. It checks none of RSA under 2048 bits, which agents of old made
/// for themselves.
fn is_checkable(leaf: &Certificate) -> bool {
    let Ok((_, spki)) = SubjectPublicKeyInfo::from_der(leaf.spki_der()) else { return false };
    let curve = || spki.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) => RSA_BITS.contains(&key.key_size()),
        Ok(PublicKey::EC(_)) => curve().is_some_and(|curve| CURVES.contains(&curve)),
        _ => spki.algorithm.algorithm == OID_SIG_ED25519,
    }
}

/// An account that listens there and has no business with the key. With several sockets on one port the kernel chooses at
/// each connection, so one is enough. None also where the system tells nobody whose socket it is, as with a port that is
/// forwarded to a container.
///
/// # Errors
/// When the system tells and not everything was heard: one that was not heard of may be a stranger's.
fn foreign_listener(
    peer: SocketAddr,
    key_file: Option<&Path>,
    accounts: &[AccountId],
) -> Result<Option<AccountId>, ListenersError> {
    judged(platform::listeners(peer), key_file, accounts)
}

fn judged(
    listening: Result<BTreeSet<AccountId>, ListenersError>,
    key_file: Option<&Path>,
    accounts: &[AccountId],
) -> Result<Option<AccountId>, ListenersError> {
    let listening = match listening {
        Ok(listening) => listening,
        // Whose leaf is not known beforehand is anybody's: the key's proof alone says nothing of who has it.
        Err(error @ ListenersError::Untold(_)) if key_file.is_none() => return Err(error),
        Err(error @ ListenersError::Untold(_)) => {
            tracing::warn!(%error, "the key's proof alone counts");
            return Ok(None);
        }
        Err(error @ ListenersError::Unread { .. }) => return Err(error),
    };
    let has_business = |account: &AccountId| {
        let by_right = key_file.is_some_and(|key_file| match platform::may_read_by_right(key_file, account) {
            // A store that the first rotation makes will belong to its directory's owner.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                platform::may_read_by_right(key_file.parent().unwrap_or(key_file), account).unwrap_or(false)
            }
            by_right => by_right.unwrap_or(false),
        });
        account.is_administrator() || accounts.iter().any(|named| account.acts_as(named)) || by_right
    };
    Ok(listening.into_iter().find(|account| !has_business(account)))
}

/// One look, and another when it failed: a missed handshake must not pass for a service that was broken before.
///
/// # Errors
/// Of the second look.
async fn look_twice(place: &LeafPlace, pause: Duration) -> Result<ProvenLeaf, LookError> {
    match look_from_here(place).await {
        Ok(seen) => Ok(seen),
        Err(_) => {
            sleep(pause).await;
            look_from_here(place).await
        }
    }
}

/// What is served before the service is stopped; none where nothing is.
///
/// # Errors
/// When what answers now could not be told from the service afterwards, or when this host was kept from looking, so that it
/// would be kept from verifying: nothing is stopped then. A service that does not answer is no such thing: a new keystore may
/// be what it needs. A file without a leaf is: it may be another one than the product's, and its program would be run for nothing at
/// every attempt.
pub(super) async fn before(place: &LeafPlace, pause: Duration) -> Result<Option<Leaf>, RotationFailure> {
    match look_twice(place, pause).await {
        Ok(seen) => {
            if !seen.is_own_address {
                tracing::warn!(
                    endpoint = %place,
                    "the endpoint is no address of this host: that what answers has the key is seen, and not whose port it is"
                );
            }
            Ok(Some(leaf(&seen.leaf)))
        }
        Err(
            error
            @ (LookError::Unproven { .. } | LookError::ForeignListener { .. } | LookError::ListenerUnknown { .. }),
        ) => Err(RotationFailure::new(error.reason(), error.to_string())),
        Err(LookError::Probe(error)) if !error.is_the_endpoints() => {
            let message = format!("what is served was not seen, so the service is left as it is: {error}");
            Err(RotationFailure::new(error.reason(), message))
        }
        Err(LookError::File(error)) => {
            let message = format!(
                "the agent's certificate was not seen, so nothing was begun: {error}; see whether verify.certificateFile names the file"
            );
            Err(RotationFailure::new(error.reason(), message))
        }
        Err(LookError::Probe(
            ProbeError::TlsAlert { .. } | ProbeError::Closed { .. } | ProbeError::Protocol { .. },
        )) => match speaks_only_old_tls(place).await {
            None => Ok(None),
            Some(spoken) => Err(unprovable(&place.to_string(), spoken)),
        },
        // The rotation itself is the cure. That the old leaf is served again after a rollback could not be checked either.
        Err(LookError::Uncheckable { .. } | LookError::Probe(_) | LookError::Nowhere) => Ok(None),
    }
}

async fn speaks_only_old_tls(place: &LeafPlace) -> Option<OldTls> {
    probe::speaks_only_old_tls(Work::RotationNames, &place.endpoint()?.at, LOOK_DEADLINE).await
}

/// A server that speaks no better could not be verified after the restart.
fn unprovable(address: &str, spoken: OldTls) -> RotationFailure {
    let message = format!(
        "{address} speaks {spoken} and nothing better, which is not spoken here, so the new leaf could not be verified; let the \
         service speak TLS 1.2 with ECDHE or TLS 1.3 first"
    );
    RotationFailure::new("old_tls_only", message)
}

/// Whether the service stays up until the stop that was begun can end it no more, `until` at the latest, and one of `wanted`
/// is served in the end. A look that fails otherwise than because nobody listens says nothing of the service yet.
///
/// # Errors
/// As soon as nobody listens, or when something else is seen in the end.
pub(super) async fn stays(
    place: &LeafPlace,
    wanted: &[LeafSha256],
    until: Instant,
    pause: Duration,
    stop: &mut Option<BegunStop>,
) -> Result<(), RotationFailure> {
    let patience = until.max(Instant::now()) + PATIENCE;
    loop {
        let is_over = Instant::now() >= until;
        let seen = look_twice(place, pause).await.map(|seen| seen.leaf);
        note(stop, wanted, &seen);
        if was_kept_from(&seen) && Instant::now() < patience {
            sleep(pause).await;
            continue;
        }
        if is_over {
            *stop = None;
        }
        let is_last = stop.is_none();
        if is_last && is_one_of(wanted, &seen) {
            return Ok(());
        }
        if is_last || is_refused(&seen) {
            return Err(not_served(&seen, Duration::ZERO));
        }
        sleep_until(until.min(Instant::now() + pause)).await;
    }
}

/// One look, and what it says of a stop that was begun.
pub(super) async fn glance(place: &LeafPlace, wanted: &[LeafSha256], stop: &mut Option<BegunStop>) -> Responder {
    note(stop, wanted, &look(place).await)
}

pub(super) fn note(
    stop: &mut Option<BegunStop>,
    wanted: &[LeafSha256],
    seen: &Result<Certificate, LookError>,
) -> Responder {
    let seen = match seen {
        // Where it is not known what was served, a service that answers is in order.
        Ok(_) if wanted.is_empty() => Responder::Wanted,
        seen if is_one_of(wanted, seen) => Responder::Wanted,
        seen if is_refused(seen) => Responder::Nobody,
        Err(LookError::ForeignListener { .. }) => Responder::Stranger,
        Ok(_) | Err(_) => Responder::Other,
    };
    *stop = stop.take().and_then(|stop| stop.after(seen));
    seen
}

/// Whether this host could not look, which says nothing of the service.
fn was_kept_from(seen: &Result<Certificate, LookError>) -> bool {
    seen.as_ref().is_err_and(|error| !error.is_the_places())
}

fn is_refused(seen: &Result<Certificate, LookError>) -> bool {
    let refused = io::ErrorKind::ConnectionRefused;
    matches!(seen, Err(LookError::Probe(ProbeError::Connect { source, .. })) if source.kind() == refused)
}

/// Whether the service itself is not there: nobody listens, or somebody else does. A file says nothing of it.
pub(super) async fn is_down(place: &LeafPlace) -> bool {
    if place.endpoint().is_none() {
        return false;
    }
    match look(place).await {
        Err(LookError::Probe(error @ ProbeError::Connect { .. })) => error.is_the_endpoints(),
        seen => matches!(seen, Err(LookError::ForeignListener { .. })),
    }
}

fn is_one_of(wanted: &[LeafSha256], seen: &Result<Certificate, LookError>) -> bool {
    seen.as_ref().is_ok_and(|leaf| wanted.contains(&LeafSha256::new(leaf.sha256())))
}

/// Waits until one of `wanted` is served, and then for as long as the hold-down asks, at every look.
///
/// # Errors
/// With what was served instead, when the deadline has passed.
pub(super) async fn verify(
    place: &LeafPlace,
    wanted: &[LeafSha256],
    verify: Verify,
    stop: &mut Option<BegunStop>,
) -> Result<(), RotationFailure> {
    let mut hold = Hold::new(Instant::now() + verify.deadline, verify.hold_down);
    loop {
        let seen = look(place).await;
        note(stop, wanted, &seen);
        // Which of them it is does not matter.
        let look = match &seen {
            seen if is_one_of(wanted, seen) => Look::Served(()),
            seen if was_kept_from(seen) => Look::NotTaken,
            _ => Look::NotServed,
        };
        match hold.after(look, Instant::now()) {
            None => sleep(verify.interval).await,
            Some(true) => return Ok(()),
            Some(false) => return Err(not_served(&seen, verify.deadline)),
        }
    }
}

fn not_served(seen: &Result<Certificate, LookError>, deadline: Duration) -> RotationFailure {
    let seconds = deadline.as_secs();
    match seen {
        Ok(other) => RotationFailure::new(
            "other_leaf_served",
            format!(
                "after {seconds} s the endpoint still serves {}; was an old process left running?",
                LeafSha256::new(other.sha256())
            ),
        ),
        Err(LookError::Probe(error)) if error.is_the_endpoints() => {
            RotationFailure::new("not_served", format!("after {seconds} s the endpoint shows no certificate: {error}"))
        }
        Err(error) if !error.is_the_places() => {
            RotationFailure::new(error.reason(), format!("after {seconds} s this host could still not look: {error}"))
        }
        Err(error) => RotationFailure::new(error.reason(), format!("after {seconds} s: {error}")),
    }
}

pub fn sighting(seen: Result<Certificate, LookError>) -> Sighting {
    match seen {
        Ok(certificate) => Sighting::Leaf(leaf(&certificate)),
        Err(error) => Sighting::Unseen { reason: error.reason().to_owned(), message: error.to_string() },
    }
}

/// A certificate as the wire says it.
pub fn leaf(certificate: &Certificate) -> Leaf {
    Leaf {
        sha256: LeafSha256::new(certificate.sha256()),
        serial: certificate.serial().to_owned(),
        subject: certificate.subject().to_owned(),
        issuer: certificate.issuer().to_owned(),
        not_before: certificate.not_before().to_timestamp(),
        not_after: certificate.not_after().to_timestamp(),
        dns_names: certificate.dns_names().iter().take(MAX_TOLD_NAMES).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::{kept_from_connecting, refused_by_the_other};

    #[test]
    fn a_certificate_of_version_1_is_no_impostors_and_a_good_one_without_a_signature_is() {
        let certificate = |pem: &str| {
            let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
            Certificate::from_der(&pem.contents).expect("a certificate")
        };
        let told = uncheckable(&certificate(include_str!("../../tests/support/version_1.pem"))).expect("a reason");
        assert!(told.contains("version 1"), "{told}");
        let good = rcgen::generate_simple_self_signed(["ups-01.example.com".to_owned()]).expect("a certificate");
        assert_eq!(uncheckable(&certificate(&good.cert.pem())), None);
    }

    /// Holds A17: agents that keep their keys by themselves took turns with one another.
    #[test]
    fn agents_without_a_file_with_a_key_do_not_wait_for_each_other() {
        let endpoint = |key_file: Option<&str>, address: &str| AgentEndpoint {
            at: probe::Endpoint { address: address.to_owned(), server_name: None },
            key_file: key_file.map(PathBuf::from),
            accounts: Vec::new(),
        };
        assert_ne!(looked_at(&endpoint(None, "127.0.0.1:1")), looked_at(&endpoint(None, "127.0.0.1:2")));
        assert_ne!(looked_at(&endpoint(Some("/a"), "127.0.0.1:1")), looked_at(&endpoint(Some("/b"), "127.0.0.1:1")));
    }

    /// Holds A3: what is to be served is not known beforehand, so that the key's proof says nothing of who has it.
    #[test]
    fn who_listens_must_be_told_where_no_key_file_says_who_may() {
        let untold =
            |key_file| judged(Err(ListenersError::Untold(io::ErrorKind::PermissionDenied.into())), key_file, &[]);
        assert!(untold(None).is_err());
        assert!(untold(Some(Path::new("/srv/tls.key"))).is_ok_and(|foreign| foreign.is_none()));
        let other = || AccountId::as_written("65534");
        let listening = |accounts: &[AccountId]| judged(Ok([other()].into()), None, accounts).expect("told");
        assert_eq!((listening(&[]), listening(&[other()])), (Some(other()), None));
    }

    /// Holds A8: an account that listened beside the service for a moment let a stop that goes on pass for over, and what it ended
    /// then was started by nobody.
    #[test]
    fn a_strangers_socket_does_not_say_that_the_service_has_ended() {
        let key = rcgen::generate_simple_self_signed(["ups-01.example.com".to_owned()]).expect("a certificate");
        let served = Certificate::from_der(key.cert.der()).expect("a certificate");
        let wanted = [LeafSha256::new(served.sha256())];
        let foreign = || {
            Err(LookError::ForeignListener {
                address: "127.0.0.1:1".to_owned(),
                account: AccountId::as_written("65534"),
                key_file: None,
            })
        };
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let nobody = Err(LookError::Probe(ProbeError::Connect { address: "127.0.0.1:1".to_owned(), source: refused }));
        for (first, is_over) in [(foreign(), false), (nobody, true)] {
            let mut stop = Some(BegunStop::now());
            assert!(note(&mut stop, &wanted, &first).is_not_the_service());
            assert_eq!(note(&mut stop, &wanted, &Ok(served.clone())), Responder::Wanted);
            assert_eq!(stop.is_none(), is_over, "{first:?}");
        }
    }

    /// Holds A17: an endpoint that was not looked at is none that serves nothing.
    #[test]
    fn what_kept_this_host_from_looking_is_no_word_of_the_endpoint() {
        let address = || "ups-01:6547".to_owned();
        let connect = |source: io::Error| ProbeError::Connect { address: address(), source };
        for kept in [
            ProbeError::Dns { host: address(), detail: String::new() },
            ProbeError::Busy { host: address(), limit: 2 },
            ProbeError::Timeout { address: address(), phase: "dns" },
        ]
        .into_iter()
        .chain(kept_from_connecting().into_iter().map(connect))
        {
            assert!(!kept.is_the_endpoints(), "{kept}");
        }
        for said in [
            ProbeError::Timeout { address: address(), phase: "connect" },
            ProbeError::Timeout { address: address(), phase: "handshake" },
            ProbeError::Closed { address: address(), spoke: probe::Spoke::Nothing },
            ProbeError::NotTls { address: address(), spoke: probe::Spoke::Http },
        ]
        .into_iter()
        .chain(refused_by_the_other().into_iter().map(connect))
        {
            assert!(said.is_the_endpoints(), "{said}");
        }
    }
}
