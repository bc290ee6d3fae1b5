//! Device memory that belongs to no stream: allocated and freed at once. CUDA Driver API, "Memory Management".

use std::ffi::c_uint;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::{Bytes, Field};
use crate::context::{current, current_device};
use crate::copy::{Region, region};
use crate::device::{charge, discharge};
use crate::driver::{Driver, State};
use crate::raw::Out;
use crate::space::{FREED, Kind, Range};
use crate::status::{Outcome, Status};
use crate::stream::resolve;
use crate::sys;

/// So much of new and of freed memory is filled: enough that who reads it sees it.
const POISONED: u64 = 1 << 20;
const FRESH: u8 = 0xcd;
const STALE: u8 = 0xdd;

/// A new memory file of a device, with its header written and its bytes made unlike any data.
pub fn new_bytes(
    d: &Driver,
    state: &State,
    device: usize,
    size: u64,
    kind: Kind,
) -> Outcome<Bytes> {
    let bytes = Bytes::new(size)?;
    let (high, low) = state.devices[device].identity();
    bytes.set(Field::Kind, kind as u64);
    bytes.set(Field::Id, d.buffer_id());
    bytes.set(Field::DeviceHigh, high);
    bytes.set(Field::DeviceLow, low);
    bytes.fill(0, POISONED, FRESH);
    Ok(bytes)
}

/// Allocates on a device and gives the range, which is not in the space yet.
pub fn allocate(
    d: &'static Driver,
    state: &mut State,
    device: usize,
    size: usize,
    kind: Kind,
) -> Outcome<Range> {
    let size = size as u64;
    if size == 0 {
        return Err(Status::INVALID_VALUE);
    }
    charge(d, state, device, size)?;
    let made = new_bytes(d, state, device, size, kind);
    let base = made.and_then(|bytes| Ok((state.space.take(size, 512)?, bytes)));
    match base {
        Ok((base, bytes)) => Ok(Range::new(base, size, kind, device, Arc::new(bytes))),
        Err(status) => {
            discharge(state, device, size);
            Err(status)
        }
    }
}

/// Whether some device may read, or write, the memory. Mapped memory says so device by device.
pub fn allows(range: &Range, write: bool) -> bool {
    let wanted = if write { 0xaaaa_aaaa_aaaa_aaaa } else { 0x5555_5555_5555_5555 };
    range.kind != Kind::Mapped || range.access.load(Ordering::SeqCst) & wanted != 0
}

/// Takes a range out of the space: every other process sees that it is gone.
pub fn release(state: &mut State, range: &Range) {
    state.space.remove(range.base);
    range.state.store(FREED, Ordering::SeqCst);
    if !range.imported && !range.kind.is_host() {
        range.bytes.fill(0, POISONED, STALE);
        range.bytes.set(Field::Freed, 1);
        discharge(state, range.device, range.size);
    }
    if range.kind == Kind::Managed {
        sys::close_over(range.base, range.size);
    }
}

/// The range that `address` is the start of, for a free of it.
pub fn freed_range(d: &Driver, state: &State, address: u64, call: &str) -> Outcome<Arc<Range>> {
    let found = state.space.starting(address).cloned();
    found.ok_or_else(|| {
        let why = match state.space.find(address) {
            Some(_) => "lies inside an allocation",
            None if state.space.is_device(address) => "is freed already, or was never allocated",
            None => "is no address of the driver's",
        };
        d.violation(format!("{call}: {address:#x} {why}"));
        Status::INVALID_VALUE
    })
}

fn set(
    d: &'static Driver,
    target: u64,
    value: u64,
    width: usize,
    count: usize,
    stream: Option<u64>,
) -> Outcome {
    let mut state = d.state()?;
    let asynchronous = stream.is_some();
    let stream = resolve(d, &mut state, stream.unwrap_or(0))?;
    let length = count.checked_mul(width).ok_or(Status::INVALID_VALUE)? as u64;
    if !target.is_multiple_of(width as u64) {
        return Err(Status::INVALID_VALUE);
    }
    if length == 0 {
        return Ok(());
    }
    let target = region(&state, target, length)?;
    // CUDA Driver API, "API synchronization behavior", Memset: asynchronous, except on pinned host memory.
    let blocking = target.must_block() || (!asynchronous && target.is_host());
    let number =
        d.queue(&mut state, stream, Vec::new(), move |d| fill(d, &target, value, width, length))?;
    if blocking { d.wait_for(state, stream, number).map(drop) } else { Ok(()) }
}

fn fill(d: &'static Driver, target: &Region, value: u64, width: usize, length: u64) -> Outcome {
    let block: Vec<u8> = value.to_le_bytes()[..width]
        .iter()
        .copied()
        .cycle()
        .take((1 << 16).min(length as usize))
        .collect();
    let mut done = 0;
    while done < length {
        let part = &block[..block.len().min((length - done) as usize)];
        target.write(d, done, part)?;
        done += part.len() as u64;
    }
    Ok(())
}

fn set_2d(
    d: &'static Driver,
    target: (u64, usize),
    value: u64,
    width: usize,
    size: (usize, usize),
    stream: Option<u64>,
) -> Outcome {
    for row in 0..size.1 as u64 {
        set(d, target.0 + row * target.1 as u64, value, width, size.0, stream)?;
    }
    Ok(())
}

