//! From values to opcodes: what the walker calls for each thing it meets.
//!
//! The encoder knows protocols and frames; it knows objects only as memo
//! indices. Layout rules are CPython's (`Modules/_pickle.c`): frames of
//! [`FRAME_TARGET_BYTES`] closed at opcode boundaries, payloads of at least
//! that size outside frames, no header on frames under four bytes.

mod payload;
mod short;

pub use short::Run;

use crate::error::{Error, Result};
use crate::limits::{FRAME_HEADER_BYTES, FRAME_MIN_BYTES, FRAME_TARGET_BYTES, HIGHEST_PROTOCOL};
use crate::opcode::Op;
use crate::out::{HeapStorage, Out, Storage};
use crate::parts;
use short::int_form;

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder<S: Storage> {
    pub(crate) out: Out<S>,
    proto: u8,
    /// Where the open frame's header is reserved, if a frame is open.
    frame_start: Option<usize>,
    /// Output length at which [`Encoder::at_boundary`] asks for service.
    next_boundary: usize,
    pub(crate) next_index: u32,
    /// Where the output has GETs of a part's own entries.
    pub(crate) own_gets: Vec<usize>,
}

impl<S: Storage> Encoder<S> {
    /// An encoder for `proto` (0 to 5), its output in `storage`.
    pub fn new(storage: S, proto: u8) -> Self {
        debug_assert!(proto <= HIGHEST_PROTOCOL);
        Encoder {
            out: Out::new(storage),
            proto,
            frame_start: None,
            next_boundary: FRAME_TARGET_BYTES,
            next_index: 0,
            own_gets: Vec::new(),
        }
    }

    /// The protocol of the stream.
    #[inline(always)]
    pub fn proto(&self) -> u8 {
        self.proto
    }

    /// Whether opcodes have binary arguments (protocol 1 and up).
    #[inline(always)]
    pub fn binary(&self) -> bool {
        self.proto >= 1
    }

    /// The output so far.
    pub fn out(&self) -> &Out<S> {
        &self.out
    }

    /// Starts a stream: PROTO and the first frame.
    pub fn begin(&mut self) {
        if self.proto >= 2 {
            self.out.put([Op::Proto as u8, self.proto]);
        }
        self.begin_frame();
    }

    /// Ends a stream: STOP, and the last frame closed.
    pub fn finish(&mut self) -> Result<()> {
        self.op(Op::Stop);
        self.end_frame();
        self.check()
    }

    /// An error if memory ran out, else nothing.
    pub fn check(&self) -> Result<()> {
        if self.out.failed() { Err(Error::OutOfMemory) } else { Ok(()) }
    }

    /// Begins the stream again: the output is emptied, the next index given.
    pub fn restart(&mut self, next_index: u32) {
        self.out.truncate(0);
        self.frame_start = None;
        self.next_boundary = FRAME_TARGET_BYTES;
        self.next_index = next_index;
    }

    /// Takes the output out of the buffer, as after writing it to a file.
    /// Only between frames: after [`Encoder::close_frame`].
    pub fn drain(&mut self) {
        debug_assert!(self.frame_start.is_none());
        self.out.truncate(0);
        self.next_boundary = FRAME_TARGET_BYTES;
    }

    /// Gives the storage and the length of the stream in it to `take`; the
    /// output is empty after it.
    pub fn take_output<T>(&mut self, take: impl FnOnce(&mut S, usize) -> T) -> T {
        self.frame_start = None;
        self.out.take(take)
    }

    /// Sets the protocol of the next stream: before [`Encoder::restart`].
    pub fn set_proto(&mut self, proto: u8) {
        debug_assert!(proto <= HIGHEST_PROTOCOL);
        self.proto = proto;
    }

    // ---- frames ---------------------------------------------------------

    /// Whether a frame's worth was written since the last boundary: call
    /// [`Encoder::service`] then. Also true after memory ran out.
    #[inline(always)]
    pub fn at_boundary(&self) -> bool {
        self.out.len() >= self.next_boundary
    }

    /// At an opcode boundary: closes a full frame and begins the next.
    pub fn service(&mut self) -> Result<()> {
        self.check()?;
        self.end_frame();
        self.begin_frame();
        Ok(())
    }

    /// Closes the open frame and begins none.
    pub fn close_frame(&mut self) {
        self.end_frame();
    }

    /// Begins a frame where frames are written (protocol 4 and up).
    pub fn begin_frame(&mut self) {
        debug_assert!(self.frame_start.is_none());
        if self.proto >= 4 {
            self.frame_start = Some(self.out.len());
            self.out.put([0u8; FRAME_HEADER_BYTES]);
        }
        self.next_boundary = self.out.len() + FRAME_TARGET_BYTES;
        if self.out.failed() {
            self.next_boundary = 0;
        }
    }

    pub(crate) fn end_frame(&mut self) {
        let Some(start) = self.frame_start.take() else { return };
        if self.out.failed() {
            return;
        }
        let len = self.out.len() - start - FRAME_HEADER_BYTES;
        if len < FRAME_MIN_BYTES {
            self.out.remove(start, FRAME_HEADER_BYTES);
        } else {
            let mut header = [0u8; FRAME_HEADER_BYTES];
            header[0] = Op::Frame as u8;
            header[1..].copy_from_slice(&(len as u64).to_le_bytes());
            self.out.patch(start, &header);
        }
    }

    // ---- memo -----------------------------------------------------------

    /// The index that the next memoized object gets.
    #[inline(always)]
    pub fn next_index(&self) -> u32 {
        self.next_index
    }

    /// Puts the top of the stack into the memo; returns its index.
    #[inline(always)]
    pub fn memoize(&mut self) -> u32 {
        let index = self.next_index;
        self.next_index = index + 1;
        if self.proto >= 4 {
            self.out.put([Op::Memoize as u8]);
        } else {
            self.put_index(index);
        }
        index
    }

