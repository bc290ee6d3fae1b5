//! `dumps`, `dump`, `loads`, `load`: arguments in, one walk or build, out.

use crate::build::buffer::Given;
use crate::build::{Builder, path as load_path};
use crate::error::{Raised, add_notes, annotate, is_no_memory, is_plain};
use crate::fast::{Obj, Own};
use crate::gc::Paused;
use crate::hooks::Hooks;
use crate::policy::{self, Choices, Face, GcChoice};
use crate::sink::Sink;
use crate::source::{FileSource, View};
use crate::types::{self, from_bound};
use crate::walk::{Options, Walker, notes, path as dump_path};
use crate::{fast, scratch};
use ferropickle_core::buffer::BufferTable;
use ferropickle_core::decode::SliceReader;
use ferropickle_core::limits::HIGHEST_PROTOCOL;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Protocol of dumps that do not name one.
pub const DEFAULT_PROTOCOL: u8 = 5;

/// Checks a `protocol` argument; negative means the highest.
pub fn protocol_of(protocol: Option<&Bound<'_, PyAny>>) -> PyResult<u8> {
    let Some(protocol) = protocol.filter(|protocol| !protocol.is_none()) else {
        return Ok(DEFAULT_PROTOCOL);
    };
    let exact = from_bound(protocol);
    let exact = fast::is_int(exact.ty()).then(|| fast::long::as_i64(exact.obj())).flatten();
    let number: i64 = exact.map_or_else(|| protocol.extract(), Ok).map_err(|_| {
        let name = protocol.get_type().name().map(|n| n.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("protocol must be an int or None, not {name}"))
    })?;
    match u8::try_from(number) {
        Ok(number) if number <= HIGHEST_PROTOCOL => Ok(number),
        _ if number < 0 => Ok(HIGHEST_PROTOCOL),
        _ => Err(PyValueError::new_err(format!("pickle protocol must be <= {HIGHEST_PROTOCOL}"))),
    }
}

/// The text of an argument that must be a str.
pub fn text_of<'a>(given: &'a Bound<'_, PyAny>, name: &str) -> PyResult<&'a str> {
    match given.cast::<PyString>() {
        Ok(text) => text.to_str(),
        Err(_) => {
            let found = given.get_type().name()?;
            Err(PyTypeError::new_err(format!("{name} must be str, not {found}")))
        }
    }
}

/// Checks an `encoding` argument.
pub fn encoding_of<'a>(given: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    text_of(given, "encoding")
}

/// Checks an `errors` argument.
pub fn errors_of<'a>(given: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    text_of(given, "errors")
}

/// Checks a `buffer_callback` argument.
pub fn callback_of(callback: Option<&Bound<'_, PyAny>>, proto: u8) -> PyResult<Option<Own>> {
    let Some(callback) = callback.filter(|callback| !callback.is_none()) else { return Ok(None) };
    if proto < 5 {
        return Err(PyValueError::new_err("buffer_callback needs protocol >= 5"));
    }
    if !callback.is_callable() {
        let name = callback.get_type().name()?;
        let text = format!("buffer_callback must be callable or None, not {name}");
        return Err(PyTypeError::new_err(text));
    }
    Ok(Some(from_bound(callback)))
}

/// Adds the path to the exception of a dump that failed.
#[cold]
pub fn explain(py: Python<'_>, raised: Raised, walker: &Walker, face: Face) -> PyErr {
    // Taken first: looking at the path must not meet an exception that is set.
    let error = raised.into_py(py);
    if is_no_memory(&error, py) {
        return error;
    }
    if cfg!(Py_3_14) && face == Face::Pickle {
        // The standard library says by itself where it was.
        return add_notes(py, error, &notes::of(walker));
    }
    let path = walker.failed_at().unwrap_or_else(|| dump_path::of(walker));
    explain_at(py, error, &path, face)
}

/// Warns of captured variables that were larger than the policy has it.
#[inline]
pub fn warn_oversized(py: Python<'_>, oversized: Vec<String>) -> PyResult<()> {
    if oversized.is_empty() { Ok(()) } else { warn_oversized_cold(py, oversized) }
}

#[cold]
fn warn_oversized_cold(py: Python<'_>, oversized: Vec<String>) -> PyResult<()> {
    for text in oversized {
        let text = std::ffi::CString::new(format!("ferropickle: {text}")).unwrap_or_default();
        PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyUserWarning>(), &text, 1)?;
    }
    Ok(())
}

/// As [`explain`], for a path that is known.
#[cold]
pub fn explain_at(py: Python<'_>, error: PyErr, path: &str, face: Face) -> PyErr {
    let prefix = (face == Face::Own && is_plain(&error, py)).then_some(path);
    error.restore(py);
    let note = format!("ferropickle: while pickling {path}");
    annotate(py, Raised::set(), &note, prefix)
}

