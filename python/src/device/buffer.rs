//! Device memory of our own, as an object.

use super::region::Region;
use super::staging::{Gift, Want, download, source_of, upload};
use crate::error::raise_gpu;
use crate::source::View;
use crate::types::from_bound;
use ferropickle_core::buffer::{Block, Buffer as HostBuffer};
use ferropickle_gpu::{
    Device, DeviceId, GpuError, Region as Source, Stager, Stream, open_device, probe,
};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::{Arc, OnceLock};

/// Whose memory it is.
enum Held {
    /// Ours.
    Own(ferropickle_gpu::DeviceBuffer),
    /// An array's, which is kept and may still be written to.
    Shared { region: Py<Region>, device: Arc<Device> },
}

/// Bytes in device memory, which lives as long as the object or a part of it.
///
/// An array of bytes by `__cuda_array_interface__`.
#[pyclass(frozen, module = "ferropickle._native", name = "DeviceBuffer")]
pub struct Buffer {
    /// Set once: a dump makes the object before the bytes are copied.
    held: OnceLock<Held>,
}

impl Buffer {
    /// One without memory, until it is given some.
    pub fn empty() -> Buffer {
        Buffer { held: OnceLock::new() }
    }

    /// One over memory of ours, or another process's that we hold.
    pub fn new(buffer: ferropickle_gpu::DeviceBuffer) -> Buffer {
        Buffer { held: OnceLock::from(Held::Own(buffer)) }
    }

    /// Gives one its memory.
    pub fn fill(&self, buffer: ferropickle_gpu::DeviceBuffer) {
        let _ = self.held.set(Held::Own(buffer));
    }

    /// Gives one the memory of an array, which lies together.
    pub fn share(&self, region: Py<Region>) -> Result<(), GpuError> {
        let id = region.get().device_id().ok_or(GpuError::NoDevice)?;
        let _ = self.held.set(Held::Shared { region, device: open_device(id)? });
        Ok(())
    }

    fn get(&self) -> PyResult<&Held> {
        self.held.get().ok_or_else(|| PyValueError::new_err("the buffer has no memory"))
    }

    /// A copy of the bytes, on the same device.
    pub fn copied(&self, py: Python<'_>) -> PyResult<Buffer> {
        self.wait(py)?;
        let (device, source) = self.source()?;
        let made = py.detach(|| Stager::of(&device).snapshot(&[source]));
        let made = made.map_err(|error| raise_gpu(&error).into_py(py))?;
        let made = made.into_iter().next();
        made.map(Buffer::new).ok_or_else(|| PyValueError::new_err("the buffer has no memory"))
    }

    /// What is copied when the bytes are wanted elsewhere.
    pub fn source(&self) -> PyResult<(Arc<Device>, Source)> {
        match self.get()? {
            Held::Own(buffer) => {
                // SAFETY: the buffer keeps the memory; who asks for its bytes has waited for them.
                let source = unsafe {
                    Source::bytes(buffer.address(), buffer.len(), None).map(|s| s.vouched())
                };
                let source =
                    source.ok_or_else(|| PyValueError::new_err("the buffer is too long"))?;
                Ok((buffer.device().clone(), source))
            }
            Held::Shared { region, device } => Ok((device.clone(), source_of(region.get()))),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let held = self.held.take();
        if let Some(Held::Own(buffer)) = held {
            // The driver waits for the device, and other threads need the lock meanwhile. Without an
            // interpreter, as at its end, there is nobody to let go for.
            Python::try_attach(|py| py.detach(move || drop(buffer)));
        }
    }
}

/// What a callback that takes device memory finds behind a PickleBuffer:
/// `memoryview(buffer).obj.device_buffer`. It has no bytes itself, and may be written to, as
/// plain pickle asks of what it is given back.
#[pyclass(frozen, module = "ferropickle._native", name = "DeviceStandIn")]
pub struct StandIn {
    buffer: Py<PyAny>,
    /// Where no bytes are.
    nowhere: u8,
}

impl StandIn {
    /// One for a DeviceBuffer.
    pub fn new(buffer: Py<PyAny>) -> StandIn {
        StandIn { buffer, nowhere: 0 }
    }
}

#[pymethods]
impl StandIn {
    /// The memory.
    #[getter]
    fn device_buffer(&self, py: Python<'_>) -> Py<PyAny> {
        self.buffer.clone_ref(py)
    }

