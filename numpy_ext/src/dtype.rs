//! What is to be known of an element type.
//!
//! The struct of a dtype differs between NumPy 1 and 2; rust-numpy tells them
//! apart, once [`crate::prepare`] was called.

use numpy::npyffi::{
    NPY_ITEM_HASOBJECT, NPY_ITEM_IS_POINTER, NPY_LIST_PICKLE, NPY_TYPES, NpyTypes, PyArray_Descr,
    PyDataType_ELSIZE, PyDataType_FLAGS, PyDataType_METADATA, PyDataType_SUBARRAY, get_type_object,
};
use pyo3::Python;
use pyo3::ffi::{PyObject, PyObject_TypeCheck};

/// How the elements of an array travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// As the bytes that they are, so many each.
    Bytes(usize),
    /// They are references to Python objects.
    Objects,
    /// As only their own `__reduce_ex__` knows.
    Reduce,
}

/// How elements of a dtype travel.
///
/// # Safety
/// `descr` must be a live dtype, and [`crate::prepare`] must have succeeded.
pub unsafe fn elements(py: Python<'_>, descr: *mut PyObject) -> Elements {
    let descr = descr.cast::<PyArray_Descr>();
    // SAFETY: the contract.
    let (size, flags, number, metadata) = unsafe {
        (
            PyDataType_ELSIZE(py, descr),
            PyDataType_FLAGS(py, descr),
            (*descr).fields.type_num,
            PyDataType_METADATA(py, descr),
        )
    };
    // SAFETY: the contract.
    let is_array = unsafe { !PyDataType_SUBARRAY(py, descr).is_null() };
    let size = usize::try_from(size).unwrap_or(0);
    if size == 0 || !metadata.is_null() || is_array {
        // Metadata may lead anywhere, to the array as well; and no array has
        // elements that are arrays, whose axes become its own.
        return Elements::Reduce;
    }
    if number == NPY_TYPES::NPY_OBJECT as i32 {
        return if size == size_of::<*mut PyObject>() {
            Elements::Objects
        } else {
            Elements::Reduce
        };
    }
    // Those from here on keep their values elsewhere, or have references among
    // their fields.
    let elsewhere = NPY_ITEM_HASOBJECT | NPY_ITEM_IS_POINTER | NPY_LIST_PICKLE;
    if flags & elsewhere != 0 { Elements::Reduce } else { Elements::Bytes(size) }
}

/// Whether an object is a dtype.
///
/// # Safety
/// `obj` must be a live object, and [`crate::prepare`] must have succeeded.
pub unsafe fn is_dtype(py: Python<'_>, obj: *mut PyObject) -> bool {
    // SAFETY: the contract.
    unsafe { PyObject_TypeCheck(obj, get_type_object(py, NpyTypes::PyArrayDescr_Type)) != 0 }
}
