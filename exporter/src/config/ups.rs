//! `ups:` and `snmpTraps:` — the UPSes to ask.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::values::{Interval, SourceName, absolute_path, address, required_path};

/// One UPS, or every UPS of one upsd. Exactly one of the backends is named.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct UpsConfig {
    pub name: SourceName,
    pub backend: UpsBackend,
    pub interval: Interval,
    /// For one whole look.
    pub timeout: Interval,
    /// Whether it feeds this host, so that what it says counts for the host's shutdown state and for the power gate.
    pub feeds_host: bool,
    /// That it feeds this host is written, and not only the default.
    pub(super) says_that_it_feeds_host: bool,
}

/// What it is asked through.
#[derive(Clone, Debug)]
pub enum UpsBackend {
    Nut(NutConfig),
    Apcupsd(ApcupsdConfig),
    Snmp(SnmpConfig),
    PowerchuteWeb(PowerchuteWebConfig),
    WindowsPower(WindowsPowerConfig),
}

/// upsd, the server of the Network UPS Tools.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NutConfig {
    /// `host:port`, as `127.0.0.1:3493`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    /// By default every UPS that upsd lists, each under its own name.
    #[serde(default)]
    pub ups: Option<SourceName>,
    /// Together with `passwordFile`; upsd asks nobody who only reads.
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default, deserialize_with = "absolute_path")]
    pub password_file: Option<PathBuf>,
    /// STARTTLS: whether it must be, and whom to trust. Without it everything, a password too, goes in the clear.
    #[serde(default)]
    pub start_tls: Option<StartTlsConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartTlsConfig {
    /// The authorities, in PEM, or upsd's own certificate, which is trusted by its bytes, whatever its name and dates; by
    /// default the system's bundle.
    #[serde(default, deserialize_with = "absolute_path")]
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate must have; by default the host part of the address.
    #[serde(default)]
    pub server_name: Option<String>,
}

/// apcupsd's network information server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApcupsdConfig {
    /// `host:port`, as `127.0.0.1:3551`.
    #[serde(deserialize_with = "address")]
    pub address: String,
}

/// An SNMP agent: a network management card, or a PowerChute agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnmpConfig {
    /// `host:port`, as `ups-01.example.com:161`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    pub version: SnmpVersion,
    /// v1 and v2c: holds the community in its first line.
    #[serde(default, deserialize_with = "absolute_path")]
    pub community_file: Option<PathBuf>,
    /// v3.
    #[serde(default)]
    pub user: Option<String>,
    /// v3. Left out only together with `allowNoAuth`.
    #[serde(default)]
    pub auth: Option<SnmpAuthConfig>,
    /// v3. Left out only together with `allowNoPrivacy` or `allowNoAuth`.
    #[serde(default)]
    pub privacy: Option<SnmpPrivacyConfig>,
    /// v3: speak without authentication. Anybody on the way can then answer for the UPS.
    #[serde(default)]
    pub allow_no_auth: bool,
    /// v3: speak authenticated but in the clear.
    #[serde(default)]
    pub allow_no_privacy: bool,
    /// v3: speak with MD5, SHA-1 or DES, where the card knows nothing better.
    #[serde(default)]
    pub allow_weak: bool,
    /// v3: by default the empty one.
    #[serde(default)]
    pub context: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnmpVersion {
    V1,
    V2c,
    V3,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnmpAuthConfig {
    pub protocol: SnmpAuthProtocol,
    #[serde(deserialize_with = "required_path")]
    pub password_file: PathBuf,
}

/// The weak ones need `allowWeak`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SnmpAuthProtocol {
    #[serde(rename = "MD5")]
    Md5,
    /// Net-SNMP calls it `SHA`.
    #[serde(rename = "SHA-1", alias = "SHA", alias = "SHA1")]
    Sha1,
    #[serde(rename = "SHA-224")]
    Sha224,
    #[serde(rename = "SHA-256")]
    Sha256,
    #[serde(rename = "SHA-384")]
    Sha384,
    #[serde(rename = "SHA-512")]
    Sha512,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnmpPrivacyConfig {
    pub protocol: SnmpPrivacyProtocol,
    #[serde(deserialize_with = "required_path")]
    pub password_file: PathBuf,
}

/// The weak one needs `allowWeak`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SnmpPrivacyProtocol {
    #[serde(rename = "DES")]
    Des,
    /// Net-SNMP calls it `AES`.
    #[serde(rename = "AES-128", alias = "AES")]
    Aes128,
    #[serde(rename = "AES-192")]
    Aes192,
    #[serde(rename = "AES-256")]
    Aes256,
}

