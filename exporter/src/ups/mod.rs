//! What a UPS says, in one schema whatever it was asked through: base units, closed sets, and nothing where nothing was said.
//!
//! ```text
//!   sources/ups/{nut,apcupsd,snmp,web} ──> Reading ─┬─> render   ups_*
//!                                                   └─> shutdown host_shutdown_*
//! ```
//!
//! Pure: no protocol and no network here.

mod quantity;
mod reading;
mod status;
mod values;

pub use quantity::{Facts, Quantity, Unit};
pub use reading::{ALARM_METRIC, Beeper, Identity, Raw, Reading, Refused, SelfTest, TransferDirection};
pub use status::{Alarms, Status, Statuses, Trigger, Triggers};
pub use values::{Phase, Values};
