//! What a server still speaks that the TLS stack does not: TLS 1.0 and 1.1, TLS 1.2 without forward secrecy or with CBC, and
//! curves such as P-521. The first message is written by hand, and of the answer only what comes unasked is read.

use std::fmt;
use std::time::Duration;

use rustls::NamedGroup;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::dial::{Dialled, Endpoint, dial};
use super::first_flight::{self, End, FirstFlight, FlightReader, HANDSHAKE, Records, SERVER_HELLO};
use super::{Broken, ProbeError, Spoke, suites};
use crate::blocking::Work;

/// A version that nothing should speak any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldVersion {
    Tls10,
    Tls11,
}

/// What a server speaks that speaks nothing better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTls {
    Version(OldVersion),
    /// TLS 1.2, but neither with ECDHE nor with an authenticated cipher.
    Suites,
    /// TLS 1.2 with ECDHE, over a curve that the TLS stack does not know.
    Curve,
}

/// What a server says to a client that knows no later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// It goes on: with this version or an even older one.
    Accepted,
    /// With an alert of this number, or without a word.
    Refused { alert: Option<u8> },
}

/// What the first bytes of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Incomplete,
    Alert(u8),
    /// A ServerHello of this version.
    Hello(u16),
    NotTls(Spoke),
}

/// A handful of records is an answer's beginning, however it is cut; the version stands in its first six bytes.
const MAX_OPENING_BYTES: usize = 1024;
/// Sixteen certificates of the largest size that is read would be more; nobody serves them.
const MAX_FLIGHT_BYTES: usize = 256 * 1024;
/// A record.
const READ_BYTES: usize = 16 * 1024;

const CLIENT_HELLO: u8 = 1;
const TLS_1_0: u16 = 0x0301;
const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;

/// What servers of that age can do: ECDHE, DHE and RSA key exchange with AES, 3DES and RC4, and the signal that
/// renegotiation is understood (RFC 5746), without which some hang up.
const CIPHER_SUITES: &[u16] = &[
    0xc009, 0xc00a, 0xc013, 0xc014, 0xc008, 0xc012, 0x0033, 0x0039, 0x0016, 0x0032, 0x0038, 0x002f, 0x0035, 0x000a,
    0x0005, 0x0004, 0x0041, 0x0084, 0xc006, 0xc010, 0x0002, 0x0001, 0x00ff,
];
/// The same, and what TLS 1.2 brought besides ECDHE with GCM and ChaCha20: RSA and DHE with GCM, CBC with SHA-2.
const OLD_SUITES_OF_TLS_1_2: &[u16] = &[
    0xc023, 0xc024, 0xc027, 0xc028, 0xc009, 0xc00a, 0xc013, 0xc014, 0xc008, 0xc012, 0x009e, 0x009f, 0x0067, 0x006b,
    0x0033, 0x0039, 0x0016, 0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035, 0x000a, 0x0005, 0x0004, 0x00ff,
];
/// RSA with PKCS #1 or PSS padding (of either kind of key), ECDSA, Ed25519, Ed448 and DSA, with SHA-256, SHA-384, SHA-512,
/// SHA-224 and SHA-1: for the certificate.
const SIGNATURE_ALGORITHMS: &[u16] = &[
    0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0403, 0x0503, 0x0603, 0x0807, 0x0808,
    0x0301, 0x0303, 0x0201, 0x0203, 0x0402, 0x0202,
];
/// x25519, secp256r1, secp384r1, secp521r1, x448, brainpoolP256r1, brainpoolP384r1, brainpoolP512r1, secp256k1, secp224r1.
const GROUPS: &[u16] = &[0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x001a, 0x001b, 0x001c, 0x0016, 0x0015];

/// Offers a server this version and nothing later, within the deadline, DNS included.
///
/// # Errors
/// When there is no connection, no answer in time, or one that is no TLS.
pub async fn greet(endpoint: &Endpoint, version: OldVersion, deadline: Duration) -> Result<Greeting, ProbeError> {
    Ok(match offer(Work::SourceNames, endpoint, Offer::of(OldTls::Version(version)), deadline).await? {
        ServerReply::Accepted(_) => Greeting::Accepted,
        ServerReply::Refused { alert } => Greeting::Refused { alert },
    })
}

