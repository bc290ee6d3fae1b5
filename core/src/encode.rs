//! From values to opcodes: what the walker calls for each thing it meets.
//!
//! The encoder knows protocols and frames; it knows objects only as memo
//! indices. Layout rules are CPython's (`Modules/_pickle.c`): frames of
//! [`FRAME_TARGET_BYTES`] closed at opcode boundaries, payloads of at least
//! that size outside frames, no header on frames under four bytes.

use crate::copy::Source;
use crate::error::{Error, Result};
use crate::limits::{FRAME_HEADER_BYTES, FRAME_MIN_BYTES, FRAME_TARGET_BYTES, HIGHEST_PROTOCOL};
use crate::opcode::Op;
use crate::out::{self, Form, HeapStorage, Out, Storage};
use crate::parts;

/// Room asked for a run of short values.
const RUN_BYTES: usize = 4096;

/// The form of an int from protocol 2 on, by the place of its highest bit
/// besides the sign; 64 added for a negative one.
static INT_FORMS: [Form; 128] = {
    let mut forms = [Form::new(Op::Binint as u8, 4, false); 128];
    let mut i = 0;
    while i < forms.len() {
        // 63 bits at most: the last place of each half is never asked for.
        let (bits, negative) = (i as u8 % 64 % 63 + 1, i >= 64);
        if bits <= 8 && !negative {
            forms[i] = Form::new(Op::Binint1 as u8, 1, false);
        } else if bits <= 16 && !negative {
            forms[i] = Form::new(Op::Binint2 as u8, 2, false);
        } else if bits > 31 {
            // The fewest bytes that keep the sign.
            forms[i] = Form::new(Op::Long1 as u8, bits / 8 + 1, true);
        }
        i += 1;
    }
    forms
};

/// The form of an int. Looked up, as widths come in no order and a branch on
/// them would be guessed wrong.
#[inline(always)]
fn int_form(value: i64) -> Form {
    let sign = value >> 63;
    let highest = 63 - ((value ^ sign) | 1).leading_zeros();
    INT_FORMS[(highest | (sign as u32 & 64)) as usize & 127]
}

/// Short values, one after another: what [`Encoder::run`] gives. Each is an
/// opcode and eight bytes at the most, written as by the encoder's own methods.
#[derive(Debug)]
pub struct Run<'a, S: Storage>(out::Run<'a, S>);

