//! Dicts, and the attributes of instances that come as dicts.

use super::{Builder, instance};
use crate::error::Raised;
use crate::fast::{self, Own};
use ferropickle_core::opcode::Op;
use pyo3::ffi;

/// Entries from which on a dict is made anew with room for all of them: below,
/// the first table of an empty dict holds them. Not if keys are strs: room that
/// is asked for is room for keys of any kind, larger and slower for good.
const PRESIZE_FROM: usize = 6;

#[inline(always)]
pub fn empty_dict() -> Result<Own, Raised> {
    // SAFETY: a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyDict_New()) }
}

#[inline(always)]
fn fill(dict: &Own, pairs: &[Own]) -> Result<(), Raised> {
    for pair in pairs.chunks_exact(2) {
        // SAFETY: an exact dict and live objects; -1 with an error set. The
        // pair is owned by the stack while a key's `__hash__` may run.
        if unsafe { ffi::PyDict_SetItem(dict.ptr(), pair[0].ptr(), pair[1].ptr()) } < 0 {
            return Err(Raised::set());
        }
    }
    Ok(())
}

/// An empty dict with room for the pairs; `None` where a new one needs no more.
#[inline(always)]
fn sized(pairs: &[Own]) -> Result<Option<Own>, Raised> {
    let count = pairs.len() / 2;
    if count < PRESIZE_FROM || fast::is_str(pairs[0].ty()) {
        return Ok(None);
    }
    fast::new_dict(count as isize).map(Some)
}

pub fn dict(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let dict = match sized(&stack[from..])? {
        Some(dict) => dict,
        None => empty_dict()?,
    };
    fill(&dict, &stack[from..])?;
    stack.truncate(from);
    stack.push(dict);
    Ok(())
}

impl Builder {
    /// SETITEMS; with BUILD in the same step where that sets attributes of a
    /// plain instance: says whether it did.
    #[inline(always)]
    pub(super) fn build_items(
        &mut self,
        stack: &mut Vec<Own>,
        from: usize,
        next: Option<Op>,
    ) -> Result<bool, Raised> {
        if self.waits() {
            let plain = fast::is_dict(stack[from - 1].ty());
            self.settle_for_keys(plain, stack[from..].iter().step_by(2))?;
        }
        let target = &stack[from - 1];
        if !fast::is_dict(target.ty()) {
            return set_other(stack, from).map(|()| false);
        }
        // A dict that only the stack knows and that is still empty.
        let fresh = target.refcnt() == 1 && fast::dict_len(target.obj()) == 0;
        if fresh
            && next == Some(Op::Build)
            && from >= 2
            && instance::set_attributes(&mut self.classes, stack, from)?
        {
            stack.truncate(from - 1);
            return Ok(true);
        }
        if fresh && let Some(dict) = self.shapes.dict(stack, from)? {
            stack[from - 1] = dict;
            return Ok(false);
        }
        if fresh && let Some(dict) = sized(&stack[from..])? {
            stack[from - 1] = dict;
        }
        fill(&stack[from - 1], &stack[from..])?;
        stack.truncate(from);
        Ok(false)
    }
}

/// A dict subclass or another mapping: `object[key] = value`.
#[cold]
fn set_other(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    if from == stack.len() {
        return Ok(());
    }
    let target = stack[from - 1].clone();
    for pair in stack[from..].chunks_exact(2) {
        // SAFETY: live objects; -1 with an error set.
        if unsafe { ffi::PyObject_SetItem(target.ptr(), pair[0].ptr(), pair[1].ptr()) } < 0 {
            return Err(Raised::set());
        }
    }
    stack.truncate(from);
    Ok(())
}
