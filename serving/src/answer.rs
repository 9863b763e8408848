//! What every answer carries, whoever gives it.

use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use crate::pieces::Pieces;

/// Nothing but a page's own inline style is ever needed, and nothing may run.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// A page for people.
pub fn page(status: StatusCode, html: impl Into<Pieces>) -> Response<Pieces> {
    let mut response = respond(status, "text/html; charset=utf-8", html);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

pub fn plain(status: StatusCode, words: impl Into<Bytes>) -> Response<Pieces> {
    respond(status, "text/plain; charset=utf-8", [words.into()])
}

pub fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Pieces>) -> Response<Pieces> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