    // SAFETY: called by the interpreter with a view to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: core::ffi::c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("a view is needed"));
        }
        let at = (&raw const slf.get().nowhere).cast_mut().cast();
        // SAFETY: no bytes; the object is held by the view.
        let refused = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), at, 0, 0, flags) };
        if refused < 0 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

/// The bytes of device memory, in host memory; `buffers` are in the order of the result.
pub fn fetch(py: Python<'_>, buffers: &[&Buffer]) -> PyResult<Vec<HostBuffer>> {
    let mut blocks = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        buffer.wait(py)?;
        let (device, source) = buffer.source()?;
        let block = Block::zeroed(source.len_bytes());
        let block = block.ok_or_else(|| crate::error::Raised::no_memory().into_py(py))?;
        blocks.push((device, source, block));
    }
    let wants = blocks.iter_mut().map(|(device, source, block)| Want {
        device: device.id(),
        source: source.clone(),
        to: block.as_mut_slice(),
    });
    download(py, wants.collect())?;
    Ok(blocks.into_iter().map(|(_, _, block)| HostBuffer::from(block)).collect())
}

#[pymethods]
impl Buffer {
    /// One without memory: `device_upload` gives it some.
    #[new]
    fn py_new() -> Buffer {
        Buffer::empty()
    }

    /// Where it begins on the device.
    #[getter]
    fn address(&self) -> PyResult<u64> {
        Ok(match self.get()? {
            Held::Own(buffer) => buffer.address(),
            Held::Shared { region, .. } => region.get().address(),
        })
    }

    /// Length in bytes.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        Ok(match self.get()? {
            Held::Own(buffer) => buffer.len(),
            Held::Shared { region, .. } => region.get().layout().len_bytes(),
        })
    }

    /// The UUID of the device.
    #[getter]
    fn device(&self) -> PyResult<String> {
        Ok(self.on()?.id().to_string())
    }

    /// The number of the device in this process.
    #[getter]
    fn ordinal(&self) -> PyResult<usize> {
        Ok(self.on()?.ordinal())
    }

    /// Waits until the bytes are there.
    ///
    /// Raises DeviceError.
    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        let waited = match self.get()? {
            Held::Own(buffer) => py.detach(|| buffer.wait()),
            Held::Shared { region, device } => {
                let stream = region.get().stream();
                py.detach(|| {
                    let ours = Stream::new(device)?;
                    ours.after(stream)?.give_back()?;
                    ours.wait()
                })
            }
        };
        waited.map_err(|error| raise_gpu(&error).into_py(py))
    }

    /// Bytes that are there, for all streams.
    #[getter]
    fn __cuda_array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.wait(py)?;
        let interface = PyDict::new(py);
        interface.set_item("shape", PyTuple::new(py, [self.nbytes()?])?)?;
        interface.set_item("typestr", "|u1")?;
        interface.set_item("data", (self.address()?, false))?;
        interface.set_item("strides", py.None())?;
        interface.set_item("stream", py.None())?;
        interface.set_item("version", 3)?;
        Ok(interface)
    }

    fn __len__(&self) -> PyResult<usize> {
        self.nbytes()
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<ferropickle DeviceBuffer, {} bytes on {}>", self.nbytes()?, self.device()?))
    }
}

impl Buffer {
    fn on(&self) -> PyResult<&Arc<Device>> {
        Ok(match self.get()? {
            Held::Own(buffer) => buffer.device(),
            Held::Shared { device, .. } => device,
        })
    }
}

/// New memory on a device, for bytes that come later.
///
/// device: its UUID.
///
/// Raises DeviceError, and ValueError for a text that is no UUID.
#[pyfunction]
pub fn device_unfilled<'py>(
    py: Python<'py>,
    nbytes: usize,
    device: &str,
) -> PyResult<Bound<'py, Buffer>> {
    let id = id_of(device)?;
    let made = py.detach(|| {
        probe()?;
        Stager::of(&open_device(id)?).unfilled(&[nbytes])
    });
    let made = made.map_err(|error| raise_gpu(&error).into_py(py))?;
    let buffer = made.into_iter().next().map_or_else(Buffer::empty, Buffer::new);
    Bound::new(py, buffer)
}

