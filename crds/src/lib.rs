//! The contract between the cluster, the operator and the hosts.
//!
//! ```text
//!   user, GitOps ──ManagedAgentCertificate──> API server ──> operator
//!                       (resource)                              │
//!                                                               │ host_api, version v1, over mTLS
//!                                                               v
//!                                                        exporter on the host
//! ```
//!
//! `words` are the values that both sides name things by; they are parsed at the edge and cannot be wrong inside.
//! This room knows no other room of the project.

#![forbid(unsafe_code)]

pub mod host_api;
pub mod host_setup;
mod password;
#[cfg(feature = "resource")]
#[allow(unreachable_pub, reason = "the KubeSchema derive repeats each struct inside a function body")]
pub mod resource;
mod subject;
mod words;

pub use password::{MAX_PASSWORD_BYTES, password};
pub use subject::{CertificateSubject, SubjectError, SubjectPart, SubjectText};
pub use words::{AgentName, Epoch, Generation, HostName, LeafSha256, Lineage, OrderMark, SecretName, WordError};
