//! An array's memory, as its library describes it, checked against what the
//! driver knows.

use super::ids;
use super::staging::{Want, download};
use crate::error::{raise_device, raise_gpu};
use ferropickle_core::strided::{Axis, Layout};
use ferropickle_gpu::{DeviceId, GpuError, Memory, PointerInfo, StreamRef, open_device};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::num::NonZeroUsize;
use std::sync::OnceLock;

/// The elements of an array on a device. In a stream it stands for their bytes,
/// the last index fastest.
///
/// owner: kept alive, and with it the memory.
/// address: of the element whose indices are all 0.
/// strides: in bytes.
/// stream: the CUDA stream in which the memory is worked on, as
/// `__cuda_array_interface__` has it: 1 and 2 are the default streams, None
/// promises that there is nothing to wait for.
/// ordinal: of the device, if the library says it.
/// trusted: the library made the array itself, so the driver is not asked about its
/// memory. Needs the ordinal.
///
/// Raises ValueError for a shape that no memory can have or a stream of 0, and
/// DeviceError for memory that is no device's or ends before the array does.
#[pyclass(frozen, module = "ferropickle._native", name = "DeviceRegion")]
pub struct Region {
    owner: Py<PyAny>,
    address: u64,
    shape: Vec<usize>,
    strides: Vec<isize>,
    layout: Layout,
    stream: Option<StreamRef>,
    device: Option<DeviceId>,
    /// Where the array is in the object that is sent.
    path: OnceLock<Box<str>>,
}

#[pymethods]
impl Region {
    #[new]
    #[pyo3(signature = (owner, address, shape, strides, itemsize, *, stream = None, ordinal = None, trusted = false))]
    #[allow(clippy::too_many_arguments, reason = "what an array interface has")]
    fn new(
        py: Python<'_>,
        owner: Py<PyAny>,
        address: u64,
        shape: Vec<usize>,
        strides: Vec<isize>,
        itemsize: usize,
        stream: Option<usize>,
        ordinal: Option<usize>,
        trusted: bool,
    ) -> PyResult<Region> {
        let axes = shape.iter().zip(&strides).map(|(&len, &stride)| Axis { len, stride });
        let layout = Layout::new(axes, itemsize).filter(|_| shape.len() == strides.len());
        let Some(layout) = layout else {
            let text = format!("no memory has an array of shape {shape:?}, strides {strides:?}");
            return Err(PyValueError::new_err(text));
        };
        let stream = stream.map(stream_of).transpose()?;
        let known = ordinal.filter(|_| trusted);
        let asked = match known.map(|ordinal| device_at(ordinal, &layout)) {
            Some(known) => known.map(Ok),
            None => py.detach(|| device_of(address, &layout, ordinal)),
        };
        let device = match asked {
            Ok(Ok(device)) => device,
            Ok(Err(fault)) => {
                let text = format!("the memory at {address:#x} {fault}");
                return Err(raise_device(&text).into_py(py));
            }
            Err(error) => return Err(raise_gpu(&error).into_py(py)),
        };
        let path = OnceLock::new();
        Ok(Region { owner, address, shape, strides, layout, stream, device, path })
    }

    /// The UUID of the device; None for an array of no elements.
    #[getter]
    fn device(&self) -> Option<String> {
        self.device.map(|id| id.to_string())
    }

    /// Bytes of all elements.
    #[getter]
    fn nbytes(&self) -> usize {
        self.layout.len_bytes()
    }

    /// The address of the element whose indices are all 0.
    #[getter(address)]
    fn first(&self) -> u64 {
        self.address
    }

    /// The lengths of the axes.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    /// The strides, in bytes.
    #[getter]
    fn strides<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.strides)
    }

    /// Bytes from the lowest to the element whose indices are all 0.
    #[getter]
    fn before(&self) -> usize {
        self.layout.before()
    }

    /// Bytes from the lowest to the highest.
    #[getter]
    fn extent(&self) -> usize {
        self.layout.extent()
    }

    /// How the array goes: the region whose bytes are sent, one after another,
    /// and the offset and the strides that its elements have in these. Memory
    /// that holds little more than the elements is sent as it is.
    fn sent<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, Region>, usize, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let strides = |strides: &[isize]| PyTuple::new(py, strides);
        if this.is_whole() {
            let len = this.layout.extent();
            let address = this.address - this.layout.before() as u64;
            let whole = this.with(
                py,
                address,
                vec![len],
                vec![1],
                Layout::new([Axis { len, stride: 1 }], 1),
            )?;
            return Ok((Bound::new(py, whole)?, this.layout.before(), strides(&this.strides)?));
        }
        if let Some((distinct, packed)) = this.layout.distinct() {
            let shape = distinct.axes().iter().map(|axis| axis.len).collect();
            let steps = distinct.axes().iter().map(|axis| axis.stride).collect();
            let once = this.with(py, this.address, shape, steps, Some(distinct))?;
            return Ok((Bound::new(py, once)?, 0, strides(&packed)?));
        }
        let mut next = this.layout.item_bytes() as isize;
        let mut packed: Vec<isize> = (this.shape.iter().rev())
            .map(|&len| {
                let stride = next;
                next = next.saturating_mul(len.max(1) as isize);
                stride
            })
            .collect();
        packed.reverse();
        Ok((slf.clone(), 0, strides(&packed)?))
    }

    /// The bytes of the elements, fetched from the device.
    ///
    /// Raises DeviceError.
    fn fetch<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, self.layout.len_bytes(), |bytes| {
            download(py, Want::of(self, bytes).into_iter().collect())
        })
    }

    fn __repr__(&self) -> String {
        let device = self.device().unwrap_or_else(|| "no device".to_owned());
        format!("<DeviceRegion of {} bytes on {device}>", self.layout.len_bytes())
    }
}

