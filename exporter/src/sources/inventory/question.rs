//! What may be asked, and the token that each question is asked with.
//!
//! The token is a JWT by HMAC-SHA-256 with the API key. It is for one request: its checksum is of the method, of the path in lower case, of
//! headers that the vendor leaves empty, and of the body. It is for one moment: the server compares `iat` with its own clock.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::sources::https::AGENT;

/// A list of the inventory. There is no other question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Agents,
    Servers,
}

impl Question {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Agents => "/WebApp/API/AgentResource/ProductAgents",
            Self::Servers => "/WebApp/API/ServerResource/ProductServers",
        }
    }

    /// For people.
    pub(super) const fn subject(self) -> &'static str {
        match self {
            Self::Agents => "the list of agents",
            Self::Servers => "the list of servers",
        }
    }

    /// The question as it is sent to `host`: a GET without a body. It counts for as long as the server takes tokens of `issued_at`, in seconds
    /// since 1970.
    ///
    /// # Errors
    /// When `host` cannot stand in a header.
    pub(super) fn request(
        self,
        host: &str,
        application_id: &str,
        key: &SecretString,
        issued_at: i64,
    ) -> hyper::http::Result<Request<Empty<Bytes>>> {
        let bearer =
            Zeroizing::new(format!("Bearer {}", self.token(application_id, key, issued_at).as_str()).into_bytes());
        let mut bearer = HeaderValue::from_maybe_shared(Bytes::from_owner(bearer))?;
        bearer.set_sensitive(true);
        Request::get(self.path())
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer)
            .header(CONNECTION, "close")
            .body(Empty::new())
    }

    fn token(self, application_id: &str, key: &SecretString, issued_at: i64) -> Zeroizing<String> {
        let payload = json!({"appid": application_id, "iat": issued_at, "version": "V1", "checksum": self.checksum()});
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let header = part(json!({"alg": "HS256", "typ": "JWT"}).to_string());
        let signed = format!("{header}.{}", part(payload.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        Zeroizing::new(format!("{signed}.{signature}"))
    }

    fn checksum(self) -> String {
        STANDARD.encode(Sha256::digest(format!("GET|{}||", self.path().to_lowercase())))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http_body_util::BodyExt;

    use super::*;

    /// By another program: Python's hashlib, hmac and base64.
    #[test]
    fn a_token_is_what_the_documented_steps_make_of_a_question() {
        assert_eq!(Question::Agents.checksum(), "obV39R6kOGden2StJowtpKvaQs2Xi0u1c2XljKSSRMU=");
        assert_eq!(Question::Servers.checksum(), "UN6y2hyaFH3W29YDKanCrdWHZdmTFQTUgB2FSJBrrpU=");
        let token = Question::Agents.token("A-1", &"key".into(), 1_750_000_000);
        assert_eq!(
            token.as_str(),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBpZCI6IkEtMSIsImNoZWNrc3VtIjoib2JWMzlSNmtPR2RlbjJTdEpvd3RwS3ZhUXMyWGkwdTFjMlhsaktTU1JNVT0iLCJpYXQiOjE3NTAwMDAwMDAsInZlcnNpb24iOiJWMSJ9.GBq0AYaeFlUSBbssAKUD48yprReYM1o9BjtIlWNstUo"
        );
    }

    #[tokio::test]
    async fn a_question_is_a_get_without_a_body_whose_token_is_not_shown() {
        for question in [Question::Agents, Question::Servers] {
            let request = question.request("central.example.com", "A-1", &"key".into(), 1).expect("a request");
            assert_eq!((request.method().as_str(), request.uri().path()), ("GET", question.path()));
            let shown = format!("{request:?}");
            assert!(!shown.contains("Bearer") && !shown.contains("eyJ"), "{shown}");
            assert!(request.into_body().collect().await.expect("a body").to_bytes().is_empty());
        }
    }

    /// Holds that nothing which acts on an agent is in this client: no method but GET, and none of the interface's words for it. `Question` is
    /// matched without `_`, so that another one would have to be written into this test.
    #[test]
    fn no_way_to_act_on_an_agent_exists_in_the_client() {
        let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sources/inventory");
        let mut files = 0;
        for entry in std::fs::read_dir(room).expect("the room") {
            let path = entry.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            if path.ends_with("tests.rs") {
                continue;
            }
            files += 1;
            let requests = code.matches("Request::").count();
            assert_eq!(requests, code.matches("Request::get(").count(), "{}", path.display());
            for word in
                ["Method", "method(", "POST", "PUT", "DELETE", "PATCH", "post(", "put(", "cmd_", "ApiEntry", "\"act\""]
            {
                assert!(!code.contains(word), "{}: {word}", path.display());
            }
        }
        assert!(files >= 5, "{files}");
        let paths = [Question::Agents, Question::Servers].map(|question| match question {
            Question::Agents => question.path() == "/WebApp/API/AgentResource/ProductAgents",
            Question::Servers => question.path() == "/WebApp/API/ServerResource/ProductServers",
        });
        assert_eq!(paths, [true; 2]);
    }
}
