//! Lists, tuples, sets and frozensets.

use crate::error::Raised;
use crate::fast::{self, Obj, Own};
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

pub fn empty_set() -> Result<Own, Raised> {
    // SAFETY: as above.
    unsafe { Own::from_new(ffi::PySet_New(core::ptr::null_mut())) }
}

/// Moves the objects from `from` on out of the stack into `to`, references and
/// all.
///
/// # Safety
/// `to` must be valid for writes of as many pointers and hold none to drop.
#[inline(always)]
unsafe fn move_out(stack: &mut Vec<Own>, from: usize, to: *mut *mut ffi::PyObject) {
    let n = stack.len() - from;
    // SAFETY: an Own is a pointer (repr transparent); the stack forgets what
    // is moved before anyone can see it twice.
    unsafe {
        core::ptr::copy_nonoverlapping(stack.as_ptr().add(from).cast(), to, n);
        stack.set_len(from);
    }
}

#[inline(always)]
pub fn tuple(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let n = stack.len() - from;
    // SAFETY: a new tuple has n empty places side by side.
    unsafe {
        let tuple = Own::from_new(ffi::PyTuple_New(n as isize))?;
        if n > 0 {
            let places = (&raw mut (*tuple.ptr().cast::<ffi::PyTupleObject>()).ob_item).cast();
            move_out(stack, from, places);
        }
        stack.push(tuple);
    }
    Ok(())
}

/// A list of exactly the objects from `from` on, which leave the stack.
#[inline(always)]
fn new_list(stack: &mut Vec<Own>, from: usize) -> Result<Own, Raised> {
    let n = stack.len() - from;
    // SAFETY: a new list has n empty places side by side.
    unsafe {
        let list = Own::from_new(ffi::PyList_New(n as isize))?;
        if n > 0 {
            move_out(stack, from, (*list.ptr().cast::<ffi::PyListObject>()).ob_item);
        }
        Ok(list)
    }
}

pub fn list(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let list = new_list(stack, from)?;
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
        let filled = new_list(stack, from)?;
        swap_items(list, filled.obj());
        return Ok(());
    }
    extend(list, stack, from)
}

/// Appends to an exact list that has items: room is made once, in the steps
/// that `list.append` would take (`list_resize` in `Objects/listobject.c`).
fn extend(list: Obj, stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let n = stack.len() - from;
    // SAFETY: an exact list; its store comes from PyMem_Realloc and has
    // `allocated` places, of which `ob_size` are filled. No code runs between
    // the reads and the writes.
    unsafe {
        let raw = list.ptr().cast::<ffi::PyListObject>();
        let size = (*raw).ob_base.ob_size as usize;
        let needed = size + n;
        if needed > (*raw).allocated as usize {
            let room = (needed + (needed >> 3) + 6) & !3;
            let bytes = room * size_of::<*mut ffi::PyObject>();
            let store = ffi::PyMem_Realloc((*raw).ob_item.cast(), bytes);
            if store.is_null() {
                ffi::PyErr_NoMemory();
                return Err(Raised::set());
            }
            (*raw).ob_item = store.cast();
            (*raw).allocated = room as isize;
        }
        move_out(stack, from, (*raw).ob_item.add(size));
        (*raw).ob_base.ob_size = needed as isize;
    }
    Ok(())
}

/// Exchanges the items of two lists: gives an empty list that others may
/// already refer to a store of exactly the right size.
#[inline(always)]
fn swap_items(a: Obj, b: Obj) {
    // SAFETY: both are exact lists; a list's size, store and capacity belong
    // together and are exchanged together (Include/cpython/listobject.h).
    unsafe {
        let a = a.ptr().cast::<ffi::PyListObject>();
        let b = b.ptr().cast::<ffi::PyListObject>();
        core::ptr::swap(&raw mut (*a).ob_base.ob_size, &raw mut (*b).ob_base.ob_size);
        core::ptr::swap(&raw mut (*a).ob_item, &raw mut (*b).ob_item);
        core::ptr::swap(&raw mut (*a).allocated, &raw mut (*b).allocated);
    }
}

/// A subclass or another object: `extend` if it has one, else `append`.
#[cold]
fn append_other(stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    let names = types::get();
    let target = stack[from - 1].clone();
    if let Some(extend) = target.getattr_opt(names.extend.obj())? {
        let items = new_list(stack, from)?;
        extend.call(&[items.obj()])?;
        return Ok(());
    }
    let append = target.getattr(names.append.obj())?;
    for item in stack.drain(from..) {
        append.call(&[item.obj()])?;
    }
    Ok(())
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
    let items = new_list(stack, from)?;
    // SAFETY: a live list; a new reference or null with an error set.
    let set = unsafe { Own::from_new(ffi::PyFrozenSet_New(items.ptr()))? };
    stack.push(set);
    Ok(())
}
