//! Which of the two metric languages an `Accept` header asks for, and the answer in it.

use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use crate::render::ExpositionFormat;
use kagiban_serving::{Pieces, respond};

/// Prometheus sends about two hundred bytes; what follows a thousand is not read.
const MAX_HEADER: usize = 1024;

pub(super) fn wanted(request: &Parts) -> ExpositionFormat {
    format(request.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()))
}

/// Metrics, in the language that was asked for.
pub(super) fn rendered(format: ExpositionFormat, parts: Vec<Bytes>) -> Response<Pieces> {
    let mut response = respond(StatusCode::OK, format.content_type(), parts);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// OpenMetrics when it is asked for at least as much as anything else that we have; else the text that everybody reads.
fn format(accept: Option<&str>) -> ExpositionFormat {
    let accept = accept.unwrap_or_default();
    let accept = &accept[..accept.floor_char_boundary(MAX_HEADER)];
    let weights = |wanted: fn(&Range<'_>) -> bool| {
        accept.split(',').filter_map(Range::parse).filter(wanted).map(|range| range.weight).fold(0.0, f64::max)
    };
    let open_metrics = weights(is_open_metrics);
    if open_metrics > 0.0 && open_metrics >= weights(is_text) {
        ExpositionFormat::OpenMetrics
    } else {
        ExpositionFormat::Text
    }
}

struct Range<'a> {
    media: &'a str,
    version: Option<&'a str>,
    weight: f64,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| !media.is_empty())?;
        let mut range = Self { media, version: None, weight: 1.0 };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim() {
                "q" => range.weight = value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
                "version" => range.version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        Some(range)
    }
}

/// Older versions differ in nothing that we write.
fn is_open_metrics(range: &Range<'_>) -> bool {
    range.media.eq_ignore_ascii_case("application/openmetrics-text")
        && matches!(range.version, None | Some("1.0.0" | "0.0.1"))
}

fn is_text(range: &Range<'_>) -> bool {
    ["text/plain", "text/*", "*/*"].iter().any(|media| range.media.eq_ignore_ascii_case(media))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_open_metrics_and_people_get_text() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (Some(prometheus), ExpositionFormat::OpenMetrics),
            (Some("application/openmetrics-text"), ExpositionFormat::OpenMetrics),
            (Some("application/openmetrics-text; version=\"1.0.0\""), ExpositionFormat::OpenMetrics),
            (Some("application/openmetrics-text;q=0.1,text/plain;q=0.9"), ExpositionFormat::Text),
            (Some("application/openmetrics-text;version=2.0.0"), ExpositionFormat::Text),
            (Some("application/openmetrics-text;q=0"), ExpositionFormat::Text),
            (Some("application/openmetrics-text;q=nan"), ExpositionFormat::Text),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), ExpositionFormat::Text),
            (Some("*/*"), ExpositionFormat::Text),
            (Some(",;,="), ExpositionFormat::Text),
            (None, ExpositionFormat::Text),
        ] {
            assert_eq!(format(accept), expected, "{accept:?}");
        }
    }
}
