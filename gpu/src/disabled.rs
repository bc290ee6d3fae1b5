//! The twin of `enabled` for builds without device support: the same functions, one answer.

use std::sync::Arc;

use crate::api::{DeviceId, DriverInfo, DriverVersion, GpuError};

/// Looks for a driver without starting it. Always [`GpuError::NotBuilt`] in this build.
pub fn driver_present() -> Result<DriverVersion, GpuError> {
    Err(GpuError::NotBuilt)
}

/// Starts the driver and counts its devices. Always [`GpuError::NotBuilt`] in this build.
pub fn probe() -> Result<DriverInfo, GpuError> {
    Err(GpuError::NotBuilt)
}

/// A device that this process uses. There is none in this build.
#[derive(Debug, PartialEq, Eq)]
pub enum Device {}

/// The devices that this process sees. Always [`GpuError::NotBuilt`] in this build.
pub fn devices() -> Result<Vec<DeviceId>, GpuError> {
    Err(GpuError::NotBuilt)
}

/// The device with this UUID. Always [`GpuError::NotBuilt`] in this build.
pub fn open_device(_: DeviceId) -> Result<Arc<Device>, GpuError> {
    Err(GpuError::NotBuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_says_that_it_is_not_built() {
        assert_eq!(driver_present(), Err(GpuError::NotBuilt));
        assert_eq!(probe(), Err(GpuError::NotBuilt));
        assert_eq!(devices(), Err(GpuError::NotBuilt));
        assert_eq!(open_device(DeviceId::from_bytes([0; 16])), Err(GpuError::NotBuilt));
    }
}
