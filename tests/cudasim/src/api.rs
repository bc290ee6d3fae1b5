//! How a driver function is exported: under its C name, in the table of its file, through the checks that every call
//! passes.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::driver::{self, Driver};
use crate::status::{Outcome, Status};

/// A driver function.
pub struct Entry {
    pub name: &'static str,
    /// The driver that first had it, 12080 for 12.8; functions older than 12.0 say 0.
    pub since: i32,
    pub address: fn() -> *const (),
}

/// Defines driver functions and the table `ENTRIES` of them. Before a name stands the driver version that first has it.
/// `=>` gives a second name: the same function for callers whose default stream is their thread's own.
macro_rules! functions {
    ($($since:literal fn $name:ident $(=> $own:ident)? ($driver:ident $(, $arg:ident: $kind:ty)* $(,)?) $body:block)*) => {
        $($crate::api::export!($name $($own)?; $driver; ($($arg: $kind),*); $body);)*
        pub const ENTRIES: &[$crate::api::Entry] = &[$(
            $crate::api::Entry { name: stringify!($name), since: $since, address: || $name as *const () },
            $($crate::api::Entry { name: stringify!($own), since: $since, address: || $own as *const () },)?
        )*];
    };
}

macro_rules! export {
    ($name:ident $own:ident; $driver:ident; $arguments:tt; $body:block) => {
        $crate::api::export!(@ $name, false, $driver, $arguments, $body);
        $crate::api::export!(@ $own, true, $driver, $arguments, $body);
    };
    ($name:ident; $driver:ident; $arguments:tt; $body:block) => {
        $crate::api::export!(@ $name, false, $driver, $arguments, $body);
    };
    (@ $name:ident, $own:literal, $driver:ident, ($($arg:ident: $kind:ty),*), $body:block) => {
        #[allow(unsafe_code, reason = "exported under the driver's name")]
        #[allow(non_snake_case, reason = "the driver's name")]
        #[allow(clippy::too_many_arguments, reason = "the driver's signature")]
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $kind),*) -> std::ffi::c_int {
            $crate::api::call(stringify!($name), $own, |$driver| $body)
        }
    };
}

/// Defines functions of the simulator's own, which no driver has.
macro_rules! own {
    ($(fn $name:ident ($($arg:ident: $kind:ty),*) -> $result:ty $body:block)*) => {$(
        #[allow(unsafe_code, reason = "exported under its name")]
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $kind),*) -> $result $body
    )*};
}

pub(crate) use {export, functions, own};

/// Runs a driver function. No call passes before `cuInit`, in a forked child, or once the process ends;
/// each is counted and logged, and may be told to fail; a panic becomes `CUDA_ERROR_UNKNOWN` and a violation.
pub fn call(
    name: &'static str,
    own_stream: bool,
    body: impl FnOnce(&'static Driver) -> Outcome,
) -> c_int {
    let run = || {
        let driver = driver::running()?;
        driver.admit(name)?;
        driver::with_own_stream(own_stream, || body(driver))
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => 0,
        Ok(Err(status)) => status.0,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
            if let Ok(driver) = driver::running() {
                driver.violation(format!("{name} broke: {text}"));
            }
            Status::UNKNOWN.0
        }
    }
}
