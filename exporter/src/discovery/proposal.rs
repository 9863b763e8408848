//! What a person writes to have agents rotated that were found: the configuration of the host, and the resources of the cluster. Both
//! are meant to be read and changed before they are used. Pure.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use kagiban_agents::{Class, Os};
use kagiban_crds::host_setup::{self, CLIENT_SECRET, ISSUER_SECRET, PORT, below, yaml_scalar};
use kagiban_crds::{AgentName, HostName};
use sha2::{Digest as _, Sha256};

use crate::installation::Installed;
use crate::platform;

/// Of a resource's name, by the CRD.
const MAX_NAME: usize = 63;

/// In the place of UPSes, as lines that a person completes.
const NO_DAEMON: &str = "\
# No UPS daemon answers on this host, and nothing is rotated while the power is not known. Name its UPS:
#ups:
#- {name: rack-a, nut: {address: \"127.0.0.1:3493\", ups: smart1500}}
# or, where none can be asked and somebody vouches for the mains:
#power: {assume: mains}
";

/// What is in no usual place, as lines that a person completes.
fn own_service(os: Os) -> String {
    let (directory, service) = match os {
        Os::Linux => ("/etc/web", "web.service"),
        Os::Windows => (r"C:\web", "Web"),
    };
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| yaml_scalar(&below(directory, name)));
    format!(
        "\
# A service of your own with a certificate, such as a web server, is in no usual place and is not found. It is named by hand; see
# {}
#- name: web
#  product: tls-service
#  keystore: {{certificateFile: {certificate}, keyFile: {key}}}
#  endpoint: {{address: \"127.0.0.1:8443\"}}
#  service: {{name: {service}}}
",
        online!("docs/products/tls-service.md")
    )
}

/// Where the configuration and the files of the host API are.
const fn directory(os: Os) -> &'static str {
    match os {
        Os::Linux => host_setup::DIRECTORY,
        Os::Windows => host_setup::WINDOWS_DIRECTORY,
    }
}

/// A UPS daemon on this host that something answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalDaemon {
    Apcupsd,
    Upsd,
}

/// An agent that can be rotated, or that renews itself once a person has completed what is proposed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotatable {
    pub name: AgentName,
    pub at: Installed,
    /// The host knows no password of its store, so that the resource has to name one.
    pub wants_password: bool,
}

impl LocalDaemon {
    pub const ALL: [Self; 2] = [Self::Apcupsd, Self::Upsd];

    /// Where it listens unless it is told otherwise.
    pub const fn address(self) -> SocketAddr {
        let port = match self {
            Self::Apcupsd => 3551,
            Self::Upsd => 3493,
        };
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apcupsd => "apcupsd",
            Self::Upsd => "upsd",
        }
    }

    /// Of a UPS in the configuration.
    const fn section(self) -> &'static str {
        match self {
            Self::Apcupsd => "apcupsd",
            Self::Upsd => "nut",
        }
    }
}

impl Rotatable {
    /// It needs nothing but its own configuration.
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self.at.product.facts().class, Class::Push)
    }
}

/// The installations that take a rotation or renew themselves, each with a name of its own. `wants_password` is asked of each that takes
/// one.
pub fn rotatable(found: &[Installed], wants_password: impl Fn(&AgentName, &Installed) -> bool) -> Vec<Rotatable> {
    let mut named: Vec<Rotatable> = Vec::new();
    for at in found {
        let again = named.iter().filter(|other| other.at.product == at.product).count();
        let takes = match at.product.facts().class {
            Class::Push => true,
            // Its parts are renewed by one program, and the likeliest of them stands first.
            Class::Trigger(_) => again == 0,
            Class::Observe => false,
        };
        if !takes {
            continue;
        }
        let name = at.product.facts().agent;
        let name = if again == 0 { name.to_owned() } else { format!("{name}-{}", again + 1) };
        let Ok(name) = name.parse::<AgentName>() else { continue };
        let is_push = matches!(at.product.facts().class, Class::Push);
        named.push(Rotatable { wants_password: is_push && wants_password(&name, at), name, at: at.clone() });
    }
    named
}

/// The configuration of the host, as YAML with comments.
pub fn configuration(host: &HostName, agents: &[Rotatable], daemons: &[LocalDaemon]) -> String {
    configuration_as(platform::OS, host.as_str(), agents, daemons)
}

