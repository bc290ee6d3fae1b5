//! Exceptions: how a fault becomes one, and the path that it carries.
//!
//! Inside the engine an error is [`Raised`]: the exception itself is set in
//! the interpreter, as in C. That keeps results one byte wide on hot paths.

use crate::fast::{self, Exc, Obj, Own};
use crate::types;
use ferropickle_core::Error;
use ferropickle_core::parcel::{Fault, Kind};
use ferropickle_gpu::GpuError;
use pyo3::PyErr;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};

/// An exception is set in this thread.
#[derive(Debug)]
#[must_use = "an exception is set and must be reported or cleared"]
pub struct Raised(());

/// For what is only asked whether it can be had.
pub trait OrNone<T> {
    /// The value; the exception is cleared where there is one in its place.
    fn or_none(self) -> Option<T>;
}

impl<T> OrNone<T> for Result<T, Raised> {
    #[inline]
    fn or_none(self) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(raised) => {
                raised.discard();
                None
            }
        }
    }
}

impl Raised {
    /// Says that an exception is set. One is, if there was none: a C function
    /// that fails without telling why must not become a crash.
    #[cold]
    pub fn set() -> Raised {
        // SAFETY: the GIL is held.
        unsafe {
            if ffi::PyErr_Occurred().is_null() {
                ffi::PyErr_SetString(
                    ffi::PyExc_SystemError,
                    c"error return without exception set".as_ptr(),
                );
            }
        }
        Raised(())
    }

    /// Raises a built-in exception.
    #[cold]
    pub fn new(which: Exc, text: &str) -> Raised {
        Raised::of(fast::unsafe_exc(which), text)
    }

    /// Raises an exception of a class.
    #[cold]
    pub fn of(class: Obj, text: &str) -> Raised {
        if let Ok(text) = fast::new_str(text) {
            // SAFETY: a class and an object, both alive.
            unsafe { ffi::PyErr_SetObject(class.ptr(), text.ptr()) };
        }
        Raised::set()
    }

    /// Raises PicklingError.
    #[cold]
    pub fn pickling(text: &str) -> Raised {
        Raised::of(types::get().pickling_error.obj(), text)
    }

    /// Raises UnpicklingError.
    #[cold]
    pub fn unpickling(text: &str) -> Raised {
        Raised::of(types::get().unpickling_error.obj(), text)
    }

    /// Raises MemoryError.
    #[cold]
    pub fn no_memory() -> Raised {
        // SAFETY: the GIL is held; the exception is preallocated.
        unsafe { ffi::PyErr_NoMemory() };
        Raised::set()
    }

    /// Takes a PyO3 error.
    #[cold]
    pub fn from_py(error: PyErr) -> Raised {
        // SAFETY: the GIL is held.
        Python::attach(|py| error.restore(py));
        Raised(())
    }

    /// Clears the exception.
    pub fn discard(self) {
        // SAFETY: the GIL is held.
        unsafe { ffi::PyErr_Clear() };
    }

    /// The exception that `make` raises, given the text of this one, in its
    /// place. From 3.14 on this one is its context, as in the standard library.
    #[cold]
    pub fn replaced(self, make: impl FnOnce(&str) -> Raised) -> Raised {
        Python::attach(|py| {
            let first = self.into_py(py);
            let error = make(&first.value(py).to_string()).into_py(py);
            if cfg!(Py_3_14) {
                error.set_context(py, Some(first));
            }
            Raised::from_py(error)
        })
    }

    /// Clears the exception if it is of a class; says whether it did.
    pub fn clear_if(&self, class: impl Fn() -> Obj) -> bool {
        // SAFETY: the GIL is held; the class is alive.
        unsafe {
            if ffi::PyErr_ExceptionMatches(class().ptr()) == 0 {
                return false;
            }
            ffi::PyErr_Clear();
        }
        true
    }

    /// The exception as PyO3's.
    pub fn into_py(self, py: Python<'_>) -> PyErr {
        PyErr::fetch(py)
    }
}

static PARCEL_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The class `ferropickle.ParcelError`.
pub fn parcel_error(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = PARCEL_ERROR.get_or_try_init(py, || {
        let base = types::to_bound(py, types::get().unpickling_error.obj());
        let doc = c"A parcel or a file that is truncated, altered or none; the text says where.";
        PyErr::new_type(
            py,
            c"ferropickle.ParcelError",
            Some(doc),
            Some(base.cast::<PyType>()?),
            None,
        )
    })?;
    Ok(class.bind(py).clone())
}

static DEVICE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The class `ferropickle.DeviceError`.
pub fn device_error(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = DEVICE_ERROR.get_or_try_init(py, || {
        let base = py.get_type::<pyo3::exceptions::PyRuntimeError>();
        let doc = c"There is no device, driver or library for an array, or it fails; the text says which.";
        PyErr::new_type(py, c"ferropickle.DeviceError", Some(doc), Some(&base), None)
    })?;
    Ok(class.bind(py).clone())
}

