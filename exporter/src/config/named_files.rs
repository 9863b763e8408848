//! The files of a configuration that hold a secret.

use std::path::{Path, PathBuf};

use super::{Config, SnmpAuthConfig, SnmpPrivacyConfig, UpsBackend};

/// A file with a key, a password or a community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Where the configuration names it, as `ups[rack-a].passwordFile`.
    pub setting: String,
    pub path: PathBuf,
}

impl Config {
    /// Every file that nobody but this program's account needs to read.
    pub fn secret_files(&self) -> Vec<SecretFile> {
        let mut files = Vec::new();
        let mut add = |setting: String, path: Option<&Path>| {
            files.extend(path.map(|path| SecretFile { setting, path: path.to_owned() }));
        };
        for rule in &self.certificates {
            add(format!("certificates[{}].passwordFile", rule.name), rule.password_file.as_deref());
        }
        for agent in &self.agents {
            add(format!("agents[{}].passwordFile", agent.name), agent.password_file.as_deref());
        }
        for ups in &self.ups {
            let at = |key: &str| format!("ups[{}].{key}", ups.name);
            match &ups.backend {
                UpsBackend::Nut(nut) => add(at("nut.passwordFile"), nut.password_file.as_deref()),
                UpsBackend::Apcupsd(_) => {}
                UpsBackend::Snmp(snmp) => {
                    add(at("snmp.communityFile"), snmp.community_file.as_deref());
                    add(at("snmp.auth.passwordFile"), of_auth(snmp.auth.as_ref()));
                    add(at("snmp.privacy.passwordFile"), of_privacy(snmp.privacy.as_ref()));
                }
                UpsBackend::PowerchuteWeb(web) => add(at("powerchuteWeb.passwordFile"), Some(&web.password_file)),
            }
        }
        if let Some(snmp) = &self.powerchute_health.snmp {
            add("powerchuteHealth.snmp.communityFile".to_owned(), snmp.community_file.as_deref());
            add("powerchuteHealth.snmp.auth.passwordFile".to_owned(), of_auth(snmp.auth.as_ref()));
            add("powerchuteHealth.snmp.privacy.passwordFile".to_owned(), of_privacy(snmp.privacy.as_ref()));
        }
        add("hostApi.keyFile".to_owned(), self.host_api.as_ref().map(|api| api.key_file.as_path()));
        files
    }
}

fn of_auth(auth: Option<&SnmpAuthConfig>) -> Option<&Path> {
    auth.map(|auth| auth.password_file.as_path())
}

fn of_privacy(privacy: Option<&SnmpPrivacyConfig>) -> Option<&Path> {
    privacy.map(|privacy| privacy.password_file.as_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_names_a_secret_is_known() {
        let text = r#"
certificates: [{name: fleet, paths: [/a], passwordFile: /1}]
agents: [{name: web, product: tls-service, passwordFile: /2}]
ups:
  - {name: a, nut: {address: "h:1", username: m, passwordFile: /3}}
  - {name: b, snmp: {address: "h:1", version: v2c, communityFile: /4}}
  - {name: c, snmp: {address: "h:1", version: v3, user: m, auth: {protocol: SHA-256, passwordFile: /5}, privacy: {protocol: AES-128, passwordFile: /6}}}
  - {name: d, powerchuteWeb: {address: "h:1", username: m, passwordFile: /7}}
powerchuteHealth:
  snmp: {address: "h:1", communityFile: /8, user: m, auth: {protocol: SHA-256, passwordFile: /9}, privacy: {protocol: AES-128, passwordFile: /10}}
hostApi: {listenAddress: "127.0.0.1:1", certificateFile: /c, keyFile: /11, clientCaFile: /d, clientNames: [a]}
"#;
        let config = super::super::parse(text, Path::new("c")).expect("a configuration");
        let paths: Vec<_> = config.secret_files().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, (1..=11).map(|n| PathBuf::from(format!("/{n}"))).collect::<Vec<_>>());
    }
}
