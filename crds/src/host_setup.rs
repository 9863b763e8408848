//! What a host's configuration and the cluster call what is set up for the host API: `kagiban-operator enroll` makes it, and
//! `kagiban-exporter discover` proposes a configuration that names it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where the host API listens, and where the operator looks for it when a URL names no port.
pub const PORT: u16 = 9995;
/// On every address of the host.
pub const LISTEN_ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT));

/// Of the files below, on a host with Linux.
pub const DIRECTORY: &str = "/etc/kagiban";
/// The same on one with Windows, where the service has its configuration too.
pub const WINDOWS_DIRECTORY: &str = r"C:\ProgramData\kagiban";
pub const CERTIFICATE_FILE: &str = "host-api.crt";
pub const KEY_FILE: &str = "host-api.key";
pub const CLIENT_CA_FILE: &str = "client-ca.crt";

/// The name in the operator's client certificate.
pub const CLIENT_NAME: &str = "kagiban-operator";
/// The Secret with that certificate.
pub const CLIENT_SECRET: &str = "fleet-client";
/// The Secret with the CA of the agents' certificates.
pub const ISSUER_SECRET: &str = "fleet-ca";
/// Where the resources and their Secrets are, unless somebody says otherwise.
pub const NAMESPACE: &str = "fleet";

/// `hostApi` of the exporter's configuration, as YAML: for a host whose files are in `directory`, and which lets `client` in.
pub fn host_api_section(listen: SocketAddr, directory: &str, client: &str) -> String {
    let file = |name: &str| yaml_scalar(&below(directory, name));
    format!(
        "hostApi:\n  listenAddress: {}\n  certificateFile: {}\n  keyFile: {}\n  clientCaFile: {}\n  clientNames: [{}]\n",
        yaml_scalar(&listen.to_string()),
        file(CERTIFICATE_FILE),
        file(KEY_FILE),
        file(CLIENT_CA_FILE),
        yaml_scalar(client),
    )
}

/// Whether an absolute path is one of Windows: it begins with a drive.
pub fn is_of_windows(path: &str) -> bool {
    let mut chars = path.chars();
    chars.next().is_some_and(|drive| drive.is_ascii_alphabetic())
        && chars.next() == Some(':')
        && chars.next().is_some_and(|c| c == '\\' || c == '/')
}

/// A file of a directory on the host, as the host's system writes it.
pub fn below(directory: &str, name: &str) -> String {
    if is_of_windows(directory) {
        format!(r"{}\{name}", directory.trim_end_matches(['\\', '/']))
    } else {
        format!("{}/{name}", directory.trim_end_matches('/'))
    }
}

/// A text as YAML has it: in quotes, unless every reader of YAML 1.1 and 1.2 takes it for a text without. `on`, `010` and `1e3` can
/// be names.
pub fn yaml_scalar(text: &str) -> String {
    // No number of either version starts with a letter or `/`, and no word but these is anything else than a text.
    const NO_TEXTS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && !NO_TEXTS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            // Some of the rest end a line for one reader and not for another, and some are refused.
            c => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted + "\""
}

#[cfg(all(test, feature = "resource"))]
mod tests {
    use proptest::prelude::*;
    use serde_yaml::Value;

    use super::*;

    fn read_back(text: &str) {
        let written = yaml_scalar(text);
        assert!(!written.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']), "{written:?}");
        for document in [format!("it: {written}"), format!("it: [{written}]"), format!("- it: {written} # a comment")] {
            let read: Value = serde_yaml::from_str(&document).unwrap_or_else(|error| panic!("{document:?}: {error}"));
            let read = read.get(0).unwrap_or(&read);
            let read = if read["it"].is_sequence() { &read["it"][0] } else { &read["it"] };
            assert_eq!(read.as_str(), Some(text), "{document:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_is(text in any::<String>()) {
            read_back(&text);
        }

        #[test]
        fn so_is_one_that_looks_like_something_else(text in "[-+.~]?[0-9a-fxobn_.eE:/ytNuls]{0,8}[ :#\"\\\\\u{85}\u{2028}\u{feff}]?") {
            read_back(&text);
        }
    }

    #[test]
    fn a_name_or_a_path_of_any_form_is_read_back_as_the_text_it_is() {
        let texts = [
            "/etc/kagiban",
            "ups-01",
            "010",
            "0x1f",
            "1e3",
            "12:30",
            "2026-01-01",
            "On",
            "null",
            "",
            "~",
            "a b",
            "/a: #\"b\"",
            "- x",
            "日本/エージェント",
            "a\u{2028}b\u{85}c\td\u{7f}\u{feff}\u{fffe}😀",
        ];
        texts.into_iter().for_each(read_back);
        assert_eq!(
            ["/etc/kagiban", "ups-01", "on", "NO", "010"].map(yaml_scalar),
            ["/etc/kagiban", "ups-01", "\"on\"", "\"NO\"", "\"010\""]
        );
    }

    #[test]
    fn the_section_names_the_files_wherever_they_lie() {
        let section = host_api_section(LISTEN_ADDRESS, DIRECTORY, CLIENT_NAME);
        let expected = "hostApi:\n  listenAddress: \"0.0.0.0:9995\"\n  certificateFile: /etc/kagiban/host-api.crt\n  \
            keyFile: /etc/kagiban/host-api.key\n  clientCaFile: /etc/kagiban/client-ca.crt\n  clientNames: [kagiban-operator]\n";
        assert_eq!(section, expected);
        let odd = host_api_section("[::]:9443".parse().expect("an address"), "/srv/a b: \"c\"#/", "010");
        let read: Value = serde_yaml::from_str(&odd).expect("YAML");
        assert_eq!(read["hostApi"]["keyFile"], "/srv/a b: \"c\"#/host-api.key");
        assert_eq!(read["hostApi"]["listenAddress"], "[::]:9443");
        assert_eq!(read["hostApi"]["clientNames"][0], "010");
        for directory in [WINDOWS_DIRECTORY, r"C:\ProgramData\kagiban\"] {
            let windows = host_api_section(LISTEN_ADDRESS, directory, CLIENT_NAME);
            let read: Value = serde_yaml::from_str(&windows).expect("YAML");
            assert_eq!(read["hostApi"]["keyFile"], r"C:\ProgramData\kagiban\host-api.key");
        }
        assert!(!is_of_windows("/etc") && !is_of_windows("c") && !is_of_windows("C:etc") && is_of_windows("d:/x"));
    }
}
