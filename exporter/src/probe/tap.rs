//! Remembers the first bytes that a peer sends, to say what it speaks where that is no TLS.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kagiban_serving::{Watch, Watched};
use tokio::net::TcpStream;

/// What tells protocols apart stands in their first bytes.
const KEPT: usize = 16;

/// A connection whose first bytes are kept.
pub(super) type Tapped = Watched<TcpStream, FirstBytes>;

/// What came first, as far as it has come.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstBytes(Arc<Mutex<Vec<u8>>>);

/// What a peer was heard to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoke {
    Nothing,
    Tls,
    Http,
    Ssh,
    /// SMTP and FTP greet alike.
    Smtp,
    Pop3,
    Imap,
    /// The line of an upsd that was sent what it does not know.
    Nut,
    Other,
}

impl Spoke {
    pub(super) fn of(first: &[u8]) -> Self {
        const BY_START: [(&[u8], Spoke); 9] = [
            (b"HTTP/", Spoke::Http),
            (b"<", Spoke::Http),
            (b"SSH-", Spoke::Ssh),
            (b"220", Spoke::Smtp),
            (b"+OK", Spoke::Pop3),
            (b"* OK", Spoke::Imap),
            (b"ERR ", Spoke::Nut),
            (&[21, 3], Spoke::Tls),
            (&[22, 3], Spoke::Tls),
        ];
        let found = BY_START.iter().find(|(start, _)| first.starts_with(start)).map(|(_, spoke)| *spoke);
        found.unwrap_or(if first.is_empty() { Self::Nothing } else { Self::Other })
    }
}

impl fmt::Display for Spoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "sent nothing",
            Self::Tls => "spoke TLS",
            Self::Http => "spoke HTTP and not TLS",
            Self::Ssh => "spoke SSH and not TLS",
            Self::Smtp => "spoke SMTP or FTP and not TLS",
            Self::Pop3 => "spoke POP3 and not TLS",
            Self::Imap => "spoke IMAP and not TLS",
            Self::Nut => "spoke as an upsd does and not TLS",
            Self::Other => "sent bytes that are no TLS",
        })
    }
}

impl FirstBytes {
    pub(super) fn spoke(&self) -> Spoke {
        Spoke::of(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watch for FirstBytes {
    fn has_read(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_speaks_is_told_by_its_first_bytes() {
        for (first, spoke) in [
            (&b""[..], Spoke::Nothing),
            (b"HTTP/1.0 400 Bad Request", Spoke::Http),
            (b"<!DOCTYPE HTML", Spoke::Http),
            (b"SSH-2.0-OpenSSH_9", Spoke::Ssh),
            (b"220 mail", Spoke::Smtp),
            (b"ERR UNKNOWN-COMMAND", Spoke::Nut),
            (&[21, 3, 1, 0, 2], Spoke::Tls),
            (&[0x4a, 0, 0], Spoke::Other),
        ] {
            assert_eq!(Spoke::of(first), spoke, "{first:?}");
        }
    }
}
