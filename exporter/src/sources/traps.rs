//! Receives the traps of the SNMP agents that are configured, and has their UPS looked at at once.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hyper::body::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::ups::snmp::{Credential, CredentialFiles, Dropped, Inbox, credentials, open, resolve};
use super::{Look, Source, names_of};
use crate::config::{Config, SnmpConfig};
use crate::platform;
use crate::snapshot::{Board, Label, SourceId};

/// A trap of a UPS has some hundred bytes; what is longer is none.
const MAX_BYTES: usize = 8 * 1024;
/// Addresses and credentials are looked up anew so often.
const LOOKS_UP_EVERY: Duration = Duration::from_mins(1);
const LOOKUP_DEADLINE: Duration = Duration::from_secs(5);
/// After a socket could not be had, or broke.
const LISTENS_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How many traps of known addresses are opened: an outage makes a handful per UPS, and opening one takes cryptography.
const BURST: f64 = 100.0;
const PER_SECOND: f64 = 20.0;
/// What was dropped is published so often: a flood of datagrams must not have the metrics rendered for each.
const PUBLISHES_EVERY: Duration = Duration::from_secs(5);

const ACCEPTED: &str = "accepted";
const UNKNOWN_SENDER: &str = "unknown_sender";
const RATE_LIMITED: &str = "rate_limited";
/// What became of the datagrams: label values.
const OUTCOMES: [&str; 6] = [ACCEPTED, "malformed", "out_of_time", RATE_LIMITED, UNKNOWN_SENDER, "wrong_credentials"];

/// Where traps arrive, and of whom they count.
#[derive(Debug)]
pub struct Traps {
    listen_address: SocketAddr,
    upses: Vec<Ups>,
}

/// A UPS that may send traps.
#[derive(Debug)]
struct Ups {
    id: SourceId,
    config: SnmpConfig,
    credentials: CredentialFiles,
    inbox: Arc<Inbox>,
    wake: Arc<Notify>,
}

/// A UPS's address and credential, as they are now.
type LookedUp = Option<(IpAddr, async_snmp::Auth)>;

impl Traps {
    /// Those that the configuration asks for.
    pub fn plan(config: &Config, sources: &[Source]) -> Option<Self> {
        let listen_address = config.snmp_traps.as_ref()?.listen_address;
        let upses = sources.iter().filter_map(|source| {
            let Look::Ups(ups) = &source.look else { return None };
            let (config, credentials, inbox) = ups.trapped()?;
            let (id, wake) = (source.id.clone(), Arc::clone(&source.wake));
            Some(Ups { id, config: config.clone(), credentials, inbox, wake })
        });
        Some(Self { listen_address, upses: upses.collect() })
    }

    /// Receives until told to stop. That it cannot listen is told, and tried again.
    pub async fn receive(self, board: Arc<Board>, stop: CancellationToken) {
        let (publish, looked_up) = watch::channel(vec![None; self.upses.len()]);
        let mut receiver = Receiver::new(&self.upses, looked_up, &board);
        tokio::select! {
            () = stop.cancelled() => {}
            () = look_up(&self.upses, &publish) => {}
            () = receiver.listen(self.listen_address) => {}
        }
    }
}

async fn look_up(upses: &[Ups], publish: &watch::Sender<Vec<LookedUp>>) {
    loop {
        let found = join_all(upses.iter().map(look_one_up)).await;
        publish.send_modify(|before| {
            // What cannot be looked up now stays what it was.
            let both = before.iter_mut().zip(found);
            both.filter(|(_, found)| found.is_some()).for_each(|(before, found)| *before = found);
        });
        sleep(LOOKS_UP_EVERY).await;
    }
}

/// The look at the UPS says what is wrong with its address or its files.
async fn look_one_up(ups: &Ups) -> LookedUp {
    let names = names_of(&ups.id);
    let address = resolve(&ups.config.address, names, LOOKUP_DEADLINE).await.ok()?;
    let credentials = credentials(&ups.config, &ups.credentials, LOOKUP_DEADLINE).await.ok()?;
    Some((address.ip().to_canonical(), credentials))
}

struct Receiver<'a> {
    upses: &'a [Ups],
    looked_up: watch::Receiver<Vec<LookedUp>>,
    /// Beside the UPSes.
    doors: Vec<Option<(IpAddr, Credential)>>,
    bucket: Bucket,
    counts: BTreeMap<&'static str, u64>,
    board: &'a Board,
}

impl<'a> Receiver<'a> {
    fn new(upses: &'a [Ups], looked_up: watch::Receiver<Vec<LookedUp>>, board: &'a Board) -> Self {
        let doors = upses.iter().map(|_| None).collect();
        let counts = OUTCOMES.into_iter().map(|outcome| (outcome, 0)).collect();
        Self { upses, looked_up, doors, bucket: Bucket::full(Instant::now()), counts, board }
    }

