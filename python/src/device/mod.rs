//! Arrays on devices, between Python and the crate `gpu`.
//!
//! | to change | open |
//! |---|---|
//! | which libraries are known, what their arrays become in a stream | `python/ferropickle/reducers/devices.py`, `interfaces.py` beside it |
//! | what is known of an array's memory | `region.rs` |
//! | device memory as an object | `buffer.rs` |
//! | how bytes come from devices and get there | `staging.rs` |
//! | when that happens in a dump | `python/src/walk/device.rs` |
//! | how they go to another process by an arena, and come from there | `outbound.rs`, `inbound.rs` |
//! | the same where the reader is not known: by queues, pipes and pools | `exchange.rs`; what becomes of a message that nobody reads: `unread.rs` |
//! | how much is offered to who has not answered | `unanswered.rs` |
//! | where arrays land in a load | `python/src/build/device.rs`, `python/ferropickle/_landing.py`; how their elements get there: `_uploads.py` beside it |

pub mod buffer;
#[cfg(unix)]
pub mod exchange;
pub mod inbound;
pub mod outbound;
pub mod region;
pub mod staging;
pub mod unanswered;
#[cfg(unix)]
mod unread;

use crate::error::raise_gpu;
use ferropickle_gpu::{DeviceId, GpuError, Memory};
use pyo3::prelude::*;
use std::sync::OnceLock;

/// The UUIDs of the devices that this process sees, by ordinal: "GPU-...".
///
/// Starts the driver. Raises DeviceError where there is none that works.
#[pyfunction]
pub fn device_ids(py: Python<'_>) -> PyResult<Vec<String>> {
    let ids = py.detach(ids);
    let ids = ids.map_err(|error| raise_gpu(&error).into_py(py))?;
    Ok(ids.iter().map(DeviceId::to_string).collect())
}

/// What an address is the address of: the kind of memory ("pageable", "pinned",
/// "managed" or "device"), the device's UUID or None, where the allocation
/// begins, and its length.
///
/// Starts the driver. Raises DeviceError where there is none that works.
#[pyfunction]
pub fn device_memory(
    py: Python<'_>,
    address: u64,
) -> PyResult<(&'static str, Option<String>, u64, u64)> {
    let info = py.detach(|| region::classify(address, None));
    let info = info.map_err(|error| raise_gpu(&error).into_py(py))?;
    let kind = match info.memory {
        Memory::Pinned => "pinned",
        Memory::Managed => "managed",
        Memory::Device => "device",
        _ => "pageable",
    };
    Ok((kind, info.device.map(|id| id.to_string()), info.base, info.size))
}

/// The devices by ordinal: the same as long as the process lives.
pub fn ids() -> Result<&'static [DeviceId], GpuError> {
    static IDS: OnceLock<Vec<DeviceId>> = OnceLock::new();
    // A forked child is refused here.
    ferropickle_gpu::probe()?;
    if let Some(ids) = IDS.get() {
        return Ok(ids);
    }
    let found = ferropickle_gpu::devices()?;
    Ok(IDS.get_or_init(|| found))
}
