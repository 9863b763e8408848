//! How a command line of Windows is parted into arguments: as the standard library, and with it this program, does at its start.
//!
//! The rules are those of Microsoft's C runtime since 2008 ("Parsing C++ command-line arguments"). `CommandLineToArgvW` reads two
//! quotes within quotes in another way, so that it would tell other arguments than the service gets.

const SPACE: u16 = b' ' as u16;
const TAB: u16 = b'\t' as u16;
const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// The program, and then its arguments, in UTF-16 as Windows has them.
pub(super) fn parted(line: &[u16]) -> Vec<Vec<u16>> {
    let (program, mut rest) = program(line);
    let mut words = vec![program];
    loop {
        rest = &rest[run_of(rest, |unit| unit == SPACE || unit == TAB)..];
        if rest.is_empty() {
            return words;
        }
        let (word, behind) = argument(rest);
        words.push(word);
        rest = behind;
    }
}

/// A path cannot have a quote in it: a backslash before one is a backslash.
fn program(line: &[u16]) -> (Vec<u16>, &[u16]) {
    let (mut word, mut is_quoted) = (Vec::new(), false);
    for (at, &unit) in line.iter().enumerate() {
        match unit {
            QUOTE => is_quoted = !is_quoted,
            SPACE | TAB if !is_quoted => return (word, &line[at..]),
            unit => word.push(unit),
        }
    }
    (word, &[])
}

fn argument(mut rest: &[u16]) -> (Vec<u16>, &[u16]) {
    let (mut word, mut is_quoted) = (Vec::new(), false);
    loop {
        let backslashes = run_of(rest, |unit| unit == BACKSLASH);
        rest = &rest[backslashes..];
        let next = rest.split_first();
        // Only before a quote do they escape one another, and the last one of an odd number the quote.
        let before_quote = next.is_some_and(|(&unit, _)| unit == QUOTE);
        let kept = if before_quote { backslashes / 2 } else { backslashes };
        word.extend(std::iter::repeat_n(BACKSLASH, kept));
        match next {
            None => return (word, rest),
            Some((&(SPACE | TAB), _)) if !is_quoted => return (word, rest),
            Some((&QUOTE, behind)) if backslashes % 2 == 1 => {
                word.push(QUOTE);
                rest = behind;
            }
            Some((&QUOTE, behind)) if is_quoted && behind.first() == Some(&QUOTE) => {
                word.push(QUOTE);
                rest = &behind[1..];
            }
            Some((&QUOTE, behind)) => {
                is_quoted = !is_quoted;
                rest = behind;
            }
            Some((&unit, behind)) => {
                word.push(unit);
                rest = behind;
            }
        }
    }
}

fn run_of(units: &[u16], is_of_it: impl Fn(u16) -> bool) -> usize {
    units.iter().take_while(|unit| is_of_it(**unit)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        let line: Vec<u16> = line.encode_utf16().collect();
        parted(&line).iter().map(|word| String::from_utf16(word).expect("whole characters")).collect()
    }

    #[test]
    fn a_command_line_is_parted_as_the_program_does_at_its_start() {
        for (line, expected) in [
            (r"p", &["p"][..]),
            ("p  a\t b ", &["p", "a", "b"]),
            (r#""C:\Program Files\p.exe" service run"#, &[r"C:\Program Files\p.exe", "service", "run"]),
            // A quote after a backslash ends the program's path, and not an argument's.
            (r#""C:\d\" "C:\d\\" x"#, &[r"C:\d\", r"C:\d\", "x"]),
            (r#"p --config.file "C:\a b\c.yaml""#, &["p", "--config.file", r"C:\a b\c.yaml"]),
            (r#"p --config.file="C:\a b\c.yaml""#, &["p", r"--config.file=C:\a b\c.yaml"]),
            (r#"p a\\b "c\\d" e\\"f g""#, &["p", r"a\\b", r"c\\d", r"e\f g"]),
            (r#"p a\"b "c\"d" e\\\"f"#, &["p", r#"a"b"#, r#"c"d"#, r#"e\"f"#]),
            (r#"p "" "a""b" """#, &["p", "", r#"a"b"#, ""]),
            (r#"p "open to the end"#, &["p", "open to the end"]),
            ("", &[""]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    /// As those who register a service write a word, whose rules are documented with `CommandLineToArgvW`.
    fn quoted(word: &str) -> String {
        let (mut quoted, mut backslashes) = ("\"".to_owned(), 0);
        for character in word.chars() {
            match character {
                '\\' => backslashes += 1,
                '"' => quoted.push_str(&r"\".repeat(std::mem::take(&mut backslashes) + 1)),
                _ => backslashes = 0,
            }
            quoted.push(character);
        }
        quoted + &r"\".repeat(backslashes) + "\""
    }

    proptest! {
        #[test]
        fn every_word_that_is_quoted_comes_back(given in proptest::collection::vec(r#"[a \\"\t=é]{0,8}"#, 0..6)) {
            let line = given.iter().fold("p".to_owned(), |line, word| format!("{line} {}", quoted(word)));
            prop_assert_eq!(&words(&line)[1..], given);
        }
    }
}