/// The same of a host that calls itself `own`, which is no host name: as such it is refused until a person gives it one.
pub fn configuration_of_unnamed(own: &str, agents: &[Rotatable], daemons: &[LocalDaemon]) -> String {
    let said = yaml_scalar(own);
    let head = format!(
        "# This host calls itself {said}, which is no host name: put its name after `host:`, or give --host.\n"
    );
    head + &configuration_as(platform::OS, own, agents, daemons)
}

fn configuration_as(os: Os, host: &str, agents: &[Rotatable], daemons: &[LocalDaemon]) -> String {
    let mut text = format!(
        "# {} of this host. `kagiban-operator enroll` makes the files of hostApi;\n\
         # clientNames has a DNS name of the operator's client certificate. Every key: {}\n\
         host: {}\n",
        below(directory(os), "exporter.yaml"),
        online!("examples/exporter.yaml"),
        yaml_scalar(host)
    );
    text.push_str(if daemons.is_empty() { NO_DAEMON } else { "ups:\n" });
    for daemon in daemons {
        let (name, section, address) = (daemon.as_str(), daemon.section(), daemon.address());
        let _ = write!(text, "- name: {name}\n  {section}:\n    address: {address}\n");
    }
    let has_whole = agents.iter().any(Rotatable::is_whole);
    text.push_str(if has_whole { "agents:\n" } else { "agents: []   # without [] where one is named below\n" });
    text.extend(agents.iter().filter(|agent| agent.is_whole()).map(entry));
    for agent in agents.iter().filter(|agent| !agent.is_whole()) {
        text.push_str(&own_renewal(os, agent));
    }
    text.push_str(&own_service(os));
    text + &host_setup::host_api_section(host_setup::LISTEN_ADDRESS, directory(os), host_setup::CLIENT_NAME)
}

fn entry(agent: &Rotatable) -> String {
    let Installed { product, directory } = &agent.at;
    let (product, directory) = (product.id(), yaml_scalar(&directory.to_string_lossy()));
    format!("- name: {}\n  product: {product}\n  directory: {directory}\n", yaml_scalar(agent.name.as_str()))
}

/// A product that renews itself, as lines that a person completes: by its own program it needs a password, else a program.
fn own_renewal(os: Os, agent: &Rotatable) -> String {
    let facts = agent.at.product.facts();
    let Class::Trigger(renewal) = facts.class else { return String::new() };
    let has_program = (renewal.renew)(os).is_some();
    let mut lines = entry(agent);
    let (needed, renew) = if has_program {
        let file = yaml_scalar(&below(directory(os), &format!("{}-password", agent.name)));
        ("the password under which its program keeps a backup", format!("    passwordFile: {file}\n"))
    } else {
        ("a program of yours around its vendor's installer", format!("    command: [{}]\n", yaml_scalar("renew-it")))
    };
    let _ = write!(lines, "  renew:\n{renew}");
    if let Some(keystore) = agent.at.keystores().next().filter(|_| facts.port.is_none()) {
        let _ = write!(lines, "  verify:\n    certificateFile: {}\n", yaml_scalar(&keystore.to_string_lossy()));
        lines.extend(facts.alias.map(|alias| format!("    alias: {}\n", yaml_scalar(alias))));
    }
    let lines: String = lines.lines().map(|line| format!("#{line}\n")).collect();
    format!(
        "# {} renews its own certificate, and needs {needed}; see {}{}.md\n{lines}",
        facts.id,
        online!("docs/products/"),
        facts.id
    )
}

