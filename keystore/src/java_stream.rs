//! Java's object serialization streams, after the Java Object Serialization Specification, version 5: JCEKS keeps symmetric keys in
//! them, and PowerChute its events.
//!
//! A stream is walked as it comes and never built up. No class is loaded and nothing is run. Later objects may refer to earlier ones:
//! what is kept of those, [`Objects`] says.

use std::rc::Rc;

/// What every stream begins with. A writer that appends puts it in the middle too.
pub const MAGIC: [u8; 4] = [0xac, 0xed, 0x00, 0x05];

const FIRST_HANDLE: u32 = 0x7e_0000;

/// How much a stream may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Objects within each other.
    pub depth: usize,
    /// Classes above each other; a class costs its bytes once, its objects walk its whole lineage.
    pub lineage: usize,
    /// Things that later ones may refer to.
    pub handles: usize,
    /// Things at all: null and references define nothing and may take one byte each.
    pub contents: usize,
}

/// Why a stream cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("it does not begin as a Java serialization stream")]
    NotAStream,
    /// The writer is at work, or was interrupted.
    #[error("it ends in the middle of an object")]
    End,
    #[error("there is no {what} 0x{code:02x}")]
    Unknown { what: &'static str, code: u8 },
    #[error("something refers to what is not there")]
    BadReference,
    #[error("{0}")]
    Misplaced(&'static str),
    #[error("an object in a form of its own")]
    Opaque,
    #[error("more than {0} objects within each other")]
    TooDeep(usize),
    #[error("more than {0} objects")]
    TooMany(usize),
}

/// What is made of the objects of a stream. By default, nothing.
pub trait Objects {
    /// What is kept of an object, for those that refer to it.
    type Kept: Clone + Default;
    /// What is known of an object while it is read.
    type Parts: Default;

    /// It is of this class too: the topmost is told first, each before its fields.
    fn is_a(&mut self, _parts: &mut Self::Parts, _class: &[u8]) {}

    fn field(&mut self, _parts: &mut Self::Parts, _name: &[u8], _value: Part<'_, Self::Kept>) {}

    /// The first block of what a class has written besides its fields.
    fn block(&mut self, _parts: &mut Self::Parts, _class: &[u8], _block: &[u8]) {}

    /// The next element of an array of objects.
    fn element(&mut self, _parts: &mut Self::Parts, _value: Self::Kept) {}

    fn finish(&mut self, _parts: Self::Parts) -> Self::Kept {
        Self::Kept::default()
    }

    /// An array of primitives, as they stand there: big-endian.
    fn primitives(&mut self, _type_code: u8, _bytes: &[u8]) -> Self::Kept {
        Self::Kept::default()
    }
}

impl Objects for () {
    type Kept = ();
    type Parts = ();
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a, K> {
    /// Its type, such as `I`, and its big-endian bytes.
    Primitive(u8, &'a [u8]),
    Object(K),
}

/// Walks streams one after the other, to their end.
///
/// # Errors
/// See [`StreamError`]; what came before was told.
pub fn walk(bytes: &[u8], bounds: Bounds, objects: &mut impl Objects) -> Result<(), StreamError> {
    let mut walk = Walk::begin(bytes, bounds, objects)?;
    while let Some(&next) = walk.rest.first() {
        if let Some(rest) = walk.rest.strip_prefix(&MAGIC) {
            walk.rest = rest;
            walk.handles.clear();
        } else if next == code::RESET {
            walk.byte()?;
            walk.handles.clear();
        } else if matches!(walk.content()?, Content::EndOfBlocks) {
            return Err(StreamError::Misplaced("an end of blocks without a beginning"));
        }
    }
    Ok(())
}

/// How many bytes the stream takes that these bytes begin with, where it is one object.
///
/// # Errors
/// See [`StreamError`].
pub fn length_of_object(bytes: &[u8], bounds: Bounds) -> Result<usize, StreamError> {
    let objects = &mut ();
    let mut walk = Walk::begin(bytes, bounds, objects)?;
    if walk.byte()? != code::OBJECT {
        return Err(StreamError::Opaque);
    }
    walk.within(Walk::object)?;
    Ok(bytes.len() - walk.rest.len())
}

struct Walk<'a, 'o, O: Objects> {
    rest: &'a [u8],
    bounds: Bounds,
    handles: Vec<Handle<'a, O::Kept>>,
    depth: usize,
    contents: usize,
    objects: &'o mut O,
}

type Step<T> = Result<T, StreamError>;

/// What later objects may refer to.
enum Handle<'a, K> {
    /// Its own parts may refer to it.
    Unfinished,
    Class(Rc<Class<'a>>),
    Value(K),
}

enum Content<'a, K> {
    Value(K),
    Block(&'a [u8]),
    EndOfBlocks,
}

struct Class<'a> {
    name: &'a [u8],
    flags: u8,
    fields: Vec<Field<'a>>,
    parent: Option<Rc<Self>>,
    /// How many classes are above it, and itself.
    lineage: usize,
}

#[derive(Clone, Copy)]
struct Field<'a> {
    /// As in a type's descriptor: `I`, `L`.
    type_code: u8,
    name: &'a [u8],
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

impl<'a, 'o, O: Objects> Walk<'a, 'o, O> {
    fn begin(bytes: &'a [u8], bounds: Bounds, objects: &'o mut O) -> Step<Self> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(StreamError::NotAStream)?;
        Ok(Self { rest, bounds, handles: Vec::new(), depth: 0, contents: 0, objects })
    }

    fn content(&mut self) -> Step<Content<'a, O::Kept>> {
        self.contents += 1;
        if self.contents > self.bounds.contents {
            return Err(StreamError::TooMany(self.bounds.contents));
        }
        let value = match self.byte()? {
            code::NULL => O::Kept::default(),
            code::REFERENCE => match self.reference()? {
                Handle::Value(value) => value.clone(),
                Handle::Class(_) | Handle::Unfinished => O::Kept::default(),
            },
            code::CLASS_DESC => self.within(Self::class).map(|_| O::Kept::default())?,
            code::PROXY_CLASS_DESC => self.within(Self::proxy_class).map(|_| O::Kept::default())?,
            code::OBJECT => self.within(Self::object)?,
            code::ARRAY => self.within(Self::array)?,
            code::ENUM => self.within(Self::enum_constant)?,
            code::CLASS => {
                self.class_desc()?;
                self.remember()?
            }
            code::STRING => {
                self.text()?;
                self.remember()?
            }
            code::LONG_STRING => {
                let length = u64::from_be_bytes(self.array_of()?);
                self.bytes(usize::try_from(length).map_err(|_| StreamError::End)?)?;
                self.remember()?
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
            code => return Err(StreamError::Unknown { what: "content", code }),
        };
        Ok(Content::Value(value))
    }

    fn object(&mut self) -> Step<O::Kept> {
        let class = self.class_desc()?.ok_or(StreamError::Misplaced("an object without a class"))?;
        let handle = self.reserve()?;
        let mut lineage = Vec::with_capacity(class.lineage);
        let mut above = Some(&class);
        while let Some(class) = above {
            lineage.push(Rc::clone(class));
            above = class.parent.as_ref();
        }
        let mut parts = O::Parts::default();
        for class in lineage.iter().rev() {
            self.objects.is_a(&mut parts, class.name);
            self.parts_of(class, &mut parts)?;
        }
        let kept = self.objects.finish(parts);
        Ok(self.finish(handle, kept))
    }

    /// What one class of an object's lineage wrote.
    fn parts_of(&mut self, class: &Class<'a>, parts: &mut O::Parts) -> Step<()> {
        if class.flags & flag::SERIALIZABLE != 0 {
            for field in &class.fields {
                let value = match width(field.type_code) {
                    Some(width) => Part::Primitive(field.type_code, self.bytes(width)?),
                    None => Part::Object(self.value()?),
                };
                self.objects.field(parts, field.name, value);
            }
            if class.flags & flag::WRITE_METHOD == 0 {
                return Ok(());
            }
        } else if class.flags & flag::EXTERNALIZABLE == 0 {
            return Ok(());
        } else if class.flags & flag::BLOCK_DATA == 0 {
            return Err(StreamError::Opaque);
        }
        if let Some(block) = self.annotation()? {
            self.objects.block(parts, class.name, block);
        }
        Ok(())
    }

    fn array(&mut self) -> Step<O::Kept> {
        let class = self.class_desc()?.ok_or(StreamError::Misplaced("an array without a class"))?;
        let handle = self.reserve()?;
        let length = self.length()?;
        let &[b'[', element, ..] = class.name else {
            return Err(StreamError::Misplaced("an array of a class that is none"));
        };
        let kept = if let Some(width) = width(element) {
            let bytes = self.bytes(length.checked_mul(width).ok_or(StreamError::End)?)?;
            self.objects.primitives(element, bytes)
        } else {
            check_type(element)?;
            let mut parts = O::Parts::default();
            for _ in 0..length {
                let value = self.value()?;
                self.objects.element(&mut parts, value);
            }
            self.objects.finish(parts)
        };
        Ok(self.finish(handle, kept))
    }

    fn enum_constant(&mut self) -> Step<O::Kept> {
        self.class_desc()?;
        let handle = self.reserve()?;
        self.value()?;
        Ok(self.finish(handle, O::Kept::default()))
    }

    fn class_desc(&mut self) -> Step<Option<Rc<Class<'a>>>> {
        match self.byte()? {
            code::NULL => Ok(None),
            code::REFERENCE => match self.reference()? {
                Handle::Class(class) => Ok(Some(Rc::clone(class))),
                Handle::Value(_) | Handle::Unfinished => Err(StreamError::BadReference),
            },
            code::CLASS_DESC => self.within(Self::class).map(Some),
            code::PROXY_CLASS_DESC => self.within(Self::proxy_class).map(Some),
            code => Err(StreamError::Unknown { what: "class", code }),
        }
    }

    fn class(&mut self) -> Step<Rc<Class<'a>>> {
        let name = self.text()?;
        // Its serialVersionUID: versions of a class differ in their fields, which are listed.
        self.bytes(size_of::<u64>())?;
        let handle = self.reserve()?;
        let flags = self.byte()?;
        let count = u16::from_be_bytes(self.array_of()?);
        let mut fields = Vec::new();
        for _ in 0..count {
            let type_code = self.byte()?;
            let name = self.text()?;
            if width(type_code).is_none() {
                check_type(type_code)?;
                // The type's name.
                self.value()?;
            }
            fields.push(Field { type_code, name });
        }
        self.describe(handle, name, flags, fields)
    }

    fn proxy_class(&mut self) -> Step<Rc<Class<'a>>> {
        let handle = self.reserve()?;
        for _ in 0..self.length()? {
            self.text()?;
        }
        self.describe(handle, b"", flag::SERIALIZABLE, Vec::new())
    }

    /// The end of a class's description.
    fn describe(&mut self, handle: usize, name: &'a [u8], flags: u8, fields: Vec<Field<'a>>) -> Step<Rc<Class<'a>>> {
        self.annotation()?;
        let parent = self.class_desc()?;
        let lineage = parent.as_ref().map_or(0, |parent| parent.lineage) + 1;
        if lineage > self.bounds.lineage {
            return Err(StreamError::TooDeep(self.bounds.lineage));
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

    fn value(&mut self) -> Step<O::Kept> {
        match self.content()? {
            Content::Value(value) => Ok(value),
            Content::Block(_) | Content::EndOfBlocks => {
                Err(StreamError::Misplaced("a block in the place of an object"))
            }
        }
    }

    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        if self.depth == self.bounds.depth {
            return Err(StreamError::TooDeep(self.bounds.depth));
        }
        self.depth += 1;
        let result = read(self)?;
        self.depth -= 1;
        Ok(result)
    }

    /// A handle is given when an object begins, before those of its parts.
    fn reserve(&mut self) -> Step<usize> {
        if self.handles.len() == self.bounds.handles {
            return Err(StreamError::TooMany(self.bounds.handles));
        }
        self.handles.push(Handle::Unfinished);
        Ok(self.handles.len() - 1)
    }

    fn finish(&mut self, handle: usize, kept: O::Kept) -> O::Kept {
        self.handles[handle] = Handle::Value(kept.clone());
        kept
    }

    /// Of what nothing is kept.
    fn remember(&mut self) -> Step<O::Kept> {
        let handle = self.reserve()?;
        Ok(self.finish(handle, O::Kept::default()))
    }

    fn reference(&mut self) -> Step<&Handle<'a, O::Kept>> {
        let number = u32::from_be_bytes(self.array_of()?);
        let index = number.checked_sub(FIRST_HANDLE).and_then(|it| usize::try_from(it).ok());
        index.and_then(|it| self.handles.get(it)).ok_or(StreamError::BadReference)
    }

    /// Java's lengths have a sign.
    fn length(&mut self) -> Step<usize> {
        let length = i32::from_be_bytes(self.array_of()?);
        usize::try_from(length).map_err(|_| StreamError::Misplaced("a length below zero"))
    }

    fn text(&mut self) -> Step<&'a [u8]> {
        let length = u16::from_be_bytes(self.array_of()?);
        self.bytes(length.into())
    }

    fn byte(&mut self) -> Step<u8> {
        self.array_of().map(|[byte]| byte)
    }

    fn array_of<const N: usize>(&mut self) -> Step<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(StreamError::End)?;
        self.rest = rest;
        Ok(*first)
    }

    fn bytes(&mut self, length: usize) -> Step<&'a [u8]> {
        let (first, rest) = self.rest.split_at_checked(length).ok_or(StreamError::End)?;
        self.rest = rest;
        Ok(first)
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

/// What is no primitive is an object or an array.
const fn check_type(code: u8) -> Step<()> {
    match code {
        b'L' | b'[' => Ok(()),
        code => Err(StreamError::Unknown { what: "type", code }),
    }
}
