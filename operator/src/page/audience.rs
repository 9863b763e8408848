//! Who sees the pages. A login they have none.

use std::net::IpAddr;

use hyper::header::{FORWARDED, HOST, HeaderMap, VIA};
use hyper::http::uri::Authority;

/// What is told to whoever comes from elsewhere.
pub(super) const HOW_TO_SEE_IT: &str = "the page is for whoever is let onto this machine (--page local). In a cluster:\n\
     kubectl -n NAMESPACE port-forward deploy/kagiban-operator 9994\n\
     without one: ssh -L 9994:127.0.0.1:9994 MACHINE\n\
     and then http://127.0.0.1:9994/. With --page all, whoever reaches this port sees it.\n";

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor<'a> {
    pub(crate) address: IpAddr,
    pub(crate) headers: &'a HeaderMap,
}

impl Visitor<'_> {
    /// Whether somebody on this machine asks for this machine: not a proxy here for somebody elsewhere, as far as it says that, and not
    /// a site in a browser here, whose name was made to lead to this machine.
    pub(super) fn is_local(self) -> bool {
        let Self { address, headers } = self;
        let is_passed_on = |name: &str| name == FORWARDED || name == VIA || name.starts_with("x-forwarded-");
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        address.to_canonical().is_loopback()
            && host.is_some_and(is_loopback)
            && !headers.keys().any(|name| is_passed_on(name.as_str()))
    }
}

/// Whether that is an address, or the name, of the machine itself.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_this_machine_for_itself_is_local() {
        let is_local = |address: &str, headers: &[(&'static str, &'static str)]| {
            let headers =
                headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            let (address, headers) = (address.parse().expect("an address"), headers.collect());
            Visitor { address, headers: &headers }.is_local()
        };
        for (address, host) in [
            ("127.0.0.1", "127.0.0.1:9994"),
            ("::1", "[::1]:9994"),
            ("::ffff:127.0.0.1", "localhost:8080"),
            ("127.0.0.1", "LOCALHOST"),
        ] {
            assert!(is_local(address, &[("host", host)]), "{address} {host}");
        }
        for (address, host) in [
            ("10.1.2.3", "127.0.0.1:9994"),
            ("127.0.0.1", "operator.example.com:9994"),
            // What a site in a browser here can have its own name lead to
            ("127.0.0.1", "localhost.example.com"),
            ("127.0.0.1", "127.0.0.1.example.com:9994"),
            ("127.0.0.1", "0.0.0.0:9994"),
            ("127.0.0.1", ""),
        ] {
            assert!(!is_local(address, &[("host", host)]), "{address} {host}");
        }
        assert!(!is_local("127.0.0.1", &[]));
        for passed_on in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto"] {
            assert!(!is_local("127.0.0.1", &[("host", "localhost"), (passed_on, "x")]), "{passed_on}");
        }
    }
}
