//! Agents that answer wrongly, late, without end or not at all, over real datagrams.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_snmp::message::{Message, V3Message};
use async_snmp::{DecodeConfig, Oid, PduType, Value, VarBind, Version};
use hyper::body::Bytes;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::super::Client;
use super::super::oids::{POWERNET, UPS_MIB};
use crate::blocking::Work;
use crate::config::{self, UpsBackend};
use crate::snapshot::UpsTrouble;
use crate::ups::{Quantity, Reading, Status};

/// One look's; a bound on time is a few of them, for machines that are busy.
const DEADLINE: Duration = Duration::from_secs(1);

const NO_SUCH_NAME: u8 = 2;
const NULL: [u8; 2] = [0x05, 0x00];

/// A request as the fake sees it.
struct Asked {
    version: Version,
    id: i32,
    next: bool,
    oids: Vec<Oid>,
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], content].concat()
}

fn integer(number: i32) -> Vec<u8> {
    tlv(0x02, &number.to_be_bytes())
}

fn bind(oid: &Oid, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(0x06, &oid.to_ber().unwrap()), value.to_vec()].concat())
}

impl Asked {
    fn read(datagram: &[u8]) -> Option<Self> {
        let message = Message::decode(Bytes::copy_from_slice(datagram), DecodeConfig::DEFAULT).ok()?.value;
        let Message::Community(message) = message else { return None };
        let pdu = message.pdu().standard()?;
        Some(Self {
            version: message.version(),
            id: pdu.request_id(),
            next: pdu.pdu_type() == PduType::GetNextRequest,
            oids: pdu.varbinds().iter().map(|bind: &VarBind| bind.oid.clone()).collect(),
        })
    }

    fn response(&self, id: i32, (status, index): (u8, usize), binds: &[Vec<u8>]) -> Vec<u8> {
        let index = i32::try_from(index).unwrap();
        let pdu = [integer(id), integer(status.into()), integer(index), tlv(0x30, &binds.concat())].concat();
        let version = integer(i32::from(self.version != Version::V1));
        tlv(0x30, &[version, tlv(0x04, b"public"), tlv(0xa2, &pdu)].concat())
    }

    /// Every object with what the closure gives it; nothing is noSuchInstance.
    fn answer(&self, value: impl Fn(&Oid) -> Option<Vec<u8>>) -> Vec<u8> {
        let binds = self.oids.iter().map(|oid| bind(oid, &value(oid).unwrap_or_else(|| vec![0x81, 0x00])));
        self.response(self.id, (0, 0), &binds.collect::<Vec<_>>())
    }
}

/// Answers each request with the datagrams that the closure makes of it.
async fn fake(answer: impl Fn(&Asked, usize) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Some(asked) = Asked::read(&buffer[..length]) else { continue };
            let before = counted.fetch_add(1, Ordering::Relaxed);
            for datagram in answer(&asked, before) {
                let _ = socket.send_to(&datagram, from).await;
            }
        }
    });
    (address, requests)
}

fn client(address: SocketAddr, version: &str) -> (Client, tempfile::TempDir) {
    client_with(address, version, DEADLINE)
}

fn client_with(address: SocketAddr, version: &str, deadline: Duration) -> (Client, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let community = directory.path().join("community");
    std::fs::write(&community, "public\n").unwrap();
    let text = format!(
        "ups: [{{name: u, snmp: {{address: '{address}', version: {version}, communityFile: '{}'}}}}]",
        community.display()
    );
    let config = config::parse(&text, Path::new("test.yaml")).unwrap();
    let UpsBackend::Snmp(snmp) = &config.ups[0].backend else { panic!("it is snmp") };
    (Client::new(snmp, Work::SourceNames, deadline, Duration::from_secs(10)), directory)
}

async fn look(address: SocketAddr) -> Result<Reading, UpsTrouble> {
    let (mut client, _files) = client(address, "v2c");
    let started = Instant::now();
    let outcome = client.read().await;
    assert!(started.elapsed() < DEADLINE * 5, "{:?}", started.elapsed());
    outcome
}

