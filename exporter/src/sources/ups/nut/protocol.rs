//! upsd's lines: words, some of them quoted, in requests and answers.

/// `VAR <ups> <name> "<text>"` has four; an error may bring a few of its own.
const MAX_WORDS: usize = 16;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("upsd refused with {0}")]
    Refused(UpsdRefusal),
    /// With what was found, shortened.
    #[error("{0:?} is not a line that upsd sends here")]
    Unexpected(String),
    #[error("more than {0} rows")]
    TooManyRows(usize),
}

/// The word after `ERR`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UpsdRefusal {
    #[error("DATA-STALE: the driver runs but has not heard its UPS")]
    DataStale,
    #[error("DRIVER-NOT-CONNECTED: the UPS's driver does not run, or has not started yet")]
    DriverNotConnected,
    #[error("UNKNOWN-UPS: upsd has no UPS of that name; `upsc -l` lists those it has")]
    UnknownUps,
    /// For reading, upsd knows no users: it is the address that it refuses.
    #[error(
        "ACCESS-DENIED: upsd lets the address of this host read nothing; allow the address where upsd runs, in hosts.allow or \
         among the permitted devices of a NAS"
    )]
    Denied,
    /// Something about user and password.
    #[error("{0}: check `username`, the password file, and upsd.users")]
    Access(String),
    /// `FEATURE-NOT-CONFIGURED` and its like, which upsd only says of STARTTLS.
    #[error("{0}: this upsd speaks no TLS; give it a certificate, or leave `startTls` out")]
    Feature(String),
    #[error("{0}")]
    Other(String),
}

/// The answer to a `LIST`, as its lines arrive.
#[derive(Debug)]
pub(super) struct List {
    /// What each row begins with: `UPS`, or `VAR <ups>`.
    subject: Vec<String>,
    limit: usize,
    begun: bool,
    rows: Vec<(String, String)>,
}

/// Whether more lines are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Complete,
}

impl UpsdRefusal {
    fn of(word: &str) -> Self {
        match word {
            "DATA-STALE" => Self::DataStale,
            "DRIVER-NOT-CONNECTED" => Self::DriverNotConnected,
            "UNKNOWN-UPS" => Self::UnknownUps,
            "ACCESS-DENIED" => Self::Denied,
            "INVALID-USERNAME" | "INVALID-PASSWORD" | "USERNAME-REQUIRED" | "PASSWORD-REQUIRED" => {
                Self::Access(word.to_owned())
            }
            "FEATURE-NOT-CONFIGURED" | "FEATURE-NOT-SUPPORTED" => Self::Feature(word.to_owned()),
            _ => Self::Other(shortened(word)),
        }
    }
}

impl List {
    /// A large site has some dozens on one upsd.
    pub(super) const MAX_UPSES: usize = 256;
    /// The largest dumps of UPSes have some 300 variables, those of power strips with many outlets some more than a thousand.
    pub(super) const MAX_VARIABLES: usize = 4096;

    /// Of `LIST UPS`: names and descriptions.
    pub(super) fn upses() -> Self {
        Self::new(vec!["UPS".to_owned()], Self::MAX_UPSES)
    }

    /// Of `LIST VAR <ups>`: names and texts.
    pub(super) fn variables(ups: &str) -> Self {
        Self::new(vec!["VAR".to_owned(), ups.to_owned()], Self::MAX_VARIABLES)
    }

    fn new(subject: Vec<String>, limit: usize) -> Self {
        Self { subject, limit, begun: false, rows: Vec::new() }
    }

    /// The request, with its line end.
    pub(super) fn request(&self) -> Vec<u8> {
        let mut request = "LIST".to_owned();
        for word in &self.subject {
            request.push(' ');
            request.push_str(&quoted(word));
        }
        request.push('\n');
        request.into_bytes()
    }

