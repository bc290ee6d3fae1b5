//! What a pointer is. CUDA Driver API, "Unified Addressing".

use std::ffi::{c_int, c_uint};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::context::current;
use crate::driver::{Driver, State};
use crate::raw::{Host, In};
use crate::space::{Kind, Range};
use crate::status::{Outcome, Status};

const HOST: c_uint = 1;
const DEVICE: c_uint = 2;

/// Writes an attribute of a pointer; without a range, what it is of a pointer that the driver does not know.
fn write(
    d: &Driver,
    range: Option<&Arc<Range>>,
    address: u64,
    number: c_uint,
    value: Host,
) -> Outcome {
    let of = |known: fn(&Range) -> u64| range.map_or(0, |range| known(range));
    match number {
        1 => value.typed::<u64>().set(of(|r| r.context)),
        2 => {
            let kind = |r: &Arc<Range>| if r.kind.is_host() { HOST } else { DEVICE };
            value.typed::<c_uint>().set(range.map_or(0, kind))
        }
        3 => value.typed::<u64>().set(if range.is_some() { address } else { 0 }),
        4 => {
            let usable = range.is_some_and(|r| r.kind.is_host() || r.kind == Kind::Managed);
            value.typed::<u64>().set(if usable { address } else { 0 })
        }
        6 => value
            .typed::<c_uint>()
            .set(of(|r| r.sync_memops.load(Ordering::SeqCst).into()) as c_uint),
        7 => value.typed::<u64>().set(of(|r| r.id)),
        8 => value.typed::<u8>().set(u8::from(range.is_some_and(|r| r.kind == Kind::Managed))),
        9 => value.typed::<c_int>().set(range.map_or(-2, |r| r.device as c_int)),
        10 => {
            let plain = range.is_some_and(|r| r.kind == Kind::Plain && !r.imported);
            value.typed::<u8>().set(u8::from(plain && d.config.legacy_ipc))
        }
        11 | 19 => value.typed::<u64>().set(of(|r| r.base)),
        12 | 18 => value.typed::<usize>().set(of(|r| r.size) as usize),
        13 => value.typed::<u8>().set(u8::from(range.is_some())),
        14 => value.typed::<u64>().set(of(|r| r.handle_types.into())),
        15 => value.typed::<u8>().set(0),
        16 => value.typed::<c_uint>().set(if range.is_some() { 3 } else { 0 }),
        17 => value.typed::<u64>().set(of(|r| r.pool)),
        20 => value.typed::<u64>().set(of(|r| r.id)),
        _ => Err(Status::INVALID_VALUE),
    }
}

/// What the pointer points into, as far as a program may ask.
fn find(state: &State, address: u64) -> Option<&Arc<Range>> {
    state.space.find(address)
}

crate::api::functions! {
    // A pointer that the driver does not know is CUDA_ERROR_INVALID_VALUE here.
    0 fn cuPointerGetAttribute(d, value: Host, number: c_uint, address: u64) {
        let state = d.state()?;
        current(&state)?;
        let range = find(&state, address).ok_or(Status::INVALID_VALUE)?;
        if number == 4 && !(range.kind.is_host() || range.kind == Kind::Managed) {
            return Err(Status::INVALID_VALUE);
        }
        write(d, Some(range), address, number, value)
    }

    // And here success with null values: CUDA Driver API, cuPointerGetAttributes.
    0 fn cuPointerGetAttributes(d, count: c_uint, numbers: In<c_uint>, values: In<Host>, address: u64) {
        let state = d.state()?;
        current(&state)?;
        if numbers.is_null() || values.is_null() { return Err(Status::INVALID_VALUE) }
        let range = find(&state, address);
        (0..count as usize).try_for_each(|i| write(d, range, address, numbers.at(i), values.at(i)))
    }

    0 fn cuPointerSetAttribute(d, value: In<c_uint>, number: c_uint, address: u64) {
        let state = d.state()?;
        current(&state)?;
        let range = find(&state, address).ok_or(Status::INVALID_VALUE)?;
        if number != 6 { return Err(Status::INVALID_VALUE) }
        range.sync_memops.store(value.get()? != 0, Ordering::SeqCst);
        Ok(())
    }
}
