//! Whether the clock is kept right, as systemd's timedated says. The kernel's own word (`adjtimex`) can only be asked by unsafe code.

use std::time::Duration;

use tokio::time::timeout;
use zbus::proxy::{self, CacheProperties};
use zbus::{OwnedVariant, Proxy, connection};

const NAME: &str = "org.freedesktop.timedate1";
const PATH: &str = "/org/freedesktop/timedate1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Whether something synchronizes the clock. None where nobody tells within `deadline`: no system bus, no timedated.
pub async fn is_clock_synchronized(deadline: Duration) -> Option<bool> {
    timeout(deadline, ask()).await.ok()?
}

async fn ask() -> Option<bool> {
    let bus = connection::Builder::system().build().await.ok()?;
    let proxy = proxy::Builder::<Proxy<'_>>::new(&bus)
        .destination(NAME)
        .path(PATH)
        .interface(PROPERTIES)
        .cache_properties(CacheProperties::No);
    let proxy = proxy.build().await.ok()?;
    let said: OwnedVariant = proxy.call("Get", &(NAME, "NTPSynchronized")).await.ok()?;
    bool::try_from(said).ok()
}
