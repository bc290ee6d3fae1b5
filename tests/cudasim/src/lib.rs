//! A CUDA driver library with no device behind it, for tests.
//!
//! Programs load it in place of `libcuda.so.1` and their real driver calls run: memory, streams, events,
//! sharing between processes, kernels from their PTX. Mistakes that a real driver forgives or punishes at random fail
//! here each time, and are named in the report. `README.md` beside the manifest has the rules that are simulated, with
//! the source of each, and the environment variables and functions by which a test steers it.
//!
//! Linux only: it stands on memory files. Elsewhere the crate is empty.
#![cfg(target_os = "linux")]

#[allow(unsafe_code, reason = "exports the driver's C functions")]
mod api;
#[allow(
    unsafe_code,
    reason = "reads and writes the memory of simulated devices, without references"
)]
mod bytes;
mod config;
mod context;
mod control;
mod copy;
mod device;
mod driver;
mod engine;
mod event;
mod ipc;
mod launch;
mod memory;
mod module;
mod pinned;
mod pointer;
mod pool;
mod profile;
mod ptx;
#[allow(unsafe_code, reason = "pointers that callers in C pass")]
mod raw;
mod space;
mod status;
mod stream;
#[allow(unsafe_code, reason = "calls of the operating system")]
mod sys;
mod virtual_memory;

pub use profile::{PROFILES, specialize};