/// A `ManagedAgentCertificate` for each agent, as a stream of YAML documents that `kubectl apply -f -` takes. The configuration of the
/// host that goes with them stands before, as comments.
pub fn manifests(host: &HostName, namespace: &str, agents: &[Rotatable], daemons: &[LocalDaemon]) -> String {
    let mut text = commented(&configuration(host, agents, daemons));
    let agents: Vec<_> = agents.iter().filter(|agent| agent.is_whole()).collect();
    if host.as_str().parse::<IpAddr>().is_ok() {
        return text
            + "#\n# A certificate needs a DNS name, and this host is named by an address: give its name with --host.\n";
    }
    if !agents.is_empty() {
        let _ = write!(
            text,
            "#\n# What follows is for the cluster, or without one for --manifests of `kagiban-operator standalone`. It names Secrets in its namespace: {ISSUER_SECRET} signs, and {CLIENT_SECRET} is shown to \
             the host.\n# `kagiban-operator enroll HOST --new-ca host-api-ca --new-issuer {ISSUER_SECRET}` makes both; see {}\n",
            online!("docs/first-rotation.md")
        );
    }
    if agents.iter().any(|agent| agent.wants_password) {
        text.push_str(&password_commands(host, namespace));
    }
    for Rotatable { name, at, wants_password } in agents {
        let (resource, product) = (yaml_scalar(&resource_name(host, name)), at.product.id());
        let namespace = yaml_scalar(namespace);
        let keystore =
            if *wants_password { "  keystore:\n    passwordSecretRef:\n      name: powerchute-store\n" } else { "" };
        let (name, host_name) = (yaml_scalar(name.as_str()), yaml_scalar(host.as_str()));
        let _ = write!(
            text,
            "\
---
apiVersion: kagiban.dev/v1alpha1
kind: ManagedAgentCertificate
metadata:
  name: {resource}
  namespace: {namespace}
spec:
  host: {host_name}
  agent:
    product: {product}
    name: {name}
  api:
    hostApi:
      url: https://{host}:{PORT}
      tlsSecretRef:
        name: {CLIENT_SECRET}
  certificate:
    dnsNames:
    - {host_name}
    duration: 2160h
    renewBefore: 720h
  issuerRef:
    kind: CASecret
    name: {ISSUER_SECRET}
{keystore}"
        );
    }
    text
}

/// A comment of the configuration stays one when its lines are taken out of these.
fn commented(configuration: &str) -> String {
    configuration.lines().map(|line| format!("# {line}\n")).collect()
}

/// How the Secret is made that the resources name then.
fn password_commands(host: &HostName, namespace: &str) -> String {
    let kubectl = format!("kubectl -n {namespace}");
    format!(
        "# The Secret powerchute-store holds the password of a keystore, which this host does not know. Without a cluster it is a file below\n\
         # --secrets or among the manifests, see {}. In one:\n\
         #   {kubectl} create secret generic powerchute-store --from-file=password=FILE\n\
         #   {kubectl} label secret powerchute-store kagiban.dev/purpose=keystore-password\n\
         #   {kubectl} annotate secret powerchute-store kagiban.dev/allowed-hosts={host} kagiban.dev/allowed-clients={CLIENT_SECRET}\n",
        online!("docs/standalone.md")
    )
}

/// What stands in their place for a host that calls itself `own`, which is no host name.
pub fn manifests_of_unnamed(own: &str, agents: &[Rotatable], daemons: &[LocalDaemon]) -> String {
    let configuration = configuration_of_unnamed(own, agents, daemons);
    commented(&configuration)
        + "#\n# A certificate needs a DNS name, and this host has none: give its name with --host.\n"
}

