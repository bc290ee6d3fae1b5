//! Arrays over memory that another object keeps.

use crate::view;
use core::ffi::c_int;
use core::ptr;
use numpy::npyffi::{
    NPY_ARRAY_WRITEABLE, NpyTypes, PY_ARRAY_API, PyArray_Descr, PyArrayObject, get_type_object,
};
use pyo3::Python;
use pyo3::ffi::{self, PyObject};

/// Most axes of an array, in every version since 2.0; earlier ones allow 32 and
/// say so themselves.
const MOST_AXES: usize = 64;

/// Memory that an object keeps where it is.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The first byte.
    pub start: *mut u8,
    /// Bytes from there on.
    pub len: usize,
    /// Whether it must not be written to.
    pub read_only: bool,
    /// The object.
    pub keeper: *mut PyObject,
}

/// What the array over the memory is to be.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// The dtype.
    pub descr: *mut PyObject,
    /// Bytes of one element, by its dtype.
    pub item_bytes: usize,
    /// Length of each axis.
    pub shape: &'a [isize],
    /// Bytes from one element to the next along each axis.
    pub strides: &'a [isize],
    /// Offset of the first element in the memory.
    pub offset: usize,
}

impl Form<'_> {
    /// Whether every element lies within so many bytes.
    pub fn fits(&self, len: usize) -> bool {
        if self.shape.len() > MOST_AXES {
            return false;
        }
        view::layout(self.shape, self.strides, self.item_bytes).is_some_and(|layout| {
            let low = self.offset.checked_sub(layout.before());
            let end = low.and_then(|low| low.checked_add(layout.extent()));
            end.is_some_and(|end| end <= len)
        })
    }
}

/// An `ndarray` over the memory, which it keeps by a reference to the keeper: a
/// new reference, or null with an exception set. `None`, and nothing done, if
/// an element would lie outside.
///
/// # Safety
/// `form.descr` must be a live dtype whose elements are plain bytes, so many
/// each; the memory must be there as long as the keeper lives; and
/// [`crate::prepare`] must have succeeded.
pub unsafe fn array(py: Python<'_>, form: &Form<'_>, memory: &Memory) -> Option<*mut PyObject> {
    if !form.fits(memory.len) {
        return None;
    }
    // SAFETY: every element lies within the memory, checked above. NumPy copies
    // shape and strides, takes over the reference to the dtype, and on success
    // that to the keeper; it drops what it was given when it fails.
    unsafe {
        let class = get_type_object(py, NpyTypes::PyArray_Type);
        ffi::Py_INCREF(form.descr);
        let made = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            class,
            form.descr.cast::<PyArray_Descr>(),
            form.shape.len() as c_int,
            form.shape.as_ptr().cast_mut(),
            form.strides.as_ptr().cast_mut(),
            memory.start.wrapping_add(form.offset).cast(),
            if memory.read_only { 0 } else { NPY_ARRAY_WRITEABLE },
            ptr::null_mut(),
        );
        if made.is_null() {
            return Some(made);
        }
        ffi::Py_INCREF(memory.keeper);
        if PY_ARRAY_API.PyArray_SetBaseObject(py, made.cast::<PyArrayObject>(), memory.keeper) < 0 {
            ffi::Py_DECREF(made);
            return Some(ptr::null_mut());
        }
        Some(made)
    }
}
