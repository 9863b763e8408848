//! A reader of big-endian bytes that never reads past its end nor allocates by a length it was told.

use crate::ReadError;

const CUT_SHORT: ReadError = ReadError::Malformed("it ends in the middle of a field");

pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The bytes from `start`, a former position, to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.position).unwrap_or_default()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ReadError> {
        let taken = self.rest().get(..length).ok_or(CUT_SHORT)?;
        self.position += length;
        Ok(taken)
    }

    /// Takes as many bytes as a `u32` before them says.
    pub(crate) fn take_u32_long(&mut self) -> Result<&'a [u8], ReadError> {
        let length = usize::try_from(self.u32()?).map_err(|_| CUT_SHORT)?;
        self.take(length)
    }

    /// Takes as many bytes as a `u16` before them says.
    pub(crate) fn take_u16_long(&mut self) -> Result<&'a [u8], ReadError> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        self.take(N)?.try_into().map_err(|_| CUT_SHORT)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ReadError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ReadError> {
        Ok(u64::from_be_bytes(self.array()?))
    }
}
