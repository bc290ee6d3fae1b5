//! Where in the stream something failed, for errors of a load.

use crate::error::{Raised, annotate, raise_decode};
use ferropickle_core::decode::{Cause, DecodeError};
use ferropickle_core::opcode::name_of_byte;
use pyo3::PyErr;
use pyo3::prelude::*;

/// The exception of a failed load: a fault of the stream says its offset and
/// opcode itself; any other exception keeps its type and gets a note.
#[cold]
pub fn explain(py: Python<'_>, error: DecodeError<Raised>) -> PyErr {
    let place = || format!("at byte {} (opcode {})", error.at, name_of_byte(error.op));
    match error.cause {
        Cause::Format(fault) => raise_decode(fault, error.at, error.op).into_py(py),
        Cause::Build(raised) if raised.is_no_memory() => raised.into_py(py),
        Cause::Build(raised) => {
            let note = format!("ferropickle: while loading, {}", place());
            annotate(py, raised, &note, None)
        }
    }
}
