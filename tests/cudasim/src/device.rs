//! Devices: their number, names, attributes, UUIDs. CUDA Driver API, "Device Management".

use std::ffi::{c_char, c_int, c_uint};

use crate::config::DeviceConfig;
use crate::driver::{Driver, State};
use crate::raw::Out;
use crate::status::{Outcome, Status};
use crate::sys::PAGE;

pub struct Device {
    pub uuid: [u8; 16],
    pub partition: Option<[u8; 16]>,
    pub used: u64,
    /// The primary context, once there was one: it keeps its handle.
    pub primary: u64,
    pub primary_flags: c_uint,
    /// The pool that is used where none is named, and the one that was there at first; 0 until asked for.
    pub pool: u64,
    pub default_pool: u64,
}

impl Device {
    pub fn new(config: &DeviceConfig) -> Self {
        Self {
            uuid: config.uuid,
            partition: config.partition,
            used: 0,
            primary: 0,
            primary_flags: 0,
            pool: 0,
            default_pool: 0,
        }
    }

    /// What tells this device from every other, as the two words in the header of its memory.
    pub fn identity(&self) -> (u64, u64) {
        let id = u128::from_be_bytes(self.partition.unwrap_or(self.uuid));
        ((id >> 64) as u64, id as u64)
    }
}

/// The index of a device; `CUDA_ERROR_INVALID_DEVICE` if there is none.
pub fn index(state: &State, device: c_int) -> Outcome<usize> {
    usize::try_from(device).ok().filter(|&i| i < state.devices.len()).ok_or(Status::INVALID_DEVICE)
}

/// Whether one device may read the other's memory. Partitions may not: NVIDIA MIG user guide, "Application
/// considerations": no peer access and no sharing between them.
pub fn are_peers(state: &State, a: usize, b: usize) -> bool {
    a != b && state.devices[a].partition.is_none() && state.devices[b].partition.is_none()
}

fn attribute(driver: &Driver, ordinal: c_int, number: c_uint) -> Option<c_int> {
    let capability = driver.config.capability;
    let virtual_memory = c_int::from(driver.config.virtual_memory);
    let pools = c_int::from(driver.config.pools);
    Some(match number {
        1..=3 => 1024,
        4 => 64,
        5 => c_int::MAX,
        6 | 7 => 65535,
        8 => 48 << 10,
        9 => 64 << 10,
        10 => 32,
        11 => c_int::MAX,
        12 | 82 => 65536,
        13 | 36 => 1_000_000,
        14 => 512,
        15 | 19 | 31 | 41 | 78..=80 | 83 | 88 | 90 | 91 | 92..=96 | 98 | 99 => 1,
        16 => 4,
        17 | 18 | 20 | 32 | 35 | 84 | 85 => 0,
        33 => ordinal + 1,
        34 | 50 => 0,
        37 => 256,
        38 => 4 << 20,
        39 => 2048,
        40 => 2,
        75 => capability / 10,
        76 => capability % 10,
        81 => 228 << 10,
        86 | 87 | 89 | 100 | 101 => 0,
        97 => 227 << 10,
        102 | 103 => virtual_memory,
        104 | 105 => 0,
        106 => 32,
        107..=110 | 112..=114 | 116..=118 | 120 | 121 | 124 => 0,
        111 => 1024,
        115 => pools,
        119 => pools,
        // Legacy IPC: an attribute since 12.3.
        125 => c_int::from(driver.config.legacy_ipc),
        21..=30 | 42..=77 => 0,
        126..=150 => 0,
        _ => return None,
    })
}

