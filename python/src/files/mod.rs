//! Files: `ferropickle._files` over the archives of the core.
//!
//! | to change | open |
//! |---|---|
//! | how an object is written to a file | `save.rs` |
//! | how a file is opened, its objects read | `archive.rs` |
//! | what is told of long work | `ticker.rs` |

pub mod archive;
pub mod save;
mod ticker;

use crate::error::raise_fault_of;
use ferropickle_core::parcel::file::read::ReadError;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::io;

/// The exception of a system's refusal, with the file's name as Python has it.
#[cold]
fn raise_system(py: Python<'_>, error: io::Error, path: &Bound<'_, PyAny>) -> PyErr {
    let Some(number) = error.raw_os_error() else { return error.into() };
    let text = py.import("os").and_then(|os| os.call_method1("strerror", (number,)));
    match text {
        Ok(text) => PyOSError::new_err((number, text.unbind(), path.clone().unbind())),
        Err(_) => error.into(),
    }
}

/// The exception of a file that cannot be read.
#[cold]
fn raise_read(py: Python<'_>, error: ReadError, path: &Bound<'_, PyAny>) -> PyErr {
    match error {
        ReadError::System(error) => raise_system(py, error, path),
        ReadError::Fault(fault) => raise_fault_of(&fault, Some(&path.to_string())).into_py(py),
    }
}
