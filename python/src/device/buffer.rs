//! Device memory of our own, as an object.

use super::region::Region;
use super::staging::source_of;
use crate::error::{raise_device, raise_gpu};
use crate::source::View;
use crate::types::from_bound;
use ferropickle_gpu::{DeviceId, GpuError, Stager, open_device, probe};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Bytes in device memory, which lives as long as the object or a part of it.
///
/// An array of bytes by `__cuda_array_interface__`.
#[pyclass(frozen, module = "ferropickle._native", name = "DeviceBuffer")]
pub struct Buffer {
    /// Taken by `drop` alone.
    buffer: Option<ferropickle_gpu::DeviceBuffer>,
}

impl Buffer {
    fn new(buffer: ferropickle_gpu::DeviceBuffer) -> Buffer {
        Buffer { buffer: Some(buffer) }
    }

    fn get(&self) -> PyResult<&ferropickle_gpu::DeviceBuffer> {
        self.buffer.as_ref().ok_or_else(|| PyValueError::new_err("the buffer is gone"))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = self.buffer.take();
        // The driver waits for the device, and other threads need the lock meanwhile. Without an
        // interpreter, as at its end, there is nobody to let go for.
        Python::try_attach(|py| py.detach(move || drop(buffer)));
    }
}

#[pymethods]
impl Buffer {
    /// Where it begins on the device.
    #[getter]
    fn address(&self) -> PyResult<u64> {
        Ok(self.get()?.address())
    }

    /// Length in bytes.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        Ok(self.get()?.len())
    }

    /// The UUID of the device.
    #[getter]
    fn device(&self) -> PyResult<String> {
        Ok(self.get()?.device().id().to_string())
    }

    /// The number of the device in this process.
    #[getter]
    fn ordinal(&self) -> PyResult<usize> {
        Ok(self.get()?.device().ordinal())
    }

    /// Waits until the bytes are there.
    ///
    /// Raises DeviceError.
    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        let buffer = self.get()?;
        py.detach(|| buffer.wait()).map_err(|error| raise_gpu(&error).into_py(py))
    }

    /// A part of the bytes; it keeps the memory.
    fn part(&self, start: usize, length: usize) -> PyResult<Buffer> {
        let part = self.get()?.part(start, length);
        part.map(Buffer::new).ok_or_else(|| PyIndexError::new_err("the part lies outside"))
    }

    /// Bytes that are there, for all streams.
    #[getter]
    fn __cuda_array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.wait(py)?;
        let buffer = self.get()?;
        let interface = PyDict::new(py);
        interface.set_item("shape", PyTuple::new(py, [buffer.len()])?)?;
        interface.set_item("typestr", "|u1")?;
        interface.set_item("data", (buffer.address(), false))?;
        interface.set_item("strides", py.None())?;
        interface.set_item("stream", py.None())?;
        interface.set_item("version", 3)?;
        Ok(interface)
    }

    fn __len__(&self) -> PyResult<usize> {
        self.nbytes()
    }

    fn __repr__(&self) -> PyResult<String> {
        let buffer = self.get()?;
        Ok(format!("<ferropickle DeviceBuffer, {} bytes on {}>", buffer.len(), buffer.device().id()))
    }
}

/// Copies bytes-like objects to a device: a DeviceBuffer for each, in one transfer.
///
/// device: its UUID.
///
/// Raises DeviceError, and ValueError for a text that is no UUID.
#[pyfunction]
pub fn device_upload(
    py: Python<'_>,
    sources: Vec<Bound<'_, PyAny>>,
    device: &str,
) -> PyResult<Vec<Buffer>> {
    let id: DeviceId = device.parse().map_err(|error| {
        PyValueError::new_err(format!("'{device}' is {error}"))
    })?;
    let views: Vec<View> = sources
        .iter()
        .map(|source| View::of_argument(from_bound(source).obj(), "sources"))
        .collect::<Result<_, _>>()
        .map_err(|raised| raised.into_py(py))?;
    let bytes: Vec<&[u8]> = views.iter().map(View::as_slice).collect();
    let made = py.detach(|| {
        probe()?;
        Stager::of(&open_device(id)?).upload_new(&bytes)
    });
    let made = made.map_err(|error| raise_gpu(&error).into_py(py))?;
    Ok(made.into_iter().map(Buffer::new).collect())
}

/// Copies the elements of regions, all on one device, into memory of our own: a
/// DeviceBuffer for each. What is written to the regions later, in their
/// streams, does not change the copies.
///
/// Raises DeviceError.
#[pyfunction]
pub fn device_snapshot(
    py: Python<'_>,
    regions: Vec<Bound<'_, Region>>,
) -> PyResult<Vec<Buffer>> {
    let mut ids = regions.iter().filter_map(|region| region.get().device_id());
    let Some(id) = ids.next() else {
        return Err(raise_device("an array of no elements is on no device").into_py(py));
    };
    if ids.any(|other| other != id) {
        return Err(PyValueError::new_err("the regions are not on one device"));
    }
    let sources: Vec<_> = regions.iter().map(|region| source_of(region.get())).collect();
    let made = py.detach(move || -> Result<_, GpuError> {
        Stager::of(&open_device(id)?).snapshot(&sources)
    });
    let made = made.map_err(|error| raise_gpu(&error).into_py(py))?;
    Ok(made.into_iter().map(Buffer::new).collect())
}
