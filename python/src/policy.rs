//! The choices of one dump or load, as a value.

use crate::fast::Obj;
use crate::types;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::sync::OnceLock;

/// What the cyclic collector does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum GcChoice {
    /// Put off until the call ends (the default).
    #[default]
    Pause,
    /// Left as it is.
    Keep,
}

/// How errors are worded, and what is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Face {
    /// Ferropickle's own: texts begin with the path.
    #[default]
    Own,
    /// As the standard library's pickle: its texts, the path in a note.
    Pickle,
}

/// The choices in effect for one call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Choices {
    pub gc: GcChoice,
    pub face: Face,
}

/// The choices of a dump or load. Immutable; compared by value.
///
/// gc: "pause" puts the cyclic collector off until the call ends, "keep"
/// leaves it as it is.
#[pyclass(frozen, eq, hash, module = "ferropickle", name = "Policy")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Policy {
    pub choices: Choices,
}

fn gc_of<'a>(given: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    crate::api::text_of(given, "gc")
}

fn face_of<'a>(given: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    crate::api::text_of(given, "face")
}

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (*, gc = "pause", face = "ferropickle"))]
    fn new(
        #[pyo3(from_py_with = gc_of)] gc: &str,
        #[pyo3(from_py_with = face_of)] face: &str,
    ) -> PyResult<Policy> {
        let gc = match gc {
            "pause" => GcChoice::Pause,
            "keep" => GcChoice::Keep,
            other => {
                let text = format!("gc must be 'pause' or 'keep', not {other:?}");
                return Err(PyValueError::new_err(text));
            }
        };
        let face = match face {
            "ferropickle" => Face::Own,
            "pickle" => Face::Pickle,
            other => {
                let text = format!("face must be 'ferropickle' or 'pickle', not {other:?}");
                return Err(PyValueError::new_err(text));
            }
        };
        Ok(Policy { choices: Choices { gc, face } })
    }

    /// What the cyclic collector does meanwhile: "pause" or "keep".
    #[getter]
    fn gc(&self) -> &'static str {
        match self.choices.gc {
            GcChoice::Pause => "pause",
            GcChoice::Keep => "keep",
        }
    }

    /// Whose contract holds: "ferropickle" or "pickle".
    #[getter]
    fn face(&self) -> &'static str {
        match self.choices.face {
            Face::Own => "ferropickle",
            Face::Pickle => "pickle",
        }
    }

    fn __repr__(&self) -> String {
        format!("Policy(gc='{}', face='{}')", self.gc(), self.face())
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (Py<PyAny>,))> {
        let py = slf.py();
        let this = slf.get();
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item("gc", this.gc())?;
        kwargs.set_item("face", this.face())?;
        let rebuild = py.import("ferropickle._policy")?.getattr("_policy_from")?;
        Ok((rebuild.unbind(), (kwargs.into_any().unbind(),)))
    }
}

struct ContextVar(*mut ffi::PyObject);
// SAFETY: an object that lives as long as the process, used with the GIL held.
unsafe impl Send for ContextVar {}
// SAFETY: as above.
unsafe impl Sync for ContextVar {}
static CURRENT: OnceLock<ContextVar> = OnceLock::new();

/// Makes the context variable that `ferropickle.policy(...)` sets.
pub fn init(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let var = py.import("_contextvars")?.getattr("ContextVar")?.call1(("ferropickle_policy",))?;
    let _ = CURRENT.set(ContextVar(var.clone().into_ptr()));
    Ok(var)
}

/// The choices for a call: its own policy, else the context's, else `default`.
#[inline]
pub fn choose(given: Option<&Bound<'_, PyAny>>, default: Choices) -> PyResult<Choices> {
    if let Some(given) = given
        && !given.is_none()
    {
        return of(given);
    }
    let Some(var) = CURRENT.get() else { return Ok(default) };
    let mut value = core::ptr::null_mut();
    // SAFETY: a live context variable; on success a new reference or null.
    let value = unsafe {
        if ffi::PyContextVar_Get(var.0, core::ptr::null_mut(), &mut value) < 0 {
            ffi::PyErr_Clear();
            return Ok(default);
        }
        Obj::borrowed(value)
    };
    match value {
        None => Ok(default),
        Some(value) => Python::attach(|py| {
            let bound = types::to_bound(py, value);
            value.decref();
            of(&bound)
        }),
    }
}

fn of(policy: &Bound<'_, PyAny>) -> PyResult<Choices> {
    match policy.cast::<Policy>() {
        Ok(policy) => Ok(policy.get().choices),
        Err(_) => {
            let name = policy.get_type().name()?;
            Err(PyTypeError::new_err(format!("policy must be a Policy or None, not {name}")))
        }
    }
}
