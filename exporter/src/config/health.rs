//! `powerchuteHealth:` — how the hardening of PowerChute agents is looked at.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::ups::{SnmpAuthConfig, SnmpPrivacyConfig, WEAK, is_weak};
use super::values::{Interval, absolute_path, address};
use crate::health::JavaVersion;

/// It holds for every agent of the product: those that are configured, and those that are found.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthConfig {
    pub enabled: bool,
    pub interval: Interval,
    /// For one whole look at one agent.
    pub timeout: Interval,
    /// The oldest Java that will do; without it the version is not judged.
    pub minimum_java_version: Option<JavaVersion>,
    /// Where command files lie, besides the agent's own folder for them.
    #[serde(deserialize_with = "absolute_paths")]
    pub command_directories: Vec<PathBuf>,
    /// A program of a JDK; with it the agent's JARs are verified once a day.
    #[serde(deserialize_with = "absolute_path")]
    pub jarsigner: Option<PathBuf>,
    /// Without it the agent's SNMP port is not asked.
    #[serde(deserialize_with = "snmp")]
    pub snmp: Option<HealthSnmpConfig>,
}

/// What the agent is asked by SNMP: whether it answers v1, and a v3 user without SHA-2 and AES.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthSnmpConfig {
    /// `host:port`, as `127.0.0.1:161`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    /// Holds the community that v1 is asked with in its first line.
    #[serde(default, deserialize_with = "absolute_path")]
    pub community_file: Option<PathBuf>,
    /// The v3 user; by default one that no agent has, which is enough to see that v3 is answered.
    #[serde(default)]
    pub user: Option<String>,
    /// Together with `privacy`: the protocols that the user is expected to have.
    #[serde(default)]
    pub auth: Option<SnmpAuthConfig>,
    #[serde(default)]
    pub privacy: Option<SnmpPrivacyConfig>,
    /// Ask with MD5, SHA-1 or DES too, to see them answered: the check fails then.
    #[serde(default)]
    pub allow_weak: bool,
}

impl Default for HealthConfig {
    /// What is looked at changes when somebody installs or configures something, and a walk through two trees is not free.
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Interval::new(Duration::from_mins(5)),
            timeout: Interval::new(Duration::from_mins(1)),
            minimum_java_version: None,
            command_directories: Vec::new(),
            jarsigner: None,
            snmp: None,
        }
    }
}

fn snmp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HealthSnmpConfig>, D::Error> {
    let snmp = Option::<HealthSnmpConfig>::deserialize(deserializer)?;
    let weak = |snmp: &HealthSnmpConfig| is_weak(snmp.auth.as_ref(), snmp.privacy.as_ref()) && !snmp.allow_weak;
    if snmp.as_ref().is_some_and(weak) { Err(de::Error::custom(WEAK)) } else { Ok(snmp) }
}

fn absolute_paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    struct Absolute(#[serde(deserialize_with = "absolute_path")] Option<PathBuf>);
    let paths: Vec<_> = Vec::<Absolute>::deserialize(deserializer)?.into_iter().filter_map(|path| path.0).collect();
    if paths.len() > MAX_COMMAND_DIRECTORIES {
        return Err(de::Error::custom(format!("more than {MAX_COMMAND_DIRECTORIES} directories")));
    }
    Ok(paths)
}

/// An agent runs some ten commands.
const MAX_COMMAND_DIRECTORIES: usize = 16;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::platform::testing::native;

    /// Holds R13.
    #[test]
    fn a_weak_user_is_asked_for_only_where_that_is_allowed() {
        let parse = |rest: &str| {
            let user = "user: m, auth: {protocol: MD5, passwordFile: /a}, privacy: {protocol: DES, passwordFile: /p}";
            let text = format!("powerchuteHealth:\n  snmp: {{address: \"127.0.0.1:161\", {user}{rest}}}\n");
            super::super::parse(&native(&text), Path::new("c")).map_err(|error| error.to_string())
        };
        assert!(parse("").is_err_and(|said| said.contains("allowWeak: true")));
        assert!(parse(", allowWeak: true").is_ok());
    }
}
