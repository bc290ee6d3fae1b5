//! From opcodes to values: the stack machine, total over any bytes.
//!
//! [`Decoder::decode`] reads opcodes from a [`Read`] and calls a [`Build`] for
//! every object to be made. It owns the stack, the marks and the memo; the
//! builder owns what an object is. Nothing is allocated on the word of a
//! length that is not yet backed by data.
//!
//! Semantics are CPython's (`load` in `Modules/_pickle.c`): a MARK is a fence
//! below which opcodes cannot reach, POP takes the mark when it is on top.

mod build;
mod fused;
mod numbers;
mod reader;
mod short;
mod slots;
mod stack;
mod verify;

pub use build::{Build, TextContext};
pub use reader::{CALL_OPCODES, Read, SliceReader, u32_le, u64_le};
pub use slots::MemoSlots;
pub use verify::verify;

use crate::error::Error;
use crate::limits::{FRAME_TARGET_BYTES, HIGHEST_PROTOCOL};
use crate::opcode::Op;
use numbers::{c_long, index_text, plain_decimal, signed_len, small_int, wide_len};

/// Why decoding stopped.
#[derive(Debug)]
pub enum Cause<E> {
    /// The stream is at fault.
    Format(Error),
    /// The builder or the reader failed.
    Build(E),
}

impl<E> From<Error> for Cause<E> {
    fn from(error: Error) -> Self {
        Cause::Format(error)
    }
}

/// Why decoding stopped, and where.
#[derive(Debug)]
pub struct DecodeError<E> {
    /// Offset of the opcode in the stream.
    pub at: u64,
    /// The opcode byte.
    pub op: u8,
    /// What was wrong.
    pub cause: Cause<E>,
}

/// Result of a builder's step.
pub type Step<T, E> = Result<T, Cause<E>>;

/// The stack machine: stack, marks, memo. Kept between streams for its memory
/// and, by an unpickler object, for its memo.
#[derive(Debug)]
pub struct Decoder<T> {
    stack: Vec<T>,
    marks: Vec<usize>,
    /// Objects below this are out of reach of opcodes: the innermost mark.
    fence: usize,
    /// The memo; an unpickler object shows it to its user.
    pub memo: MemoSlots<T>,
    proto: u8,
}

impl<T> Default for Decoder<T> {
    fn default() -> Self {
        Decoder {
            stack: Vec::new(),
            marks: Vec::new(),
            fence: 0,
            memo: MemoSlots::default(),
            proto: 0,
        }
    }
}

/// Opcodes between two calls of [`Build::tick`].
const TICK_OPCODES: u32 = 1 << 16;

impl<T> Decoder<T> {
    /// The protocol that the stream named, 0 if none.
    pub fn proto(&self) -> u8 {
        self.proto
    }

