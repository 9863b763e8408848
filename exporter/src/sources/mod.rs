//! What is looked at, each thing on its own schedule and under its own deadline.
//!
//! ```text
//!   config, discovery ──plan──> Source ──schedule──> Pass ──> snapshot::Board
//!                                 ├─ files/       certificate files and keystores, by pattern
//!                                 ├─ alerts/      mails and exported logs of a product that is looked at through them, and the logs of a product's clients
//!                                 ├─ clients/     which clients of a product lack its certificate, as its own program lists them
//!                                 ├─ agent        one agent's directory: files/ with what is known of its product
//!                                 ├─ function/    whether an agent does its work
//!                                 ├─ health/      how one PowerChute agent is hardened
//!                                 ├─ release/     which release a part of a product is
//!                                 ├─ host/        what the host says of its own going down
//!                                 ├─ inventory/   the agents of all servers of a product, as the console above them lists them
//!                                 ├─ stores       certificate stores of the system
//!                                 ├─ tls          one endpoint: probe
//!                                 └─ ups/         one UPS, or every UPS of one server: its reading <──wake── traps
//! ```
//!
//! A source owns how it looks, and nothing of rendering. One that hangs or panics harms no other.

mod agent;
mod alerts;
mod blocking;
pub mod clients;
mod des_salts;
mod files;
pub mod function;
mod heading;
mod health;
mod host;
mod https;
mod inventory;
mod password_ini;
mod plan;
mod program;
mod release;
mod rows;
mod schedule;
mod stores;
mod text;
mod tls;
mod traps;
mod trust;
mod ups;

#[doc(hidden)]
pub use alerts::{fuzz_alert_log, fuzz_alert_mail};
#[doc(hidden)]
pub use clients::fuzz_client_list;
pub(crate) use host::check_application_log;
#[doc(hidden)]
pub use host::{fuzz_event_log, fuzz_event_log_text};
#[doc(hidden)]
pub use inventory::fuzz_inventory;
pub use plan::plan;
#[cfg(test)]
pub(crate) use plan::reasons;
pub(crate) use program::unexposed;
#[doc(hidden)]
pub use release::fuzz_program;
pub(crate) use release::release_of;
pub use schedule::{Gate, look_at_all, watch};
pub use traps::Traps;
pub(crate) use ups::{read_nis_bytes, read_nut_bytes, read_page, read_snmp_bytes};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::blocking::Work;
use crate::config::NamedFile;
use crate::snapshot::{Label, Observation, SourceId, Trouble};

/// Something to look at again and again.
#[derive(Debug)]
pub struct Source {
    id: SourceId,
    /// Every reason that a look can fail for.
    reasons: &'static [&'static str],
    interval: Duration,
    look: Look,
    /// Has the source looked at before its time, when something told that it changed.
    wake: Arc<Notify>,
    /// The files that the configuration names for it.
    files: Vec<NamedFile>,
}

#[derive(Debug)]
enum Look {
    Alerts(Box<alerts::AlertSource>),
    ClientLogs(Box<alerts::ClientLogSource>),
    Clients(Box<clients::ClientSource>),
    Files(Box<files::FileSource>),
    Function(Box<function::FunctionSource>),
    Health(Box<health::HealthSource>),
    Host(Box<host::HostSource>),
    Inventory(Box<inventory::InventorySource>),
    Release(Box<release::ReleaseSource>),
    Stores(stores::StoreSource),
    Tls(tls::TlsSource),
    Ups(Box<ups::UpsSource>),
}

/// Has sources looked at before their time, whichever configuration has made them.
#[derive(Clone, Debug, Default)]
pub struct Wakes(Arc<ArcSwap<BTreeMap<SourceId, Arc<Notify>>>>);

impl Wakes {
    /// From now on those of these sources.
    pub fn follow(&self, sources: &[Source]) {
        self.0.store(Arc::new(sources.iter().map(|source| (source.id.clone(), Arc::clone(&source.wake))).collect()));
    }

    /// Nothing where there is no such source.
    pub fn wake(&self, id: &SourceId) {
        if let Some(wake) = self.0.load().get(id) {
            wake.notify_one();
        }
    }
}

/// Whose threads the names of a source are looked up on.
const fn names_of(id: &SourceId) -> Work {
    if id.host.is_none() { Work::SourceNames } else { Work::OutsideNames }
}

impl Source {
    pub const fn id(&self) -> &SourceId {
        &self.id
    }

    pub const fn reasons(&self) -> &'static [&'static str] {
        self.reasons
    }

    async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let (mut observation, trouble) = match &mut self.look {
            Look::Alerts(source) => source.look().await,
            Look::ClientLogs(source) => source.look().await,
            Look::Clients(source) => source.look().await,
            Look::Files(source) => source.look().await,
            Look::Function(source) => source.look().await,
            Look::Health(source) => source.look().await,
            Look::Host(source) => source.look().await,
            Look::Inventory(source) => source.look().await,
            Look::Release(source) => source.look().await,
            Look::Stores(source) => source.look().await,
            Look::Tls(source) => source.look().await,
            Look::Ups(source) => source.look().await,
        };
        match &mut observation {
            Observation::Upses(upses) => {
                let outcomes = upses.iter_mut().map(|seen| &mut seen.outcome);
                outcomes
                    .filter_map(|outcome| outcome.as_mut().err())
                    .for_each(|it| it.message = self.named(&it.message));
            }
            Observation::Health(health) => {
                health.checks.iter_mut().for_each(|check| check.detail = self.named(&check.detail));
            }
            Observation::Nothing
            | Observation::Files(_)
            | Observation::Endpoint(_)
            | Observation::Function(_)
            | Observation::Host(_)
            | Observation::Reboots(_)
            | Observation::Release(_)
            | Observation::Alerts(_)
            | Observation::Clients(_)
            | Observation::ClientLogs(_)
            | Observation::Inventory(_) => {}
        }
        (observation, trouble.map(|it| Trouble { message: self.named(&it.message), ..it }))
    }

    /// A message about a file, with the setting that names the file: who reads it wrote the setting.
    fn named(&self, message: &Label) -> Label {
        let is_about = |file: &&NamedFile| message.as_str().contains(&format!("{}: ", file.path.display()));
        let file = self.files.iter().filter(is_about).max_by_key(|file| file.path.as_os_str().len());
        file.map_or_else(|| message.clone(), |file| Label::new(&format!("{}: {message}", file.setting)))
    }
}
