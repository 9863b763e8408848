//! Any service with a keystore or PEM files, two commands and a TLS endpoint: everything comes from configuration.

use crate::facts::{Class, ProductFacts};

pub(crate) const FACTS: ProductFacts =
    ProductFacts { id: "tls-service", agent: "web", class: Class::Push, ..ProductFacts::BY_CONFIGURATION };
