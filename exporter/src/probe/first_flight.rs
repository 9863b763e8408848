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

/// Takes the bytes of an answer apart into records; of the last one what is there of it.
pub(super) fn records(mut bytes: &[u8]) -> Records {
    let mut messages = Vec::new();
    let end = loop {
        match Record::first(bytes) {
            Record::None => break End::More,
            Record::Broken => break End::NotTls,
            Record::One { kind: ALERT, body, rest, .. } if is_warning(body) => bytes = rest,
            Record::One { kind: ALERT, body, .. } => break body.get(1).map_or(End::More, |number| End::Alert(*number)),
            Record::One { body, rest, .. } => {
                messages.extend_from_slice(body);
                bytes = rest;
            }
        }
    };
    Records { messages, end }
}

/// The first record of some bytes.
enum Record<'a> {
    /// Not even its head is there.
    None,
    /// An alert or a part of the handshake, as far as it is there.
    One { kind: u8, body: &'a [u8], rest: &'a [u8], is_whole: bool },
    /// No TLS.
    Broken,
}

impl<'a> Record<'a> {
    fn first(bytes: &'a [u8]) -> Self {
        #[cfg(test)]
        tests::look();
        let Some((&[kind, major, _, high, low], rest)) = bytes.split_first_chunk::<RECORD_HEAD>() else {
            // What cannot become a record's head is not waited for.
            return match bytes {
                [] | [ALERT | HANDSHAKE] | [ALERT | HANDSHAKE, 3, ..] => Self::None,
                _ => Self::Broken,
            };
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || length == 0 || length > MAX_RECORD_BYTES || !matches!(kind, ALERT | HANDSHAKE) {
            return Self::Broken;
        }
        let (body, rest) = rest.split_at(rest.len().min(length));
        Self::One { kind, body, rest, is_whole: body.len() == length }
    }
}

/// Whether an alert lets the handshake go on, such as `unrecognized_name`, which servers send before their ServerHello
/// (RFC 6066, 3); `close_notify` has that level too, and does not.
fn is_warning(alert: &[u8]) -> bool {
    const WARNING: u8 = 1;
    matches!(alert, [WARNING, 1..=u8::MAX])
}

/// Reads a flight as its bytes come, each of them once however they are cut.
#[derive(Debug, Default)]
pub(super) struct FlightReader {
    /// The beginning of a record that is not whole yet.
    pending: Vec<u8>,
    /// Of whole records.
    messages: Vec<u8>,
    /// How much of them was parsed.
    parsed: usize,
    flight: FirstFlight,
    /// Nothing more is to come that tells.
    is_over: bool,
}

impl FlightReader {
    pub(super) fn read(&mut self, part: &[u8]) {
        if self.is_over {
            return;
        }
        self.pending.extend_from_slice(part);
        let mut rest = &self.pending[..];
        loop {
            match Record::first(rest) {
                Record::One { kind: HANDSHAKE, body, rest: behind, is_whole: true } => {
                    self.messages.extend_from_slice(body);
                    rest = behind;
                }
                Record::None | Record::One { is_whole: false, .. } => break,
                Record::One { kind: ALERT, body, rest: behind, .. } if is_warning(body) => rest = behind,
                // An alert, or no TLS: what was said before it counts.
                Record::One { .. } | Record::Broken => {
                    self.is_over = true;
                    break;
                }
            }
        }
        let taken = self.pending.len() - rest.len();
        self.pending.drain(..taken);
        self.is_over |= self.parse().is_none();
    }

    /// Whether the server has said all that it says unasked, or what is none of a first flight.
    pub(super) fn is_over(&self) -> bool {
        self.is_over || self.flight.is_whole
    }

    /// What was read of it.
    pub(super) fn into_flight(self) -> FirstFlight {
        self.flight
    }

