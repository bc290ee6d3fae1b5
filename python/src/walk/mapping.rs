//! Dicts.

use super::frame::{Batch, Frame};
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::error::Raised;
use crate::fast::{self, Exc, Obj};
use ferropickle_core::limits::BATCH_ITEMS;
use ferropickle_core::opcode::Op;

/// How far the first entries of a dict were written.
struct Head {
    /// Where the entry after the last begins, and the last itself.
    next: isize,
    at: isize,
    count: u32,
    /// The value that is due.
    value: Option<Obj>,
    failed: Option<Stop>,
}

impl Walker {
    #[inline(never)]
    pub(super) fn save_dict(&mut self, obj: Obj) -> Flow {
        let entered = self.enter(obj)?;
        if let Enter::Met = entered {
            return WRITTEN;
        }
        self.write_empty_dict();
        if let Enter::Memo(vacant) = entered {
            self.memoize_at(vacant, obj);
        }
        if fast::dict_len(obj) == 0 {
            return WRITTEN;
        }
        self.begin_items(obj, false)
    }

    #[inline(always)]
    pub(super) fn write_empty_dict(&mut self) {
        if self.enc.binary() {
            self.op(Op::EmptyDict);
        } else {
            self.op(Op::Mark);
            self.op(Op::Dict);
        }
    }

    /// The items of a dict that is not empty; with `build` a BUILD follows
    /// them. Entries of a str and a leaf are written here, as far as they are
    /// the first batch; the frame is for what comes after.
    #[inline(always)]
    pub(super) fn begin_items(&mut self, obj: Obj, build: bool) -> Flow {
        let size = fast::dict_len(obj);
        let batch = self.batch(size);
        if batch == Batch::Marked {
            self.op(Op::Mark);
        }
        let mut head = Head { next: 0, at: 0, count: 0, value: None, failed: None };
        if self.leaves_first() && self.dict_leaves(obj, build, &mut head) {
            self.op(if batch == Batch::Marked { Op::Setitems } else { Op::Setitem });
            if build {
                self.op(Op::Build);
            }
            return WRITTEN;
        }
        let Head { next: pos, at, count: in_batch, value, failed } = head;
        self.push(Frame::Dict { obj, pos, at, size, in_batch, batch, value, build })?;
        failed.map_or(PUSHED, Err)
    }

    /// Writes the entries at the head of a dict; says whether that were all.
    #[inline(always)]
    fn dict_leaves(&mut self, obj: Obj, build: bool, head: &mut Head) -> bool {
        let mut pos = 0;
        while !self.enc.at_boundary() && head.count < BATCH_ITEMS {
            let at = pos;
            let Some((key, value)) = fast::dict_next(obj, &mut pos) else { return true };
            if !fast::is_str(key.ty()) {
                return false;
            }
            head.at = at;
            head.next = pos;
            head.count += 1;
            match self.leaf_entry(key, value, build) {
                Ok(true) => {}
                Ok(false) => {
                    head.value = Some(value);
                    return false;
                }
                Err(stop) => {
                    head.failed = Some(stop);
                    return false;
                }
            }
        }
        false
    }

    /// Writes a key, and its value if that is a leaf: says whether it was.
    #[inline(always)]
    pub(super) fn leaf_entry(&mut self, key: Obj, value: Obj, build: bool) -> Flow {
        if build && self.overrides_reduction(key) {
            return Err(Stop::Restart);
        }
        self.save_key_str(key)?;
        self.save_leaf(value)
    }

