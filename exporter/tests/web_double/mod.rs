//! A double of the PowerChute web UI, not the product. It does what is documented and no more: a logon page with a form
//! token, `j_security_check`, one login at a time, a lock after three wrong passwords, a status page in Japanese, and a
//! `/logoff` that ends whichever login there is.
#![allow(unreachable_pub, reason = "a module of a test binary")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub const USERNAME: &str = "monitor";
pub const PASSWORD: &str = "Right pass&word+1";
const WRONG_PASSWORDS_THAT_LOCK: usize = 3;

/// What it does at a path instead of what is documented.
#[derive(Clone, Copy, Debug)]
pub enum Odd {
    Hangs,
    Endless,
    Leads(&'static str),
    Says(&'static str),
    ManyElements,
    Fails,
}

#[derive(Default)]
pub struct Memory {
    /// `GET /logon` and so on, in their order.
    pub requests: Vec<String>,
    /// Whose login it is.
    pub holder: Option<String>,
    wrong: usize,
    sessions: usize,
    /// Sessions that were told that somebody else is logged on.
    turned_away: Vec<String>,
    pub odd: BTreeMap<&'static str, Odd>,
}

#[derive(Clone)]
pub struct Agent {
    pub address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Agent {
    /// Serves until the runtime ends.
    pub async fn start(certificate: CertificateDer<'static>, key: &KeyPair) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate and its key");
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        // By every address of this host; this is the one that most tests use.
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let agent = Self { address, memory: Arc::default() };
        let (acceptor, served) = (TlsAcceptor::from(Arc::new(config)), agent.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, agent) = (acceptor.clone(), served.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper::service::service_fn(move |request| {
                        let agent = agent.clone();
                        async move { Ok::<_, Infallible>(agent.answer(request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        agent
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no holder panics")
    }

    pub fn requests(&self) -> Vec<String> {
        self.memory().requests.clone()
    }

    /// How many logins were tried.
    pub fn logins(&self) -> usize {
        self.requests().iter().filter(|request| request.starts_with("POST ")).count()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let cookies = request.headers().get("cookie").and_then(|c| c.to_str().ok()).unwrap_or_default();
        let session = cookies.strip_prefix("JSESSIONID=").map(str::to_owned);
        let is_post = request.method() == "POST";
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let odd = {
            let mut memory = self.memory();
            memory.requests.push(format!("{} {path}", if is_post { "POST" } else { "GET" }));
            memory.odd.get(path.as_str()).copied()
        };
        if let Some(odd) = odd {
            return odd_answer(odd).await;
        }
        let mut memory = self.memory();
        let holds = session.is_some() && memory.holder == session;
        match path.as_str() {
            "/logon" => {
                let session = session.unwrap_or_else(|| {
                    memory.sessions += 1;
                    format!("node0{}.node0", memory.sessions)
                });
                let taken = memory.turned_away.contains(&session);
                let mut response = page(&logon_page(&session, taken));
                let cookie = format!("JSESSIONID={session}; Path=/; Secure; HttpOnly");
                response.headers_mut().insert("set-cookie", cookie.parse().expect("a header"));
                response
            }
            "/j_security_check" if is_post => {
                let Some(session) = session else { return redirect("/logon") };
                let form = form(&body);
                let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
                let token = is("formtoken", &format!("token<{session}>")) && is("formtokenid", "/logon_formtoken");
                if !token || !is("login", "ログオン") || memory.wrong >= WRONG_PASSWORDS_THAT_LOCK {
                    return redirect("/logon");
                }
                if !is("j_username", USERNAME) || !is("j_password", PASSWORD) {
                    memory.wrong += 1;
                    return redirect("/logon");
                }
                if memory.holder.is_some() && !holds {
                    memory.turned_away.push(session);
                    return redirect("/logon");
                }
                memory.holder = Some(session);
                redirect(&format!("https://{}/status", self.address))
            }
            "/status" if holds => page(STATUS_PAGE),
            "/logoff" => {
                memory.holder = None;
                redirect("/logon")
            }
            _ => redirect("/logon"),
        }
    }
}

const STATUS_PAGE: &str = "<!DOCTYPE html>\n<html lang=\"ja\"><head><title>状態</title></head><body><table>
<tr><td>デバイスの状態</td><td class=\"value\" id=\"value_DeviceStatus\">オンライン</td></tr>
<tr><td><div class=\"value\" id=\"value_RealPowerPct\">12.5&nbsp;%</div></td></tr>
<tr><td><span class=\"value\" id=\"value_RuntimeRemaining\">126 分</span></td></tr>
<tr><td><span class=\"value\" id=\"value_BatteryCharge\">98.0 %</span></td></tr>
<tr><td><span class=\"value\" id=\"value_InputVoltage\">101,5 VAC</span></td></tr>
<tr><td><span class=\"value\" id=\"value_InternalTemp\">28.3&deg;C / 82.9&deg;F</span></td></tr>
</table></body></html>";

fn logon_page(session: &str, taken: bool) -> String {
    let taken =
        if taken { "<p id=\"alreadyLoggedOn\">他のユーザーがログオンしています</p>" } else { "" };
    format!(
        "<html lang=\"ja\"><body>{taken}<form id=\"loginForm\" method=\"post\" action=\"/j_security_check\">\
         <input type=\"hidden\" name=\"formtoken\" value=\"token&lt;{session}&gt;\"/>\
         <input type=\"hidden\" name=\"formtokenid\" value=\"/logon_formtoken\"/>\
         <input type=\"submit\" name=\"login\" value=\"ログオン\"/></form></body></html>"
    )
}

async fn odd_answer(odd: Odd) -> Response<Body> {
    match odd {
        Odd::Hangs => std::future::pending().await,
        Odd::Endless => {
            let frames = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'<'; 64 * 1024]))));
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
        Odd::Leads(to) => redirect(to),
        Odd::Says(words) => page(words),
        Odd::ManyElements => page(&(0..1_000_000).map(|i| format!("<b id=value_{i}>1</b>")).collect::<String>()),
        Odd::Fails => {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Response::builder().status(500).body(Full::default().boxed()).expect("a response")
        }
    }
}

fn page(html: &str) -> Response<Body> {
    Response::new(Full::new(Bytes::copy_from_slice(html.as_bytes())).boxed())
}

fn redirect(to: &str) -> Response<Body> {
    Response::builder().status(302).header("location", to).body(Full::default().boxed()).expect("a response")
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

fn decode(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or_default()
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