/// Of an agent that answers whatever it is asked: no answer is waited for in vain, and a busy machine has time for hundreds of them.
async fn reading(address: SocketAddr) -> Reading {
    let (mut client, _files) = client_with(address, "v2c", DEADLINE * 8);
    client.read().await.unwrap()
}

fn charge(oid: &Oid) -> Option<Vec<u8>> {
    (*oid == UPS_MIB.instance(&[2, 4])).then(|| integer(97))
}

#[tokio::test]
async fn datagrams_that_are_no_answer_are_not_taken_for_one() {
    let silent = |_: &Asked, _| Vec::new();
    assert_eq!(look(fake(silent).await.0).await.unwrap_err().reason.as_str(), "timeout");
    let other_id = |asked: &Asked, _| vec![asked.response(asked.id.wrapping_add(1), (0, 0), &[])];
    assert_eq!(look(fake(other_id).await.0).await.unwrap_err().reason.as_str(), "timeout");
    let empty_integer = |asked: &Asked, _| vec![asked.answer(|_| Some(vec![0x02, 0x00]))];
    assert_eq!(look(fake(empty_integer).await.0).await.unwrap_err().reason.as_str(), "protocol");
    let garbage = |_: &Asked, _| vec![vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], vec![0; 40_000], Vec::new()];
    assert_eq!(look(fake(garbage).await.0).await.unwrap_err().reason.as_str(), "protocol");
    let cut_off = |asked: &Asked, _| vec![asked.answer(charge)[..30].to_vec()];
    assert_eq!(look(fake(cut_off).await.0).await.unwrap_err().reason.as_str(), "protocol");
    let good_among_bad = |asked: &Asked, _| vec![vec![0xff; 100], asked.response(0, (0, 0), &[]), asked.answer(charge)];
    assert!(look(fake(good_among_bad).await.0).await.is_ok());
}

#[tokio::test]
async fn an_answer_from_another_address_is_not_taken() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Some(asked) = Asked::read(&buffer[..length]) else { continue };
            let _ = other.send_to(&asked.answer(charge), from).await;
        }
    });
    assert_eq!(look(address).await.unwrap_err().reason.as_str(), "timeout");
}

#[tokio::test]
async fn values_of_the_wrong_type_and_objects_that_nobody_asked_for_are_left() {
    let wrong_types = |asked: &Asked, _| vec![asked.answer(|_| Some(tlv(0x40, &[1, 2, 3, 4])))];
    let reading = reading(fake(wrong_types).await.0).await;
    assert!(Quantity::ALL.into_iter().all(|quantity| reading.values.each(quantity).count() == 0));
    let unasked = |asked: &Asked, _| {
        let binds = (0..3000).map(|n| bind(&Oid::new([1, 3, 6, 1, 4, 1, 318, n]), &NULL)).collect::<Vec<_>>();
        vec![asked.response(asked.id, (0, 0), &binds)]
    };
    let trouble = look(fake(unasked).await.0).await.unwrap_err();
    assert_eq!(trouble.reason.as_str(), "protocol");
}

#[tokio::test]
async fn a_table_that_goes_in_circles_or_never_ends_is_cut_and_the_rest_is_read() {
    let circles = |asked: &Asked, _| match asked.next {
        true => vec![asked.answer(|_| Some(integer(1)))],
        false => vec![asked.answer(charge)],
    };
    let (address, requests) = fake(circles).await;
    assert_eq!(reading(address).await.values.of(Quantity::BatteryCharge), Some(0.97));
    assert!(requests.load(Ordering::Relaxed) < 20);
    let endless = |asked: &Asked, _| {
        if !asked.next {
            return vec![asked.answer(charge)];
        }
        let named = tlv(0x06, &UPS_MIB.oid(&[6, 3, 3]).to_ber().unwrap());
        let next = |oid: &Oid| match oid.len() {
            12 => oid.child(1),
            _ => oid.parent().unwrap().child(oid.arcs().last().unwrap() + 1),
        };
        vec![asked.response(
            asked.id,
            (0, 0),
            &asked.oids.iter().map(|oid| bind(&next(oid), &named)).collect::<Vec<_>>(),
        )]
    };
    let (address, requests) = fake(endless).await;
    let reading = reading(address).await;
    assert_eq!(reading.alarms.len(), 1);
    assert!(requests.load(Ordering::Relaxed) < 60);
}