crate::api::functions! {
    0 fn cuMemGetInfo_v2(d, free: Out<usize>, total: Out<usize>) {
        let state = d.state()?;
        let (_, device) = current_device(&state)?;
        let all = d.memory.load(Ordering::SeqCst);
        free.set_if(all.saturating_sub(state.devices[device].used) as usize);
        total.set_if(all as usize);
        Ok(())
    }

    0 fn cuMemAlloc_v2(d, address: Out<u64>, size: usize) {
        let mut state = d.state()?;
        let (context, device) = current_device(&state)?;
        if address.is_null() { return Err(Status::INVALID_VALUE) }
        state.refuse_unsafe()?;
        let mut range = allocate(d, &mut state, device, size, Kind::Plain)?;
        range.context = context;
        let base = range.base;
        state.space.insert(range);
        address.set(base)
    }

    0 fn cuMemAllocPitch_v2(d, address: Out<u64>, pitch: Out<usize>, width: usize, height: usize, element: c_uint) {
        let mut state = d.state()?;
        let (context, device) = current_device(&state)?;
        if ![4, 8, 16].contains(&element) || address.is_null() { return Err(Status::INVALID_VALUE) }
        let row = width.checked_next_multiple_of(512).ok_or(Status::INVALID_VALUE)?;
        let size = row.checked_mul(height).ok_or(Status::OUT_OF_MEMORY)?;
        let mut range = allocate(d, &mut state, device, size, Kind::Plain)?;
        range.context = context;
        let base = range.base;
        state.space.insert(range);
        pitch.set(row)?;
        address.set(base)
    }

    // The host may use the addresses too.
    0 fn cuMemAllocManaged(d, address: Out<u64>, size: usize, flags: c_uint) {
        let mut state = d.state()?;
        let (context, device) = current_device(&state)?;
        if !(flags == 1 || flags == 2) || address.is_null() { return Err(Status::INVALID_VALUE) }
        let mut range = allocate(d, &mut state, device, size, Kind::Managed)?;
        range.context = context;
        let file = range.bytes.file().ok_or(Status::UNKNOWN)?;
        sys::map_over(file, sys::PAGE, range.size.next_multiple_of(sys::PAGE), range.base)?;
        let base = range.base;
        state.space.insert(range);
        address.set(base)
    }

    // Waits for all work of the context. Null is nothing to free.
    0 fn cuMemFree_v2(d, address: u64) {
        if address == 0 { return Ok(()) }
        let mut state = d.state()?;
        current(&state)?;
        state.refuse_unsafe()?;
        let range = freed_range(d, &state, address, "cuMemFree")?;
        if matches!(range.kind, Kind::Mapped | Kind::Static) || range.kind.is_host() || range.imported && range.kind != Kind::Pooled {
            d.violation(format!("cuMemFree: {address:#x} is not for this function to free"));
            return Err(Status::INVALID_VALUE);
        }
        if range.free_asked.swap(true, Ordering::SeqCst) {
            d.violation(format!("cuMemFree: {address:#x} is freed twice"));
            return Err(Status::INVALID_VALUE);
        }
        let mut state = d.wait_for_all(state, range.context)?;
        release(&mut state, &range);
        Ok(())
    }

    0 fn cuMemGetAddressRange_v2(d, base: Out<u64>, size: Out<usize>, address: u64) {
        let state = d.state()?;
        current(&state)?;
        // Another status than the other functions': CUDA Driver API, cuMemGetAddressRange.
        let range = state.space.find(address).ok_or(Status::NOT_FOUND)?;
        base.set_if(range.base);
        size.set_if(range.size as usize);
        Ok(())
    }

    0 fn cuMemsetD8_v2 => cuMemsetD8_v2_ptds(d, target: u64, value: u8, count: usize) {
        set(d, target, value.into(), 1, count, None)
    }

    0 fn cuMemsetD16_v2 => cuMemsetD16_v2_ptds(d, target: u64, value: u16, count: usize) {
        set(d, target, value.into(), 2, count, None)
    }

    0 fn cuMemsetD32_v2 => cuMemsetD32_v2_ptds(d, target: u64, value: c_uint, count: usize) {
        set(d, target, value.into(), 4, count, None)
    }

    0 fn cuMemsetD8Async => cuMemsetD8Async_ptsz(d, target: u64, value: u8, count: usize, stream: u64) {
        set(d, target, value.into(), 1, count, Some(stream))
    }

    0 fn cuMemsetD16Async => cuMemsetD16Async_ptsz(d, target: u64, value: u16, count: usize, stream: u64) {
        set(d, target, value.into(), 2, count, Some(stream))
    }

    0 fn cuMemsetD32Async => cuMemsetD32Async_ptsz(d, target: u64, value: c_uint, count: usize, stream: u64) {
        set(d, target, value.into(), 4, count, Some(stream))
    }

    0 fn cuMemsetD2D8_v2 => cuMemsetD2D8_v2_ptds(d, target: u64, pitch: usize, value: u8, width: usize, height: usize) {
        set_2d(d, (target, pitch), value.into(), 1, (width, height), None)
    }

    0 fn cuMemsetD2D8Async => cuMemsetD2D8Async_ptsz(d, target: u64, pitch: usize, value: u8, width: usize, height: usize, stream: u64) {
        set_2d(d, (target, pitch), value.into(), 1, (width, height), Some(stream))
    }
}