    async fn listen(&mut self, address: SocketAddr) {
        let mut told = false;
        loop {
            let broken = match platform::receive_at(address).await {
                Ok(socket) => {
                    info!(%address, upses = self.upses.len(), "listening for SNMP traps");
                    told = false;
                    self.publish(true);
                    self.receive_from(&socket).await
                }
                Err(error) => error,
            };
            self.publish(false);
            if !std::mem::replace(&mut told, true) {
                error!(%address, error = %broken, "cannot receive SNMP traps; UPSes are still asked, and this is tried again");
            }
            sleep(LISTENS_AGAIN_AFTER).await;
        }
    }

    /// Returns why it can receive no more.
    async fn receive_from(&mut self, socket: &UdpSocket) -> io::Error {
        let mut buffer = vec![0; MAX_BYTES + 1];
        let mut ticks = interval(PUBLISHES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut published = self.counts.clone();
        loop {
            tokio::select! {
                // The sender ends only together with this.
                _ = self.looked_up.changed() => self.renew(),
                _ = ticks.tick() => {
                    if published != self.counts {
                        published.clone_from(&self.counts);
                        self.publish(true);
                    }
                }
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.take(&buffer[..length], from.ip().to_canonical(), Instant::now()),
                    // Windows says so of a datagram that was too long, and of an answer that nobody took.
                    Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted) => {}
                    Err(error) => return error,
                },
            }
        }
    }

    fn renew(&mut self) {
        let looked_up = self.looked_up.borrow_and_update();
        for (door, found) in self.doors.iter_mut().zip(looked_up.iter()) {
            match (door, found.clone()) {
                (_, None) => {}
                (Some((address, credential)), Some((now, auth))) => {
                    *address = now;
                    credential.renew(auth);
                }
                (door @ None, Some((address, auth))) => *door = Some((address, Credential::new(auth))),
            }
        }
    }

    fn take(&mut self, datagram: &[u8], from: IpAddr, now: Instant) {
        let outcome = self.outcome(datagram, from, now);
        *self.counts.entry(outcome).or_default() += 1;
        if outcome == ACCEPTED {
            self.publish(true);
        }
    }

    /// Several UPSes may have one address. A trap does not say which of them it is about: it counts for each whose credential fits.
    fn outcome(&mut self, datagram: &[u8], from: IpAddr, now: Instant) -> &'static str {
        let mut doors = self.doors.iter_mut().zip(self.upses);
        if !doors.any(|(door, _)| door.as_ref().is_some_and(|(address, _)| *address == from)) {
            return UNKNOWN_SENDER;
        }
        if !self.bucket.takes_one(now) {
            return RATE_LIMITED;
        }
        if datagram.len() > MAX_BYTES {
            return "malformed";
        }
        let datagram = Bytes::copy_from_slice(datagram);
        let (mut accepted, mut dropped) = (false, None);
        for (door, ups) in self.doors.iter_mut().zip(self.upses) {
            let Some((_, credential)) = door.as_mut().filter(|(address, _)| *address == from) else { continue };
            match open(&datagram, credential, now) {
                Ok(event) => {
                    let host = ups.id.host.as_ref().map(Label::as_str);
                    info!(host, ups = %ups.id.name, event = event.as_str(), "SNMP trap");
                    ups.inbox.note(event, now);
                    ups.wake.notify_one();
                    accepted = true;
                }
                Err(why) => dropped = dropped.max(Some(why)),
            }
        }
        if accepted {
            return ACCEPTED;
        }
        let dropped = dropped.map_or(UNKNOWN_SENDER, Dropped::as_str);
        if self.bucket.may_tell(now) {
            warn!(%from, outcome = dropped, "SNMP trap dropped; further ones are only counted for a while");
        }
        dropped
    }

    fn publish(&self, listening: bool) {
        self.board.note_traps(listening, &self.counts);
    }
}

/// How many traps may still be opened now.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
    told: Option<Instant>,
}

impl Bucket {
    const fn full(now: Instant) -> Self {
        Self { left: BURST, at: now, told: None }
    }

    fn takes_one(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * PER_SECOND).min(BURST);
        self.at = now;
        let takes = self.left >= 1.0;
        if takes {
            self.left -= 1.0;
        }
        takes
    }

    fn may_tell(&mut self, now: Instant) -> bool {
        let may = self.told.is_none_or(|told| now.saturating_duration_since(told) >= LOOKS_UP_EVERY);
        if may {
            self.told = Some(now);
        }
        may
    }
}
