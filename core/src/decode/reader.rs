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
    /// A frame of `n` bytes begins; with `strict` nothing may reach over its end.
    fn frame(&mut self, n: u64, strict: bool) -> Step<(), E>;
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

    /// The data of short bytes that are next and are the only argument of a
    /// call; nothing if that is not known without reading.
    #[inline(always)]
    fn call_ahead(&self) -> Option<&[u8]> {
        None
    }

    /// What can be read without asking anyone, as far as the reader can tell.
    #[inline(always)]
    fn ahead(&self) -> &[u8] {
        &[]
    }

    /// Goes over `n` bytes of [`Read::ahead`].
    #[inline(always)]
    fn skip(&mut self, _n: usize) {}

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

    /// As [`Read::peek`], as it stands in the stream.
    #[inline(always)]
    fn peek_byte(&self) -> Option<u8> {
        self.peek().map(|op| op as u8)
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
    /// The stream, as far as it can be read: up to the end of a strict frame.
    bytes: &'a [u8],
    at: usize,
    whole: &'a [u8],
}

impl<'a> SliceReader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        SliceReader { bytes, at: 0, whole: bytes }
    }

    #[inline(always)]
    fn advance(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..n) else { return self.advance_beyond(n) };
        self.at += n;
        Ok(taken)
    }

    #[cold]
    fn advance_beyond(&mut self, n: usize) -> Result<&'a [u8], Error> {
        self.leave_frame()?;
        let taken = self.bytes[self.at..].get(..n).ok_or(Error::Truncated)?;
        self.at += n;
        Ok(taken)
    }

    /// Goes on where a strict frame was read to its end.
    fn leave_frame(&mut self) -> Result<(), Error> {
        if self.bytes.len() == self.whole.len() {
            return Err(Error::Truncated);
        }
        if self.at < self.bytes.len() {
            return Err(Error::FrameBounds);
        }
        self.bytes = self.whole;
        Ok(())
    }

    fn until_newline(&mut self) -> Result<&'a [u8], Error> {
        loop {
            let rest = &self.bytes[self.at..];
            match rest.iter().position(|b| *b == b'\n') {
                Some(n) => return Ok(&self.advance(n + 1)?[..n]),
                None => self.leave_frame()?,
            }
        }
    }
}

impl<E> Read<E> for SliceReader<'_> {
    #[inline(always)]
    fn byte(&mut self) -> Step<u8, E> {
        if let Some(byte) = self.bytes.get(self.at) {
            self.at += 1;
            return Ok(*byte);
        }
        Ok(self.advance_beyond(1)?[0])
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

    fn frame(&mut self, n: u64, strict: bool) -> Step<(), E> {
        if self.at < self.bytes.len() && self.bytes.len() < self.whole.len() {
            return Err(Error::NestedFrame.into());
        }
        // Where it is not strict a frame is a promise of bytes, not a fence, as
        // in `_pickle.c` before 3.14.
        match usize::try_from(n) {
            Ok(n) if n <= self.whole.len() - self.at => {
                self.bytes = if strict { &self.whole[..self.at + n] } else { self.whole };
                Ok(())
            }
            _ => Err(Error::Truncated.into()),
        }
    }

    #[inline(always)]
    fn position(&self) -> u64 {
        self.at as u64
    }

    #[inline(always)]
    fn peek_byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn ahead(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    fn skip(&mut self, n: usize) {
        self.at = (self.at + n).min(self.bytes.len());
    }

    #[inline(always)]
    fn calls_after(&self, n: usize) -> bool {
        let at = self.at + n;
        self.bytes.get(at..at + CALL_OPCODES.len()) == Some(&CALL_OPCODES)
    }

    #[inline(always)]
    fn call_ahead(&self) -> Option<&[u8]> {
        let [op, n, rest @ ..] = self.bytes.get(self.at..)? else { return None };
        if *op != Op::ShortBinbytes as u8 {
            return None;
        }
        let (data, rest) = rest.split_at_checked((*n).into())?;
        rest.starts_with(&CALL_OPCODES).then_some(data)
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

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    type Outcome<T> = Result<T, Error>;

    fn fault<T>(step: Step<T, Infallible>) -> Outcome<T> {
        step.map_err(|cause| match cause {
            Cause::Format(error) => error,
            Cause::Build(never) => match never {},
        })
    }

    /// What a reader of `abcdef\n` gives after a byte and a frame of three.
    fn framed(strict: bool) -> SliceReader<'static> {
        let mut reader = SliceReader::new(b"abcdef\n");
        assert_eq!(fault(reader.byte()), Ok(b'a'));
        assert_eq!(fault(Read::<Infallible>::frame(&mut reader, 3, strict)), Ok(()));
        reader
    }

    #[test]
    fn nothing_reaches_over_the_end_of_a_strict_frame() {
        for strict in [false, true] {
            let expected = |plain| if strict { Err(Error::FrameBounds) } else { Ok(plain) };
            assert_eq!(fault(framed(strict).take(4)), expected(b"bcde".as_slice()));
            let mut reader = framed(strict);
            assert_eq!(fault(Read::<Infallible>::line(&mut reader)), expected(b"bcdef".as_slice()));
        }
    }

    #[test]
    fn a_frame_read_to_its_end_is_left() {
        let mut reader = framed(true);
        assert_eq!(fault(reader.take(3)), Ok(b"bcd".as_slice()));
        assert_eq!(fault(reader.take(2)), Ok(b"ef".as_slice()));
        let mut reader = framed(true);
        assert_eq!(fault(reader.take(3)), Ok(b"bcd".as_slice()));
        assert_eq!(fault(reader.byte()), Ok(b'e'));
        assert_eq!(fault(Read::<Infallible>::line(&mut reader)), Ok(b"f".as_slice()));
        assert_eq!(fault(reader.byte()), Err(Error::Truncated));
    }

    #[test]
    fn a_frame_does_not_begin_in_a_strict_one() {
        let nested = |strict| fault(Read::<Infallible>::frame(&mut framed(strict), 1, strict));
        assert_eq!(nested(false), Ok(()));
        assert_eq!(nested(true), Err(Error::NestedFrame));
        assert_eq!(
            fault(Read::<Infallible>::frame(&mut framed(true), 9, true)),
            Err(Error::NestedFrame)
        );
    }
}