/// Raises `DeviceError`.
#[cold]
pub fn raise_device(text: &str) -> Raised {
    Python::attach(|py| match device_error(py) {
        Ok(class) => Raised::from_py(PyErr::from_type(class, text.to_owned())),
        Err(error) => Raised::from_py(error),
    })
}

/// Raises the exception of what a driver says.
#[cold]
pub fn raise_gpu(error: &GpuError) -> Raised {
    raise_device(&error.to_string())
}

/// Raises the exception of a fault of a parcel.
#[cold]
pub fn raise_fault(fault: &Fault) -> Raised {
    raise_fault_of(fault, None)
}

/// As [`raise_fault`], for a file of that name.
#[cold]
pub fn raise_fault_of(fault: &Fault, file: Option<&str>) -> Raised {
    let text = match file {
        Some(file) => format!("{file}: {fault}"),
        None => fault.to_string(),
    };
    Python::attach(|py| {
        let error = match &fault.kind {
            Kind::OutOfMemory(_) => PyMemoryError::new_err(text),
            Kind::NoView => PyValueError::new_err(text),
            _ => match parcel_error(py) {
                Ok(class) => PyErr::from_type(class, text),
                Err(error) => error,
            },
        };
        Raised::from_py(error)
    })
}

/// Raises the exception of a fault met while writing.
#[cold]
pub fn raise_encode(error: Error) -> Raised {
    match error {
        Error::OutOfMemory => Raised::no_memory(),
        // SAFETY: the exception class is alive.
        Error::ProtocolLimit(text) => unsafe {
            Raised::of(Obj::new(ffi::PyExc_OverflowError), text)
        },
        other => Raised::pickling(&other.to_string()),
    }
}

/// Raises the exception of a fault met in a stream at byte `at`, opcode `op`.
#[cold]
pub fn raise_decode(error: Error, at: u64, op: u8) -> Raised {
    let name = ferropickle_core::opcode::name_of_byte(op);
    match error {
        Error::Empty => {
            let place = if at == 0 { String::new() } else { format!(" (at byte {at})") };
            Raised::new(Exc::EofError, &format!("{error}{place}"))
        }
        Error::UnsupportedProtocol(_) => {
            Raised::new(Exc::ValueError, &format!("{error} (at byte {at})"))
        }
        Error::NegativeIndex => {
            Raised::new(Exc::ValueError, &format!("{error} (at byte {at}, opcode {name})"))
        }
        Error::NegativeSize => {
            // Of LONG4 the standard library says LONG.
            let kind = name.trim_end_matches('4');
            let place = format!("(at byte {at}, opcode {name})");
            Raised::unpickling(&format!("{kind} pickle has negative byte count {place}"))
        }
        Error::OutOfMemory => Raised::no_memory(),
        Error::UnknownOpcode(_) => Raised::unpickling(&format!("{error} (at byte {at})")),
        _ => Raised::unpickling(&format!("{error} (at byte {at}, opcode {name})")),
    }
}

/// The exception of a system's refusal: its number, its text, the file's name as Python has it.
#[cold]
pub fn raise_system(
    py: Python<'_>,
    error: std::io::Error,
    path: Option<&Bound<'_, PyAny>>,
) -> PyErr {
    let Some(number) = error.raw_os_error() else { return error.into() };
    let text = py.import("os").and_then(|os| os.call_method1("strerror", (number,)));
    match text.map(Bound::unbind) {
        Ok(text) => match path {
            Some(path) => PyOSError::new_err((number, text, path.clone().unbind())),
            None => PyOSError::new_err((number, text)),
        },
        Err(_) => error.into(),
    }
}

/// Adds the standard library's notes to an exception.
pub fn add_notes(py: Python<'_>, error: PyErr, notes: &[String]) -> PyErr {
    for note in notes {
        if let Err(secondary) = error.value(py).call_method1("add_note", (note,)) {
            // The first exception is what the user must see.
            drop(secondary);
        }
    }
    error
}

/// Adds a note to the exception that is set (`__notes__`, PEP 678; before 3.11
/// the attribute alone). `prefix` is put before the text of an exception whose
/// only argument is a text, if the exception was made by pickling itself.
pub fn annotate(py: Python<'_>, raised: Raised, note: &str, prefix: Option<&str>) -> PyErr {
    let error = raised.into_py(py);
    if let Err(secondary) = try_annotate(py, &error, note, prefix) {
        // The first exception is what the user must see.
        drop(secondary);
    }
    error
}

