//! A driver library for tests: three functions that answer what the environment says.
//! `main.rs` beside this file compiles it by itself, as edition 2021.

#![allow(missing_docs)]

use std::ffi::{c_int, c_uint};

fn answer(name: &str) -> c_int {
    std::env::var(name).map_or(0, |v| v.parse().expect("a number"))
}

#[no_mangle]
pub extern "C" fn cuInit(_flags: c_uint) -> c_int {
    answer("STUB_INIT")
}

#[no_mangle]
pub extern "C" fn cuDriverGetVersion(version: &mut c_int) -> c_int {
    *version = 13020;
    0
}

#[cfg(not(without_count))]
#[no_mangle]
pub extern "C" fn cuDeviceGetCount(count: &mut c_int) -> c_int {
    *count = answer("STUB_DEVICES");
    answer("STUB_COUNT")
}