/// The web UI of a PowerChute agent. It takes the agent's only login while it looks.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowerchuteWebConfig {
    /// `host:port`, as `127.0.0.1:6547`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    pub username: String,
    #[serde(deserialize_with = "required_path")]
    pub password_file: PathBuf,
    /// The authorities, in PEM, or the agent's own certificate, which is trusted by its bytes, whatever its name and dates; by
    /// default the system's bundle.
    #[serde(default, deserialize_with = "absolute_path")]
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate must have; by default the host part of the address.
    #[serde(default)]
    pub server_name: Option<String>,
}

/// What Windows itself sees: the battery of a notebook, or a UPS at USB that no vendor's program drives. Nothing is to be said of it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowsPowerConfig {}

/// Where traps arrive. Without it none are received.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnmpTrapsConfig {
    /// As `0.0.0.0:162`. A trap counts only when its sender is the address of an `snmp` UPS and its community or user is that
    /// UPS's own.
    pub listen_address: SocketAddr,
}

/// The section as it is written: each backend is a key of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: SourceName,
    nut: Option<NutConfig>,
    apcupsd: Option<ApcupsdConfig>,
    snmp: Option<SnmpConfig>,
    powerchute_web: Option<PowerchuteWebConfig>,
    windows_power: Option<WindowsPowerConfig>,
    interval: Option<Interval>,
    timeout: Option<Interval>,
    feeds_host: Option<bool>,
}

impl TryFrom<Written> for UpsConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, nut, apcupsd, snmp, powerchute_web, windows_power, interval, timeout, feeds_host } =
            written;
        let backends = [
            nut.map(UpsBackend::Nut),
            apcupsd.map(UpsBackend::Apcupsd),
            snmp.map(UpsBackend::Snmp),
            powerchute_web.map(UpsBackend::PowerchuteWeb),
            windows_power.map(UpsBackend::WindowsPower),
        ];
        let mut named = backends.into_iter().flatten();
        let (Some(backend), None) = (named.next(), named.next()) else {
            return Err(format!(
                "ups {name}: name exactly one of `nut`, `apcupsd`, `snmp`, `powerchuteWeb` and `windowsPower`"
            ));
        };
        if let UpsBackend::Snmp(snmp) = &backend {
            snmp.check().map_err(|problem| format!("ups {name}: {problem}"))?;
        }
        if matches!(&backend, UpsBackend::Nut(nut) if nut.username.is_some() != nut.password_file.is_some()) {
            return Err(format!("ups {name}: `username` and `passwordFile` go together"));
        }
        let interval = interval.unwrap_or_else(|| backend.usual_interval());
        let timeout = timeout.unwrap_or(Self::DEFAULT_TIMEOUT);
        let says_that_it_feeds_host = feeds_host == Some(true);
        Ok(Self { name, backend, interval, timeout, feeds_host: feeds_host.unwrap_or(true), says_that_it_feeds_host })
    }
}

impl UpsConfig {
    /// A UPS on a slow serial line answers through its agent within two seconds.
    const DEFAULT_TIMEOUT: Interval = Interval::new(Duration::from_secs(5));

    /// Whether this host's own system is asked, and nothing over a network.
    pub(crate) const fn is_seen_by_this_host(&self) -> bool {
        matches!(self.backend, UpsBackend::WindowsPower(_))
    }
}

impl UpsBackend {
    /// Outages are told in seconds; a login of the web UI is written to the agent's log each time.
    const fn usual_interval(&self) -> Interval {
        match self {
            Self::Nut(_) | Self::Apcupsd(_) | Self::Snmp(_) | Self::WindowsPower(_) => {
                Interval::new(Duration::from_secs(10))
            }
            Self::PowerchuteWeb(_) => Interval::new(Duration::from_mins(5)),
        }
    }
}

/// Whether a user speaks with what can be broken.
pub fn is_weak(auth: Option<&SnmpAuthConfig>, privacy: Option<&SnmpPrivacyConfig>) -> bool {
    let weak_auth = auth.is_some_and(|auth| matches!(auth.protocol, SnmpAuthProtocol::Md5 | SnmpAuthProtocol::Sha1));
    weak_auth || privacy.is_some_and(|privacy| privacy.protocol == SnmpPrivacyProtocol::Des)
}

pub(super) const WEAK: &str = "MD5, SHA-1 and DES can be broken: give the user SHA-256 and AES-128 on the agent; where it has nothing \
     better, set `allowWeak: true`, which is still better than v2c";

impl SnmpConfig {
    /// Whether nobody on the way can read along, or answer for the UPS.
    pub fn is_strong(&self) -> bool {
        let (auth, privacy) = (self.auth.as_ref(), self.privacy.as_ref());
        self.version == SnmpVersion::V3 && auth.is_some() && privacy.is_some() && !is_weak(auth, privacy)
    }

