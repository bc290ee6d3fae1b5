//! Lists and tuples.

use super::frame::{Batch, Frame, Late, TupleEnd};
use super::scalar::write_int;
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::fast::{self, Obj};
use ferropickle_core::limits::BATCH_ITEMS;
use ferropickle_core::memo::Entry;
use ferropickle_core::opcode::Op;

/// Items that go by between two tries of a run, at the most.
const MOST_MISSES: u32 = 31;

/// Whether a run of short values may begin with an item.
#[inline(always)]
fn may_be_short(item: Obj) -> bool {
    let ty = item.ty();
    // Strs first: most that are in one place only need no more questions.
    item.refcnt() > 1 || !fast::is_str(ty) && (fast::is_int(ty) || fast::is_float(ty))
}

impl Walker {
    #[inline(never)]
    pub(super) fn save_list(&mut self, obj: Obj) -> Flow {
        let entered = self.enter(obj)?;
        if let Enter::Met = entered {
            return WRITTEN;
        }
        if self.enc.binary() {
            self.op(Op::EmptyList);
        } else {
            self.op(Op::Mark);
            self.op(Op::List);
        }
        if let Enter::Memo(vacant) = entered {
            self.memoize_at(vacant, obj);
        }
        let len = fast::list_len(obj);
        if len == 0 {
            return WRITTEN;
        }
        let batch = self.batch(len);
        if batch == Batch::Marked {
            self.op(Op::Mark);
        }
        let (next, failed) = if self.leaves_first() { self.list_leaves(obj) } else { (0, None) };
        if next == len && failed.is_none() {
            self.op(if batch == Batch::Marked { Op::Appends } else { Op::Append });
            return WRITTEN;
        }
        self.push(Frame::List { obj, next, in_batch: next as u32, batch })?;
        failed.map_or(PUSHED, Err)
    }

    /// Writes the leaves at the head of a list, as far as they are one batch;
    /// gives the place of the first that is not written, or of the one after
    /// that which failed.
    #[inline(always)]
    fn list_leaves(&mut self, obj: Obj) -> (isize, Option<Stop>) {
        let mut next = 0;
        while next < fast::list_len(obj) && next < BATCH_ITEMS as isize && !self.enc.at_boundary() {
            let item = fast::list_get(obj, next);
            if !fast::is_str(item.ty()) && may_be_short(item) {
                let done = self.save_run(obj, next, BATCH_ITEMS as usize - next as usize);
                next += done as isize;
                if done > 0 {
                    continue;
                }
            }
            match self.save_leaf(item) {
                Ok(false) => break,
                Ok(true) => next += 1,
                Err(stop) => return (next + 1, Some(stop)),
            }
        }
        (next, None)
    }

    #[inline(always)]
    pub(super) fn batch(&self, len: isize) -> Batch {
        if !self.enc.binary() {
            Batch::Each
        } else if len == 1 {
            Batch::Single
        } else {
            Batch::Marked
        }
    }

    pub(super) fn step_list(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::List { obj, mut next, mut in_batch, batch } = self.frames[depth] else {
            unreachable!("the caller looked at the frame")
        };
        if self.split.depth == depth {
            return self.split(depth);
        }
        if batch != Batch::Marked {
            return self.step_list_unmarked(depth, obj, next, batch);
        }
        // How many items go by before a run is tried again, after one had none.
        let (mut misses, mut wait) = (0, 0);
        // The length is read again each time: user code may change the list.
        while next < fast::list_len(obj) {
            if in_batch == BATCH_ITEMS {
                self.op(Op::Appends);
                self.boundary()?;
                self.op(Op::Mark);
                in_batch = 0;
            }
            if self.boundary_at(depth, next)? {
                if self.split.depth == depth {
                    return self.split(depth);
                }
                continue;
            }
            let item = fast::list_get(obj, next);
            if wait == 0 && may_be_short(item) && !self.hooks.has_persistent_id {
                let done = self.save_run(obj, next, (BATCH_ITEMS - in_batch) as usize);
                if done > 0 {
                    next += done as isize;
                    in_batch += done as u32;
                    misses = 0;
                    continue;
                }
                misses = (misses * 2 + 1).min(MOST_MISSES);
                wait = misses;
            } else {
                wait = wait.saturating_sub(1);
            }
            next += 1;
            in_batch += 1;
            if !fast::is_str(item.ty()) && next < fast::list_len(obj) {
                self.expect(fast::list_get(obj, next));
            }
            let saved = self.save(item);
            if !matches!(saved, Ok(false)) {
                if let Some(Frame::List { next: n, in_batch: b, .. }) = self.frames.get_mut(depth) {
                    *n = next;
                    *b = in_batch;
                }
                return saved.map(drop);
            }
        }
        self.op(Op::Appends);
        self.pop();
        Ok(())
    }

