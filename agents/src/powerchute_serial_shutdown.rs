//! PowerChute Serial Shutdown 1.x: the agent on a host with a UPS on a serial or USB cable.

use crate::facts::{Class, Hardening, PasswordIni, ProductFacts, ServiceCommands, ServiceFacts};
use crate::os::Os;

pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: "powerchute-serial-shutdown",
    agent: "powerchute",
    class: Class::Push,
    directories,
    // The handbook's import step names `PowerChute-keystore`, which is another product's file: importing there makes a
    // store that nothing reads, and the agent goes on with the old certificate.
    keystores: &["keystore"],
    alias: Some("securekey"),
    port: Some(6547),
    password_ini: Some(PasswordIni {
        file: "pcssconfig.ini",
        section: "Credentials",
        key: "KS_Access_Data",
        min_password: 6,
    }),
    shuts_host_down: true,
    service,
    event_log: Some("EventLog"),
    protected: &["pcssconfig.ini", "pcssconfig_backup.ini", "m11.cfg", "m11.bak"],
    hardening: Some(Hardening {
        jre: "jre",
        cacerts: "lib/security/cacerts",
        release: "release",
        default_password: "changeit",
        command_files: "cmdfiles",
        left_behind: &["silentInstall.ini"],
        factory_key: "RSA-2048",
        factory_signature: "SHA512withRSA",
    }),
    notice: None,
    parts: &[],
};

/// The installer makes `Agent`; the handbook prints `agent` as well, and on Linux they are two.
const fn directories(os: Os) -> &'static [&'static str] {
    match os {
        Os::Linux => &["/opt/APC/PowerChuteSerialShutdown/Agent", "/opt/APC/PowerChuteSerialShutdown/agent"],
        Os::Windows => &[r"C:\Program Files\APC\PowerChute Serial Shutdown\agent"],
    }
}

/// The service's name is that of PowerChute Business Edition, on both systems; Linux knows it as `PBEAgent` in its
/// init script and as `pbeagent` in the handbook, and the handbook's is what `service` is given.
#[allow(clippy::unnecessary_wraps, reason = "the signature of Facts::service")]
const fn service(os: Os) -> Option<ServiceFacts> {
    Some(match os {
        Os::Linux => ServiceFacts::Commands(ServiceCommands {
            stop: &["service", "pbeagent", "stop"],
            start: &["service", "pbeagent", "start"],
        }),
        Os::Windows => ServiceFacts::Name("APCPBEAgent"),
    })
}
