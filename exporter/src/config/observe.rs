//! `observe` of an agent whose product can only be looked at: where its alerts lie, and what is known of it.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kagiban_agents::{Guide, Situation};
use serde::{Deserialize, Deserializer};

use super::values::{Interval, PathPattern, SourceName, first_twin, in_place};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObserveConfig {
    /// Mail folders (maildir), boxes (mbox) and single mails, by path or pattern.
    #[serde(default)]
    pub mails: Vec<PathPattern>,
    /// Logs that were exported as CSV, by path or pattern.
    #[serde(default)]
    pub logs: Vec<PathPattern>,
    /// As the product says it, without `Ver.`, such as `12.100.07p`.
    #[serde(default)]
    pub version: Option<SourceName>,
    /// The product's components on this host, by their ids in `kagiban-operator explain`.
    #[serde(default)]
    pub components: Vec<String>,
    /// The vendor's module for the version was applied.
    #[serde(default)]
    pub module_applied: bool,
    /// How many clients send their logs and assets here.
    #[serde(default)]
    pub clients: Option<NonZeroU32>,
    #[serde(default)]
    pub engine_started_at: EngineStart,
    #[serde(default)]
    pub false_alert: FalseAlertConfig,
    /// That of the hosts which log the alerts; by default this host's.
    #[serde(default)]
    pub time_zone: Option<ZoneName>,
    #[serde(default = "default_interval")]
    pub interval: Interval,
}

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub struct ZoneName(pub TimeZone);

/// Since when the product's communication engine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineStart {
    /// Since this host was started.
    #[default]
    Boot,
    At(Timestamp),
}

/// The conditions under which the vendor has seen a false alert, as they are on this host; what is left out is not known.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FalseAlertConfig {
    /// The data server's name, as its alerts have it. An alert of another machine is not a false one; without it none is.
    #[serde(default)]
    pub computer: Option<SourceName>,
    /// A managing machine or a client is installed on the data server.
    #[serde(default)]
    pub client_installed: Option<bool>,
    /// Logs of what applications do with files are collected.
    #[serde(default)]
    pub file_operations_logged: Option<bool>,
    /// Logs are compressed.
    #[serde(default)]
    pub logs_compressed: Option<bool>,
    /// Somebody is logged on to Windows on the data server.
    #[serde(default)]
    pub user_logged_on: Option<bool>,
}

impl ObserveConfig {
    pub fn names_files(&self) -> bool {
        !(self.mails.is_empty() && self.logs.is_empty())
    }

    pub fn situation(&self) -> Situation {
        let FalseAlertConfig { client_installed, file_operations_logged, logs_compressed, user_logged_on, .. } =
            self.false_alert;
        // In the order of the notice.
        let conditions = vec![client_installed, file_operations_logged, logs_compressed, user_logged_on];
        Situation { mended: self.module_applied, conditions }
    }

    /// What is wrong with it for a product that has this guide, with the setting that it is about.
    pub(super) fn problem(&self, guide: Option<&Guide>) -> Option<String> {
        if self.version.is_some() && self.components.is_empty() {
            let told = "name those that run on this host: the vendor's notice speaks of each component by itself";
            return Some(format!("observe.components: missing beside `version`; {told}"));
        }
        if self.version.is_none() && !self.components.is_empty() {
            return Some("observe.version: missing beside `components`; name it, such as 12.100.07p".to_owned());
        }
        if !self.names_files() && self.version.is_none() {
            return Some(
                "observe: names nothing to look at; name `mails` or `logs`, or `version` with `components`".to_owned(),
            );
        }
        if let Some((at, twin)) = first_twin(self.components.iter().map(String::as_str)) {
            return Some(format!("observe.components[{at}]: {twin:?} stands there twice; name it once"));
        }
        let known = guide.map_or(&[][..], |guide| guide.components);
        let is_unknown = |id: &String| !known.iter().any(|component| component.id == id);
        let at = self.components.iter().position(is_unknown)?;
        let ids: Vec<_> = known.iter().map(|component| component.id).collect();
        Some(format!("observe.components[{at}]: {:?} is none; known are {}", self.components[at], ids.join(", ")))
    }
}

impl<'de> Deserialize<'de> for EngineStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "`boot`, or a time", |text| match text {
            "boot" => Ok(Self::Boot),
            time => time
                .parse()
                .map(Self::At)
                .map_err(|_| format!("{time:?} is no time; write `boot`, or a time such as 2026-06-01T08:00:00+09:00")),
        })
    }
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a time zone", |text| {
            let said = || format!("{text:?} is no time zone that this host knows; write one such as Asia/Tokyo");
            TimeZone::get(text).map(Self).map_err(|_| said())
        })
    }
}

