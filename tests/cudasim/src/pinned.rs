//! Host memory that is locked in place. CUDA Driver API, "Memory Management": `cuMemHostAlloc`, `cuMemHostRegister`.

use std::ffi::c_uint;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::Bytes;
use crate::context::current_device;
use crate::driver::Driver;
use crate::raw::{Host, Out};
use crate::space::{FREED, Kind, Range};
use crate::status::{Outcome, Status};
use crate::sys;

fn allocate(d: &'static Driver, pointer: Out<u64>, size: usize, flags: c_uint) -> Outcome {
    let mut state = d.state()?;
    let (context, device) = current_device(&state)?;
    if size == 0 || flags > 7 || pointer.is_null() {
        return Err(Status::INVALID_VALUE);
    }
    state.refuse_unsafe()?;
    let length =
        size.checked_next_multiple_of(sys::PAGE as usize).ok_or(Status::OUT_OF_MEMORY)? as u64;
    let base = sys::host_memory(length)?;
    let bytes = Arc::new(Bytes::of_host(base, size as u64));
    let mut range = Range::new(base, size as u64, Kind::Pinned, device, bytes);
    (range.context, range.host_flags, range.id) = (context, flags, d.buffer_id());
    state.space.insert(range);
    pointer.set(base)
}

/// Takes locked memory out of the space, once the work of its context is done.
fn end(d: &'static Driver, pointer: u64, kind: Kind, absent: Status) -> Outcome<u64> {
    let state = d.state()?;
    let range = state.space.starting(pointer).filter(|range| range.kind == kind).cloned();
    let Some(range) = range else {
        d.violation(format!(
            "{pointer:#x} is unlocked, and is not locked by the driver, or no longer"
        ));
        return Err(absent);
    };
    let mut state = d.wait_for_all(state, range.context)?;
    range.state.store(FREED, Ordering::SeqCst);
    state.space.remove(pointer);
    Ok(range.size)
}

crate::api::functions! {
    0 fn cuMemHostAlloc(d, pointer: Out<u64>, size: usize, flags: c_uint) {
        allocate(d, pointer, size, flags)
    }

    0 fn cuMemAllocHost_v2(d, pointer: Out<u64>, size: usize) {
        allocate(d, pointer, size, 0)
    }

    0 fn cuMemFreeHost(d, pointer: Host) {
        let size = end(d, pointer.address(), Kind::Pinned, Status::INVALID_VALUE)?;
        sys::unmap(pointer.address(), size.next_multiple_of(sys::PAGE));
        Ok(())
    }

    0 fn cuMemHostRegister_v2(d, pointer: Host, size: usize, flags: c_uint) {
        let mut state = d.state()?;
        let (context, device) = current_device(&state)?;
        let (base, size) = (pointer.address(), size as u64);
        if size == 0 || base == 0 || flags > 15 || state.space.is_device(base) {
            return Err(Status::INVALID_VALUE);
        }
        if state.space.overlaps(base, size) { return Err(Status::HOST_REGISTERED) }
        let bytes = Arc::new(Bytes::of_host(base, size));
        let mut range = Range::new(base, size, Kind::Registered, device, bytes);
        (range.context, range.host_flags, range.id) = (context, flags, d.buffer_id());
        state.space.insert(range);
        Ok(())
    }

    0 fn cuMemHostUnregister(d, pointer: Host) {
        end(d, pointer.address(), Kind::Registered, Status::HOST_NOT_REGISTERED).map(drop)
    }

    // With unified addressing the device uses the host's address.
    0 fn cuMemHostGetDevicePointer_v2(d, address: Out<u64>, pointer: Host, flags: c_uint) {
        let state = d.state()?;
        current_device(&state)?;
        let range = state.space.find(pointer.address()).filter(|range| range.kind.is_host());
        if flags != 0 || range.is_none() { return Err(Status::INVALID_VALUE) }
        address.set(pointer.address())
    }

    0 fn cuMemHostGetFlags(d, flags: Out<c_uint>, pointer: Host) {
        let state = d.state()?;
        let range = state.space.find(pointer.address()).filter(|range| range.kind == Kind::Pinned);
        flags.set(range.ok_or(Status::INVALID_VALUE)?.host_flags)
    }
}