    /// Reads one stream up to STOP and returns its object.
    pub fn decode<R, B>(
        &mut self,
        reader: &mut R,
        build: &mut B,
    ) -> Result<T, DecodeError<B::Error>>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        self.reset();
        self.proto = 0;
        let mut at = reader.position();
        let mut op = 0;
        match self.run(reader, build, &mut at, &mut op) {
            Ok(object) => Ok(object),
            Err(cause) => Err(DecodeError { at, op, cause }),
        }
    }

    fn run<R, B>(
        &mut self,
        reader: &mut R,
        build: &mut B,
        at: &mut u64,
        current: &mut u8,
    ) -> Step<T, B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        let mut until_tick = TICK_OPCODES;
        loop {
            *at = reader.position();
            let byte = match reader.byte() {
                Err(Cause::Format(Error::Truncated)) => return Err(Error::Empty.into()),
                other => other?,
            };
            *current = byte;
            until_tick -= 1;
            if until_tick == 0 {
                until_tick = TICK_OPCODES;
                build.tick()?;
            }
            let Some(op) = Op::from_byte(byte) else {
                return Err(Error::UnknownOpcode(byte).into());
            };
            match op {
                Op::None => {
                    let object = build.none()?;
                    self.push(object)?;
                }
                Op::Newtrue | Op::Newfalse => {
                    let object = build.bool(op == Op::Newtrue)?;
                    self.push(object)?;
                }
                Op::Binint1 => {
                    let object = build.int(reader.byte()?.into())?;
                    self.push(object)?;
                }
                Op::Binint2 => {
                    let object =
                        build.int(reader.number(|bytes| u16::from_le_bytes(*bytes))?.into())?;
                    self.push(object)?;
                }
                Op::Binint => {
                    let object =
                        build.int(reader.number(|bytes| i32::from_le_bytes(*bytes))?.into())?;
                    self.push(object)?;
                }
                Op::Long1 => {
                    let n = reader.byte()? as usize;
                    self.long(reader, build, n)?;
                }
                Op::Long4 => {
                    let n = signed_len(u32_le(reader)?)?;
                    self.long(reader, build, n)?;
                }
                Op::Int => {
                    let text = reader.line()?;
                    let object = match c_long(text, B::STRICT) {
                        // Two characters: `00`, `01` and their like are bools.
                        Some(value @ 0..=1) if text.len() == 2 => build.bool(value == 1)?,
                        Some(value) => build.int(value)?,
                        None if text.is_empty() => return Err(Error::BadText.into()),
                        None => build.int_text(text)?,
                    };
                    self.push(object)?;
                }
                Op::Long => {
                    let text = reader.line()?;
                    let digits = text.strip_suffix(b"L").unwrap_or(text);
                    let object = match plain_decimal(digits) {
                        Some(value) => build.int(value)?,
                        None if digits.is_empty() => return Err(Error::BadText.into()),
                        None => build.int_text(digits)?,
                    };
                    self.push(object)?;
                }
                Op::Binfloat => {
                    let object = build.float(reader.number(|bytes| f64::from_be_bytes(*bytes))?)?;
                    self.push(object)?;
                }
                Op::Float => {
                    let text = reader.line()?;
                    if text.is_empty() {
                        return Err(Error::BadText.into());
                    }
                    let object = build.float_text(text)?;
                    self.push(object)?;
                }
                Op::ShortBinunicode => {
                    let n = reader.byte()? as usize;
                    self.text(reader, build, n)?;
                }
                Op::Binunicode => {
                    let n = u32_le(reader)? as usize;
                    self.text(reader, build, n)?;
                }
                Op::Binunicode8 => {
                    let n = wide_len(u64_le(reader)?)?;
                    self.text(reader, build, n)?;
                }
                Op::Unicode => {
                    let object = build.str_escaped(reader.line()?)?;
                    self.push(object)?;
                }
                Op::ShortBinbytes => {
                    let n = reader.byte()? as usize;
                    if reader.calls_after(n) && self.stack.len() > self.fence {
                        self.bytes_call(reader, build, n)?;
                        continue;
                    }
                    let object = build.bytes(reader.take(n)?)?;
                    self.push(object)?;
                }
                Op::Binbytes => {
                    let n = u32_le(reader)? as usize;
                    let object = payload(reader, build, n, false)?;
                    self.push(object)?;
                }
                Op::Binbytes8 => {
                    let n = wide_len(u64_le(reader)?)?;
                    let object = payload(reader, build, n, false)?;
                    self.push(object)?;
                }
                Op::Bytearray8 => {
                    let n = wide_len(u64_le(reader)?)?;
                    let object = payload(reader, build, n, true)?;
                    self.push(object)?;
                }
                Op::ShortBinstring => {
                    let n = reader.byte()? as usize;
                    let object = build.string(reader.take(n)?)?;
                    self.push(object)?;
                }
                Op::Binstring => {
                    let n = signed_len(u32_le(reader)?)?;
                    let object = build.string(reader.take(n)?)?;
                    self.push(object)?;
                }
                Op::String => {
                    let object = build.string_literal(reader.line()?)?;
                    self.push(object)?;
                }
                Op::NextBuffer => {
                    let object = build.next_buffer()?;
                    self.push(object)?;
                }
                Op::ReadonlyBuffer => {
                    let buffer = self.pop()?;
                    let object = build.readonly_buffer(buffer)?;
                    self.push(object)?;
                }
                Op::Mark => {
                    self.fence = self.stack.len();
                    self.marks.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
                    self.marks.push(self.fence);
                    until_tick = self.short_values(reader, build, until_tick)?;
                }
                Op::Pop => {
                    if self.marks.last() == Some(&self.stack.len()) {
                        self.pop_mark()?;
                    } else {
                        let object = self.pop()?;
                        build.discard(object);
                    }
                }
                Op::PopMark => {
                    let mark = self.pop_mark()?;
                    self.stack.truncate(mark);
                }
                Op::Dup => {
                    let object = build.share(self.top()?);
                    self.push(object)?;
                }
                Op::EmptyTuple => {
                    let object = build.empty_tuple()?;
                    self.push(object)?;
                }
                Op::Tuple1 => {
                    let from = self.need(1)?;
                    self.tuple(reader, build, from)?;
                }
                Op::Tuple2 => {
                    let from = self.need(2)?;
                    self.tuple(reader, build, from)?;
                }
                Op::Tuple3 => {
                    let from = self.need(3)?;
                    self.tuple(reader, build, from)?;
                }
                Op::Tuple => {
                    let from = self.pop_mark()?;
                    self.tuple(reader, build, from)?;
                }
                Op::EmptyList => {
                    let object = build.empty_list()?;
                    self.push(object)?;
                }
                Op::List => {
                    let from = self.pop_mark()?;
                    build.list(&mut self.stack, from)?;
                }
                Op::Append => {
                    let from = self.need(2)? + 1;
                    build.append(&mut self.stack, from)?;
                }
                Op::Appends => {
                    let from = self.pop_mark_above()?;
                    build.append(&mut self.stack, from)?;
                }
                Op::EmptyDict => {
                    let object = build.empty_dict()?;
                    self.push(object)?;
                }
                Op::Dict => {
                    let from = self.pop_mark()?;
                    self.even(from)?;
                    build.dict(&mut self.stack, from)?;
                }
                Op::Setitem => {
                    let from = self.need(3)? + 1;
                    self.set_items(reader, build, from)?;
                }
                Op::Setitems => {
                    let from = self.pop_mark_above()?;
                    self.even(from)?;
                    self.set_items(reader, build, from)?;
                }
                Op::EmptySet => {
                    let object = build.empty_set()?;
                    self.push(object)?;
                }
                Op::Additems => {
                    let from = self.pop_mark_above()?;
                    build.add_items(&mut self.stack, from)?;
                }
                Op::Frozenset => {
                    let from = self.pop_mark()?;
                    build.frozenset(&mut self.stack, from)?;
                }
                Op::Memoize => {
                    let object = build.share(self.top()?);
                    self.memo.push(object)?;
                }
                Op::Binput => {
                    let index = reader.byte()?;
                    self.memo_put(index.into(), build)?;
                }
                Op::LongBinput => {
                    let index = u32_le(reader)?;
                    self.memo_put(index.into(), build)?;
                }
                Op::Put => {
                    let index = index_text(reader.line()?)?;
                    let index = u64::try_from(index).map_err(|_| Error::NegativeIndex)?;
                    self.memo_put(index, build)?;
                }
                Op::Binget => {
                    let index = reader.byte()?;
                    if !self.get_call(reader, build, index)? {
                        self.memo_get(index.into(), build)?;
                    }
                }
                Op::LongBinget => {
                    let index = u32_le(reader)?;
                    self.memo_get(index.into(), build)?;
                }
                Op::Get => {
                    let index = index_text(reader.line()?)?;
                    let index = u64::try_from(index).map_err(|_| Error::MemoMissing(u64::MAX))?;
                    self.memo_get(index, build)?;
                }
                Op::Global => {
                    let object = {
                        let (module, name) = reader.two_lines()?;
                        if module.is_empty() || name.is_empty() {
                            return Err(Error::BadText.into());
                        }
                        build.global(module, name)?
                    };
                    self.push(object)?;
                }
                Op::StackGlobal => {
                    self.need(2)?;
                    let name = self.pop()?;
                    let module = self.pop()?;
                    let object = build.stack_global(module, name)?;
                    self.push(object)?;
                }
                Op::Ext1 => {
                    let code = reader.byte()?;
                    self.extension(build, code.into())?;
                }
                Op::Ext2 => {
                    let code = reader.number(|bytes| u16::from_le_bytes(*bytes))?;
                    self.extension(build, code.into())?;
                }
                Op::Ext4 => {
                    let code = reader.number(|bytes| i32::from_le_bytes(*bytes))?;
                    self.extension(build, code.into())?;
                }
                Op::Persid => {
                    let object = build.persistent_text(reader.line()?)?;
                    self.push(object)?;
                }
                Op::Binpersid => {
                    let id = self.pop()?;
                    let object = build.persistent(id)?;
                    self.push(object)?;
                }
                Op::Reduce => {
                    self.need(2)?;
                    let args = self.pop()?;
                    let callable = self.pop()?;
                    let object = build.reduce(callable, args)?;
                    self.push(object)?;
                }
                Op::Newobj => {
                    self.need(2)?;
                    let args = self.pop()?;
                    let class = self.pop()?;
                    let object = build.newobj(class, args)?;
                    self.push(object)?;
                }
                Op::NewobjEx => {
                    self.need(3)?;
                    let kwargs = self.pop()?;
                    let args = self.pop()?;
                    let class = self.pop()?;
                    let object = build.newobj_ex(class, args, kwargs)?;
                    self.push(object)?;
                }
                Op::Build => {
                    self.need(2)?;
                    let state = self.pop()?;
                    build.build(self.top()?, state)?;
                }
                Op::Obj => {
                    let mark = self.pop_mark()?;
                    if mark >= self.stack.len() {
                        return Err(Error::StackUnderflow.into());
                    }
                    let class = build.share(&self.stack[mark]);
                    let object = build.instance(class, &mut self.stack, mark + 1)?;
                    self.stack.truncate(mark);
                    self.push(object)?;
                }
                Op::Inst => {
                    let mark = self.pop_mark()?;
                    let class = {
                        let (module, name) = reader.two_lines()?;
                        if module.is_empty() || name.is_empty() {
                            return Err(Error::BadText.into());
                        }
                        build.global(module, name)?
                    };
                    let object = build.instance(class, &mut self.stack, mark)?;
                    self.stack.truncate(mark);
                    self.push(object)?;
                }
                Op::Proto => {
                    let proto = reader.byte()?;
                    if proto > HIGHEST_PROTOCOL {
                        return Err(Error::UnsupportedProtocol(proto).into());
                    }
                    self.proto = proto;
                    build.proto(proto);
                }
                Op::Frame => {
                    let n = u64_le(reader)?;
                    reader.frame(n, B::STRICT)?;
                }
                Op::Stop => return self.pop(),
            }
        }
    }

    #[inline(always)]
    fn text<R, B>(&mut self, reader: &mut R, build: &mut B, n: usize) -> Step<(), B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        let next = reader.peek_after(n);
        let mark = self.marks.last().copied();
        let bytes = reader.take(n)?;
        let object = build.str(bytes, TextContext { stack: &self.stack, mark, next })?;
        self.push(object)?;
        Ok(())
    }

    #[inline(always)]
    fn long<R, B>(&mut self, reader: &mut R, build: &mut B, n: usize) -> Step<(), B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        let bytes = reader.take(n)?;
        let object = match small_int(bytes) {
            Some(value) => build.int(value)?,
            None => build.int_bytes(bytes)?,
        };
        self.push(object)?;
        Ok(())
    }

    fn extension<E>(
        &mut self,
        build: &mut impl Build<Obj = T, Error = E>,
        code: i64,
    ) -> Step<(), E> {
        if code <= 0 {
            return Err(Error::BadExtensionCode(code).into());
        }
        let object = build.extension(code)?;
        self.push(object)?;
        Ok(())
    }
}

/// A bytes or bytearray payload of `n` bytes.
#[inline(always)]
fn payload<R, B>(reader: &mut R, build: &mut B, n: usize, mutable: bool) -> Step<B::Obj, B::Error>
where
    R: Read<B::Error>,
    B: Build,
{
    if n >= FRAME_TARGET_BYTES && reader.reads_into() {
        return build.large(n, mutable, &mut |to| reader.read_into(to));
    }
    let data = reader.take(n)?;
    if mutable { build.bytearray(data) } else { build.bytes(data) }
}
