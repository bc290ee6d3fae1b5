//! Lists, tuples, sets, frozensets, and items of iterators.

use super::frame::{Batch, Frame, IterState, Late, TupleEnd};
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::error::Raised;
use crate::fast::{self, Exc, Obj};
use ferropickle_core::encode::Run;
use ferropickle_core::limits::BATCH_ITEMS;
use ferropickle_core::memo::Entry;
use ferropickle_core::opcode::Op;
use ferropickle_core::out::Storage;

/// Items that go by between two tries of a run, at the most.
const MOST_MISSES: u32 = 31;

/// Places in the table of a set from which on its numbers are written in runs.
const LARGE_SET: isize = 128;
/// After so many ints below 256 in a row the next is thought to be one.
const STREAK: u32 = 4;

/// Writes an int; false, with nothing written, if it is too large for a run.
/// `streak` counts ints below 256.
#[inline(always)]
fn write_int<S: Storage>(run: &mut Run<'_, S>, int: Obj, streak: &mut u32) -> bool {
    // Asked only where the answer is likely: widths that come in no order would
    // be guessed wrong.
    if *streak >= STREAK
        && let Some(value) = fast::long::as_byte(int)
    {
        run.byte(value);
        return true;
    }
    let Some(value) = fast::long::as_i64(int) else { return false };
    run.int(value);
    *streak = if (value as u64) < 256 { *streak + 1 } else { 0 };
    true
}

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

    /// Enters an object that gets its memo entry after its items; `None` if it
    /// was met before.
    #[inline(always)]
    pub(super) fn enter_late(&mut self, obj: Obj) -> Result<Option<Late>, Stop> {
        match self.enter(obj)? {
            Enter::Met => Ok(None),
            Enter::Elided => Ok(Some(Late::Never)),
            Enter::Memo(vacant) => {
                if self.pure {
                    self.memo.insert_at(vacant, obj.addr(), Entry::IN_PROGRESS);
                }
                Ok(Some(Late::After))
            }
        }
    }

    /// After the items of a late object: if it is in the memo by now, it
    /// contains itself, and what was written is thrown away for a GET.
    pub(super) fn recursed(&self, obj: Obj) -> Option<u32> {
        self.memo.get(obj.addr()).and_then(Entry::as_index)
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

    pub(super) fn save_set(&mut self, obj: Obj, frozen: bool) -> Flow {
        if self.options.proto < 4 {
            return self.save_set_reduced(obj);
        }
        let late = if frozen {
            let Some(late) = self.enter_late(obj)? else { return WRITTEN };
            self.op(Op::Mark);
            late
        } else {
            match self.enter(obj)? {
                Enter::Met => return WRITTEN,
                Enter::Elided => self.op(Op::EmptySet),
                Enter::Memo(vacant) => {
                    self.op(Op::EmptySet);
                    self.memoize_at(vacant, obj);
                }
            }
            if fast::set_len(obj) == 0 {
                return WRITTEN;
            }
            self.op(Op::Mark);
            Late::Never
        };
        let (mut pos, mut in_batch) = (0, 0);
        let done = self.set_leaves(obj, &mut pos, &mut in_batch, frozen);
        if let Ok(true) = done {
            self.end_set(obj, frozen, late);
            return WRITTEN;
        }
        let size = fast::set_len(obj);
        self.push(Frame::Set { obj, pos, size, in_batch, frozen, late })?;
        done?;
        PUSHED
    }

    pub(super) fn step_set(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Set { obj, mut pos, size, mut in_batch, frozen, late } = self.frames[depth]
        else {
            unreachable!("the caller looked at the frame")
        };
        if self.split.depth == depth {
            return self.split(depth);
        }
        loop {
            if fast::set_len(obj) != size {
                return Err(
                    Raised::new(Exc::RuntimeError, "set changed size during iteration").into()
                );
            }
            self.boundary()?;
            if self.split.depth == depth {
                return self.split(depth);
            }
            if fast::set_len(obj) != size {
                continue;
            }
            if self.set_leaves(obj, &mut pos, &mut in_batch, frozen)? {
                break;
            }
            let Some(item) = fast::set_next(obj, &mut pos) else { break };
            self.refuse_key_of_user(item)?;
            if !frozen && in_batch == BATCH_ITEMS {
                self.op(Op::Additems);
                self.op(Op::Mark);
                in_batch = 0;
            }
            in_batch += 1;
            if let Frame::Set { pos: p, in_batch: b, .. } = &mut self.frames[depth] {
                *p = pos;
                *b = in_batch;
            }
            if self.save(item)? {
                return Ok(());
            }
        }
        self.end_set(obj, frozen, late);
        self.pop();
        Ok(())
    }

    /// What follows the items of a set.
    #[inline(always)]
    fn end_set(&mut self, obj: Obj, frozen: bool, late: Late) {
        if !frozen {
            self.op(Op::Additems);
        } else if late == Late::After
            && !self.pure
            && let Some(index) = self.recursed(obj)
        {
            self.op(Op::PopMark);
            self.enc.get(index);
        } else {
            self.op(Op::Frozenset);
            if late == Late::After {
                self.memoize(obj);
            }
        }
    }

    /// Writes the leaves that come next in a set, as far as they are one batch and
    /// one frame; says whether that were all. No code runs meanwhile.
    #[inline(always)]
    fn set_leaves(
        &mut self,
        obj: Obj,
        pos: &mut isize,
        in_batch: &mut u32,
        frozen: bool,
    ) -> Result<bool, Stop> {
        if !self.leaves_first() {
            return Ok(false);
        }
        while (frozen || *in_batch < BATCH_ITEMS) && !self.enc.at_boundary() {
            let mut after = *pos;
            let Some(item) = fast::set_next(obj, &mut after) else { return Ok(true) };
            let is_number = fast::is_int(item.ty()) || fast::is_float(item.ty());
            if is_number && fast::set_end(obj) >= LARGE_SET {
                let most = if frozen { u32::MAX } else { BATCH_ITEMS - *in_batch };
                let done = self.save_set_run(obj, pos, most);
                if done > 0 {
                    *in_batch = in_batch.saturating_add(done);
                    continue;
                }
            }
            if !self.save_leaf(item)? {
                break;
            }
            *pos = after;
            *in_batch += 1;
        }
        Ok(false)
    }

    /// Writes a run of numbers, `most` at most, from `pos` on, which moves; says how
    /// many. No code runs meanwhile. Not where there is a persistent id to ask for.
    #[inline(always)]
    fn save_set_run(&mut self, set: Obj, pos: &mut isize, most: u32) -> u32 {
        let most = most.min(u32::try_from(fast::set_len(set)).unwrap_or(u32::MAX));
        let mut run = self.enc.run(most as usize);
        let (mut done, mut streak) = (0, 0);
        while let Some(chunk) = fast::set_chunk(set, *pos) {
            for (item, after) in chunk.elements() {
                let room = done < most && run.has_room();
                let written = room
                    && if fast::is_int(item.ty()) {
                        write_int(&mut run, item, &mut streak)
                    } else if fast::is_float(item.ty()) {
                        run.float(fast::float_value(item));
                        true
                    } else {
                        false
                    };
                if !written {
                    return done;
                }
                *pos = after;
                done += 1;
            }
            *pos = chunk.end();
        }
        done
    }

    /// Before protocol 4: `set([...])`.
    #[cold]
    fn save_set_reduced(&mut self, obj: Obj) -> Flow {
        if let Enter::Met = self.enter(obj)? {
            return WRITTEN;
        }
        // SAFETY: alive; a new reference or null with an error set.
        let items = unsafe { fast::Own::from_new(pyo3::ffi::PySequence_List(obj.ptr()))? };
        let args = fast::new_tuple(&[items.obj()])?;
        let value = fast::new_tuple(&[obj.ty_obj(), args.obj()])?;
        self.begin_reduce(value, Some(obj))?;
        PUSHED
    }

    /// Appends what an iterator gives to the object written last.
    pub(super) fn push_items(&mut self, iter: Obj) -> Result<(), Stop> {
        let batch = if self.enc.binary() { Batch::Marked } else { Batch::Each };
        self.push(Frame::Items {
            iter,
            ahead: None,
            in_batch: 0,
            batch,
            count: 0,
            item: None,
            state: IterState::Begin,
        })
    }

    /// As `batch_list` in `Modules/_pickle.c`: a batch is opened once its
    /// second item is known.
    pub(super) fn step_items(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Items { iter, ahead, in_batch, batch, count, state, .. } = self.frames[depth]
        else {
            unreachable!("the caller looked at the frame")
        };
        self.boundary()?;
        if let Frame::Items { state, .. } = &mut self.frames[depth] {
            *state = IterState::Begin;
        }
        let iter_keep = iter.own();
        let (item, following, in_batch, batch) = match (state, batch) {
            (IterState::Begin, _) => {
                let Some(first) = fast::iter_next(iter)? else {
                    self.pop();
                    return Ok(());
                };
                if batch == Batch::Each {
                    (first, None, 1, batch)
                } else {
                    match fast::iter_next(iter)? {
                        None => (first, None, 1, Batch::Single),
                        second => {
                            self.op(Op::Mark);
                            (first, second, 1, Batch::Marked)
                        }
                    }
                }
            }
            (_, Batch::Each) => {
                self.op(Op::Append);
                let Some(item) = fast::iter_next(iter)? else {
                    self.pop();
                    return Ok(());
                };
                (item, None, 1, batch)
            }
            (_, Batch::Single) => {
                self.op(Op::Append);
                self.pop();
                return Ok(());
            }
            (_, Batch::Marked) => match ahead {
                None => {
                    self.op(Op::Appends);
                    if in_batch < BATCH_ITEMS {
                        self.pop();
                    } else if let Frame::Items { state, in_batch, .. } = &mut self.frames[depth] {
                        *state = IterState::Begin;
                        *in_batch = 0;
                    }
                    return Ok(());
                }
                Some(item) => {
                    let item = item.own();
                    let following =
                        if in_batch + 1 == BATCH_ITEMS { None } else { fast::iter_next(iter)? };
                    (item, following, in_batch + 1, batch)
                }
            },
        };
        drop(iter_keep);
        self.set_ahead(depth, following);
        if let Frame::Items { in_batch: b, batch: how, count: c, item: i, state, .. } =
            &mut self.frames[depth]
        {
            *i = Some(item.obj());
            *b = in_batch;
            *how = batch;
            *c = count + 1;
            *state = IterState::After;
        }
        self.save_fetched(item)
    }

    /// Saves an object that an iterator made: alive until it is written, and
    /// pinned in the pure state, where nothing else would keep it.
    pub(super) fn save_fetched(&mut self, item: fast::Own) -> Result<(), Stop> {
        let obj = item.obj();
        if self.pure {
            self.pin(item);
            self.save(obj)?;
        } else {
            self.save(obj)?;
            drop(item);
        }
        Ok(())
    }

    /// Stores the item that comes after the one being written.
    pub(super) fn set_ahead(&mut self, depth: usize, following: Option<fast::Own>) {
        let pure = self.pure;
        let following = following.map(|own| {
            let obj = own.obj();
            if pure {
                self.pin(own);
            } else {
                let _ = own.into_ptr();
            }
            obj
        });
        if let Frame::Items { ahead, .. } | Frame::Pairs { ahead, .. } = &mut self.frames[depth] {
            let old = core::mem::replace(ahead, following);
            if let Some(old) = old
                && !pure
            {
                old.decref();
            }
        }
    }
}
