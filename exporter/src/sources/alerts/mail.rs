//! The text of a mail.

use encoding_rs::Encoding;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use mailparse::{MailHeaderMap, ParsedMail};

use super::entry::{AlertReading, Entry};
use crate::sources::text::decoded;

/// Mailers make two or three. The reader of mails calls itself for parts within parts, up to a hundred times, which are more than a
/// thread's stack need hold.
const MAX_PARTS: usize = 32;

/// 2000-01-01. A mail is not of before.
const FIRST: Timestamp = Timestamp::constant(946_684_800, 0);

/// The alerts of a mail, in their order. A mail that cannot be taken apart is read as text.
pub(super) fn entries(mail: &[u8], reading: &AlertReading) -> Vec<Entry> {
    let parsed = if is_deep(mail) { None } else { mailparse::parse_mail(mail).ok() };
    let plain = parsed.as_ref().and_then(first_plain);
    let body =
        plain.and_then(|part| Some((part.get_body_raw().ok()?, Encoding::for_label(part.ctype.charset.as_bytes()))));
    let text = match &body {
        Some((bytes, declared)) => decoded(bytes, *declared, &reading.words()),
        None => decoded(mail, None, &reading.words()),
    };
    reading.mail(&text)
}

/// Whether it may hold more parts within parts than a thread's stack has room for. What a part is may be written in many ways, but parts
/// are within one that has a header of its own with this name.
fn is_deep(mail: &[u8]) -> bool {
    const MARK: &[u8] = b"content-type";
    mail.windows(MARK.len()).filter(|part| part.eq_ignore_ascii_case(MARK)).nth(MAX_PARTS).is_some()
}

/// When it was sent, by its header `Date`.
pub(super) fn sent_at(mail: &[u8]) -> Option<Timestamp> {
    let (headers, _) = mailparse::parse_headers(mail).ok()?;
    let parser = DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(headers.get_first_value("Date")?.trim()).ok().filter(|at| *at >= FIRST)
}

fn first_plain<'a, 'mail>(mail: &'a ParsedMail<'mail>) -> Option<&'a ParsedMail<'mail>> {
    if mail.subparts.is_empty() {
        return (mail.ctype.mimetype == "text/plain").then_some(mail);
    }
    mail.subparts.iter().find_map(first_plain)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use encoding_rs::{EUC_JP, ISO_2022_JP, SHIFT_JIS, UTF_8};

    use super::super::entry::tests::{MAIL, failed, reading};
    use super::*;

    const AT: Option<&str> = Some("2017-06-13T00:08:07Z");

    fn quoted_printable(bytes: &[u8]) -> String {
        let mut out = String::new();
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => out.push('\n'),
                byte => write!(out, "={byte:02X}").expect("a string"),
            }
            if at % 20 == 19 {
                out += "=\n";
            }
        }
        out
    }

    fn base64_lines(bytes: &[u8]) -> String {
        let whole = BASE64_STANDARD.encode(bytes);
        whole.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\r\n").collect()
    }

    /// A mail of so many headers with this body.
    fn mail(headers: &str, body: &[u8]) -> Vec<u8> {
        let subject = "Subject: =?ISO-2022-JP?B?GyRCJSIlaSE8JUgbKEI=?=\nFrom: skysea@example.com\n";
        [subject.as_bytes(), headers.as_bytes(), b"\n", body].concat()
    }

    #[test]
    fn an_alert_is_read_in_every_encoding_and_transfer_encoding() {
        for encoding in [ISO_2022_JP, SHIFT_JIS, UTF_8, EUC_JP] {
            let bytes = encoding.encode(MAIL).0.into_owned();
            let name = encoding.name();
            for (transfer, body) in [
                ("7bit", bytes.clone()),
                ("8bit", bytes.clone()),
                ("base64", base64_lines(&bytes).into_bytes()),
                ("quoted-printable", quoted_printable(&bytes).into_bytes()),
            ] {
                for charset in [
                    format!("; charset={name}"),
                    format!("; charset=\"{name}\""),
                    "; charset=utf-8".into(),
                    String::new(),
                ] {
                    let headers = format!("Content-Type: text/plain{charset}\nContent-Transfer-Encoding: {transfer}\n");
                    let read = entries(&mail(&headers, &body), &reading());
                    assert_eq!(read, [failed("192.0.2.10", AT)], "{name} {transfer} {charset}");
                }
            }
        }
    }

    #[test]
    fn the_first_plain_text_of_a_mail_of_parts_is_its_text() {
        let body = format!(
            "--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>x</p>\n--b\n\
             Content-Type: text/plain; charset=UTF-8\n\n{MAIL}\n--b--\n--a\nContent-Type: text/plain\n\n{}\n--a--\n",
            MAIL.replace("192.0.2.10", "192.0.2.11")
        );
        let read = entries(&mail("Content-Type: multipart/mixed; boundary=a\n", body.as_bytes()), &reading());
        assert_eq!(read, [failed("192.0.2.10", AT)]);
    }

    #[test]
    fn a_mail_that_cannot_be_taken_apart_is_read_as_text() {
        let damaged = [b"no header at all\n\n", MAIL.as_bytes()].concat();
        assert_eq!(entries(&damaged, &reading()), [failed("192.0.2.10", AT)]);
        let base64 = mail("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n", MAIL.as_bytes());
        assert_eq!(entries(&base64, &reading()), [failed("192.0.2.10", AT)], "it is not what it says");
    }

    #[test]
    fn a_mail_that_is_cut_anywhere_ends_no_thread_and_tells_no_other_terminal() {
        let whole = mail("Content-Type: text/plain; charset=UTF-8\n", MAIL.as_bytes());
        for end in 0..whole.len() {
            let read = entries(&whole[..end], &reading());
            assert!(read.is_empty() || read == [failed("192.0.2.10", AT)], "{end}: {read:?}");
        }
    }

    #[test]
    fn parts_within_parts_within_parts_take_no_stack_however_they_are_written() {
        for written in [
            "Content-Type: multipart/mixed",
            "Content-Type: multipart",
            "CONTENT-TYPE:multipartx",
            "content-type: =?utf-8?q?multipart=2Fmixed?=",
            "Content-Type:\n multi=?utf-8?q?part?=",
        ] {
            let mut nested = String::new();
            for depth in 0..10_000 {
                write!(nested, "{written}; boundary=b{depth}\n\n--b{depth}\n").expect("a string");
                assert_eq!(is_deep(nested.as_bytes()), depth >= MAX_PARTS, "{written}, {depth}");
                if depth > 2 * MAX_PARTS {
                    break;
                }
            }
            assert_eq!(entries(nested.as_bytes(), &reading()), [], "{written}");
        }
    }

    #[test]
    fn a_mail_tells_when_it_was_sent() {
        let date = |date: &str| sent_at(&mail(&format!("Date: {date}\n"), b"")).map(|at| at.to_string());
        let expected = Some("2017-06-13T00:08:07Z".to_owned());
        assert_eq!(date("Tue, 13 Jun 2017 09:08:07 +0900"), expected);
        assert_eq!(date("Mon, 13 Jun 2017 09:08:07 +0900 (JST)"), expected);
        for none in ["", "yesterday", "Thu, 1 Jan 1970 00:00:00 +0000"] {
            assert_eq!(date(none), None, "{none}");
        }
        assert_eq!(sent_at(b"no header"), None);
    }
}
