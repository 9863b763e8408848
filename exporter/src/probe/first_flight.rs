//! What a server of TLS 1.2 or older says in the clear before it is answered (RFC 5246, 7.4): its choice of version and
//! cipher suite, its certificates, the curve of its key exchange and whether it wants a client certificate.

use rustls::pki_types::CertificateDer;

use super::recorder::MAX_CHAIN;

/// RFC 5246, 6.2.3: what a record may hold.
const MAX_RECORD_BYTES: usize = (1 << 14) + 2048;
const RECORD_HEAD: usize = 5;

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;

pub(super) const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;

/// RFC 8422, 5.4: the curve is told by its number.
const NAMED_CURVE: u8 = 3;

/// The messages that were read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FirstFlight {
    pub(super) version: u16,
    pub(super) suite: u16,
    /// Leaf first, cut after [`MAX_CHAIN`]; empty before the message is there.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Of an ephemeral key exchange over a curve.
    pub(super) curve: Option<u16>,
    pub(super) client_certificate_wanted: bool,
    /// The server has said all that it says unasked.
    pub(super) is_whole: bool,
}

/// What the bytes of an answer are so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing that tells, or less than the whole flight.
    Flight(FirstFlight),
    Alert(u8),
    NotTls,
}

/// Handshake messages as they were cut into records, put together, and how the bytes go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) messages: Vec<u8>,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    More,
    Alert(u8),
    NotTls,
}

/// Takes the bytes of an answer apart into records.
pub(super) fn records(mut bytes: &[u8]) -> Records {
    let mut messages = Vec::new();
    let end = loop {
        let Some((&[kind, major, _, high, low], rest)) = bytes.split_first_chunk::<RECORD_HEAD>() else {
            // What cannot become a record's head is not waited for.
            break match bytes {
                [] | [ALERT | HANDSHAKE] | [ALERT | HANDSHAKE, 3, ..] => End::More,
                _ => End::NotTls,
            };
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || length == 0 || length > MAX_RECORD_BYTES {
            break End::NotTls;
        }
        let record = &rest[..rest.len().min(length)];
        match kind {
            ALERT => break record.get(1).map_or(End::More, |number| End::Alert(*number)),
            HANDSHAKE => messages.extend_from_slice(record),
            _ => break End::NotTls,
        }
        bytes = rest.get(length..).unwrap_or_default();
    };
    Records { messages, end }
}

/// The flight as far as it has come.
pub(super) fn parse(bytes: &[u8]) -> Answer {
    let Records { messages, end } = records(bytes);
    let Some(flight) = FirstFlight::parse(&messages) else { return Answer::NotTls };
    match end {
        // What was said before the server broke off still counts.
        End::Alert(number) if flight.chain.is_empty() => Answer::Alert(number),
        End::NotTls if flight.chain.is_empty() => Answer::NotTls,
        End::Alert(_) | End::NotTls => Answer::Flight(FirstFlight { is_whole: true, ..flight }),
        End::More => Answer::Flight(flight),
    }
}

/// For the fuzzer.
pub(crate) fn fuzz_first_flight(bytes: &[u8]) {
    let _ = parse(bytes);
}

impl FirstFlight {
    /// None where the messages are none of a server's first flight.
    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut flight = Self::default();
        let mut is_first = true;
        while let Some((kind, body, rest)) = message(bytes) {
            match kind {
                SERVER_HELLO if is_first => (flight.version, flight.suite) = hello(body)?,
                _ if is_first => return None,
                CERTIFICATE => flight.chain = chain(body)?,
                SERVER_KEY_EXCHANGE => flight.curve = curve(body),
                CERTIFICATE_REQUEST => flight.client_certificate_wanted = true,
                SERVER_HELLO_DONE => {
                    flight.is_whole = true;
                    break;
                }
                // A stapled OCSP answer, and what else there may be.
                _ => {}
            }
            is_first = false;
            bytes = rest;
        }
        match bytes.first() {
            Some(kind) if is_first && *kind != SERVER_HELLO => None,
            _ => Some(flight),
        }
    }
}

