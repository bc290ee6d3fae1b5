//! Dicts: entries read where they lie, or by `PyDict_Next` where the layout is
//! not known.
//!
//! Positions are those of `PyDict_Next`, so both can take turns.

#[cfg(known_dicts)]
use super::values::Values;
use super::{Obj, Own};
use crate::error::Raised;
#[cfg(known_dicts)]
use core::ffi::c_void;
use pyo3::ffi;

/// `PyDictObject` (Include/cpython/dictobject.h).
#[cfg(known_dicts)]
#[repr(C)]
struct Dict {
    base: ffi::PyObject,
    used: isize,
    version_tag: u64,
    keys: *const Keys,
    /// Null: keys and values are side by side in the table.
    values: *const c_void,
}

/// `PyDictKeysObject` of builds with a GIL (internal/pycore_dict.h), without
/// the index that follows.
#[cfg(known_dicts)]
#[repr(C)]
pub(super) struct Keys {
    refcnt: isize,
    log2_size: u8,
    log2_index_bytes: u8,
    kind: u8,
    version: u32,
    usable: isize,
    entries: isize,
}

/// A table whose keys are not all strs: entries are hash, key, value; of other
/// kinds key and value.
#[cfg(known_dicts)]
const GENERAL: u8 = 0;

/// Number of entries. Needs a dict, or an object of a subclass.
#[inline(always)]
pub fn len(dict: Obj) -> isize {
    // SAFETY: the caller checked the type.
    #[cfg(known_dicts)]
    unsafe {
        (*dict.ptr().cast::<Dict>()).used
    }
    // SAFETY: as above.
    #[cfg(not(known_dicts))]
    unsafe {
        ffi::PyDict_Size(dict.ptr())
    }
}

/// Where a dict has its entries, to be asked of memory; null where the layout is
/// not known. Needs an exact dict.
#[inline(always)]
pub fn place(_dict: Obj) -> *const u8 {
    // SAFETY: the caller checked the type.
    #[cfg(known_dicts)]
    unsafe {
        (*_dict.ptr().cast::<Dict>()).keys.cast()
    }
    #[cfg(not(known_dicts))]
    core::ptr::null()
}

/// The entry at `pos`, which moves on; `None` at the end. Valid whatever
/// happened to the dict between two calls.
#[cfg(known_dicts)]
#[inline(always)]
pub fn next(dict: Obj, pos: &mut isize) -> Option<(Obj, Obj)> {
    let raw = dict.ptr().cast::<Dict>();
    // SAFETY: a dict by the caller's check. Its keys are alive with it; after
    // them come the index and as many entries as they say. An entry with a
    // value has a key, and the dict holds a reference to both.
    unsafe {
        let keys = (*raw).keys;
        let first = first_entry(keys);
        if !(*raw).values.is_null() {
            if *pos >= (*raw).used {
                return None;
            }
            let (index, value) = Values::of((*raw).values).get(*pos);
            *pos += 1;
            return Some((Obj::new(*first.add(index * 2)), Obj::new(value)));
        }
        let width = if (*keys).kind == GENERAL { 3 } else { 2 };
        while *pos < (*keys).entries {
            let end = first.offset((*pos + 1) * width);
            *pos += 1;
            if let Some(value) = Obj::borrowed(*end.sub(1)) {
                return Some((Obj::new(*end.sub(2)), value));
            }
        }
        None
    }
}

/// The position after the last entry; `None` where the layout is not known.
#[cfg(known_dicts)]
pub fn end(dict: Obj) -> Option<isize> {
    let raw = dict.ptr().cast::<Dict>();
    // SAFETY: a dict by the caller's check, whose keys are alive with it.
    unsafe { Some(if (*raw).values.is_null() { (*(*raw).keys).entries } else { (*raw).used }) }
}

/// The position after the last entry.
#[cfg(not(Py_3_11))]
pub fn end(dict: Obj) -> Option<isize> {
    /// `PyDictKeysObject` (Objects/dict-common.h).
    #[repr(C)]
    struct Keys {
        refcnt: isize,
        size: isize,
        lookup: *const core::ffi::c_void,
        usable: isize,
        entries: isize,
    }
    let raw = dict.ptr().cast::<ffi::PyDictObject>();
    // SAFETY: a dict by the caller's check, whose keys are alive with it.
    unsafe {
        let entries = || (*(*raw).ma_keys.cast::<Keys>()).entries;
        Some(if (*raw).ma_values.is_null() { entries() } else { (*raw).ma_used })
    }
}

/// The position after the last entry: not known.
#[cfg(all(Py_3_11, not(known_dicts)))]
pub fn end(_dict: Obj) -> Option<isize> {
    None
}

/// Where the entries of a table begin.
///
/// # Safety
/// The table must be alive.
#[cfg(known_dicts)]
#[inline(always)]
pub(super) unsafe fn first_entry(keys: *const Keys) -> *const *mut ffi::PyObject {
    // SAFETY: the index, as long as the table says, and the entries follow it.
    unsafe { keys.add(1).cast::<u8>().add(1 << (*keys).log2_index_bytes).cast() }
}

/// How many entries a table has.
///
/// # Safety
/// The table must be alive.
#[cfg(known_dicts)]
#[inline(always)]
pub(super) unsafe fn entries(keys: *const Keys) -> usize {
    // SAFETY: the contract.
    unsafe { (*keys).entries as usize }
}