#[tokio::test]
async fn an_agent_that_refuses_whole_requests_is_learned_object_by_object() {
    let has = |oid: &Oid| POWERNET.instance(&[2, 2, 1]) == *oid || POWERNET.instance(&[4, 1, 1]) == *oid;
    let old = move |asked: &Asked, _| {
        let refuse = |position| vec![asked.response(asked.id, (NO_SUCH_NAME, position), &[])];
        if asked.next {
            let found = asked.oids.iter().all(|oid| POWERNET.root.starts_with(oid.arcs()));
            return match found {
                true => vec![asked.response(asked.id, (0, 0), &[bind(&POWERNET.instance(&[2, 2, 1]), &integer(80))])],
                false => refuse(1),
            };
        }
        match asked.oids.iter().position(|oid| !has(oid)) {
            Some(position) => refuse(position + 1),
            None => vec![asked.answer(|_| Some(integer(2)))],
        }
    };
    let (address, requests) = fake(old).await;
    let (mut client, _files) = client(address, "v1");
    let reading = client.read().await.unwrap();
    assert_eq!(reading.values.of(Quantity::BatteryCharge), Some(0.02));
    let learning = requests.swap(0, Ordering::Relaxed);
    assert!(learning < 100, "{learning}");
    client.read().await.unwrap();
    assert!(requests.load(Ordering::Relaxed) <= 3, "what it lacks is not asked for again");
}

/// An agent of version 1 that has two objects, and refuses requests for others; `most` objects a request, or it drops it.
async fn of_version_1(most: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let (status, charge) = (POWERNET.instance(&[4, 1, 1]), POWERNET.instance(&[2, 2, 1]));
    fake(move |asked: &Asked, _| {
        if asked.oids.len() > most {
            return Vec::new();
        }
        let refuse = |position| vec![asked.response(asked.id, (NO_SUCH_NAME, position), &[])];
        if asked.next {
            return match POWERNET.root.starts_with(asked.oids[0].arcs()) {
                true => vec![asked.response(asked.id, (0, 0), &[bind(&charge, &integer(80))])],
                false => refuse(1),
            };
        }
        match asked.oids.iter().position(|oid| *oid != status && *oid != charge) {
            Some(position) => refuse(position + 1),
            None => vec![asked.answer(|oid| Some(integer(if *oid == status { 3 } else { 80 })))],
        }
    })
    .await
}

/// A request of which the agent has no object ended the look for all others.
#[tokio::test]
async fn a_request_of_which_the_agent_has_no_object_hides_no_other() {
    for most in [1000, 1] {
        let (mut client, _files) = client_with(of_version_1(most).await.0, "v1", DEADLINE * 8);
        let reading = client.read().await.unwrap();
        assert_eq!(reading.statuses, [Status::OnBattery].into(), "{most}");
        assert_eq!(reading.values.of(Quantity::BatteryCharge), Some(0.8), "{most}");
    }
}

/// The same of its tables: the alarm of a shutdown is among them.
#[tokio::test]
async fn an_agent_that_blames_no_column_is_asked_for_fewer() {
    let row = UPS_MIB.oid(&[6, 2, 1, 2, 7]);
    let named = tlv(0x06, &UPS_MIB.oid(&[6, 3, 23]).to_ber().unwrap());
    for most in [1, 4] {
        let (row, named) = (row.clone(), named.clone());
        let few = move |asked: &Asked, _: usize| {
            if asked.oids.len() > most {
                return vec![asked.response(asked.id, (5, 0), &[])];
            }
            if !asked.next {
                return vec![asked.answer(charge)];
            }
            let after = |oid: &Oid| match row.starts_with(oid) && *oid != row {
                true => bind(&row, &named),
                false => bind(oid, &[0x82, 0x00]),
            };
            vec![asked.response(asked.id, (0, 0), &asked.oids.iter().map(after).collect::<Vec<_>>())]
        };
        let (mut client, _files) = client_with(fake(few).await.0, "v2c", DEADLINE * 8);
        let reading = client.read().await.unwrap();
        assert_eq!(reading.values.of(Quantity::BatteryCharge), Some(0.97));
        assert!(reading.statuses.contains(&Status::ShuttingDown), "{most}: {reading:?}");
    }
}