/// What a server speaks that refused TLS 1.2 with ephemeral keys and TLS 1.3: none when it speaks none of this either. The
/// deadline is for each of four attempts, and `names` is whose threads a name is looked up on.
pub(crate) async fn speaks_only_old_tls(names: Work, endpoint: &Endpoint, deadline: Duration) -> Option<OldTls> {
    for old in [OldTls::Suites, OldTls::Version(OldVersion::Tls11), OldTls::Version(OldVersion::Tls10)] {
        if let Ok(ServerReply::Accepted(version)) = offer(names, endpoint, Offer::of(old), deadline).await {
            return Some(match version {
                TLS_1_2.. => OldTls::Suites,
                TLS_1_1 => OldTls::Version(OldVersion::Tls11),
                _ => OldTls::Version(OldVersion::Tls10),
            });
        }
    }
    let (flight, _) = first_flight(names, endpoint, Instant::now() + deadline).await?;
    (Spoken::of(&flight).reason == GROUP_NOT_SPOKEN).then_some(OldTls::Curve)
}

/// The first flight of a server with which the TLS stack comes to nothing: on a connection of its own, offered everything up
/// to TLS 1.2, and where it does not understand that, TLS 1.0; each has its share of the time that is left. None where it shows
/// no certificate in the clear. Nothing in it proves that the server holds the key.
pub(super) async fn first_flight(
    names: Work,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Option<(FirstFlight, Dialled)> {
    let name = endpoint.expected_name().ok()?;
    let offers = [OldTls::Curve, OldTls::Version(OldVersion::Tls10)].map(Offer::of);
    for (waiting, offer) in (1..=2).rev().zip(offers) {
        let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / waiting;
        let hello = client_hello(offer, &name, random());
        let mut dialled = dial(endpoint, names, until).await.ok()?;
        let (flight, end) = read_flight(&mut dialled.stream, &hello, until).await;
        if !flight.chain.is_empty() && flight.version <= offer.version {
            return Some((flight, dialled));
        }
        // Who has hung up on both greetings without a word hangs up on everybody.
        if end == FlightEnd::Wordless {
            return None;
        }
    }
    None
}

/// How the reading of a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlightEnd {
    /// The server has hung up without a byte.
    Wordless,
    Other,
}

/// As far as it came within the deadline.
async fn read_flight(stream: &mut TcpStream, hello: &[u8], deadline: Instant) -> (FirstFlight, FlightEnd) {
    let mut reader = FlightReader::default();
    match timeout_at(deadline, stream.write_all(hello)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return (FirstFlight::default(), FlightEnd::Wordless),
        Err(_) => return (FirstFlight::default(), FlightEnd::Other),
    }
    let (mut part, mut read) = (vec![0; READ_BYTES], 0);
    while read < MAX_FLIGHT_BYTES && !reader.is_over() {
        match timeout_at(deadline, stream.read(&mut part)).await {
            Ok(Ok(more @ 1..)) => {
                reader.read(&part[..more]);
                read += more;
            }
            Ok(Ok(0) | Err(_)) if read == 0 => return (FirstFlight::default(), FlightEnd::Wordless),
            Ok(_) | Err(_) => break,
        }
    }
    (reader.into_flight(), FlightEnd::Other)
}

/// What a server says to an offer.
enum ServerReply {
    /// With this version, or an even older one.
    Accepted(u16),
    Refused {
        alert: Option<u8>,
    },
}

/// What a server is offered, and nothing later.
#[derive(Clone, Copy)]
struct Offer {
    version: u16,
    suites: &'static [u16],
}

impl Offer {
    const fn of(old: OldTls) -> Self {
        match old {
            OldTls::Version(OldVersion::Tls10) => Self { version: TLS_1_0, suites: CIPHER_SUITES },
            OldTls::Version(OldVersion::Tls11) => Self { version: TLS_1_1, suites: CIPHER_SUITES },
            OldTls::Suites => Self { version: TLS_1_2, suites: OLD_SUITES_OF_TLS_1_2 },
            OldTls::Curve => Self { version: TLS_1_2, suites: &suites::ALL },
        }
    }
}

