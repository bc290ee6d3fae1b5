//! Is there a driver, and does it work?
//!
//! This must be asked before cudarc's own calls are used, and not through them, for two reasons:
//! cudarc panics when it finds no driver library, and it reads the driver's status into a Rust enum, so that
//! a status from a newer driver than the enum knows would be undefined behaviour. Here a status is a
//! plain `c_int`. The library is the one that cudarc itself loads, so both speak to the same driver.
//!
//! The driver is started at the first [`probe`], never when this crate is loaded: a process that has
//! started it cannot fork workers that use it.

use std::ffi::{c_int, c_uint};
use std::sync::OnceLock;

use cudarc::driver::sys;

use crate::api::{DriverInfo, DriverVersion, GpuError};

type Status = c_int;
type CuInit = unsafe extern "C" fn(c_uint) -> Status;
type CuGetInt = unsafe extern "C" fn(*mut c_int) -> Status;

/// The driver's status for "no device".
const NO_DEVICE: Status = 100;

/// Looks for a driver without starting it, and asks for its version.
///
/// Safe to call in a process that will fork workers. A driver that is present may still refuse to
/// start; [`probe`] tells.
pub fn driver_present() -> Result<DriverVersion, GpuError> {
    // Presence is asked for once: each time would load and unload the library again. A driver that is
    // installed while the process runs is found by the next process.
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: loading the driver library runs its initializers, which is what every user of the driver
    // does; it holds no state of ours.
    if !PRESENT.get_or_init(|| unsafe { sys::is_culib_present() }) {
        return Err(GpuError::NoDriver);
    }
    let number = get_int("cuDriverGetVersion")?;
    let number = u32::try_from(number).unwrap_or(0);
    // The driver counts 1000 for a major and 10 for a minor number: 13020 is 13.2.
    Ok(DriverVersion { major: number / 1000, minor: number % 1000 / 10 })
}

/// Starts the driver, once in a process, and counts the devices that this process can see.
///
/// The first answer is kept, whether good or bad. Only a process that was forked after it gets another:
/// [`GpuError::Forked`], because a driver does not survive a fork.
pub fn probe() -> Result<DriverInfo, GpuError> {
    static FOUND: OnceLock<(u32, Result<DriverInfo, GpuError>)> = OnceLock::new();
    let (started_by, found) = FOUND.get_or_init(|| (std::process::id(), start()));
    if found.is_ok() && *started_by != std::process::id() {
        return Err(GpuError::Forked { started_by: *started_by });
    }
    found.clone()
}

fn start() -> Result<DriverInfo, GpuError> {
    let version = driver_present()?;
    let name = "cuInit";
    // SAFETY: `driver_present` has found the library, so `culib` does not panic.
    let library = unsafe { sys::culib() };
    // SAFETY: the driver declares `CUresult cuInit(unsigned int)`, and CUresult is a C enum, an int.
    let init = unsafe { library.get::<CuInit>(name) }.map_err(|_| GpuError::MissingSymbol(name))?;
    // SAFETY: 0 is the one flag value that is defined; the call takes no pointer.
    match unsafe { init(0) } {
        0 => {}
        NO_DEVICE => return Err(GpuError::NoDevice),
        code => return Err(GpuError::Refused { call: name, code }),
    }
    match get_int("cuDeviceGetCount") {
        Ok(count) if count > 0 => Ok(DriverInfo { version, devices: count as usize }),
        Ok(_) | Err(GpuError::Refused { code: NO_DEVICE, .. }) => Err(GpuError::NoDevice),
        Err(error) => Err(error),
    }
}

/// Calls a driver function of type `CUresult f(int *)`. Only for the two names used in this file, and
/// only once the library is known to be there.
fn get_int(name: &'static str) -> Result<c_int, GpuError> {
    // SAFETY: every caller comes after `is_culib_present` has said yes, so `culib` does not panic.
    let library = unsafe { sys::culib() };
    // SAFETY: cuDriverGetVersion and cuDeviceGetCount both have this type.
    let function =
        unsafe { library.get::<CuGetInt>(name) }.map_err(|_| GpuError::MissingSymbol(name))?;
    let mut value: c_int = 0;
    // SAFETY: `value` is a live int that the function writes before it returns.
    match unsafe { function(&mut value) } {
        0 => Ok(value),
        code => Err(GpuError::Refused { call: name, code }),
    }
}
