//! What a metric family is here, and how it goes through the encoder.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet, text::encode as encode_registry,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::label::Label;

/// A metric family over a `T`.
pub(super) struct Family<T> {
    /// A counter's name stands without `_total`: the encoder adds it.
    pub(super) name: &'static str,
    /// One line: the encoder does not escape it.
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) samples: fn(&T, &mut Samples<'_, '_>) -> fmt::Result,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// What is told, host by host: first of this one, whose samples have no label `host`.
pub(super) type Subjects<T> = [(Option<Label>, Arc<T>)];

/// Where a family puts its samples.
pub(super) struct Samples<'a, 'b> {
    family: &'static str,
    /// The outside host that the samples are of: each has it as a label, whatever family it is of.
    host: Option<&'a str>,
    encoder: &'a mut MetricEncoder<'b>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Whole(i64),
    Real(f64),
}

impl Samples<'_, '_> {
    /// The name of the family that is being rendered: rows of one shape may share their function.
    pub(super) const fn family(&self) -> &'static str {
        self.family
    }

    /// A label with an empty value is left out, as Prometheus reads it anyway.
    pub(super) fn put(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> fmt::Result {
        let labels = Labels { labels, host: self.host };
        if labels.is_empty() {
            return number(self.encoder, self.kind, value.into());
        }
        number(&mut self.encoder.encode_family(&labels)?, self.kind, value.into())
    }
}

fn number(encoder: &mut MetricEncoder<'_>, kind: Kind, value: Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Gauge, Value::Whole(value)) => encoder.encode_gauge(&value),
        (Kind::Gauge, Value::Real(value)) => encoder.encode_gauge(&value),
        (Kind::Counter, Value::Whole(value)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(&value.unsigned_abs(), None)
        }
        (Kind::Counter, Value::Real(value)) => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
    }
}

/// Renders every family that has samples, in OpenMetrics without its end mark. One without says nothing, not even its help:
/// most hosts have no UPS, and the names of other exporters are many.
pub(super) fn encode<T: Send + Sync + fmt::Debug + 'static>(
    families: &'static [Family<T>],
    subjects: &Arc<Subjects<T>>,
) -> String {
    let mut out = String::new();
    for family in families {
        let before = out.len();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Row { family, subjects: Arc::clone(subjects) }));
        encode_registry(&mut out, &registry).expect("writing to a String does not fail");
        out.truncate(out.len() - "# EOF\n".len());
        if out[before..].lines().all(|line| line.starts_with('#')) {
            out.truncate(before);
        }
    }
    out
}

/// One family of all subjects.
struct Row<T: 'static> {
    family: &'static Family<T>,
    subjects: Arc<Subjects<T>>,
}

impl<T: fmt::Debug> fmt::Debug for Row<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("subjects", &self.subjects).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> prometheus_client::collector::Collector for Row<T> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Family { name, help, kind, samples } = self.family;
        let metric_type = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(name, help, None, metric_type)?;
        self.subjects.iter().try_for_each(|(host, subject)| {
            let host = host.as_ref().map(Label::as_str);
            samples(subject, &mut Samples { family: name, host, encoder: &mut metric, kind: *kind })
        })
    }
}

#[derive(Debug)]
struct Labels<'a> {
    labels: &'a [(&'a str, &'a str)],
    host: Option<&'a str>,
}

impl Labels<'_> {
    fn is_empty(&self) -> bool {
        self.host.is_none() && self.labels.iter().all(|(_, value)| value.is_empty())
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        use prometheus_client::encoding::EncodeLabel as _;
        let host = self.host.map(|host| ("host", host));
        let labels = self.labels.iter().filter(|(_, value)| !value.is_empty());
        labels.copied().chain(host).try_for_each(|label| label.encode(encoder.encode_label()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Whole(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value.try_into().unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value.try_into().unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}
