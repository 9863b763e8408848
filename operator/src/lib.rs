//! kagiban-operator, in the cluster or without one.
//!
//! ```text
//!   API server ──watch──> fleet ──> schedule ──> controller ──> reconcile ──look──> agent_api ──mTLS──> host API
//!                                            │
//!                                            v
//!                                         decide   (pure: which step, which status, what to tell)
//!                                            │
//!                     cluster <──status──────┤
//!          (Kubernetes, or standalone)       v
//!                                           act ──> issuer (signs) ──> agent_api (opens, delivers, rolls back)
//!
//!   leader: a Lease gives the epoch that every request to a host carries       metrics, web: what is seen of it all
//!   plan: the same look and the same decide, printed
//!   discovery: the hosts of the fleet, for Prometheus
//!   page: the fleet and each resource, for people with a browser
//!   service: a standalone operator that the service manager of Windows starts
//!   commands: what a person asks of a standalone operator on this machine, and how it is printed
//!   enroll: the certificates by which operator and hosts know each other
//! ```
//!
//! `decide` and `certificate` know neither the cluster nor the network; everything else is thin. Another kind of issuer is a file
//! beside `issuer::ca_secret` and a line in a list.

#![forbid(unsafe_code)]

pub mod act;
mod advice;
pub mod agent_api;
mod allowance;
pub mod certificate;
pub mod cli;
pub mod cluster;
mod columns;
pub mod commands;
pub mod controller;
pub mod decide;
pub mod discovery;
#[cfg(test)]
mod documentation;
pub mod enroll;
mod expiries;
pub mod fleet;
mod fleet_series;
pub mod foreign;
pub mod freshness;
pub mod grant;
pub mod health;
pub mod host_pattern;
pub mod issuer;
pub mod leader;
pub mod ledger;
pub mod manifest_health;
mod mends;
pub mod metrics;
pub mod page;
mod passwords;
pub mod plan;
mod recent;
pub mod reconcile;
pub mod run;
mod samples;
pub mod schedule;
mod secret_cache;
pub mod service;
mod shares;
mod text_format;
pub mod unreadable;
pub mod web;
