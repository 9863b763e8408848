//! The two text formats of Prometheus: OpenMetrics for those who ask for it, version 0.0.4 for everybody else.
//!
//! They differ in the name that a counter is described under, and in the line at the end.

use hyper::header::HeaderValue;

/// What OpenMetrics is called where a client says what it takes.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// One of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    OpenMetrics,
    Text,
}

impl Exposition {
    /// By the values of the Accept header. Weights are not compared: who names OpenMetrics at all can read it.
    pub(crate) fn accepted<'a>(mut accept: impl Iterator<Item = &'a HeaderValue>) -> Self {
        let names_it = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains(OPEN_METRICS));
        if accept.any(names_it) { Self::OpenMetrics } else { Self::Text }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The body, from OpenMetrics.
    pub(crate) fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => older(&open_metrics),
        }
    }
}

/// Samples stay as they are: the names of ours carry their suffixes already.
fn older(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(words) = line.strip_prefix("# HELP ") {
            // the name depends on the type, which comes after it
            help = words.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|words| words.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                out.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            out.extend([line, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_name_it() {
        let prometheus = HeaderValue::from_static(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        );
        let browser = HeaderValue::from_static("text/html,*/*;q=0.8");
        assert_eq!(Exposition::accepted([&browser, &prometheus].into_iter()), Exposition::OpenMetrics);
        assert_eq!(Exposition::accepted([&browser].into_iter()), Exposition::Text);
        assert_eq!(Exposition::accepted(std::iter::empty()), Exposition::Text);
    }

    #[test]
    fn in_the_older_format_counters_are_described_under_their_full_name() {
        let metrics = crate::metrics::Metrics::new(None);
        metrics.reconcile_failed("deadline");
        let text = Exposition::Text.of(metrics.render().expect("a string takes everything"));
        let expected = "# HELP kagiban_reconcile_failures_total Reconciles that ended early, by reason.\n\
            # TYPE kagiban_reconcile_failures_total counter\n\
            kagiban_reconcile_failures_total{reason=\"deadline\"} 1\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("# TYPE kagiban_operator_leader gauge\nkagiban_operator_leader 0\n"), "{text}");
        assert!(text.contains("# TYPE kagiban_reconcile_duration_seconds histogram\n"), "{text}");
        assert!(!text.contains("# EOF"), "{text}");
    }
}