    /// Writes a run of numbers, None, bools and what the stream has already, from
    /// `from` on, `most` at most; says how many. No code runs meanwhile, so the
    /// list stays as it is. Not where there is a persistent id to ask for.
    #[inline(always)]
    fn save_run(&mut self, list: Obj, from: isize, most: usize) -> usize {
        let most = most.min((fast::list_len(list) - from) as usize);
        let (memo, fast_mode) = (&self.memo, self.options.fast);
        let mut run = self.enc.run(most);
        let (mut done, mut streak) = (0, 0);
        while done < most && run.has_room() {
            let item = fast::list_get(list, from + done as isize);
            let ty = item.ty();
            if fast::is_int(ty) {
                if !write_int(&mut run, item, &mut streak) {
                    break;
                }
            } else if fast::is_float(ty) {
                run.float(fast::float_value(item));
            } else if item.is_none() {
                run.none();
            } else if fast::is_bool(ty) {
                run.bool(fast::is_true(item));
            } else {
                // What has an entry has a reference besides: the root by its
                // caller, others by their edges or the walk's own.
                if item.refcnt() == 1 || fast_mode {
                    break;
                }
                let known = memo.get(item.addr()).and_then(Entry::as_index);
                if !known.is_some_and(|index| run.get(index)) {
                    break;
                }
            }
            done += 1;
        }
        done
    }

    /// A boundary inside a loop that keeps its position in a local, before the
    /// next item is fetched: says whether there was one, as code may have run.
    #[inline(always)]
    fn boundary_at(&mut self, depth: usize, position: isize) -> Result<bool, Stop> {
        if !self.enc.at_boundary() {
            return Ok(false);
        }
        if let Some(Frame::List { next, .. } | Frame::Tuple { next, .. }) =
            self.frames.get_mut(depth)
        {
            *next = position;
        }
        self.boundary()?;
        Ok(true)
    }

    fn step_list_unmarked(
        &mut self,
        depth: usize,
        obj: Obj,
        next: isize,
        batch: Batch,
    ) -> Result<(), Stop> {
        if next > 0 {
            self.op(Op::Append);
        }
        self.boundary()?;
        let done = next >= fast::list_len(obj) || (batch == Batch::Single && next > 0);
        if done {
            self.pop();
            return Ok(());
        }
        if let Frame::List { next: n, .. } = &mut self.frames[depth] {
            *n = next + 1;
        }
        self.save(fast::list_get(obj, next))?;
        Ok(())
    }

    #[inline(never)]
    pub(super) fn save_tuple(&mut self, obj: Obj) -> Flow {
        let len = fast::tuple_len(obj);
        if len == 0 {
            self.write_empty_tuple();
            return WRITTEN;
        }
        let late = self.enter_late(obj)?;
        let Some(late) = late else { return WRITTEN };
        if len > 3 || self.options.proto < 2 {
            self.op(Op::Mark);
        }
        let (mut next, mut failed) = (0, None);
        if self.leaves_first() {
            while next < len && failed.is_none() && !self.enc.at_boundary() {
                match self.save_leaf(fast::tuple_get(obj, next)) {
                    Ok(false) => break,
                    Ok(true) => {}
                    Err(stop) => failed = Some(stop),
                }
                next += 1;
            }
            if next == len && failed.is_none() {
                self.write_tuple_op(len);
                if late == Late::After {
                    self.memoize(obj);
                }
                return WRITTEN;
            }
        }
        self.push(Frame::Tuple { obj, next, late, end: TupleEnd::Tuple })?;
        failed.map_or(PUSHED, Err)
    }

    /// Makes the tuple of `len` items.
    #[inline(always)]
    fn write_tuple_op(&mut self, len: isize) {
        self.op(match len {
            1 if self.options.proto >= 2 => Op::Tuple1,
            2 if self.options.proto >= 2 => Op::Tuple2,
            3 if self.options.proto >= 2 => Op::Tuple3,
            _ => Op::Tuple,
        });
    }

    pub(super) fn write_empty_tuple(&mut self) {
        if self.enc.binary() {
            self.op(Op::EmptyTuple);
        } else {
            self.op(Op::Mark);
            self.op(Op::Tuple);
        }
    }

    pub(super) fn step_tuple(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Tuple { obj, mut next, late, end } = self.frames[depth] else {
            unreachable!("the caller looked at the frame")
        };
        let len = fast::tuple_len(obj);
        if self.split.depth == depth {
            return self.split(depth);
        }
        while next < len {
            if self.boundary_at(depth, next)? && self.split.depth == depth {
                return self.split(depth);
            }
            let item = fast::tuple_get(obj, next);
            next += 1;
            let saved = self.save(item);
            if !matches!(saved, Ok(false)) {
                if let Some(Frame::Tuple { next: n, .. }) = self.frames.get_mut(depth) {
                    *n = next;
                }
                return saved.map(drop);
            }
        }
        let short = len <= 3 && self.options.proto >= 2;
        if late == Late::After
            && !self.pure
            && end == TupleEnd::Tuple
            && let Some(index) = self.recursed(obj)
        {
            if short {
                (0..len).for_each(|_| self.op(Op::Pop));
            } else if self.enc.binary() {
                self.op(Op::PopMark);
            } else {
                (0..=len).for_each(|_| self.op(Op::Pop));
            }
            self.enc.get(index);
            self.pop();
            return Ok(());
        }
        self.write_tuple_op(len);
        if end == TupleEnd::NewObj {
            self.op(Op::Newobj);
            if !self.pure
                && let Some(index) = self.recursed(obj)
            {
                self.op(Op::Pop);
                self.enc.get(index);
                self.pop();
                return Ok(());
            }
        }
        if late == Late::After {
            self.memoize(obj);
        }
        self.pop();
        Ok(())
    }
}
