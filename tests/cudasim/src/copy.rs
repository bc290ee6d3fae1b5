//! Copies. CUDA Driver API, "Memory Management" and "API synchronization behavior", Memcpy.

use std::ffi::c_uint;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::context::current;
use crate::driver::{Driver, State};
use crate::raw::{Host, In, Out};
use crate::space::Piece;
use crate::status::{Outcome, Status};
use crate::stream::{resolve, synchronize};
use crate::sys;

/// Memory that a copy reads or writes.
pub enum Region {
    /// Known to the driver: a device's, or locked host memory.
    Known(Vec<Piece>),
    /// Any other address of the host's.
    Pageable(u64),
}

/// The bytes from an address that the driver must know.
pub fn region(state: &State, address: u64, length: u64) -> Outcome<Region> {
    state.space.pieces(address, length).map(Region::Known)
}

/// The bytes from any address: what the driver does not know, and is none of a device's, is pageable.
fn any_region(d: &Driver, state: &State, address: u64, length: u64) -> Outcome<Region> {
    match region(state, address, length) {
        Ok(known) => Ok(known),
        Err(status) if state.space.is_device(address) => {
            d.violation(format!("a copy of {length} bytes at {address:#x} leaves its allocation"));
            Err(status)
        }
        // Memory that is only partly locked counts as pageable.
        Err(_) => Ok(Region::Pageable(address)),
    }
}

impl Region {
    pub fn is_host(&self) -> bool {
        match self {
            Self::Known(pieces) => pieces.iter().any(|piece| piece.range.kind.is_host()),
            Self::Pageable(_) => true,
        }
    }

    fn is_pageable(&self) -> bool {
        matches!(self, Self::Pageable(_))
    }

    /// Whether an attribute of the memory makes every call on it wait.
    pub fn must_block(&self) -> bool {
        let set = |piece: &Piece| piece.range.sync_memops.load(std::sync::atomic::Ordering::SeqCst);
        matches!(self, Self::Known(pieces) if pieces.iter().any(set))
    }

    /// Does something to each part of `length` bytes from `at`.
    fn each(
        &self,
        d: &'static Driver,
        at: u64,
        length: u64,
        write: bool,
        mut act: impl FnMut(&Piece, u64, std::ops::Range<usize>) -> Outcome,
    ) -> Outcome {
        let Self::Known(pieces) = self else { return Err(Status::UNKNOWN) };
        let (mut skip, mut done) = (at, 0);
        for piece in pieces {
            if skip >= piece.length {
                skip -= piece.length;
                continue;
            }
            let here = (piece.length - skip).min(length - done);
            if here == 0 {
                break;
            }
            if let Err(reason) = piece.range.usable() {
                d.violation(format!("{reason}: {:#x}", piece.range.base + piece.offset));
                return Err(Status::ILLEGAL_ADDRESS);
            }
            if !crate::memory::allows(&piece.range, write) {
                d.violation(format!("no access to mapped memory: {:#x}", piece.range.base));
                return Err(Status::ILLEGAL_ADDRESS);
            }
            let offset = piece.range.offset + piece.offset + skip;
            act(piece, offset, done as usize..(done + here) as usize)?;
            done += here;
            skip = 0;
        }
        Ok(())
    }

    pub fn read(&self, d: &'static Driver, at: u64, into: &mut [u8]) -> Outcome {
        if let Self::Pageable(address) = self {
            return read_host(d, address + at, into);
        }
        let length = into.len() as u64;
        self.each(d, at, length, false, |piece, offset, part| {
            piece.range.bytes.read(offset, &mut into[part])
        })
    }

    pub fn write(&self, d: &'static Driver, at: u64, from: &[u8]) -> Outcome {
        if let Self::Pageable(address) = self {
            let written = sys::write_host(address + at, from);
            return if written { Ok(()) } else { Err(unmapped(d, address + at)) };
        }
        self.each(d, at, from.len() as u64, true, |piece, offset, part| {
            piece.range.bytes.write(offset, &from[part])
        })
    }
}

