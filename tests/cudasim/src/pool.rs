//! Memory in the order of a stream, and the pools it comes from. CUDA Driver API, "Stream Ordered Memory Allocator".

use std::collections::HashMap;
use std::ffi::{c_int, c_uint};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::Bytes;
use crate::context::current_device;
use crate::device::index;
use crate::driver::{Driver, State, Tag};
use crate::memory::{allocate, freed_range, release};
use crate::raw::{Host, In, Out};
use crate::space::{FREED, Kind, LIVE, PENDING};
use crate::status::{Outcome, Status};
use crate::stream::resolve;

/// `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR`.
pub const POSIX_DESCRIPTOR: c_uint = 1;

pub struct Pool {
    pub device: usize,
    pub handle_types: c_uint,
    /// The file that stands for the pool in other processes, once it was exported or if it was imported.
    pub shared: Option<Arc<Bytes>>,
    pub imported: bool,
    pub is_default: bool,
    pub used: u64,
    pub used_high: u64,
    /// Attributes that were set, by number.
    pub attributes: HashMap<c_uint, u64>,
}

impl Pool {
    pub fn new(device: usize, handle_types: c_uint) -> Self {
        Self {
            device,
            handle_types,
            shared: None,
            imported: false,
            is_default: false,
            used: 0,
            used_high: 0,
            attributes: HashMap::new(),
        }
    }
}

/// `CUmemLocation`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Location {
    pub kind: c_uint,
    pub id: c_int,
}

/// `CU_MEM_LOCATION_TYPE_DEVICE`.
const ON_DEVICE: c_uint = 1;

impl Location {
    /// The device that it names.
    pub fn device(self, state: &State) -> Outcome<usize> {
        if self.kind != ON_DEVICE {
            return Err(Status::NOT_SUPPORTED);
        }
        index(state, self.id)
    }
}

/// `CUmemPoolProps`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Properties {
    kind: c_uint,
    handle_types: c_uint,
    location: Location,
    security: u64,
    max_size: usize,
    reserved: [u64; 7],
}

/// `CUmemAccessDesc`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Access {
    pub location: Location,
    pub flags: c_uint,
}

/// The default pool of a device, made when it is first asked for. Its memory can't be exported.
fn default_pool(d: &Driver, state: &mut State, device: usize) -> Outcome<u64> {
    if !d.config.pools {
        return Err(Status::NOT_SUPPORTED);
    }
    if state.devices[device].default_pool == 0 {
        let id = state.handle(Tag::Pool);
        state.pools.insert(id, Pool { is_default: true, ..Pool::new(device, 0) });
        state.devices[device].default_pool = id;
        state.devices[device].pool = id;
    }
    Ok(state.devices[device].default_pool)
}

/// Allocates in a stream: the address is known at once, the memory is there when the stream gets to it.
fn allocate_in(
    d: &'static Driver,
    address: Out<u64>,
    size: usize,
    pool: Option<u64>,
    stream: u64,
) -> Outcome {
    let mut state = d.state()?;
    let (context, current) = current_device(&state)?;
    let stream = resolve(d, &mut state, stream)?;
    let pool = match pool {
        Some(pool) => pool,
        None => {
            default_pool(d, &mut state, current)?;
            state.devices[current].pool
        }
    };
    let own = state.pools.get(&pool).ok_or(Status::INVALID_VALUE)?;
    let (device, handle_types) = (own.device, own.handle_types);
    // An imported pool can be read but not allocated from: cuMemPoolImportFromShareableHandle.
    if own.imported || address.is_null() {
        return Err(Status::INVALID_VALUE);
    }
    let mut range = allocate(d, &mut state, device, size, Kind::Pooled)?;
    (range.context, range.pool, range.handle_types) = (context, pool, handle_types);
    range.state = PENDING.into();
    let (base, size) = (range.base, range.size);
    let range = state.space.insert(range);
    if let Some(own) = state.pools.get_mut(&pool) {
        own.used += size;
        own.used_high = own.used_high.max(own.used);
    }
    d.queue(&mut state, stream, Vec::new(), move |_| {
        range.state.store(LIVE, Ordering::SeqCst);
        Ok(())
    })?;
    address.set(base)
}

/// Frees in a stream.
fn free_in(d: &'static Driver, address: u64, stream: u64) -> Outcome {
    if address == 0 {
        return Ok(());
    }
    let mut state = d.state()?;
    let stream = resolve(d, &mut state, stream)?;
    let range = freed_range(d, &state, address, "cuMemFreeAsync")?;
    if range.kind != Kind::Pooled {
        d.violation(format!("cuMemFreeAsync: {address:#x} is not of a pool"));
        return Err(Status::INVALID_VALUE);
    }
    if range.free_asked.swap(true, Ordering::SeqCst) {
        d.violation(format!("cuMemFreeAsync: {address:#x} is freed twice"));
        return Err(Status::INVALID_VALUE);
    }
    d.queue(&mut state, stream, Vec::new(), move |d| {
        let mut state = d.state()?;
        release(&mut state, &range);
        range.state.store(FREED, Ordering::SeqCst);
        if let Some(own) = state.pools.get_mut(&range.pool) {
            own.used = own.used.saturating_sub(range.size);
        }
        Ok(())
    })
    .map(drop)
}

