//! HTTPS to one agent: capped, one connection at a time, to known places only.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, LOCATION, SET_COOKIE};
use hyper::{Method, Request, Response, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::error::WebError;
use super::ledger::AgentId;
use super::page::UiPage;
use crate::probe::{Dialled, Endpoint, dial_again};
use crate::sources::https::{Https, NoHttps};

/// The product's pages are some tens of kilobytes.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// Of a page with its head and all that comes before it, as it is sent.
const MAX_RECEIVED_BYTES: u64 = 2 << 20;
/// Jetty's session ids have about fifty characters.
const MAX_SESSION_ID: usize = 256;
/// For one connection to a peer that has answered before.
const CONNECT_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

const SESSION: &str = "JSESSIONID";

pub(super) struct Transport {
    endpoint: Endpoint,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    agent: AgentId,
    /// Who answered the first time: a login is not begun at one agent and ended at another.
    peer: SocketAddr,
    /// To that peer, and not used yet.
    dialled: Option<TcpStream>,
    /// Whoever has it is logged on.
    session: Option<Zeroizing<String>>,
    connection: Option<Https<Full<Bytes>>>,
}

/// What came back.
pub(super) enum PageReply {
    Page(UiPage),
    Redirect(RedirectTarget),
}

/// Where the UI may send us; everything else is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RedirectTarget {
    Logon,
    Status,
}

/// `application/x-www-form-urlencoded`, wiped when it is sent.
#[derive(Default)]
pub(super) struct Form(Zeroizing<Vec<u8>>);

impl Form {
    pub(super) fn field(&mut self, name: &str, value: &str) {
        // Sized before it is filled: a growing Vec leaves copies of a password behind in freed memory.
        let mut grown = Zeroizing::new(Vec::with_capacity(self.0.len() + name.len() + 3 * value.len() + 2));
        grown.extend_from_slice(&self.0);
        if !grown.is_empty() {
            grown.push(b'&');
        }
        grown.extend_from_slice(name.as_bytes());
        grown.push(b'=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => grown.push(byte),
                b' ' => grown.push(b'+'),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    grown.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
            }
        }
        self.0 = grown;
    }

    pub(super) fn secret_field(&mut self, name: &str, value: &SecretString) {
        self.field(name, value.expose_secret());
    }
}

impl Transport {
    pub(super) fn new(endpoint: Endpoint, name: ServerName<'static>, tls: Arc<ClientConfig>, dialled: Dialled) -> Self {
        let agent = AgentId::of(dialled.peer, dialled.is_own_address);
        let (peer, dialled) = (dialled.peer, Some(dialled.stream));
        Self { endpoint, name, tls, agent, peer, dialled, session: None, connection: None }
    }

    pub(super) fn agent(&self) -> AgentId {
        self.agent.clone()
    }

    pub(super) fn address(&self) -> &str {
        &self.endpoint.address
    }

    /// Leaves a connection that may be in the middle of an answer; the session stays.
    pub(super) fn start_over(&mut self) {
        self.connection = None;
    }

    /// One request and its whole answer. `step` is for messages; a form makes it a POST.
    pub(super) async fn fetch(
        &mut self,
        step: &'static str,
        path: &'static str,
        form: Option<Form>,
    ) -> Result<PageReply, WebError> {
        let request = self.request(path, form, step)?;
        let response = self.exchange(request, step).await?;
        if let Some(session) = session_of(response.headers()) {
            self.session = Some(session);
        }
        match response.status() {
            StatusCode::OK => Ok(PageReply::Page(self.page(response.into_body(), step).await?)),
            status if status.is_redirection() => {
                let place = response.headers().get(LOCATION).and_then(|to| place(&self.endpoint, to.to_str().ok()?));
                // Its body may be of any length, and nobody reads it.
                self.connection = None;
                let elsewhere = || self.unexpected(step, "leads to somewhere else".to_owned());
                place.map(PageReply::Redirect).ok_or_else(elsewhere)
            }
            status => {
                self.connection = None;
                Err(self.unexpected(step, format!("was answered with {}", status.as_u16())))
            }
        }
    }

    fn request(&self, path: &str, form: Option<Form>, step: &'static str) -> Result<Request<Full<Bytes>>, WebError> {
        let mut request = Request::builder().uri(path).header(HOST, self.address());
        if let Some(session) = &self.session {
            let cookie = Zeroizing::new(format!("{SESSION}={}", session.as_str()));
            request = request.header(COOKIE, cookie.as_str());
        }
        let body = match form {
            None => Full::default(),
            Some(Form(body)) => {
                request = request.method(Method::POST).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                Full::new(Bytes::from_owner(body))
            }
        };
        request.body(body).map_err(|error| self.broken(step, &error))
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        step: &'static str,
    ) -> Result<Response<Incoming>, WebError> {
        let ready = match &mut self.connection {
            Some(connection) => connection.http.sender.ready().await.is_ok(),
            None => false,
        };
        if !ready {
            self.connection = None;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect(step).await?,
        };
        let connection = self.connection.insert(connection);
        connection.received.renew(MAX_RECEIVED_BYTES);
        let answered = connection.http.sender.send_request(request).await;
        answered.map_err(|error| self.broken(step, &error))
    }