/// Whether a dump must hold references from its start: before 3.12 the
/// collector could run in the middle of a walk that holds none.
pub fn must_hold(choices: &Choices) -> bool {
    cfg!(not(Py_3_12)) && choices.gc == GcChoice::Keep
}

/// One dump: its output as bytes (the object itself where it went to a file)
/// and the buffers that were collected.
pub fn run_dump(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    options: Options,
    hooks: Hooks,
    sink: Sink,
) -> PyResult<(Own, BufferTable)> {
    let (gc, face) = (options.choices.gc, options.choices.face);
    let to_file = sink.is_file();
    let root = from_bound(obj);
    let paused = (gc == GcChoice::Pause).then(Paused::new);
    let mut walker = scratch::take_walk();
    walker.begin(options, hooks, sink);
    let outcome = walker.dump(root.obj(), 0);
    let failed = outcome.err().map(|raised| explain(py, raised, &walker, face));
    let output_path = if to_file && failed.is_none() {
        let output = walker.enc.out().as_slice();
        walker.sink.flush(output).err()
    } else {
        None
    };
    let failed = failed.or_else(|| walker.hooks.deliver().err().map(|raised| raised.into_py(py)));
    let oversized = core::mem::take(&mut walker.by_value.oversized);
    let bytes = if failed.is_none() && !to_file { walker.take_output() } else { Ok(root.clone()) };
    let collected = walker.hooks.collected.take().unwrap_or_default();
    // References go before the collector comes back, the scratch after both:
    // a destructor may dump as well.
    walker.end();
    drop(paused);
    scratch::give_walk(walker);
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some((raised, path)) = output_path {
        let error = raised.into_py(py);
        return Err(explain_at(py, error, &path, face));
    }
    warn_oversized(py, oversized)?;
    Ok((bytes.map_err(|raised| raised.into_py(py))?, collected))
}

/// The pickled form of an object as bytes.
///
/// protocol: 0 to 5; None means 5, a negative number the highest.
/// fix_imports: with protocol 0 to 2, give names of the standard library as
/// Python 2 had them.
/// buffer_callback: called with each PickleBuffer; a false result leaves the
/// buffer out of the stream. Needs protocol 5.
/// policy: a Policy; None means that of the enclosing `policy(...)` block.
///
/// Raises PicklingError, or what a reducer raised; the text (or, on 3.11 and
/// later, a note) names the path to the object that failed.
#[pyfunction]
#[pyo3(signature = (obj, protocol = None, *, fix_imports = true, buffer_callback = None, policy = None))]
pub fn dumps<'py>(
    obj: &Bound<'py, PyAny>,
    protocol: Option<&Bound<'py, PyAny>>,
    fix_imports: bool,
    buffer_callback: Option<&Bound<'py, PyAny>>,
    policy: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = obj.py();
    let choices = policy::choose(policy, Choices::default())?;
    let proto = protocol_of(protocol)?;
    let hooks = Hooks::plain(callback_of(buffer_callback, proto)?);
    let full = must_hold(&choices);
    let options = Options { proto, fix_imports, fast: false, keep_memo: false, full, choices };
    let (bytes, _) = run_dump(py, obj, options, hooks, Sink::memory())?;
    Ok(types::to_bound(py, bytes.obj()))
}

/// Writes the pickled form of an object to a file: an object with `write`.
///
/// Arguments and exceptions are those of `dumps`; a file that fails raises
/// what it raised, with the path to the object that was being written.
#[pyfunction]
#[pyo3(signature = (obj, file, protocol = None, *, fix_imports = true, buffer_callback = None, policy = None))]
pub fn dump(
    obj: &Bound<'_, PyAny>,
    file: &Bound<'_, PyAny>,
    protocol: Option<&Bound<'_, PyAny>>,
    fix_imports: bool,
    buffer_callback: Option<&Bound<'_, PyAny>>,
    policy: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = obj.py();
    let choices = policy::choose(policy, Choices::default())?;
    let proto = protocol_of(protocol)?;
    let hooks = Hooks::plain(callback_of(buffer_callback, proto)?);
    let write = Sink::writer_of(from_bound(file).obj()).map_err(|raised| raised.into_py(py))?;
    let full = must_hold(&choices);
    let options = Options { proto, fix_imports, fast: false, keep_memo: false, full, choices };
    run_dump(py, obj, options, hooks, Sink::file(write)).map(drop)
}

