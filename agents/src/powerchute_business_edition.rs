//! PowerChute Business Edition: it makes its certificate when it is installed, so a new one takes its installer, which
//! the host's configuration names.

use crate::facts::{Class, Os, ProductFacts, Renewal};

pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: "powerchute-business-edition",
    agent: "pcbe",
    class: Class::Trigger(Renewal::BY_CONFIGURATION),
    directories,
    keystores: &["commkey"],
    alias: Some("securekey"),
    port: None,
    password_ini: None,
    service: |_| None,
    event_log: Some("EventLog"),
    protected: &[],
    hardening: None,
};

/// Agent and server each have a `commkey`.
const fn directories(os: Os) -> &'static [&'static str] {
    match os {
        Os::Linux => &["/opt/APC/PowerChuteBusinessEdition/Server", "/opt/APC/PowerChuteBusinessEdition/Agent"],
        Os::Windows => &[
            r"C:\Program Files\APC\PowerChute Business Edition\server",
            r"C:\Program Files\APC\PowerChute Business Edition\agent",
            r"C:\Program Files (x86)\APC\PowerChute Business Edition\server",
            r"C:\Program Files (x86)\APC\PowerChute Business Edition\agent",
        ],
    }
}
