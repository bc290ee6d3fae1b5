//! Where in the stream something failed, for errors of a load.

use crate::error::{Raised, annotate, is_no_memory, raise_decode};
use ferropickle_core::decode::{Cause, DecodeError};
use ferropickle_core::opcode::name_of_byte;
use pyo3::PyErr;
use pyo3::prelude::*;

/// The exception of a failed load: a fault of the stream says its offset and
/// opcode itself; any other exception keeps its type and gets a note.
#[cold]
pub fn explain(py: Python<'_>, error: DecodeError<Raised>) -> PyErr {
    let raised = match error.cause {
        Cause::Format(fault) => return raise_decode(fault, error.at, error.op).into_py(py),
        Cause::Build(raised) => raised,
    };
    let exception = raised.into_py(py);
    if is_no_memory(&exception, py) {
        return exception;
    }
    exception.restore(py);
    let opcode = name_of_byte(error.op);
    let note = format!("ferropickle: while loading, at byte {} (opcode {opcode})", error.at);
    annotate(py, Raised::set(), &note, None)
}
