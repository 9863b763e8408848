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

pub(super) async fn read<T: DeserializeOwned>(request: hyper::Request<Incoming>) -> Result<T, Refusal> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        let message = "Content-Encoding is not taken; send the JSON as it is";
        return Err(refuse(RefusalReason::UnsupportedEncoding, message));
    }
    let bytes = bytes(request.into_body()).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // The error's own text may quote the body, and the body may hold a password.
        let (line, column) = (error.line(), error.column());
        let message = format!("the body is not what this route takes: {:?} error at {line}:{column}", error.classify());
        refuse(RefusalReason::Malformed, message)
    })
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
