//! The web UI of a PowerChute agent, read as a person would: log on, look, log off.
//!
//! ```text
//!   Client ──ledger, book: may a login be tried?──> visit   /logon, /j_security_check, /status, /logoff
//!                                                     ├─ transport  HTTPS, capped; known places of one host only
//!                                                     ├─ page       the few elements of a page that matter
//!                                                     └─ reading    their words and numbers as a Reading
//! ```
//!
//! The UI knows one login at a time, and three wrong passwords lock it for two minutes. So a login is tried rarely, is
//! always ended, and nobody else's is.

mod book;
mod client;
mod error;
mod ledger;
mod page;
mod reading;
mod transport;
mod visit;

pub(super) use client::Client;
#[cfg(test)]
pub(super) use reading::documented;

use crate::ups::Reading;

/// What a status page says; any bytes are a page, of most nothing can be read.
pub(crate) fn read_page(bytes: &[u8]) -> Reading {
    reading::reading(&page::UiPage::scan(&String::from_utf8_lossy(bytes)))
}