crate::api::functions! {
    0 fn cuMemAllocAsync => cuMemAllocAsync_ptsz(d, address: Out<u64>, size: usize, stream: u64) {
        allocate_in(d, address, size, None, stream)
    }

    0 fn cuMemAllocFromPoolAsync => cuMemAllocFromPoolAsync_ptsz(d, address: Out<u64>, size: usize, pool: u64, stream: u64) {
        allocate_in(d, address, size, Some(pool), stream)
    }

    0 fn cuMemFreeAsync => cuMemFreeAsync_ptsz(d, address: u64, stream: u64) {
        free_in(d, address, stream)
    }

    0 fn cuDeviceGetDefaultMemPool(d, pool: Out<u64>, device: c_int) {
        let mut state = d.state()?;
        let device = index(&state, device)?;
        pool.set(default_pool(d, &mut state, device)?)
    }

    0 fn cuDeviceGetMemPool(d, pool: Out<u64>, device: c_int) {
        let mut state = d.state()?;
        let device = index(&state, device)?;
        default_pool(d, &mut state, device)?;
        pool.set(state.devices[device].pool)
    }

    0 fn cuDeviceSetMemPool(d, device: c_int, pool: u64) {
        let mut state = d.state()?;
        let device = index(&state, device)?;
        default_pool(d, &mut state, device)?;
        if state.pools.get(&pool).is_none_or(|p| p.device != device) { return Err(Status::INVALID_VALUE) }
        state.devices[device].pool = pool;
        Ok(())
    }

    0 fn cuMemPoolCreate(d, pool: Out<u64>, properties: In<Properties>) {
        let mut state = d.state()?;
        let wanted = properties.get()?;
        let device = wanted.location.device(&state)?;
        if !d.config.pools || wanted.handle_types & !POSIX_DESCRIPTOR != 0 {
            return Err(Status::NOT_SUPPORTED);
        }
        if wanted.kind != 1 { return Err(Status::INVALID_VALUE) }
        let id = state.handle(Tag::Pool);
        state.pools.insert(id, Pool::new(device, wanted.handle_types));
        pool.set(id)
    }

    0 fn cuMemPoolDestroy(d, pool: u64) {
        let mut state = d.state()?;
        if state.pools.get(&pool).is_none_or(|p| p.is_default) { return Err(Status::INVALID_VALUE) }
        state.pools.remove(&pool);
        // Who had it as its pool has the default one again.
        for device in &mut state.devices {
            if device.pool == pool { device.pool = device.default_pool }
        }
        Ok(())
    }

    0 fn cuMemPoolGetAttribute(d, pool: u64, number: c_uint, value: Host) {
        let state = d.state()?;
        let own = state.pools.get(&pool).ok_or(Status::INVALID_VALUE)?;
        let set = own.attributes.get(&number).copied();
        match number {
            1..=3 => value.typed::<c_int>().set(set.unwrap_or(1) as c_int),
            4 => value.typed::<u64>().set(set.unwrap_or(0)),
            5 | 7 => value.typed::<u64>().set(own.used),
            6 | 8 => value.typed::<u64>().set(own.used_high),
            _ => Err(Status::INVALID_VALUE),
        }
    }

    0 fn cuMemPoolSetAttribute(d, pool: u64, number: c_uint, value: Host) {
        let mut state = d.state()?;
        let own = state.pools.get_mut(&pool).ok_or(Status::INVALID_VALUE)?;
        let set = match number {
            1..=3 => value.readable::<c_int>().get()? as u64,
            4 => value.readable::<u64>().get()?,
            6 | 8 => { own.used_high = own.used; 0 }
            _ => return Err(Status::INVALID_VALUE),
        };
        own.attributes.insert(number, set);
        Ok(())
    }

    0 fn cuMemPoolTrimTo(d, pool: u64, _keep: usize) {
        d.state()?.pools.get(&pool).map(drop).ok_or(Status::INVALID_VALUE)
    }

    0 fn cuMemPoolSetAccess(d, pool: u64, accesses: In<Access>, count: usize) {
        let state = d.state()?;
        let own = state.pools.get(&pool).ok_or(Status::INVALID_VALUE)?.device;
        for i in 0..count {
            let access = accesses.at(i);
            let device = access.location.device(&state)?;
            // Its own device can't be shut out: cuMemPoolSetAccess.
            if device == own && access.flags != 3 { return Err(Status::INVALID_VALUE) }
        }
        Ok(())
    }

    0 fn cuMemPoolGetAccess(d, flags: Out<c_uint>, pool: u64, location: In<Location>) {
        let state = d.state()?;
        let own = state.pools.get(&pool).ok_or(Status::INVALID_VALUE)?.device;
        flags.set(if location.get()?.device(&state)? == own { 3 } else { 0 })
    }
}
