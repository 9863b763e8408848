//! The files that a configuration names, and where it names each.

use std::path::{Path, PathBuf};

use super::{AgentConfig, Config, PathPattern, SnmpAuthConfig, SnmpPrivacyConfig, TlsEndpoint, UpsBackend, UpsConfig};
use crate::label::Label;
use crate::source_id::{SourceId, SourceKind};

/// A file that must be there for the configuration to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Where the configuration names it, as `ups[2].nut.passwordFile`.
    pub setting: String,
    pub path: PathBuf,
    pub holds: NamedFileKind,
    /// The source that reads it.
    source: Option<SourceId>,
}

/// What it is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedFileKind {
    /// A password or a community in the first line.
    Secret,
    /// The same of an agent that is rotated: it is not empty, and nobody but an administrator has put a link there.
    AgentSecret,
    /// A private key, PEM.
    Key,
    /// Certificates to trust, PEM.
    Authorities,
    /// Whatever it is, it can be read.
    Anything,
    /// A directory that patterns are searched below.
    Directory,
    /// A file of which the end is read, however large it is, or a directory of such files.
    Folder,
}

/// Settings of one section, gathered.
struct Section<'a> {
    files: &'a mut Vec<NamedFile>,
    place: String,
    source: Option<SourceId>,
}

impl Config {
    /// Every file that it names and that has to be there. A rotation's own files are among them; what exists only while a shutdown
    /// is scheduled is not.
    pub fn named_files(&self) -> Vec<NamedFile> {
        let mut files = Vec::new();
        for (index, rule) in self.certificates.iter().enumerate() {
            let mut at = Section::new(&mut files, format!("certificates[{index}]"));
            at.source = source(SourceKind::File, rule.name.as_str());
            for (index, pattern) in rule.paths.iter().enumerate() {
                let (path, holds) = match pattern {
                    PathPattern::Exact(path) => (path, NamedFileKind::Anything),
                    PathPattern::Glob { base, .. } => (base, NamedFileKind::Directory),
                };
                at.add(&format!("paths[{index}]"), Some(path), holds);
            }
            at.add("passwordFile", rule.password_file.as_deref(), NamedFileKind::Secret);
        }
        for (index, endpoint) in self.tls_endpoints.iter().enumerate() {
            of_endpoint(&mut Section::new(&mut files, format!("tlsEndpoints[{index}]")), None, endpoint);
        }
        let probe_ca = self.probe.as_ref().and_then(|probe| probe.ca_file.as_deref());
        Section::new(&mut files, "probe".to_owned()).add("caFile", probe_ca, NamedFileKind::Authorities);
        for (index, ups) in self.ups.iter().enumerate() {
            of_ups(&mut Section::new(&mut files, format!("ups[{index}]")), None, ups);
        }
        let jarsigner = self.powerchute_health.jarsigner.as_deref();
        Section::new(&mut files, "powerchuteHealth".to_owned()).add("jarsigner", jarsigner, NamedFileKind::Anything);
        if let Some(snmp) = &self.powerchute_health.snmp {
            let mut at = Section::new(&mut files, "powerchuteHealth.snmp".to_owned());
            at.add("communityFile", snmp.community_file.as_deref(), NamedFileKind::Secret);
            at.snmp_user("", snmp.auth.as_ref(), snmp.privacy.as_ref());
        }
        for (index, path) in self.shutdown.event_logs.iter().enumerate() {
            let mut at = Section::new(&mut files, "shutdown".to_owned());
            at.source = Some(SourceId::own(SourceKind::Host, Label::from_path(path)));
            at.add(&format!("eventLogs[{index}]"), Some(path), NamedFileKind::Anything);
        }
        for (index, outside) in self.outside_hosts.iter().enumerate() {
            let host = Some(Label::new(outside.host.as_str()));
            let place = |section: &str, at: usize| format!("outsideHosts[{index}].{section}[{at}]");
            for (at, endpoint) in outside.tls_endpoints.iter().enumerate() {
                of_endpoint(&mut Section::new(&mut files, place("tlsEndpoints", at)), host.clone(), endpoint);
            }
            for (at, ups) in outside.ups.iter().enumerate() {
                of_ups(&mut Section::new(&mut files, place("ups", at)), host.clone(), ups);
            }
        }
        if let Some(central) = &self.apex_central {
            let mut at = Section::new(&mut files, "apexCentral".to_owned());
            at.source = source(SourceKind::Inventory, &central.name());
            at.add("apiKeyFile", Some(&central.api_key_file), NamedFileKind::Secret);
            at.add("caFile", central.ca_file.as_deref(), NamedFileKind::Authorities);
        }
        for (index, agent) in self.agents.iter().enumerate() {
            of_agent(&mut Section::new(&mut files, format!("agents[{index}]")), agent);
        }
        if let Some(api) = &self.host_api {
            let mut at = Section::new(&mut files, "hostApi".to_owned());
            at.add("certificateFile", Some(&api.certificate_file), NamedFileKind::Authorities);
            at.add("keyFile", Some(&api.key_file), NamedFileKind::Key);
            at.add("clientCaFile", Some(&api.client_ca_file), NamedFileKind::Authorities);
            at.add("clientCrlFile", api.client_crl_file.as_deref(), NamedFileKind::Anything);
        }
        files
    }

