//! `pack`, `unpack` and `Parcel`: a stream with its buffers.

use crate::api::{self, DEFAULT_PROTOCOL};
use crate::buffers;
use crate::build::Builder;
use crate::build::buffer::{Given, Supply, TableSupply};
use crate::error::Raised;
use crate::fast::{self, Own};
use crate::hooks::Hooks;
use crate::policy::{self, Choices};
use crate::sink::Sink;
use crate::types::{from_bound, to_bound};
use crate::walk::Options;
use ferropickle_core::buffer::{Buffer, BufferTable};
use ferropickle_core::decode::SliceReader;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// What `unpack` may copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyChoice {
    Never,
    Lazy,
    Always,
}

impl CopyChoice {
    /// Checks a `copy` argument.
    pub fn of(given: &str) -> PyResult<CopyChoice> {
        match given {
            "never" => Ok(CopyChoice::Never),
            "lazy" => Ok(CopyChoice::Lazy),
            "always" => Ok(CopyChoice::Always),
            other => {
                let text = format!("copy must be one of 'never', 'lazy', 'always', not '{other}'");
                Err(PyValueError::new_err(text))
            }
        }
    }
}

/// A stream and the buffers that it refers to.
///
/// What `pack` gives. The buffers are views of the packed object's memory,
/// nothing is copied; a parcel holds that memory, and sees what is written to it.
#[pyclass(frozen, module = "ferropickle", name = "Parcel")]
pub struct Parcel {
    pub stream: Buffer,
    pub table: BufferTable,
    /// The stream as bytes, where it is such an object.
    bytes: Option<Py<PyBytes>>,
}

#[pymethods]
impl Parcel {
    /// The pickle stream; `pickle.loads(parcel.stream, buffers=parcel.buffers)`
    /// needs nothing of ours.
    #[getter]
    fn stream<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match &self.bytes {
            Some(bytes) => bytes.bind(py).clone(),
            None => PyBytes::new(py, self.stream.as_slice()),
        }
    }

    /// Memoryviews of the buffers, in the order of the stream.
    #[getter]
    fn buffers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let views = PyList::empty(py);
        for (desc, buffer) in self.table.iter() {
            let view = buffers::view_of(buffer.clone(), desc.read_only());
            let view = view.map_err(|raised| raised.into_py(py))?;
            views.append(to_bound(py, view.obj()))?;
        }
        Ok(views)
    }

    /// Bytes of the stream and of all buffers together.
    #[getter]
    fn nbytes(&self) -> u64 {
        self.stream.len() as u64 + self.table.nbytes()
    }

    fn __repr__(&self) -> String {
        let (stream, count) = (self.stream.len(), self.table.len());
        let nbytes = self.table.nbytes();
        format!("<ferropickle Parcel, {stream} bytes of stream, {count} buffers of {nbytes} bytes>")
    }
}

/// The stream of an object and its buffers, which are views of its memory.
pub fn pack_native(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    choices: Choices,
) -> PyResult<(Own, BufferTable)> {
    let full = api::must_hold(&choices);
    let (proto, fix_imports) = (DEFAULT_PROTOCOL, true);
    let options = Options { proto, fix_imports, fast: false, keep_memo: false, full, choices };
    api::run_dump(py, obj, options, Hooks::collecting(), Sink::memory())
}

/// The object of a stream whose buffers come from `supply`.
pub fn unpack_native(
    py: Python<'_>,
    stream: &[u8],
    supply: Box<dyn Supply>,
    choices: Choices,
) -> PyResult<Own> {
    let mut builder = Builder::plain();
    builder.buffers = Given::Native(supply);
    api::run_load(py, &mut SliceReader::new(stream), &mut builder, choices)
}

/// The buffers of a table, copied one by one as they are asked for.
struct Copied(TableSupply);

impl Supply for Copied {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        let Some((buffer, read_only)) = self.0.next()? else { return Ok(None) };
        Ok(Some((buffers::copied(&buffer)?, read_only)))
    }
}

/// The pickled form of an object as a parcel: its stream, and beside it the
/// buffers of arrays and other large data, which are not copied.
///
/// policy: a Policy; None means that of the enclosing `policy(...)` block.
///
/// Raises what `dumps` raises.
#[pyfunction]
#[pyo3(signature = (obj, *, policy = None))]
pub fn pack(obj: &Bound<'_, PyAny>, policy: Option<&Bound<'_, PyAny>>) -> PyResult<Parcel> {
    let py = obj.py();
    let choices = policy::choose(policy, Choices::default())?;
    let (bytes, table) = pack_native(py, obj, choices)?;
    let object = to_bound(py, bytes.obj()).cast_into::<PyBytes>()?.unbind();
    let stream = buffers::kept(fast::bytes_data(bytes.obj()), bytes);
    Ok(Parcel { stream, table, bytes: Some(object) })
}

/// The object of a parcel.
///
/// copy: "lazy" and "never" give views of the parcel's memory, which are
/// writable where the packed object's were; "always" gives memory of its own.
/// policy: a Policy; None means that of the enclosing `policy(...)` block.
///
/// Raises what `loads` raises.
#[pyfunction]
#[pyo3(signature = (parcel, *, copy = "lazy", policy = None))]
pub fn unpack<'py>(
    parcel: &Bound<'py, PyAny>,
    copy: &str,
    policy: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = parcel.py();
    let copy = CopyChoice::of(copy)?;
    let choices = policy::choose(policy, Choices::default())?;
    let Ok(given) = parcel.cast::<Parcel>() else {
        let name = parcel.get_type().name()?;
        return Err(PyTypeError::new_err(format!("parcel must be a Parcel, not {name}")));
    };
    let given = given.get();
    let supply = TableSupply { table: given.table.clone(), next: 0 };
    let supply: Box<dyn Supply> =
        if copy == CopyChoice::Always { Box::new(Copied(supply)) } else { Box::new(supply) };
    let keep = from_bound(parcel);
    let object = unpack_native(py, given.stream.as_slice(), supply, choices);
    drop(keep);
    Ok(to_bound(py, object?.obj()))
}
