//! Events from a Java serialization stream: of all objects only dates, integers, lists of integers and what they are parts of
//! are looked at.

use std::collections::VecDeque;
use std::rc::Rc;

use jiff::Timestamp;
use kagiban_keystore::java_stream::{self, Bounds, Objects, Part};

pub(crate) use kagiban_keystore::java_stream::{MAGIC, StreamError};

use super::event::{LogEvent, LogEventKind, MAX_EVENTS};

/// An event with its date and id is five deep, a list around them adds a few; it brings about five things to refer to. Those that
/// nobody refers to take a byte each of a file that is bounded itself.
const BOUNDS: Bounds = Bounds { depth: 64, lineage: 32, handles: 1 << 19, contents: usize::MAX };
/// Numbers of an object id; ours have six.
const MAX_ID: usize = 16;

/// The newest events that tell of power and shutdown, in the order of writing. A last one that is being written is left out.
///
/// # Errors
/// When the stream cannot be followed: what stands behind is newer and unknown, so what stands before is no answer.
pub(crate) fn events(bytes: &[u8]) -> Result<Vec<LogEvent>, StreamError> {
    let mut newest = Newest(VecDeque::new());
    match java_stream::walk(bytes, BOUNDS, &mut newest) {
        Ok(()) | Err(StreamError::End) => Ok(newest.0.into()),
        Err(error) => Err(error),
    }
}

struct Newest(VecDeque<LogEvent>);

/// What is of interest in an object.
#[derive(Clone, Default)]
enum Value {
    Integer(i32),
    /// Milliseconds since 1970.
    Date(i64),
    Id(Rc<[i32]>),
    #[default]
    Other,
}

/// What an object's fields held, or an array's elements.
#[derive(Default)]
struct Parts {
    is_event: bool,
    is_date: bool,
    is_integer: bool,
    timestamp: Option<i64>,
    active: Option<bool>,
    object_id: Option<Rc<[i32]>>,
    numbers: Option<Rc<[i32]>>,
    integer: Option<i32>,
    date: Option<i64>,
    integers: Vec<i32>,
    elements: usize,
}

impl Objects for Newest {
    type Kept = Value;
    type Parts = Parts;

    fn is_a(&mut self, parts: &mut Parts, class: &[u8]) {
        parts.is_event |= class == b"com.apcc.m11.arch.event.Event";
        parts.is_date |= class == DATE;
        parts.is_integer |= class == b"java.lang.Integer";
    }

    fn field(&mut self, parts: &mut Parts, name: &[u8], value: Part<'_, Value>) {
        match (name, value) {
            (b"theTimestamp", Part::Object(Value::Date(at))) => parts.timestamp = Some(at),
            (b"theObjectId", Part::Object(Value::Id(id))) => parts.object_id = Some(id),
            (b"theObjectIds", Part::Object(Value::Id(numbers))) => parts.numbers = Some(numbers),
            (b"theActiveFlag", Part::Primitive(b'Z', [flag])) => parts.active = Some(*flag != 0),
            (b"value", Part::Primitive(b'I', bytes)) => parts.integer = bytes.try_into().ok().map(i32::from_be_bytes),
            _ => {}
        }
    }

    fn block(&mut self, parts: &mut Parts, class: &[u8], block: &[u8]) {
        if class == DATE {
            parts.date = block.first_chunk().copied().map(i64::from_be_bytes);
        }
    }

    fn element(&mut self, parts: &mut Parts, value: Value) {
        parts.elements += 1;
        if let Value::Integer(number) = value
            && parts.integers.len() < MAX_ID
        {
            parts.integers.push(number);
        }
    }

    fn finish(&mut self, parts: Parts) -> Value {
        if parts.is_event {
            self.note(&parts);
        }
        parts.value()
    }

    fn primitives(&mut self, type_code: u8, bytes: &[u8]) -> Value {
        let (numbers, _) = bytes.as_chunks();
        let is_id = type_code == b'I' && (1..=MAX_ID).contains(&numbers.len());
        if is_id { Value::Id(numbers.iter().copied().map(i32::from_be_bytes).collect()) } else { Value::Other }
    }
}

const DATE: &[u8] = b"java.util.Date";

impl Newest {
    fn note(&mut self, parts: &Parts) {
        let Some(((at, active), id)) = parts.timestamp.zip(parts.active).zip(parts.object_id.as_deref()) else {
            return;
        };
        let (Ok(at), Some(kind)) = (Timestamp::from_millisecond(at), LogEventKind::of_id(id)) else { return };
        if self.0.len() == MAX_EVENTS {
            self.0.pop_front();
        }
        self.0.push_back(LogEvent { at, kind, active });
    }
}

impl Parts {
    /// What the object is for those that refer to it.
    fn value(self) -> Value {
        if self.elements > 0 && self.integers.len() == self.elements {
            return Value::Id(self.integers.into());
        }
        let date = self.date.filter(|_| self.is_date).map(Value::Date);
        let integer = self.integer.filter(|_| self.is_integer).map(Value::Integer);
        date.or(integer).or_else(|| self.numbers.map(Value::Id)).unwrap_or(Value::Other)
    }
}