    /// Every file that nobody but this program's account needs to read.
    pub fn secret_files(&self) -> Vec<NamedFile> {
        let mut files = self.named_files();
        // What an agent serves with is the agent's: its own account reads it.
        files.retain(|file| file.is_secret() && !file.setting.ends_with(AGENT_KEY));
        files
    }
}

const AGENT_KEY: &str = ".keystore.keyFile";

fn of_endpoint(at: &mut Section<'_>, host: Option<Label>, endpoint: &TlsEndpoint) {
    at.source = Some(SourceId { host, kind: SourceKind::Tls, name: Label::new(endpoint.name()) });
    at.add("caFile", endpoint.ca_file.as_deref(), NamedFileKind::Authorities);
}

fn of_ups(at: &mut Section<'_>, host: Option<Label>, ups: &UpsConfig) {
    at.source = Some(SourceId { host, kind: SourceKind::Ups, name: Label::new(ups.name.as_str()) });
    match &ups.backend {
        UpsBackend::Nut(nut) => {
            at.add("nut.passwordFile", nut.password_file.as_deref(), NamedFileKind::Secret);
            let authorities = nut.start_tls.as_ref().and_then(|tls| tls.ca_file.as_deref());
            at.add("nut.startTls.caFile", authorities, NamedFileKind::Authorities);
        }
        UpsBackend::Apcupsd(_) | UpsBackend::WindowsPower(_) => {}
        UpsBackend::Snmp(snmp) => {
            at.add("snmp.communityFile", snmp.community_file.as_deref(), NamedFileKind::Secret);
            at.snmp_user("snmp.", snmp.auth.as_ref(), snmp.privacy.as_ref());
        }
        UpsBackend::PowerchuteWeb(web) => {
            at.add("powerchuteWeb.passwordFile", Some(&web.password_file), NamedFileKind::Secret);
            at.add("powerchuteWeb.caFile", web.ca_file.as_deref(), NamedFileKind::Authorities);
        }
    }
}

