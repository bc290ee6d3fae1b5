//! Device memory of our own, and buffers in it.

use std::sync::Arc;

use super::calls::started;
use super::device::{Current, Device, Relaxed};
use super::event::Event;
use super::stream::{Stream, handle_of, refuse_captured};
use crate::api::{GpuError, StreamRef};

/// Device memory that we have allocated. Dropped, it is freed, for which the driver waits until the device's work is done.
pub(super) struct DeviceMemory {
    device: Arc<Device>,
    address: u64,
}

impl DeviceMemory {
    /// Memory for so many bytes, which are not set.
    pub fn new(device: &Arc<Device>, current: &Current<'_>, size: usize) -> Result<Self, GpuError> {
        let mut address = 0;
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: `address` is live; the context of the device is current.
        unsafe { current.calls.memory_alloc(&mut address, size.max(1)) }?;
        Ok(Self { device: device.clone(), address })
    }

    pub fn address(&self) -> u64 {
        self.address
    }
}

/// Keeps device memory.
pub(super) trait DeviceOwner: Send + Sync {
    /// The memory's address is given to others, so that its end has to wait for their work too.
    fn expose(&self) {}
}

impl DeviceOwner for DeviceMemory {}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // In a forked child the memory is the parent's; at the end of a process the driver has freed it.
        let (Some(calls), Ok(_current)) = (started(), self.device.enter()) else { return };
        let Ok(_relaxed) = Relaxed::new(calls) else { return };
        // SAFETY: the memory is ours, and this is its end: buffers in it keep it.
        let _ = unsafe { calls.memory_free(self.address) };
    }
}

/// Bytes in device memory, with an owner. Cloning shares them.
///
/// What fills them may still be under way: whoever uses them orders itself after that: [`before`](DeviceBuffer::before). Dropping the last buffer
/// of some memory waits for the device: no lock that others need is to be held then.
///
/// One that another process has sent is not to be dropped while a stream of this process is captured into a graph, if its address
/// was asked for: to wait would spoil the capture.
#[derive(Clone)]
pub struct DeviceBuffer {
    device: Arc<Device>,
    owner: Arc<dyn DeviceOwner>,
    filled: Option<Arc<Event>>,
    address: u64,
    len: usize,
}

impl DeviceBuffer {
    /// A buffer in memory that its owner keeps, with the event after which it is filled.
    pub(super) fn new(
        device: &Arc<Device>,
        owner: Arc<dyn DeviceOwner>,
        filled: Option<Arc<Event>>,
        address: u64,
        len: usize,
    ) -> Self {
        Self { device: device.clone(), owner, filled, address, len }
    }

    /// Where it begins on the device. Whoever asks may use the memory as long as the buffer lives, and order that after
    /// what fills it.
    pub fn address(&self) -> u64 {
        self.owner.expose();
        self.address
    }

    /// Where it begins, for work of ours that is waited for.
    pub(super) fn place(&self) -> u64 {
        self.address
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// A part of the buffer, with the same owner; `None` if it does not lie within.
    pub fn part(&self, from: usize, len: usize) -> Option<DeviceBuffer> {
        from.checked_add(len).filter(|&end| end <= self.len)?;
        Some(DeviceBuffer { address: self.address + from as u64, len, ..self.clone() })
    }

    /// Whether nobody else has the memory.
    pub fn is_sole(&self) -> bool {
        Arc::strong_count(&self.owner) == 1
    }

    /// Orders the work that is queued in a stream from now on after what fills the buffer.
    ///
    /// # Errors
    ///
    /// [`GpuError::Capturing`] if the stream is being captured; [`GpuError::Forked`]; a call that fails.
    pub fn before(&self, stream: StreamRef) -> Result<(), GpuError> {
        let Some(filled) = &self.filled else { return Ok(()) };
        let current = self.device.enter()?;
        let stream = handle_of(stream);
        refuse_captured(&current, stream)?;
        // SAFETY: `StreamRef` says that the stream outlives its use.
        unsafe { filled.hold_back(&current, stream) }
    }

    /// Orders a stream of ours after what fills the buffer.
    pub(super) fn hold_back(&self, current: &Current<'_>, stream: &Stream) -> Result<(), GpuError> {
        match &self.filled {
            // SAFETY: the stream is alive.
            Some(filled) => unsafe { filled.hold_back(current, stream.handle()) },
            None => Ok(()),
        }
    }

    /// Waits until the buffer is filled.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; the status of work that failed.
    pub fn wait(&self) -> Result<(), GpuError> {
        let Some(filled) = &self.filled else { return Ok(()) };
        filled.wait(&self.device.enter()?)
    }
}

/// The event after what a stream of ours has been told to do so far.
pub(super) fn mark(current: &Current<'_>, stream: &Stream) -> Result<Arc<Event>, GpuError> {
    let event = Event::take(current)?;
    // SAFETY: the stream is alive and of the current device.
    unsafe { event.record(current, stream.handle()) }?;
    Ok(Arc::new(event))
}
