use std::time::{Duration, Instant};

use async_snmp::message::CommunityMessage;
use async_snmp::{
    Auth, AuthProtocol, GenericTrap, MasterKeys, NotificationPdu, Oid, PrivProtocol, TrapV1Notification, TrapV1Pdu,
    UsmConfig, Value, VarBind, oid,
};
use hyper::body::Bytes;

use super::super::inbox::TrapEvent;
use super::super::oids::UPS_MIB;
use super::super::trap::{Credential, Dropped, open};
use crate::label::Label;

fn v2c() -> Credential {
    Credential::new(Auth::v2c("secret"))
}

pub(super) fn v2_trap(community: &'static str, trap: &Oid, bindings: Vec<VarBind>) -> Bytes {
    let pdu = NotificationPdu::trap_v2(async_snmp::Version::V2c, 1, 100, trap, bindings).unwrap();
    CommunityMessage::v2c(community, pdu.into_raw()).unwrap().encode().unwrap()
}

fn v1_trap(community: &'static str, enterprise: Oid, specific: i32) -> Bytes {
    let trap =
        TrapV1Notification::new(enterprise, [127, 0, 0, 1], GenericTrap::EnterpriseSpecific, specific, 100, vec![]);
    let trap: TrapV1Pdu = trap.unwrap().into_raw();
    CommunityMessage::v1_trap(community, trap).unwrap().encode().unwrap()
}

fn event(datagram: &Bytes) -> Result<TrapEvent, Dropped> {
    open(datagram, &mut v2c(), Instant::now())
}

#[test]
fn powerchute_traps_say_what_begins_and_what_ends() {
    let apc = oid!(1, 3, 6, 1, 4, 1, 318);
    for (number, expected) in [
        (779, TrapEvent::Critical(None)),
        (790, TrapEvent::Critical(None)),
        // The MIB's text: safe shutdown will continue.
        (780, TrapEvent::Other),
        (791, TrapEvent::Other),
        (781, TrapEvent::CommsLost),
        (783, TrapEvent::CommsLost),
        (792, TrapEvent::CommsLost),
        (782, TrapEvent::CommsBack),
        (784, TrapEvent::CommsBack),
        (793, TrapEvent::CommsBack),
        (794, TrapEvent::Other),
        (5, TrapEvent::Other),
    ] {
        assert_eq!(event(&v1_trap("secret", apc.clone(), number)), Ok(expected.clone()), "{number}");
        let trap = apc.child(0).child(u32::try_from(number).unwrap());
        assert_eq!(event(&v2_trap("secret", &trap, vec![])), Ok(expected), "{number}");
    }
    let why = VarBind::new(apc.child(2).child(3).child(3).child(0), Value::OctetString("On battery".into()));
    let trap = v2_trap("secret", &apc.child(0).child(790), vec![why]);
    assert_eq!(event(&trap), Ok(TrapEvent::Critical(Some(Label::new("On battery")))));
}

#[test]
fn ups_mib_traps_name_their_alarm() {
    let traps = oid!(1, 3, 6, 1, 2, 1, 33, 2);
    let row = |number| {
        let named = Value::ObjectIdentifier(UPS_MIB.oid(&[6, 3, number]));
        vec![VarBind::new(UPS_MIB.oid(&[6, 2, 1, 2, 9]), named)]
    };
    assert_eq!(event(&v2_trap("secret", &traps.child(1), vec![])), Ok(TrapEvent::AlarmAdded(2)));
    assert_eq!(event(&v1_trap("secret", traps.clone(), 1)), Ok(TrapEvent::AlarmAdded(2)));
    assert_eq!(event(&v2_trap("secret", &traps.child(2), vec![])), Ok(TrapEvent::Other));
    assert_eq!(event(&v2_trap("secret", &traps.child(3), row(23))), Ok(TrapEvent::AlarmAdded(23)));
    assert_eq!(event(&v2_trap("secret", &traps.child(4), row(2))), Ok(TrapEvent::AlarmRemoved(2)));
    assert_eq!(event(&v2_trap("secret", &traps.child(3), row(99))), Ok(TrapEvent::Other));
    assert_eq!(event(&v2_trap("secret", &traps.child(3), vec![])), Ok(TrapEvent::Other));
}

#[test]
fn a_trap_with_another_community_or_none_at_all_does_not_count() {
    let critical = oid!(1, 3, 6, 1, 4, 1, 318, 0, 790);
    assert_eq!(event(&v2_trap("public", &critical, vec![])), Err(Dropped::WrongCredentials));
    assert_eq!(event(&v1_trap("Secret", oid!(1, 3, 6, 1, 4, 1, 318), 790)), Err(Dropped::WrongCredentials));
    assert_eq!(event(&Bytes::from_static(b"not SNMP")), Err(Dropped::Malformed));
    let whole = v2_trap("secret", &critical, vec![]);
    for length in 0..whole.len() {
        assert!(event(&whole.slice(..length)).is_err(), "{length}");
    }
    let get = async_snmp::RequestPdu::get(async_snmp::Version::V2c, 1, &[critical]).unwrap().into_raw();
    let get = CommunityMessage::v2c("secret", get).unwrap().encode().unwrap();
    assert_eq!(event(&get), Err(Dropped::Malformed));
}

