//! From opcodes to values: the stack machine, total over any bytes.
//!
//! [`Decoder::decode`] reads opcodes from a [`Read`] and calls a [`Build`] for
//! every object to be made. It owns the stack, the marks and the memo; the
//! builder owns what an object is. Nothing is allocated on the word of a
//! length that is not yet backed by data.
//!
//! Semantics are CPython's (`load` in `Modules/_pickle.c`): a MARK is a fence
//! below which opcodes cannot reach, POP takes the mark when it is on top.

mod reader;
mod slots;
mod verify;

pub use reader::{CALL_OPCODES, Read, SliceReader, u32_le, u64_le};
pub use slots::MemoSlots;
pub use verify::verify;

use crate::error::Error;
use crate::limits::{FRAME_TARGET_BYTES, HIGHEST_PROTOCOL, READ_STEP_BYTES};
use crate::opcode::Op;

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

/// Makes objects. Every method is one thing a stream can ask for; those that
/// get the stack take their operands off it themselves.
#[allow(missing_docs, reason = "names are pickle's; the comments say what is not plain")]
pub trait Build {
    type Obj;
    type Error;

    fn none(&mut self) -> Step<Self::Obj, Self::Error>;
    fn bool(&mut self, value: bool) -> Step<Self::Obj, Self::Error>;
    fn int(&mut self, value: i64) -> Step<Self::Obj, Self::Error>;
    /// Little-endian two's complement, more than 8 bytes.
    fn int_bytes(&mut self, bytes: &[u8]) -> Step<Self::Obj, Self::Error>;
    /// Text of INT or LONG that is not a plain 64-bit decimal.
    fn int_text(&mut self, text: &[u8]) -> Step<Self::Obj, Self::Error>;
    fn float(&mut self, value: f64) -> Step<Self::Obj, Self::Error>;
    fn float_text(&mut self, text: &[u8]) -> Step<Self::Obj, Self::Error>;
    /// UTF-8 with surrogates passed; `next` is the next opcode if it is known.
    fn str(&mut self, utf8: &[u8], ctx: TextContext<'_, Self::Obj>)
    -> Step<Self::Obj, Self::Error>;
    fn str_escaped(&mut self, text: &[u8]) -> Step<Self::Obj, Self::Error>;
    /// A Python 2 string.
    fn string(&mut self, bytes: &[u8]) -> Step<Self::Obj, Self::Error>;
    /// The quoted literal of a Python 2 string.
    fn string_literal(&mut self, literal: &[u8]) -> Step<Self::Obj, Self::Error>;
    fn bytes(&mut self, bytes: &[u8]) -> Step<Self::Obj, Self::Error>;
    fn bytearray(&mut self, bytes: &[u8]) -> Step<Self::Obj, Self::Error>;
    fn next_buffer(&mut self) -> Step<Self::Obj, Self::Error>;
    fn readonly_buffer(&mut self, buffer: Self::Obj) -> Step<Self::Obj, Self::Error>;

    fn empty_tuple(&mut self) -> Step<Self::Obj, Self::Error>;
    /// The objects from `from` on become one tuple, which is pushed.
    fn tuple(&mut self, stack: &mut Vec<Self::Obj>, from: usize) -> Step<(), Self::Error>;
    fn empty_list(&mut self) -> Step<Self::Obj, Self::Error>;
    /// The objects from `from` on become one list, which is pushed.
    fn list(&mut self, stack: &mut Vec<Self::Obj>, from: usize) -> Step<(), Self::Error>;
    /// The objects from `from` on are appended to the one below.
    fn append(&mut self, stack: &mut Vec<Self::Obj>, from: usize) -> Step<(), Self::Error>;
    fn empty_dict(&mut self) -> Step<Self::Obj, Self::Error>;
    /// The pairs from `from` on (an even number of objects) become one dict.
    fn dict(&mut self, stack: &mut Vec<Self::Obj>, from: usize) -> Step<(), Self::Error>;
    /// The pairs from `from` on are set in the object below. If `next` is
    /// BUILD the builder may do that as well, and says so by `true`.
    fn set_items(
        &mut self,
        stack: &mut Vec<Self::Obj>,
        from: usize,
        next: Option<Op>,
    ) -> Step<bool, Self::Error>;
    fn empty_set(&mut self) -> Step<Self::Obj, Self::Error>;
    fn add_items(&mut self, stack: &mut Vec<Self::Obj>, from: usize) -> Step<(), Self::Error>;
    fn frozenset(&mut self, stack: &mut Vec<Self::Obj>, from: usize) -> Step<(), Self::Error>;

    fn global(&mut self, module: &[u8], name: &[u8]) -> Step<Self::Obj, Self::Error>;
    fn stack_global(&mut self, module: Self::Obj, name: Self::Obj) -> Step<Self::Obj, Self::Error>;
    fn extension(&mut self, code: i64) -> Step<Self::Obj, Self::Error>;
    fn persistent(&mut self, id: Self::Obj) -> Step<Self::Obj, Self::Error>;
    fn persistent_text(&mut self, id: &[u8]) -> Step<Self::Obj, Self::Error>;
    fn reduce(&mut self, callable: Self::Obj, args: Self::Obj) -> Step<Self::Obj, Self::Error>;
    /// The arguments from `from` on; `class` is called with them.
    fn instance(
        &mut self,
        class: Self::Obj,
        stack: &mut Vec<Self::Obj>,
        from: usize,
    ) -> Step<Self::Obj, Self::Error>;
    fn newobj(&mut self, class: Self::Obj, args: Self::Obj) -> Step<Self::Obj, Self::Error>;
    fn newobj_ex(
        &mut self,
        class: Self::Obj,
        args: Self::Obj,
        kwargs: Self::Obj,
    ) -> Step<Self::Obj, Self::Error>;
    fn build(&mut self, object: &Self::Obj, state: Self::Obj) -> Step<(), Self::Error>;
    /// Another reference to the same object.
    fn share(&mut self, object: &Self::Obj) -> Self::Obj;
    /// Bytes, or a bytearray if `mutable`, of a large payload: `fill` reads the
    /// next part of it. The length is the stream's word, so memory is taken in
    /// steps.
    #[allow(clippy::type_complexity, reason = "the one place that names it")]
    fn large(
        &mut self,
        len: usize,
        mutable: bool,
        fill: &mut dyn FnMut(&mut [u8]) -> Step<(), Self::Error>,
    ) -> Step<Self::Obj, Self::Error> {
        let mut data = Vec::new();
        while data.len() < len {
            let have = data.len();
            let more = (len - have).min(have.max(READ_STEP_BYTES));
            data.try_reserve(more).map_err(|_| Error::OutOfMemory)?;
            data.resize(have + more, 0);
            fill(&mut data[have..])?;
        }
        if mutable { self.bytearray(&data) } else { self.bytes(&data) }
    }
    /// `callable(data)`, if the builder knows a short way; else the call is
    /// made as the stream says.
    #[inline(always)]
    fn call_with_bytes(
        &mut self,
        _callable: &Self::Obj,
        _data: &[u8],
    ) -> Step<Option<Self::Obj>, Self::Error> {
        Ok(None)
    }
    /// The stream names its protocol.
    fn proto(&mut self, _proto: u8) {}
    /// Called every few thousand opcodes: signals.
    fn tick(&mut self) -> Step<(), Self::Error>;
}

/// What a builder may know about the place of a str in the stream.
#[derive(Debug)]
pub struct TextContext<'a, T> {
    /// The stack so far.
    pub stack: &'a [T],
    /// Number of objects below the innermost mark.
    pub mark: Option<usize>,
    /// The next opcode, if the reader can tell.
    pub next: Option<Op>,
}

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

    /// Empties stack and marks; the memo stays.
    pub fn reset(&mut self) {
        self.stack.clear();
        self.marks.clear();
        self.fence = 0;
    }

    /// Capacity of the stack, for callers that keep decoders.
    pub fn stack_capacity(&self) -> usize {
        self.stack.capacity()
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

    #[inline(always)]
    fn push<E>(&mut self, object: T) -> Step<(), E> {
        if self.stack.len() == self.stack.capacity() {
            self.grow_stack()?;
        }
        self.stack.push(object);
        Ok(())
    }

    /// Makes room for one more object at least, or tells that memory is out.
    #[cold]
    #[inline(never)]
    fn grow_stack(&mut self) -> Result<(), Error> {
        self.stack.try_reserve(1).map_err(|_| Error::OutOfMemory)
    }

    #[inline(always)]
    fn pop<E>(&mut self) -> Step<T, E> {
        if self.stack.len() <= self.fence {
            return Err(self.underflow().into());
        }
        self.stack.pop().ok_or(Cause::Format(Error::StackUnderflow))
    }

    /// Checks that `n` objects stand above the mark; returns where they begin.
    #[inline(always)]
    fn need<E>(&mut self, n: usize) -> Step<usize, E> {
        if self.stack.len() < self.fence + n {
            return Err(self.underflow().into());
        }
        Ok(self.stack.len() - n)
    }

    #[cold]
    fn underflow(&self) -> Error {
        if self.marks.is_empty() { Error::StackUnderflow } else { Error::UnexpectedMark }
    }

    #[inline(always)]
    fn pop_mark<E>(&mut self) -> Step<usize, E> {
        let mark = self.marks.pop().ok_or(Cause::Format(Error::NoMark))?;
        self.fence = self.marks.last().copied().unwrap_or(0);
        Ok(mark)
    }

    /// Takes the mark off; an object must stand below it.
    #[inline(always)]
    fn pop_mark_above<E>(&mut self) -> Step<usize, E> {
        let mark = self.pop_mark()?;
        if mark <= self.fence {
            return Err(self.underflow().into());
        }
        Ok(mark)
    }

    #[inline(always)]
    fn top<E>(&self) -> Step<&T, E> {
        if self.stack.len() <= self.fence {
            return Err(self.underflow().into());
        }
        self.stack.last().ok_or(Cause::Format(Error::StackUnderflow))
    }

    fn memo_get<E>(
        &mut self,
        index: u64,
        build: &mut impl Build<Obj = T, Error = E>,
    ) -> Step<(), E> {
        let found = self.memo.get(index).ok_or(Cause::Format(Error::MemoMissing(index)))?;
        let object = build.share(found);
        self.push(object)
    }

    fn memo_put<E>(
        &mut self,
        index: u64,
        build: &mut impl Build<Obj = T, Error = E>,
    ) -> Step<(), E> {
        let object = build.share(self.top()?);
        Ok(self.memo.put(index, object)?)
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
                    let object = match c_long(text) {
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
                }
                Op::Pop => {
                    if self.marks.last() == Some(&self.stack.len()) {
                        self.pop_mark()?;
                    } else {
                        self.pop()?;
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
                    build.tuple(&mut self.stack, from)?;
                }
                Op::Tuple2 => {
                    let from = self.need(2)?;
                    build.tuple(&mut self.stack, from)?;
                }
                Op::Tuple3 => {
                    let from = self.need(3)?;
                    build.tuple(&mut self.stack, from)?;
                }
                Op::Tuple => {
                    let from = self.pop_mark()?;
                    build.tuple(&mut self.stack, from)?;
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
                    self.memo_get(index.into(), build)?;
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
                    reader.frame(n)?;
                }
                Op::Stop => return self.pop(),
            }
        }
    }

    /// Short bytes that are the only argument of a call that follows: made in
    /// one step where the builder knows the callable.
    #[inline(always)]
    fn bytes_call<R, B>(&mut self, reader: &mut R, build: &mut B, n: usize) -> Step<(), B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        let data = reader.take(n)?;
        let callable = self.stack.last().ok_or(Cause::Format(Error::StackUnderflow))?;
        if let Some(made) = build.call_with_bytes(callable, data)? {
            self.stack.pop();
            self.push(made)?;
            reader.take(CALL_OPCODES.len())?;
            return Ok(());
        }
        let object = build.bytes(data)?;
        self.push(object)
    }

    #[inline(always)]
    fn even<E>(&self, from: usize) -> Step<(), E> {
        if !(self.stack.len() - from).is_multiple_of(2) {
            return Err(Error::OddItems.into());
        }
        Ok(())
    }

    #[inline(always)]
    fn set_items<R, B>(&mut self, reader: &mut R, build: &mut B, from: usize) -> Step<(), B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        let next = reader.peek();
        if build.set_items(&mut self.stack, from, next)? {
            reader.byte()?;
        }
        Ok(())
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

