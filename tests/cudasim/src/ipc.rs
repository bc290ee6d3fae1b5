//! Memory of one process in another: handles of plain allocations, and pools. CUDA Driver API, "Memory Management"
//! (`cuIpc...`) and "Stream Ordered Memory Allocator" (`cuMemPool...Shareable...`, `...Pointer`).

use std::ffi::c_uint;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::{Bytes, Field};
use crate::context::current_device;
use crate::device::are_peers;
use crate::driver::{Driver, State, Tag};
use crate::event::Handle;
use crate::pool::{POSIX_DESCRIPTOR, Pool};
use crate::raw::{Host, In, Out};
use crate::space::{FREED, Kind, Range};
use crate::status::{Outcome, Status};
use crate::sys;

/// What stands at the front of every handle of this driver.
const SIGN: u64 = u64::from_le_bytes(*b"simmemry");

/// The handle of a range: which process has it, under which descriptor, and what it must be.
fn handle_of(range: &Range) -> Handle {
    let descriptor = range.bytes.file().map_or(-1, AsRawFd::as_raw_fd);
    let process = std::process::id().into();
    Handle([SIGN, process, descriptor as u64, range.id, range.size, range.pool, 0, 0])
}

/// The device of this process that an imported memory file is on.
fn device_of(state: &State, bytes: &Bytes) -> Outcome<usize> {
    let identity = (bytes.get(Field::DeviceHigh), bytes.get(Field::DeviceLow));
    let found = state.devices.iter().position(|device| device.identity() == identity);
    found.ok_or(Status::INVALID_DEVICE)
}

/// The memory file that a handle names, if it is still what the handle says.
fn open(d: &Driver, handle: Handle, kind: Kind) -> Outcome<Bytes> {
    let [sign, process, descriptor, id, size, ..] = handle.0;
    if sign != SIGN {
        return Err(Status::INVALID_VALUE);
    }
    let file = sys::open_of(process as u32, descriptor as i32)?;
    let bytes = Bytes::from_file(file).map_err(|_| Status::INVALID_HANDLE)?;
    let same = bytes.get(Field::Kind) == kind as u64
        && bytes.get(Field::Id) == id
        && bytes.get(Field::Size) == size;
    if !same || bytes.get(Field::Freed) != 0 {
        d.violation(format!("a handle of buffer {id:#x} is opened, which is freed"));
        return Err(Status::INVALID_HANDLE);
    }
    Ok(bytes)
}

/// Gives imported memory addresses of this process, which differ from its owner's.
fn place(
    state: &mut State,
    bytes: Bytes,
    kind: Kind,
    device: usize,
    context: u64,
) -> Outcome<Range> {
    let base = state.space.take(bytes.size(), crate::device::GRANULE)?;
    let mut range = Range::new(base, bytes.size(), kind, device, Arc::new(bytes));
    (range.context, range.imported) = (context, true);
    Ok(range)
}

