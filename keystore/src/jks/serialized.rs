//! Finds the end of a Java serialization stream. JCEKS keeps symmetric keys as serialized objects without saying how long they are.
//!
//! Only the grammar is followed (Java Object Serialization Specification, chapter 6): nothing is instantiated and no value kept.

use crate::{ReadError, cursor::Cursor};
use std::rc::Rc;

/// How deep objects may lie in objects. A sealed key has two levels.
const MAX_DEPTH: usize = 16;
/// How many objects, strings and classes one stream may define. A sealed key has about ten.
const MAX_HANDLES: usize = 256;
/// How many things one stream may hold, null and references among them, which define nothing and may take one byte each. A
/// sealed key has about thirty.
const MAX_CONTENTS: usize = 4_096;
/// How many fields one class may have. `SealedObject` has four.
const MAX_FIELDS: usize = 64;

const STREAM_MAGIC_AND_VERSION: [u8; 4] = [0xAC, 0xED, 0x00, 0x05];
const FIRST_HANDLE: u32 = 0x007E_0000;

const TC_NULL: u8 = 0x70;
const TC_REFERENCE: u8 = 0x71;
const TC_CLASSDESC: u8 = 0x72;
const TC_OBJECT: u8 = 0x73;
const TC_STRING: u8 = 0x74;
const TC_ARRAY: u8 = 0x75;
const TC_BLOCKDATA: u8 = 0x77;
const TC_ENDBLOCKDATA: u8 = 0x78;
const TC_BLOCKDATALONG: u8 = 0x7A;
const TC_LONGSTRING: u8 = 0x7C;
const TC_ENUM: u8 = 0x7E;

const SC_WRITE_METHOD: u8 = 0x01;
const SC_SERIALIZABLE: u8 = 0x02;

/// Moves `cursor` behind the one object whose stream starts there.
pub(super) fn skip(cursor: &mut Cursor<'_>) -> Result<(), ReadError> {
    if cursor.array()? != STREAM_MAGIC_AND_VERSION {
        return Err(ReadError::Malformed("a secret key is no serialized Java object"));
    }
    if cursor.u8()? != TC_OBJECT {
        return Err(ReadError::UnsupportedFormat("a secret key that is no object"));
    }
    Walk { cursor, handles: Vec::new(), contents: 0 }.object(MAX_DEPTH)
}

struct Walk<'w, 'a> {
    cursor: &'w mut Cursor<'a>,
    /// What a later reference may mean; only classes matter, for the layout of their fields.
    handles: Vec<Option<Rc<Class>>>,
    /// How many things were met so far.
    contents: usize,
}

struct Class {
    flags: u8,
    fields: Vec<u8>,
    /// For arrays: the type of the elements.
    element: Option<u8>,
    parent: Option<Rc<Class>>,
    /// How many ancestors it has; bounded, for they are walked for each object.
    ancestors: usize,
}

impl Walk<'_, '_> {
    fn content(&mut self, depth: usize) -> Result<(), ReadError> {
        let tag = self.cursor.u8()?;
        self.content_of(tag, depth)
    }

