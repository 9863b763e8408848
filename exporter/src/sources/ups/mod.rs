//! One UPS, or every UPS of one server.
//!
//! ```text
//!   UpsSource (deadline) ──> client ─┬─ nut/       upsd: lines over TCP
//!                                    ├─ apcupsd/   its network information server: framed lines over TCP
//!                                    ├─ snmp/      UPS-MIB, PowerNet-MIB, PowerChute's own: UDP
//!                                    ├─ web/       PowerChute's web UI: HTTPS
//!                                    └─ windows_power   what Windows itself sees
//! ```
//!
//! A client speaks its protocol, bounded; what it read becomes a [`Reading`] by a pure function beside it. Its countdowns are
//! judged by what the looks before have read.

mod apcupsd;
mod dates;
#[cfg(test)]
mod documentation;
mod fault_from_errors;
mod lines;
mod numbers;
mod nut;
#[cfg(test)]
mod peer;
pub(super) mod snmp;
mod web;
mod windows_power;
mod wire;

pub(crate) use web::read_page;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::time::timeout;

use super::schedule::{panicked, timed_out};
use crate::blocking::Work;
use crate::config::{SnmpConfig, UpsBackend, UpsConfig};
use crate::probe::Authorities;
use crate::snapshot::{Backend, Label, Observation, Trouble, UpsSeen, UpsTrouble};
use crate::ups::{Countdowns, Quantity, Reading, RefusedReadings, ShutdownTrigger, UpsFault};

/// The target of what is asked of no other.
const THIS_HOST: &str = "localhost";

/// The UPSes of one source, each with what it said; or why not even their names are known.
type Read = Result<Vec<(Label, Result<Reading, UpsTrouble>)>, UpsTrouble>;

#[derive(Debug)]
pub(super) struct UpsSource {
    name: Label,
    target: Label,
    deadline: Duration,
    feeds_host: bool,
    client: Client,
    /// Those that were listed last: when the server is gone, they are down, not unheard of.
    known: BTreeMap<Label, UpsMemory>,
}

/// What is kept of a UPS from look to look.
#[derive(Debug, Default)]
struct UpsMemory {
    countdowns: Countdowns,
    /// In how many looks it contradicted itself.
    contradictions: u64,
    /// What it has given that no UPS can have.
    refused: RefusedReadings,
}

#[derive(Debug)]
enum Client {
    Nut(Box<nut::Client>),
    Apcupsd(apcupsd::Client),
    Snmp(Box<snmp::Client>),
    Web(Box<web::Client>),
    WindowsPower(windows_power::Client),
}

impl UpsSource {
    pub(super) fn new(config: &UpsConfig, system: Option<&Authorities>, state_directory: &Path, names: Work) -> Self {
        let name = Label::new(config.name.as_str());
        let (interval, deadline) = (config.interval.as_duration(), config.timeout.as_duration());
        // A client that ends by itself can say how far it came, and keeps the UPSes that it had read.
        let own = deadline - deadline / 10;
        let (client, address): (_, &str) = match &config.backend {
            UpsBackend::Nut(nut) => {
                (Client::Nut(Box::new(nut::Client::new(nut, name.clone(), system, names, own))), &nut.address)
            }
            UpsBackend::Apcupsd(apcupsd) => {
                (Client::Apcupsd(apcupsd::Client::new(apcupsd, names, own)), &apcupsd.address)
            }
            UpsBackend::Snmp(snmp) => {
                (Client::Snmp(Box::new(snmp::Client::new(snmp, names, own, interval))), &snmp.address)
            }
            UpsBackend::PowerchuteWeb(web) => (
                Client::Web(Box::new(web::Client::new(web, system, state_directory, names, interval, deadline))),
                &web.address,
            ),
            UpsBackend::WindowsPower(_) => (Client::WindowsPower(windows_power::Client::new(own)), THIS_HOST),
        };
        Self {
            target: Label::new(address),
            deadline,
            feeds_host: config.feeds_host,
            client,
            known: BTreeMap::from([(name.clone(), UpsMemory::default())]),
            name,
        }
    }

    /// Of an SNMP agent, what a receiver of its traps needs.
    pub(super) fn trapped(&self) -> Option<(&SnmpConfig, snmp::CredentialFiles, Arc<snmp::Inbox>)> {
        match &self.client {
            Client::Snmp(client) => Some(client.trapped()),
            Client::Nut(_) | Client::Apcupsd(_) | Client::Web(_) | Client::WindowsPower(_) => None,
        }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let read = match timeout(self.deadline, AssertUnwindSafe(self.client.read(&self.name)).catch_unwind()).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => Err(panicked(UpsFault::Panic)),
            Err(_) => Err(timed_out(UpsFault::Timeout, self.deadline)),
        };
        let upses = match read {
            Ok(mut upses) => {
                self.follow(&mut upses, Instant::now());
                upses
            }
            Err(trouble) => self.known.keys().map(|ups| (ups.clone(), Err(trouble.clone()))).collect(),
        };
        (Observation::Upses(upses.into_iter().map(|(ups, outcome)| self.seen(ups, outcome)).collect()), None)
    }

    /// Keeps what is known of those that are listed now, and judges their answers by it: for every backend alike.
    fn follow(&mut self, upses: &mut [(Label, Result<Reading, UpsTrouble>)], now: Instant) {
        let mut before = std::mem::take(&mut self.known);
        for (ups, outcome) in upses {
            let mut known = before.remove(ups).unwrap_or_default();
            if let Ok(reading) = outcome {
                known.countdowns.follow(reading, self.client.countdown(), now);
                known.contradictions += u64::from(reading.contradicts_itself());
                if let Some(withdrawn) = reading.withdraw_contradicted() {
                    self.client.withhold_raw(withdrawn, reading);
                }
                for (metric, count) in reading.refused() {
                    *known.refused.entry(metric).or_default() += u64::from(count);
                }
            }
            self.known.insert(ups.clone(), known);
        }
    }

    fn seen(&self, ups: Label, outcome: Result<Reading, UpsTrouble>) -> UpsSeen {
        UpsSeen {
            contradictions: self.known.get(&ups).map_or(0, |known| known.contradictions),
            refused: self.known.get(&ups).map(|known| known.refused.clone()).unwrap_or_default(),
            ups,
            backend: self.client.backend(),
            target: self.target.clone(),
            feeds_host: self.feeds_host,
            outcome: outcome.map(Box::new),
            strong_snmp: self.trapped().map(|(config, ..)| config.is_strong()),
        }
    }
}

