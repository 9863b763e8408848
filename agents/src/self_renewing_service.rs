//! Any service that renews its own certificate when a program is run, and has a TLS endpoint: everything comes from
//! configuration.

use crate::facts::{Class, Facts, Renewal};

pub(crate) const FACTS: Facts = Facts {
    id: "self-renewing-service",
    agent: "console",
    class: Class::Trigger(Renewal::BY_CONFIGURATION),
    ..Facts::BY_CONFIGURATION
};
