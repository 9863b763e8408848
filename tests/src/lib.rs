//! What the tests that need more than one room stand on, and the demo with them.
//!
//! ```text
//!   tools ──> programs (etcd, kube-apiserver, kubectl, java, keytool, and ours)
//!     │
//!   process ── everything started here dies with the test, however that ends
//!     │
//!   control_plane <── operator ──mTLS──> host (exporter + PowerChute double)
//!        │                                  │
//!      kubectl, audit                    handshake, keystore listings
//! ```
//!
//! Nothing here asks our own code whether our own code did well: certificates are read off the wire, stores are opened by
//! Java, writes are counted in the API server's audit log.

pub mod alertmanager;
pub mod answering;
pub mod apcupsd;
pub mod audit;
pub mod booted;
pub mod canary;
pub mod chart_values;
pub mod control_plane;
pub mod crash_proxy;
pub mod dashboards;
pub mod debian_root;
pub mod enroll;
pub mod exporter;
pub mod exposition;
pub mod handshake;
pub mod helm;
pub mod host;
pub mod http;
pub mod images;
pub mod jks;
pub mod keeper;
pub mod keystore;
pub mod kubeconform;
pub mod kubectl;
pub mod nut;
pub mod operator;
pub mod packages;
pub mod pki;
pub mod ports;
pub mod powerchute;
pub mod process;
pub mod products;
pub mod prometheus;
pub mod promql;
pub mod promtool;
pub mod quickstart;
pub mod reference;
pub mod release;
pub mod rules;
pub mod scratch;
pub mod snmpd;
pub mod sockets;
pub mod stage;
pub mod standalone;
pub mod strace;
pub mod system_bus;
pub mod tools;
pub mod wait;
pub mod wine;
pub mod yaml;