impl Region {
    fn with(
        &self,
        py: Python<'_>,
        address: u64,
        shape: Vec<usize>,
        strides: Vec<isize>,
        layout: Option<Layout>,
    ) -> PyResult<Region> {
        let layout =
            layout.ok_or_else(|| PyValueError::new_err("an array is larger than memory"))?;
        let owner = self.owner.clone_ref(py);
        Ok(Region {
            owner,
            address,
            shape,
            strides,
            layout,
            stream: self.stream,
            device: self.device,
            path: OnceLock::new(),
        })
    }

    /// Who keeps the memory.
    pub fn owner(&self, py: Python<'_>) -> Py<PyAny> {
        self.owner.clone_ref(py)
    }

    /// Bytes of memory around this array, on its device and in its stream's order, which `owner` keeps.
    pub fn spanning(
        &self,
        py: Python<'_>,
        owner: Py<PyAny>,
        start: u64,
        bytes: Axis,
    ) -> PyResult<Region> {
        let layout = Layout::new([bytes], 1);
        let made = self.with(py, start, vec![bytes.len], vec![bytes.stride], layout)?;
        Ok(Region { owner, ..made })
    }

    /// Notes where the array is, for errors that come when the dump is done.
    pub fn found_at(&self, path: String) {
        let _ = self.path.set(path.into());
    }

    /// Where the array is in the object that is sent.
    pub fn path(&self) -> &str {
        self.path.get().map_or("obj", |path| path)
    }

    /// Whether all memory from the lowest byte to the highest is sent.
    pub fn is_whole(&self) -> bool {
        self.layout.is_compact() && self.layout.len_bytes() > 0
    }

    /// Where the elements are from the first.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The address of the element whose indices are all 0.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The lowest address, and the one behind the highest.
    pub fn span(&self) -> (u64, u64) {
        let low = self.address - self.layout.before() as u64;
        (low, low + self.layout.extent() as u64)
    }

    /// The device; `None` for an array of no elements.
    pub fn device_id(&self) -> Option<DeviceId> {
        self.device
    }

    /// The stream of those who work on the memory.
    pub fn stream(&self) -> Option<StreamRef> {
        self.stream
    }
}

/// The stream that a number of `__cuda_array_interface__` names.
fn stream_of(number: usize) -> PyResult<StreamRef> {
    match number {
        0 => Err(PyValueError::new_err(
            "the stream of an array on a device must not be 0: 1 or 2 are the default streams",
        )),
        1 => Ok(StreamRef::Default),
        2 => Ok(StreamRef::PerThread),
        handle => Ok(NonZeroUsize::new(handle).map_or(StreamRef::Default, StreamRef::Handle)),
    }
}

/// What the driver knows of an address. Asked in the context of the device with
/// this ordinal, or of the first.
pub fn classify(address: u64, ordinal: Option<usize>) -> Result<PointerInfo, GpuError> {
    let ids = ids()?;
    let id = ordinal.and_then(|n| ids.get(n)).or(ids.first()).copied();
    open_device(id.ok_or(GpuError::NoDevice)?)?.classify(address)
}

/// The device of an array whose library says which it is on.
fn device_at(ordinal: usize, layout: &Layout) -> Result<Option<DeviceId>, GpuError> {
    if layout.len_bytes() == 0 {
        return Ok(None);
    }
    ids()?.get(ordinal).copied().map(Some).ok_or(GpuError::NoDevice)
}

/// The device that the elements are on; `None` where there are none. The inner error says what is wrong
/// with the memory.
type Checked = Result<Option<DeviceId>, &'static str>;

fn device_of(address: u64, layout: &Layout, ordinal: Option<usize>) -> Result<Checked, GpuError> {
    if layout.len_bytes() == 0 {
        return Ok(Ok(None));
    }
    let low = address.checked_sub(layout.before() as u64);
    let high = low.and_then(|low| low.checked_add(layout.extent() as u64));
    let (Some(low), Some(high)) = (low, high) else {
        return Ok(Err("reaches beyond all addresses"));
    };
    let info = classify(low, ordinal)?;
    let on_device = |info: &PointerInfo| matches!(info.memory, Memory::Device | Memory::Managed);
    let Some(device) = info.device.filter(|_| on_device(&info)) else {
        return Ok(Err("is not on a device"));
    };
    if high - low > (info.base + info.size).saturating_sub(low) {
        // Mappings of one device side by side are one array's memory as well.
        let last = classify(high - 1, ordinal)?;
        if !on_device(&last) || last.device != info.device {
            return Ok(Err("ends before the array does"));
        }
    }
    Ok(Ok(Some(device)))
}
