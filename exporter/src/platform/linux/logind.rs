//! systemd-logind over D-Bus. It tells of a shutdown that begins by a signal, and of one that is scheduled only when asked.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use zbus::proxy::{self, CacheProperties, MethodFlags};
use zbus::{Connection, MatchRule, MessageStream, OwnedVariant, Proxy, connection, fdo};

use super::scheduled_file::scheduled;
use crate::label::Label;
use crate::platform::shutdown::SystemShutdown;

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Anybody on the bus can send us the signal, which costs a look each; looks that it asks for keep this distance.
const BETWEEN_WAKES: Duration = Duration::from_millis(100);
/// Signals that wait to be seen; one tells as much as many.
const MAX_QUEUED: NonZeroUsize = NonZeroUsize::new(8).expect("eight is more than zero");

/// systemd-logind, asked over one connection for as long as that holds.
#[derive(Debug)]
pub(super) struct Logind {
    /// By default the system's bus.
    address: Option<String>,
    wake: Arc<Notify>,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    connection: Connection,
    manager: Proxy<'static>,
    _listening: AbortOnDropHandle<()>,
}

/// What logind said.
#[derive(Debug, PartialEq)]
pub(super) struct LogindReply {
    pub(super) shutdown: SystemShutdown,
    /// Whether it has the property: logind of systemd 219, that of Red Hat 7, schedules without it.
    pub(super) tells_schedule: bool,
}

/// Why logind said nothing.
#[derive(Debug)]
pub(super) enum LogindSilence {
    /// There is no bus here, or no logind on it.
    Absent,
    Failed(Label),
}

impl Logind {
    pub(super) const fn new(address: Option<String>, wake: Arc<Notify>) -> Self {
        Self { address, wake, session: None }
    }

    /// Asks. After a failure, or when the call is dropped before its end, the next one connects anew.
    pub(super) async fn ask(&mut self) -> Result<LogindReply, LogindSilence> {
        let session = match self.session.take().filter(|session| !session.connection.is_closed()) {
            Some(session) => session,
            None => self.connect().await?,
        };
        let answer = session.ask().await;
        // One that is absent may come: the connection is good.
        if matches!(answer, Ok(_) | Err(LogindSilence::Absent)) {
            self.session = Some(session);
        }
        answer
    }

    async fn connect(&self) -> Result<Session, LogindSilence> {
        let bus = self.address.as_deref().map_or_else(connection::Builder::system, connection::Builder::address);
        let connection = bus.max_queued(MAX_QUEUED).build().await.map_err(|error| silence(&error))?;
        let signal = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(NAME)
            .path(PATH)
            .interface(MANAGER)
            .member("PrepareForShutdown")
            .build()
            .map_err(|error| silence(&error))?;
        let signals = MessageStream::for_match_rule(signal, &connection, Some(MAX_QUEUED));
        let signals = signals.await.map_err(|error| silence(&error))?;
        let manager = proxy::Builder::new(&connection)
            .destination(NAME)
            .path(PATH)
            .interface(PROPERTIES)
            .cache_properties(CacheProperties::No)
            .build();
        Ok(Session {
            manager: manager.await.map_err(|error| silence(&error))?,
            connection,
            _listening: AbortOnDropHandle::new(tokio::spawn(listen(signals, Arc::clone(&self.wake)))),
        })
    }
}

impl Session {
    async fn ask(&self) -> Result<LogindReply, LogindSilence> {
        let under_way = self.property::<bool>("PreparingForShutdown").await?;
        let schedule = self.property::<(String, u64)>("ScheduledShutdown").await?;
        let tells_schedule = schedule.is_some();
        let scheduled = schedule.and_then(|(mode, microseconds)| scheduled(&mode, microseconds));
        let message = match scheduled {
            Some(_) => self.property::<String>("WallMessage").await?.filter(|message| !message.is_empty()),
            None => None,
        };
        let message = message.map(|message| Label::new(&message));
        Ok(LogindReply { shutdown: SystemShutdown { scheduled, under_way, message }, tells_schedule })
    }

    /// None where this logind has no such property. It is not started for the question: one that does not run has
    /// scheduled nothing.
    async fn property<T: TryFrom<OwnedVariant>>(&self, name: &'static str) -> Result<Option<T>, LogindSilence> {
        let reply = self.manager.call_with_flags("Get", MethodFlags::NO_AUTO_START, &(MANAGER, name)).await;
        match reply {
            Ok(Some(value)) => Ok(T::try_from(value).ok()),
            Ok(None) => Ok(None),
            Err(error) if has_no_property(&error) => Ok(None),
            Err(error) => Err(silence(&error)),
        }
    }
}

/// Asks for a look when the signal comes, and once more when others came close behind.
async fn listen(mut signals: MessageStream, wake: Arc<Notify>) {
    while let Some(Ok(_)) = signals.next().await {
        wake.notify_one();
        let until = Instant::now() + BETWEEN_WAKES;
        while let Ok(next) = timeout_at(until, signals.next()).await {
            if !matches!(next, Some(Ok(_))) {
                return;
            }
        }
        wake.notify_one();
    }
}

fn has_no_property(error: &zbus::Error) -> bool {
    let zbus::Error::FDO(error) = error else { return false };
    matches!(**error, fdo::Error::UnknownProperty(_) | fdo::Error::UnknownInterface(_) | fdo::Error::InvalidArgs(_))
}

fn silence(error: &zbus::Error) -> LogindSilence {
    let absent = match error {
        zbus::Error::Connection(error, _) | zbus::Error::InputOutput(error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
        }
        zbus::Error::FDO(error) => {
            matches!(**error, fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_))
        }
        _ => false,
    };
    if absent { LogindSilence::Absent } else { LogindSilence::Failed(Label::new(&error.to_string())) }
}
