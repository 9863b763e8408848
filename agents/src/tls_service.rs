//! Any service with a keystore or PEM files, two commands and a TLS endpoint: everything comes from configuration.

use crate::facts::{Class, Facts};

pub(crate) const FACTS: Facts = Facts {
    id: "tls-service",
    class: Class::Push,
    directories: |_| &[],
    keystores: &[],
    alias: None,
    port: None,
    password_ini: None,
    service: |_| None,
    event_log: None,
    protected: &[],
    hardening: None,
};