    fn check(&self) -> Result<(), &'static str> {
        let v3 = self.user.is_some() || self.auth.is_some() || self.privacy.is_some();
        match self.version {
            SnmpVersion::V1 | SnmpVersion::V2c if self.community_file.is_none() => {
                Err("SNMP v1 and v2c need `communityFile`")
            }
            SnmpVersion::V1 | SnmpVersion::V2c if v3 => Err("`user`, `auth` and `privacy` belong to version v3"),
            SnmpVersion::V1 | SnmpVersion::V2c => Ok(()),
            SnmpVersion::V3 if self.community_file.is_some() => {
                Err("version v3 has no community; use `user` and `auth`")
            }
            SnmpVersion::V3 if self.user.is_none() => Err("version v3 needs `user`"),
            SnmpVersion::V3 if self.auth.is_none() && !self.allow_no_auth => Err(
                "version v3 needs `auth`; set `allowNoAuth: true` to speak without, which lets anybody answer for the UPS",
            ),
            SnmpVersion::V3 if self.auth.is_none() && self.privacy.is_some() => Err("`privacy` needs `auth`"),
            SnmpVersion::V3 if self.privacy.is_none() && !self.allow_no_privacy && !self.allow_no_auth => {
                Err("version v3 needs `privacy`; set `allowNoPrivacy: true` to speak in the clear")
            }
            SnmpVersion::V3 if is_weak(self.auth.as_ref(), self.privacy.as_ref()) && !self.allow_weak => Err(WEAK),
            SnmpVersion::V3 => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::platform::testing::native;

    fn parse(entry: &str) -> Result<UpsConfig, String> {
        let config =
            super::super::parse(&native(&format!("ups:\n  - {entry}\n")), Path::new("c")).map_err(|e| e.to_string())?;
        Ok(config.ups.into_iter().next().expect("one entry was written"))
    }

    #[test]
    fn the_four_entries_of_the_documentation_load_as_they_are() {
        let text = r#"
ups:
  - {name: rack-a, nut: {address: "127.0.0.1:3493", ups: smart1500}}
  - {name: rack-b, apcupsd: {address: "127.0.0.1:3551"}}
  - {name: rack-c, snmp: {address: "127.0.0.1:161", version: v2c, communityFile: /etc/kagiban/community}}
  - {name: rack-d, snmp: {address: "127.0.0.1:161", version: v3, user: monitor, auth: {protocol: SHA-256, passwordFile: /a}, privacy: {protocol: AES-128, passwordFile: /p}}}
"#;
        let config = super::super::parse(&native(text), Path::new("c")).expect("the documented configuration");
        let [a, b, c, d] = &config.ups[..] else { panic!("{} entries", config.ups.len()) };
        let UpsBackend::Nut(nut) = &a.backend else { panic!("{a:?}") };
        assert_eq!(
            (nut.address.as_str(), nut.ups.as_ref().map(SourceName::as_str)),
            ("127.0.0.1:3493", Some("smart1500"))
        );
        assert!(nut.username.is_none() && nut.start_tls.is_none() && a.feeds_host);
        assert_eq!((a.interval.as_duration().as_secs(), a.timeout.as_duration().as_secs()), (10, 5));
        assert!(matches!(&b.backend, UpsBackend::Apcupsd(_)));
        assert!(matches!(&c.backend, UpsBackend::Snmp(snmp) if snmp.version == SnmpVersion::V2c));
        let UpsBackend::Snmp(v3) = &d.backend else { panic!("{d:?}") };
        assert_eq!(v3.auth.as_ref().map(|auth| auth.protocol), Some(SnmpAuthProtocol::Sha256));
        assert_eq!(v3.privacy.as_ref().map(|privacy| privacy.protocol), Some(SnmpPrivacyProtocol::Aes128));
    }

    #[test]
    fn an_entry_names_one_backend_and_no_more() {
        for entry in [
            "{name: a}",
            r#"{name: a, nut: {address: "h:3493"}, apcupsd: {address: "h:3551"}}"#,
            r#"{name: a, snmp: {address: "h:161", version: v2c, communityFile: /c}, apcupsd: {address: "h:3551"}}"#,
        ] {
            let said = parse(entry).expect_err("this is not one backend");
            assert!(said.contains("ups a: name exactly one of `nut`"), "{entry}: {said}");
        }
    }

    #[test]
    fn what_windows_sees_of_its_power_is_named_once_and_nothing_is_said_of_it() {
        let config = parse("{name: own, windowsPower: {}}").expect("one entry");
        assert!(config.is_seen_by_this_host() && config.feeds_host);
        for (entry, why) in [
            ("{name: own, windowsPower: {address: \"h:1\"}}", "unknown field `address`"),
            ("{name: own, windowsPower: {}}\n  - {name: again, windowsPower: {}}", "stands there twice"),
        ] {
            let said = parse(entry).expect_err(why);
            assert!(said.contains(why), "{entry}: {said}");
        }
    }

    #[test]
    fn snmp_without_its_secrets_is_refused_unless_that_is_asked_for() {
        let v3 = |rest: &str| format!(r#"{{name: a, snmp: {{address: "h:161", version: v3{rest}}}}}"#);
        let auth = "auth: {protocol: SHA-512, passwordFile: /a}";
        let privacy = "privacy: {protocol: AES-256, passwordFile: /p}";
        for (entry, why) in [
            (v3(""), "needs `user`"),
            (v3(", user: m"), "needs `auth`"),
            (v3(&format!(", user: m, {privacy}")), "needs `auth`"),
            (v3(&format!(", user: m, allowNoAuth: true, {privacy}")), "`privacy` needs `auth`"),
            (v3(&format!(", user: m, {auth}")), "needs `privacy`"),
            (v3(&format!(", user: m, {auth}, {privacy}, communityFile: /c")), "no community"),
            (r#"{name: a, snmp: {address: "h:161", version: v2c}}"#.to_owned(), "need `communityFile`"),
            (
                r#"{name: a, snmp: {address: "h:161", version: v1, communityFile: /c, user: m}}"#.to_owned(),
                "belong to version v3",
            ),
        ] {
            let said = parse(&entry).expect_err("this is not safe");
            assert!(said.contains(why), "{entry}: {said}");
        }
        for entry in [
            v3(", user: m, allowNoAuth: true"),
            v3(&format!(", user: m, {auth}, allowNoPrivacy: true")),
            v3(&format!(", user: m, {auth}, {privacy}")),
        ] {
            assert!(parse(&entry).is_ok(), "{entry}");
        }
    }

    /// Holds R13.
    #[test]
    fn weak_algorithms_are_refused_with_the_way_out_unless_they_are_allowed() {
        let entry = |auth: &str, privacy: &str, rest: &str| {
            let auth = format!("auth: {{protocol: {auth}, passwordFile: /a}}");
            let privacy = format!("privacy: {{protocol: {privacy}, passwordFile: /p}}");
            parse(&format!(r#"{{name: a, snmp: {{address: "h:161", version: v3, user: m, {auth}, {privacy}{rest}}}}}"#))
        };
        let strong = |config: UpsConfig| matches!(config.backend, UpsBackend::Snmp(snmp) if snmp.is_strong());
        for (auth, privacy) in
            [("MD5", "AES-128"), ("SHA-1", "AES-128"), ("SHA", "AES"), ("SHA1", "DES"), ("SHA-256", "DES")]
        {
            let said = entry(auth, privacy, "").expect_err("weak");
            assert!(said.contains("SHA-256") && said.contains("allowWeak: true"), "{auth} {privacy}: {said}");
            let allowed = entry(auth, privacy, ", allowWeak: true").expect("allowed");
            assert!(!strong(allowed), "{auth} {privacy}");
        }
        assert!(strong(entry("SHA-256", "AES", "").expect("strong")));
        assert!(strong(entry("SHA-256", "AES-128", ", allowWeak: true").expect("strong")));
        assert!(entry("SHA-0", "AES-128", "").is_err_and(|said| said.contains("SHA-256")));
        let clear = parse(r#"{name: a, snmp: {address: "h:161", version: v2c, communityFile: /c}}"#).expect("v2c");
        assert!(!strong(clear));
    }

    #[test]
    fn a_login_to_upsd_has_a_name_and_a_password() {
        for entry in [
            r#"{name: a, nut: {address: "h:3493", username: m}}"#,
            r#"{name: a, nut: {address: "h:3493", passwordFile: /p}}"#,
        ] {
            assert!(parse(entry).is_err_and(|said| said.contains("go together")), "{entry}");
        }
        assert!(parse(r#"{name: a, nut: {address: "h:3493", username: m, passwordFile: /p}}"#).is_ok());
        assert!(parse(r#"{name: a, nut: {address: "h", username: m, passwordFile: /p}}"#).is_err());
    }

    #[test]
    fn the_web_ui_is_asked_rarely_and_others_often() {
        let web = parse(r#"{name: a, powerchuteWeb: {address: "h:6547", username: m, passwordFile: /p}}"#);
        assert_eq!(web.expect("a web UI").interval.as_duration(), Duration::from_mins(5));
        let slower = parse(r#"{name: a, interval: 1m, apcupsd: {address: "h:3551"}}"#);
        assert_eq!(slower.expect("an apcupsd").interval.as_duration(), Duration::from_mins(1));
    }
}