    #[cold]
    fn put_index(&mut self, index: u32) {
        if self.proto == 0 {
            self.line(Op::Put, index.to_string().as_bytes());
        } else if let Ok(short) = u8::try_from(index) {
            self.out.put([Op::Binput as u8, short]);
        } else {
            self.op_u32(Op::LongBinput, index);
        }
    }

    /// Pushes a memo entry.
    #[inline(always)]
    pub fn get(&mut self, index: u32) {
        if index < 256 && self.proto >= 1 {
            self.out.put([Op::Binget as u8, index as u8]);
        } else if self.proto >= 1 {
            self.op_u32(Op::LongBinget, index);
            if index >= parts::OWN_INDICES {
                self.own_gets.push(self.out.len().saturating_sub(4));
            }
        } else {
            self.line(Op::Get, index.to_string().as_bytes());
        }
    }

    // ---- plain opcodes --------------------------------------------------

    /// Writes an opcode without argument.
    #[inline(always)]
    pub fn op(&mut self, op: Op) {
        self.out.put([op as u8]);
    }

    /// Writes an opcode with a four-byte unsigned argument.
    #[inline(always)]
    pub fn op_u32(&mut self, op: Op, value: u32) {
        self.out.put_tagged(op as u8, value.to_le_bytes());
    }

    /// Writes an opcode, a text and a newline.
    pub fn line(&mut self, op: Op, text: &[u8]) {
        self.op(op);
        self.out.put_slice(text);
        self.out.put([b'\n']);
    }

    /// Writes raw bytes: the arguments of text opcodes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// An object by its module and name, whose parts have dots between them
    /// (protocol 4 and up).
    pub fn stack_global(&mut self, module: &[u8], name: &[u8]) -> Result<()> {
        debug_assert!(self.proto >= 4);
        self.str(module)?;
        self.str(name)?;
        self.op(Op::StackGlobal);
        Ok(())
    }

    // ---- scalars --------------------------------------------------------

    /// None.
    #[inline(always)]
    pub fn none(&mut self) {
        self.op(Op::None);
    }

    /// True or False.
    #[inline(always)]
    pub fn bool(&mut self, value: bool) {
        if self.proto >= 2 {
            self.op(if value { Op::Newtrue } else { Op::Newfalse });
        } else {
            self.line(Op::Int, if value { b"01" } else { b"00" });
        }
    }

    /// An int that fits 64 bits.
    #[inline(always)]
    pub fn int(&mut self, value: i64) {
        if self.proto < 2 {
            return self.int_legacy(value);
        }
        self.out.put_number(int_form(value), value.to_le_bytes());
    }

    #[cold]
    fn int_legacy(&mut self, value: i64) {
        match i32::try_from(value) {
            Ok(_) if self.proto == 0 => self.int_text(value),
            Ok(v) => match u16::try_from(v) {
                Ok(v) if v < 256 => self.out.put([Op::Binint1 as u8, v as u8]),
                Ok(v) => self.out.put_tagged(Op::Binint2 as u8, v.to_le_bytes()),
                Err(_) => self.op_u32(Op::Binint, v as u32),
            },
            Err(_) => self.int_text(value),
        }
    }

    #[cold]
    fn int_text(&mut self, value: i64) {
        if i32::try_from(value).is_ok() {
            self.line(Op::Int, value.to_string().as_bytes());
        } else {
            self.line(Op::Long, format!("{value}L").as_bytes());
        }
    }

    /// An int beyond 64 bits as minimal little-endian two's complement
    /// (protocol 2 and up).
    pub fn int_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        debug_assert!(self.proto >= 2);
        if let Ok(n) = u8::try_from(bytes.len()) {
            self.out.put_pair([Op::Long1 as u8, n], bytes);
        } else if let Ok(n) = i32::try_from(bytes.len()) {
            self.op_u32(Op::Long4, n as u32);
            self.out.put_slice(bytes);
        } else {
            return Err(Error::ProtocolLimit("int too large to pickle"));
        }
        Ok(())
    }

    /// An int beyond 64 bits as decimal text (protocols 0 and 1).
    pub fn int_decimal(&mut self, digits: &[u8]) {
        self.op(Op::Long);
        self.out.put_slice(digits);
        self.out.put(*b"L\n");
    }

    /// A float with a binary argument (protocol 1 and up).
    #[inline(always)]
    pub fn float(&mut self, value: f64) {
        self.out.put_tagged(Op::Binfloat as u8, value.to_bits().to_be_bytes());
    }

    /// A float as the text of its `repr` (protocol 0).
    pub fn float_text(&mut self, repr: &[u8]) {
        self.line(Op::Float, repr);
    }

    // ---- globals and ids ------------------------------------------------

    /// A global by two text lines (protocols 0 to 3).
    pub fn global(&mut self, module: &[u8], name: &[u8]) {
        self.line(Op::Global, module);
        self.out.put_slice(name);
        self.out.put([b'\n']);
    }

    /// An object of the `copyreg` extension registry (protocol 2 and up).
    pub fn extension(&mut self, code: u32) {
        if let Ok(short) = u8::try_from(code) {
            self.out.put([Op::Ext1 as u8, short]);
        } else if let Ok(short) = u16::try_from(code) {
            self.out.put_tagged(Op::Ext2 as u8, short.to_le_bytes());
        } else {
            self.op_u32(Op::Ext4, code);
        }
    }
}

impl Encoder<HeapStorage> {
    /// The stream as a vector.
    pub fn into_vec(self) -> Vec<u8> {
        self.out.into_vec()
    }
}

#[cfg(test)]
mod tests;
