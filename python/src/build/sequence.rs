//! Lists and tuples.

use crate::error::Raised;
use crate::fast::{self, Own, sequence};
use crate::types;
use pyo3::ffi;

#[inline(always)]
pub fn empty_tuple() -> Result<Own, Raised> {
    // SAFETY: a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyTuple_New(0)) }
}

#[inline(always)]
pub fn empty_list() -> Result<Own, Raised> {
    // SAFETY: as above.
    unsafe { Own::from_new(ffi::PyList_New(0)) }
}

#[inline(always)]
pub fn tuple(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let tuple = sequence::take_tuple(stack, from)?;
    stack.push(tuple);
    Ok(())
}

pub fn list(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let list = sequence::take_list(stack, from)?;
    stack.push(list);
    Ok(())
}

#[inline(always)]
pub fn append(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    if from == stack.len() {
        return Ok(());
    }
    let list = stack[from - 1].obj();
    if !fast::is_list(list.ty()) {
        return append_other(stack, from);
    }
    if fast::list_len(list) == 0 {
        let filled = sequence::take_list(stack, from)?;
        sequence::swap_lists(list, filled.obj());
        return Ok(());
    }
    sequence::extend_list(list, stack, from)
}

/// A subclass or another object: `extend` if it has one, else `append`.
#[cold]
fn append_other(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let names = types::get();
    let target = stack[from - 1].clone();
    if let Some(extend) = target.getattr_opt(names.extend.obj())? {
        let items = sequence::take_list(stack, from)?;
        extend.call(&[items.obj()])?;
        return Ok(());
    }
    let append = target.getattr(names.append.obj())?;
    for item in stack.drain(from..) {
        append.call(&[item.obj()])?;
    }
    Ok(())
}