    /// Takes the messages that have become whole; none where one is none of a server's first flight.
    fn parse(&mut self) -> Option<()> {
        while let Some((kind, body, rest)) = message(self.messages.get(self.parsed..)?) {
            let is_first = self.parsed == 0;
            self.parsed = self.messages.len() - rest.len();
            match kind {
                SERVER_HELLO if is_first => (self.flight.version, self.flight.suite) = hello(body)?,
                _ if is_first => return None,
                CERTIFICATE => self.flight.chain = chain(body)?,
                SERVER_KEY_EXCHANGE => self.flight.curve = curve(body),
                CERTIFICATE_REQUEST => self.flight.client_certificate_wanted = true,
                SERVER_HELLO_DONE => {
                    self.flight.is_whole = true;
                    break;
                }
                // A stapled OCSP answer, and what else there may be.
                _ => {}
            }
        }
        match self.messages.first() {
            Some(kind) if *kind != SERVER_HELLO => None,
            _ => Some(()),
        }
    }
}

/// For the fuzzer.
pub(crate) fn fuzz_first_flight(bytes: &[u8]) {
    let _ = records(bytes);
    let mut reader = FlightReader::default();
    bytes.chunks(7).for_each(|part| reader.read(part));
}

/// The first message, if all of it is there: kind, body and what follows.
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    #[cfg(test)]
    tests::look();
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
    use std::cell::Cell;

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

    fn read(parts: &[&[u8]]) -> (FirstFlight, bool) {
        let mut reader = FlightReader::default();
        parts.iter().for_each(|part| reader.read(part));
        let is_over = reader.is_over();
        (reader.into_flight(), is_over)
    }

    #[test]
    fn a_flight_is_read_however_it_is_cut_into_records_and_into_reads() {
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
            for part in [1, 2, 7, bytes.len()] {
                let parts: Vec<_> = bytes.chunks(part).collect();
                assert_eq!(read(&parts), (expected.clone(), true), "{size} {part}");
            }
            for cut in 0..bytes.len() {
                let (flight, is_over) = read(&[&bytes[..cut]]);
                assert!(!flight.is_whole && !is_over, "{size} {cut}");
            }
        }
    }

    #[test]
    fn what_was_said_before_an_alert_counts() {
        let alert = [ALERT, 3, 1, 0, 2, 2, 40];
        assert_eq!(read(&[&alert]), (FirstFlight::default(), true));
        let (broken_off, is_over) = read(&[&in_records(&flight()[..75], 50), &alert]);
        assert!(is_over && !broken_off.is_whole && broken_off.chain.len() == 2, "{broken_off:?}");
        let warned = [&[ALERT, 3, 1, 0, 2, 1, 112], &in_records(&flight(), 50)[..]].concat();
        assert_eq!(read(&[&warned]).0.chain.len(), 2, "no such name here, and on it goes");
        assert_eq!(records(&warned[..20]).end, End::More);
        for wrong in [&in_records(&message(CERTIFICATE, &listed(b"")), 50)[..], b"HTTP/1.1 400 Bad Request"] {
            assert_eq!(read(&[wrong]), (FirstFlight::default(), true));
        }
    }

    thread_local! {
        /// Records and messages that were looked for.
        static LOOKED_FOR: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn look() {
        LOOKED_FOR.set(LOOKED_FOR.get() + 1);
    }

    /// A record of a byte each, a read for each byte: read again from its beginning with every one, that took minutes.
    #[test]
    fn a_flight_that_comes_byte_by_byte_costs_no_more_than_its_bytes() {
        let long = message(CERTIFICATE, &listed(&listed(&vec![7; 40_000])));
        let bytes = in_records(&[&flight()[..46], &long].concat(), 1);
        let mut reader = FlightReader::default();
        LOOKED_FOR.set(0);
        for (at, byte) in bytes.iter().enumerate() {
            reader.read(std::slice::from_ref(byte));
            assert!(LOOKED_FOR.get() <= 3 * (at + 1), "{} for {} bytes", LOOKED_FOR.get(), at + 1);
        }
        assert_eq!(reader.into_flight().chain.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..120) {
            fuzz_first_flight(&bytes);
            fuzz_first_flight(&in_records(&bytes, 50));
            let flight = flight();
            fuzz_first_flight(&in_records(&[&flight[..at.min(flight.len())], &bytes].concat(), 50));
        }
    }
}
