//! Events and allocations of one process in another.

use std::sync::Arc;

use super::calls::{Handle, IpcHandle, started};
use super::device::{Current, Device, Relaxed};
use super::event::has_happened;
use super::shared::NOT_SUPPORTED;
use super::stream::Stream;
use crate::api::GpuError;
use crate::wire::HANDLE;

/// `CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS`.
const BETWEEN_PROCESSES: u32 = 2 | 4;

/// `CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS`, the only flag there is.
const LAZY: u32 = 1;

/// An event of this process that others can wait for, or one of another's.
pub(super) struct SharedEvent {
    device: Arc<Device>,
    event: Handle,
    /// Its handle.
    pub handle: [u8; HANDLE],
}

impl SharedEvent {
    /// A new event; `None` where the driver has none between processes.
    pub fn create(device: &Arc<Device>, current: &Current<'_>) -> Result<Option<Self>, GpuError> {
        let mut made = Self { device: device.clone(), event: 0, handle: [0; HANDLE] };
        let mut handle = IpcHandle([0; HANDLE]);
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: what is written is live; the context of the device is current.
        let created = unsafe {
            let created = current.calls.event_create(&mut made.event, BETWEEN_PROCESSES);
            created.and_then(|()| current.calls.event_export(&mut handle, made.event))
        };
        match created {
            Ok(()) => {
                made.handle = handle.0;
                Ok(Some(made))
            }
            Err(GpuError::Failed { code: NOT_SUPPORTED, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The event of another process.
    pub fn open(
        device: &Arc<Device>,
        current: &Current<'_>,
        handle: [u8; HANDLE],
    ) -> Result<Self, GpuError> {
        let mut opened = Self { device: device.clone(), event: 0, handle };
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: `event` is live; the context of the device is current.
        unsafe { current.calls.event_import(&mut opened.event, IpcHandle(handle)) }?;
        Ok(opened)
    }

    /// Puts the event behind what a stream of ours has been told to do.
    pub fn record(&self, current: &Current<'_>, stream: &Stream) -> Result<(), GpuError> {
        // SAFETY: both are alive and of the current device.
        unsafe { current.calls.event_record(self.event, stream.handle()) }
    }

    /// Whether the event has happened.
    pub fn has_happened(&self, current: &Current<'_>) -> Result<bool, GpuError> {
        // SAFETY: the event is alive.
        unsafe { has_happened(current, self.event) }
    }
}

impl Drop for SharedEvent {
    fn drop(&mut self) {
        let (Some(calls), Ok(_current)) = (started(), self.device.enter()) else { return };
        if self.event != 0 {
            // SAFETY: the event is ours and nobody else has its handle here.
            let _ = unsafe { calls.event_destroy(self.event) };
        }
    }
}

/// The handle of the allocation at `base`.
pub(super) fn export_block(current: &Current<'_>, base: u64) -> Result<[u8; HANDLE], GpuError> {
    let mut handle = IpcHandle([0; HANDLE]);
    // SAFETY: `handle` is live.
    match unsafe { current.calls.memory_export(&mut handle, base) } {
        Ok(()) => Ok(handle.0),
        Err(GpuError::Failed { code: 1 | NOT_SUPPORTED, .. }) => {
            Err(GpuError::Unshareable("the memory was not allocated to be shared"))
        }
        Err(error) => Err(error),
    }
}

/// An allocation of another process. Dropped, it is closed, for which the driver waits until the device's work is done.
pub(super) struct ForeignBlock {
    device: Arc<Device>,
    pub address: u64,
}

impl ForeignBlock {
    /// Opens a handle of another process's.
    pub fn open(
        device: &Arc<Device>,
        current: &Current<'_>,
        handle: [u8; HANDLE],
    ) -> Result<Self, GpuError> {
        let mut address = 0;
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: `address` is live; the context of the device is current.
        unsafe { current.calls.memory_import(&mut address, IpcHandle(handle), LAZY) }?;
        Ok(Self { device: device.clone(), address })
    }
}

impl Drop for ForeignBlock {
    fn drop(&mut self) {
        let (Some(calls), Ok(_current)) = (started(), self.device.enter()) else { return };
        let Ok(_relaxed) = Relaxed::new(calls) else { return };
        // SAFETY: the memory was opened once for this object, and what lies in it keeps it.
        let _ = unsafe { calls.memory_close(self.address) };
    }
}