/// Takes bytes for what upsd sends: for the fuzzer.
pub(crate) fn read_nut_bytes(bytes: &[u8]) {
    nut::read_bytes(bytes);
}

/// Takes bytes for what apcupsd sends: for the fuzzer.
pub(crate) fn read_nis_bytes(bytes: &[u8]) {
    apcupsd::read_bytes(bytes);
}

/// Takes bytes for what an SNMP agent sends: for the fuzzer.
pub(crate) fn read_snmp_bytes(bytes: &[u8]) {
    snmp::read_bytes(bytes);
}

impl Client {
    async fn read(&mut self, name: &Label) -> Read {
        let one = |outcome| Ok(vec![(name.clone(), outcome)]);
        match self {
            Self::Nut(client) => client.read().await,
            Self::Apcupsd(client) => one(client.read().await),
            Self::Snmp(client) => one(client.read().await),
            Self::Web(client) => one(client.read().await),
            Self::WindowsPower(client) => one(client.read().await),
        }
    }

    /// What a shutdown that the UPS counts down to is called; of the others none tells of a countdown.
    const fn countdown(&self) -> Option<ShutdownTrigger> {
        match self {
            Self::Nut(_) => Some(ShutdownTrigger::NutTimer),
            Self::Snmp(_) => Some(ShutdownTrigger::SnmpShutdownDelay),
            Self::Apcupsd(_) | Self::Web(_) | Self::WindowsPower(_) => None,
        }
    }

    /// The names of other exporters are made of the raw texts: a number that is taken back is no sample under those either. One
    /// that is refused where it is read is withheld there, by the name of its variable.
    fn withhold_raw(&self, withdrawn: Quantity, reading: &mut Reading) {
        match self {
            Self::Nut(_) => nut::names_of(withdrawn).for_each(|name| _ = reading.raw.remove(name)),
            Self::Apcupsd(_) => apcupsd::keys_of(withdrawn).for_each(|key| _ = reading.raw.remove(key)),
            Self::Snmp(_) | Self::Web(_) | Self::WindowsPower(_) => {}
        }
    }

    const fn backend(&self) -> Backend {
        match self {
            Self::Nut(_) => Backend::Nut,
            Self::Apcupsd(_) => Backend::Apcupsd,
            Self::Snmp(_) => Backend::Snmp,
            Self::Web(_) => Backend::PowerchuteWeb,
            Self::WindowsPower(_) => Backend::WindowsPower,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::ups::Status;

    fn source(backend: &str) -> UpsSource {
        let config = config::parse(&format!("ups: [{{name: a, {backend}}}]"), Path::new("c")).expect("one UPS");
        UpsSource::new(&config.ups[0], None, Path::new("/nonexistent"), Work::SourceNames)
    }

    /// A UPS on line whose driver knows neither its runtime nor its temperature.
    fn reading(texts: &[(&str, &str)]) -> Reading {
        let mut reading = Reading { statuses: [Status::Online].into(), ..Reading::default() };
        for (quantity, value) in [
            (Quantity::BatteryCharge, 1.0),
            (Quantity::BatteryRuntime, 0.0),
            (Quantity::Temperature, 255.0),
            (Quantity::InputVoltage, 230.0),
        ] {
            reading.values.put(quantity, value);
        }
        reading.raw = texts.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        reading
    }

    /// Holds R3: in every look, and under the names of other exporters too.
    #[test]
    fn what_cannot_be_is_counted_look_by_look_and_passed_on_under_no_name() {
        for (backend, texts, kept) in [
            ("nut: {address: 'h:3493'}", [("battery.runtime", "0"), ("input.voltage", "230")], "input.voltage"),
            ("apcupsd: {address: 'h:3551'}", [("TIMELEFT", "0.0 Minutes"), ("LINEV", "230.0 Volts")], "LINEV"),
        ] {
            let (mut source, name) = (source(backend), Label::new("a"));
            for look in 1..=3 {
                let mut upses = vec![(name.clone(), Ok(reading(&texts)))];
                source.follow(&mut upses, Instant::now());
                let (ups, outcome) = upses.remove(0);
                let seen = source.seen(ups, outcome);
                let refused: Vec<_> = seen.refused.iter().map(|(metric, count)| (*metric, *count)).collect();
                assert_eq!(refused, [("ups_battery_runtime_seconds", look), ("ups_temperature_celsius", look)]);
                let raw = &seen.outcome.as_ref().expect("it answers").raw;
                assert_eq!(raw.keys().map(|name| &**name).collect::<Vec<_>>(), [kept]);
            }
            let down = Trouble::new(UpsFault::Connect, "no");
            source.follow(&mut [(name.clone(), Err(down.clone()))], Instant::now());
            assert_eq!(source.seen(name, Err(down)).refused.len(), 2, "a counter does not vanish with an outage");
        }
    }
}
