//! Values beside keys that several dicts or instances share.

use core::ffi::c_void;
use pyo3::ffi;

/// `PyDictValues` (internal/pycore_dict.h): the values by the places of their
/// keys, and the order in which they were set.
///
/// Up to 3.12 the order lies before the values, backwards, before two bytes: how
/// many are set, and how many bytes these two and the order take. From 3.13 on
/// there are four bytes before the values, padded, of which the first says how
/// many places there are and the second how many are set; the order is behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values(*mut u8);

impl Values {
    /// # Safety
    /// They must be alive while this is used; so it is for all that follow.
    #[inline(always)]
    pub unsafe fn of(values: *const c_void) -> Values {
        Values(values.cast_mut().cast())
    }

    #[inline(always)]
    unsafe fn first(self) -> *mut *mut ffi::PyObject {
        let head = if cfg!(Py_3_13) { 1 } else { 0 };
        // SAFETY: the contract of `of`.
        unsafe { self.0.cast::<*mut ffi::PyObject>().add(head) }
    }

    /// Where the order has the value number `at`; there must be room for it.
    #[inline(always)]
    unsafe fn order(self, at: isize) -> *mut u8 {
        // SAFETY: the contract of `of`.
        unsafe {
            if cfg!(Py_3_13) {
                self.first().add((*self.0).into()).cast::<u8>().offset(at)
            } else {
                self.0.offset(-3 - at)
            }
        }
    }

    #[inline(always)]
    unsafe fn len_byte(self) -> *mut u8 {
        // SAFETY: the contract of `of`.
        unsafe { if cfg!(Py_3_13) { self.0.add(1) } else { self.0.sub(2) } }
    }

    /// How many are set.
    #[inline(always)]
    pub unsafe fn len(self) -> u8 {
        // SAFETY: the contract of `of`.
        unsafe { *self.len_byte() }
    }

    /// Says that the first so many of the order are set.
    #[inline(always)]
    pub unsafe fn set_len(self, len: usize) {
        // SAFETY: the contract of `of`.
        unsafe { *self.len_byte() = len as u8 }
    }

    /// How many can be.
    #[inline(always)]
    pub unsafe fn room(self) -> usize {
        // SAFETY: the contract of `of`.
        unsafe {
            if cfg!(Py_3_13) {
                (*self.0).into()
            } else {
                usize::from(*self.0.sub(1)).saturating_sub(2)
            }
        }
    }

    /// Whether there is such a place; up to 3.12 there is if the keys have it.
    #[inline(always)]
    pub unsafe fn has(self, place: u8) -> bool {
        // SAFETY: the contract of `of`.
        !cfg!(Py_3_13) || place < unsafe { *self.0 }
    }

    /// The place and the value that came number `at`; it must be set.
    #[inline(always)]
    pub unsafe fn get(self, at: isize) -> (usize, *mut ffi::PyObject) {
        // SAFETY: the contract of `of`.
        unsafe {
            let place = usize::from(*self.order(at));
            (place, *self.first().add(place))
        }
    }

    /// Fills an empty place, as number `at`; there must be both.
    #[inline(always)]
    pub unsafe fn put(self, at: isize, place: u8, value: *mut ffi::PyObject) {
        // SAFETY: the contract of `of`.
        unsafe {
            *self.first().add(place.into()) = value;
            *self.order(at) = place;
        }
    }
}