impl fmt::Display for OldTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version(OldVersion::Tls10) => "TLS 1.0",
            Self::Version(OldVersion::Tls11) => "TLS 1.1",
            Self::Curve => "TLS 1.2 over a curve that is not spoken here, such as P-521,",
            Self::Suites => "TLS 1.2 with cipher suites that are given up (RSA key exchange, DHE or CBC)",
        })
    }
}

const GROUP_NOT_SPOKEN: &str = "group_not_spoken";

/// What a server chose that the TLS stack does not speak.
#[derive(Clone, Debug)]
pub(super) struct Spoken {
    pub(super) version: &'static str,
    /// The name that IANA registered.
    pub(super) suite: String,
    reason: &'static str,
    curve: Option<u16>,
}

impl Spoken {
    pub(super) fn of(flight: &FirstFlight) -> Self {
        let version = match flight.version {
            ..TLS_1_0 => "SSL 3.0",
            TLS_1_0 => "TLS 1.0",
            TLS_1_1 => "TLS 1.1",
            _ => "TLS 1.2",
        };
        let is_spoken = aws_lc_rs::DEFAULT_CIPHER_SUITES.iter().any(|suite| u16::from(suite.suite()) == flight.suite);
        let groups = aws_lc_rs::DEFAULT_KX_GROUPS;
        let is_curve_spoken = |curve: u16| groups.iter().any(|group| u16::from(group.name()) == curve);
        let reason = match flight.version {
            ..TLS_1_2 => "old_version",
            _ if !is_spoken => "old_cipher_suite",
            _ if flight.curve.is_some_and(|curve| !is_curve_spoken(curve)) => GROUP_NOT_SPOKEN,
            // What else it may be, such as a signature with SHA-1, the server did not say in its first messages.
            _ => "refused",
        };
        Self { version, suite: suites::name(flight.suite), reason, curve: flight.curve }
    }

    pub(super) fn broken(&self) -> Broken {
        let Self { version, suite, reason, .. } = self;
        let curve = self.curve.map(|curve| format!(" over {:?}", NamedGroup::from(curve))).unwrap_or_default();
        let message = format!(
            "the server speaks {version} with {suite}{curve} and nothing that this program finishes a handshake with; the \
             certificate was read from its first messages, and that it holds the key was not proven. Let it speak TLS 1.3, or \
             TLS 1.2 with ECDHE over P-256, P-384 or X25519 and GCM or ChaCha20"
        );
        Broken { reason, message }
    }
}

async fn offer(names: Work, endpoint: &Endpoint, offer: Offer, deadline: Duration) -> Result<ServerReply, ProbeError> {
    let deadline = Instant::now() + deadline;
    let hello = client_hello(offer, &endpoint.expected_name()?, random());
    let Dialled { mut stream, .. } = dial(endpoint, names, deadline).await?;
    let address = || endpoint.address.clone();
    let exchange = async {
        // Who hangs up on such a greeting, with a reset too, has refused it.
        if stream.write_all(&hello).await.is_err() {
            return Opening::Incomplete;
        }
        opening(&mut stream).await
    };
    match timeout_at(deadline, exchange).await {
        Err(_) => Err(ProbeError::Timeout { address: address(), phase: "handshake" }),
        Ok(Opening::NotTls(spoke)) => Err(ProbeError::NotTls { address: address(), spoke }),
        Ok(Opening::Hello(version)) if version > offer.version => {
            let detail = "the server chose a later version than it was offered".to_owned();
            Err(ProbeError::Protocol { address: address(), detail })
        }
        Ok(Opening::Hello(version)) => Ok(ServerReply::Accepted(version)),
        Ok(Opening::Alert(number)) => Ok(ServerReply::Refused { alert: Some(number) }),
        Ok(Opening::Incomplete) => Ok(ServerReply::Refused { alert: None }),
    }
}

async fn opening(stream: &mut TcpStream) -> Opening {
    let mut seen = Vec::with_capacity(MAX_OPENING_BYTES);
    loop {
        let mut part = [0; 256];
        let read = match stream.read(&mut part).await {
            Ok(0) | Err(_) => return Opening::Incomplete,
            Ok(read) => read,
        };
        seen.extend_from_slice(&part[..read]);
        match parse(&seen) {
            Opening::Incomplete if seen.len() >= MAX_OPENING_BYTES => return Opening::NotTls(Spoke::of(&seen)),
            Opening::Incomplete => {}
            found => return found,
        }
    }
}

