//! What a UPS says, in one schema whatever it was asked through: base units, closed sets, and nothing where nothing was said.
//!
//! ```text
//!   sources/ups/{nut,apcupsd,snmp,web} ──> Reading ──Countdowns──┬─> render   ups_*
//!                              idle: what stands for none        └─> shutdown host_shutdown_*
//! ```
//!
//! Pure: no protocol and no network here.

mod contradiction;
mod countdown;
mod fault;
mod idle;
mod quantity;
mod reading;
mod status;
mod timer;
mod values;
mod words;

pub use contradiction::contradicts_itself;
pub use countdown::{Countdowns, announces_end, announces_shutdown};
pub use fault::{Silence, UpsFault};
pub use idle::{ABSENT_IN_SNMP, IDLE, Idle, Protocol, is_absent_in_snmp, is_idle};
pub use quantity::{Quantity, QuantityFacts, Unit};
pub use reading::{ALARM_METRIC, Beeper, Raw, Reading, RefusedReadings, SelfTest, TransferDirection, UpsIdentity};
pub use status::{Alarms, ShutdownTrigger, ShutdownTriggers, Status, Statuses, is_on_line};
pub use timer::Timer;
pub use values::{PhaseLabel, Values};
pub use words::{is_printed_null, meaning};