#[tokio::test]
async fn an_agent_that_blames_no_object_is_learned_by_halves() {
    let blames_none = |asked: &Asked, _| match asked.oids.iter().all(|oid| charge(oid).is_some()) {
        true => vec![asked.answer(charge)],
        false => vec![asked.response(asked.id, (5, 0), &[])],
    };
    let (address, requests) = fake(blames_none).await;
    assert_eq!(reading(address).await.values.of(Quantity::BatteryCharge), Some(0.97));
    assert!(requests.load(Ordering::Relaxed) < 250);
}

/// Holds R4: an agent that drops requests of several variables without a word is asked for one at a time, within the same look.
#[tokio::test]
async fn an_agent_that_drops_requests_of_several_variables_is_asked_for_one_at_a_time() {
    let row = UPS_MIB.oid(&[3, 3, 1, 3, 1]);
    let one_variable = move |asked: &Asked, _| {
        if asked.oids.len() > 1 {
            return Vec::new();
        }
        let below = |oid: &Oid| row.starts_with(oid) && *oid != row;
        vec![match asked.next {
            true if below(&asked.oids[0]) => asked.response(asked.id, (0, 0), &[bind(&row, &integer(231))]),
            true => asked.response(asked.id, (0, 0), &[bind(&asked.oids[0], &[0x82, 0x00])]),
            false => asked.answer(charge),
        }]
    };
    let (address, requests) = fake(one_variable).await;
    let (mut client, _files) = client_with(address, "v2c", DEADLINE * 8);
    let reading = client.read().await.unwrap();
    assert_eq!(reading.values.of(Quantity::BatteryCharge), Some(0.97));
    assert_eq!(reading.values.of(Quantity::InputVoltage), Some(231.0));
    let learning = requests.swap(0, Ordering::Relaxed);
    assert!(learning < 250, "{learning}");
    let started = Instant::now();
    assert_eq!(client.read().await.unwrap().values.of(Quantity::BatteryCharge), Some(0.97));
    let known = requests.load(Ordering::Relaxed);
    assert!(known < 10, "{known}: what it lacks is not asked for again, and no larger request is waited for");
    assert!(started.elapsed() < DEADLINE * 8, "{:?}", started.elapsed());
}

/// One number of no bytes makes a whole answer unreadable: the objects beside it are still read.
#[tokio::test]
async fn an_object_that_cannot_be_read_hides_no_other() {
    let bad = POWERNET.instance(&[3, 2, 1]);
    for silent in [false, true] {
        let bad = bad.clone();
        let stumbles = move |asked: &Asked, _: usize| match asked.oids.contains(&bad) {
            true if silent => Vec::new(),
            true => vec![asked.answer(|oid| if *oid == bad { Some(vec![0x02, 0x00]) } else { charge(oid) })],
            false => vec![asked.answer(charge)],
        };
        let (address, requests) = fake(stumbles).await;
        let (mut client, _files) = client_with(address, "v2c", DEADLINE * 8);
        for look in 0..3 {
            let reading = client.read().await.unwrap();
            assert_eq!(reading.values.of(Quantity::BatteryCharge), Some(0.97), "{silent} {look}");
            assert!(requests.swap(0, Ordering::Relaxed) < if look < 2 { 60 } else { 8 }, "{silent} {look}");
        }
    }
}

/// Holds R4: as many as it takes, remembered, and within the deadline of a look.
#[tokio::test]
async fn an_agent_that_drops_requests_beyond_a_size_is_asked_for_as_many_as_it_takes() {
    for most in [4, 12] {
        let some = move |asked: &Asked, _: usize| match asked.oids.len() > most {
            true => Vec::new(),
            false => vec![asked.answer(charge)],
        };
        let (address, requests) = fake(some).await;
        let (mut client, _files) = client_with(address, "v2c", DEADLINE * 4);
        assert_eq!(client.read().await.unwrap().values.of(Quantity::BatteryCharge), Some(0.97), "{most}");
        assert!(requests.swap(0, Ordering::Relaxed) < 90, "{most}");
        let started = Instant::now();
        client.read().await.unwrap();
        assert!(started.elapsed() < DEADLINE, "{most}: no larger request is waited for");
        assert!(requests.load(Ordering::Relaxed) < 8, "{most}");
    }
}

