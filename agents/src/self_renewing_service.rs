//! Any service that renews its own certificate when a program is run, and has a TLS endpoint: everything comes from
//! configuration.

use crate::facts::{Class, ProductFacts, Renewal};

pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: "self-renewing-service",
    agent: "console",
    class: Class::Trigger(Renewal::BY_CONFIGURATION),
    ..ProductFacts::BY_CONFIGURATION
};