fn try_annotate(py: Python<'_>, error: &PyErr, note: &str, prefix: Option<&str>) -> PyResult<()> {
    let value = error.value(py);
    if let Some(prefix) = prefix {
        let args = value.getattr("args")?;
        let args = args.cast::<PyTuple>()?;
        if args.len() == 1
            && let Ok(text) = args.get_item(0)?.cast_into::<PyString>()
        {
            let text = format!("{prefix}: {}", text.to_string_lossy());
            value.setattr("args", PyTuple::new(py, [text])?)?;
        }
    }
    if value.hasattr("add_note")? {
        value.call_method1("add_note", (note,))?;
    } else {
        let notes = match value.getattr("__notes__") {
            Ok(notes) => notes,
            Err(_) => {
                value.setattr("__notes__", pyo3::types::PyList::empty(py))?;
                value.getattr("__notes__")?
            }
        };
        notes.call_method1("append", (note,))?;
    }
    Ok(())
}

/// Adds to the text of an exception whose only argument is a text; nothing if
/// that fails, as the exception is what the user must see.
pub fn add_to_text(py: Python<'_>, error: &PyErr, more: &str) {
    let value = error.value(py);
    let add = || -> PyResult<()> {
        let args = value.getattr("args")?;
        let (text,): (String,) = args.extract()?;
        let text = format!("{text}{more}");
        value.setattr("args", (&text,))?;
        // What an ImportError shows.
        if value.hasattr("msg")? {
            value.setattr("msg", &text)?;
        }
        Ok(())
    };
    if let Err(secondary) = add() {
        drop(secondary);
    }
}

/// Whether memory ran out, and not somebody's code said so: nothing must be
/// added to the exception, as there is no memory for it.
pub fn is_no_memory(error: &PyErr, py: Python<'_>) -> bool {
    error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py) && error.traceback(py).is_none()
}

/// Whether the exception that is set is of exactly one of the classes that
/// pickling itself raises, so that its text is ours to complete.
pub fn is_plain(error: &PyErr, py: Python<'_>) -> bool {
    // Raised by us alone, through reducers of ours.
    if DEVICE_ERROR.get(py).is_some_and(|class| class.is(error.get_type(py))) {
        return true;
    }
    // One that came through a Python frame was raised by somebody's code; all
    // but the standard library's own refusal keep their text.
    let refusal = |error: &PyErr| {
        let text = error.value(py).to_string();
        text.starts_with("cannot pickle '") || text.starts_with("Can't pickle ")
    };
    if error.traceback(py).is_some() && !refusal(error) {
        return false;
    }
    let ty = error.get_type(py);
    let types = types::get();
    // SAFETY: the interpreter's exception classes live as long as it does.
    let plain = unsafe {
        [
            ffi::PyExc_TypeError,
            ffi::PyExc_AttributeError,
            ffi::PyExc_ValueError,
            ffi::PyExc_OverflowError,
            ffi::PyExc_RuntimeError,
            types.pickling_error.ptr(),
        ]
    };
    plain.contains(&ty.as_ptr()) || is_refusal_of_reducers(error, py)
}

/// What `ferropickle.reducers` raises is both.
fn is_refusal_of_reducers(error: &PyErr, py: Python<'_>) -> bool {
    // SAFETY: a class that lives as long as the interpreter.
    let pickling_error = unsafe { Bound::from_borrowed_ptr(py, types::get().pickling_error.ptr()) };
    error.is_instance_of::<pyo3::exceptions::PyTypeError>(py)
        && error.is_instance(py, &pickling_error)
}

/// A text for an object in an error: its `repr`, or its type if that fails.
pub fn repr(obj: Obj) -> String {
    text_of(obj, ffi::PyObject_Repr)
}

/// As [`repr`], by `str`.
pub fn display(obj: Obj) -> String {
    text_of(obj, ffi::PyObject_Str)
}

fn text_of(
    obj: Obj,
    how: unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject,
) -> String {
    // SAFETY: alive; a new reference or null with an error set.
    match unsafe { Own::from_new(how(obj.ptr())) } {
        Ok(text) => {
            String::from_utf8_lossy(fast::text::utf8(text.obj(), &mut Vec::new())).into_owned()
        }
        Err(raised) => {
            raised.discard();
            format!("<{} object>", type_name(obj))
        }
    }
}

/// The name of an object's type with its module, as `%T` of `PyErr_Format` has
/// it from 3.13 on; before, as [`type_name`].
pub fn full_type_name(obj: Obj) -> String {
    #[cfg(Py_3_13)]
    // SAFETY: a live type; a new reference or null with an error set.
    match unsafe { Own::from_new(ffi::PyType_GetFullyQualifiedName(obj.ty())) } {
        Ok(name) => return display(name.obj()),
        Err(raised) => raised.discard(),
    }
    type_name(obj)
}

/// The name of an object's type, as `tp_name` has it.
pub fn type_name(obj: Obj) -> String {
    // SAFETY: a live type has a NUL-terminated name.
    unsafe { core::ffi::CStr::from_ptr((*obj.ty()).tp_name).to_string_lossy().into_owned() }
}