impl<S: Storage> Run<'_, S> {
    /// Whether there is room for one more value: must be asked before each.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// None.
    #[inline(always)]
    pub fn none(&mut self) {
        const FORM: Form = Form::new(Op::None as u8, 0, false);
        self.0.put(FORM, [0; 8]);
    }

    /// True or False.
    #[inline(always)]
    pub fn bool(&mut self, value: bool) {
        const TRUE: Form = Form::new(Op::Newtrue as u8, 0, false);
        const FALSE: Form = Form::new(Op::Newfalse as u8, 0, false);
        self.0.put(if value { TRUE } else { FALSE }, [0; 8]);
    }

    /// An int.
    #[inline(always)]
    pub fn int(&mut self, value: i64) {
        self.0.put(int_form(value), value.to_le_bytes());
    }

    /// An int from 0 to 255.
    #[inline(always)]
    pub fn byte(&mut self, value: u8) {
        const FORM: Form = Form::new(Op::Binint1 as u8, 1, false);
        self.0.put(FORM, u64::from(value).to_le_bytes());
    }

    /// A float.
    #[inline(always)]
    pub fn float(&mut self, value: f64) {
        const FORM: Form = Form::new(Op::Binfloat as u8, 8, false);
        self.0.put(FORM, value.to_bits().to_be_bytes());
    }

    /// A memo entry; false, with nothing written, if it is a part's own, whose
    /// place is to be noted.
    #[inline(always)]
    pub fn get(&mut self, index: u32) -> bool {
        const SHORT: Form = Form::new(Op::Binget as u8, 1, false);
        const LONG: Form = Form::new(Op::LongBinget as u8, 4, false);
        if index >= parts::OWN_INDICES {
            return false;
        }
        let body = u64::from(index).to_le_bytes();
        self.0.put(if index < 256 { SHORT } else { LONG }, body);
        true
    }
}

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

    /// Room for short values, up to the next boundary; none before protocol 2.
    /// `most` is how many there may be.
    #[inline(always)]
    pub fn run(&mut self, most: usize) -> Run<'_, S> {
        let room = self.next_boundary.saturating_sub(self.out.len()).min(RUN_BYTES);
        let room = if self.proto < 2 { 0 } else { room.min(most.saturating_mul(Form::MOST)) };
        Run(self.out.run(room))
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

    // ---- text and bytes -------------------------------------------------

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
        let n = utf8.len();
        let mut head = [0u8; 9];
        let used = if let Ok(n) = u32::try_from(n) {
            head[0] = Op::Binunicode as u8;
            head[1..5].copy_from_slice(&n.to_le_bytes());
            5
        } else if self.proto >= 4 {
            head[0] = Op::Binunicode8 as u8;
            head[1..9].copy_from_slice(&(n as u64).to_le_bytes());
            9
        } else {
            return Err(Error::ProtocolLimit(
                "serializing a string larger than 4 GiB requires pickle protocol 4 or higher",
            ));
        };
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
        let mut head = [0u8; 9];
        if let Ok(n) = u32::try_from(n) {
            head[0] = Op::Binbytes as u8;
            head[1..5].copy_from_slice(&n.to_le_bytes());
            Ok((head, 5))
        } else if self.proto >= 4 {
            head[0] = Op::Binbytes8 as u8;
            head[1..9].copy_from_slice(&(n as u64).to_le_bytes());
            Ok((head, 9))
        } else {
            Err(Error::ProtocolLimit(
                "serializing a bytes object larger than 4 GiB requires pickle protocol 4 or higher",
            ))
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
        self.payload_reserved(&Self::bytearray_head(n), n)
    }

    /// As [`Encoder::bytearray_reserved`], for bytes (protocol 4 and up).
    pub fn bytes_reserved(&mut self, n: usize) -> Result<usize> {
        let (head, used) = self.bytes_head(n)?;
        Ok(self.payload_reserved(&head[..used], n))
    }

    /// The `n` bytes reserved at an offset, to be written: until the output goes
    /// elsewhere. `None` if memory ran out meanwhile.
    pub fn reserved(&mut self, at: usize, n: usize) -> Option<&mut [u8]> {
        self.out.written_mut(at, n)
    }

    fn payload_reserved(&mut self, head: &[u8], n: usize) -> usize {
        if n >= FRAME_TARGET_BYTES {
            self.end_frame();
            self.out.reserve(head.len() + n + 64);
        }
        // A header and its bytes are longer than a frame that loses its own
        // header, so what is before them stays where it is.
        self.out.put_slice(head);
        let at = self.out.len();
        self.out.put_zeros(n);
        if n >= FRAME_TARGET_BYTES {
            self.begin_frame();
        }
        at
    }

    fn payload_of(&mut self, head: &[u8], source: &Source<'_>) {
        let n = source.len_bytes();
        if n >= FRAME_TARGET_BYTES {
            self.end_frame();
            self.out.reserve(head.len() + n + 64);
        }
        self.out.put_slice(head);
        self.out.put_source(source);
        if n >= FRAME_TARGET_BYTES {
            self.begin_frame();
        }
    }

    /// A header and a payload, outside frames if the payload is large.
    fn payload(&mut self, head: &[u8], data: &[u8]) {
        if data.len() < FRAME_TARGET_BYTES || self.proto < 4 {
            self.out.put_slice(head);
            self.out.put_slice(data);
            return;
        }
        self.end_frame();
        // Room for the next frame's header and STOP too, so that one large
        // payload is one growth.
        self.out.reserve(head.len() + data.len() + 64);
        self.out.put_slice(head);
        self.out.put_slice(data);
        self.begin_frame();
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
mod tests {
    use super::*;

    fn stream(proto: u8, write: impl FnOnce(&mut Encoder<HeapStorage>)) -> Vec<u8> {
        let mut enc = Encoder::new(HeapStorage::default(), proto);
        enc.begin();
        write(&mut enc);
        enc.finish().expect("memory is there");
        enc.into_vec()
    }

    #[test]
    fn ints_take_the_shortest_form() {
        let one = |v| stream(3, |e| e.int(v));
        assert_eq!(one(7), b"\x80\x03K\x07.");
        assert_eq!(one(256), b"\x80\x03M\x00\x01.");
        assert_eq!(one(-1), b"\x80\x03J\xff\xff\xff\xff.");
        assert_eq!(one(1 << 31), b"\x80\x03\x8a\x05\x00\x00\x00\x80\x00.");
        assert_eq!(one(-(1 << 31) - 1), b"\x80\x03\x8a\x05\xff\xff\xff\x7f\xff.");
        assert_eq!(one(i64::MIN), b"\x80\x03\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.");
        assert_eq!(stream(0, |e| e.int(5)), b"I5\n.");
        assert_eq!(stream(0, |e| e.int(1 << 40)), b"L1099511627776L\n.");
    }

    #[test]
    fn a_run_of_short_values_is_written_as_one_by_one() {
        #[derive(Clone, Copy)]
        enum Short {
            None,
            Bool(bool),
            Int(i64),
            Float(f64),
            Get(u32),
        }
        let near = |bits: u32| (-1..2).map(move |by| (1i64 << bits).wrapping_add(by));
        let ints = (0..64).flat_map(near).flat_map(|v| [v, v.wrapping_neg()]);
        let mut values: Vec<Short> = ints.map(Short::Int).collect();
        for i in 0..30_000u32 {
            values.push(match i % 6 {
                0 => Short::None,
                1 => Short::Bool(i % 4 == 1),
                2 => Short::Float(f64::from(i) / 7.0),
                3 => Short::Get(i % 1000),
                _ => Short::Int(i64::from(i) * 7),
            });
        }
        let single = |e: &mut Encoder<HeapStorage>, value: Short| match value {
            Short::None => e.none(),
            Short::Bool(value) => e.bool(value),
            Short::Int(value) => e.int(value),
            Short::Float(value) => e.float(value),
            Short::Get(index) => e.get(index),
        };
        let serve = |e: &mut Encoder<HeapStorage>| {
            if e.at_boundary() {
                e.service().expect("memory is there");
            }
        };
        let singly = stream(4, |e| {
            for v in &values {
                single(e, *v);
                serve(e);
            }
        });
        let in_runs = stream(4, |e| {
            let mut done = 0;
            while done < values.len() {
                let mut run = e.run(usize::MAX);
                while run.has_room() && done < values.len() {
                    match values[done] {
                        Short::None => run.none(),
                        Short::Bool(value) => run.bool(value),
                        Short::Int(value @ 0..=255) => run.byte(value as u8),
                        Short::Int(value) => run.int(value),
                        Short::Float(value) => run.float(value),
                        Short::Get(index) => assert!(run.get(index)),
                    }
                    done += 1;
                }
                drop(run);
                if done < values.len() {
                    single(e, values[done]);
                    done += 1;
                }
                serve(e);
            }
        });
        assert_eq!(singly, in_runs);
    }

    #[test]
    fn a_run_has_room_for_what_was_asked_and_no_entries_of_a_part() {
        assert_eq!(stream(1, |e| assert!(!e.run(9).has_room())), b".");
        let three = stream(4, |e| {
            let mut run = e.run(3);
            for _ in 0..3 {
                assert!(run.has_room());
                run.int(i64::MAX);
            }
            assert!(!run.has_room());
        });
        assert_eq!(three.len(), 2 + 9 + 3 * 10 + 1);
        assert_eq!(stream(3, |e| assert!(!e.run(1).get(parts::OWN_INDICES))), b"\x80\x03.");
    }

    #[test]
    fn a_tiny_frame_has_no_header_and_a_larger_one_has() {
        assert_eq!(stream(4, |e| e.none()), b"\x80\x04N.");
        let framed = stream(4, |e| (0..4).for_each(|_| e.none()));
        assert_eq!(framed, b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00NNNN.");
    }

    #[test]
    fn a_large_payload_stands_outside_frames() {
        let data = vec![1u8; FRAME_TARGET_BYTES];
        let bytes = stream(4, |e| {
            (0..4).for_each(|_| e.none());
            e.bytes(&data).expect("fits");
            e.op(Op::Pop);
        });
        assert_eq!(&bytes[2..11], b"\x95\x04\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(bytes[15], Op::Binbytes as u8);
        assert_eq!(&bytes[bytes.len() - 2..], b"0.");
    }

    #[test]
    fn reserved_bytes_are_where_they_were_said_to_be() {
        for n in [0, 5, FRAME_TARGET_BYTES, 3 * FRAME_TARGET_BYTES] {
            let data: Vec<u8> = (0..n).map(|i| i as u8).collect();
            let written = stream(5, |e| {
                e.bytearray(&data);
                e.bytes(&data).expect("fits");
            });
            let reserved = stream(5, |e| {
                let first = e.bytearray_reserved(n);
                let second = if n < 256 {
                    // The short form has no place to reserve.
                    e.bytes(&data).expect("fits");
                    None
                } else {
                    Some(e.bytes_reserved(n).expect("fits"))
                };
                for at in [Some(first), second].into_iter().flatten() {
                    e.reserved(at, n).expect("memory is there").copy_from_slice(&data);
                }
            });
            assert_eq!(written, reserved, "{n} bytes");
        }
    }

    #[test]
    fn frames_are_closed_at_boundaries() {
        let bytes = stream(4, |e| {
            for _ in 0..3 * FRAME_TARGET_BYTES {
                e.none();
                if e.at_boundary() {
                    e.service().expect("memory is there");
                }
            }
        });
        assert_eq!(bytes.iter().filter(|b| **b == Op::Frame as u8).count(), 3);
    }
}
