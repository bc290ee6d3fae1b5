//! Buffers between Python and the core: memory of Python objects as buffers of
//! the core, and buffers of the core as Python objects.

use crate::error::Raised;
use crate::fast::{Obj, Own};
use crate::source::View;
use crate::types::to_bound;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use ferropickle_core::buffer::{ALIGN, Block, Buffer, BufferDesc, Owner, Place};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::sync::Arc;

/// The alignment that descriptions of collected buffers ask for.
pub const ALIGN_HINT: u32 = ALIGN as u32;

/// What keeps memory of Python's where it is.
pub trait Keep: 'static {}

/// A view by the buffer protocol: nobody resizes what it looks at.
impl Keep for View {}

/// An object that neither moves nor frees its memory while it lives.
impl Keep for Own {}

/// A keeper as an owner: dropped with the GIL, on whatever thread that is.
struct Kept<K: Keep>(ManuallyDrop<K>);

// SAFETY: the keeper is touched by `drop` alone, and that has the GIL.
unsafe impl<K: Keep> Send for Kept<K> {}
// SAFETY: as above.
unsafe impl<K: Keep> Sync for Kept<K> {}

impl<K: Keep> Owner for Kept<K> {}

impl<K: Keep> Drop for Kept<K> {
    fn drop(&mut self) {
        // Without an interpreter, as at its end, there is nothing to give back.
        // SAFETY: dropped once, here.
        Python::try_attach(|_| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

/// A buffer over memory that `keeper` keeps where it is.
pub fn kept(data: &[u8], keeper: impl Keep) -> Buffer {
    let owner = Arc::new(Kept(ManuallyDrop::new(keeper)));
    // SAFETY: the keeper holds the memory until the last buffer goes.
    unsafe { Buffer::from_raw(NonNull::from(data).cast(), data.len(), owner) }
}

/// The buffer of a view.
pub fn kept_view(view: View) -> Buffer {
    // SAFETY: pointer and length of the view, which the buffer keeps; the view
    // itself is a box, so its memory does not move with it.
    let data =
        unsafe { core::slice::from_raw_parts(view.as_slice().as_ptr(), view.as_slice().len()) };
    kept(data, view)
}

/// A buffer with memory of its own and the same bytes.
pub fn copied(buffer: &Buffer) -> Result<Buffer, Raised> {
    let block = let_go(buffer.len(), || Block::copy_of(buffer.as_slice()));
    block.map(Buffer::from).ok_or_else(Raised::no_memory)
}

/// Work on less than this is done with the GIL held.
const LET_GO_BYTES: usize = 256 << 10;

/// Does work that is slow for many bytes without the GIL.
pub fn let_go<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes < LET_GO_BYTES { work() } else { Python::attach(|py| py.detach(work)) }
}

/// Memory that came out of band: what NEXT_BUFFER makes of a native buffer.
///
/// A bytes-like object: `memoryview(buffer)` looks at it, NumPy and others take
/// it as it is. It keeps the memory alive.
#[pyclass(frozen, module = "ferropickle._native", name = "Buffer")]
pub struct PyBuffer {
    buffer: Buffer,
    read_only: bool,
}

#[pymethods]
impl PyBuffer {
    /// Bytes in the buffer.
    #[getter]
    fn nbytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the memory must not be written to.
    #[getter]
    fn readonly(&self) -> bool {
        self.read_only
    }

    fn __len__(&self) -> usize {
        self.buffer.len()
    }

    fn __repr__(&self) -> String {
        let kind = if self.read_only { "read-only" } else { "writable" };
        format!("<ferropickle Buffer, {} bytes, {kind}>", self.buffer.len())
    }

    /// As the bytes-like object that it is: out of band where buffers are.
    fn __reduce_ex__<'py>(
        slf: &Bound<'py, Self>,
        protocol: i64,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyAny>,))> {
        let py = slf.py();
        let rebuild = py.import("builtins")?.getattr("memoryview")?;
        let data = if protocol >= 5 {
            py.import("_pickle")?.getattr("PickleBuffer")?.call1((slf,))?
        } else {
            py.import("builtins")?.getattr("bytes")?.call1((slf,))?
        };
        Ok((rebuild, (data,)))
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
        let this = slf.get();
        // SAFETY: the memory lives as long as the object, which the view holds.
        let refused = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                this.buffer.as_ptr().cast(),
                this.buffer.len() as isize,
                core::ffi::c_int::from(this.read_only),
                flags,
            )
        };
        if refused < 0 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

/// The Python object of a buffer.
pub fn object_of(buffer: Buffer, read_only: bool) -> Result<Own, Raised> {
    // SAFETY: `Own` and `Raised` are of a thread with the GIL.
    let py = unsafe { Python::assume_attached() };
    match Bound::new(py, PyBuffer { buffer, read_only }) {
        // SAFETY: a new object; its reference becomes ours.
        Ok(object) => unsafe { Own::from_new(object.into_ptr()) },
        Err(error) => Err(Raised::from_py(error)),
    }
}

/// The row of a table for an object that is device memory: no bytes, and where the
/// object is.
pub fn row_of_device(object: Own) -> (BufferDesc, Buffer) {
    let desc = BufferDesc { place: Place::Device as u32, ..BufferDesc::host(0, ALIGN_HINT, false) };
    let address = NonNull::new(object.ptr().cast::<u8>()).unwrap_or(NonNull::dangling());
    let owner = Arc::new(Kept(ManuallyDrop::new(object)));
    // SAFETY: no bytes are read; the owner keeps the object.
    (desc, unsafe { Buffer::from_raw(address, 0, owner) })
}

/// The object of a row that [`row_of_device`] made; `None` for any other.
pub fn device_of(desc: &BufferDesc, buffer: &Buffer) -> Option<Own> {
    // Only that function makes such rows: what comes from elsewhere is of the host's.
    let is_device = Place::from_u32(desc.place) == Some(Place::Device);
    // SAFETY: the address is of an object that the buffer keeps.
    is_device.then(|| unsafe { Obj::new(buffer.as_ptr().cast()) }.own())
}

/// A `memoryview` of a buffer.
pub fn view_of(buffer: Buffer, read_only: bool) -> Result<Own, Raised> {
    let object = object_of(buffer, read_only)?;
    // SAFETY: a live object; a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyMemoryView_FromObject(object.ptr())) }
}

/// Start and length of the memory of an object made by [`object_of`], which keeps
/// it there, and whether it is read-only; `None` for any other.
pub fn memory_of(obj: Obj) -> Option<(*mut u8, usize, bool)> {
    // SAFETY: an `Obj` is of a thread with the GIL.
    let bound = to_bound(unsafe { Python::assume_attached() }, obj);
    let this = bound.cast_exact::<PyBuffer>().ok()?.get();
    Some((this.buffer.as_ptr(), this.buffer.len(), this.read_only))
}

/// The buffer of an object made by [`object_of`], and whether it is read-only;
/// `None` for any other. The object itself keeps the memory, as a base does.
pub fn of(obj: Obj) -> Option<(Buffer, bool)> {
    Python::attach(|py| {
        let bound = to_bound(py, obj);
        let this = bound.cast_exact::<PyBuffer>().ok()?.get();
        Some((this.buffer.clone(), this.read_only))
    })
}
