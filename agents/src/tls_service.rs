//! Any service with a keystore or PEM files, two commands and a TLS endpoint: everything comes from configuration.

use crate::facts::{Class, Facts};

pub(crate) const FACTS: Facts =
    Facts { id: "tls-service", agent: "web", class: Class::Push, ..Facts::BY_CONFIGURATION };