/// A Report of the user-based security model, as RFC 3414 has it: unauthenticated.
fn report(id: i32, user: &[u8], stats: u32) -> Vec<u8> {
    const ENGINE: [u8; 9] = [0x80, 0, 0x1f, 0x88, 4, b'f', b'a', b'k', b'e'];
    let name = Oid::new([1, 3, 6, 1, 6, 3, 15, 1, 1, stats, 0]);
    let pdu = [integer(id), integer(0), integer(0), tlv(0x30, &bind(&name, &tlv(0x41, &[1])))].concat();
    let scoped = tlv(0x30, &[tlv(0x04, &ENGINE), tlv(0x04, b""), tlv(0xa8, &pdu)].concat());
    let numbers = [integer(1), integer(1000)].concat();
    let names = [tlv(0x04, user), tlv(0x04, b""), tlv(0x04, b"")].concat();
    let security = tlv(0x30, &[tlv(0x04, &ENGINE), numbers, names].concat());
    let head = tlv(0x30, &[integer(id), integer(65_507), tlv(0x04, &[0]), integer(3)].concat());
    tlv(0x30, &[integer(3), head, tlv(0x04, &security), scoped].concat())
}

/// An agent that answers discoveries, and everything else with one of the reports, or not at all.
async fn with_report(stats: Option<u32>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        const UNKNOWN_ENGINE_IDS: u32 = 4;
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let datagram = Bytes::copy_from_slice(&buffer[..length]);
            let Ok(asked) = V3Message::decode(datagram, DecodeConfig::DEFAULT) else { continue };
            let answer = match (asked.value.security_level().requires_auth(), stats) {
                (false, _) => report(asked.value.msg_id(), b"", UNKNOWN_ENGINE_IDS),
                (true, Some(stats)) => report(asked.value.msg_id(), b"monitor", stats),
                (true, None) => continue,
            };
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

#[tokio::test]
async fn what_an_agent_reports_of_a_user_is_told_with_what_to_do() {
    for (stats, reason, says) in [
        (Some(1), "auth", "allowNoPrivacy"),
        (Some(2), "protocol", "same engine ID"),
        (Some(3), "auth", "check `user`"),
        (Some(4), "protocol", "changes its engine ID"),
        (Some(5), "auth", "password file of `auth`"),
        (Some(6), "auth", "password file of `privacy`"),
        (None, "auth", "discovery and nothing else"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let password = directory.path().join("password");
        std::fs::write(&password, "a long password\n").unwrap();
        let text = format!(
            "ups: [{{name: u, snmp: {{address: '{}', version: v3, user: monitor, allowNoPrivacy: true, \
             auth: {{protocol: SHA-256, passwordFile: '{}'}}}}}}]",
            with_report(stats).await,
            password.display()
        );
        let config = config::parse(&text, Path::new("test.yaml")).unwrap();
        let UpsBackend::Snmp(snmp) = &config.ups[0].backend else { panic!("it is snmp") };
        let mut client = Client::new(snmp, Work::SourceNames, DEADLINE * 4, Duration::from_secs(10));
        let said = client.read().await.unwrap_err();
        assert_eq!(said.reason.as_str(), reason, "{stats:?}: {}", said.message);
        assert!(said.message.as_str().contains(says), "{stats:?}: {}", said.message);
    }
}

/// An agent that speaks v3 too answers our knock: its late answers are no fault of the credentials.
#[tokio::test]
async fn an_agent_that_answers_late_is_not_told_as_one_that_refuses_us() {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let datagram = Bytes::copy_from_slice(&buffer[..length]);
            if let Some(asked) = Asked::read(&datagram) {
                let socket = Arc::clone(&socket);
                tokio::spawn(async move {
                    sleep(DEADLINE * 3 / 5).await;
                    let _ = socket.send_to(&asked.answer(charge), from).await;
                });
            } else if let Ok(asked) = V3Message::decode(datagram, DecodeConfig::DEFAULT) {
                let _ = socket.send_to(&report(asked.value.msg_id(), b"", 4), from).await;
            }
        }
    });
    let said = look(address).await.unwrap_err();
    assert_eq!(said.reason.as_str(), "timeout", "{}", said.message);
    assert!(said.message.as_str().contains("after they were waited for"), "{}", said.message);
}

