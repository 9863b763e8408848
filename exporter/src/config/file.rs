//! From the YAML file to [`Config`]. The only place that knows which YAML library is used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Config, TlsEndpoint};
use crate::platform::{self, FileError};

/// A configuration with a thousand rules is some hundred kilobytes.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration: {0}")]
    File(#[from] FileError),
    #[error("{}: not UTF-8; save the file as UTF-8", path.display())]
    Encoding { path: PathBuf },
    #[error("{}:{line}:{column}: {message}", path.display())]
    Yaml { path: PathBuf, line: usize, column: usize, message: String },
    #[error("{}: two entries of {section} are called {name:?}; give each its own `name`", path.display())]
    DuplicateName { path: PathBuf, section: &'static str, name: String },
}

impl ConfigError {
    /// Stable, for logs and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Encoding { .. } => "bad_encoding",
            Self::Yaml { .. } => "bad_yaml",
            Self::DuplicateName { .. } => "duplicate_name",
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// See [`ConfigError`]; a wrong key is named with its line and with the keys that exist.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let file = platform::read_regular(path, MAX_CONFIG_BYTES)?;
    let text = std::str::from_utf8(&file.bytes).map_err(|_| ConfigError::Encoding { path: path.to_owned() })?;
    parse(text, path)
}

/// Parses a configuration; `path` is only for messages. An empty text is the default configuration.
///
/// # Errors
/// Everything but [`ConfigError::File`].
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let config: Option<Config> = serde_yaml::from_str(text).map_err(|error| at_its_place(&error, path))?;
    let config = config.unwrap_or_default();
    let names = [
        ("certificates", first_twin(config.certificates.iter().map(|rule| rule.name.as_str()))),
        ("tlsEndpoints", first_twin(config.tls_endpoints.iter().map(TlsEndpoint::name))),
        ("ups", first_twin(config.ups.iter().map(|ups| ups.name.as_str()))),
        ("agents", first_twin(config.agents.iter().map(|agent| agent.name.as_str()))),
    ];
    if let Some((section, name)) = names.into_iter().find_map(|(section, twin)| twin.map(|name| (section, name))) {
        return Err(ConfigError::DuplicateName { path: path.to_owned(), section, name: name.to_owned() });
    }
    Ok(config)
}

fn at_its_place(error: &serde_yaml::Error, path: &Path) -> ConfigError {
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let said = error.to_string();
    // The library repeats the place at the end of its sentence.
    let message = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said).to_owned();
    ConfigError::Yaml { path: path.to_owned(), line, column, message }
}

fn first_twin<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text, Path::new("exporter.yaml")).expect_err("this must be refused").to_string()
    }

    #[test]
    fn an_empty_file_is_the_default_configuration_and_discovers() {
        for empty in ["", "\n", "# nothing yet\n", "---\n", "\u{feff}# BOM\n"] {
            let config = parse(empty, Path::new("c")).expect("an empty configuration is fine");
            assert!(config.discovers() && config.certificates.is_empty());
        }
    }

    #[test]
    fn the_configuration_of_the_issue_works_as_it_is() {
        let text = r#"
certificates:
  - name: fleet
    paths: ["/srv/certs/**/*"]
    passwordFile: /etc/kagiban/store-password
tlsEndpoints:
  - {address: "127.0.0.1:6547", serverName: ups-01.example.com}
"#;
        let config = parse(text, Path::new("c")).expect("the documented configuration");
        assert_eq!(config.certificates[0].name.as_str(), "fleet");
        assert_eq!(config.tls_endpoints[0].name(), "127.0.0.1:6547");
        assert!(!config.discovers());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_keys_that_exist() {
        let said = refusal("certificates:\n  - name: fleet\n    pathz: [/a]\n");
        assert!(said.starts_with("exporter.yaml:3:5: "), "{said}");
        assert!(said.contains("unknown field `pathz`") && said.contains("`paths`"), "{said}");
    }

    #[test]
    fn a_wrong_value_is_refused_at_its_line_and_says_what_is_right() {
        let said = refusal("certificates:\n  - name: fleet\n    paths: [\"srv/*\"]\n");
        assert!(said.contains(":3:") && said.contains("absolute"), "{said}");
        let said = refusal("tlsEndpoints:\n  - address: \"localhost:1\"\n    interval: soon\n");
        assert!(said.contains(":3:") && said.contains("30s"), "{said}");
        let said = refusal("tlsEndpoints:\n  - address: \"localhost\"\n");
        assert!(said.contains(":2:") && said.contains("host:port"), "{said}");
    }

    #[test]
    fn two_rules_of_one_name_are_refused() {
        let said = refusal("certificates:\n  - {name: a, paths: [/a]}\n  - {name: a, paths: [/b]}\n");
        assert!(said.contains("\"a\"") && said.contains("certificates"), "{said}");
    }
}
