//! Opcodes that are done in one step with those that follow them: calls whose
//! result the builder makes at once, and the state of an object.

use super::{Build, CALL_OPCODES, Cause, Decoder, Read, Step};
use crate::error::Error;
use crate::opcode::Op;

impl<T> Decoder<T> {
    /// A memo entry that is called with the short bytes that follow: says whether
    /// that was done.
    #[inline(always)]
    pub(super) fn get_call<R, B>(
        &mut self,
        reader: &mut R,
        build: &mut B,
        index: u8,
    ) -> Step<bool, B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        if let Some(data) = reader.call_ahead()
            && let Some(callable) = self.memo.get(index.into())
            && let Some(made) = build.call_with_bytes(callable, data)?
        {
            let read = 2 + data.len() + CALL_OPCODES.len();
            reader.take(read)?;
            self.push(made)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Short bytes that are the only argument of a call that follows: made in
    /// one step where the builder knows the callable.
    #[inline(always)]
    pub(super) fn bytes_call<R, B>(
        &mut self,
        reader: &mut R,
        build: &mut B,
        n: usize,
    ) -> Step<(), B::Error>
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

    /// A tuple, or at once what a call with it makes.
    #[inline(always)]
    pub(super) fn tuple<R, B>(
        &mut self,
        reader: &mut R,
        build: &mut B,
        from: usize,
    ) -> Step<(), B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        const REDUCE: u8 = Op::Reduce as u8;
        const NEWOBJ: u8 = Op::Newobj as u8;
        if let Some(next @ (REDUCE | NEWOBJ)) = reader.peek_byte()
            && from > self.fence
        {
            let op = if next == REDUCE { Op::Reduce } else { Op::Newobj };
            if build.call_with_items(&mut self.stack, from, op)? {
                reader.byte()?;
                return Ok(());
            }
        }
        build.tuple(&mut self.stack, from)
    }

    /// Items of a dict; at once the state of an object, where they are that.
    #[inline(always)]
    pub(super) fn set_items<R, B>(
        &mut self,
        reader: &mut R,
        build: &mut B,
        from: usize,
    ) -> Step<(), B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        // An object to be built lies above the mark, as in `load_build`.
        let next = if from >= self.fence + 2 { reader.peek() } else { None };
        if next == Some(Op::Tuple2)
            && reader.peek_after(1) == Some(Op::Build)
            && from >= self.fence + 3
            && build.set_slots(&mut self.stack, from)?
        {
            reader.take(2)?;
            return Ok(());
        }
        if build.set_items(&mut self.stack, from, next)? {
            reader.byte()?;
        }
        Ok(())
    }
}
