//! A request's body: capped while it streams, plain, and JSON with nothing unknown in it.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::CONTENT_ENCODING;
use kagiban_crds::host_api::{MAX_REQUEST_BYTES, Refusal, RefusalReason};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::rotation::admission::refuse;

/// Of a body over the cap, this much more is read and dropped: a connection that is closed with bytes unread is reset, and
/// a client that is still sending then never hears why. What is longer than that is cut off.
const MAX_DROPPED_BYTES: usize = 16 * MAX_REQUEST_BYTES;
/// For that no longer than a client that is still sending needs.
const DROPPING: Duration = Duration::from_secs(1);

/// Of where in the body an error is: a client may nest and name its members as it likes.
const MAX_PATH_CHARACTERS: usize = 100;

pub(super) async fn read<T: DeserializeOwned>(request: hyper::Request<Incoming>) -> Result<T, Refusal> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        let message = "Content-Encoding is not taken; send the JSON as it is";
        return Err(refuse(RefusalReason::UnsupportedEncoding, message));
    }
    let bytes = bytes(request.into_body()).await?;
    parse(&bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json);
    let parsed = parsed.map_err(|error| malformed(error.inner(), &error.path().to_string()))?;
    json.end().map_err(|error| malformed(&error, ""))?;
    Ok(parsed)
}

/// The error's own text may quote the body, and the body may hold a password: of that text only the name of a missing member,
/// which is the program's own, is told.
fn malformed(error: &serde_json::Error, path: &str) -> Refusal {
    let (line, column, text) = (error.line(), error.column(), error.to_string());
    let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let path: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || "._-[]".contains(*c)).collect();
    let path = path.trim_matches('.').chars().take(MAX_PATH_CHARACTERS).collect::<String>();
    let at = match (path.as_str(), missing) {
        ("", None) => String::new(),
        ("", Some(member)) => format!(", {member} is missing"),
        (path, None) => format!(", in {path}"),
        (path, Some(member)) => format!(", in {path} {member} is missing"),
    };
    let message = format!("the body is not what this route takes{at}: {:?} error at {line}:{column}", error.classify());
    refuse(RefusalReason::Malformed, message)
}

async fn bytes(mut body: Incoming) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let announced = body.size_hint().lower();
    if announced > u64::try_from(MAX_REQUEST_BYTES).unwrap_or(u64::MAX) {
        return Err(too_large(body).await);
    }
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| refuse(RefusalReason::Malformed, "the body ended before its announced length"))?;
        let Ok(part) = frame.into_data() else { continue };
        if bytes.len() + part.len() > MAX_REQUEST_BYTES {
            return Err(too_large(body).await);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

async fn too_large(mut body: Incoming) -> Refusal {
    let dropping = async {
        let mut dropped = 0;
        while dropped < MAX_DROPPED_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            dropped += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // However far it came, the answer is the same.
    let _ = timeout(DROPPING, dropping).await;
    refuse(RefusalReason::BodyTooLarge, format!("a body has at most {MAX_REQUEST_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_api::RotationOpen;

    use super::*;

    #[test]
    fn a_refusal_names_the_member_and_quotes_nothing_of_the_body() {
        let whole = r#"{"epoch":1,"generation":2,"host":"a.example","agent":"web",
            "certificate":{"dnsNames":["a.example"],"key":"RSA-2048"},"keystore":{"alias":"web"}}"#;
        assert!(parse::<RotationOpen>(whole.as_bytes()).is_ok());
        let long = format!(r#""{}":1"#, "x".repeat(10_000));
        for (good, bad, told) in [
            (r#""RSA-2048""#, r#""canary""#, ", in certificate.key:"),
            (r#"["a.example"]"#, "[4711]", ", in certificate.dnsNames[0]:"),
            (r#","key":"RSA-2048""#, "", ", in certificate key is missing:"),
            (r#""epoch":1,"#, "", ", epoch is missing:"),
            (r#""alias":"web""#, r#""storePassword":4711"#, ", in keystore.storePassword:"),
            // What an operator takes for an exporter that is too old to know a member
            (r#","key""#, r#","later":{},"key""#, ", in certificate.later: "),
            (r#""alias":"web""#, long.as_str(), ", in keystore"),
            (r#""web"}}"#, r#""web"}} canary"#, "takes: Syntax error"),
        ] {
            let refusal = parse::<RotationOpen>(whole.replace(good, bad).as_bytes()).expect_err(bad);
            assert!(refusal.message.contains(told), "{told}: {}", refusal.message);
            assert!(!refusal.message.contains("canary") && !refusal.message.contains("4711"), "{}", refusal.message);
            assert!(refusal.message.len() < 250, "{}", refusal.message);
        }
    }
}