crate::api::functions! {
    0 fn cuInit(d, flags: c_uint) {
        if flags != 0 { return Err(Status::INVALID_VALUE) }
        d.start()
    }

    0 fn cuDeviceGetCount(d, count: Out<c_int>) {
        count.set(d.state()?.devices.len() as c_int)
    }

    0 fn cuDeviceGet(d, device: Out<c_int>, ordinal: c_int) {
        let state = d.state()?;
        device.set(index(&state, ordinal)? as c_int)
    }

    0 fn cuDeviceGetName(d, name: Out<c_char>, length: c_int, device: c_int) {
        let i = index(&*d.state()?, device)?;
        let text = format!("Simulated device {i}");
        let room = usize::try_from(length).ok().filter(|&n| n > 0).ok_or(Status::INVALID_VALUE)?;
        if name.is_null() { return Err(Status::INVALID_VALUE) }
        let kept = text.bytes().take(room - 1).chain(std::iter::once(0));
        kept.enumerate().for_each(|(i, byte)| name.set_at(i, byte as c_char));
        Ok(())
    }

    0 fn cuDeviceTotalMem_v2(d, bytes: Out<usize>, device: c_int) {
        index(&*d.state()?, device)?;
        bytes.set(d.memory.load(std::sync::atomic::Ordering::SeqCst) as usize)
    }

    // The UUID of the whole device, also for a partition of it.
    0 fn cuDeviceGetUuid(d, uuid: Out<[u8; 16]>, device: c_int) {
        let state = d.state()?;
        uuid.set(state.devices[index(&state, device)?].uuid)
    }

    0 fn cuDeviceGetUuid_v2(d, uuid: Out<[u8; 16]>, device: c_int) {
        let state = d.state()?;
        let device = &state.devices[index(&state, device)?];
        uuid.set(device.partition.unwrap_or(device.uuid))
    }

    0 fn cuDeviceGetAttribute(d, value: Out<c_int>, number: c_uint, device: c_int) {
        index(&*d.state()?, device)?;
        value.set(attribute(d, device, number).ok_or(Status::INVALID_VALUE)?)
    }

    0 fn cuDeviceGetPCIBusId(d, text: Out<c_char>, length: c_int, device: c_int) {
        let i = index(&*d.state()?, device)?;
        let name = format!("0000:{:02x}:00.0\0", i + 1);
        if text.is_null() || (length as usize) < name.len() { return Err(Status::INVALID_VALUE) }
        name.bytes().enumerate().for_each(|(i, byte)| text.set_at(i, byte as c_char));
        Ok(())
    }

    0 fn cuDeviceCanAccessPeer(d, can: Out<c_int>, device: c_int, peer: c_int) {
        let state = d.state()?;
        let (a, b) = (index(&state, device)?, index(&state, peer)?);
        can.set(c_int::from(are_peers(&state, a, b)))
    }

    0 fn cuDeviceGetP2PAttribute(d, value: Out<c_int>, number: c_uint, device: c_int, peer: c_int) {
        let state = d.state()?;
        let (a, b) = (index(&state, device)?, index(&state, peer)?);
        if a == b { return Err(Status::INVALID_DEVICE) }
        value.set(c_int::from(matches!(number, 2 | 3) && are_peers(&state, a, b)))
    }
}

/// The least that device memory is divided into: `cuMemCreate`'s granularity, and that of a pool's growth.
pub const GRANULE: u64 = 2 << 20;

/// Takes so much of a device's memory, or gives `CUDA_ERROR_OUT_OF_MEMORY`.
pub fn charge(driver: &Driver, state: &mut State, device: usize, size: u64) -> Outcome {
    let limit = driver.memory.load(std::sync::atomic::Ordering::SeqCst);
    let used = &mut state.devices[device].used;
    let sum = used.checked_add(size.next_multiple_of(PAGE)).ok_or(Status::OUT_OF_MEMORY)?;
    if sum > limit {
        return Err(Status::OUT_OF_MEMORY);
    }
    *used = sum;
    Ok(())
}

/// Gives it back.
pub fn discharge(state: &mut State, device: usize, size: u64) {
    let used = &mut state.devices[device].used;
    *used = used.saturating_sub(size.next_multiple_of(PAGE));
}
