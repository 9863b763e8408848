//! A server of a test's own: it hears one request at a time and answers what the test says.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a peer does next.
pub(super) enum Act {
    Send(Vec<u8>),
    /// The same bytes again and again, until the other side has had enough.
    Flood(Vec<u8>),
    /// Reads until the next line end, and whatever came with it.
    HearLine,
    /// Reads once.
    Hear,
    Silence,
}

/// Starts it; the address is `host:port`. It closes the connection after its last act, and takes no other.
pub(super) async fn serve(acts: Vec<Act>) -> String {
    serve_each(vec![acts]).await
}

/// The same with one list of acts for each connection, one connection after the other.
pub(super) async fn serve_each(connections: Vec<Vec<Act>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        for acts in connections {
            let (mut stream, _) = listener.accept().await.expect("a client");
            for act in acts {
                if perform(act, &mut stream).await.is_err() {
                    break;
                }
            }
        }
    });
    address
}

async fn perform(act: Act, stream: &mut TcpStream) -> std::io::Result<()> {
    match act {
        Act::Send(bytes) => stream.write_all(&bytes).await,
        Act::Flood(bytes) => loop {
            stream.write_all(&bytes).await?;
        },
        Act::HearLine => {
            while stream.read_u8().await? != b'\n' {}
            Ok(())
        }
        Act::Hear => stream.read(&mut [0; 1024]).await.map(|_| ()),
        Act::Silence => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        }
    }
}