fn read_host(d: &Driver, address: u64, into: &mut [u8]) -> Outcome {
    if sys::read_host(address, into) { Ok(()) } else { Err(unmapped(d, address)) }
}

fn unmapped(d: &Driver, address: u64) -> Status {
    d.violation(format!("host memory at {address:#x} is not there"));
    Status::ILLEGAL_ADDRESS
}

/// Rows of bytes: of a plain copy, one.
#[derive(Clone, Copy)]
struct Shape {
    width: u64,
    rows: u64,
    from_pitch: u64,
    to_pitch: u64,
}

impl Shape {
    fn line(width: u64) -> Self {
        Self { width, rows: 1, from_pitch: width, to_pitch: width }
    }

    fn extent(&self, pitch: u64) -> Outcome<u64> {
        let rows = pitch.checked_mul(self.rows.saturating_sub(1));
        rows.and_then(|n| n.checked_add(self.width)).ok_or(Status::INVALID_VALUE)
    }
}

/// A copy's ends, and what the caller says of them: `None` if it does not.
#[derive(Clone, Copy)]
struct Ends {
    to: u64,
    to_host: Option<bool>,
    from: u64,
    from_host: Option<bool>,
}

fn end(
    d: &Driver,
    state: &State,
    address: u64,
    length: u64,
    host: Option<bool>,
) -> Outcome<Region> {
    if host == Some(true) {
        if state.space.is_device(address) {
            d.violation(format!("a device address is given as host memory: {address:#x}"));
        }
        return any_region(d, state, address, length);
    }
    match any_region(d, state, address, length)? {
        Region::Pageable(_) if host == Some(false) => {
            d.violation(format!("{address:#x} is given as device memory and is none"));
            Err(Status::INVALID_VALUE)
        }
        region => Ok(region),
    }
}

fn direction(to: &Region, from: &Region) -> &'static str {
    match (from.is_host(), to.is_host()) {
        (true, false) => "HtoD",
        (false, true) => "DtoH",
        (false, false) => "DtoD",
        (true, true) => "HtoH",
    }
}

fn transfer(d: &'static Driver, to: &Region, from: &Region, shape: Shape) -> Outcome {
    let pause = Duration::from_micros(d.pause_us.load(Ordering::SeqCst));
    let most = if pause.is_zero() { 1 << 20 } else { shape.width.div_ceil(2) };
    let mut block = vec![0; shape.width.min(most) as usize];
    for row in 0..shape.rows {
        let mut done = 0;
        while done < shape.width {
            let part = (shape.width - done).min(block.len() as u64) as usize;
            from.read(d, row * shape.from_pitch + done, &mut block[..part])?;
            to.write(d, row * shape.to_pitch + done, &block[..part])?;
            done += part as u64;
            if row == 0 && done < shape.width {
                std::thread::sleep(pause);
            }
        }
    }
    d.copied(direction(to, from), shape.width * shape.rows);
    Ok(())
}

