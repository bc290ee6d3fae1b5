//! Memory and addresses apart from each other. CUDA Driver API, "Virtual Memory Management".

use std::ffi::c_uint;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::{Bytes, Field};
use crate::device::{GRANULE, charge, discharge, index};
use crate::driver::{Driver, State, Tag};
use crate::memory::new_bytes;
use crate::pool::{Access, Location, POSIX_DESCRIPTOR};
use crate::raw::{Host, In, Out};
use crate::space::{FREED, Kind, Range};
use crate::status::{Outcome, Status};
use crate::sys;

/// Memory without an address.
pub struct Allocation {
    bytes: Arc<Bytes>,
    device: usize,
    handle_types: c_uint,
    /// How often the handle was given: it has to be released as often.
    references: u32,
    imported: bool,
}

/// `CUmemAllocationProp`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Properties {
    kind: c_uint,
    handle_types: c_uint,
    location: Location,
    windows: u64,
    flags: u64,
}

/// `CU_MEM_ALLOCATION_TYPE_PINNED`, the only one for a device.
const PINNED: c_uint = 1;

fn check(d: &Driver, state: &State, wanted: &Properties) -> Outcome<usize> {
    if !d.config.virtual_memory {
        return Err(Status::NOT_SUPPORTED);
    }
    if wanted.kind != PINNED || wanted.handle_types & !POSIX_DESCRIPTOR != 0 {
        return Err(Status::INVALID_VALUE);
    }
    wanted.location.device(state)
}

/// The mapped ranges that these addresses are made of: whole ranges only.
fn mapped(state: &State, base: u64, size: u64) -> Outcome<Vec<Arc<Range>>> {
    let mut found = Vec::new();
    let mut at = base;
    while at < base + size {
        let range = state.space.starting(at).filter(|r| r.kind == Kind::Mapped);
        let range = range.ok_or(Status::INVALID_VALUE)?;
        at = range.end();
        found.push(range.clone());
    }
    if at == base + size { Ok(found) } else { Err(Status::INVALID_VALUE) }
}

/// Gives memory back to its device when this was its last use in this process.
fn settle(state: &mut State, bytes: Arc<Bytes>, device: usize, imported: bool) {
    if Arc::strong_count(&bytes) == 1 && !imported {
        discharge(state, device, bytes.size());
    }
}

