//! `host:port`, wherever a configuration, a flag or a request has one.

/// The host, without the brackets of an IPv6 address, and what stands behind its colon. The host may be empty; one with colons and
/// no brackets is none.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
        None if host.contains([':', '[', ']']) => return None,
        None => host,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_needs_its_brackets_and_nothing_else_has_any() {
        for (text, parts) in [
            ("ups-01.example.com:6547", Some(("ups-01.example.com", "6547"))),
            ("[2001:db8::1]:443", Some(("2001:db8::1", "443"))),
            (":9994", Some(("", "9994"))),
            ("host:*", Some(("host", "*"))),
            ("2001:db8::1:443", None),
            ("[host]:443", None),
            ("[2001:db8::1:443", None),
            ("a]:443", None),
            ("443", None),
        ] {
            assert_eq!(split(text), parts, "{text}");
        }
    }
}
