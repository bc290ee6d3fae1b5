//! Lists and tuples: items moved in and out where they lie.
//!
//! Read for CPython 3.10 to 3.14. A list (`Include/cpython/listobject.h`) is
//! its size, the address of its store and the room there; a tuple has its items
//! in itself. Where they begin is PyO3's declaration of the version: 3.14 put a
//! hash in front of a tuple's items.

use super::{Obj, Own, TypePtr};
use crate::error::Raised;
use pyo3::ffi;

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

/// A tuple of the objects from `from` on, which leave the stack.
#[inline(always)]
pub fn take_tuple(stack: &mut Vec<Own>, from: usize) -> Result<Own, Raised> {
    let n = stack.len() - from;
    // SAFETY: a new tuple has n empty places side by side.
    unsafe {
        let tuple = Own::from_new(ffi::PyTuple_New(n as isize))?;
        if n > 0 {
            let places = (&raw mut (*tuple.ptr().cast::<ffi::PyTupleObject>()).ob_item).cast();
            move_out(stack, from, places);
        }
        Ok(tuple)
    }
}

/// As [`take_tuple`], of a subclass of tuple made as `tuple.__new__` makes it
/// (`tuple_subtype_new` in `Objects/tupleobject.c`).
pub fn take_tuple_of(class: Obj, stack: &mut Vec<Own>, from: usize) -> Result<Own, Raised> {
    let n = stack.len() - from;
    let ty: TypePtr = class.ptr().cast();
    debug_assert!(crate::classify::has_flag(ty, ffi::Py_TPFLAGS_TUPLE_SUBCLASS));
    // SAFETY: a live subclass of tuple: its allocator gives n empty places, where
    // a tuple has them.
    unsafe {
        let alloc = (*ty).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
        let tuple = Own::from_new(alloc(ty, n as isize))?;
        let raw = tuple.ptr().cast::<ffi::PyTupleObject>();
        #[cfg(Py_3_14)]
        {
            (*raw).ob_hash = -1;
        }
        if n > 0 {
            move_out(stack, from, (&raw mut (*raw).ob_item).cast());
        }
        Ok(tuple)
    }
}

/// A list of exactly the objects from `from` on, which leave the stack.
#[inline(always)]
pub fn take_list(stack: &mut Vec<Own>, from: usize) -> Result<Own, Raised> {
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

/// Appends the objects from `from` on, which leave the stack, to an exact list
/// that has items. A free-threaded build keeps the room in front of the store,
/// where only its own functions reach it.
#[cfg(Py_GIL_DISABLED)]
pub fn extend_list(list: Obj, stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
    for item in stack.drain(from..) {
        // SAFETY: a list and a live object; -1 with an error set.
        if unsafe { ffi::PyList_Append(list.ptr(), item.ptr()) } < 0 {
            return Err(Raised::set());
        }
    }
    Ok(())
}

/// Appends the objects from `from` on, which leave the stack, to an exact list
/// that has items: room is made once, in the steps that `list.append` would
/// take (`list_resize` in `Objects/listobject.c`).
#[cfg(not(Py_GIL_DISABLED))]
pub fn extend_list(list: Obj, stack: &mut Vec<Own>, from: usize) -> Result<(), Raised> {
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

/// Exchanges the items of two exact lists: gives an empty list that others may
/// already refer to a store of exactly the right size.
#[inline(always)]
pub fn swap_lists(a: Obj, b: Obj) {
    // SAFETY: both are exact lists; a list's size, store and capacity belong
    // together and are exchanged together.
    unsafe {
        let a = a.ptr().cast::<ffi::PyListObject>();
        let b = b.ptr().cast::<ffi::PyListObject>();
        core::ptr::swap(&raw mut (*a).ob_base.ob_size, &raw mut (*b).ob_base.ob_size);
        core::ptr::swap(&raw mut (*a).ob_item, &raw mut (*b).ob_item);
        core::ptr::swap(&raw mut (*a).allocated, &raw mut (*b).allocated);
    }
}

/// The list whose `append` a callable is, if it is that of an exact list.
pub fn list_append(callable: Obj) -> Option<Own> {
    if super::function::built_in_name(callable) != Some(c"append") {
        return None;
    }
    // SAFETY: a built-in method; what it is bound to is held by it.
    let owner = unsafe { Obj::borrowed(ffi::PyCFunction_GetSelf(callable.ptr())) };
    owner.filter(|owner| super::is_list(owner.ty())).map(Obj::own)
}