fn id_of(device: &str) -> PyResult<DeviceId> {
    device.parse().map_err(|error| PyValueError::new_err(format!("'{device}' is {error}")))
}

/// Copies bytes-like objects to a device: a DeviceBuffer for each, in one transfer.
///
/// device: its UUID.
/// buffers: as many without memory, which get it; new ones if there are none.
///
/// Raises DeviceError, and ValueError for a text that is no UUID, or for buffers that are not
/// as many as the sources.
#[pyfunction]
#[pyo3(signature = (sources, device, buffers = None))]
pub fn device_upload<'py>(
    py: Python<'py>,
    sources: Vec<Bound<'py, PyAny>>,
    device: &str,
    buffers: Option<Vec<Bound<'py, Buffer>>>,
) -> PyResult<Vec<Bound<'py, Buffer>>> {
    if buffers.as_ref().is_some_and(|buffers| buffers.len() != sources.len()) {
        return Err(PyValueError::new_err("buffers: there must be one for each source"));
    }
    let id = id_of(device)?;
    let views = views(&sources)?;
    let bytes: Vec<&[u8]> = views.iter().map(View::as_slice).collect();
    let made = py.detach(|| {
        probe()?;
        Stager::of(&open_device(id)?).upload_new(&bytes)
    });
    let made = made.map_err(|error| raise_gpu(&error).into_py(py))?;
    match buffers {
        Some(buffers) => {
            buffers.iter().zip(made).for_each(|(buffer, memory)| buffer.get().fill(memory));
            Ok(buffers)
        }
        None => made.into_iter().map(|memory| Bound::new(py, Buffer::new(memory))).collect(),
    }
}

/// Copies bytes-like objects to the regions of arrays, in one transfer for each device, in the
/// order of the arrays' streams; returns when the bytes are there.
///
/// Raises DeviceError, and ValueError for regions that are not as many as the sources, or not of
/// their lengths.
#[pyfunction]
pub fn device_store(
    py: Python<'_>,
    sources: Vec<Bound<'_, PyAny>>,
    regions: Vec<Bound<'_, Region>>,
) -> PyResult<()> {
    let views = views(&sources)?;
    let fits = |(view, region): (&View, &Bound<'_, Region>)| {
        view.as_slice().len() == region.get().layout().len_bytes()
    };
    if views.len() != regions.len() || !views.iter().zip(&regions).all(fits) {
        return Err(PyValueError::new_err(
            "regions: there must be one of its length for each source",
        ));
    }
    let gifts = views.iter().zip(&regions).filter_map(|(view, region)| {
        let region = region.get();
        let to = source_of(region);
        Some(Gift { device: region.device_id()?, from: view.as_slice(), to })
    });
    upload(py, gifts.collect())
}

fn views(sources: &[Bound<'_, PyAny>]) -> PyResult<Vec<View>> {
    let view = |source| {
        let view = View::of_argument(from_bound(source).obj(), "sources");
        view.map_err(|raised| raised.into_py(source.py()))
    };
    sources.iter().map(view).collect()
}

/// Copies the elements of regions into memory of our own, which the buffers get. What is
/// written to the regions later, in their streams, does not change the copies.
pub fn snapshot(py: Python<'_>, pairs: &[(&Region, &Buffer)]) -> PyResult<()> {
    let mut order: Vec<(DeviceId, &Region, &Buffer)> = pairs
        .iter()
        .filter_map(|(region, buffer)| Some((region.device_id()?, *region, *buffer)))
        .collect();
    order.sort_by_key(|(device, ..)| *device);
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        let sources: Vec<Source> = group.iter().map(|(_, region, _)| source_of(region)).collect();
        let id = group[0].0;
        let made = py.detach(|| Stager::of(&open_device(id)?).snapshot(&sources));
        let made = made.map_err(|error| raise_gpu(&error).into_py(py))?;
        group.iter().zip(made).for_each(|((_, _, buffer), memory)| buffer.fill(memory));
    }
    Ok(())
}