mod v3 {
    use async_snmp::ber::EncodeBuf;
    use async_snmp::message::{MsgFlags, MsgGlobalData, ScopedPdu, SecurityLevel};
    use async_snmp::v3::auth::authenticate_message;
    use async_snmp::v3::{SaltCounter, UsmSecurityParams};
    use async_snmp::{MessageSize, UDP_RECEIVE_LIMITS, message::V3Message};

    use super::*;

    const ENGINE: &[u8] = b"\x80\x00\x1f\x88\x80engine";

    fn user(password: &[u8]) -> UsmConfig {
        let keys = MasterKeys::new(AuthProtocol::Sha256, password).unwrap();
        let keys = keys.with_privacy(PrivProtocol::Aes128, b"privacy-password").unwrap();
        UsmConfig::new("monitor").with_master_keys(keys).unwrap()
    }

    /// A trap as an agent with that password sends it.
    fn trap(password: &[u8], level: SecurityLevel, (boots, time): (u32, u32)) -> Bytes {
        let critical = oid!(1, 3, 6, 1, 4, 1, 318, 0, 790);
        let pdu = NotificationPdu::trap_v2(async_snmp::Version::V3, 1, 100, &critical, vec![]).unwrap().into_raw();
        let scoped = ScopedPdu::new(ENGINE.to_vec(), Bytes::new(), pdu);
        let keys = user(password).derive_keys(ENGINE).unwrap();
        let size: MessageSize = UDP_RECEIVE_LIMITS.advertised();
        let header = MsgGlobalData::new(5, size, MsgFlags::new(level, false)).unwrap();
        let sent = UsmSecurityParams::new(ENGINE.to_vec(), boots, time, "monitor").unwrap();
        let (auth, privacy) = (keys.auth_key.unwrap(), keys.priv_key.unwrap());
        let message = match level {
            SecurityLevel::NoAuthNoPriv => V3Message::new(header, sent.encode().unwrap(), scoped),
            SecurityLevel::AuthNoPriv => {
                let sent = sent.with_auth_placeholder(auth.mac_len()).unwrap();
                V3Message::new(header, sent.encode().unwrap(), scoped)
            }
            SecurityLevel::AuthPriv => {
                let mut plain = EncodeBuf::new();
                scoped.encode(&mut plain).unwrap();
                let salt = SaltCounter::new().unwrap();
                let (sealed, salt) = privacy.encrypt_aes(&plain.finish(), boots, time, &salt).unwrap();
                let sent = sent.with_auth_placeholder(auth.mac_len()).unwrap().with_priv_params(salt).unwrap();
                V3Message::new_with_opaque_encrypted_scoped_pdu(header, sent.encode().unwrap(), sealed)
            }
        };
        let mut bytes = message.unwrap().encode().unwrap().to_vec();
        if level.requires_auth() {
            let (start, length) = UsmSecurityParams::find_auth_params_offset(&bytes).unwrap();
            authenticate_message(&auth, &mut bytes, start, length).unwrap();
        }
        bytes.into()
    }

    fn credential() -> Credential {
        Credential::new(user(b"correct-password").into())
    }

    #[test]
    fn a_sealed_trap_of_the_user_counts_and_every_other_does_not() {
        let now = Instant::now();
        let good = trap(b"correct-password", SecurityLevel::AuthPriv, (3, 1000));
        assert_eq!(open(&good, &mut credential(), now), Ok(TrapEvent::Critical(None)));
        for bad in [
            trap(b"another-password", SecurityLevel::AuthPriv, (3, 1000)),
            trap(b"correct-password", SecurityLevel::AuthNoPriv, (3, 1000)),
            trap(b"correct-password", SecurityLevel::NoAuthNoPriv, (3, 1000)),
        ] {
            assert_eq!(open(&bad, &mut credential(), now), Err(Dropped::WrongCredentials));
        }
        for position in 0..good.len() {
            let mut changed = good.to_vec();
            changed[position] ^= 1;
            assert!(open(&changed.into(), &mut credential(), now).is_err(), "{position}");
        }
        let community = v2_trap("monitor", &oid!(1, 3, 6, 1, 4, 1, 318, 0, 790), vec![]);
        assert_eq!(open(&community, &mut credential(), now), Err(Dropped::WrongCredentials));
    }

    #[test]
    fn a_trap_that_was_recorded_does_not_count_later() {
        let (mut credential, now) = (credential(), Instant::now());
        let at = |boots, time| trap(b"correct-password", SecurityLevel::AuthPriv, (boots, time));
        let old = at(3, 1000);
        assert!(open(&old, &mut credential, now).is_ok());
        assert!(open(&old, &mut credential, now + Duration::from_secs(100)).is_ok(), "within the window");
        assert_eq!(open(&old, &mut credential, now + Duration::from_secs(200)), Err(Dropped::OutOfTime));
        assert!(open(&at(4, 5), &mut credential, now).is_ok());
        assert_eq!(open(&at(3, 9000), &mut credential, now), Err(Dropped::OutOfTime));
        credential.renew(user(b"correct-password").into());
        assert_eq!(open(&old, &mut credential, now), Err(Dropped::OutOfTime), "new files are no new clock");
    }
}