    /// Takes the next line of the answer.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Progress, LineError> {
        let unexpected = || LineError::Unexpected(shortened(&String::from_utf8_lossy(line)));
        let words = words(line).ok_or_else(unexpected)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let about = |rest: &[&str]| rest.iter().eq(&self.subject);
        match &words[..] {
            ["ERR", rest @ ..] => Err(refused(rest)),
            ["BEGIN", "LIST", rest @ ..] if !self.begun && about(rest) => {
                self.begun = true;
                Ok(Progress::More)
            }
            ["END", "LIST", rest @ ..] if self.begun && about(rest) => Ok(Progress::Complete),
            [rest @ .., _, _] if self.begun && about(rest) && self.rows.len() == self.limit => {
                Err(LineError::TooManyRows(self.limit))
            }
            [rest @ .., name, text] if self.begun && about(rest) => {
                self.rows.push(((*name).to_owned(), (*text).to_owned()));
                Ok(Progress::More)
            }
            _ => Err(unexpected()),
        }
    }

    pub(super) fn rows(self) -> Vec<(String, String)> {
        self.rows
    }
}

/// Takes the line that answers a request with nothing to list: `OK`, with or without more.
pub(super) fn accepted(line: &[u8]) -> Result<(), LineError> {
    let words = words(line).unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        ["OK", ..] => Ok(()),
        ["ERR", rest @ ..] => Err(refused(rest)),
        _ => Err(LineError::Unexpected(shortened(&String::from_utf8_lossy(line)))),
    }
}

/// A word as upsd reads it whole, whatever is in it. `None` for what no line can carry.
pub(super) fn argument(word: &str) -> Option<String> {
    (!word.contains(['\n', '\r', '\0'])).then(|| quoted(word))
}

fn quoted(word: &str) -> String {
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte)) {
        return word.to_owned();
    }
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for c in word.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// The words of a line: separated by blanks, or in double quotes; a backslash takes the next character as it is. `None`
/// when a quote is left open, when there are too many, and when a NUL is among them, which upsd cannot send. Bytes that are
/// no UTF-8, as of a device that speaks Latin-1, are shown as such.
fn words(line: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(line);
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut in_quotes = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\0' => return None,
            '\\' => word.get_or_insert_default().push(characters.next().filter(|&c| c != '\0')?),
            '"' => {
                in_quotes = !in_quotes;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !in_quotes => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
        if words.len() > MAX_WORDS {
            return None;
        }
    }
    words.extend(word);
    (!in_quotes && words.len() <= MAX_WORDS).then_some(words)
}

fn refused(words: &[&str]) -> LineError {
    LineError::Refused(UpsdRefusal::of(words.first().copied().unwrap_or_default()))
}

