//! One agent's keystore, and the password that the agent keeps beside it or its configuration names.

use std::path::{Path, PathBuf};

use super::files::{FileRule, PasswordSource, Paths};
use crate::config::AgentConfig;
use crate::installation::Installed;

pub(super) fn rule(at: &Installed) -> FileRule {
    let keystores: Vec<_> = at.keystores().collect();
    FileRule {
        max_files: keystores.len(),
        paths: Paths::AnyOf(keystores),
        exclude: Vec::new(),
        password: at.password_ini().map_or(PasswordSource::None, |(path, ini)| PasswordSource::AgentIni { path, ini }),
        distinct: true,
    }
}

/// Where an agent's configuration says that its keystore, or its certificate, lies.
pub(super) fn own_keystore(agent: &AgentConfig) -> Option<&PathBuf> {
    let keystore = agent.keystore.path.as_ref().or(agent.keystore.certificate_file.as_ref());
    keystore.or(agent.verify.certificate_file.as_ref())
}

/// An agent whose keystore is named in the configuration.
pub(super) fn configured(agent: &AgentConfig, at: Option<&Installed>, keystore: &Path) -> FileRule {
    let ini = at.and_then(Installed::password_ini);
    let ini = ini.map(|(path, ini)| (agent.password_ini.clone().unwrap_or(path), ini));
    let of_ini = ini.map_or(PasswordSource::None, |(path, ini)| PasswordSource::AgentIni { path, ini });
    FileRule {
        max_files: 1,
        paths: Paths::AnyOf(vec![keystore.to_owned()]),
        exclude: Vec::new(),
        password: agent.password_file.clone().map_or(of_ini, PasswordSource::File),
        distinct: true,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use kagiban_agents::Product;

    use super::super::files::FileSource;
    use super::*;
    use crate::snapshot::Observation;

    #[tokio::test]
    async fn the_store_of_a_powerchute_directory_is_opened_with_the_password_in_its_settings() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = Installed { product: Product::PowerchuteSerialShutdown, directory: directory.path().to_owned() };
        let mut source = FileSource::new(rule(&at), Duration::from_secs(30));
        let (_, trouble) = source.look().await;
        assert_eq!(trouble.map(|t| t.reason), Some("not_found"), "a directory without a keystore");

        let made = Command::new("keytool")
            .args(["-genkeypair", "-alias", "securekey", "-keyalg", "EC", "-storetype", "PKCS12"])
            .args(["-storepass", "secret1", "-dname", "CN=ups-01", "-keystore"])
            .arg(directory.path().join("keystore"))
            .output()
            .expect("keytool is needed: install a JDK, for example openjdk-17-jdk-headless");
        assert!(made.status.success(), "{made:?}");
        let seen = source.look().await;
        assert_eq!(outcome(&seen.0), Err("password_needed"));

        let settings = "[Credentials]\r\nKS_Access_Data = secret1\r\n";
        std::fs::write(directory.path().join("pcssconfig.ini"), settings).expect("it can be written");
        let seen = source.look().await;
        assert_eq!((outcome(&seen.0), seen.1), (Ok("securekey".to_owned()), None));
    }

    /// The alias of the only certificate, or why there is none.
    fn outcome(observation: &Observation) -> Result<String, &'static str> {
        let Observation::Files(seen) = observation else { panic!("{observation:?}") };
        let contents = seen.files[0].outcome.as_ref().map_err(|trouble| trouble.reason)?;
        Ok(contents.certificates[0].alias.to_string())
    }
}
