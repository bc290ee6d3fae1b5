//! NumPy scalars: their value, which is right after the object's header
//! (`arrayscalars.h`, the same in 1.x and 2.x), and how they are made.

use crate::dtype;
use core::ptr;
use numpy::npyffi::{NPY_TYPES, PY_ARRAY_API, PyArray_Descr, PyDataType_ELSIZE};
use pyo3::Python;
use pyo3::ffi::PyObject;

/// The scalar of a number's dtype with these bytes as its value: a new reference, or
/// null with an exception set. `None`, and nothing done, if it is no dtype of plain
/// numbers, or one of another size.
///
/// # Safety
/// `descr` must be a live object, and [`crate::prepare`] must have succeeded.
pub unsafe fn make(py: Python<'_>, descr: *mut PyObject, value: &[u8]) -> Option<*mut PyObject> {
    const NUMBERS: core::ops::RangeInclusive<i32> =
        NPY_TYPES::NPY_BOOL as i32..=NPY_TYPES::NPY_CLONGDOUBLE as i32;
    // SAFETY: a live object, by the contract.
    if !unsafe { dtype::is_dtype(py, descr) } {
        return None;
    }
    let descr = descr.cast::<PyArray_Descr>();
    // SAFETY: a dtype, as was found.
    let (number, len) = unsafe { ((*descr).fields.type_num, PyDataType_ELSIZE(py, descr)) };
    let is_number = NUMBERS.contains(&number) || number == NPY_TYPES::NPY_HALF as i32;
    if !is_number || usize::try_from(len) != Ok(value.len()) {
        return None;
    }
    // SAFETY: NumPy reads as many bytes as the dtype says, those of the value; where
    // they are of the other order it changes them in its copy.
    Some(unsafe {
        PY_ARRAY_API.PyArray_Scalar(py, value.as_ptr().cast_mut().cast(), descr, ptr::null_mut())
    })
}

/// The bytes of a scalar of a type with `len` bytes.
///
/// # Safety
/// `scalar` must be a live scalar of exactly a type for which [`len`] gave
/// `len`, and live as long as the bytes are used.
#[inline(always)]
pub unsafe fn bytes<'a>(scalar: *mut PyObject, len: usize) -> &'a [u8] {
    // SAFETY: the contract.
    unsafe { core::slice::from_raw_parts(scalar.add(1).cast::<u8>(), len) }
}

/// Bytes of the value of a scalar type, by its name without `numpy.`; `None`
/// where they differ from machine to machine.
pub fn len(name: &[u8]) -> Option<usize> {
    Some(match name {
        b"bool" | b"bool_" | b"int8" | b"uint8" => 1,
        b"int16" | b"uint16" | b"float16" => 2,
        b"int32" | b"uint32" | b"float32" => 4,
        b"int64" | b"uint64" | b"longlong" | b"ulonglong" | b"float64" | b"complex64" => 8,
        b"complex128" => 16,
        _ => return None,
    })
}
