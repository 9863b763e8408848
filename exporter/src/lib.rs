//! kagiban-exporter, one on each fleet host.
//!
//! ```text
//!   config ──> discovery ──> sources ──observations──> snapshot ──> render ──> web  (/metrics, /-/healthy, landing page)
//!                               │                            └──> overview (what needs a person) ──> web, cli
//!                             probe  (TLS handshake: which leaf is served)
//!                               │
//!   operator ──mTLS──> host_api ──> rotation (machine, journal, executor) ──> platform ──> keystore, service
//! ```
//!
//! `converge` repairs the clients that a source lists, until it lists none.
//! What blocks a thread goes through `blocking`. The two halves share `probe` and `platform`; beyond them, rotation asks the snapshot one thing, whether the power is safe,
//! and the host API tells from it whether the host is going down.

#[macro_use]
mod online;

pub mod blocking;
mod checksum;
pub mod cli;
pub mod config;
pub mod converge;
pub mod discovery;
mod from_files;
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod host_api;
mod host_port;
pub mod installation;
mod label;
pub mod overview;
mod password_file;
pub mod platform;
mod power_log;
pub mod probe;
mod proven;
pub mod render;
pub mod rotation;
pub mod service;
pub mod shutdown;
pub mod snapshot;
mod source_id;
pub mod sources;
mod trouble;
pub mod ups;
pub mod web;