/// The opening of what was read so far: records, of which the first handshake message is put together.
fn parse(bytes: &[u8]) -> Opening {
    let Records { messages, end } = first_flight::records(bytes);
    match (&messages[..], end) {
        ([SERVER_HELLO, _, _, _, major, minor, ..], _) => Opening::Hello(u16::from_be_bytes([*major, *minor])),
        ([], End::Alert(number)) => Opening::Alert(number),
        ([] | [SERVER_HELLO, ..], End::More) => Opening::Incomplete,
        _ => Opening::NotTls(Spoke::of(bytes)),
    }
}

fn client_hello(offer: Offer, name: &ServerName<'_>, random: [u8; 32]) -> Vec<u8> {
    let Offer { version, suites } = offer;
    let mut body = Vec::new();
    body.extend(version.to_be_bytes());
    body.extend(random);
    // No session to resume.
    body.push(0);
    body.extend(with_length(numbers(suites)));
    // No compression.
    body.extend([1, 0]);
    let mut extensions = Vec::new();
    if let ServerName::DnsName(name) = name {
        let mut entry = vec![0];
        entry.extend(with_length(name.as_ref().as_bytes().to_vec()));
        extensions.extend(extension(0, with_length(entry)));
    }
    extensions.extend(extension(10, with_length(numbers(GROUPS))));
    // Points are sent uncompressed.
    extensions.extend(extension(11, vec![1, 0]));
    if version == TLS_1_2 {
        extensions.extend(extension(13, with_length(numbers(SIGNATURE_ALGORITHMS))));
    }
    body.extend(with_length(extensions));

    let mut message = vec![CLIENT_HELLO, 0];
    message.extend(with_length(body));
    // Some servers of that age refuse a first record that says more than 1.0.
    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend(with_length(message));
    record
}

fn extension(kind: u16, body: Vec<u8>) -> Vec<u8> {
    let mut whole = kind.to_be_bytes().to_vec();
    whole.extend(with_length(body));
    whole
}

fn with_length(body: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a DNS name has at most 255 bytes, and all else here is fixed");
    let mut whole = length.to_be_bytes().to_vec();
    whole.extend(body);
    whole
}

fn numbers(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// It protects nothing here: the handshake is left after the first answer.
fn random() -> [u8; 32] {
    let mut random = [0; 32];
    // Without entropy, zeros greet as well.
    let _ = ::aws_lc_rs::rand::fill(&mut random);
    random
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::first_flight::ALERT;
    use super::*;

    const HELLO: [u8; 11] = [HANDSHAKE, 3, 1, 0, 80, SERVER_HELLO, 0, 0, 76, 3, 1];

    #[test]
    fn an_opening_is_known_as_soon_as_it_can_be() {
        for cut in 0..HELLO.len() {
            assert_eq!(parse(&HELLO[..cut]), Opening::Incomplete, "{cut}");
        }
        assert_eq!(parse(&HELLO), Opening::Hello(0x0301));
        assert_eq!(parse(&[ALERT, 3, 1, 0, 2, 2, 70]), Opening::Alert(70));
        assert_eq!(parse(&[ALERT, 3, 1, 0, 2, 2]), Opening::Incomplete);
        let in_two_records =
            [&[HANDSHAKE, 3, 1, 0, 2, SERVER_HELLO, 0][..], &[HANDSHAKE, 3, 1, 0, 4, 0, 76, 3, 2]].concat();
        assert_eq!(parse(&in_two_records), Opening::Hello(0x0302));
        for wrong in [
            &b"SSH-2.0"[..],
            b"H",
            b"HTTP/1.1 400",
            &[HANDSHAKE, 2],
            &[HANDSHAKE, 3, 1, 0, 0],
            &[HANDSHAKE, 3, 1, 255, 255, 2],
            &[HANDSHAKE, 3, 1, 0, 4, 14],
        ] {
            assert!(matches!(parse(wrong), Opening::NotTls(_)), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_opening(bytes in proptest::collection::vec(any::<u8>(), 0..300), whole in any::<bool>()) {
            let _ = parse(&bytes);
            if whole {
                let _ = parse(&[&HELLO[..9], &bytes].concat());
            }
        }
    }
}
