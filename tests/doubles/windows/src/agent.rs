//! What the agent does: it reads its files, and serves.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use kagiban_agents::Ini;
use kagiban_keystore::{Limits, extract_key};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const ALIAS: &str = "securekey";
/// Of a client that sends nothing.
const SILENCE: Duration = Duration::from_secs(5);
const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ndouble\n";

/// Its files, read, and its socket.
pub(crate) struct Agent {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Agent {
    pub(crate) fn start(directory: &Path, listen: SocketAddr) -> Result<Self> {
        let read = |name: &str| fs::read(directory.join(name)).with_context(|| name.to_owned());
        writeln!(File::options().create(true).append(true).open(directory.join("starts"))?, "started")?;
        let ini = Ini::parse(&read("pcssconfig.ini")?).map_err(|error| anyhow!("pcssconfig.ini: {error}"))?;
        let password = ini.value("Credentials", "KS_Access_Data").map_err(|error| anyhow!("{error}"))?;
        let key = extract_key(&read("keystore")?, password.as_ref(), ALIAS, &Limits::default())
            .map_err(|error| anyhow!("keystore: {error}"))?;
        let leaf = key.chain.first().map(|leaf| hex::encode(leaf.sha256())).unwrap_or_default();
        if fs::read_to_string(directory.join("only")).is_ok_and(|only| only != leaf) {
            bail!("it starts with no other leaf than that in `only`");
        }
        let chain = key.chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        let private = PrivateKeyDer::Pkcs8(key.pkcs8.to_vec().into());
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private)?;
        let listener = TcpListener::bind(listen)?;
        // Wine tells whose a socket is only once its process has asked something of it.
        let _ = listener.ttl();
        Ok(Self { listener, config: Arc::new(config) })
    }

    /// Until its process ends.
    pub(crate) fn serve(self) {
        for stream in self.listener.incoming().flatten() {
            let config = Arc::clone(&self.config);
            thread::spawn(move || answer(stream, config));
        }
    }
}

/// A client that goes away is no matter.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).ok()?, stream));
    let mut request = String::new();
    while stream.read_line(&mut request).ok()? > 2 {}
    stream.get_mut().write_all(PAGE).ok()?;
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush().ok()
}