/// Whoever a failed authentication cuts off notices it within minutes.
const fn default_interval() -> Interval {
    Interval::new(Duration::from_mins(1))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{AgentConfig, Config, parse};
    use super::*;
    use crate::platform::testing::native;

    const WEB: &str = "{name: web, product: tls-service}";

    fn agents(entries: &str) -> Result<Config, String> {
        let text = format!("agents: [{entries}]\n");
        parse(&native(&text), Path::new("exporter.yaml")).map_err(|error| error.to_string())
    }

    fn skysea(rest: &str) -> String {
        format!("{{name: skysea, product: skysea{rest}}}")
    }

    #[test]
    fn a_product_that_is_looked_at_is_configured_with_what_is_looked_at() {
        let observe = "mails: [/var/mail/alerts, /srv/mail/*.eml], logs: [/srv/logs/*.csv], version: 12.100.07p, components: [data-server, \
                       client], clients: 1500, engineStartedAt: 2026-06-01T08:00:00+09:00, falseAlert: {clientInstalled: true, \
                       computer: DATA01, userLoggedOn: false}, timeZone: Asia/Tokyo, moduleApplied: false, interval: 5m";
        let config = agents(&format!("{WEB}, {}", skysea(&format!(", observe: {{{observe}}}")))).expect("two agents");
        let observed = config.agents[1].observe.as_ref().expect("it is looked at");
        assert_eq!(
            (observed.mails.len(), observed.logs.len(), observed.clients.map(NonZeroU32::get)),
            (2, 1, Some(1500))
        );
        assert_eq!(observed.engine_started_at, EngineStart::At("2026-05-31T23:00:00Z".parse().expect("a time")));
        assert_eq!(observed.situation().conditions, [Some(true), None, None, Some(false)]);
        let rotated: Vec<_> = config.rotated_agents().map(|agent| agent.name.as_str()).collect();
        assert_eq!(rotated, ["web"]);
        let least = agents(&skysea(", observe: {mails: [/m]}")).expect("an agent");
        let observed = least.agents[0].observe.as_ref().expect("it is looked at");
        assert_eq!(
            (observed.engine_started_at, observed.interval.as_duration()),
            (EngineStart::Boot, Duration::from_mins(1))
        );
        assert!(AgentConfig::found("a".parse().expect("a name"), observed_product(), "/d".into()).observe.is_none());
    }

    fn observed_product() -> kagiban_agents::Product {
        "skysea".parse().expect("a product")
    }

    #[test]
    fn what_does_not_belong_to_the_class_of_a_product_is_refused_with_its_setting() {
        for (entry, setting, why) in [
            (skysea(""), "observe", "is looked at"),
            (skysea(", observe: {}"), "observe: ", "names nothing to look at"),
            (skysea(", observe: {version: 12.100.07p}"), "observe.components", "beside `version`"),
            (skysea(", observe: {components: [data-server]}"), "observe.version", "12.100.07p"),
            (
                skysea(", observe: {version: a, components: [server]}"),
                "observe.components[0]",
                "known are master-server, ",
            ),
            (skysea(", observe: {version: a, components: [client, client]}"), "observe.components[1]", "twice"),
            (skysea(", observe: {mails: [m]}"), "observe.mails[0]", "absolute"),
            (skysea(", observe: {mails: [/m], clients: 0}"), "observe.clients", "nonzero"),
            (skysea(", observe: {mails: [/m], engineStartedAt: soon}"), "observe.engineStartedAt", "2026-06-01T"),
            (skysea(", observe: {mails: [/m], timeZone: Tokyo}"), "observe.timeZone", "Asia/Tokyo"),
            (skysea(", observe: {mails: [/m], interval: soon}"), "observe.interval", "30s"),
            (skysea(", observe: {mails: [/m], colour: red}"), "observe", "unknown field `colour`"),
            (skysea(", directory: /d, observe: {mails: [/m]}"), "directory", "can only be looked at"),
            (skysea(", keystore: {path: /k}, observe: {mails: [/m]}"), "keystore", "can only be looked at"),
            (skysea(", passwordFile: /p, observe: {mails: [/m]}"), "passwordFile", "can only be looked at"),
            (skysea(", passwordIni: /p, observe: {mails: [/m]}"), "passwordIni", "can only be looked at"),
            (skysea(", endpoint: {address: 'h:1'}, observe: {mails: [/m]}"), "endpoint", "can only be looked at"),
            (skysea(", service: {name: s}, observe: {mails: [/m]}"), "service", "can only be looked at"),
            (skysea(", renew: {command: [a]}, observe: {mails: [/m]}"), "renew", "can only be looked at"),
            (skysea(", verify: {interval: 1s}, observe: {mails: [/m]}"), "verify", "can only be looked at"),
            (skysea(", backups: 4, observe: {mails: [/m]}"), "backups", "can only be looked at"),
            (skysea(", clients: {}, observe: {mails: [/m]}"), "clients", "can only be looked at"),
            ("{name: web, product: tls-service, observe: {mails: [/m]}}".to_owned(), "observe", "tlsEndpoints"),
            ("{name: web, product: tls-service, repair: {command: [/c]}}".to_owned(), "repair", "is rotated"),
            (skysea(", repair: {command: [/c]}"), "observe", "or `version` with `components`"),
            (skysea(", observe: {mails: [/m]}, repair: {}"), "repair", "missing field `command`"),
            (skysea(", observe: {mails: [/m]}, repair: {command: [/c], url: u}"), "repair", "unknown field `url`"),
        ] {
            let said = agents(&format!("{WEB}, {}", entry.replace("name: web,", "name: other,")))
                .expect_err("this must be refused");
            assert!(said.contains(&format!("agents[1].{setting}")) && said.contains(why), "{entry}: {said}");
        }
    }
}
