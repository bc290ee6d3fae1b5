//! Text and bytes: a header and a payload, which stands outside frames if it is
//! large.

use super::Encoder;
use crate::copy::Source;
use crate::error::{Error, Result};
use crate::limits::FRAME_TARGET_BYTES;
use crate::opcode::Op;
use crate::out::{Out, Storage};

impl<S: Storage> Encoder<S> {
    /// A str as UTF-8, surrogates passed (protocol 1 and up).
    #[inline(always)]
    pub fn str(&mut self, utf8: &[u8]) -> Result<()> {
        let n = utf8.len();
        if n < 256 && self.proto >= 4 {
            self.out.put_pair([Op::ShortBinunicode as u8, n as u8], utf8);
            Ok(())
        } else {
            self.str_long(utf8)
        }
    }

    #[inline(never)]
    fn str_long(&mut self, utf8: &[u8]) -> Result<()> {
        let too_large =
            "serializing a string larger than 4 GiB requires pickle protocol 4 or higher";
        let (head, used) =
            self.long_head(utf8.len(), Op::Binunicode, Op::Binunicode8, too_large)?;
        self.payload(&head[..used], utf8);
        Ok(())
    }

    /// A str as raw-unicode-escape text (protocol 0); the caller has escaped
    /// backslash, newline, carriage return, NUL and Ctrl-Z.
    pub fn str_escaped(&mut self, text: &[u8]) {
        self.line(Op::Unicode, text);
    }

    /// Bytes (protocol 3 and up).
    #[inline(always)]
    pub fn bytes(&mut self, data: &[u8]) -> Result<()> {
        let n = data.len();
        debug_assert!(self.proto >= 3);
        if n < 256 {
            self.out.put_pair([Op::ShortBinbytes as u8, n as u8], data);
            return Ok(());
        }
        let (head, used) = self.bytes_head(n)?;
        self.payload(&head[..used], data);
        Ok(())
    }

    /// The header of a bytes payload that the caller writes to the file by
    /// itself. The frame is closed before it; call [`Encoder::begin_frame`]
    /// after the payload.
    pub fn bytes_detached(&mut self, n: usize) -> Result<()> {
        let (head, used) = self.bytes_head(n)?;
        self.end_frame();
        self.out.put_slice(&head[..used]);
        Ok(())
    }

    fn bytes_head(&self, n: usize) -> Result<([u8; 9], usize)> {
        let too_large =
            "serializing a bytes object larger than 4 GiB requires pickle protocol 4 or higher";
        self.long_head(n, Op::Binbytes, Op::Binbytes8, too_large)
    }

    /// The header of a payload by one of two opcodes, whose lengths are of four and
    /// of eight bytes, and how long it is; an error where the second would be wanted
    /// and the protocol has none.
    fn long_head(
        &self,
        n: usize,
        short: Op,
        long: Op,
        too_large: &'static str,
    ) -> Result<([u8; 9], usize)> {
        let mut head = [0u8; 9];
        if let Ok(n) = u32::try_from(n) {
            head[0] = short as u8;
            head[1..5].copy_from_slice(&n.to_le_bytes());
            Ok((head, 5))
        } else if self.proto >= 4 {
            head[0] = long as u8;
            head[1..9].copy_from_slice(&(n as u64).to_le_bytes());
            Ok((head, 9))
        } else {
            Err(Error::ProtocolLimit(too_large))
        }
    }

    /// A bytearray (protocol 5).
    pub fn bytearray(&mut self, data: &[u8]) {
        debug_assert!(self.proto >= 5);
        self.payload(&Self::bytearray_head(data.len()), data);
    }

    /// The header of a bytearray that the caller writes to the file by itself,
    /// as [`Encoder::bytes_detached`].
    pub fn bytearray_detached(&mut self, n: usize) {
        self.end_frame();
        self.out.put_slice(&Self::bytearray_head(n));
    }

    fn bytearray_head(n: usize) -> [u8; 9] {
        let mut head = [0u8; 9];
        head[0] = Op::Bytearray8 as u8;
        head[1..9].copy_from_slice(&(n as u64).to_le_bytes());
        head
    }

    /// A bytearray of the elements of strided memory (protocol 5).
    pub fn bytearray_of(&mut self, source: &Source<'_>) {
        self.payload_of(&Self::bytearray_head(source.len_bytes()), source);
    }

    /// Bytes of the elements of strided memory (protocol 4 and up).
    pub fn bytes_of(&mut self, source: &Source<'_>) -> Result<()> {
        let (head, used) = self.bytes_head(source.len_bytes())?;
        self.payload_of(&head[..used], source);
        Ok(())
    }

    /// A bytearray (protocol 5) of `n` bytes that come later, by
    /// [`Encoder::reserved`]: where they are in the output.
    pub fn bytearray_reserved(&mut self, n: usize) -> usize {
        debug_assert!(self.proto >= 5);
        // A header and its bytes are longer than a frame that loses its own
        // header, so what is before them stays where it is.
        self.payload_by(&Self::bytearray_head(n), n, |out| {
            let at = out.len();
            out.put_zeros(n);
            at
        })
    }

    /// The `n` bytes reserved at an offset, to be written: until the output goes
    /// elsewhere. `None` if memory ran out meanwhile.
    pub fn reserved(&mut self, at: usize, n: usize) -> Option<&mut [u8]> {
        self.out.written_mut(at, n)
    }

    fn payload_of(&mut self, head: &[u8], source: &Source<'_>) {
        self.payload_by(head, source.len_bytes(), |out| out.put_source(source));
    }

    fn payload(&mut self, head: &[u8], data: &[u8]) {
        self.payload_by(head, data.len(), |out| out.put_slice(data));
    }

    /// A header and a payload of `n` bytes, outside frames if it is large.
    #[inline]
    fn payload_by<T>(&mut self, head: &[u8], n: usize, put: impl FnOnce(&mut Out<S>) -> T) -> T {
        let apart = n >= FRAME_TARGET_BYTES && self.proto >= 4;
        if apart {
            self.end_frame();
            // Room for the next frame's header and STOP too, so that one large
            // payload is one growth.
            self.out.reserve(head.len() + n + 64);
        }
        self.out.put_slice(head);
        let given = put(&mut self.out);
        if apart {
            self.begin_frame();
        }
        given
    }
}
