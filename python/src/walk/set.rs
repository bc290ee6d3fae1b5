//! Sets and frozensets.

use super::frame::{Frame, Late};
use super::scalar::write_int;
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::error::Raised;
use crate::fast::{self, Exc, Obj};
use ferropickle_core::limits::BATCH_ITEMS;
use ferropickle_core::opcode::Op;

/// Places in the table of a set from which on its numbers are written in runs.
const LARGE_SET: isize = 128;

impl Walker {
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
}
