//! The CUDA driver, loaded at run time. `disabled` has the same functions.

#[allow(unsafe_code, reason = "calls the driver's C functions")]
mod calls;
#[allow(unsafe_code, reason = "copies by address, in the order of a stream")]
mod copy;
#[allow(unsafe_code, reason = "calls on contexts")]
mod device;
#[allow(unsafe_code, reason = "calls on events")]
mod event;
#[allow(unsafe_code, reason = "launches our kernels")]
mod kernel;
#[allow(unsafe_code, reason = "copies between arrays, locked memory and our own")]
mod lane;
#[allow(unsafe_code, reason = "allocates device memory, orders streams after what fills it")]
mod memory;
#[allow(unsafe_code, reason = "locked memory as bytes")]
mod pinned;
#[allow(unsafe_code, reason = "asks the driver about addresses")]
mod pointer;
#[allow(unsafe_code, reason = "calls the driver's C functions before cudarc may be used")]
mod probe;
#[allow(unsafe_code, reason = "gives arrays that were checked to the copies")]
mod staging;
#[allow(unsafe_code, reason = "calls on streams")]
mod stream;

pub use device::{Current, Device, devices, open_device};
pub use memory::DeviceBuffer;
pub use pinned::{Pinned, PinnedPool};
pub use probe::{driver_present, probe};
pub use staging::{Seen, Stager};
pub use stream::{Stream, Turn};
