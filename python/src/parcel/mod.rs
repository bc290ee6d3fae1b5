//! `pack` and `Parcel`: a stream with its buffers.
//!
//! | to change | open |
//! |---|---|
//! | how a parcel is taken apart, what `copy=` means | `unpack.rs` |
//! | how it goes to a descriptor | `writev.rs` |
//! | its form as bytes | `core/src/parcel/` |

pub mod unpack;
mod writev;

use crate::api::{self, DEFAULT_PROTOCOL};
use crate::buffers;
use crate::device::buffer::{Buffer as DeviceMemory, fetch};
use crate::error::raise_fault;
use crate::fast::{self, Own, storage};
use crate::hooks::Hooks;
use crate::policy::{self, Choices, DeviceChoice};
use crate::sink::Sink;
use crate::source::View;
use crate::types::{from_bound, to_bound};
use crate::walk::Options;
use ferropickle_core::buffer::{ALIGN, Buffer, BufferDesc, BufferTable};
use ferropickle_core::parcel::Spec;
use ferropickle_core::parcel::pack::{Packed, Stored, ZEROS, pack as pack_parts};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple, PyType};
use unpack::CopyChoice;
pub use unpack::unpack_native;

/// A stream and the buffers that it refers to: what `pack` gives.
///
/// The buffers are views of the packed object's memory, nothing is copied; a
/// parcel holds that memory, and sees what is written to it.
///
/// stream: a pickle stream as a bytes-like object.
/// buffers: bytes-like objects for its out-of-band buffers, in order.
/// policy: a Policy, which says how the parcel is written: checksums and
/// compression. None means that of the enclosing `policy(...)` block.
///
/// A parcel pickles as its stream and its buffers, out of band where buffers are.
#[pyclass(frozen, module = "ferropickle", name = "Parcel")]
pub struct Parcel {
    pub stream: Buffer,
    pub table: BufferTable,
    spec: Spec,
    /// The stream as bytes, where it is such an object.
    bytes: Option<Py<PyBytes>>,
}

#[pymethods]
impl Parcel {
    #[new]
    #[pyo3(signature = (stream, buffers = None, *, policy = None))]
    fn new(
        stream: &Bound<'_, PyAny>,
        buffers: Option<&Bound<'_, PyAny>>,
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Parcel> {
        let py = stream.py();
        let spec = policy::choose(policy, Choices::default())?.spec;
        let held = |given: &Bound<'_, PyAny>, name: &str| {
            View::of_argument(from_bound(given).obj(), name)
                .map(|view| (view.read_only(), buffers::kept_view(view)))
                .map_err(|raised| raised.into_py(py))
        };
        let (_, stream_buffer) = held(stream, "stream")?;
        let mut table = BufferTable::default();
        if let Some(given) = buffers {
            for buffer in given.try_iter()? {
                let (read_only, buffer) = held(&buffer?, "buffers")?;
                table.push(BufferDesc::host(buffer.len(), ALIGN as u32, read_only), buffer);
            }
        }
        let bytes = stream.cast_exact::<PyBytes>().ok().map(|bytes| bytes.clone().unbind());
        Ok(Parcel { stream: stream_buffer, table, spec, bytes })
    }

    /// A parcel that was written: what `to_bytes` gave, or `writev` wrote.
    ///
    /// data: a bytes-like object; bytes after the parcel's end are ignored.
    /// copy: as for `unpack`.
    ///
    /// Raises ParcelError for a parcel that is truncated, altered or none.
    #[staticmethod]
    #[pyo3(signature = (data, *, copy = "lazy"))]
    fn from_bytes(data: &Bound<'_, PyAny>, copy: &str) -> PyResult<Parcel> {
        let (stream, table) = unpack::read_all(data, CopyChoice::of(copy)?)?;
        Ok(Parcel { stream, table, spec: Spec::default(), bytes: None })
    }

