//! A double of NUT's server, on a thread: one UPS, 24 variables, no login. What is measured is who asks, not who answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::Result;

pub(crate) const UPS: &str = "smart1500";

const VARIABLES: [(&str, &str); 24] = [
    ("battery.charge", "97"),
    ("battery.charge.low", "10"),
    ("battery.runtime", "2340"),
    ("battery.runtime.low", "120"),
    ("battery.temperature", "28.4"),
    ("battery.type", "PbAc"),
    ("battery.voltage", "27.3"),
    ("battery.voltage.nominal", "24.0"),
    ("device.mfr", "APC"),
    ("device.model", "Smart-UPS 1500"),
    ("device.serial", "AS1234567890"),
    ("device.type", "ups"),
    ("driver.name", "usbhid-ups"),
    ("driver.version", "2.8.0"),
    ("input.frequency", "50.0"),
    ("input.voltage", "231.2"),
    ("input.voltage.nominal", "230"),
    ("output.voltage", "230.4"),
    ("ups.delay.shutdown", "20"),
    ("ups.load", "23.4"),
    ("ups.realpower.nominal", "980"),
    ("ups.status", "OL CHRG"),
    ("ups.temperature", "29.1"),
    ("ups.test.result", "Done and passed"),
];

/// Ends with the process.
#[derive(Debug)]
pub(crate) struct Double(SocketAddr);

impl Double {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                thread::spawn(move || converse(&client));
            }
        });
        Ok(Self(address))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Until the client hangs up.
fn converse(client: &TcpStream) -> Option<()> {
    for line in BufReader::new(client).lines() {
        let line = line.ok()?;
        let words: Vec<_> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["VER"] => "Network UPS Tools upsd 2.8.0 - http://www.networkupstools.org/\n".to_owned(),
            ["NETVER"] => "1.3\n".to_owned(),
            ["LIST", "UPS"] => format!("BEGIN LIST UPS\nUPS {UPS} \"a double\"\nEND LIST UPS\n"),
            ["LIST", "VAR", UPS] => {
                let variables = VARIABLES.map(|(name, value)| format!("VAR {UPS} {name} \"{value}\"\n")).concat();
                format!("BEGIN LIST VAR {UPS}\n{variables}END LIST VAR {UPS}\n")
            }
            ["GET", "VAR", UPS, name] => match VARIABLES.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => format!("VAR {UPS} {name} \"{value}\"\n"),
                None => "ERR VAR-NOT-SUPPORTED\n".to_owned(),
            },
            ["LIST" | "GET", _, UPS] => "ERR INVALID-ARGUMENT\n".to_owned(),
            ["LOGOUT"] => "OK Goodbye\n".to_owned(),
            ["STARTTLS"] => "ERR FEATURE-NOT-CONFIGURED\n".to_owned(),
            _ => "ERR UNKNOWN-COMMAND\n".to_owned(),
        };
        let mut client = client;
        client.write_all(answer.as_bytes()).ok()?;
    }
    Some(())
}
