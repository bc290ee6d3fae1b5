//! Device memory for ferropickle. This crate knows no Python.
//!
//! | room | what it holds |
//! |---|---|
//! | [`api`] | the types that the rest of the project sees: devices by UUID, streams, placement, errors; no driver's names |
//! | [`region`] | arrays in device memory, by address and layout |
//! | [`plan`] | how many arrays become few copies |
//! | [`wire`] | what processes tell each other about shared device memory |
//! | [`beside`] | what goes beside a message that lies in arenas, in part or all |
//! | [`ticket`] | what stands before such a message where nothing goes beside it |
//! | `enabled` | the CUDA driver, loaded at run time (feature `cuda`) |
//! | `disabled` | the same functions where the feature is off: each answers [`GpuError::NotBuilt`] |
//!
//! A [`Device`] comes from [`open_device`]. What it can do exists where the feature is on: streams, locked memory, copies,
//! questions about addresses; without the feature there is no device to ask.
//!
//! Loading this crate touches no driver. [`driver_present`] looks for one without starting it; [`probe`] starts it, once
//! in a process. Neither panics, whatever the machine has or lacks. The rules on streams, lifetimes, locks and
//! processes that every later room keeps are in `DESIGN.md` beside this crate's manifest.

pub mod api;
pub mod beside;
pub mod plan;
#[allow(unsafe_code, reason = "whoever names device memory vouches for it")]
pub mod region;
pub mod ticket;
pub mod wire;

#[cfg(not(feature = "cuda"))]
mod disabled;
#[cfg(feature = "cuda")]
mod enabled;

pub use api::{
    DeviceId, DriverInfo, DriverVersion, Export, GpuError, Memory, OnMissing, ParseDeviceIdError,
    Placement, PointerInfo, StreamRef,
};

pub use region::Region;

#[cfg(all(unix, feature = "cuda"))]
pub use enabled::{ArenaExport, DeviceArena, DevicePeer, Sent};

#[cfg(not(feature = "cuda"))]
pub use disabled::{Device, devices, driver_present, open_device, probe};
#[cfg(feature = "cuda")]
pub use enabled::{
    Current, Device, DeviceBuffer, Pinned, PinnedPool, Seen, Stager, Stream, Turn, devices,
    driver_present, open_device, probe,
};