    /// The pickle stream; `pickle.loads(parcel.stream, buffers=parcel.buffers)`
    /// needs nothing of ours.
    #[getter]
    fn stream<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match &self.bytes {
            Some(bytes) => bytes.bind(py).clone(),
            None => PyBytes::new(py, self.stream.as_slice()),
        }
    }

    /// Memoryviews of the buffers, in the order of the stream; a DeviceBuffer for
    /// each that is memory of a device.
    #[getter]
    fn buffers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let views = PyList::empty(py);
        for (desc, buffer) in self.table.iter() {
            match buffers::device_of(desc, buffer) {
                Some(device) => views.append(to_bound(py, device.obj()))?,
                None => push_view(&views, buffer.clone(), desc.read_only())?,
            }
        }
        Ok(views)
    }

    /// Bytes of the stream and of all buffers together, as they are in memory.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> PyResult<u64> {
        let mut sum = self.stream.len() as u64 + self.table.nbytes();
        for (desc, buffer) in self.table.iter() {
            if let Some(device) = buffers::device_of(desc, buffer) {
                sum += to_bound(py, device.obj()).len()? as u64;
            }
        }
        Ok(sum)
    }

    /// The parcel as one bytes object, which `unpack` takes.
    ///
    /// Checksums and compression are those of the policy that it was packed
    /// with. The memory of its buffers must not be written to meanwhile.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let table = self.on_host(py)?;
        let packed = self.packed(py, &table)?;
        let made = storage::fill_bytes(packed.total as usize, |place| {
            py.detach(|| packed.copy_to(place));
        });
        let made = made.map_err(|raised| raised.into_py(py))?;
        Ok(to_bound(py, made.obj()))
    }

    /// The parcel as memoryviews, which one after the other are its bytes:
    /// header, stream and buffers, with short ones of zeros between.
    ///
    /// What is not compressed is a view of the packed object's memory, which
    /// must not be written to until the segments have been sent.
    fn segments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let table = self.on_host(py)?;
        let packed = self.packed(py, &table)?;
        let views = PyList::empty(py);
        let paddings: Vec<usize> = (0..packed.parts.len()).map(|n| packed.padding(n)).collect();
        push_view(&views, Buffer::from_vec(packed.header), true)?;
        let live = core::iter::once(&self.stream).chain(table.iter().map(|(_, live)| live));
        for ((part, live), padding) in packed.parts.into_iter().zip(live).zip(paddings) {
            let buffers = match part {
                Stored::Raw(_) => vec![live.clone()],
                Stored::Packed(made) => {
                    made.into_parts().into_iter().map(Buffer::from_vec).collect()
                }
            };
            let padding = Buffer::from_vec(ZEROS[..padding].to_vec());
            for buffer in buffers.into_iter().chain([padding]) {
                if !buffer.is_empty() {
                    push_view(&views, buffer, true)?;
                }
            }
        }
        Ok(views)
    }

    /// Writes the parcel to a descriptor: a number, or an object with
    /// `fileno()`. Nothing is copied on the way; parts that are written,
    /// interruptions and descriptors that would block are dealt with.
    ///
    /// Gives the number of bytes written. Raises OSError.
    fn writev(&self, py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<u64> {
        let fd = writev::descriptor_of(fd)?;
        let table = self.on_host(py)?;
        let packed = self.packed(py, &table)?;
        writev::write(py, fd, &packed)
    }

    fn __reduce_ex__<'py>(
        slf: &Bound<'py, Self>,
        protocol: i64,
    ) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let views = PyList::empty(py);
        for (desc, buffer) in slf.get().on_host(py)?.iter() {
            push_view(&views, buffer.clone(), desc.read_only())?;
        }
        let module = py.import("builtins")?;
        let wrap = if protocol >= 5 {
            py.import("_pickle")?.getattr("PickleBuffer")?
        } else {
            module.getattr("bytes")?
        };
        let wrapped = PyList::empty(py);
        for view in views {
            wrapped.append(wrap.call1((view,))?)?;
        }
        let args = (slf.get().stream(py), wrapped).into_pyobject(py)?;
        Ok((py.get_type::<Parcel>(), args))
    }

    fn __repr__(&self) -> String {
        let (stream, count) = (self.stream.len(), self.table.len());
        let nbytes = self.table.nbytes();
        format!("<ferropickle Parcel, {stream} bytes of stream, {count} buffers of {nbytes} bytes>")
    }
}

