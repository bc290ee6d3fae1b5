//! The twin of `enabled` for builds without device support: the same functions, one answer.

use crate::api::{DriverInfo, DriverVersion, GpuError};

/// Looks for a driver without starting it. Always [`GpuError::NotBuilt`] in this build.
pub fn driver_present() -> Result<DriverVersion, GpuError> {
    Err(GpuError::NotBuilt)
}

/// Starts the driver and counts its devices. Always [`GpuError::NotBuilt`] in this build.
pub fn probe() -> Result<DriverInfo, GpuError> {
    Err(GpuError::NotBuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_says_that_it_is_not_built() {
        assert_eq!(driver_present(), Err(GpuError::NotBuilt));
        assert_eq!(probe(), Err(GpuError::NotBuilt));
    }
}
