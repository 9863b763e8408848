//! What stands in the files: those of the host, its part of the exporter's configuration, and the operator's Secrets.

use std::fmt::Write as _;

use kagiban_crds::SecretName;
use kagiban_crds::host_setup::{CERTIFICATE_FILE, CLIENT_CA_FILE, KEY_FILE, host_api_section, yaml_scalar};
use kagiban_crds::resource::{ALLOWED_CLIENTS_ANNOTATION, ALLOWED_HOSTS_ANNOTATION, PURPOSE_LABEL};
use zeroize::Zeroizing;

use super::identity::Identity;
use crate::certificate::MadeAuthority;
use crate::cli::EnrollArgs;
use crate::grant::Purpose;

/// With [`settings`].
pub(super) const SETTINGS: &str = "host-api.yaml";

pub(super) fn host_files<'a>(host: &'a Identity, anchor: &'a str, settings: &'a str) -> [(&'static str, &'a [u8]); 4] {
    [
        (CERTIFICATE_FILE, host.chain.as_bytes()),
        (KEY_FILE, host.key.as_bytes()),
        (CLIENT_CA_FILE, anchor.as_bytes()),
        (SETTINGS, settings.as_bytes()),
    ]
}

/// The part of the exporter's configuration that is about the host API.
pub(super) fn settings(args: &EnrollArgs) -> String {
    let host = args.host.as_ref().map_or_else(String::new, |host| format!("host: {}\n", yaml_scalar(host.as_str())));
    host + &host_api_section(args.listen_address, &args.on_host, args.client_name.as_str())
}

/// The Secret that resources name in `tlsSecretRef`, with what the operator may use it for and for which hosts.
pub(super) fn client_secret(args: &EnrollArgs, client: &Identity, anchor: &str) -> Zeroizing<String> {
    let head = format!(
        "# The client certificate of kagiban-operator ({}), until {}. It holds a private key.\n{}",
        args.client_name,
        client.leaf.not_after,
        head(args, &args.client_secret.name, Purpose::ClientTls)
    );
    with_values(&head, &[("tls.crt", client.chain.as_str()), ("tls.key", &client.key), ("ca.crt", anchor)])
}

/// The one that they name in `issuerRef`, where that was asked for.
pub(super) fn issuer_secret(args: &EnrollArgs, made: &MadeAuthority) -> Option<Zeroizing<String>> {
    let name = args.new_issuer.as_ref()?;
    let head = format!(
        "# The CA of the agents' certificates, until {}. It holds a private key.\n{}",
        made.not_after,
        head(args, name, Purpose::Issuer)
    );
    Some(with_values(&head, &[("tls.crt", made.certificate.as_str()), ("tls.key", made.key.as_str())]))
}

/// A Secret up to its values.
fn head(args: &EnrollArgs, name: &SecretName, purpose: Purpose) -> String {
    let allowed: Vec<_> = match (&args.host, args.allowed_hosts.as_slice()) {
        (Some(host), []) => vec![host.to_string()],
        (_, listed) => listed.iter().map(ToString::to_string).collect(),
    };
    let namespace = args
        .client_secret
        .namespace
        .iter()
        .fold(String::new(), |_, name| format!("  namespace: {}\n", yaml_scalar(name)));
    // A leaf of an issuer travels to a host by the client's Secret
    let clients = (purpose == Purpose::Issuer)
        .then(|| format!("    {ALLOWED_CLIENTS_ANNOTATION}: {}\n", yaml_scalar(args.client_secret.name.as_str())));
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n{namespace}  labels:\n    {PURPOSE_LABEL}: {}\n  annotations:\n    \
         {ALLOWED_HOSTS_ANNOTATION}: {}\n{}type: kubernetes.io/tls\nstringData:\n",
        yaml_scalar(name.as_str()),
        purpose.word(),
        yaml_scalar(&allowed.join(", ")),
        clients.unwrap_or_default()
    )
}

