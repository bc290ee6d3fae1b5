//! Functions that CPython exports and PyO3 does not declare.
//!
//! Private ones (a leading underscore) are there in every version from 3.10 to
//! 3.14; where a version replaced one, the public successor is used.

use core::ffi::c_int;
use pyo3::ffi::{PyObject, PyTypeObject};

unsafe extern "C" {
    // Include/cpython/object.h: borrowed reference or null, no error set.
    pub fn _PyType_Lookup(ty: *mut PyTypeObject, name: *mut PyObject) -> *mut PyObject;
    // Include/cpython/bytesobject.h: frees the object on failure.
    pub fn _PyBytes_Resize(bytes: *mut *mut PyObject, len: isize) -> c_int;
    // Include/cpython/dictobject.h, later internal/pycore_dict.h, exported.
    pub fn _PyDict_NewPresized(len: isize) -> *mut PyObject;
    // 1 and a new reference, 0 if there is no such attribute, -1 on error.
    #[cfg(not(Py_3_13))]
    #[link_name = "_PyObject_LookupAttr"]
    pub fn PyObject_GetOptionalAttr(
        obj: *mut PyObject,
        name: *mut PyObject,
        result: *mut *mut PyObject,
    ) -> c_int;
    #[cfg(Py_3_13)]
    pub fn PyObject_GetOptionalAttr(
        obj: *mut PyObject,
        name: *mut PyObject,
        result: *mut *mut PyObject,
    ) -> c_int;
    // Include/cpython/classobject.h: both results are borrowed.
    pub static mut PyMethod_Type: PyTypeObject;
    pub fn PyMethod_Function(method: *mut PyObject) -> *mut PyObject;
    pub fn PyMethod_Self(method: *mut PyObject) -> *mut PyObject;
    // Include/import.h, Include/sysmodule.h.
    pub fn PySys_Audit(
        event: *const core::ffi::c_char,
        format: *const core::ffi::c_char,
        ...
    ) -> c_int;
}
