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

use crate::error::{raise_fault_of, raise_system};
use ferropickle_core::parcel::file::read::ReadError;
use pyo3::prelude::*;

/// The exception of a file that cannot be read.
#[cold]
fn raise_read(py: Python<'_>, error: ReadError, path: &Bound<'_, PyAny>) -> PyErr {
    match error {
        ReadError::System(error) => raise_system(py, error, Some(path)),
        ReadError::Fault(fault) => raise_fault_of(&fault, Some(&path.to_string())).into_py(py),
    }
}