crate::api::functions! {
    // Only memory of cuMemAlloc: a pool's, mapped and managed memory give CUDA_ERROR_INVALID_VALUE.
    0 fn cuIpcGetMemHandle(d, handle: Out<Handle>, address: u64) {
        let state = d.state()?;
        current_device(&state)?;
        if !d.config.legacy_ipc { return Err(Status::NOT_SUPPORTED) }
        let range = state.space.find(address).ok_or(Status::INVALID_VALUE)?;
        if range.kind != Kind::Plain || range.imported { return Err(Status::INVALID_VALUE) }
        handle.set(handle_of(range))
    }

    // A second open of the same memory gives the same address and counts.
    0 fn cuIpcOpenMemHandle_v2(d, address: Out<u64>, handle: Handle, flags: c_uint) {
        let mut state = d.state()?;
        let (context, device) = current_device(&state)?;
        let [_, process, _, id, ..] = handle.0;
        if flags != 1 || address.is_null() { return Err(Status::INVALID_VALUE) }
        if process == u64::from(std::process::id()) { return Err(Status::INVALID_CONTEXT) }
        let bytes = open(d, handle, Kind::Plain)?;
        let owner = device_of(&state, &bytes)?;
        if owner != device && !are_peers(&state, device, owner) { return Err(Status::INVALID_DEVICE) }
        let opened = state.space.iter().find(|r| r.imported && r.id == id && r.context == context).cloned();
        if let Some(range) = opened {
            range.opens.fetch_add(1, Ordering::SeqCst);
            return address.set(range.base);
        }
        let range = place(&mut state, bytes, Kind::Plain, owner, context)?;
        let base = range.base;
        state.space.insert(range);
        address.set(base)
    }

    // Waits for the context's work when it is the last close.
    0 fn cuIpcCloseMemHandle(d, address: u64) {
        let state = d.state()?;
        current_device(&state)?;
        let found = state.space.starting(address).filter(|r| r.imported && r.kind == Kind::Plain).cloned();
        let Some(range) = found else {
            d.violation(format!("{address:#x} is closed, and is not open"));
            return Err(Status::INVALID_VALUE);
        };
        if range.opens.fetch_sub(1, Ordering::SeqCst) > 1 { return Ok(()) }
        let mut state = d.wait_for_all(state, range.context)?;
        range.state.store(FREED, Ordering::SeqCst);
        state.space.remove(address);
        Ok(())
    }

    // The pool must have been made for it; the caller owns the descriptor.
    0 fn cuMemPoolExportToShareableHandle(d, handle: Host, pool: u64, kind: c_uint, flags: u64) {
        let mut state = d.state()?;
        let own = state.pools.get_mut(&pool).ok_or(Status::INVALID_VALUE)?;
        if flags != 0 || own.imported || kind != POSIX_DESCRIPTOR || own.handle_types & kind == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let device = own.device;
        if own.shared.is_none() {
            let bytes = crate::memory::new_bytes(d, &state, device, 0, Kind::Pool)?;
            bytes.set(Field::Pool, u64::from(std::process::id()) << 32 ^ pool);
            if let Some(own) = state.pools.get_mut(&pool) { own.shared = Some(Arc::new(bytes)) }
        }
        let shared = state.pools.get(&pool).and_then(|own| own.shared.clone()).ok_or(Status::UNKNOWN)?;
        handle.typed::<i32>().set(sys::give_descriptor(shared.file().ok_or(Status::UNKNOWN)?)?)
    }

    0 fn cuMemPoolImportFromShareableHandle(d, pool: Out<u64>, handle: Host, kind: c_uint, flags: u64) {
        let mut state = d.state()?;
        if flags != 0 || kind != POSIX_DESCRIPTOR { return Err(Status::INVALID_VALUE) }
        let shared = Bytes::from_file(sys::borrow_descriptor(handle.address() as i32)?)?;
        if shared.get(Field::Kind) != Kind::Pool as u64 { return Err(Status::INVALID_VALUE) }
        let device = device_of(&state, &shared)?;
        let id = state.handle(Tag::Pool);
        let shared = Some(Arc::new(shared));
        state.pools.insert(id, Pool { shared, imported: true, ..Pool::new(device, 0) });
        pool.set(id)
    }

    0 fn cuMemPoolExportPointer(d, data: Out<Handle>, address: u64) {
        let state = d.state()?;
        let range = state.space.starting(address).filter(|r| r.kind == Kind::Pooled && !r.imported);
        let range = range.ok_or(Status::INVALID_VALUE)?;
        if range.handle_types & POSIX_DESCRIPTOR == 0 { return Err(Status::INVALID_VALUE) }
        let mut handle = handle_of(range);
        handle.0[5] ^= u64::from(std::process::id()) << 32;
        data.set(handle)
    }

    0 fn cuMemPoolImportPointer(d, address: Out<u64>, pool: u64, data: In<Handle>) {
        let mut state = d.state()?;
        let (context, _) = current_device(&state)?;
        let handle = data.get()?;
        let own = state.pools.get(&pool).filter(|own| own.imported).ok_or(Status::INVALID_VALUE)?;
        let named = own.shared.as_ref().map_or(0, |shared| shared.get(Field::Pool));
        if named != handle.0[5] { return Err(Status::INVALID_VALUE) }
        let bytes = open(d, handle, Kind::Pooled)?;
        let device = device_of(&state, &bytes)?;
        let mut range = place(&mut state, bytes, Kind::Pooled, device, context)?;
        range.pool = pool;
        let base = range.base;
        state.space.insert(range);
        address.set(base)
    }
}