    async fn connect(&mut self, step: &'static str) -> Result<Https<Full<Bytes>>, WebError> {
        let stream = match self.dialled.take() {
            Some(stream) => stream,
            None => dial_again(&self.endpoint, self.peer, tokio::time::Instant::now() + CONNECT_WITHIN).await?,
        };
        let connected = Https::over(stream, self.name.clone(), &self.tls, MAX_RECEIVED_BYTES).await;
        connected.map_err(|error| match error {
            NoHttps::Tls(error) => WebError::Tls { address: self.address().to_owned(), detail: error.to_string() },
            NoHttps::Http(error) => self.broken(step, &error),
        })
    }

    async fn page(&mut self, body: Incoming, step: &'static str) -> Result<UiPage, WebError> {
        match Limited::new(body, MAX_PAGE_BYTES).collect().await {
            Ok(whole) => Ok(UiPage::scan(&String::from_utf8_lossy(&whole.to_bytes()))),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                self.connection = None;
                Err(WebError::TooLarge { address: self.address().to_owned(), step, limit: MAX_PAGE_BYTES })
            }
            Err(error) => Err(self.broken(step, &error)),
        }
    }

    fn broken(&self, step: &'static str, error: &dyn std::fmt::Display) -> WebError {
        WebError::Broken { address: self.address().to_owned(), step, detail: error.to_string() }
    }

    fn unexpected(&self, step: &'static str, what: String) -> WebError {
        WebError::Unexpected { address: self.address().to_owned(), step, what }
    }
}

/// Only on the same host, and only where we know our way.
fn place(endpoint: &Endpoint, location: &str) -> Option<RedirectTarget> {
    let path = match location.strip_prefix("https://") {
        None => location,
        Some(rest) => {
            let (authority, _) = rest.split_once('/')?;
            let (_, port) = endpoint.host_and_port().ok()?;
            let ours = |host: &str| authority == host || authority == format!("{host}:{port}");
            if authority != endpoint.address && !ours(endpoint.shown_name()) {
                return None;
            }
            &rest[authority.len()..]
        }
    };
    match path.split([';', '?', '#']).next() {
        Some("/logon") => Some(RedirectTarget::Logon),
        Some("/status") => Some(RedirectTarget::Status),
        _ => None,
    }
}

/// A session id that can stand in a header again.
fn session_of(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let cookies = headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    let mut ids = cookies.filter_map(|cookie| {
        let (name, value) = cookie.split(';').next()?.split_once('=')?;
        (name.trim() == SESSION).then(|| value.trim().trim_matches('"'))
    });
    let fits = |id: &&str| {
        let printable = |b: u8| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'"' | b'\\');
        (1..=MAX_SESSION_ID).contains(&id.len()) && id.bytes().all(printable)
    };
    ids.rfind(fits).map(|id| Zeroizing::new(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_form_is_encoded_as_browsers_do() {
        let mut form = Form::default();
        form.field("j_username", "monitor");
        form.secret_field("j_password", &"a b&c=d+é%".into());
        assert_eq!(form.0.as_slice(), b"j_username=monitor&j_password=a+b%26c%3Dd%2B%C3%A9%25");
    }

    #[test]
    fn the_last_usable_session_is_taken_and_no_other_cookie() {
        let cookies = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SET_COOKIE, HeaderValue::from_static(value));
            }
            session_of(&headers).map(|id| id.as_str().to_owned())
        };
        assert_eq!(cookies(&["JSESSIONID=node01.node0; Path=/; Secure", "lang=ja"]).as_deref(), Some("node01.node0"));
        assert_eq!(cookies(&["JSESSIONID=a", "JSESSIONID=b"]).as_deref(), Some("b"));
        assert_eq!(cookies(&["JSESSIONID=", "JSESSIONID", "XJSESSIONID=a"]), None);
        assert_eq!(cookies(&["JSESSIONID=a b"]), None);
    }

    #[test]
    fn only_known_places_of_the_same_host_are_gone_to() {
        let endpoint =
            Endpoint { address: "127.0.0.1:6547".to_owned(), server_name: Some("ups-01.example.com".to_owned()) };
        for (location, known) in [
            ("/status", Some(RedirectTarget::Status)),
            ("/logon;jsessionid=node0?x=y", Some(RedirectTarget::Logon)),
            ("https://127.0.0.1:6547/status", Some(RedirectTarget::Status)),
            ("https://ups-01.example.com:6547/logon", Some(RedirectTarget::Logon)),
            ("https://ups-01.example.com/logon", Some(RedirectTarget::Logon)),
            ("https://evil.example.com/status", None),
            ("http://127.0.0.1:6547/status", None),
            ("https://127.0.0.1:6547@evil.example.com/status", None),
            ("//evil.example.com/status", None),
            ("/status/../logoff", None),
            ("/shutdown", None),
            ("", None),
        ] {
            assert_eq!(place(&endpoint, location), known, "{location}");
        }
    }
}
