//! What a trap tells, once it is known to be from whom it says.

use std::time::Instant;

use async_snmp::ber::Decoder;
use async_snmp::message::{CommunityMessage, CommunityPdu, Message, RawMsgData, RawV3Message, ScopedPdu};
use async_snmp::v3::{DerivedKeys, UsmSecurityParams, auth::verify_message};
use async_snmp::{Auth, DecodeConfig, Oid, Pdu, PduType, UsmConfig, VarBind};
use hyper::body::Bytes;

use super::inbox::TrapEvent;
use super::oids::{ALARM_DESCRIPTION, ALARM_ON_BATTERY, UPS_MIB};
use super::reading::number_of_alarm;
use super::value;

/// Nothing is accepted that is not written by the book.
const STRICT: DecodeConfig = DecodeConfig::STRICT;
/// RFC 3414's: how far the clock of an engine may lie behind what it was seen at.
const WINDOW_SECONDS: u64 = 150;

const TRAP_OID: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// APC's enterprise; its traps stand below `.0`.
const POWERCHUTE_TRAPS: [u32; 8] = [1, 3, 6, 1, 4, 1, 318, 0];
/// The words of a PowerChute trap.
const POWERCHUTE_TEXT: [u32; 10] = [1, 3, 6, 1, 4, 1, 318, 2, 3, 3];
const UPS_TRAPS: [u32; 8] = [1, 3, 6, 1, 2, 1, 33, 2];

/// What a sender must show, and what is remembered of it.
#[derive(Debug)]
pub(crate) struct Credential {
    auth: Auth,
    engine: Option<Engine>,
}

/// The v3 engine that was last heard.
#[derive(Debug)]
struct Engine {
    id: Bytes,
    keys: DerivedKeys,
    /// Of the last trap that was authentic; before that, nothing is known of its clock.
    clock: Option<Clock>,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    boots: u32,
    time: u32,
    seen: Instant,
}

/// Why a datagram is no trap to listen to, the more telling the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dropped {
    Malformed,
    /// A community or user that is not the UPS's, a lower level of security, or a digest that does not fit.
    WrongCredentials,
    /// Authentic, and older than what was heard before.
    OutOfTime,
}

/// Opens a datagram from the address of a UPS.
///
/// # Errors
/// When it is not from that UPS's agent, or no trap.
pub(crate) fn open(datagram: &Bytes, credential: &mut Credential, now: Instant) -> Result<TrapEvent, Dropped> {
    match &credential.auth {
        Auth::Community { community, .. } => {
            let message = Message::decode(datagram.clone(), STRICT).map_err(|_| Dropped::Malformed)?.value;
            let Message::Community(message) = message else { return Err(Dropped::WrongCredentials) };
            // An agent that is asked through v2c may send its traps through v1, and the other way round.
            if !community.matches(message.community().as_bytes()) {
                return Err(Dropped::WrongCredentials);
            }
            match message.pdu() {
                CommunityPdu::TrapV1(trap) => {
                    Ok(tells(&trap.v2_trap_oid().map_err(|_| Dropped::Malformed)?, trap.varbinds()))
                }
                CommunityPdu::Standard(pdu) => of_pdu(pdu),
            }
        }
        Auth::Usm(user) => open_v3(datagram, user, &mut credential.engine, now),
    }
}

impl Credential {
    pub(crate) const fn new(auth: Auth) -> Self {
        Self { auth, engine: None }
    }

    /// Takes what the files say now. The clock of the engine goes on.
    pub(crate) fn renew(&mut self, auth: Auth) {
        self.auth = auth;
        if let (Auth::Usm(user), Some(engine)) = (&self.auth, &mut self.engine) {
            match user.derive_keys(&engine.id) {
                Ok(keys) => engine.keys = keys,
                Err(_) => self.engine = None,
            }
        }
    }
}

impl Dropped {
    /// A label value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongCredentials => "wrong_credentials",
            Self::OutOfTime => "out_of_time",
        }
    }
}