/// A name of its own for each agent of each host, as the chart makes it of `fleet.hosts`, of 63 characters at most. One that would be longer ends with a part of its SHA-256.
fn resource_name(host: &HostName, agent: &AgentName) -> String {
    let whole = format!("{host}-{agent}");
    if whole.len() <= MAX_NAME {
        return whole;
    }
    let digest = hex::encode(&Sha256::digest(format!("{host}/{agent}"))[..4]);
    let kept = whole[..MAX_NAME - digest.len() - 1].trim_end_matches(['-', '.']);
    format!("{kept}-{digest}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kagiban_agents::Product;

    use super::*;
    use crate::config;
    use crate::platform::testing::native;

    fn at(product: Product, directory: &str) -> Installed {
        Installed { product, directory: directory.into() }
    }

    fn host() -> HostName {
        "ups-01.example.com".parse().expect("a host name")
    }

    #[test]
    fn the_configuration_that_is_proposed_is_taken_and_names_every_agent_and_daemon() {
        // A directory may be called anything.
        let odd = "/opt/#1: \"Agent\"";
        let found = [
            at(Product::PowerchuteSerialShutdown, "/opt/APC/Agent"),
            at(Product::PowerchuteSerialShutdown, odd),
            at(Product::PowerchuteBusinessEdition, "/opt/APC/PBE"),
        ];
        let agents = rotatable(&found, |_, at| at.directory == Path::new(odd));
        let text = configuration(&host(), &agents, &LocalDaemon::ALL);
        let config = config::parse(&text, Path::new("proposed")).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let named: Vec<_> = config.agents.iter().map(|it| (it.name.as_str(), it.directory.clone())).collect();
        let expected = [("powerchute", "/opt/APC/Agent"), ("powerchute-2", odd)];
        assert!(!manifests(&host(), "fleet", &agents, &[]).contains("product: powerchute-business-edition\n    name"));
        assert_eq!(named, expected.map(|(name, path)| (name, Some(path.into()))));
        assert_eq!(config.host, Some(host()));
        assert!(config.ups.len() == 2 && config.ups.iter().all(|ups| ups.feeds_host) && config.host_api.is_some());
        let without = configuration(&host(), &agents, &[]);
        assert!(!without.contains("\nups:") && !without.contains("\npower:"), "{without}");
        // Either proposal is one when its sign of a comment is taken away.
        let ups = without.replace("#ups:", "ups:").replace("#- {name", "- {name");
        let named = config::parse(&ups, Path::new("ups")).unwrap_or_else(|error| panic!("{error}\n{ups}"));
        assert_eq!(named.ups.len(), 1);
        let power = without.replace("#power:", "power:");
        let vouched = config::parse(&power, Path::new("power")).unwrap_or_else(|error| panic!("{error}\n{power}"));
        assert!(vouched.power.assumes_mains());
    }

    #[test]
    fn a_product_that_renews_itself_is_proposed_with_what_a_person_has_to_complete() {
        let found = [
            at(Product::PowerchuteBusinessEdition, "/opt/APC/PBE/Server"),
            at(Product::PowerchuteBusinessEdition, "/opt/APC/PBE/Agent"),
            at(Product::VirusBusterCorp, "/opt/APC/Officescan"),
        ];
        let agents = rotatable(&found, |_, _| true);
        for os in [Os::Linux, Os::Windows] {
            let text = configuration_as(os, "ups-01.example.com", &agents, &[LocalDaemon::Upsd]);
            let nothing =
                config::parse(&native(&text), Path::new("c")).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(nothing.agents.is_empty(), "{text}");
            let is_entry = |line: &&str| line.starts_with("#- ") || line.starts_with("#  ");
            let (before, _) = text.split_once("agents: []").expect("none is whole");
            let entries: String = text.lines().filter(is_entry).map(|line| format!("{}\n", &line[1..])).collect();
            let entries = entries.split("- name: web").next().expect("the first part").to_owned();
            let named = format!("{before}agents:\n{entries}");
            let config = config::parse(&native(&named.replace(r"C:\", "/")), Path::new("c"));
            let config = config.unwrap_or_else(|error| panic!("{error}\n{named}"));
            let told = |agent: &config::AgentConfig| {
                let verify = (agent.verify.certificate_file.is_some(), agent.verify.alias.clone());
                let renew = agent.renew.as_ref().expect("it is renewed");
                (agent.name.to_string(), verify, renew.command.is_some(), renew.password_file.is_some())
            };
            let of_notice = ("pcbe".to_owned(), (true, Some("securekey".to_owned())), true, false);
            let of_program = ("virus-buster".to_owned(), (true, None), false, true);
            assert_eq!(config.agents.iter().map(told).collect::<Vec<_>>(), [of_notice, of_program], "{text}");
        }
    }

    /// Nothing was said of it, and whoever has such a service looked for it in vain.
    #[test]
    fn a_service_of_ones_own_is_named_by_hand_and_the_configuration_says_how() {
        let found = rotatable(&[at(Product::PowerchuteSerialShutdown, "/opt/APC/Agent")], |_, _| false);
        for (agents, names) in [(&found[..], &["powerchute", "web"][..]), (&[], &["web"])] {
            let text = configuration(&host(), agents, &LocalDaemon::ALL);
            let (before, service) = text.split_once("#- name: web").expect("it is there");
            let (service, rest) = service.split_once("hostApi:").expect("it stands before hostApi");
            let named = format!("- name: web{}hostApi:{rest}", service.replace("\n#", "\n"));
            let text = before.replace("agents: []", "agents:") + &named;
            let config =
                config::parse(&native(&text), Path::new("c")).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(config.agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(), names);
        }
        let manifests = manifests(&host(), "fleet", &[], &[]);
        assert!(manifests.contains("# #  product: tls-service\n"), "{manifests}");
    }

    /// A host with Windows was told to put its files below /etc.
    #[test]
    fn the_configuration_of_a_host_names_the_places_of_its_own_system() {
        let proposed = |os| configuration_as(os, "ups-01.example.com", &[], &LocalDaemon::ALL);
        let (linux, windows) = (proposed(Os::Linux), proposed(Os::Windows));
        assert!(
            windows.starts_with("# C:\\ProgramData\\kagiban\\exporter.yaml of this host.")
                && !windows.contains("/etc/")
        );
        assert!(linux.starts_with("# /etc/kagiban/exporter.yaml of this host.") && !linux.contains(":\\"), "{linux}");
        let read = |text: &str| serde_yaml::from_str::<serde_yaml::Value>(text).expect("YAML");
        let keys = [&linux, &windows].map(|text| read(text)["hostApi"]["keyFile"].as_str().map(str::to_owned));
        let expected = ["/etc/kagiban/host-api.key", r"C:\ProgramData\kagiban\host-api.key"];
        assert_eq!(keys, expected.map(|key| Some(key.to_owned())));
        let (_, service) = windows.split_once("#- name").expect("a service of one's own");
        let (service, _) = service.split_once("hostApi:").expect("it stands before hostApi");
        let service = read(&format!("- name{}", service.replace("\n#", "\n")));
        assert_eq!(service[0]["keystore"]["certificateFile"].as_str(), Some(r"C:\web\tls.crt"));
    }

    /// It became `localhost`, without a word.
    #[test]
    fn a_host_without_a_host_name_is_told_and_its_configuration_refused_until_it_has_one() {
        let agents = rotatable(&[at(Product::PowerchuteSerialShutdown, "/opt/APC/Agent")], |_, _| false);
        for own in ["ups_01", "", "(none)", "a\nhost: b", "on_"] {
            let text = configuration_of_unnamed(own, &agents, &LocalDaemon::ALL);
            let said = yaml_scalar(own);
            assert!(text.starts_with(&format!("# This host calls itself {said}, ")), "{text}");
            let refused = config::parse(&text, Path::new("proposed")).expect_err(own).to_string();
            assert!(refused.contains("host"), "{refused}");
            let named = text.replacen(&format!("\nhost: {said}\n"), "\nhost: ups-01\n", 1);
            config::parse(&named, Path::new("proposed")).unwrap_or_else(|error| panic!("{error}\n{named}"));
            let manifests = manifests_of_unnamed(own, &agents, &LocalDaemon::ALL);
            assert!(manifests.lines().all(|line| line.starts_with('#')) && manifests.contains("--host"), "{manifests}");
        }
    }

    #[test]
    fn each_agent_of_each_host_has_a_name_that_the_cluster_takes() {
        let name = |host: &str| {
            let host = host.parse().expect("a host name");
            resource_name(&host, &"powerchute".parse().expect("a name"))
        };
        let hosts = ["ups.a.example.com", "ups.b.example.com", "192.0.2.7", "192.0.3.8"];
        let long = ["a", "b"].map(|end| format!("{}.{}.{end}.example.com", "rack-7".repeat(8), "x".repeat(40)));
        let names: std::collections::BTreeSet<_> =
            hosts.into_iter().chain(long.iter().map(String::as_str)).map(name).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        assert!(names.iter().all(|name| name.len() <= MAX_NAME && name.parse::<HostName>().is_ok()), "{names:?}");
        assert!(names.contains("ups.a.example.com-powerchute"), "{names:?}");
    }

    #[test]
    fn the_manifests_have_the_configuration_as_comments_and_nothing_else_beside_the_resources() {
        let agents = rotatable(&[at(Product::PowerchuteSerialShutdown, "/opt/APC/Agent")], |_, _| true);
        let text = manifests(&host(), "fleet", &agents, &LocalDaemon::ALL);
        let (comments, resources) = text.split_once("---\n").expect("a document");
        assert!(comments.lines().all(|line| line.starts_with('#')), "{comments}");
        let by_address = manifests(&"192.0.2.7".parse().expect("a host"), "fleet", &agents, &[]);
        assert!(!by_address.contains("---") && by_address.contains("--host"), "{by_address}");
        assert!(comments.contains("# hostApi:") && comments.contains("    address: 127.0.0.1:3551"), "{comments}");
        let resource: serde_yaml::Value = serde_yaml::from_str(resources).expect("YAML");
        assert_eq!(resource["metadata"]["name"].as_str(), Some("ups-01.example.com-powerchute"));
        assert_eq!(resource["metadata"]["namespace"].as_str(), Some("fleet"));
        let make = "#   kubectl -n fleet create secret generic powerchute-store --from-file=password=FILE\n";
        assert!(comments.contains(make), "{comments}");
        assert_eq!(resource["spec"]["keystore"]["passwordSecretRef"]["name"].as_str(), Some("powerchute-store"));
    }
}