/// Fills in a builder's choices that all loads have.
pub fn fill_builder(
    builder: &mut Builder,
    fix_imports: bool,
    encoding: &str,
    errors: &str,
    buffers: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    builder.fix_imports = fix_imports;
    builder.encoding = (encoding != "bytes").then(|| encoding.to_owned());
    builder.errors = errors.to_owned();
    builder.buffers = match buffers.filter(|buffers| !buffers.is_none()) {
        Some(buffers) => {
            let iter = buffers.try_iter().map_err(|error| {
                let name = buffers.get_type().name().map(|n| n.to_string()).unwrap_or_default();
                if error.is_instance_of::<PyTypeError>(buffers.py()) {
                    PyTypeError::new_err(format!("buffers must be an iterable, not {name}"))
                } else {
                    error
                }
            })?;
            Given::Iterator(from_bound(iter.as_any()))
        }
        None => Given::Nothing,
    };
    Ok(())
}

/// The object of a stream in a bytes-like object. Bytes after the stream's end
/// are ignored.
///
/// encoding, errors: how strings written by Python 2 are decoded; "bytes"
/// gives them as bytes.
/// buffers: the buffers that the dump gave to its buffer_callback, in order.
/// policy: a Policy; None means that of the enclosing `policy(...)` block.
///
/// Raises UnpicklingError for a faulty stream, naming the byte offset and the
/// opcode; what a class or function raised passes through, with a note.
#[pyfunction]
#[pyo3(signature = (data, /, *, fix_imports = true, encoding = "ASCII", errors = "strict", buffers = None, policy = None))]
pub fn loads<'py>(
    data: &Bound<'py, PyAny>,
    fix_imports: bool,
    #[pyo3(from_py_with = encoding_of)] encoding: &str,
    #[pyo3(from_py_with = errors_of)] errors: &str,
    buffers: Option<&Bound<'py, PyAny>>,
    policy: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let choices = policy::choose(policy, Choices::default())?;
    let data = from_bound(data);
    let mut builder = Builder::plain();
    if !(fix_imports && encoding == "ASCII" && errors == "strict" && buffers.is_none()) {
        fill_builder(&mut builder, fix_imports, encoding, errors, buffers)?;
    }
    let view;
    let bytes: &[u8] = if fast::is_bytes(data.ty()) {
        fast::bytes_data(data.obj())
    } else {
        view = View::of_argument(data.obj(), "data").map_err(|raised| raised.into_py(py))?;
        view.as_slice()
    };
    let object = run_load(py, &mut SliceReader::new(bytes), &mut builder, choices)?;
    Ok(types::to_bound(py, object.obj()))
}

/// The object of the next stream in a file: an object with `read` and
/// `readline`. Reads nothing beyond the stream's end.
///
/// Arguments and exceptions are those of `loads`.
#[pyfunction]
#[pyo3(signature = (file, *, fix_imports = true, encoding = "ASCII", errors = "strict", buffers = None, policy = None))]
pub fn load<'py>(
    file: &Bound<'py, PyAny>,
    fix_imports: bool,
    #[pyo3(from_py_with = encoding_of)] encoding: &str,
    #[pyo3(from_py_with = errors_of)] errors: &str,
    buffers: Option<&Bound<'py, PyAny>>,
    policy: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = file.py();
    let choices = policy::choose(policy, Choices::default())?;
    let mut builder = Builder::default();
    fill_builder(&mut builder, fix_imports, encoding, errors, buffers)?;
    let mut source =
        FileSource::new(from_bound(file).obj()).map_err(|raised| raised.into_py(py))?;
    let object = run_load(py, &mut source, &mut builder, choices)?;
    source.settle().map_err(|raised| raised.into_py(py))?;
    Ok(types::to_bound(py, object.obj()))
}

pub fn run_load(
    py: Python<'_>,
    reader: &mut impl ferropickle_core::decode::Read<Raised>,
    builder: &mut Builder,
    choices: Choices,
) -> PyResult<Own> {
    builder.set_face(choices.face);
    builder.landing.take(py, &choices);
    let paused = (choices.gc == GcChoice::Pause).then(Paused::new);
    let mut scratch = scratch::take_build();
    let outcome = scratch.decoder.decode(reader, builder);
    let outcome = outcome.map_err(|error| load_path::explain(py, error));
    let outcome = builder.finish_landing(py, outcome);
    // Gives up what stack and memo hold before the collector comes back.
    scratch::give_build(scratch);
    drop(paused);
    outcome
}

/// `find_class` of the base class: audited, mapped, imported.
pub fn find_class(
    module: Obj,
    name: Obj,
    proto: u8,
    fix_imports: bool,
    stock: bool,
) -> Result<Own, Raised> {
    crate::build::global::find_class(&module.own(), &name.own(), proto, fix_imports, stock)
}