/// RFC 3414, 3.2, for one user whose engine is the sender.
fn open_v3(datagram: &Bytes, user: &UsmConfig, known: &mut Option<Engine>, now: Instant) -> Result<TrapEvent, Dropped> {
    let malformed = |_| Dropped::Malformed;
    if CommunityMessage::decode(datagram.clone(), STRICT).is_ok() {
        return Err(Dropped::WrongCredentials);
    }
    let message = RawV3Message::decode(datagram.clone(), STRICT).map_err(malformed)?.value;
    let sent = UsmSecurityParams::decode(message.security_params().clone(), STRICT).map_err(malformed)?.value;
    if sent.username() != user.username() || message.security_level() < user.security_level() {
        return Err(Dropped::WrongCredentials);
    }
    let derive = || user.derive_keys(sent.engine_id()).map_err(|_| Dropped::WrongCredentials);
    let new = match known {
        Some(engine) if engine.id == sent.engine_id() => None,
        Some(_) | None => Some(Engine { id: sent.engine_id().clone(), keys: derive()?, clock: None }),
    };
    let engine = new.as_ref().or(known.as_ref()).expect("it is known or was just made");
    if let Some(key) = &engine.keys.auth_key {
        let (start, length) = UsmSecurityParams::find_auth_params_offset(datagram).ok_or(Dropped::Malformed)?;
        let authentic = length == key.mac_len() && verify_message(key, datagram, start, length).unwrap_or(false);
        if !authentic {
            return Err(Dropped::WrongCredentials);
        }
        let clock = Clock { boots: sent.engine_boots(), time: sent.engine_time(), seen: now };
        if engine.clock.is_some_and(|before| before.is_past(&clock)) {
            return Err(Dropped::OutOfTime);
        }
        // Only who has the key gets as far as this.
        if let Some(engine) = new {
            *known = Some(engine);
        }
        if let Some(engine) = known {
            // A repetition within the window must not set the clock back.
            engine.clock = Some(engine.clock.map_or(clock, |before| before.later(clock)));
        }
    }
    let scoped = match message.msg_data() {
        RawMsgData::Plaintext { data, .. } => data.clone(),
        RawMsgData::Encrypted(sealed) => {
            let key =
                known.as_ref().and_then(|engine| engine.keys.priv_key.as_ref()).ok_or(Dropped::WrongCredentials)?;
            key.decrypt(sealed, sent.engine_boots(), sent.engine_time(), sent.priv_params())
                .map_err(|_| Dropped::WrongCredentials)?
        }
    };
    let scoped = ScopedPdu::decode(&mut Decoder::new(scoped)).map_err(malformed)?;
    of_pdu(&scoped.pdu)
}

impl Clock {
    /// What the engine's clock shows at that time, if it goes on as it was seen.
    fn shows(&self, at: Instant) -> u64 {
        u64::from(self.time) + at.saturating_duration_since(self.seen).as_secs()
    }

    /// Whether `other`, though it came after, was made before: a repetition.
    fn is_past(&self, other: &Self) -> bool {
        let behind = u64::from(other.time) + WINDOW_SECONDS < self.shows(other.seen);
        other.boots < self.boots || (other.boots == self.boots && behind)
    }

    fn later(self, other: Self) -> Self {
        let ahead = u64::from(other.time) > self.shows(other.seen);
        if other.boots > self.boots || (other.boots == self.boots && ahead) { other } else { self }
    }
}

fn of_pdu(pdu: &Pdu) -> Result<TrapEvent, Dropped> {
    if !matches!(pdu.pdu_type(), PduType::TrapV2 | PduType::InformRequest) {
        return Err(Dropped::Malformed);
    }
    let named = pdu.varbinds().iter().find(|bind| bind.oid.arcs() == TRAP_OID);
    let trap = named.and_then(|bind| bind.value.as_oid()).ok_or(Dropped::Malformed)?;
    Ok(tells(trap, pdu.varbinds()))
}

/// Every trap of a known agent is a reason to look; these say what for.
fn tells(trap: &Oid, bindings: &[VarBind]) -> TrapEvent {
    let below = |root: &[u32]| trap.arcs().strip_prefix(root);
    match (below(&POWERCHUTE_TRAPS), below(&UPS_TRAPS)) {
        (Some([779 | 790]), _) => TrapEvent::Critical(text_among(bindings)),
        (Some([781 | 783 | 792]), _) => TrapEvent::CommsLost,
        (Some([782 | 784 | 793]), _) => TrapEvent::CommsBack,
        (_, Some([1] | [0, 1])) => TrapEvent::AlarmAdded(ALARM_ON_BATTERY),
        (_, Some([3] | [0, 3])) => alarm_among(bindings).map_or(TrapEvent::Other, TrapEvent::AlarmAdded),
        (_, Some([4] | [0, 4])) => alarm_among(bindings).map_or(TrapEvent::Other, TrapEvent::AlarmRemoved),
        // 780 and 791 too: the critical event is resolved, and the shutdown goes on.
        _ => TrapEvent::Other,
    }
}

fn text_among(bindings: &[VarBind]) -> Option<crate::label::Label> {
    bindings
        .iter()
        .filter(|bind| bind.oid.arcs().starts_with(&POWERCHUTE_TEXT))
        .find_map(|bind| value::text(&bind.value))
}

fn alarm_among(bindings: &[VarBind]) -> Option<u32> {
    let column = UPS_MIB.oid(&ALARM_DESCRIPTION);
    let rows = bindings.iter().filter(|bind| bind.oid.starts_with(&column));
    rows.filter_map(|bind| bind.value.as_oid()).find_map(number_of_alarm)
}