/// The entry at `pos`, which moves on; `None` at the end. Valid whatever
/// happened to the dict between two calls.
#[cfg(not(known_dicts))]
#[inline(always)]
pub fn next(dict: Obj, pos: &mut isize) -> Option<(Obj, Obj)> {
    let mut key = core::ptr::null_mut();
    let mut value = core::ptr::null_mut();
    // SAFETY: a dict by the caller's check; on success both are borrowed from it.
    unsafe {
        if ffi::PyDict_Next(dict.ptr(), pos, &mut key, &mut value) == 0 {
            return None;
        }
        Some((Obj::new(key), Obj::new(value)))
    }
}

/// A dict with the keys of the pairs, each with the value None, for
/// [`like`]; `None` where it has to be made in the usual way. Nobody else may
/// see it.
#[cfg(known_dicts)]
pub fn model(pairs: &[Own]) -> Result<Option<Own>, Raised> {
    let count = (pairs.len() / 2) as isize;
    // SAFETY: a new reference or null with an error set.
    let dict = unsafe { Own::from_new(ffi::PyDict_New())? };
    for pair in pairs.chunks_exact(2) {
        if !super::is_str(pair[0].ty()) {
            return Ok(None);
        }
        // SAFETY: an exact dict and live objects; -1 with an error set.
        if unsafe { ffi::PyDict_SetItem(dict.ptr(), pair[0].ptr(), ffi::Py_None()) } < 0 {
            return Err(Raised::set());
        }
    }
    // SAFETY: a dict that the collector knows or not: it shall not.
    unsafe { ffi::PyObject_GC_UnTrack(dict.ptr().cast()) };
    Ok((is_table_of_strs(dict.obj(), count)).then_some(dict))
}

/// Whether a dict has one table, of as many strs, and nothing was taken out.
#[cfg(known_dicts)]
#[inline(always)]
fn is_table_of_strs(dict: Obj, count: isize) -> bool {
    let raw = dict.ptr().cast::<Dict>();
    // SAFETY: a dict by the caller's check, whose keys are alive with it.
    unsafe {
        let keys = (*raw).keys;
        (*raw).values.is_null()
            && (*raw).used == count
            && (*keys).entries == count
            && (*keys).kind != GENERAL
    }
}

/// Whether the keys of a [`model`] are those of the pairs, in their order; there
/// are as many.
#[cfg(known_dicts)]
#[inline(always)]
pub fn has_keys(model: Obj, pairs: &[Own]) -> bool {
    // SAFETY: a model has a table of as many pairs of key and value.
    unsafe {
        let first = first_entry((*model.ptr().cast::<Dict>()).keys);
        (0..pairs.len() / 2).all(|at| *first.add(2 * at) == pairs[2 * at].ptr())
    }
}

/// A dict with the keys of a [`model`] and the values of the pairs from `from`
/// on, for which [`has_keys`] holds; they are taken off the stack.
#[cfg(known_dicts)]
#[inline(always)]
pub fn like(model: Obj, stack: &mut Vec<Own>, from: usize) -> Result<Option<Own>, Raised> {
    let count = (stack.len() - from) / 2;
    // SAFETY: a dict; a new reference or null with an error set.
    let dict = unsafe { Own::from_new(ffi::PyDict_Copy(model.ptr()))? };
    if !is_table_of_strs(dict.obj(), count as isize) {
        return Ok(None);
    }
    // SAFETY: nobody has seen the copy, whose table is the model's: the keys
    // of the pairs, with a reference to each, and None as often. The values of
    // the pairs take the places of None, each with the stack's reference.
    unsafe {
        let raw = dict.ptr().cast::<Dict>();
        let mut place = first_entry((*raw).keys).cast_mut().add(1);
        let mut may_be_in_cycles = false;
        for (at, object) in stack.drain(from..).enumerate() {
            if at % 2 == 1 {
                may_be_in_cycles |=
                    ffi::PyType_HasFeature(object.ty(), ffi::Py_TPFLAGS_HAVE_GC) != 0;
                *place = object.into_ptr();
                place = place.add(2);
            }
        }
        // From 3.12 on None counts no references.
        #[cfg(not(Py_3_12))]
        {
            (*ffi::Py_None()).ob_refcnt -= count as isize;
        }
        if may_be_in_cycles && ffi::PyObject_GC_IsTracked(dict.ptr()) == 0 {
            ffi::PyObject_GC_Track(dict.ptr().cast());
        }
    }
    Ok(Some(dict))
}

/// As above: not for this version.
#[cfg(not(known_dicts))]
pub fn model(_pairs: &[Own]) -> Result<Option<Own>, Raised> {
    Ok(None)
}

/// As above: there are no models.
#[cfg(not(known_dicts))]
pub fn has_keys(_model: Obj, _pairs: &[Own]) -> bool {
    false
}

/// As above: there are no models.
#[cfg(not(known_dicts))]
pub fn like(_model: Obj, _stack: &mut Vec<Own>, _from: usize) -> Result<Option<Own>, Raised> {
    Ok(None)
}

/// The entries as they are now, each with references of its own: for loops in
/// which code may run. Needs a dict.
pub fn items(dict: Obj) -> Vec<(Own, Own)> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some((key, value)) = next(dict, &mut position) {
        found.push((key.own(), value.own()));
    }
    found
}
