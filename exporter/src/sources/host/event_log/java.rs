//! Events from a Java serialization stream, after the Java Object Serialization Specification, version 5.
//!
//! The stream is walked as it comes and never built up: of all objects only dates, integers, lists of integers and what
//! they are parts of are remembered, since later ones may refer to them. No class is loaded and nothing is run.

use std::collections::VecDeque;
use std::rc::Rc;

use jiff::Timestamp;

use super::event::{Event, Kind, MAX_EVENTS};

/// What every stream begins with. A writer that appends puts it in the middle too.
pub(super) const MAGIC: [u8; 4] = [0xac, 0xed, 0x00, 0x05];

/// An event with its date and id is five deep; a list around them adds a few.
const MAX_DEPTH: usize = 64;
/// Things that later ones may refer to: an event brings about five.
const MAX_HANDLES: usize = 1 << 19;
/// Classes above each other; a class costs its bytes once, its objects walk its whole lineage.
const MAX_LINEAGE: usize = 32;
/// Numbers of an object id; ours have six.
const MAX_ID: usize = 16;
const FIRST_HANDLE: u32 = 0x7e_0000;

/// Why a stream cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("it does not begin as a Java serialization stream")]
    NotAStream,
    #[error("there is no {what} 0x{code:02x}")]
    Unknown { what: &'static str, code: u8 },
    #[error("something refers to what is not there")]
    BadReference,
    #[error("{0}")]
    Misplaced(&'static str),
    #[error("more than {MAX_DEPTH} objects within each other")]
    TooDeep,
    #[error("more than {MAX_HANDLES} objects")]
    TooMany,
}

/// The newest events that tell of power and shutdown, in the order of writing. A last one that is being written is left out.
///
/// # Errors
/// When the stream cannot be followed: what stands behind is newer and unknown, so what stands before is no answer.
pub(crate) fn events(bytes: &[u8]) -> Result<Vec<Event>, StreamError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(StreamError::NotAStream)?;
    let mut reader = Reader { rest, handles: Vec::new(), depth: 0, events: VecDeque::new() };
    match reader.stream() {
        Ok(()) | Err(Stop::End) => Ok(reader.events.into()),
        Err(Stop::Error(error)) => Err(error),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    handles: Vec<Handle>,
    depth: usize,
    events: VecDeque<Event>,
}

/// Why reading stops.
#[derive(Debug)]
enum Stop {
    /// The bytes are at their end: the writer is at work, or was interrupted.
    End,
    Error(StreamError),
}

type Step<T> = Result<T, Stop>;

/// What later objects may refer to.
enum Handle {
    /// Its own parts may refer to it.
    Unfinished,
    Class(Rc<Class>),
    Value(Value),
}

/// What is of interest in an object.
#[derive(Clone)]
enum Value {
    Integer(i32),
    /// Milliseconds since 1970.
    Date(i64),
    Id(Rc<[i32]>),
    Other,
}

enum Content<'a> {
    Value(Value),
    Block(&'a [u8]),
    EndOfBlocks,
}

struct Class {
    name: ClassName,
    flags: u8,
    fields: Vec<Field>,
    parent: Option<Rc<Class>>,
    /// How many classes are above it, and itself.
    lineage: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ClassName {
    Event,
    Date,
    Integer,
    /// Of elements of this type.
    Array(u8),
    Other,
}

#[derive(Clone, Copy)]
struct Field {
    /// As in a type's descriptor: `I`, `L`.
    type_code: u8,
    name: FieldName,
}

#[derive(Clone, Copy)]
enum FieldName {
    Timestamp,
    ActiveFlag,
    ObjectId,
    ObjectIds,
    Value,
    Other,
}

/// What an object's fields held.
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
}

/// What a class lets its objects write.
mod flag {
    pub(super) const WRITE_METHOD: u8 = 1;
    pub(super) const SERIALIZABLE: u8 = 2;
    pub(super) const EXTERNALIZABLE: u8 = 4;
    pub(super) const BLOCK_DATA: u8 = 8;
}

/// What comes next in the stream.
mod code {
    pub(super) const NULL: u8 = 0x70;
    pub(super) const REFERENCE: u8 = 0x71;
    pub(super) const CLASS_DESC: u8 = 0x72;
    pub(super) const OBJECT: u8 = 0x73;
    pub(super) const STRING: u8 = 0x74;
    pub(super) const ARRAY: u8 = 0x75;
    pub(super) const CLASS: u8 = 0x76;
    pub(super) const BLOCK: u8 = 0x77;
    pub(super) const END_OF_BLOCKS: u8 = 0x78;
    pub(super) const RESET: u8 = 0x79;
    pub(super) const LONG_BLOCK: u8 = 0x7a;
    pub(super) const LONG_STRING: u8 = 0x7c;
    pub(super) const PROXY_CLASS_DESC: u8 = 0x7d;
    pub(super) const ENUM: u8 = 0x7e;
}

impl<'a> Reader<'a> {
    fn stream(&mut self) -> Step<()> {
        while let Some(&next) = self.rest.first() {
            if let Some(rest) = self.rest.strip_prefix(&MAGIC) {
                self.rest = rest;
                self.handles.clear();
            } else if next == code::RESET {
                self.rest = &self.rest[1..];
                self.handles.clear();
            } else if matches!(self.content()?, Content::EndOfBlocks) {
                return Err(misplaced("an end of blocks without a beginning"));
            }
        }
        Ok(())
    }

    fn content(&mut self) -> Step<Content<'a>> {
        let value = match self.byte()? {
            code::NULL => Value::Other,
            code::REFERENCE => match self.reference()? {
                Handle::Value(value) => value.clone(),
                Handle::Class(_) | Handle::Unfinished => Value::Other,
            },
            code::CLASS_DESC => self.within(Self::class).map(|_| Value::Other)?,
            code::PROXY_CLASS_DESC => self.within(Self::proxy_class).map(|_| Value::Other)?,
            code::OBJECT => self.within(Self::object)?,
            code::ARRAY => self.within(Self::array)?,
            code::ENUM => self.within(Self::enum_constant)?,
            code::CLASS => {
                self.class_desc()?;
                self.remember(Value::Other)?
            }
            code::STRING => {
                self.text()?;
                self.remember(Value::Other)?
            }
            code::LONG_STRING => {
                let length = u64::from_be_bytes(self.array_of()?);
                self.bytes(usize::try_from(length).map_err(|_| Stop::End)?)?;
                self.remember(Value::Other)?
            }
            code::BLOCK => {
                let length = self.byte()?;
                return Ok(Content::Block(self.bytes(length.into())?));
            }
            code::LONG_BLOCK => {
                let length = self.length()?;
                return Ok(Content::Block(self.bytes(length)?));
            }
            code::END_OF_BLOCKS => return Ok(Content::EndOfBlocks),
            code => return Err(unknown("content", code)),
        };
        Ok(Content::Value(value))
    }

    fn object(&mut self) -> Step<Value> {
        let class = self.class_desc()?.ok_or_else(|| misplaced("an object without a class"))?;
        let handle = self.reserve()?;
        let mut lineage = Vec::with_capacity(class.lineage);
        let mut above = Some(&class);
        while let Some(class) = above {
            lineage.push(Rc::clone(class));
            above = class.parent.as_ref();
        }
        let mut parts = Parts::default();
        for class in lineage.iter().rev() {
            parts.is_event |= class.name == ClassName::Event;
            parts.is_date |= class.name == ClassName::Date;
            parts.is_integer |= class.name == ClassName::Integer;
            self.parts_of(class, &mut parts)?;
        }
        if parts.is_event {
            self.note(&parts);
        }
        Ok(self.finish(handle, parts.value()))
    }

    /// What one class of an object's lineage wrote.
    fn parts_of(&mut self, class: &Class, parts: &mut Parts) -> Step<()> {
        if class.flags & flag::SERIALIZABLE != 0 {
            for field in &class.fields {
                self.field(*field, parts)?;
            }
            if class.flags & flag::WRITE_METHOD == 0 {
                return Ok(());
            }
        } else if class.flags & flag::EXTERNALIZABLE == 0 {
            return Ok(());
        } else if class.flags & flag::BLOCK_DATA == 0 {
            return Err(misplaced("an object in a form of its own"));
        }
        let first = self.annotation()?;
        if class.name == ClassName::Date {
            parts.date = first.and_then(|block| block.first_chunk().copied()).map(i64::from_be_bytes);
        }
        Ok(())
    }

    fn field(&mut self, field: Field, parts: &mut Parts) -> Step<()> {
        match field.type_code {
            b'L' | b'[' => match (field.name, self.value()?) {
                (FieldName::Timestamp, Value::Date(at)) => parts.timestamp = Some(at),
                (FieldName::ObjectId, Value::Id(id)) => parts.object_id = Some(id),
                (FieldName::ObjectIds, Value::Id(numbers)) => parts.numbers = Some(numbers),
                _ => {}
            },
            b'I' => {
                let number = i32::from_be_bytes(self.array_of()?);
                if matches!(field.name, FieldName::Value) {
                    parts.integer = Some(number);
                }
            }
            b'Z' => {
                let flag = self.byte()? != 0;
                if matches!(field.name, FieldName::ActiveFlag) {
                    parts.active = Some(flag);
                }
            }
            other => {
                let width = width(other).ok_or_else(|| unknown("type", other))?;
                self.bytes(width)?;
            }
        }
        Ok(())
    }

    fn array(&mut self) -> Step<Value> {
        let class = self.class_desc()?.ok_or_else(|| misplaced("an array without a class"))?;
        let handle = self.reserve()?;
        let length = self.length()?;
        let ClassName::Array(element) = class.name else { return Err(misplaced("an array of a class that is none")) };
        let mut numbers = Vec::new();
        if let Some(width) = width(element).filter(|_| element != b'I') {
            self.bytes(length.checked_mul(width).ok_or(Stop::End)?)?;
        } else {
            for _ in 0..length {
                let number = match element {
                    b'I' => Some(i32::from_be_bytes(self.array_of()?)),
                    b'L' | b'[' => match self.value()? {
                        Value::Integer(number) => Some(number),
                        Value::Date(_) | Value::Id(_) | Value::Other => None,
                    },
                    other => return Err(unknown("type", other)),
                };
                numbers.extend(number.filter(|_| numbers.len() <= MAX_ID));
            }
        }
        let is_id = numbers.len() == length && (1..=MAX_ID).contains(&length);
        let value = if is_id { Value::Id(numbers.into()) } else { Value::Other };
        Ok(self.finish(handle, value))
    }

    fn enum_constant(&mut self) -> Step<Value> {
        self.class_desc()?;
        let handle = self.reserve()?;
        self.value()?;
        Ok(self.finish(handle, Value::Other))
    }

    fn class_desc(&mut self) -> Step<Option<Rc<Class>>> {
        match self.byte()? {
            code::NULL => Ok(None),
            code::REFERENCE => match self.reference()? {
                Handle::Class(class) => Ok(Some(Rc::clone(class))),
                Handle::Value(_) | Handle::Unfinished => Err(Stop::Error(StreamError::BadReference)),
            },
            code::CLASS_DESC => self.within(Self::class).map(Some),
            code::PROXY_CLASS_DESC => self.within(Self::proxy_class).map(Some),
            code => Err(unknown("class", code)),
        }
    }

    fn class(&mut self) -> Step<Rc<Class>> {
        let name = ClassName::of(self.text()?);
        // Its serialVersionUID: versions of a class differ in their fields, which are listed.
        self.bytes(size_of::<u64>())?;
        let handle = self.reserve()?;
        let flags = self.byte()?;
        let count = u16::from_be_bytes(self.array_of()?);
        let mut fields = Vec::new();
        for _ in 0..count {
            let type_code = self.byte()?;
            let name = FieldName::of(self.text()?);
            if matches!(type_code, b'L' | b'[') {
                self.value()?;
            }
            fields.push(Field { type_code, name });
        }
        self.describe(handle, name, flags, fields)
    }

    fn proxy_class(&mut self) -> Step<Rc<Class>> {
        let handle = self.reserve()?;
        for _ in 0..self.length()? {
            self.text()?;
        }
        self.describe(handle, ClassName::Other, flag::SERIALIZABLE, Vec::new())
    }

    /// The end of a class's description.
    fn describe(&mut self, handle: usize, name: ClassName, flags: u8, fields: Vec<Field>) -> Step<Rc<Class>> {
        self.annotation()?;
        let parent = self.class_desc()?;
        let lineage = parent.as_ref().map_or(0, |parent| parent.lineage) + 1;
        if lineage > MAX_LINEAGE {
            return Err(Stop::Error(StreamError::TooDeep));
        }
        let class = Rc::new(Class { name, flags, fields, parent, lineage });
        self.handles[handle] = Handle::Class(Rc::clone(&class));
        Ok(class)
    }

    /// What an object or class wrote besides its fields, up to the end of it; returns the first block.
    fn annotation(&mut self) -> Step<Option<&'a [u8]>> {
        let mut first = None;
        loop {
            match self.content()? {
                Content::Block(block) => first = first.or(Some(block)),
                Content::Value(_) => {}
                Content::EndOfBlocks => return Ok(first),
            }
        }
    }

    fn value(&mut self) -> Step<Value> {
        match self.content()? {
            Content::Value(value) => Ok(value),
            Content::Block(_) | Content::EndOfBlocks => Err(misplaced("a block in the place of an object")),
        }
    }

    fn note(&mut self, parts: &Parts) {
        let Some(((at, active), id)) = parts.timestamp.zip(parts.active).zip(parts.object_id.as_deref()) else {
            return;
        };
        let (Ok(at), Some(kind)) = (Timestamp::from_millisecond(at), Kind::of_id(id)) else { return };
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event { at, kind, active });
    }

    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        if self.depth == MAX_DEPTH {
            return Err(Stop::Error(StreamError::TooDeep));
        }
        self.depth += 1;
        let result = read(self)?;
        self.depth -= 1;
        Ok(result)
    }

    /// A handle is given when an object begins, before those of its parts.
    fn reserve(&mut self) -> Step<usize> {
        if self.handles.len() == MAX_HANDLES {
            return Err(Stop::Error(StreamError::TooMany));
        }
        self.handles.push(Handle::Unfinished);
        Ok(self.handles.len() - 1)
    }

    fn finish(&mut self, handle: usize, value: Value) -> Value {
        self.handles[handle] = Handle::Value(value.clone());
        value
    }

    fn remember(&mut self, value: Value) -> Step<Value> {
        let handle = self.reserve()?;
        Ok(self.finish(handle, value))
    }

    fn reference(&mut self) -> Step<&Handle> {
        let number = u32::from_be_bytes(self.array_of()?);
        let index = number.checked_sub(FIRST_HANDLE).and_then(|it| usize::try_from(it).ok());
        index.and_then(|it| self.handles.get(it)).ok_or(Stop::Error(StreamError::BadReference))
    }

    /// Java's lengths have a sign.
    fn length(&mut self) -> Step<usize> {
        let length = i32::from_be_bytes(self.array_of()?);
        usize::try_from(length).map_err(|_| misplaced("a length below zero"))
    }

    fn text(&mut self) -> Step<&'a [u8]> {
        let length = u16::from_be_bytes(self.array_of()?);
        self.bytes(length.into())
    }

    fn byte(&mut self) -> Step<u8> {
        self.array_of().map(|[byte]| byte)
    }

    fn array_of<const N: usize>(&mut self) -> Step<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(Stop::End)?;
        self.rest = rest;
        Ok(*first)
    }

    fn bytes(&mut self, length: usize) -> Step<&'a [u8]> {
        let (first, rest) = self.rest.split_at_checked(length).ok_or(Stop::End)?;
        self.rest = rest;
        Ok(first)
    }
}

