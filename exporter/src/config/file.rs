//! From the YAML file to [`Config`]. The only place that knows which YAML library is used.

use std::fmt;
use std::path::{Path, PathBuf};

use super::values::first_twin;
use super::{CertificateRule, Config, TlsEndpoint, WebConfig, outside};
use crate::blocking::Blocked;
use crate::platform::{self, FileError, FileIdentity, FileRead, NotOnThisSystem};

/// A configuration with a thousand rules is some hundred kilobytes.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration: {0}")]
    File(#[from] FileError),
    #[error("cannot read the configuration: {0}")]
    Blocked(#[from] Blocked),
    #[error("{}: not UTF-8; save the file as UTF-8", path.display())]
    Encoding { path: PathBuf },
    #[error("{}:{line}:{column}: {message}", path.display())]
    Yaml { path: PathBuf, line: usize, column: usize, message: String },
    #[error("{}: two entries of {section} are called {name:?}; give each its own `name`", path.display())]
    DuplicateName { path: PathBuf, section: &'static str, name: String },
    #[error("{}: {problem}", path.display())]
    Contradiction { path: PathBuf, problem: String },
    #[error("{}: {problem}", path.display())]
    Feeds { path: PathBuf, problem: String },
    #[error("{place}: {setting}: {source}")]
    NotOnThisSystem { place: String, setting: &'static str, source: NotOnThisSystem },
}

/// A web configuration, and the file it was read from.
#[derive(Clone, Debug)]
pub struct WebFile {
    pub config: WebConfig,
    pub identity: FileIdentity,
}

impl ConfigError {
    /// Stable, for logs and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Blocked(blocked) => blocked.reason(),
            Self::Encoding { .. } => "bad_encoding",
            Self::Yaml { .. } => "bad_yaml",
            Self::DuplicateName { .. } => "duplicate_name",
            Self::Contradiction { .. } => "contradiction",
            Self::Feeds { .. } => "bad_feeds",
            Self::NotOnThisSystem { .. } => NotOnThisSystem::REASON,
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// See [`ConfigError`]; a wrong key is named with its line and with the keys that exist.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let config = parse(&read(path)?, path)?;
    asks_for_what_is_here(&config, &path.display())?;
    // What was begun and how it is undone lies there.
    platform::check_trusted_way(&config.state_directory())?;
    Ok(config)
}

/// What holds where no file is named.
///
/// # Errors
/// When the default asks for what this system lacks.
pub fn load_default() -> Result<Config, ConfigError> {
    let config = Config::default();
    asks_for_what_is_here(&config, &"without --config.file")?;
    Ok(config)
}

/// Refuses a configuration that asks for something that this system lacks.
pub(super) fn asks_for_what_is_here(config: &Config, place: &dyn fmt::Display) -> Result<(), ConfigError> {
    let refused = |(setting, lacking)| ConfigError::NotOnThisSystem {
        place: place.to_string(),
        setting,
        source: NotOnThisSystem(lacking),
    };
    config.first_of(platform::LACKS).map_or(Ok(()), |asked| Err(refused(asked)))
}

/// The text of a configuration file.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let file = read_own(path)?;
    let text = std::str::from_utf8(&file.bytes).map_err(|_| ConfigError::Encoding { path: path.to_owned() })?;
    Ok(text.to_owned())
}

/// What a configuration says is done with this program's rights.
fn read_own(path: &Path) -> Result<FileRead, FileError> {
    platform::read_trusted(path, MAX_CONFIG_BYTES)
}

/// Parses a configuration; `path` is only for messages. An empty text is the default configuration.
///
/// # Errors
/// Everything but [`ConfigError::File`].
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let config: Option<Config> = serde_yaml::from_str(text).map_err(|error| at_its_place(&error, path))?;
    let mut config = config.unwrap_or_default();
    let names = [
        ("certificates", first_twin(config.certificates.iter().map(|rule| rule.name.as_str()))),
        ("tlsEndpoints", first_twin(config.tls_endpoints.iter().map(TlsEndpoint::name))),
        ("ups", first_twin(config.ups.iter().map(|ups| ups.name.as_str()))),
        ("feeds", first_twin(config.feeds.iter().map(|feeds| feeds.name.as_str()))),
        ("agents", first_twin(config.agents.iter().map(|agent| agent.name.as_str()))),
    ];
    if let Some((section, name)) = names.into_iter().find_map(|(section, twin)| twin.map(|(_, name)| (section, name))) {
        return Err(ConfigError::DuplicateName { path: path.to_owned(), section, name: name.to_owned() });
    }
    if let Some(problem) = config.certificates.iter().find_map(CertificateRule::problem) {
        return Err(ConfigError::Contradiction { path: path.to_owned(), problem });
    }
    let mut agents = config.agents.iter().enumerate();
    if let Some(problem) = agents.find_map(|(at, agent)| Some(format!("agents[{at}].{}", agent.problem()?))) {
        return Err(ConfigError::Contradiction { path: path.to_owned(), problem });
    }
    if config.ups.iter().filter(|ups| ups.is_seen_by_this_host()).count() > 1 {
        let problem = "ups: `windowsPower` stands there twice, and is all that Windows sees; name it once".to_owned();
        return Err(ConfigError::Contradiction { path: path.to_owned(), problem });
    }
    for feeds in &config.feeds {
        let wrong = |problem| ConfigError::Feeds { path: path.to_owned(), problem };
        feeds.check(&config.ups, &config.outside_hosts).map_err(wrong)?;
    }
    outside::check(&config.outside_hosts, own_name(&config).as_deref())
        .map_err(|problem| ConfigError::Contradiction { path: path.to_owned(), problem })?;
    let outside = config.outside_hosts.iter_mut().flat_map(|outside| &mut outside.ups);
    outside.for_each(|ups| ups.feeds_host = false);
    Ok(config)
}

/// What the host that this program runs on is called, where other hosts are named.
fn own_name(config: &Config) -> Option<String> {
    let of_system = || Some(platform::host_name()?.to_lowercase());
    let written = config.host.as_ref().map(|host| host.as_str().to_owned());
    written.or_else(|| of_system().filter(|_| !config.outside_hosts.is_empty()))
}

/// Reads a web configuration file; its relative paths start at its own directory.
///
/// # Errors
/// See [`ConfigError`]. The message never quotes a value of the wrong type: it may be a password.
pub fn load_web(path: &Path) -> Result<WebFile, ConfigError> {
    let file = read_own(path)?;
    let text = std::str::from_utf8(&file.bytes).map_err(|_| ConfigError::Encoding { path: path.to_owned() })?;
    let mut config = parse_web(text, path)?;
    config.anchor(path.parent().unwrap_or(Path::new("")));
    Ok(WebFile { config, identity: file.identity })
}

fn parse_web(text: &str, path: &Path) -> Result<WebConfig, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let config: Option<WebConfig> = serde_yaml::from_str(text).map_err(|error| unquoted(at_its_place(&error, path)))?;
    let config = config.unwrap_or_default();
    match config.problem() {
        None => Ok(config),
        Some(problem) => Err(ConfigError::Contradiction { path: path.to_owned(), problem }),
    }
}

