//! The CUDA driver, loaded at run time. `disabled` has the same functions.

#[allow(unsafe_code, reason = "calls the driver's C functions before cudarc may be used")]
mod probe;

pub use probe::{driver_present, probe};