/// Little-endian two's complement of at most 8 bytes.
#[inline(always)]
fn small_int(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let negative = bytes.last().is_some_and(|b| *b >= 0x80);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

/// Decimal text of at most 18 digits with an optional minus.
fn plain_decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // A leading zero means another base, or is an error: the builder knows.
    let other_base = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty()
        || digits.len() > 18
        || other_base
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// A number as C's `strtol` with base 0 reads it, which stock uses for INT:
/// leading space, sign, `0x` and octal; the number ends the text, or a NUL does.
fn c_long(text: &[u8]) -> Option<i64> {
    if let Some(value) = plain_decimal(text) {
        return Some(value);
    }
    if text.is_empty() {
        return None;
    }
    let text = text.split(|byte| *byte == 0).next()?;
    let is_space = |byte: &u8| matches!(byte, b' ' | 0x09..=0x0d);
    let trimmed = &text[text.iter().take_while(|byte| is_space(byte)).count()..];
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        rest => (10, rest),
    };
    let value = digits.iter().try_fold(None, |value: Option<i64>, digit| {
        let digit = i64::from(char::from(*digit).to_digit(radix)?);
        let value = value.unwrap_or(0).checked_mul(i64::from(radix))?.checked_add(digit)?;
        Some(Some(value))
    })??;
    Some(if negative { -value } else { value })
}

fn index_text(text: &[u8]) -> Result<i64, Error> {
    let zeros = text.iter().take_while(|digit| **digit == b'0').count();
    let digits =
        if zeros == text.len() { &text[zeros.saturating_sub(1)..] } else { &text[zeros..] };
    plain_decimal(digits).ok_or(Error::BadText)
}

fn signed_len<E>(n: u32) -> Step<usize, E> {
    usize::try_from(n as i32).map_err(|_| Error::NegativeSize.into())
}

/// A length that fits half of the address space.
fn wide_len<E>(n: u64) -> Step<usize, E> {
    isize::try_from(n).map(|n| n as usize).map_err(|_| Error::TooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, value) in [
            (b"12".as_slice(), Some(12)),
            (b"-7", Some(-7)),
            (b" 1", Some(1)),
            (b"010", Some(8)),
            (b"0x1F", Some(31)),
            (b"1\x002", Some(1)),
            (b"\x00", Some(0)),
            (b"09", None),
            (b"1_0", None),
            (b"abc", None),
            (b"", None),
            (b"123456789012345678901234567890", None),
        ] {
            assert_eq!(c_long(text), value, "{}", text.escape_ascii());
        }
    }
}
