//! Device memory that other processes can map: it lives until the last of them lets go.

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::calls::{Access, DESCRIPTOR, Properties, started};
use super::device::{Current, Device, Relaxed};
use crate::api::GpuError;

/// `CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED`, `..._HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED`.
const NEEDED: [c_uint; 2] = [102, 103];

/// The driver's status for what a device or a system does not have.
pub(super) const NOT_SUPPORTED: i32 = 801;

/// Mapped memory, this process's own or another's. Dropped, it is unmapped once the device's work is done.
pub(super) struct SharedMemory {
    device: Arc<Device>,
    memory: u64,
    address: u64,
    size: usize,
    mapped: bool,
}

/// What the sizes of shared memory of a device are multiples of.
///
/// # Errors
///
/// [`GpuError::Unshareable`] if it has none; a call that fails.
pub(super) fn granule(device: &Device, current: &Current<'_>) -> Result<usize, GpuError> {
    let ordinal = device.ordinal() as c_int;
    for attribute in NEEDED {
        let mut value = 0;
        // SAFETY: `value` is live; the ordinal is the device's, which is its handle too.
        unsafe { current.calls.device_attribute(&mut value, attribute, ordinal) }?;
        if value == 0 {
            return Err(GpuError::Unshareable(
                "the device or its driver has no memory to be shared",
            ));
        }
    }
    let mut granule = 0;
    // SAFETY: both are live; 0 asks for the least.
    let asked =
        unsafe { current.calls.granularity(&mut granule, &Properties::exportable(ordinal), 0) };
    asked.map_err(unshareable)?;
    Ok(granule.max(1))
}

/// What "not supported" means here.
fn unshareable(error: GpuError) -> GpuError {
    match error {
        GpuError::Failed { code: NOT_SUPPORTED, .. } => {
            GpuError::Unshareable("the driver does not support it")
        }
        error => error,
    }
}

impl SharedMemory {
    /// New memory of `size` bytes, a multiple of the granule.
    pub fn create(
        device: &Arc<Device>,
        current: &Current<'_>,
        size: usize,
    ) -> Result<Self, GpuError> {
        let mut memory = 0;
        let properties = Properties::exportable(device.ordinal() as c_int);
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: both are live.
        unsafe { current.calls.shared_create(&mut memory, size, &properties, 0) }
            .map_err(unshareable)?;
        Self::map(device, current, memory, size)
    }

    /// The memory of another process's descriptor, which says that it has `size` bytes; the driver knows.
    pub fn import(
        device: &Arc<Device>,
        current: &Current<'_>,
        descriptor: OwnedFd,
        size: usize,
    ) -> Result<Self, GpuError> {
        let mut memory = 0;
        let _relaxed = Relaxed::new(current.calls)?;
        let number = descriptor.as_raw_fd() as usize as *mut c_void;
        // SAFETY: `memory` is live; the descriptor is open, and may be closed when this is done.
        unsafe { current.calls.shared_import(&mut memory, number, DESCRIPTOR) }.map_err(
            |error| match unshareable(error) {
                GpuError::Failed { code: 1, .. } => {
                    GpuError::Damaged("a descriptor is none of device memory")
                }
                error => error,
            },
        )?;
        Self::map(device, current, memory, size)
    }

    /// Gives the memory an address. The handle is the new object's.
    fn map(
        device: &Arc<Device>,
        current: &Current<'_>,
        memory: u64,
        size: usize,
    ) -> Result<Self, GpuError> {
        // From here on a drop lets go of what there is.
        let mut made = Self { device: device.clone(), memory, address: 0, size, mapped: false };
        let (calls, access) = (current.calls, Access::full(device.ordinal() as c_int));
        // SAFETY: what is passed is live; the addresses are ours, and nothing is mapped there.
        unsafe {
            calls.address_reserve(&mut made.address, size, 0, 0, 0)?;
            calls.map(made.address, size, 0, memory, 0)?;
            made.mapped = true;
            calls.set_access(made.address, size, &access, 1)?;
        }
        Ok(made)
    }

    /// A descriptor of the memory.
    pub fn export(&self, current: &Current<'_>) -> Result<OwnedFd, GpuError> {
        let mut descriptor: c_int = -1;
        let place = std::ptr::from_mut(&mut descriptor).cast();
        // SAFETY: `place` is that of a live int, which the driver writes.
        unsafe { current.calls.shared_export(place, self.memory, DESCRIPTOR, 0) }?;
        if descriptor < 0 {
            return Err(GpuError::Failed { call: "cuMemExportToShareableHandle", code: 0 });
        }
        // SAFETY: the driver has just opened it for the caller, who owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    pub fn address(&self) -> u64 {
        self.address
    }

    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // In a forked child the mapping is the parent's; at the end of a process the driver has undone it.
        let (Some(calls), Ok(_current)) = (started(), self.device.enter()) else { return };
        let Ok(_relaxed) = Relaxed::new(calls) else { return };
        // SAFETY: the memory is ours, and this is its end: what lies in it keeps it. Nothing uses it when the context's work is
        // done; if that cannot be waited for, as a capture is under way, the memory stays mapped.
        unsafe {
            if self.mapped && calls.context_synchronize().is_err() {
                return;
            }
            let unmapped = !self.mapped || calls.unmap(self.address, self.size).is_ok();
            if unmapped && self.address != 0 {
                let _ = calls.address_free(self.address, self.size);
            }
            let _ = calls.shared_release(self.memory);
        }
    }
}