/// Copies, with a stream or without one. What waits for what is the documentation's table:
/// pageable memory is read before the call returns, and has been written when it does; a call without a stream waits,
/// but for copies within devices; all else comes when the stream gets there.
fn copy(d: &'static Driver, ends: Ends, shape: Shape, stream: Option<u64>) -> Outcome {
    let mut state = d.state()?;
    current(&state)?;
    let asynchronous = stream.is_some();
    let stream = resolve(d, &mut state, stream.unwrap_or(0))?;
    if shape.width == 0 || shape.rows == 0 {
        return Ok(());
    }
    if !asynchronous {
        state.refuse_unsafe()?;
    }
    let to = end(d, &state, ends.to, shape.extent(shape.to_pitch)?, ends.to_host)?;
    let from = end(d, &state, ends.from, shape.extent(shape.from_pitch)?, ends.from_host)?;
    let within = !to.is_host() && !from.is_host();
    let blocking = to.must_block()
        || from.must_block()
        || to.is_pageable()
        || (!asynchronous && !within && !from.is_pageable());
    let captured = state.streams.get(&stream).is_some_and(|s| s.capture.is_some());
    if captured && (to.is_pageable() || from.is_pageable()) {
        state.refuse_captured(stream)?;
    }
    if !from.is_pageable() {
        let number =
            d.queue(&mut state, stream, Vec::new(), move |d| transfer(d, &to, &from, shape))?;
        return if blocking { d.wait_for(state, stream, number).map(drop) } else { Ok(()) };
    }
    if !asynchronous {
        state = synchronize(d, state, stream)?;
    }
    drop(state);
    // Staged: the source may change as soon as the call returns; the device sees it later.
    let mut staged = vec![0; (shape.width * shape.rows) as usize];
    for (row, part) in (0u64..).zip(staged.chunks_exact_mut(shape.width as usize)) {
        from.read(d, row * shape.from_pitch, part)?;
    }
    let mut state = d.state()?;
    let name = direction(&to, &from);
    let host = to.is_host();
    let number = d.queue(&mut state, stream, Vec::new(), move |d| {
        for (row, part) in (0u64..).zip(staged.chunks_exact(shape.width as usize)) {
            to.write(d, row * shape.to_pitch, part)?;
        }
        d.copied(name, shape.width * shape.rows);
        Ok(())
    })?;
    let blocking = blocking || (host && !asynchronous);
    if blocking { d.wait_for(state, stream, number).map(drop) } else { Ok(()) }
}

fn line(d: &'static Driver, ends: Ends, size: usize, stream: Option<u64>) -> Outcome {
    copy(d, ends, Shape::line(size as u64), stream)
}

fn to_device(to: u64, from: Host) -> Ends {
    Ends { to, to_host: Some(false), from: from.address(), from_host: Some(true) }
}

fn to_host(to: Host, from: u64) -> Ends {
    Ends { to: to.address(), to_host: Some(true), from, from_host: Some(false) }
}

fn within(to: u64, from: u64) -> Ends {
    Ends { to, to_host: Some(false), from, from_host: Some(false) }
}

