//! Sets and frozensets: elements read where they lie.
//!
//! Read for CPython 3.10 to 3.14, whose `PySetObject`
//! (`Include/cpython/setobject.h`) is the same: a table of `mask + 1` places,
//! each an element and its hash. Positions are those of `_PySet_NextEntry`.

use super::{Obj, prefetch};
use pyo3::ffi;

/// The hash of a place whose element was removed: no object has it, as it tells
/// of an error.
const REMOVED: ffi::Py_hash_t = -1;
/// Places that are read at once, while the elements of as many more are asked of
/// memory: they lie there in another order than in the table.
const CHUNK: usize = 32;

/// Number of elements. Needs a set or frozenset, or an object of a subclass.
#[inline(always)]
pub fn len(set: Obj) -> isize {
    // SAFETY: the caller checked the type.
    unsafe { (*set.ptr().cast::<ffi::PySetObject>()).used }
}

/// The places of the table.
#[inline(always)]
pub fn end(set: Obj) -> isize {
    // SAFETY: a set or frozenset by the caller's check.
    unsafe { (*set.ptr().cast::<ffi::PySetObject>()).mask + 1 }
}

/// The element at `pos` or after it, which moves on; `None` at the end. Valid
/// whatever happened to the set between two calls.
#[inline(always)]
pub fn next(set: Obj, pos: &mut isize) -> Option<Obj> {
    let raw = set.ptr().cast::<ffi::PySetObject>();
    // SAFETY: a set or frozenset by the caller's check, whose table has
    // `mask + 1` places. One that is neither empty nor has lost its element
    // holds a reference to it.
    unsafe {
        while *pos <= (*raw).mask {
            let place = (*raw).table.offset(*pos);
            *pos += 1;
            if (*place).hash != REMOVED
                && let Some(element) = Obj::borrowed((*place).key)
            {
                return Some(element);
            }
        }
    }
    None
}

/// The elements of neighbouring places.
pub struct Chunk {
    keys: [*mut ffi::PyObject; CHUNK],
    /// Where each is, from the first place on.
    places: [u8; CHUNK],
    len: usize,
    from: isize,
    end: isize,
}

impl Chunk {
    /// The elements, which must be alive still, each with the position after it.
    #[inline(always)]
    pub fn elements(&self) -> impl Iterator<Item = (Obj, isize)> {
        let places = self.keys.iter().zip(&self.places).take(self.len);
        // SAFETY: the set holds a reference to each.
        places.map(|(key, place)| unsafe { (Obj::new(*key), self.from + isize::from(*place) + 1) })
    }

    /// The position after the last place.
    #[inline(always)]
    pub fn end(&self) -> isize {
        self.end
    }
}

/// The elements at `pos` and the places after it; `None` at the end of the table.
#[inline(always)]
pub fn chunk(set: Obj, pos: isize) -> Option<Chunk> {
    let places = end(set) - pos;
    if places <= 0 {
        return None;
    }
    let count = (places as usize).min(CHUNK);
    let (mut keys, mut numbers) = ([core::ptr::null_mut(); CHUNK], [0; CHUNK]);
    let mut len = 0;
    // SAFETY: a set or frozenset by the caller's check, whose table has `mask + 1`
    // places.
    unsafe {
        let raw = set.ptr().cast::<ffi::PySetObject>();
        let (table, mask) = ((*raw).table, (*raw).mask);
        for number in 0..count {
            let at = pos + number as isize;
            let place = table.offset(at);
            // No branch, as there is no telling which places have elements.
            keys[len] = (*place).key;
            numbers[len] = number as u8;
            len += usize::from(!(*place).key.is_null() & ((*place).hash != REMOVED));
            prefetch((*table.offset((at + CHUNK as isize) & mask)).key.cast());
        }
    }
    Some(Chunk { keys, places: numbers, len, from: pos, end: pos + count as isize })
}
