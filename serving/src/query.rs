//! The parameters of a request.

use std::borrow::Cow;
use std::fmt;

/// The longest DNS name with its port; no parameter of ours is longer.
pub const MAX_WORD: usize = 300;

/// There are two of one name, or what stands there is too long or no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a parameter stands twice, is longer than {MAX_WORD} bytes or is no text")]
pub struct NoParameter;

/// The value of a parameter, decoded. Parameters that nobody knows are passed over.
///
/// # Errors
/// When it is none.
pub fn the_one<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, NoParameter> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.len() > MAX_WORD {
        return Err(NoParameter);
    }
    decode(value).ok_or(NoParameter).map(Some)
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'%' {
            let (digits, behind) = behind.split_at_checked(2)?;
            let digits = str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// A value as it stands in a link, whatever is in it.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a>(pub &'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => write!(f, "{}", char::from(byte)),
            byte => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_found_again_and_what_is_no_text_is_refused() {
        for value in ["", "ups-01.example.com", "a b&c=d%\"<+", "鍵番\u{202e}"] {
            let query = format!("x=1&host={}&y", Encoded(value));
            assert!(query.is_ascii() && !query.contains(['"', '<', ' ', '+']), "{query}");
            assert_eq!(the_one(&query, "host"), Ok(Some(value.into())));
        }
        assert_eq!(the_one("hosts=a", "host"), Ok(None));
        let long = format!("host={}", "a".repeat(MAX_WORD + 1));
        for query in ["host=a&host=a", "host=%ff", "host=%4", "host=%+4", "host=%", &long] {
            assert_eq!(the_one(query, "host"), Err(NoParameter), "{query}");
        }
    }
}