    fn content_of(&mut self, tag: u8, depth: usize) -> Result<(), ReadError> {
        let depth = deeper(depth)?;
        self.contents += 1;
        if self.contents > MAX_CONTENTS {
            return Err(TOO_LONG);
        }
        match tag {
            TC_NULL => Ok(()),
            TC_REFERENCE => self.reference().map(drop),
            TC_STRING => {
                self.define(None)?;
                self.cursor.take_u16_long().map(drop)
            }
            TC_LONGSTRING => {
                self.define(None)?;
                let length = usize::try_from(self.cursor.u64()?).unwrap_or(usize::MAX);
                self.take(length)
            }
            TC_CLASSDESC => self.new_class(depth).map(drop),
            TC_OBJECT => self.object(depth),
            TC_ARRAY => self.array(depth),
            TC_ENUM => {
                self.class(depth)?;
                self.define(None)?;
                self.content(depth)
            }
            TC_BLOCKDATA => {
                let length = usize::from(self.cursor.u8()?);
                self.take(length)
            }
            TC_BLOCKDATALONG => self.cursor.take_u32_long().map(drop),
            _ => Err(ReadError::UnsupportedFormat("what a secret key's serialized object holds")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), ReadError> {
        let class = self.class(depth)?;
        self.define(None)?;
        let mut lineage = Vec::new();
        let mut next = class.as_ref();
        while let Some(class) = next {
            lineage.push(Rc::clone(class));
            next = class.parent.as_ref();
        }
        for class in lineage.iter().rev() {
            if class.flags & SC_SERIALIZABLE == 0 {
                return Err(ReadError::UnsupportedFormat("a secret key whose class is externalizable"));
            }
            for field in &class.fields {
                self.value(*field, depth)?;
            }
            if class.flags & SC_WRITE_METHOD != 0 {
                self.annotation(depth)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), ReadError> {
        let class = self.class(depth)?;
        self.define(None)?;
        let count = usize::try_from(self.cursor.u32()?).unwrap_or(usize::MAX);
        let element = class.and_then(|class| class.element).ok_or(MALFORMED)?;
        if let Some(width) = width(element) {
            return self.take(count.saturating_mul(width));
        }
        // Each element is one more thing met, so that bound is this one's too.
        for _ in 0..count {
            self.value(element, depth)?;
        }
        Ok(())
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), ReadError> {
        match width(kind) {
            Some(width) => self.take(width),
            None => self.content(depth),
        }
    }

    fn class(&mut self, depth: usize) -> Result<Option<Rc<Class>>, ReadError> {
        match self.cursor.u8()? {
            TC_NULL => Ok(None),
            TC_REFERENCE => self.reference().and_then(|class| class.ok_or(MALFORMED)).map(Some),
            TC_CLASSDESC => self.new_class(depth).map(Some),
            _ => Err(MALFORMED),
        }
    }

    fn new_class(&mut self, depth: usize) -> Result<Rc<Class>, ReadError> {
        let depth = deeper(depth)?;
        let name = self.cursor.take_u16_long()?;
        let _serial_version = self.cursor.u64()?;
        let handle = self.define(None)?;
        let flags = self.cursor.u8()?;
        let count = usize::from(self.cursor.u16()?);
        if count > MAX_FIELDS {
            return Err(TOO_LARGE);
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            let kind = self.cursor.u8()?;
            self.cursor.take_u16_long()?;
            if width(kind).is_none() {
                // The type's name, a string or a reference to one.
                self.content(depth)?;
            }
            fields.push(kind);
        }
        self.annotation(depth)?;
        let parent = self.class(depth)?;
        let ancestors = parent.as_ref().map_or(0, |parent| parent.ancestors + 1);
        if ancestors > MAX_DEPTH {
            return Err(TOO_LARGE);
        }
        let element = match name {
            [b'[', element, ..] => Some(*element),
            _ => None,
        };
        let class = Rc::new(Class { flags, fields, element, parent, ancestors });
        if let Some(defined) = self.handles.get_mut(handle) {
            *defined = Some(Rc::clone(&class));
        }
        Ok(class)
    }

    /// What a class wrote beyond its fields, up to the mark that ends it.
    fn annotation(&mut self, depth: usize) -> Result<(), ReadError> {
        loop {
            match self.cursor.u8()? {
                TC_ENDBLOCKDATA => return Ok(()),
                tag => self.content_of(tag, depth)?,
            }
        }
    }

    fn reference(&mut self) -> Result<Option<Rc<Class>>, ReadError> {
        let index = self.cursor.u32()?.checked_sub(FIRST_HANDLE).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.handles.get(index)).cloned().ok_or(MALFORMED)
    }

    fn define(&mut self, class: Option<Rc<Class>>) -> Result<usize, ReadError> {
        if self.handles.len() >= MAX_HANDLES {
            return Err(TOO_LARGE);
        }
        self.handles.push(class);
        Ok(self.handles.len() - 1)
    }

    fn take(&mut self, length: usize) -> Result<(), ReadError> {
        self.cursor.take(length).map(drop)
    }
}

const MALFORMED: ReadError = ReadError::Malformed("a secret key's serialized object is damaged");
const TOO_LARGE: ReadError = ReadError::TooLarge { what: "the parts of a serialized secret key", limit: MAX_HANDLES };
const TOO_LONG: ReadError = ReadError::TooLarge { what: "the parts of a serialized secret key", limit: MAX_CONTENTS };

fn deeper(depth: usize) -> Result<usize, ReadError> {
    depth.checked_sub(1).ok_or(TOO_LARGE)
}

/// Bytes of a primitive; `None` for objects and arrays.
fn width(kind: u8) -> Option<usize> {
    match kind {
        b'B' | b'Z' => Some(1),
        b'C' | b'S' => Some(2),
        b'I' | b'F' => Some(4),
        b'J' | b'D' => Some(8),
        _ => None,
    }
}