/// The text never grows: that would leave a copy of the key behind in freed memory.
fn with_values(head: &str, values: &[(&str, &str)]) -> Zeroizing<String> {
    let line = |line: &str| "    \n".len() + line.len();
    let length = |(key, value): &(&str, &str)| "  : |\n".len() + key.len() + value.lines().map(line).sum::<usize>();
    let length = head.len() + values.iter().map(length).sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.push_str(head);
    for (key, value) in values {
        let _ = writeln!(text, "  {key}: |");
        for line in value.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use kagiban_crds::resource::GoDuration;
    use serde_json::{Value, json};

    use super::super::identity::{self, tests as sample};
    use super::*;
    use crate::agent_api::ClientIdentity;
    use crate::certificate::{Authority, Usage};
    use crate::cli::{Cli, Command};
    use crate::cluster::SecretClaims;
    use crate::grant::Grant;

    fn args(more: &[&str]) -> EnrollArgs {
        let words = ["kagiban-operator", "enroll", "ups-01.example.com", "--new-ca", "ca"];
        match Cli::try_parse_from(words.iter().chain(more)).expect("a command line").command {
            Some(Command::Enroll(args)) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn said(secret: &Value, path: &str) -> Option<String> {
        secret.pointer(path).and_then(Value::as_str).map(str::to_owned)
    }

    /// What a Secret says of itself.
    fn claims(secret: &Value) -> SecretClaims {
        let said = |path: &str| said(secret, path);
        SecretClaims {
            name: said("/metadata/name").expect("a name"),
            kind: said("/type").expect("a type"),
            purpose: said("/metadata/labels/kagiban.dev~1purpose"),
            allowed_hosts: said("/metadata/annotations/kagiban.dev~1allowed-hosts"),
            allowed_clients: said("/metadata/annotations/kagiban.dev~1allowed-clients"),
        }
    }

    #[test]
    fn the_settings_are_of_this_host_and_where_its_files_will_lie() {
        let host = |name: &str| {
            let mut args = args(&["--on-host", "/srv/keys/", "--listen-address", "[::]:9443"]);
            args.host = Some(name.parse().expect("a name"));
            settings(&args)
        };
        let read: Value = serde_yaml::from_str(&host("1e3")).expect("YAML");
        assert_eq!((&read["host"], &read["hostApi"]["keyFile"]), (&json!("1e3"), &json!("/srv/keys/host-api.key")));
        assert_eq!(read["hostApi"]["listenAddress"], "[::]:9443");
        assert!(host("ups-01").starts_with("host: ups-01\nhostApi:\n"));
    }

    /// What the operator asks of a client Secret it finds in this one.
    #[test]
    fn the_secret_is_one_that_the_operator_takes_for_these_hosts() {
        let client = identity::Names::of_client(&"kagiban-operator".parse().expect("a name"));
        let year = GoDuration::from_hours(8760);
        let client = identity::issue(&sample::ca(), &client, Usage::Client, year, sample::now()).expect("issued");
        let anchor = sample::ca().certificate().to_vec();
        let anchor = kagiban_keystore::pem_block("CERTIFICATE", &anchor);
        for (more, hosts, namespace) in [
            (&[][..], "ups-01.example.com", json!("fleet")),
            (&["--client-secret", "elsewhere"], "ups-01.example.com", Value::Null),
            (
                &["--allowed-hosts", "*.example.com,192.0.2.0/24", "--client-secret", "site/ups"],
                "*.example.com, 192.0.2.0/24",
                json!("site"),
            ),
        ] {
            let args = args(more);
            let text = client_secret(&args, &client, &anchor);
            let read: Value = serde_yaml::from_str(&text).expect("YAML");
            assert_eq!((&read["apiVersion"], &read["kind"]), (&json!("v1"), &json!("Secret")));
            assert_eq!(read["metadata"]["namespace"], namespace);
            let said = |path: &str| said(&read, path);
            let claims = claims(&read);
            assert_eq!((claims.allowed_hosts.as_deref(), claims.allowed_clients.as_deref()), (Some(hosts), None));
            let grant = Grant::read(&claims, Purpose::ClientTls).expect("for the operator");
            assert!(grant.cover([&"ups-01.example.com".to_owned()]).is_ok());
            let value = |key: &str| said(&format!("/stringData/{key}")).expect(key);
            assert_eq!((value("tls.crt"), value("ca.crt")), (client.chain.clone(), anchor.to_string()));
            let (certificate, key, ca) = (value("tls.crt"), value("tls.key"), value("ca.crt"));
            ClientIdentity::from_pem(certificate.as_bytes(), key.as_bytes(), ca.as_bytes()).expect("an identity");
        }
    }

    /// What the operator asks of an issuer it finds in this one.
    #[test]
    fn a_new_issuer_is_one_that_the_operator_signs_with_for_these_hosts_and_this_client() {
        let made = MadeAuthority::new("Fleet CA", sample::now()).expect("a CA");
        let args = args(&["--new-issuer", "fleet-ca", "--allowed-hosts", "*.example.com"]);
        let text = issuer_secret(&args, &made).expect("it was asked for");
        let read: Value = serde_yaml::from_str(&text).expect("YAML");
        let said = |path: &str| said(&read, path);
        let claims = claims(&read);
        assert_eq!((claims.name.as_str(), said("/metadata/namespace").as_deref()), ("fleet-ca", Some("fleet")));
        assert_eq!(claims.allowed_clients.as_deref(), Some("fleet-client"));
        let grant = Grant::read(&claims, Purpose::Issuer).expect("for the operator");
        assert!(grant.cover([&"ups-01.example.com".to_owned()]).is_ok());
        assert!(grant.cover([&"ups-01.example.org".to_owned()]).is_err());
        let value = |key: &str| said(&format!("/stringData/{key}")).expect(key);
        Authority::read(value("tls.crt").as_bytes(), value("tls.key").as_bytes(), sample::now()).expect("it can sign");
    }

    /// A text that grows leaves the key behind in freed memory.
    #[test]
    fn the_text_with_the_key_is_written_without_growing() {
        let (many, none) = ("a\n".repeat(500), String::new());
        for value in [many.as_str(), "one\n\ntwo", none.as_str()] {
            let text = with_values("head\n", &[("tls.key", value), ("ca.crt", "b\n")]);
            // What has grown has room for more than it holds.
            assert_eq!(text.capacity(), text.len());
            let read: Value = serde_yaml::from_str(text.strip_prefix("head\n").expect("the head")).expect("YAML");
            assert_eq!(read["ca.crt"], "b\n");
        }
    }
}