fn of_agent(at: &mut Section<'_>, agent: &AgentConfig) {
    at.source = source(SourceKind::Health, agent.name.as_str());
    at.add("passwordFile", agent.password_file.as_deref(), NamedFileKind::AgentSecret);
    let renew = agent.renew.as_ref().and_then(|renew| renew.password_file.as_deref());
    at.add("renew.passwordFile", renew, NamedFileKind::AgentSecret);
    let repair = agent.clients.as_ref().and_then(|clients| clients.repair.as_ref());
    let unload = repair.and_then(|repair| repair.password_file.as_deref());
    at.add("clients.repair.passwordFile", unload, NamedFileKind::AgentSecret);
    for (index, path) in agent.renew.iter().flat_map(|renew| &renew.keep).enumerate() {
        at.add(&format!("renew.keep[{index}]"), Some(path), NamedFileKind::Anything);
    }
    at.add("passwordIni", agent.password_ini.as_deref(), NamedFileKind::Anything);
    at.add("keystore.path", agent.keystore.path.as_deref(), NamedFileKind::Anything);
    at.add("keystore.certificateFile", agent.keystore.certificate_file.as_deref(), NamedFileKind::Anything);
    at.add("keystore.keyFile", agent.keystore.key_file.as_deref(), NamedFileKind::Key);
    at.add("verify.certificateFile", agent.verify.certificate_file.as_deref(), NamedFileKind::Anything);
    let observed = agent.observe.iter().flat_map(|it| [("observe.mails", &it.mails), ("observe.logs", &it.logs)]);
    let logged = agent.client_logs.iter().map(|logs| ("clientLogs.files", &logs.files));
    for (setting, patterns) in observed.chain(logged) {
        at.source = source(SourceKind::Alerts, agent.name.as_str());
        for (index, pattern) in patterns.iter().enumerate() {
            let (path, holds) = match pattern {
                PathPattern::Exact(path) => (path, NamedFileKind::Folder),
                PathPattern::Glob { base, .. } => (base, NamedFileKind::Directory),
            };
            at.add(&format!("{setting}[{index}]"), Some(path), holds);
        }
    }
    if let Some(endpoint) = &agent.endpoint {
        at.source = source(SourceKind::Tls, &endpoint.address);
        at.add("endpoint.caFile", endpoint.ca_file.as_deref(), NamedFileKind::Authorities);
    }
}

fn source(kind: SourceKind, name: &str) -> Option<SourceId> {
    Some(SourceId::own(kind, Label::new(name)))
}

impl NamedFile {
    pub const fn is_secret(&self) -> bool {
        match self.holds {
            NamedFileKind::Secret | NamedFileKind::AgentSecret | NamedFileKind::Key => true,
            NamedFileKind::Authorities | NamedFileKind::Anything | NamedFileKind::Directory | NamedFileKind::Folder => {
                false
            }
        }
    }

    pub(crate) fn is_read_by(&self, id: &SourceId) -> bool {
        let is_of_health = || id.kind == SourceKind::Health && self.setting.starts_with("powerchuteHealth.");
        self.source.as_ref() == Some(id) || is_of_health()
    }

    #[cfg(test)]
    pub(crate) fn secret(setting: &str, path: PathBuf) -> Self {
        Self { setting: setting.to_owned(), path, holds: NamedFileKind::Secret, source: None }
    }
}

impl<'a> Section<'a> {
    const fn new(files: &'a mut Vec<NamedFile>, place: String) -> Self {
        Self { files, place, source: None }
    }

    fn add(&mut self, key: &str, path: Option<&Path>, holds: NamedFileKind) {
        let Some(path) = path else { return };
        let setting = format!("{}.{key}", self.place);
        self.files.push(NamedFile { setting, path: path.to_owned(), holds, source: self.source.clone() });
    }