/// A refusal for size is an answer, whatever follows it.
#[tokio::test]
async fn an_agent_that_falls_silent_after_it_was_asked_for_too_much_is_told_as_silent() {
    const TOO_BIG: u8 = 1;
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut buffer, mut answers) = (vec![0; 65_536], 0);
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Some(asked) = Asked::read(&buffer[..length]) else { continue };
            let answer = match asked.oids.len() {
                7.. => asked.response(asked.id, (TOO_BIG, 0), &[]),
                _ if answers < 3 => asked.answer(charge),
                _ => continue,
            };
            answers += usize::from(asked.oids.len() < 7);
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                sleep(DEADLINE / 8).await;
                let _ = socket.send_to(&answer, from).await;
            });
        }
    });
    let (mut client, _files) = client_with(address, "v2c", DEADLINE * 4);
    let said = client.read().await.unwrap_err();
    assert_eq!(said.reason.as_str(), "timeout", "{}", said.message);
}

#[tokio::test]
async fn an_agent_without_a_ups_says_which_trees_were_asked() {
    let nothing = |asked: &Asked, _| vec![asked.answer(|_| None)];
    let trouble = look(fake(nothing).await.0).await.unwrap_err();
    assert_eq!(trouble.reason.as_str(), "protocol");
    for tree in ["1.3.6.1.2.1.33.1", "1.3.6.1.4.1.318.1.1.1", "1.3.6.1.4.1.318.1.2.4", "1.3.6.1.4.1.318.1.2.3"] {
        assert!(trouble.message.as_str().contains(tree), "{}", trouble.message);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_from_silence() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    assert_eq!(look(address).await.unwrap_err().reason.as_str(), "connect");
}

#[tokio::test]
async fn answers_that_come_too_late_are_not_taken_for_those_of_the_next_look() {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    let late = Arc::new(AtomicUsize::new(1));
    let is_late = Arc::clone(&late);
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Some(asked) = Asked::read(&buffer[..length]) else { continue };
            if is_late.load(Ordering::Relaxed) == 1 {
                let socket = Arc::clone(&socket);
                tokio::spawn(async move {
                    sleep(DEADLINE + DEADLINE / 2).await;
                    let _ = socket.send_to(&asked.answer(|oid| charge(oid).map(|_| integer(11))), from).await;
                });
            } else {
                let _ = socket.send_to(&asked.answer(charge), from).await;
            }
        }
    });
    let (mut client, _files) = client(address, "v2c");
    assert_eq!(client.read().await.unwrap_err().reason.as_str(), "timeout");
    late.store(0, Ordering::Relaxed);
    let until = Instant::now() + DEADLINE * 2;
    while Instant::now() < until {
        let charge = client.read().await.unwrap().values.of(Quantity::BatteryCharge);
        assert_eq!(charge, Some(0.97));
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_community_file_that_cannot_be_read_says_so() {
    let (mut client, files) = client("127.0.0.1:9".parse().unwrap(), "v2c");
    drop(files);
    assert_eq!(client.read().await.unwrap_err().reason.as_str(), "not_found");
}

#[test]
fn a_value_is_what_the_fake_says() {
    let asked = Asked { version: Version::V2c, id: 7, next: false, oids: vec![UPS_MIB.instance(&[2, 4])] };
    let message = Message::decode(asked.answer(charge).into(), DecodeConfig::STRICT);
    // Its lengths are longer than they need be, which BER allows.
    let pdu = message.unwrap().value.into_pdu().unwrap();
    assert_eq!(pdu.varbinds()[0].value, Value::Integer(97));
}
