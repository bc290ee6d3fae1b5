//! The extension module `ferropickle._native`: registration only.
//!
//! | to change | open |
//! |---|---|
//! | signatures and docstrings | `api.rs`, `pickler.rs`, `unpickler.rs`, `policy/mod.rs` |
//! | how a kind of object is written / made | `walk/` / `build/`, files of the same name |
//! | which kind a type is | `classify/` |
//! | raw layouts of CPython | `fast/` |
//! | exceptions and their texts | `error.rs`, `wording.rs` |

#![allow(
    unsafe_code,
    missing_docs,
    reason = "the crate speaks to CPython's C API throughout; tests/rust/layout.rs lists its unsafe files"
)]

mod api;
#[cfg(unix)]
mod arena;
mod arrays;
mod buffers;
mod build;
mod byvalue;
mod classify;
mod device;
mod error;
mod fast;
mod files;
mod gc;
mod hooks;
#[cfg(unix)]
mod link;
#[cfg(unix)]
mod message;
mod packages;
mod parcel;
mod peers;
mod pickler;
mod policy;
mod scratch;
mod signals;
mod sink;
mod source;
mod types;
mod unpickler;
mod walk;
mod wording;

use pyo3::prelude::*;

/// Native parts of ferropickle.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::api::{dump, dumps, load, loads};
    #[cfg(unix)]
    #[pymodule_export]
    use super::arena::Arena;
    #[pymodule_export]
    use super::buffers::PyBuffer;
    #[pymodule_export]
    use super::device::buffer::{Buffer, StandIn, device_store, device_unfilled, device_upload};
    #[cfg(unix)]
    #[pymodule_export]
    use super::device::exchange::Exchange;
    #[pymodule_export]
    use super::device::region::Region;
    #[pymodule_export]
    use super::device::{device_ids, device_memory};
    #[pymodule_export]
    use super::files::archive::{Archive, read_file};
    #[pymodule_export]
    use super::files::save::save_file;
    #[cfg(unix)]
    #[pymodule_export]
    use super::link::Link;
    #[cfg(unix)]
    #[pymodule_export]
    use super::link::carried::{Inbox, frames};
    #[pymodule_export]
    use super::parcel::unpack::unpack;
    #[pymodule_export]
    use super::parcel::{Parcel, pack};
    #[pymodule_export]
    use super::pickler::{Pickler, PicklerMemo};
    #[pymodule_export]
    use super::policy::Policy;
    #[pymodule_export]
    use super::unpickler::{Unpickler, UnpicklerMemo};
    #[pymodule_export]
    use super::walk::described::Described;
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        types::init(py)?;
        module.add("ParcelError", error::parcel_error(py)?)?;
        module.add("DeviceError", error::device_error(py)?)?;
        module.add("current_policy", policy::init(py)?)?;
        module.add("HIGHEST_PROTOCOL", ferropickle_core::limits::HIGHEST_PROTOCOL)?;
        module.add("DEFAULT_PROTOCOL", api::DEFAULT_PROTOCOL)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