crate::api::functions! {
    0 fn cuMemGetAllocationGranularity(d, size: Out<usize>, properties: In<Properties>, _option: c_uint) {
        let state = d.state()?;
        check(d, &state, &properties.get()?)?;
        size.set(GRANULE as usize)
    }

    0 fn cuMemCreate(d, handle: Out<u64>, size: usize, properties: In<Properties>, flags: u64) {
        let mut state = d.state()?;
        let wanted = properties.get()?;
        let device = check(d, &state, &wanted)?;
        let size = size as u64;
        if size == 0 || !size.is_multiple_of(GRANULE) || flags != 0 { return Err(Status::INVALID_VALUE) }
        charge(d, &mut state, device, size)?;
        let bytes = match new_bytes(d, &state, device, size, Kind::Mapped) {
            Ok(bytes) => Arc::new(bytes),
            Err(status) => { discharge(&mut state, device, size); return Err(status) }
        };
        let id = state.handle(Tag::Memory);
        let handle_types = wanted.handle_types;
        state.allocations.insert(id, Allocation { bytes, device, handle_types, references: 1, imported: false });
        handle.set(id)
    }

    // The memory lives on while it is mapped here, or another process has it.
    0 fn cuMemRelease(d, handle: u64) {
        let mut state = d.state()?;
        let Some(own) = state.allocations.get_mut(&handle) else {
            d.violation(format!("{handle:#x} is released and no memory handle, or no longer"));
            return Err(Status::INVALID_VALUE);
        };
        own.references -= 1;
        if own.references > 0 { return Ok(()) }
        if let Some(own) = state.allocations.remove(&handle) {
            settle(&mut state, own.bytes, own.device, own.imported);
        }
        Ok(())
    }

    0 fn cuMemRetainAllocationHandle(d, handle: Out<u64>, address: Host) {
        let mut state = d.state()?;
        let range = state.space.find(address.address()).filter(|r| r.kind == Kind::Mapped).cloned();
        let range = range.ok_or(Status::INVALID_VALUE)?;
        let same = state.allocations.iter_mut().find(|(_, own)| Arc::ptr_eq(&own.bytes, &range.bytes));
        if let Some((id, own)) = same {
            own.references += 1;
            return handle.set(*id);
        }
        let id = state.handle(Tag::Memory);
        let (bytes, device, handle_types) = (range.bytes.clone(), range.device, range.handle_types);
        let imported = range.imported;
        state.allocations.insert(id, Allocation { bytes, device, handle_types, references: 1, imported });
        handle.set(id)
    }

    0 fn cuMemGetAllocationPropertiesFromHandle(d, properties: Out<Properties>, handle: u64) {
        let state = d.state()?;
        let own = state.allocations.get(&handle).ok_or(Status::INVALID_VALUE)?;
        let location = Location { kind: 1, id: own.device as i32 };
        properties.set(Properties { kind: PINNED, handle_types: own.handle_types, location, windows: 0, flags: 0 })
    }

    0 fn cuMemAddressReserve(d, address: Out<u64>, size: usize, align: usize, _wanted: u64, flags: u64) {
        let mut state = d.state()?;
        if !d.config.virtual_memory { return Err(Status::NOT_SUPPORTED) }
        let size = size as u64;
        let fits = align == 0 || align.is_power_of_two();
        if size == 0 || !size.is_multiple_of(GRANULE) || flags != 0 || !fits { return Err(Status::INVALID_VALUE) }
        let base = state.space.take(size, GRANULE.max(align as u64))?;
        state.reservations.insert(base, size);
        address.set(base)
    }

    0 fn cuMemAddressFree(d, address: u64, size: usize) {
        let mut state = d.state()?;
        if state.reservations.get(&address) != Some(&(size as u64)) { return Err(Status::INVALID_VALUE) }
        if state.space.overlaps(address, size as u64) {
            d.violation(format!("addresses at {address:#x} are given back while memory is mapped there"));
            return Err(Status::INVALID_VALUE);
        }
        state.reservations.remove(&address);
        Ok(())
    }

    0 fn cuMemMap(d, address: u64, size: usize, offset: usize, handle: u64, flags: u64) {
        let mut state = d.state()?;
        let size = size as u64;
        let own = state.allocations.get(&handle).ok_or(Status::INVALID_VALUE)?;
        let whole = state.reservations.range(..=address).next_back();
        let inside = whole.is_some_and(|(base, length)| address + size <= base + length);
        let fits = size > 0 && size.is_multiple_of(GRANULE) && address.is_multiple_of(GRANULE) && size <= own.bytes.size();
        if !inside || !fits || offset != 0 || flags != 0 { return Err(Status::INVALID_VALUE) }
        if state.space.overlaps(address, size) { return Err(Status::ALREADY_MAPPED) }
        let mut range = Range::new(address, size, Kind::Mapped, own.device, own.bytes.clone());
        (range.handle_types, range.imported) = (own.handle_types, own.imported);
        state.space.insert(range);
        Ok(())
    }

    // Does not wait for work that uses the memory: that is the caller's to do.
    0 fn cuMemUnmap(d, address: u64, size: usize) {
        let mut state = d.state()?;
        for range in mapped(&state, address, size as u64)? {
            range.state.store(FREED, Ordering::SeqCst);
            state.space.remove(range.base);
            let (bytes, device, imported) = (range.bytes.clone(), range.device, range.imported);
            drop(range);
            settle(&mut state, bytes, device, imported);
        }
        Ok(())
    }

    0 fn cuMemSetAccess(d, address: u64, size: usize, accesses: In<Access>, count: usize) {
        let state = d.state()?;
        let ranges = mapped(&state, address, size as u64)?;
        for i in 0..count {
            let Access { location, flags } = accesses.at(i);
            let device = location.device(&state)?;
            // 0 none, 1 read, 3 read and write.
            if ![0, 1, 3].contains(&flags) { return Err(Status::INVALID_VALUE) }
            for range in &ranges {
                let others = range.access.load(Ordering::SeqCst) & !(3 << (2 * device));
                range.access.store(others | u64::from(flags) << (2 * device), Ordering::SeqCst);
            }
        }
        Ok(())
    }

    0 fn cuMemGetAccess(d, flags: Out<u64>, location: In<Location>, address: u64) {
        let state = d.state()?;
        let range = state.space.find(address).filter(|r| r.kind == Kind::Mapped).ok_or(Status::INVALID_VALUE)?;
        let device = index(&state, location.get()?.id)?;
        flags.set(range.access.load(Ordering::SeqCst) >> (2 * device) & 3)
    }

    // The memory must have been made for it; the caller owns the descriptor.
    0 fn cuMemExportToShareableHandle(d, handle: Host, memory: u64, kind: c_uint, flags: u64) {
        let state = d.state()?;
        let own = state.allocations.get(&memory).ok_or(Status::INVALID_VALUE)?;
        if flags != 0 || kind != POSIX_DESCRIPTOR || own.handle_types & kind == 0 {
            return Err(Status::INVALID_VALUE);
        }
        handle.typed::<i32>().set(sys::give_descriptor(own.bytes.file().ok_or(Status::UNKNOWN)?)?)
    }

    0 fn cuMemImportFromShareableHandle(d, memory: Out<u64>, handle: Host, kind: c_uint) {
        let mut state = d.state()?;
        if kind != POSIX_DESCRIPTOR { return Err(Status::INVALID_VALUE) }
        let bytes = Bytes::from_file(sys::borrow_descriptor(handle.address() as i32)?)?;
        if bytes.get(Field::Kind) != Kind::Mapped as u64 { return Err(Status::INVALID_VALUE) }
        let identity = (bytes.get(Field::DeviceHigh), bytes.get(Field::DeviceLow));
        let device = state.devices.iter().position(|device| device.identity() == identity);
        let device = device.ok_or(Status::INVALID_DEVICE)?;
        let id = state.handle(Tag::Memory);
        let (bytes, handle_types) = (Arc::new(bytes), POSIX_DESCRIPTOR);
        state.allocations.insert(id, Allocation { bytes, device, handle_types, references: 1, imported: true });
        memory.set(id)
    }
}
