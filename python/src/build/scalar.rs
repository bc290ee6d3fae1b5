//! None, bools, ints and floats.

use crate::error::Raised;
use crate::fast::{self, Exc, Obj, Own};
use pyo3::ffi;
use std::ffi::CString;

#[inline(always)]
pub fn none() -> Own {
    fast::none().own()
}

#[inline(always)]
pub fn bool(value: bool) -> Own {
    // SAFETY: the singletons are alive.
    unsafe { Obj::new(if value { ffi::Py_True() } else { ffi::Py_False() }) }.own()
}

#[inline(always)]
pub fn float(value: f64) -> Result<Own, Raised> {
    // SAFETY: a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyFloat_FromDouble(value)) }
}

/// The text up to a NUL, which ends a number as in stock's C.
fn c_text(text: &[u8]) -> Result<CString, Raised> {
    let number = text.split(|byte| *byte == 0).next().unwrap_or_default();
    CString::new(number).map_err(|_| Raised::no_memory())
}

/// An int from text, as `int(text, 0)` reads it, from 3.14 on `int(text)`.
pub fn int_text(text: &[u8]) -> Result<Own, Raised> {
    const BASE: core::ffi::c_int = if cfg!(Py_3_14) { 10 } else { 0 };
    let text = c_text(text)?;
    // SAFETY: a NUL-terminated text; a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyLong_FromString(text.as_ptr(), core::ptr::null_mut(), BASE)) }
}

/// A float from text, as `float(text)` reads it.
pub fn float_text(text: &[u8]) -> Result<Own, Raised> {
    let text = c_text(text)?;
    let mut end = core::ptr::null_mut();
    // SAFETY: a NUL-terminated text; the end pointer is into it.
    unsafe {
        let value = ffi::PyOS_string_to_double(text.as_ptr(), &mut end, ffi::PyExc_OverflowError);
        if value == -1.0 && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised::set());
        }
        if *end != 0 {
            return Err(Raised::new(Exc::ValueError, "could not convert string to float"));
        }
        float(value)
    }
}