/// The first message, if all of it is there: kind, body and what follows.
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (body, rest) = with_length_of_three(rest)?;
    Some((*kind, body, rest))
}

/// Version and cipher suite.
fn hello(body: &[u8]) -> Option<(u16, u16)> {
    const RANDOM: usize = 32;
    let (version, rest) = body.split_first_chunk::<2>()?;
    let (session, rest) = rest.get(RANDOM..)?.split_first()?;
    let suite = rest.get(usize::from(*session)..)?.first_chunk::<2>()?;
    Some((u16::from_be_bytes(*version), u16::from_be_bytes(*suite)))
}

fn chain(body: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let (mut list, _) = with_length_of_three(body)?;
    let mut chain = Vec::new();
    while !list.is_empty() && chain.len() < MAX_CHAIN {
        let (der, rest) = with_length_of_three(list)?;
        chain.push(CertificateDer::from(der.to_vec()));
        list = rest;
    }
    Some(chain)
}

fn curve(body: &[u8]) -> Option<u16> {
    match body {
        [NAMED_CURVE, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

fn with_length_of_three(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, middle, low], rest) = bytes.split_first_chunk::<3>()?;
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], &u32::try_from(body.len()).expect("short").to_be_bytes()[1..], body].concat()
    }

    fn listed(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).expect("short").to_be_bytes()[1..], body].concat()
    }

    /// In records of at most `size` bytes.
    fn in_records(messages: &[u8], size: usize) -> Vec<u8> {
        let record = |part: &[u8]| [&[HANDSHAKE, 3, 1, 0, u8::try_from(part.len()).expect("short")], part].concat();
        messages.chunks(size).flat_map(record).collect()
    }

    fn flight() -> Vec<u8> {
        let hello = [&[3, 1][..], &[7; 32], &[4], b"abcd", &[0, 0x2f, 0]].concat();
        let chain = listed(&[listed(b"leaf"), listed(b"issuer")].concat());
        [
            message(SERVER_HELLO, &hello),
            message(CERTIFICATE, &chain),
            message(22, b"stapled"),
            message(SERVER_KEY_EXCHANGE, &[NAMED_CURVE, 0, 25, 1, 2, 3]),
            message(CERTIFICATE_REQUEST, &[1, 1]),
            message(SERVER_HELLO_DONE, &[]),
        ]
        .concat()
    }

    #[test]
    fn a_flight_is_read_however_it_is_cut_into_records() {
        let expected = FirstFlight {
            version: 0x0301,
            suite: 0x002f,
            chain: vec![CertificateDer::from(&b"leaf"[..]), CertificateDer::from(&b"issuer"[..])],
            curve: Some(25),
            client_certificate_wanted: true,
            is_whole: true,
        };
        for size in [1, 3, 100, 200] {
            let bytes = in_records(&flight(), size);
            assert_eq!(parse(&bytes), Answer::Flight(expected.clone()), "{size}");
            for cut in 0..bytes.len() {
                assert!(
                    matches!(parse(&bytes[..cut]), Answer::Flight(FirstFlight { is_whole: false, .. })),
                    "{size} {cut}"
                );
            }
        }
    }

    #[test]
    fn what_was_said_before_an_alert_counts() {
        let alert = [ALERT, 3, 1, 0, 2, 2, 40];
        assert_eq!(parse(&alert), Answer::Alert(40));
        let broken_off = [in_records(&flight()[..100], 50), alert.to_vec()].concat();
        let Answer::Flight(flight) = parse(&broken_off) else { panic!("{:?}", parse(&broken_off)) };
        assert!(flight.is_whole && flight.chain.len() == 2);
        assert_eq!(parse(&in_records(&message(CERTIFICATE, &listed(b"")), 50)), Answer::NotTls);
        assert_eq!(parse(b"HTTP/1.1 400 Bad Request"), Answer::NotTls);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..120) {
            let _ = parse(&bytes);
            let _ = parse(&in_records(&bytes, 50));
            let flight = flight();
            let _ = parse(&in_records(&[&flight[..at.min(flight.len())], &bytes].concat(), 50));
        }
    }
}
