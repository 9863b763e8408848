//! What an agent answers on its SNMP port: v1 at all, v3 to a user without authentication, and to one with the configured protocols.
//!
//! Its settings have no documented keys, so this is the only way to know.

use std::time::Duration;

use async_snmp::error::ErrorKind;
use async_snmp::{Auth, Client, MasterKeys, Oid, Retry, UsmConfig};
use hyper::body::Bytes;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::blocking::{Flights, Work, resolve};
use crate::config::{HealthSnmpConfig, is_weak};
use crate::health::SnmpSeen;
use crate::password_file;
use crate::probe::Endpoint;
use crate::snapshot::Trouble;
use crate::sources::blocking::blocked_by;
use crate::sources::des_salts::des_salts;

/// An agent on this host answers in milliseconds; one that is silent costs two of these for each question.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A key is derived from a megabyte of its password, which takes a slow host most of a second.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// A datagram may be lost.
const RETRIES: u32 = 1;
/// `sysUpTime.0`, which every agent has and lets everybody read who may read anything.
const SYS_UP_TIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];
/// Asked for while no user is configured. Who speaks v3 says that there is none.
const NOBODY: &str = "kagiban-nobody";

/// How an agent took a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// It gave the value.
    Answered,
    /// It said no: it speaks the version.
    Refused,
    Silent,
}

/// Reads of the credentials: one that hangs is joined by the next look.
pub(super) type Reads = Flights<(), Result<SnmpCredentials, Trouble>>;

pub(super) async fn ask(config: &HealthSnmpConfig, reads: &Reads) -> Result<SnmpSeen, Trouble> {
    let credentials = {
        let config = config.clone();
        let read = reads.join(Work::Health, (), Instant::now() + READ_WITHIN, move || SnmpCredentials::read(&config));
        read.await.map_err(|blocked| blocked_by(&blocked))??
    };
    let v1 = match credentials.community {
        Some(community) => Some(question(&config.address, Auth::v1(community)).await? != Reply::Silent),
        None => None,
    };
    let open = question(&config.address, Auth::usm(config.user.as_deref().unwrap_or(NOBODY))).await?;
    let answered = match credentials.user {
        Some(user) => Some(question(&config.address, user.into()).await? == Reply::Answered),
        None => None,
    };
    let weak = is_weak(config.auth.as_ref(), config.privacy.as_ref());
    Ok(SnmpSeen {
        v1,
        v3: open != Reply::Silent || answered == Some(true),
        v3_open: open == Reply::Answered,
        v3_strong: answered.filter(|answered| !(weak && *answered)),
        v3_weak: weak && answered == Some(true),
    })
}

async fn question(address: &str, auth: Auth) -> Result<Reply, Trouble> {
    let unknown = |error: &dyn std::fmt::Display| Trouble::new("dns", format!("{address}: no address found ({error})"));
    let endpoint = Endpoint { address: address.to_owned(), server_name: None };
    let (host, port) = endpoint.host_and_port().map_err(|error| unknown(&error))?;
    let found = resolve(Work::SourceNames, host, port, Instant::now() + ANSWER_WITHIN).await;
    let peer = found.map_err(|error| unknown(&error))?.first().copied();
    let peer = peer.ok_or_else(|| unknown(&"the answer was empty"))?;
    let failed = |error: &dyn std::fmt::Display| Trouble::new("protocol", format!("{address}: {error}"));
    let client = Client::builder(peer, auth)
        .request_timeout(ANSWER_WITHIN)
        .construction_timeout(ANSWER_WITHIN)
        .retry(Retry::fixed(RETRIES, Duration::ZERO).expect("one retry is within the library's limit"))
        .strict_source(true)
        .des_salt_state(des_salts())
        .connect()
        .await
        .map_err(|error| failed(&error))?;
    match client.get(&Oid::new(SYS_UP_TIME)).await {
        Ok(_) => Ok(Reply::Answered),
        Err(error) => match error.kind() {
            ErrorKind::Timeout | ErrorKind::ConstructionTimeout | ErrorKind::Network => Ok(Reply::Silent),
            ErrorKind::Snmp | ErrorKind::Report | ErrorKind::Auth => Ok(Reply::Refused),
            _ => Err(failed(&error)),
        },
    }
}

#[derive(Clone)]
pub(super) struct SnmpCredentials {
    community: Option<Bytes>,
    user: Option<UsmConfig>,
}

impl SnmpCredentials {
    fn read(config: &HealthSnmpConfig) -> Result<Self, Trouble> {
        let secret =
            |path: &std::path::Path| password_file::read(path).map_err(|error| Trouble::new(error.reason(), error));
        let community = config.community_file.as_deref().map(secret).transpose()?;
        let community = community.map(|secret| Bytes::copy_from_slice(secret.expose_secret().as_bytes()));
        let (Some(user), Some(auth), Some(privacy)) = (&config.user, &config.auth, &config.privacy) else {
            return Ok(Self { community, user: None });
        };
        let (auth_password, privacy_password) = (secret(&auth.password_file)?, secret(&privacy.password_file)?);
        let unusable = |error| Trouble::new("protocol", format!("{}: the user's password: {error}", config.address));
        let keys = MasterKeys::new(auth.protocol.into(), auth_password.expose_secret().as_bytes())
            .and_then(|keys| keys.with_privacy(privacy.protocol.into(), privacy_password.expose_secret().as_bytes()))
            .map_err(unusable)?;
        let user = UsmConfig::new(user.clone().into_bytes()).with_master_keys(keys).map_err(unusable)?;
        Ok(Self { community, user: Some(user) })
    }
}
