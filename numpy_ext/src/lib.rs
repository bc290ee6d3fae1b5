//! NumPy arrays for ferropickle: between `ferropickle-core`, which knows memory and no Python, and the
//! extension, which knows Python and no array layout.
//!
//! * [`view`] reads an array's fields where they lie, [`dtype`] what is to be known of its elements, [`scalar`]
//!   the value of a scalar.
//! * [`rebuild`] makes an array over memory that another object keeps.
//!
//! NumPy itself is never imported from here: an array can only come from a process that has imported it, and so
//! can the functions that a stream names. [`prepare`] looks up NumPy's table of C functions in the module that is
//! loaded; until then nothing that needs it may be called. It runs Python code of NumPy's, so the walker calls it
//! between two walks.

#[allow(unsafe_code, reason = "fields of NumPy's dtypes")]
pub mod dtype;
#[allow(unsafe_code, reason = "arrays made by NumPy's C functions")]
pub mod rebuild;
#[allow(unsafe_code, reason = "the value of a scalar follows its header")]
pub mod scalar;
#[allow(unsafe_code, reason = "fields of NumPy's arrays")]
pub mod view;

use pyo3::PyResult;
use pyo3::prelude::*;

/// Finds NumPy's table of C functions. NumPy must be imported already.
///
/// # Errors
/// What an attribute of NumPy's raised, or that it is of a version too old or
/// too new.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    // rust-numpy panics where its table cannot be had: ask first.
    let numpy = py.import("numpy")?;
    let core = if numpy.hasattr("_core")? { "numpy._core" } else { "numpy.core" };
    py.import(format!("{core}.multiarray"))?.getattr("_ARRAY_API")?;
    let table = std::panic::catch_unwind(|| numpy::npyffi::is_numpy_2(py));
    table.map(drop).map_err(|_| {
        pyo3::exceptions::PyImportError::new_err("this version of NumPy is not supported")
    })
}
