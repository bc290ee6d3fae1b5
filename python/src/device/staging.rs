//! Bytes of many arrays, from devices and to them: one transfer for each device.

use super::region::Region;
use crate::error::raise_gpu;
use ferropickle_gpu::{DeviceId, GpuError, Region as Source, Stager, open_device};
use pyo3::prelude::*;

/// Bytes that are wanted on the host.
pub struct Want<'a> {
    pub device: DeviceId,
    /// Where they are.
    pub source: Source,
    /// Where they go: as many bytes as the source's elements have.
    pub to: &'a mut [u8],
}

impl<'a> Want<'a> {
    /// A region's bytes; `None` if it has none, and so no device.
    pub fn of(region: &Region, to: &'a mut [u8]) -> Option<Self> {
        Some(Self { device: region.device_id()?, source: source_of(region), to })
    }
}

/// The region as the crate `gpu` has it.
pub fn source_of(region: &Region) -> Source {
    // SAFETY: the region's owner keeps the memory and says which stream works on it; the driver
    // was asked about the memory when the region was made.
    unsafe { Source::new(region.address(), region.layout().clone(), region.stream()).vouched() }
}

/// Fetches bytes, without the GIL; returns when all are there.
pub fn download(py: Python<'_>, wants: Vec<Want<'_>>) -> PyResult<()> {
    py.detach(move || fetch(wants)).map_err(|error| raise_gpu(&error).into_py(py))
}

/// Bytes of the host's that go to a device.
pub struct Gift<'a> {
    pub device: DeviceId,
    pub from: &'a [u8],
    /// Where they go: an array with as many bytes.
    pub to: Source,
}

/// Copies bytes to devices, without the GIL; returns when all are there.
pub fn upload(py: Python<'_>, gifts: Vec<Gift<'_>>) -> PyResult<()> {
    py.detach(move || store(gifts)).map_err(|error| raise_gpu(&error).into_py(py))
}

fn store(mut gifts: Vec<Gift<'_>>) -> Result<(), GpuError> {
    gifts.sort_by_key(|gift| gift.device);
    for group in gifts.chunk_by(|a, b| a.device == b.device) {
        let device = open_device(group[0].device)?;
        let from: Vec<&[u8]> = group.iter().map(|gift| gift.from).collect();
        let into: Vec<Source> = group.iter().map(|gift| gift.to.clone()).collect();
        Stager::of(&device).upload_waited(&from, &into)?;
    }
    Ok(())
}

fn fetch(mut wants: Vec<Want<'_>>) -> Result<(), GpuError> {
    wants.sort_by_key(|want| want.device);
    for group in wants.chunk_by_mut(|a, b| a.device == b.device) {
        let device = open_device(group[0].device)?;
        let sources: Vec<Source> = group.iter().map(|want| want.source.clone()).collect();
        let mut into: Vec<&mut [u8]> = group.iter_mut().map(|want| &mut *want.to).collect();
        Stager::of(&device).download(&sources, &mut into, None)?;
    }
    Ok(())
}