    fn snmp_user(&mut self, below: &str, auth: Option<&SnmpAuthConfig>, privacy: Option<&SnmpPrivacyConfig>) {
        let (auth, privacy) = (auth.map(|it| it.password_file.as_path()), privacy.map(|it| it.password_file.as_path()));
        self.add(&format!("{below}auth.passwordFile"), auth, NamedFileKind::Secret);
        self.add(&format!("{below}privacy.passwordFile"), privacy, NamedFileKind::Secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::native;

    #[test]
    fn every_file_that_a_configuration_names_is_known_by_its_setting() {
        let text = r#"
certificates: [{name: fleet, paths: [/a, "/dir/*"], passwordFile: /1}]
agents: [{name: web, product: tls-service, passwordFile: /2, passwordIni: /i, keystore: {certificateFile: /s, keyFile: /k}, endpoint: {address: "h:1", caFile: /p}, renew: {passwordFile: /13, keep: [/f]}, verify: {certificateFile: /v}}, {name: skysea, product: skysea, observe: {mails: [/m], logs: ["/x/*.csv"]}}, {name: av, product: apex-one, clientLogs: {files: ["/y/*.csv", /z], failureWords: [a]}}]
tlsEndpoints: [{address: "h:1", caFile: /t}]
probe: {allow: ["h:1"], caFile: /q}
ups:
  - {name: a, nut: {address: "h:1", username: m, passwordFile: /3, startTls: {caFile: /n}}}
  - {name: b, snmp: {address: "h:1", version: v2c, communityFile: /4}}
  - {name: c, snmp: {address: "h:1", version: v3, user: m, auth: {protocol: SHA-256, passwordFile: /5}, privacy: {protocol: AES-128, passwordFile: /6}}}
  - {name: d, powerchuteWeb: {address: "h:1", username: m, passwordFile: /7, caFile: /w}}
powerchuteHealth:
  jarsigner: /j
  snmp: {address: "h:1", communityFile: /8, user: m, auth: {protocol: SHA-256, passwordFile: /9}, privacy: {protocol: AES-128, passwordFile: /10}}
shutdown: {eventLogs: [/e]}
outsideHosts:
  - {host: w, tlsEndpoints: [{address: "h:1", caFile: /o}], ups: [{name: a, snmp: {address: "h:1", version: v2c, communityFile: /12}}]}
apexCentral: {url: "https://h", applicationId: a, apiKeyFile: /14, caFile: /u}
hostApi: {listenAddress: "127.0.0.1:1", certificateFile: /c, keyFile: /11, clientCaFile: /d, clientCrlFile: /l, clientNames: [a]}
"#;
        let config = super::super::parse(&native(text), Path::new("c")).expect("a configuration");
        let named: Vec<_> = config
            .named_files()
            .iter()
            .map(|file| format!("{} {}", file.setting, file.path.display()).replace('\\', "/"))
            .collect();
        let expected = [
            "certificates[0].paths[0] /a",
            "certificates[0].paths[1] /dir",
            "certificates[0].passwordFile /1",
            "tlsEndpoints[0].caFile /t",
            "probe.caFile /q",
            "ups[0].nut.passwordFile /3",
            "ups[0].nut.startTls.caFile /n",
            "ups[1].snmp.communityFile /4",
            "ups[2].snmp.auth.passwordFile /5",
            "ups[2].snmp.privacy.passwordFile /6",
            "ups[3].powerchuteWeb.passwordFile /7",
            "ups[3].powerchuteWeb.caFile /w",
            "powerchuteHealth.jarsigner /j",
            "powerchuteHealth.snmp.communityFile /8",
            "powerchuteHealth.snmp.auth.passwordFile /9",
            "powerchuteHealth.snmp.privacy.passwordFile /10",
            "shutdown.eventLogs[0] /e",
            "outsideHosts[0].tlsEndpoints[0].caFile /o",
            "outsideHosts[0].ups[0].snmp.communityFile /12",
            "apexCentral.apiKeyFile /14",
            "apexCentral.caFile /u",
            "agents[0].passwordFile /2",
            "agents[0].renew.passwordFile /13",
            "agents[0].renew.keep[0] /f",
            "agents[0].passwordIni /i",
            "agents[0].keystore.certificateFile /s",
            "agents[0].keystore.keyFile /k",
            "agents[0].verify.certificateFile /v",
            "agents[0].endpoint.caFile /p",
            "agents[1].observe.mails[0] /m",
            "agents[1].observe.logs[0] /x",
            "agents[2].clientLogs.files[0] /y",
            "agents[2].clientLogs.files[1] /z",
            "hostApi.certificateFile /c",
            "hostApi.keyFile /11",
            "hostApi.clientCaFile /d",
            "hostApi.clientCrlFile /l",
        ];
        assert_eq!(named, expected.map(native));
        let secrets: Vec<_> = config.secret_files().into_iter().map(|file| file.path).collect();
        let numbered = ["/1", "/3", "/4", "/5", "/6", "/7", "/8", "/9", "/10", "/12", "/14", "/2", "/13", "/11"]
            .map(|path| PathBuf::from(native(path)));
        assert_eq!(secrets, numbered);
    }
}
