//! What the decoder asks of whoever makes the objects.

use super::Step;
use crate::error::Error;
use crate::limits::READ_STEP_BYTES;
use crate::opcode::Op;

/// Makes objects. Every method is one thing a stream can ask for; those that
/// get the stack take their operands off it themselves.
#[allow(missing_docs, reason = "names are pickle's; the comments say what is not plain")]
pub trait Build {
    type Obj;
    type Error;

    /// Whether streams are read as CPython 3.14 began to read them: numbers in
    /// text are decimal, and no opcode reaches over the end of its frame.
    const STRICT: bool = false;

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
    /// The object below `from` is to be called with a tuple of those from `from`
    /// on, by `op`: REDUCE or NEWOBJ. If the builder knows a short way it puts
    /// what is made in the place of all of them and says so by `true`; else it
    /// does nothing, and the tuple and the call are made as the stream says.
    #[inline(always)]
    fn call_with_items(
        &mut self,
        _stack: &mut Vec<Self::Obj>,
        _from: usize,
        _op: Op,
    ) -> Step<bool, Self::Error> {
        Ok(false)
    }
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
    /// The pairs from `from` on are the state of slots: TUPLE2 and BUILD follow.
    /// Below are the dict that they would be set in, the rest of the state and the
    /// object. If the builder knows a short way it sets them, takes all but the
    /// object off and says so by `true`; else it does nothing.
    #[inline(always)]
    fn set_slots(&mut self, _stack: &mut Vec<Self::Obj>, _from: usize) -> Step<bool, Self::Error> {
        Ok(false)
    }
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
    /// An object that the stream throws away by POP.
    #[inline(always)]
    fn discard(&mut self, object: Self::Obj) {
        drop(object);
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
