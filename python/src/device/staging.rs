//! Bytes of many arrays, from devices and to them: one transfer for each device.

use super::region::Region;
use crate::error::raise_gpu;
use ferropickle_gpu::{DeviceId, GpuError, Region as Source, Stager, open_device};
use pyo3::prelude::*;

/// Bytes that are wanted on the host.
pub struct Want<'a> {
    /// Where they are.
    pub region: &'a Region,
    /// Where they go: as many bytes as the region's elements have.
    pub to: *mut u8,
}

/// Bytes of one array, for the thread that does without the GIL.
struct Job {
    device: DeviceId,
    source: Source,
    to: *mut u8,
}

// SAFETY: the pointer is to memory that the caller of `download` vouches for until that returns; the thread
// that uses it is the caller's own.
unsafe impl Send for Job {}

/// Fetches bytes; returns when all are there.
///
/// # Safety
///
/// Each `to` is valid for writes of its region's bytes, nobody else uses that memory meanwhile, and no two overlap.
pub unsafe fn download(py: Python<'_>, wants: &[Want<'_>]) -> PyResult<()> {
    let jobs: Vec<Job> = wants.iter().filter_map(|want| job(want.region, want.to)).collect();
    py.detach(move || fetch(jobs)).map_err(|error| raise_gpu(&error).into_py(py))
}

fn job(region: &Region, to: *mut u8) -> Option<Job> {
    let device = region.device_id()?;
    Some(Job { device, source: source_of(region), to })
}

/// The region as the crate `gpu` has it.
pub fn source_of(region: &Region) -> Source {
    // SAFETY: the region's owner keeps the memory and says which stream works on it; the driver
    // was asked about the memory when the region was made.
    unsafe { Source::new(region.address(), region.layout().clone(), region.stream()).vouched() }
}

fn fetch(mut jobs: Vec<Job>) -> Result<(), GpuError> {
    jobs.sort_by_key(|job| job.device);
    for group in jobs.chunk_by_mut(|a, b| a.device == b.device) {
        let device = open_device(group[0].device)?;
        let sources: Vec<Source> = group.iter().map(|job| job.source.clone()).collect();
        let mut into: Vec<&mut [u8]> = group
            .iter()
            // SAFETY: by the contract of `download`.
            .map(|job| unsafe { core::slice::from_raw_parts_mut(job.to, job.source.len_bytes()) })
            .collect();
        Stager::of(&device).download(&sources, &mut into, None)?;
    }
    Ok(())
}