/// A value of the wrong type is quoted by the library: `invalid type: string "…", expected …`.
fn unquoted(error: ConfigError) -> ConfigError {
    let ConfigError::Yaml { path, line, column, message } = error else { return error };
    let quoting = ["invalid type: ", "invalid value: "].into_iter().find_map(|mark| message.find(mark));
    let message = match (quoting, message.rfind(", expected ")) {
        (Some(start), Some(end)) => format!("{}wrong value{}", &message[..start], &message[end..]),
        _ => message,
    };
    ConfigError::Yaml { path, line, column, message }
}

fn at_its_place(error: &serde_yaml::Error, path: &Path) -> ConfigError {
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let said = error.to_string();
    // The library repeats the place at the end of its sentence.
    let message = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said).to_owned();
    ConfigError::Yaml { path: path.to_owned(), line, column, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreName;
    use crate::platform::testing::native;

    fn refusal(text: &str) -> String {
        parse(&native(text), Path::new("exporter.yaml")).expect_err("this must be refused").to_string()
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
        let config = parse(&native(text), Path::new("c")).expect("the documented configuration");
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

    #[test]
    fn a_rule_names_paths_or_stores_and_a_store_is_one_of_this_machine() {
        for (rule, word) in [
            ("", "name `paths`, or `windowsStores`"),
            (", paths: [/a], windowsStores: [MY]", "an entry each"),
            (", windowsStores: [MY], passwordFile: /p", "leave `passwordFile` out"),
            (", windowsStores: ['\\\\other\\MY']", "not the name of a certificate store"),
            (", windowsStores: ['']", "not the name of a certificate store"),
        ] {
            let said = refusal(&format!("certificates:\n  - {{name: a{rule}}}\n"));
            assert!(said.contains(word), "{rule}: {said}");
        }
        let text = "certificates: [{name: a, windowsStores: [MY, OfficeScan NT]}]\n";
        let rule = &parse(text, Path::new("c")).expect("two stores").certificates[0];
        assert_eq!(rule.windows_stores.iter().map(StoreName::as_str).collect::<Vec<_>>(), ["MY", "OfficeScan NT"]);
    }

    fn web_refusal(text: &str) -> String {
        parse_web(text, Path::new("web.yaml")).expect_err("this must be refused").to_string()
    }

    #[test]
    fn what_cannot_be_spoken_or_kept_is_refused_by_name_and_line() {
        let dear = bcrypt::hash("x", 4).expect("a hash").replace("$04$", "$15$");
        let tls = |rest: &str| format!("tls_server_config:\n  cert_file: c\n  key_file: k\n  {rest}\n");
        for (text, place, word) in [
            (tls("min_version: TLS9"), ":4:", "TLS9"),
            (tls("max_version: TLS11"), "web.yaml", "TLS11"),
            (tls("cipher_suites: [TLS_NO_SUCH]"), ":4:", "TLS_NO_SUCH"),
            (tls("max_version: TLS12\n  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]"), "web.yaml", "AES_128_CBC_SHA"),
            (tls("curve_preferences: [CurveP521]"), "web.yaml", "CurveP521"),
            (tls("curve_preferences: [CurveP1]"), ":4:", "CurveP1"),
            (tls("client_auth_type: Maybe"), ":4:", "Maybe"),
            (tls("pkcs12_file: x"), ":4:", "pkcs12_file"),
            ("http_server_config:\n  headers: {X-Secret: a}\n".to_owned(), ":2:", "X-Secret"),
            ("basic_auth_users:\n  alice: plain\n".to_owned(), ":2:", "bcrypt"),
            (format!("basic_auth_users:\n  alice: {dear}\n"), ":2:", "cost 15"),
            ("rate_limit: {interval: soon, burst: 1}\n".to_owned(), ":1:", "soon"),
        ] {
            let said = web_refusal(&text);
            assert!(said.contains(place) && said.contains(word), "{text}{said}");
        }
    }

    /// Holds R13: a peer's file that works there works here, with what can be spoken of it.
    #[test]
    fn what_exporter_toolkit_speaks_and_the_tls_stack_does_not_is_left_out_by_name() {
        let tls = |rest: &str| format!("tls_server_config: {{cert_file: c, key_file: k, {rest}}}\n");
        let rsa = "TLS_RSA_WITH_AES_128_CBC_SHA";
        for (text, left_out) in [
            (tls("min_version: TLS10"), "TLS10"),
            (tls(&format!("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, {rsa}]")), rsa),
            (tls(&format!("cipher_suites: [{rsa}]")), rsa),
            (tls("curve_preferences: [CurveP521, X25519]"), "CurveP521"),
        ] {
            let config = parse_web(&text, Path::new("web.yaml")).unwrap_or_else(|error| panic!("{text}{error}"));
            let said = config.tls_server_config.expect("it is there").left_out().join("\n");
            assert!(said.contains(left_out) && !said.contains("X25519") && !said.contains("GCM"), "{text}{said}");
        }
        let everything = parse_web(&tls("min_version: TLS12, curve_preferences: [X25519]"), Path::new("web.yaml"));
        assert!(everything.expect("good").tls_server_config.expect("it is there").left_out().is_empty());
    }

    #[test]
    fn settings_that_would_protect_nothing_are_refused() {
        let tls = |rest: &str| format!("tls_server_config: {{cert_file: c, key_file: k, {rest}}}\n");
        for (text, word) in [
            (tls("client_ca_file: ca"), "client_auth_type"),
            (tls("client_auth_type: RequireAndVerifyClientCert"), "client_ca_file"),
            (tls("client_auth_type: RequireAnyClientCert, client_allowed_sans: [a]"), "verified"),
            (tls("min_version: TLS13, max_version: TLS12"), "max_version"),
            ("tls_server_config: {cert_file: c}\n".to_owned(), "key_file"),
            ("tls_server_config: {cert: a, cert_file: c, key_file: k}\n".to_owned(), "cert_file"),
            ("rate_limit: {interval: 1s}\n".to_owned(), "burst"),
            ("http_server_config: {headers: {X-Frame-Options: maybe}}\n".to_owned(), "sameorigin"),
        ] {
            let said = web_refusal(&text);
            assert!(said.contains(word), "{text}{said}");
        }
    }

    #[test]
    fn a_password_that_stands_in_the_wrong_place_is_not_repeated() {
        for text in [
            "basic_auth_users: {alice: canary}",
            "basic_auth_users: {alice: 6180339887}",
            "basic_auth_users: \"alice:canary\"",
            "basic_auth_users: [canary]",
            "canary",
            "tls_server_config: {cert_file: c, key: [canary]}",
        ] {
            let said = web_refusal(text);
            assert!(!said.contains("canary") && !said.contains("6180339887"), "{said}");
        }
    }

    #[test]
    fn relative_paths_of_the_web_configuration_start_at_its_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("web.yaml");
        std::fs::write(&path, native("tls_server_config: {cert_file: tls/a.crt, key_file: /b.key}\n"))
            .expect("it can be written");
        let tls = load_web(&path).expect("a good file").config.tls_server_config.expect("there is one");
        assert_eq!(tls.cert_file, Some(directory.path().join("tls/a.crt")));
        assert_eq!(tls.key_file, Some(native("/b.key").into()));
    }
}
