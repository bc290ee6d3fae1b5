//! The stack and its marks, and what opcodes may take from them.

use super::{Build, Cause, Decoder, Step};
use crate::error::Error;

impl<T> Decoder<T> {
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

    #[inline(always)]
    pub(super) fn push<E>(&mut self, object: T) -> Step<(), E> {
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
    pub(super) fn pop<E>(&mut self) -> Step<T, E> {
        if self.stack.len() <= self.fence {
            return Err(self.underflow().into());
        }
        self.stack.pop().ok_or(Cause::Format(Error::StackUnderflow))
    }

    /// Checks that `n` objects stand above the mark; returns where they begin.
    #[inline(always)]
    pub(super) fn need<E>(&mut self, n: usize) -> Step<usize, E> {
        if self.stack.len() < self.fence + n {
            return Err(self.underflow().into());
        }
        Ok(self.stack.len() - n)
    }

    #[cold]
    pub(super) fn underflow(&self) -> Error {
        if self.marks.is_empty() { Error::StackUnderflow } else { Error::UnexpectedMark }
    }

    #[inline(always)]
    pub(super) fn pop_mark<E>(&mut self) -> Step<usize, E> {
        let mark = self.marks.pop().ok_or(Cause::Format(Error::NoMark))?;
        self.fence = self.marks.last().copied().unwrap_or(0);
        Ok(mark)
    }

    /// Takes the mark off; an object must stand below it.
    #[inline(always)]
    pub(super) fn pop_mark_above<E>(&mut self) -> Step<usize, E> {
        let mark = self.pop_mark()?;
        if mark <= self.fence {
            return Err(self.underflow().into());
        }
        Ok(mark)
    }

    #[inline(always)]
    pub(super) fn top<E>(&self) -> Step<&T, E> {
        if self.stack.len() <= self.fence {
            return Err(self.underflow().into());
        }
        self.stack.last().ok_or(Cause::Format(Error::StackUnderflow))
    }

    #[inline(always)]
    pub(super) fn memo_get<E>(
        &mut self,
        index: u64,
        build: &mut impl Build<Obj = T, Error = E>,
    ) -> Step<(), E> {
        let found = self.memo.get(index).ok_or(Cause::Format(Error::MemoMissing(index)))?;
        let object = build.share(found);
        self.push(object)
    }

    pub(super) fn memo_put<E>(
        &mut self,
        index: u64,
        build: &mut impl Build<Obj = T, Error = E>,
    ) -> Step<(), E> {
        let object = build.share(self.top()?);
        Ok(self.memo.put(index, object)?)
    }

    #[inline(always)]
    pub(super) fn even<E>(&self, from: usize) -> Step<(), E> {
        if !(self.stack.len() - from).is_multiple_of(2) {
            return Err(Error::OddItems.into());
        }
        Ok(())
    }
}
