//! The CUDA driver, loaded at run time. `disabled` has the same functions.

#[cfg(unix)]
mod arena;
#[cfg(unix)]
mod blocks;
#[allow(unsafe_code, reason = "calls the driver's C functions")]
mod calls;
#[allow(unsafe_code, reason = "copies by address, in the order of a stream")]
mod copy;
#[allow(unsafe_code, reason = "calls on contexts")]
mod device;
mod edges;
#[allow(unsafe_code, reason = "calls on events")]
mod event;
mod host;
#[cfg(unix)]
#[allow(unsafe_code, reason = "waits for the work of the context")]
mod import;
#[cfg(unix)]
#[allow(unsafe_code, reason = "events and allocations of other processes")]
mod ipc;
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
#[cfg(unix)]
#[allow(unsafe_code, reason = "maps device memory that processes share")]
mod shared;
#[allow(unsafe_code, reason = "gives arrays that were checked to the copies")]
mod staging;
#[allow(unsafe_code, reason = "calls on streams")]
mod stream;
#[allow(unsafe_code, reason = "gives arrays that were checked to the copies")]
mod within;

#[cfg(unix)]
pub use arena::{ArenaExport, DeviceArena, Sent};
pub use device::{Current, Device, devices, open_device};
pub use host::Seen;
#[cfg(unix)]
pub use import::DevicePeer;
pub use memory::DeviceBuffer;
pub use pinned::{Pinned, PinnedPool};
pub use probe::{driver_present, probe};
pub use staging::Stager;
pub use stream::{Stream, Turn};