impl Parts {
    /// What the object is for those that refer to it.
    fn value(self) -> Value {
        let date = self.date.filter(|_| self.is_date).map(Value::Date);
        let integer = self.integer.filter(|_| self.is_integer).map(Value::Integer);
        date.or(integer).or_else(|| self.numbers.map(Value::Id)).unwrap_or(Value::Other)
    }
}

impl ClassName {
    fn of(name: &[u8]) -> Self {
        match name {
            b"com.apcc.m11.arch.event.Event" => Self::Event,
            b"java.util.Date" => Self::Date,
            b"java.lang.Integer" => Self::Integer,
            [b'[', element, ..] => Self::Array(*element),
            _ => Self::Other,
        }
    }
}

impl FieldName {
    fn of(name: &[u8]) -> Self {
        match name {
            b"theTimestamp" => Self::Timestamp,
            b"theActiveFlag" => Self::ActiveFlag,
            b"theObjectId" => Self::ObjectId,
            b"theObjectIds" => Self::ObjectIds,
            b"value" => Self::Value,
            _ => Self::Other,
        }
    }
}

/// Bytes of a primitive type.
const fn width(type_code: u8) -> Option<usize> {
    match type_code {
        b'B' | b'Z' => Some(1),
        b'C' | b'S' => Some(2),
        b'I' | b'F' => Some(4),
        b'J' | b'D' => Some(8),
        _ => None,
    }
}

const fn misplaced(what: &'static str) -> Stop {
    Stop::Error(StreamError::Misplaced(what))
}

const fn unknown(what: &'static str, code: u8) -> Stop {
    Stop::Error(StreamError::Unknown { what, code })
}
