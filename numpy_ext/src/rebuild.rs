//! Arrays over memory that another object keeps.

use crate::view;
use core::ffi::c_int;
use core::ptr;
use numpy::npyffi::{
    NPY_ARRAY_F_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NpyTypes, PY_ARRAY_API, PyArray_Descr,
    PyArrayObject, get_type_object,
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
    let (shape, strides) = (form.shape, form.strides.as_ptr());
    // SAFETY: every element lies within the memory, checked above; the rest is the contract.
    Some(unsafe { over(py, form.descr, shape, strides, form.offset, 0, memory) })
}

/// Bytes of an array of one block; `None` if a length is negative, or if there
/// are more bytes or axes than an array can have.
pub fn block_bytes(shape: &[isize], item_bytes: usize) -> Option<usize> {
    if shape.len() > MOST_AXES {
        return None;
    }
    let (mut bytes, mut empty) = (isize::try_from(item_bytes).ok()?, false);
    for &len in shape {
        // As NumPy has it, an axis of no length takes no part in this.
        match len {
            0 => empty = true,
            1.. => bytes = bytes.checked_mul(len)?,
            _ => return None,
        }
    }
    Some(if empty { 0 } else { bytes as usize })
}

/// As [`array`] of one block that begins where the memory does, the last axis
/// fastest, or with `fortran` the first. `None`, and nothing done, if it is not
/// as long as the memory.
///
/// # Safety
/// As for [`array`].
pub unsafe fn block(
    py: Python<'_>,
    descr: *mut PyObject,
    item_bytes: usize,
    shape: &[isize],
    fortran: bool,
    memory: &Memory,
) -> Option<*mut PyObject> {
    if block_bytes(shape, item_bytes)? != memory.len {
        return None;
    }
    let order = if fortran { NPY_ARRAY_F_CONTIGUOUS } else { 0 };
    // SAFETY: the elements are all of the memory; without strides NumPy lays them
    // one after another. The rest is the contract.
    Some(unsafe { over(py, descr, shape, ptr::null(), 0, order, memory) })
}

/// # Safety
/// Every element must lie within the memory; else as for [`array`].
unsafe fn over(
    py: Python<'_>,
    descr: *mut PyObject,
    shape: &[isize],
    strides: *const isize,
    offset: usize,
    order: c_int,
    memory: &Memory,
) -> *mut PyObject {
    // SAFETY: NumPy copies shape and strides, takes over the reference to the dtype,
    // and on success that to the keeper; it drops what it was given when it fails.
    unsafe {
        let class = get_type_object(py, NpyTypes::PyArray_Type);
        ffi::Py_INCREF(descr);
        let made = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            class,
            descr.cast::<PyArray_Descr>(),
            shape.len() as c_int,
            shape.as_ptr().cast_mut(),
            strides.cast_mut(),
            memory.start.wrapping_add(offset).cast(),
            if memory.read_only { order } else { order | NPY_ARRAY_WRITEABLE },
            ptr::null_mut(),
        );
        if made.is_null() {
            return made;
        }
        ffi::Py_INCREF(memory.keeper);
        if PY_ARRAY_API.PyArray_SetBaseObject(py, made.cast::<PyArrayObject>(), memory.keeper) < 0 {
            ffi::Py_DECREF(made);
            return ptr::null_mut();
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::block_bytes;

    #[test]
    fn the_bytes_of_a_block() {
        assert_eq!(block_bytes(&[], 8), Some(8));
        assert_eq!(block_bytes(&[3, 5], 4), Some(60));
        assert_eq!(block_bytes(&[3, 0, 5], 4), Some(0));
        for wrong in [&[-1][..], &[0, -3], &[isize::MAX, 2], &[0, isize::MAX, 2], &[1; 65]] {
            assert_eq!(block_bytes(wrong, 4), None);
        }
    }
}
