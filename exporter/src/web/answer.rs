//! What every answer carries, whoever gives it.

use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use crate::render::ExpositionFormat;
use kagiban_serving::Pieces;

/// Metrics, in the language that was asked for.
pub(super) fn rendered(format: ExpositionFormat, parts: Vec<Bytes>) -> Response<Pieces> {
    let mut response = respond(StatusCode::OK, format.content_type(), parts.into());
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

pub(super) fn plain(status: StatusCode, words: impl Into<Bytes>) -> Response<Pieces> {
    respond(status, "text/plain; charset=utf-8", [words.into()].into())
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: Pieces) -> Response<Pieces> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
