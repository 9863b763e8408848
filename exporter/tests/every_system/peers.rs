//! What the program asks: each answers until the test ends, at the address that it returns.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use async_snmp::message::Message;
use async_snmp::{DecodeConfig, Oid};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

/// A certificate that is served.
pub(crate) struct Served {
    pub(crate) sha256: String,
    pub(crate) pem: String,
    pub(crate) address: String,
}

/// Serves a certificate that is its own authority.
pub(crate) fn tls_server() -> Served {
    let mut params = CertificateParams::new(vec!["ups-01.example.com".to_owned()]).expect("a DNS name");
    params.distinguished_name.push(DnType::CommonName, "console");
    params.serial_number = Some(vec![1, 2, 3].into());
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let (pem, certificate) = (certificate.pem(), certificate.der().clone());
    let sha256 = kagiban_keystore::Certificate::from_der(&certificate).expect("a certificate").sha256();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).expect("its key"));
    let address = serve(move |mut stream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration");
        let _ = Stream::new(&mut connection, &mut stream).read(&mut [0; 64]);
    });
    Served { sha256: hex::encode(sha256), pem, address }
}

/// upsd, with one UPS.
pub(crate) fn upsd() -> String {
    serve(|stream| {
        let mut writer = stream.try_clone().expect("a second handle");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let answer = match line.as_str() {
                "LIST UPS" => "BEGIN LIST UPS\nUPS one \"first\"\nEND LIST UPS\n",
                "LIST VAR one" => {
                    "BEGIN LIST VAR one\nVAR one battery.charge \"87\"\nVAR one battery.runtime \"1260\"\nVAR one ups.mfr \"APC\"\n\
                     VAR one ups.status \"OL CHRG\"\nEND LIST VAR one\n"
                }
                _ => "OK Goodbye\n",
            };
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// apcupsd's information server.
pub(crate) fn apcupsd() -> String {
    const STATUS: [&str; 4] =
        ["STATUS   : ONLINE \n", "BCHARGE  : 50.0 Percent\n", "TIMELEFT : 30.0 Minutes\n", "STATFLAG : 0x05000008\n"];
    serve(|mut stream| {
        // A length of two bytes, and `status`.
        if stream.read_exact(&mut [0; 8]).is_err() {
            return;
        }
        for record in STATUS {
            let length = u16::try_from(record.len()).expect("a short record").to_be_bytes();
            let _ = stream.write_all(&[&length, record.as_bytes()].concat());
        }
        let _ = stream.write_all(&[0, 0]);
        let _ = stream.read(&mut [0; 8]);
    })
}

fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

/// An SNMP agent of version 2c with some objects of RFC 1628.
pub(crate) fn snmp_agent() -> String {
    const UPS: [u32; 8] = [1, 3, 6, 1, 2, 1, 33, 1];
    /// Battery normal, nobody on it, 20 minutes, 97 %; output from the line.
    const OBJECTS: [(&[u32], i32); 5] =
        [(&[2, 1, 0], 2), (&[2, 2, 0], 0), (&[2, 3, 0], 20), (&[2, 4, 0], 97), (&[4, 1, 0], 3)];
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    let value = |oid: &Oid| {
        let found = OBJECTS.iter().find(|(below, _)| oid.arcs() == [&UPS[..], below].concat());
        found.map_or_else(|| vec![0x81, 0x00], |(_, number)| integer(*number))
    };
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::decode(buffer[..length].to_vec().into(), DecodeConfig::DEFAULT);
            let Ok(Message::Community(message)) = asked.map(|decoded| decoded.value) else { continue };
            let Some(pdu) = message.pdu().standard() else { continue };
            let binds: Vec<_> = pdu.varbinds().iter().map(|bind| bind_of(&bind.oid, &value(&bind.oid))).collect();
            let pdu = [integer(pdu.request_id()), integer(0), integer(0), tlv(0x30, &binds.concat())].concat();
            let answer = tlv(0x30, &[integer(1), tlv(0x04, b"public"), tlv(0xa2, &pdu)].concat());
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

fn bind_of(oid: &Oid, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(0x06, &oid.to_ber().expect("an identifier")), value.to_vec()].concat())
}

fn integer(number: i32) -> Vec<u8> {
    tlv(0x02, &number.to_be_bytes())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short value").to_be_bytes();
    [&[tag, 0x82], &length[..], content].concat()
}
