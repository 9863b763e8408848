//! A client against peers that are not apcupsd, or not in a good mood.

use super::*;
use crate::sources::ups::peer::{Act, serve};
use crate::ups::{Quantity, Status};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn look(acts: Vec<Act>, deadline: Duration) -> Result<Reading, UpsTrouble> {
    let address = serve(acts).await;
    Client::new(&ApcupsdConfig { address }, Work::SourceNames, deadline).read().await
}

async fn reason(answer: &[u8]) -> &'static str {
    let acts = vec![Act::Hear, Act::Send(answer.to_vec())];
    look(acts, PATIENCE).await.expect_err("this is no status").reason.as_str()
}

fn framed(records: &[&str]) -> Vec<u8> {
    let frame = |record: &&str| {
        let length = u16::try_from(record.len()).expect("a short record").to_be_bytes();
        [&length, record.as_bytes()].concat()
    };
    records.iter().flat_map(frame).chain([0, 0]).collect()
}

#[tokio::test]
async fn a_status_is_read_to_its_end_and_no_further() {
    let answer = framed(&["STATUS   : ONLINE \n", "BCHARGE  : 50.0 Percent\n", "STATFLAG : 0x05000008\n"]);
    // apcupsd keeps the connection open.
    let acts = vec![Act::Hear, Act::Send(answer), Act::Silence];
    let reading = look(acts, PATIENCE).await.expect("a status");
    assert_eq!(reading.statuses, [Status::Online].into());
    assert_eq!(reading.values.of(Quantity::BatteryCharge), Some(0.5));
}

#[tokio::test]
async fn a_ups_that_apcupsd_does_not_hear_is_down() {
    let answer = framed(&["STATUS   : COMMLOST \n", "LINEV    : 0.0 Volts\n", "STATFLAG : 0x05000108\n"]);
    assert_eq!(reason(&answer).await, "comm_lost");
}

#[tokio::test]
async fn what_is_not_apcupsd_is_told_as_such() {
    for (answer, expected) in [
        (&b""[..], "connect"),
        (b"\0\0", "protocol"),
        (b"\0", "protocol"),
        (b"\0\x20STATUS : ONLINE", "protocol"),
        (b"\0\x10Invalid command\n\0\0", "protocol"),
        (b"\0\x09A: \0\0\0\0\n\0\0", "protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "too_large"),
        (b"\xff\xff", "too_large"),
    ] {
        assert_eq!(reason(answer).await, expected, "{answer:?}");
    }
    let nobody =
        Client::new(&ApcupsdConfig { address: "127.0.0.1:1".to_owned() }, Work::SourceNames, PATIENCE).read().await;
    assert_eq!(nobody.expect_err("nobody listens there").reason.as_str(), "connect");
}

#[tokio::test]
async fn a_report_without_an_end_is_not_read_for_long() {
    for record in ["KEY : 1\n", "K"] {
        let flood: Vec<u8> = framed(&[record]).split_last_chunk::<2>().expect("it has an end").0.repeat(100_000);
        let said = look(vec![Act::Hear, Act::Flood(flood)], PATIENCE).await.expect_err("it has no end");
        assert!(["too_large", "protocol"].contains(&said.reason.as_str()), "{said:?}");
    }
    let many: Vec<u8> = (0..1_000_000)
        .flat_map(|n| framed(&[&format!("K{n}: 1")]).split_last_chunk::<2>().expect("an end").0.to_vec())
        .collect();
    let said = look(vec![Act::Hear, Act::Send(many)], PATIENCE).await.expect_err("it is too much");
    assert_eq!(said.reason.as_str(), "too_large");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    for said_before in [&b""[..], b"\0", b"\0\x20STATUS : ONLINE", b"\0\x0eSTATUS : ONLINE"] {
        let acts = vec![Act::Hear, Act::Send(said_before.to_vec()), Act::Silence];
        let said = look(acts, Duration::from_millis(300)).await.expect_err("it never ends");
        assert_eq!(said.reason.as_str(), "timeout", "{said_before:?}");
    }
}