impl Parcel {
    /// The buffers, with the bytes of those that are memory of a device.
    fn on_host(&self, py: Python<'_>) -> PyResult<BufferTable> {
        let devices: Vec<Own> = self
            .table
            .iter()
            .filter_map(|(desc, buffer)| buffers::device_of(desc, buffer))
            .collect();
        if devices.is_empty() {
            return Ok(self.table.clone());
        }
        let bounds: Vec<_> = devices.iter().map(|device| to_bound(py, device.obj())).collect();
        let memory: Vec<_> = bounds
            .iter()
            .map(|bound| bound.cast_exact::<DeviceMemory>().map(Bound::get))
            .collect::<Result<_, _>>()?;
        let mut fetched = fetch(py, &memory)?.into_iter();
        let mut table = BufferTable::default();
        for (desc, buffer) in self.table.iter() {
            let (desc, buffer) = match buffers::device_of(desc, buffer).and_then(|_| fetched.next())
            {
                Some(bytes) => (BufferDesc::host(bytes.len(), ALIGN as u32, false), bytes),
                None => (*desc, buffer.clone()),
            };
            table.push(desc, buffer);
        }
        Ok(table)
    }

    /// The parcel ready to be written, made without the GIL.
    fn packed<'a>(&'a self, py: Python<'_>, table: &'a BufferTable) -> PyResult<Packed<'a>> {
        let packed = py.detach(|| {
            let rows = table.iter().map(|(desc, buffer)| (*desc, buffer.as_slice()));
            pack_parts(self.stream.as_slice(), rows, self.spec)
        });
        packed.map_err(|fault| raise_fault(&fault).into_py(py))
    }
}

fn push_view(views: &Bound<'_, PyList>, buffer: Buffer, read_only: bool) -> PyResult<()> {
    let py = views.py();
    let view = buffers::view_of(buffer, read_only).map_err(|raised| raised.into_py(py))?;
    views.append(to_bound(py, view.obj()))
}

/// The stream of an object and its buffers, which are views of its memory.
pub fn pack_native(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    choices: Choices,
) -> PyResult<(Own, BufferTable)> {
    pack_with(py, obj, choices, Hooks::collecting())
}

/// As [`pack_native`], for those who can take memory of devices: arrays that go so by their policy have a row
/// with their `DeviceRegion`, of which nothing has been copied yet.
pub fn pack_regions(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    choices: Choices,
) -> PyResult<(Own, BufferTable)> {
    let mut hooks = Hooks::collecting();
    (hooks.takes_devices, hooks.takes_regions) = (true, true);
    pack_with(py, obj, choices, hooks)
}

/// As [`pack_native`], for other processes: memory of a device that is to be shared is refused, not copied.
pub fn pack_copies(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    choices: Choices,
) -> PyResult<(Own, BufferTable)> {
    let shared = choices.share && choices.device != DeviceChoice::Host;
    if shared { pack_regions(py, obj, choices) } else { pack_native(py, obj, choices) }
}

fn pack_with(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    choices: Choices,
    hooks: Hooks,
) -> PyResult<(Own, BufferTable)> {
    let full = api::must_hold(&choices);
    let (proto, fix_imports) = (DEFAULT_PROTOCOL, true);
    let options = Options { proto, fix_imports, fast: false, keep_memo: false, full, choices };
    api::run_dump(py, obj, options, hooks, Sink::memory())
}

/// The pickled form of an object as a parcel: its stream, and beside it the
/// buffers of arrays and other large data, which are not copied.
///
/// policy: a Policy; None means that of the enclosing `policy(...)` block. With
/// `device="device"` arrays on devices stay there: the parcel holds copies of them,
/// or with `share=True` their own memory, in which later writes are seen.
///
/// Raises what `dumps` raises.
#[pyfunction]
#[pyo3(signature = (obj, *, policy = None))]
pub fn pack(obj: &Bound<'_, PyAny>, policy: Option<&Bound<'_, PyAny>>) -> PyResult<Parcel> {
    let py = obj.py();
    let choices = policy::choose(policy, Choices::default())?;
    let spec = choices.spec;
    let mut hooks = Hooks::collecting();
    hooks.takes_devices = true;
    let (bytes, table) = pack_with(py, obj, choices, hooks)?;
    let object = to_bound(py, bytes.obj()).cast_into::<PyBytes>()?.unbind();
    let stream = buffers::kept(fast::bytes_data(bytes.obj()), bytes);
    Ok(Parcel { stream, table, spec, bytes: Some(object) })
}
