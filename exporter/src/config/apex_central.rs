//! `apexCentral:` — the console above the servers of Apex One, whose inventory is read from here.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::values::{Interval, absolute_path, in_place, required_path};
use crate::probe::Endpoint;

/// Without this section nothing is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApexCentralConfig {
    pub url: CentralUrl,
    /// As the console gives it, together with the key.
    #[serde(deserialize_with = "application_id")]
    pub application_id: String,
    /// Holds the API key in its first line.
    #[serde(deserialize_with = "required_path")]
    pub api_key_file: PathBuf,
    /// The authorities that its certificate is checked against, in PEM, or that certificate itself, which has to be for the name and in its
    /// time; by default the system's bundle.
    #[serde(default, deserialize_with = "absolute_path")]
    pub ca_file: Option<PathBuf>,
    #[serde(default = "default_interval")]
    pub interval: Interval,
    /// For one whole look: both lists, with name resolution and connections.
    #[serde(default = "default_timeout")]
    pub timeout: Interval,
    /// How many of each kind are told one by one; the others are counted.
    #[serde(default = "default_most", deserialize_with = "most")]
    pub most: usize,
}

impl ApexCentralConfig {
    pub fn endpoint(&self) -> Endpoint {
        self.url.0.clone()
    }

    /// The label `source_name`: the host of the URL, with its port where that is not the usual one.
    pub fn name(&self) -> String {
        self.url.0.http_host().unwrap_or_else(|_| self.url.0.address.clone())
    }
}

/// `https://host`, or `https://host:port`. What is asked for below it is fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CentralUrl(Endpoint);

/// Why a text is none.
#[derive(Debug, thiserror::Error)]
enum NoUrl {
    #[error("{0:?} does not begin with https://; the API is asked over TLS alone")]
    Scheme(String),
    #[error("{0:?} is not a server's address alone; write it as https://central.example.com, without a path")]
    Parts(String),
}

impl CentralUrl {
    fn parse(text: &str) -> Result<Self, NoUrl> {
        let parts = || NoUrl::Parts(text.to_owned());
        // What stands before an @ would be a password.
        if text.contains(['@', '?', '#']) {
            return Err(NoUrl::Parts("…".to_owned()));
        }
        let authority = text.strip_prefix("https://").ok_or_else(|| NoUrl::Scheme(text.to_owned()))?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let has_port = authority.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let address = if has_port { authority.to_owned() } else { format!("{authority}:443") };
        let endpoint = Endpoint { address, server_name: None };
        endpoint.expected_name().map_err(|_| parts())?;
        Ok(Self(endpoint))
    }
}

/// The inventory of thousands of agents is some megabytes, and changes by the day.
const fn default_interval() -> Interval {
    Interval::new(Duration::from_hours(1))
}

/// The console looks the whole list up before it answers.
const fn default_timeout() -> Interval {
    Interval::new(Duration::from_mins(1))
}

const fn default_most() -> usize {
    100
}

/// More are series that nobody reads.
const MOST_TOLD: usize = 1000;

fn most<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let most = usize::deserialize(deserializer)?;
    let told = || serde::de::Error::custom("most must be 1000 at most; the others are counted");
    (most <= MOST_TOLD).then_some(most).ok_or_else(told)
}

/// The vendor's are GUIDs of 36 characters.
const LONGEST_ID: usize = 128;

fn application_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    in_place(deserializer, "an application ID", |text| {
        let fits = (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        // It is not quoted: somebody may have put the key here.
        fits.then(|| text.to_owned()).ok_or("not an application ID; copy it from the console, as it stands there")
    })
}

impl<'de> Deserialize<'de> for CentralUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a URL such as https://central.example.com", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, parse};
    use super::*;
    use crate::platform::testing::native;

    fn with(keys: &str) -> Result<Config, String> {
        let text = format!("apexCentral: {{{keys}}}\n");
        parse(&native(&text), Path::new("exporter.yaml")).map_err(|error| error.to_string())
    }

    const LEAST: &str = "url: 'https://central.example.com', applicationId: A-1, apiKeyFile: /etc/kagiban/central.key";

    #[test]
    fn an_inventory_needs_a_url_an_application_and_its_key() {
        let config = with(LEAST).expect("the least").apex_central.expect("the section");
        assert_eq!(
            (config.endpoint().address.as_str(), config.name().as_str()),
            ("central.example.com:443", "central.example.com")
        );
        assert_eq!(
            (config.interval.as_duration(), config.timeout.as_duration()),
            (Duration::from_hours(1), Duration::from_mins(1))
        );
        assert_eq!((config.most, config.ca_file), (100, None));
        for (left_out, missing) in [
            ("url: 'https://central.example.com', ", "url"),
            ("applicationId: A-1, ", "applicationId"),
            (", apiKeyFile: /etc/kagiban/central.key", "apiKeyFile"),
        ] {
            let said = with(&LEAST.replace(left_out, "")).expect_err(missing);
            assert!(said.contains(&format!("missing field `{missing}`")), "{said}");
        }
        for (more, why) in [
            (", most: 1001", "1000 at most"),
            (", apiKey: x", "unknown field `apiKey`"),
            (", interval: 0s", "1s to 24h"),
            (", caFile: ca.pem", "absolute"),
        ] {
            let said = with(&format!("{LEAST}{more}")).expect_err(why);
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_url_is_one_of_https_and_of_a_server_alone() {
        for (url, address) in [
            ("https://central.example.com/", "central.example.com:443"),
            ("https://central.example.com:8443", "central.example.com:8443"),
            ("https://192.0.2.1", "192.0.2.1:443"),
            ("https://[2001:db8::1]", "[2001:db8::1]:443"),
            ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
        ] {
            assert_eq!(CentralUrl::parse(url).expect(url).0.address, address);
        }
        for url in [
            "http://central.example.com",
            "central.example.com",
            "https://",
            "https://central.example.com/WebApp",
            "https://central.example.com?a=b",
            "https://central.example.com//",
            "https://central.example.com:port",
            "https://2001:db8::1",
            "https://a b",
            "https://user:hunter2@central.example.com",
        ] {
            let said = CentralUrl::parse(url).expect_err(url).to_string();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    /// Holds that no secret is told: the key may be written in the place of the ID, with a line's end or a blank.
    #[test]
    fn an_application_id_that_is_none_is_not_quoted() {
        let said = with(&LEAST.replace("A-1", "'the key'")).expect_err("a blank");
        assert!(said.contains("copy it from the console") && !said.contains("the key"), "{said}");
    }
}