/// For messages: what a peer says is not repeated at any length.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn listed(mut list: List, lines: &[&str]) -> Result<Vec<(String, String)>, LineError> {
        for line in lines {
            if list.take(line.as_bytes())? == Progress::Complete {
                return Ok(list.rows());
            }
        }
        panic!("the list is not complete: {lines:?}");
    }

    fn rows(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn upses_are_listed_with_what_is_said_of_them() {
        let lines = [
            "BEGIN LIST UPS",
            r#"UPS one "the \"first\" one""#,
            r#"UPS two "back\\slash""#,
            r#"UPS "three four" """#,
            "END LIST UPS",
        ];
        let expected = rows(&[("one", "the \"first\" one"), ("two", "back\\slash"), ("three four", "")]);
        assert_eq!(listed(List::upses(), &lines), Ok(expected));
    }

    #[test]
    fn the_variables_are_those_of_the_ups_that_was_asked_for() {
        let lines = ["BEGIN LIST VAR one", r#"VAR one ups.status "OB LB""#, "END LIST VAR one"];
        assert_eq!(listed(List::variables("one"), &lines), Ok(rows(&[("ups.status", "OB LB")])));
        for lines in [
            &["BEGIN LIST VAR two"][..],
            &["BEGIN LIST VAR one", r#"VAR two ups.status "OL""#],
            &["BEGIN LIST VAR one", "END LIST VAR two"],
            &["BEGIN LIST VAR one", "BEGIN LIST VAR one"],
            &["BEGIN LIST VAR one", "VAR one ups.status"],
            &["BEGIN LIST VAR one", r#"VAR one ups.status "OL"#],
            &["VAR one ups.status OL"],
            &["END LIST VAR one"],
            &["BEGIN LIST VAR one", "VAR one ups.status \"O\0L\""],
            &["HTTP/1.1 400 Bad Request"],
            &[""],
        ] {
            let said = listed(List::variables("one"), lines);
            assert!(matches!(said, Err(LineError::Unexpected(_))), "{lines:?}: {said:?}");
        }
    }

    #[test]
    fn a_refusal_is_known_by_its_word() {
        for (line, expected) in [
            ("ERR DATA-STALE", UpsdRefusal::DataStale),
            ("ERR DRIVER-NOT-CONNECTED", UpsdRefusal::DriverNotConnected),
            ("ERR UNKNOWN-UPS", UpsdRefusal::UnknownUps),
            ("ERR ACCESS-DENIED", UpsdRefusal::Denied),
            ("ERR INVALID-PASSWORD with more", UpsdRefusal::Access("INVALID-PASSWORD".to_owned())),
            ("ERR FEATURE-NOT-CONFIGURED", UpsdRefusal::Feature("FEATURE-NOT-CONFIGURED".to_owned())),
            ("ERR UNKNOWN-COMMAND", UpsdRefusal::Other("UNKNOWN-COMMAND".to_owned())),
            ("ERR", UpsdRefusal::Other(String::new())),
        ] {
            assert_eq!(accepted(line.as_bytes()), Err(LineError::Refused(expected.clone())), "{line}");
            assert_eq!(List::upses().take(line.as_bytes()), Err(LineError::Refused(expected)), "{line}");
        }
        assert_eq!((accepted(b"OK"), accepted(b"OK STARTTLS")), (Ok(()), Ok(())));
        assert!(matches!(accepted(b"BEGIN LIST UPS"), Err(LineError::Unexpected(_))));
    }

    #[test]
    fn rows_beyond_the_limit_are_not_kept() {
        let mut list = List::variables("one");
        list.take(b"BEGIN LIST VAR one").expect("it begins");
        let mut take = |number: usize| list.take(format!("VAR one outlet.{number}.id \"1\"").as_bytes());
        for number in 0..List::MAX_VARIABLES {
            assert_eq!(take(number), Ok(Progress::More));
        }
        assert_eq!(take(List::MAX_VARIABLES), Err(LineError::TooManyRows(List::MAX_VARIABLES)));
    }

    #[test]
    fn requests_carry_names_that_have_blanks_and_quotes() {
        assert_eq!(List::variables("smart1500").request(), b"LIST VAR smart1500\n");
        assert_eq!(
            List::variables("a \"b\" \\").request(),
            br#"LIST VAR "a \"b\" \\""#.iter().chain(b"\n").copied().collect::<Vec<_>>()
        );
        assert_eq!(argument(""), Some("\"\"".to_owned()));
        assert_eq!((argument("a\nLOGOUT"), argument("a\0")), (None, None));
    }

    #[test]
    fn what_a_peer_says_is_not_repeated_at_length() {
        let said = List::upses().take("x".repeat(100_000).as_bytes()).expect_err("no such line").to_string();
        assert!(said.len() < 200, "{} bytes", said.len());
    }

    proptest! {
        #[test]
        fn what_we_quote_is_read_as_one_word(word in "[^\n\r\u{0}]{0,40}") {
            let line = argument(&word).expect("it has no line end");
            prop_assert_eq!(words(line.as_bytes()), Some(vec![word]));
        }

        #[test]
        fn no_line_is_too_much(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut list = List::upses();
            list.take(b"BEGIN LIST UPS").expect("it begins");
            for line in &lines {
                let _ = list.take(line);
            }
            prop_assert!(list.rows().len() <= lines.len());
        }
    }
}