    pub(super) fn step_dict(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Dict { obj, mut pos, size, mut in_batch, batch, value, build, .. } =
            self.frames[depth]
        else {
            unreachable!("the caller looked at the frame")
        };
        if self.split.depth == depth && value.is_none() {
            return self.split(depth);
        }
        // Back from a key: its value is due. Back from a value: the opcode is.
        if let Some(value) = value {
            if self.save_value(depth, value)? {
                return Ok(());
            }
            self.after_value(batch, obj, size)?;
        } else if pos > 0 {
            self.after_value(batch, obj, size)?;
        }
        loop {
            if self.enc.at_boundary() {
                self.note_entry(depth, pos, pos, in_batch);
                self.boundary()?;
                if self.split.depth == depth {
                    return self.split(depth);
                }
            }
            let at = pos;
            let Some((key, value)) = fast::dict_next(obj, &mut pos) else { break };
            if batch == Batch::Marked {
                if in_batch == BATCH_ITEMS {
                    self.op(Op::Setitems);
                    self.op(Op::Mark);
                    in_batch = 0;
                }
                in_batch += 1;
            } else if batch == Batch::Single && at > 0 && in_batch > 0 {
                break;
            } else {
                in_batch += 1;
            }
            if fast::is_str(key.ty()) && !self.hooks.has_persistent_id {
                if build && self.overrides_reduction(key) {
                    return Err(Stop::Restart);
                }
                self.save_key_str(key)?;
            } else if fast::is_int(key.ty())
                && !self.hooks.has_persistent_id
                && let Some(number) = fast::long::as_i64(key)
            {
                self.enc.int(number);
            } else {
                self.refuse_key_of_user(key)?;
                self.note_entry(depth, pos, at, in_batch);
                self.set_value(depth, Some(value));
                if self.save(key)? {
                    return Ok(());
                }
                self.set_value(depth, None);
            }
            self.look_ahead(obj, pos, value);
            let saved = self.save(value);
            if !matches!(saved, Ok(false)) {
                self.note_entry(depth, pos, at, in_batch);
                return saved.map(drop);
            }
            self.after_value(batch, obj, size)?;
        }
        if batch == Batch::Marked {
            self.op(Op::Setitems);
        }
        if build {
            self.op(Op::Build);
        }
        self.pop();
        Ok(())
    }

    /// While a value is written that is no text or number, asks for the memory of
    /// the two after it, which are likely of its kind.
    #[inline(always)]
    fn look_ahead(&self, dict: Obj, mut pos: isize, value: Obj) {
        let ty = value.ty();
        if fast::is_str(ty) || fast::is_int(ty) || fast::is_float(ty) {
            return;
        }
        if let Some((_, first)) = fast::dict_next(dict, &mut pos) {
            self.expect(first);
            fast::prefetch_items(first);
            if let Some((_, second)) = fast::dict_next(dict, &mut pos) {
                fast::prefetch(second.ptr().cast());
            }
        }
    }

    /// Stores where the loop stands in the frame: it is left, or has failed.
    #[inline(always)]
    fn note_entry(&mut self, depth: usize, next: isize, current: isize, count: u32) {
        if let Some(Frame::Dict { pos, at, in_batch, .. }) = self.frames.get_mut(depth) {
            (*pos, *at, *in_batch) = (next, current, count);
        }
    }

    #[inline(always)]
    fn after_value(&mut self, batch: Batch, obj: Obj, size: isize) -> Result<(), Stop> {
        if batch != Batch::Marked {
            self.op(Op::Setitem);
        }
        if !self.pure && fast::dict_len(obj) != size {
            let text = "dictionary changed size during iteration";
            return Err(Raised::new(Exc::RuntimeError, text).into());
        }
        Ok(())
    }

    /// Writes the value that was put aside while its key was written.
    fn save_value(&mut self, depth: usize, value: Obj) -> Flow {
        if self.pure {
            self.set_value(depth, None);
            return self.save(value);
        }
        // Held over the change of the frame's field: the frame's reference is
        // given up by it.
        let keep = value.own();
        self.set_value(depth, None);
        let pushed = self.save(value);
        drop(keep);
        pushed
    }

    fn set_value(&mut self, depth: usize, new: Option<Obj>) {
        let pure = self.pure;
        if let Some(Frame::Dict { value, .. }) = self.frames.get_mut(depth) {
            if !pure && let Some(new) = new {
                new.incref();
            }
            let old = core::mem::replace(value, new);
            if !pure && let Some(old) = old {
                old.decref();
            }
        }
    }
}
