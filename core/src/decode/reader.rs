//! Where opcodes are read from.

use super::{Cause, Step};
use crate::error::Error;
use crate::opcode::Op;

/// A source of bytes. `E` is the error of a source that can fail by itself,
/// such as a file.
pub trait Read<E> {
    /// The next byte.
    fn byte(&mut self) -> Step<u8, E>;
    /// The next `n` bytes, borrowed until the next call.
    fn take(&mut self, n: usize) -> Step<&[u8], E>;
    /// The bytes up to a newline, which is read too and left out.
    fn line(&mut self) -> Step<&[u8], E>;
    /// Two lines at once.
    fn two_lines(&mut self) -> Step<(&[u8], &[u8]), E>;
    /// A frame of `n` bytes begins.
    fn frame(&mut self, n: u64) -> Step<(), E>;
    /// Bytes read so far.
    fn position(&self) -> u64;
    /// The opcode `n` bytes ahead, if that is known without reading.
    fn peek_after(&self, n: usize) -> Option<Op>;

    /// Whether `n` bytes ahead stand the opcodes of a call with one argument;
    /// false if that is not known without reading.
    #[inline(always)]
    fn calls_after(&self, _n: usize) -> bool {
        false
    }

    /// Whether large payloads had better be read straight to where they stay.
    fn reads_into(&self) -> bool {
        false
    }

    /// Fills `to` with the next bytes.
    fn read_into(&mut self, to: &mut [u8]) -> Step<(), E> {
        to.copy_from_slice(self.take(to.len())?);
        Ok(())
    }

    /// The next opcode, if that is known without reading.
    #[inline(always)]
    fn peek(&self) -> Option<Op> {
        self.peek_after(0)
    }

    /// A number from the next N bytes. `make` gets them by reference: an array
    /// handed out in a `Result` would be built byte by byte, and waiting for
    /// those stores was two thirds of the time of a list of floats.
    #[inline(always)]
    fn number<const N: usize, T>(&mut self, make: impl FnOnce(&[u8; N]) -> T) -> Step<T, E> {
        match self.take(N)?.first_chunk::<N>() {
            Some(bytes) => Ok(make(bytes)),
            None => Err(Cause::Format(Error::Truncated)),
        }
    }
}

/// A tuple of the argument just pushed, and the call: as our encoder writes it,
/// with no memo entry for either.
pub const CALL_OPCODES: [u8; 2] = [Op::Tuple1 as u8, Op::Reduce as u8];

/// Reads a stream that is in memory.
#[derive(Debug)]
pub struct SliceReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> SliceReader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        SliceReader { bytes, at: 0 }
    }

    #[inline(always)]
    fn advance(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..n) else { return Err(Error::Truncated) };
        self.at += n;
        Ok(taken)
    }

    fn until_newline(&mut self) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|b| *b == b'\n').ok_or(Error::Truncated)?;
        Ok(&self.advance(n + 1)?[..n])
    }
}

impl<E> Read<E> for SliceReader<'_> {
    #[inline(always)]
    fn byte(&mut self) -> Step<u8, E> {
        let Some(byte) = self.bytes.get(self.at) else { return Err(Error::Truncated.into()) };
        self.at += 1;
        Ok(*byte)
    }

    #[inline(always)]
    fn take(&mut self, n: usize) -> Step<&[u8], E> {
        Ok(self.advance(n)?)
    }

    fn line(&mut self) -> Step<&[u8], E> {
        Ok(self.until_newline()?)
    }

    fn two_lines(&mut self) -> Step<(&[u8], &[u8]), E> {
        Ok((self.until_newline()?, self.until_newline()?))
    }

    fn frame(&mut self, n: u64) -> Step<(), E> {
        // As in `_pickle.c` a frame is a promise of bytes, not a fence.
        match usize::try_from(n) {
            Ok(n) if n <= self.bytes.len() - self.at => Ok(()),
            _ => Err(Error::Truncated.into()),
        }
    }

    #[inline(always)]
    fn position(&self) -> u64 {
        self.at as u64
    }

    #[inline(always)]
    fn calls_after(&self, n: usize) -> bool {
        let at = self.at + n;
        self.bytes.get(at..at + CALL_OPCODES.len()) == Some(&CALL_OPCODES)
    }

    #[inline(always)]
    fn peek_after(&self, n: usize) -> Option<Op> {
        self.bytes.get(self.at.checked_add(n)?).and_then(|byte| Op::from_byte(*byte))
    }
}

/// A little-endian four-byte number.
#[inline(always)]
pub fn u32_le<E>(reader: &mut impl Read<E>) -> Step<u32, E> {
    reader.number(|bytes| u32::from_le_bytes(*bytes))
}

/// A little-endian eight-byte number.
#[inline(always)]
pub fn u64_le<E>(reader: &mut impl Read<E>) -> Step<u64, E> {
    reader.number(|bytes| u64::from_le_bytes(*bytes))
}

impl SliceReader<'_> {
    /// The next byte, for callers whose error is [`core::convert::Infallible`].
    pub fn byte(&mut self) -> Step<u8, core::convert::Infallible> {
        Read::byte(self)
    }

    /// The next `n` bytes, likewise.
    pub fn take(&mut self, n: usize) -> Step<&[u8], core::convert::Infallible> {
        Read::take(self, n)
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.at as u64
    }
}