fn unified(to: u64, from: u64) -> Ends {
    Ends { to, to_host: None, from, from_host: None }
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Copy2d {
    from_x: usize,
    from_y: usize,
    from_kind: c_uint,
    from_host: u64,
    from_device: u64,
    from_array: u64,
    from_pitch: usize,
    to_x: usize,
    to_y: usize,
    to_kind: c_uint,
    to_host: u64,
    to_device: u64,
    to_array: u64,
    to_pitch: usize,
    width: usize,
    height: usize,
}

fn copy_2d(d: &'static Driver, copy_2d: In<Copy2d>, stream: Option<u64>) -> Outcome {
    let c = copy_2d.get()?;
    // 1 host, 2 device, 3 array, 4 unified: which address field counts.
    let side = |kind: c_uint, host: u64, device: u64| match kind {
        1 => Ok((host, Some(true))),
        2 => Ok((device, Some(false))),
        4 => Ok((device, None)),
        _ => Err(Status::NOT_SUPPORTED),
    };
    let (from, from_host) = side(c.from_kind, c.from_host, c.from_device)?;
    let (to, to_host) = side(c.to_kind, c.to_host, c.to_device)?;
    let pitch = |pitch: usize| if pitch == 0 { c.width } else { pitch };
    let (from_pitch, to_pitch) = (pitch(c.from_pitch), pitch(c.to_pitch));
    if c.from_x + c.width > from_pitch || c.to_x + c.width > to_pitch {
        return Err(Status::INVALID_VALUE);
    }
    let from = from + (c.from_y * from_pitch + c.from_x) as u64;
    let to = to + (c.to_y * to_pitch + c.to_x) as u64;
    let shape = Shape {
        width: c.width as u64,
        rows: c.height as u64,
        from_pitch: from_pitch as u64,
        to_pitch: to_pitch as u64,
    };
    copy(d, Ends { to, to_host, from, from_host }, shape, stream)
}

/// Several copies in one call. CUDA Driver API, `cuMemcpyBatchAsync`: not in the legacy stream, nor in a captured one.
fn batch(
    d: &'static Driver,
    to: In<u64>,
    from: In<u64>,
    sizes: In<usize>,
    count: usize,
    stream: u64,
) -> Outcome {
    if stream <= 1 || count == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let mut state = d.state()?;
    let resolved = resolve(d, &mut state, stream)?;
    if state.streams.get(&resolved).is_some_and(|s| s.capture.is_some()) {
        return state.refuse_captured(resolved);
    }
    drop(state);
    (0..count).try_for_each(|i| line(d, unified(to.at(i), from.at(i)), sizes.at(i), Some(stream)))
}

crate::api::functions! {
    0 fn cuMemcpy => cuMemcpy_ptds(d, to: u64, from: u64, size: usize) {
        line(d, unified(to, from), size, None)
    }

    0 fn cuMemcpyAsync => cuMemcpyAsync_ptsz(d, to: u64, from: u64, size: usize, stream: u64) {
        line(d, unified(to, from), size, Some(stream))
    }

    0 fn cuMemcpyHtoD_v2 => cuMemcpyHtoD_v2_ptds(d, to: u64, from: Host, size: usize) {
        line(d, to_device(to, from), size, None)
    }

    0 fn cuMemcpyHtoDAsync_v2 => cuMemcpyHtoDAsync_v2_ptsz(d, to: u64, from: Host, size: usize, stream: u64) {
        line(d, to_device(to, from), size, Some(stream))
    }

    0 fn cuMemcpyDtoH_v2 => cuMemcpyDtoH_v2_ptds(d, to: Host, from: u64, size: usize) {
        line(d, to_host(to, from), size, None)
    }

    0 fn cuMemcpyDtoHAsync_v2 => cuMemcpyDtoHAsync_v2_ptsz(d, to: Host, from: u64, size: usize, stream: u64) {
        line(d, to_host(to, from), size, Some(stream))
    }

    0 fn cuMemcpyDtoD_v2 => cuMemcpyDtoD_v2_ptds(d, to: u64, from: u64, size: usize) {
        line(d, within(to, from), size, None)
    }

    0 fn cuMemcpyDtoDAsync_v2 => cuMemcpyDtoDAsync_v2_ptsz(d, to: u64, from: u64, size: usize, stream: u64) {
        line(d, within(to, from), size, Some(stream))
    }

    0 fn cuMemcpyPeer => cuMemcpyPeer_ptds(d, to: u64, _to_context: u64, from: u64, _from_context: u64, size: usize) {
        line(d, within(to, from), size, None)
    }

    0 fn cuMemcpyPeerAsync => cuMemcpyPeerAsync_ptsz(d, to: u64, _to_context: u64, from: u64, _from_context: u64, size: usize, stream: u64) {
        line(d, within(to, from), size, Some(stream))
    }

    0 fn cuMemcpy2D_v2 => cuMemcpy2D_v2_ptds(d, what: In<Copy2d>) {
        copy_2d(d, what, None)
    }

    0 fn cuMemcpy2DUnaligned_v2 => cuMemcpy2DUnaligned_v2_ptds(d, what: In<Copy2d>) {
        copy_2d(d, what, None)
    }

    0 fn cuMemcpy2DAsync_v2 => cuMemcpy2DAsync_v2_ptsz(d, what: In<Copy2d>, stream: u64) {
        copy_2d(d, what, Some(stream))
    }

    12080 fn cuMemcpyBatchAsync => cuMemcpyBatchAsync_ptsz(d, to: In<u64>, from: In<u64>, sizes: In<usize>, count: usize, _attributes: Host, _indices: Host, _attribute_count: usize, failed: Out<usize>, stream: u64) {
        failed.set_if(usize::MAX);
        batch(d, to, from, sizes, count, stream)
    }

    13000 fn cuMemcpyBatchAsync_v2 => cuMemcpyBatchAsync_v2_ptsz(d, to: In<u64>, from: In<u64>, sizes: In<usize>, count: usize, _attributes: Host, _indices: Host, _attribute_count: usize, stream: u64) {
        batch(d, to, from, sizes, count, stream)
    }
}
