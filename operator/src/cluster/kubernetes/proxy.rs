//! A proxy between the operator and the API server: the operator speaks through none, and `NO_PROXY` says where none is wanted.

use std::net::IpAddr;

use hyper::Uri;

use crate::host_pattern::HostPattern;

/// Whence a proxy may come that a kubeconfig does not name.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy is asked for. Its address may hold a password, and is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    #[error(
        "HTTPS_PROXY is set, and kagiban-operator reaches the API server through no proxy: unset it, or name {0} in NO_PROXY"
    )]
    Environment(String),
    #[error(
        "the kubeconfig asks for a proxy (proxy-url), and kagiban-operator reaches the API server through none: use one without it"
    )]
    Kubeconfig,
    #[error("{0} is no address of a proxy, such as http://proxy.example.com:3128 ({1}): set it right, or unset it")]
    Malformed(&'static str, String),
}

/// Before a configuration is read, which fails for a malformed proxy without saying where it was found.
///
/// # Errors
/// When a variable holds something that is no address.
pub(super) fn check_environment() -> Result<(), ProxyError> {
    match PROXY.iter().find_map(|name| Some((*name, std::env::var(name).ok().filter(|value| !value.is_empty())?))) {
        Some((name, value)) => well_formed(name, &value),
        None => Ok(()),
    }
}

/// What is wrong is told, and nothing of the value: it may hold a password.
fn well_formed(name: &'static str, value: &str) -> Result<(), ProxyError> {
    let uri = value.parse::<Uri>().map_err(|error| ProxyError::Malformed(name, error.to_string()))?;
    let wrong = |what: &str| Err(ProxyError::Malformed(name, what.to_owned()));
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return wrong("it names no host");
    };
    // The port is not judged where the address is read
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    if place.len() > authority.host().len() && authority.port_u16().is_none() {
        return wrong("its port is no number");
    }
    Ok(())
}

/// Takes the proxy out of the configuration where none is wanted for its server.
///
/// # Errors
/// When one is.
pub(super) fn without_proxy(config: &mut kube::Config) -> Result<(), ProxyError> {
    let set =
        |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    check(config.proxy_url.as_ref(), &config.cluster_url, set(PROXY).as_deref(), &set(NO_PROXY).unwrap_or_default())?;
    config.proxy_url = None;
    Ok(())
}

/// What a kubeconfig names is meant for that server, whatever `NO_PROXY` says: so kubectl has it.
fn check(proxy: Option<&Uri>, server: &Uri, set: Option<&str>, no_proxy: &str) -> Result<(), ProxyError> {
    let Some(proxy) = proxy else { return Ok(()) };
    if set.and_then(|set| set.parse::<Uri>().ok()).as_ref() != Some(proxy) {
        return Err(ProxyError::Kubeconfig);
    }
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(443);
    if is_this_machine(&host) || no_proxy.split(',').any(|entry| covers(entry.trim(), &host, port)) {
        Ok(())
    } else {
        Err(ProxyError::Environment(host))
    }
}

/// Go's programs, kubectl among them, speak to their own machine through no proxy.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// As kubectl reads an entry: `*`, an address, a range, a name with everything below it, `.name` or `*.name` for that alone; a
/// port behind it limits it. What is none of these covers nothing.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    let (entry, limit) = match entry.rsplit_once(':') {
        Some((name, limit)) if !name.contains(':') || name.ends_with(']') => (name, limit.parse().ok()),
        _ => (entry, Some(port)),
    };
    let entry = entry.trim_matches(['[', ']']);
    if entry == "*" {
        return true;
    }
    let is_meant = |pattern: &str| pattern.parse().is_ok_and(|pattern: HostPattern| pattern.covers(host));
    limit == Some(port)
        && match entry.strip_prefix('.') {
            Some(name) => is_meant(&format!("*.{name}")),
            None => is_meant(entry) || is_meant(&format!("*.{entry}")),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(server: &str, no_proxy: &str) -> bool {
        let proxy: Uri = "http://user:hidden@proxy.example.com:3128".parse().expect("a URL");
        let set = proxy.to_string();
        check(Some(&proxy), &server.parse().expect("a URL"), Some(&set), no_proxy).is_ok()
    }

    #[test]
    fn no_proxy_is_read_as_kubectl_reads_it() {
        for (server, no_proxy, expected) in [
            ("https://10.0.0.1:6443", "", false),
            ("https://10.0.0.1:6443", "10.0.0.1", true),
            ("https://10.0.0.1:6443", "localhost, 10.0.0.0/8 ", true),
            ("https://10.0.0.1:6443", "11.0.0.0/8,,x/y", false),
            ("https://10.0.0.1:6443", "10.0.0.1:6443", true),
            ("https://10.0.0.1:6443", "10.0.0.1:443", false),
            ("https://10.0.0.1:6443", "*", true),
            ("https://API.example.com", "example.com", true),
            ("https://api.example.com", ".example.com", true),
            ("https://api.example.com", "*.example.com:443", true),
            ("https://api.example.com", "api.example.com", true),
            ("https://example.com", ".example.com", false),
            ("https://badexample.com", "example.com", false),
            ("https://[2001:db8::1]:6443", "2001:db8::/32", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]:6443", true),
            ("https://[2001:db8::1]:6443", "2001:db8::1", true),
            ("https://127.0.0.1:6443", "", true),
            ("https://[::1]:6443", "", true),
            ("https://localhost:6443", "", true),
        ] {
            assert_eq!(checked(server, no_proxy), expected, "{server} {no_proxy}");
        }
    }

    #[test]
    fn a_malformed_proxy_is_told_by_its_variable_and_without_its_password() {
        for value in [
            "http://user:hidden@proxy example.com",
            "http://user:hidden@proxy:port",
            "http://user:hidden@",
            "/hidden",
            "http://[hidden",
        ] {
            let said = well_formed("HTTPS_PROXY", value).expect_err(value).to_string();
            assert!(said.starts_with("HTTPS_PROXY is no address of a proxy") && !said.contains("hidden"), "{said}");
        }
        for value in ["http://user:hidden@proxy:3128", "proxy.example.com:3128", "proxy", "socks5://[::1]:1080"] {
            assert_eq!(well_formed("HTTPS_PROXY", value), Ok(()), "{value}");
        }
    }

    #[test]
    fn a_proxy_that_is_asked_for_is_refused_without_its_password() {
        let (proxy, server): (Uri, Uri) =
            ("http://user:hidden@proxy:3128".parse().expect("a URL"), "https://10.0.0.1".parse().expect("a URL"));
        let set = proxy.to_string();
        let refused = check(Some(&proxy), &server, Some(&set), "").expect_err("a proxy is asked for").to_string();
        assert!(
            refused.contains("NO_PROXY") && refused.contains("10.0.0.1") && !refused.contains("hidden"),
            "{refused}"
        );
        assert_eq!(check(Some(&proxy), &server, None, "*"), Err(ProxyError::Kubeconfig));
        assert_eq!(check(None, &server, Some(&set), ""), Ok(()));
    }
}
