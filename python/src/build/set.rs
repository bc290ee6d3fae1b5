//! Sets and frozensets.

use crate::error::Raised;
use crate::fast::{self, Own, sequence};
use crate::types;
use pyo3::ffi;

pub fn empty_set() -> Result<Own, Raised> {
    // SAFETY: a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PySet_New(core::ptr::null_mut())) }
}

pub fn add_items(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    if from == stack.len() {
        return Ok(());
    }
    let set = stack[from - 1].clone();
    if fast::is_set(set.ty()) {
        for item in stack.drain(from..) {
            // SAFETY: a set and a live object; -1 with an error set.
            if unsafe { ffi::PySet_Add(set.ptr(), item.ptr()) } < 0 {
                return Err(Raised::set());
            }
        }
        return Ok(());
    }
    let add = set.getattr(types::get().add.obj())?;
    for item in stack.drain(from..) {
        add.call(&[item.obj()])?;
    }
    Ok(())
}

pub fn frozenset(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    if !stack[from..].iter().all(|item| fast::is_leaf_key(item.obj())) {
        // Code of the user's that hashes an item may find the frozenset.
        let items = sequence::take_list(stack, from)?;
        // SAFETY: a live list; a new reference or null with an error set.
        let set = unsafe { Own::from_new(ffi::PyFrozenSet_New(items.ptr()))? };
        stack.push(set);
        return Ok(());
    }
    // SAFETY: a new reference or null with an error set. Items may be added to a
    // frozenset that nobody else has; -1 with an error set.
    unsafe {
        let set = Own::from_new(ffi::PyFrozenSet_New(core::ptr::null_mut()))?;
        for item in stack.drain(from..) {
            if ffi::PySet_Add(set.ptr(), item.ptr()) < 0 {
                return Err(Raised::set());
            }
        }
        stack.push(set);
    }
    Ok(())
}
