//! Globals of cloudpickle and dill where the package is not installed.

use crate::error::{Raised, display};
use crate::fast::{self, Obj, Own};
use crate::types;
use pyo3::exceptions::{PyAttributeError, PyModuleNotFoundError};
use pyo3::prelude::*;

/// What a stream means by a global that could not be found, if it is a peer's;
/// else the error of that search, as it was.
///
/// Raises UnpicklingError for a name of a peer that ferropickle does not know.
#[cold]
pub fn find(module: Obj, name: Obj, raised: Raised) -> Result<Own, Raised> {
    if !fast::is_str(module.ty()) || !fast::is_str(name.ty()) {
        return Err(raised);
    }
    Python::attach(|py| {
        let error = raised.into_py(py);
        if !is_peers(py, &display(module), &display(name), &error) {
            return Err(Raised::from_py(error));
        }
        let found = py
            .import("ferropickle.compat._streams")
            .and_then(|streams| streams.getattr("find"))
            .and_then(|find| find.call1((types::to_bound(py, module), types::to_bound(py, name))));
        found.map(|found| types::from_bound(&found)).map_err(Raised::from_py)
    })
}

/// Whether the search failed because a peer is not installed, and not because
/// an installed one lacks the name or is broken.
fn is_peers(py: Python<'_>, module: &str, name: &str, error: &PyErr) -> bool {
    let missing = error.is_instance_of::<PyModuleNotFoundError>(py);
    if module == "__builtin__" {
        // dill's own names, in a module of Python 2 that protocols before 3 rename.
        let known = matches!(name, "__main__" | "NoneType");
        return known && (missing || error.is_instance_of::<PyAttributeError>(py));
    }
    let root = module.split('.').next();
    if !missing || !matches!(root, Some("cloudpickle" | "dill")) {
        return false;
    }
    let absent = error.value(py).getattr("name").and_then(|absent| absent.extract::<String>());
    absent.is_ok_and(|absent| module == absent || module.starts_with(&format!("{absent}.")))
}
