//! What the rules call, and CEL by itself does not have: of what Kubernetes adds to it, as much as the CRD uses. A rule that calls
//! anything else has no answer, which a test of all rules sees.
#![expect(clippy::needless_pass_by_value, reason = "CEL gives its functions values")]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cel::extractors::This;
use cel::objects::Opaque;
use cel::{Context, Env, ExecutionError, Value, extensions};
use regex::Regex;

/// The language with its strings library.
pub(super) fn environment() -> Env {
    let mut environment = Env::stdlib();
    // Fails where a function of it is there already, which none is
    let added = environment.add_extension(extensions::strings);
    debug_assert!(added.is_ok(), "{added:?}");
    environment
}

/// Adds the functions that are called by name or as a member.
pub(super) fn add_to(context: &mut Context<'_, '_>) {
    let added = [
        context.add_function("isIP", |text: Arc<String>| address(&text).is_some()),
        context.add_function("ip", ip),
        context.add_function("family", family),
        context.add_function("duration", duration),
        context.add_function("matches", matches),
    ];
    debug_assert!(added.iter().all(Result::is_ok), "{added:?}");
}

/// An IP address as a value of its own: two that are written differently are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ip(IpAddr);

impl Opaque for Ip {
    fn runtime_type_name(&self) -> &str {
        "net.IP"
    }
}

/// As the API server reads one: without a zone, and none that is an IPv4 address in IPv6's clothes.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => None,
        address => Some(address),
    }
}

fn ip(text: Arc<String>) -> Result<Value, ExecutionError> {
    let address = address(&text).ok_or_else(|| ExecutionError::function_error("ip", "it is no IP address"))?;
    Ok(Value::Opaque(Arc::new(Ip(address))))
}

fn family(This(this): This<Value>) -> Result<i64, ExecutionError> {
    let Value::Opaque(value) = &this else { return Err(ExecutionError::function_error("family", "it is no address")) };
    match value.downcast_ref::<Ip>() {
        Some(Ip(IpAddr::V4(_))) => Ok(4),
        Some(Ip(IpAddr::V6(_))) => Ok(6),
        None => Err(ExecutionError::function_error("family", "it is no address")),
    }
}

/// As a number of nanoseconds: the rules do no more than compare durations.
fn duration(text: Arc<String>) -> Result<i64, ExecutionError> {
    let wrong = || ExecutionError::function_error("duration", "it is no duration");
    let mut nanoseconds = 0_i64;
    let mut rest = text.as_str();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (count, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let unit: i64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" => 1_000,
            "ns" => 1,
            _ => return Err(wrong()),
        };
        let part = count.parse::<i64>().ok().and_then(|count| count.checked_mul(unit)).ok_or_else(wrong)?;
        nanoseconds = nanoseconds.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    Ok(nanoseconds)
}

/// A pattern as Go reads it, which the API server is written in: in a class a bracket, and what combines two classes here, stand
/// for themselves.
pub(super) fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    let mut written = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    // Characters of the class so far
    let mut class: Option<usize> = None;
    while let Some(c) = rest.next() {
        match (c, class) {
            ('\\', _) => {
                written.push(c);
                written.extend(rest.next());
                class = class.map(|length| length + 1);
                continue;
            }
            ('[', None) => {
                class = Some(0);
                written.push(c);
                if rest.next_if_eq(&'^').is_some() {
                    written.push('^');
                }
                continue;
            }
            (']', Some(0)) => written.push_str("\\]"),
            (']', Some(_)) => {
                class = None;
                written.push(c);
                continue;
            }
            ('[', Some(_)) if rest.peek() == Some(&':') => {
                // A named class, to its end
                written.push(c);
                while let Some(c) = rest.next() {
                    written.push(c);
                    if c == ':' && rest.next_if_eq(&']').is_some() {
                        written.push(']');
                        break;
                    }
                }
            }
            ('[' | '&' | '~', Some(_)) => {
                written.push('\\');
                written.push(c);
            }
            (c, _) => written.push(c),
        }
        class = class.map(|length| length + 1);
    }
    Regex::new(&written)
}

/// The rules have a dozen patterns, which are compiled once. They come from the CRD and nowhere else.
fn matches(This(this): This<Arc<String>>, pattern: Arc<String>) -> Result<bool, ExecutionError> {
    static PATTERNS: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut patterns = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = patterns.get(pattern.as_str()) {
        return Ok(known.is_match(&this));
    }
    let compiled = regex(&pattern).map_err(|error| ExecutionError::function_error("matches", error))?;
    let is_match = compiled.is_match(&this);
    patterns.insert(pattern.to_string(), compiled);
    Ok(is_match)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_read_as_go_reads_it() {
        for (pattern, matching, other) in [
            ("^[[][a-z]+[]]$", "[a]", "a"),
            ("^[^]]$", "[", "]"),
            ("^[[:alpha:]&&]+$", "a&", "1"),
            ("^[~~a]+$", "~a", "b"),
            (r"^\[[0-9\]]\]$", "[]]", "[a]"),
            (r"[\x00-\x1f\x{200b}]", "a\u{200b}", "a"),
            ("^a$", "a", "a\n"),
        ] {
            let pattern = regex(pattern).expect(pattern);
            assert!(pattern.is_match(matching) && !pattern.is_match(other), "{pattern}");
        }
    }

    #[test]
    fn a_duration_is_counted_or_refused() {
        let of = |text: &str| duration(Arc::new(text.to_owned())).ok();
        assert_eq!(of("1h"), of("60m"));
        assert_eq!(of("1h1m1s"), of("3661s"));
        assert!(of("876000h") < of("876000h1s"));
        for text in ["", "1", "h", "1d", "1.5h", "-1h", "9999999h"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
