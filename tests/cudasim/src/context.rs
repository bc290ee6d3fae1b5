//! Contexts, and which is current in a thread. CUDA Driver API, "Context Management" and "Primary Context
//! Management".

use std::collections::{HashMap, HashSet};
use std::ffi::{c_int, c_uint};

use crate::device::{are_peers, discharge, index};
use crate::driver::{Driver, State, Tag, contexts};
use crate::raw::{Host, In, Out};
use crate::space::Kind;
use crate::status::{Outcome, Status};
use crate::stream;

pub struct Context {
    pub device: usize,
    pub flags: c_uint,
    /// Of a primary context: how often it is retained. A context that is not primary has 1.
    pub retained: u32,
    pub primary: bool,
    /// The default streams: the legacy one under 0, the others by thread.
    pub defaults: HashMap<u64, u64>,
    /// The status that every call gives since the context was lost.
    pub lost: Option<Status>,
    /// Devices whose memory kernels of this context may use.
    pub peers: HashSet<usize>,
    pub limits: HashMap<c_uint, usize>,
}

impl Context {
    fn new(device: usize, flags: c_uint, primary: bool) -> Self {
        Self {
            device,
            flags,
            retained: 1,
            primary,
            defaults: HashMap::new(),
            lost: None,
            peers: HashSet::new(),
            limits: HashMap::new(),
        }
    }
}

/// The current context: `CUDA_ERROR_INVALID_CONTEXT` without one, `CUDA_ERROR_CONTEXT_IS_DESTROYED` if it is gone,
/// its own status if it is lost.
pub fn current(state: &State) -> Outcome<u64> {
    let id = contexts(|stack| stack.last().copied()).filter(|&id| id != 0);
    let id = id.ok_or(Status::INVALID_CONTEXT)?;
    let context = state.contexts.get(&id).ok_or(Status::CONTEXT_DESTROYED)?;
    context.lost.map_or(Ok(id), Err)
}

/// The device of the current context, with the context.
pub fn current_device(state: &State) -> Outcome<(u64, usize)> {
    let id = current(state)?;
    Ok((id, state.contexts.get(&id).ok_or(Status::INVALID_CONTEXT)?.device))
}

/// Ends a context: what it owns goes with it.
fn end(driver: &'static Driver, id: u64) -> Outcome {
    let state = driver.state()?;
    // A lost context ends too.
    let _ = driver.wait_for_all(state, id);
    let mut state = driver.state()?;
    state.contexts.remove(&id);
    let owned = |s: &stream::Stream| s.context == id;
    state.streams.values_mut().filter(|s| owned(s)).for_each(|s| s.queue.closed = true);
    state.events.retain(|_, event| event.context != id);
    state.modules.retain(|_, module| module.context != id);
    let kept: HashSet<u64> = state.modules.keys().copied().collect();
    state.functions.retain(|_, function| kept.contains(&function.module));
    let mut given_back = Vec::new();
    state.space.retain(|range| {
        let goes = range.context == id && !matches!(range.kind, Kind::Mapped);
        if goes && !range.kind.is_host() && !range.imported {
            given_back.push((range.device, range.size));
        }
        !goes
    });
    given_back.into_iter().for_each(|(device, size)| discharge(&mut state, device, size));
    driver.wake.notify_all();
    Ok(())
}

fn create(d: &'static Driver, context: Out<u64>, flags: c_uint, device: c_int) -> Outcome {
    let mut state = d.state()?;
    let device = index(&state, device)?;
    let id = state.handle(Tag::Context);
    state.contexts.insert(id, Context::new(device, flags, false));
    contexts(|stack| stack.push(id));
    context.set(id)
}

crate::api::functions! {
    0 fn cuDevicePrimaryCtxRetain(d, context: Out<u64>, device: c_int) {
        let mut state = d.state()?;
        let device = index(&state, device)?;
        if state.devices[device].primary == 0 {
            state.devices[device].primary = state.handle(Tag::Context);
        }
        let (id, flags) = (state.devices[device].primary, state.devices[device].primary_flags);
        match state.contexts.get_mut(&id) {
            Some(primary) => primary.retained += 1,
            None => { state.contexts.insert(id, Context::new(device, flags, true)); }
        }
        context.set(id)
    }

    0 fn cuDevicePrimaryCtxRelease_v2(d, device: c_int) {
        let mut state = d.state()?;
        let id = state.devices[index(&state, device)?].primary;
        let Some(primary) = state.contexts.get_mut(&id) else {
            d.violation(format!("the primary context of device {device} is released and not retained"));
            return Err(Status::INVALID_CONTEXT);
        };
        primary.retained -= 1;
        let last = primary.retained == 0;
        drop(state);
        if last { end(d, id) } else { Ok(()) }
    }

    0 fn cuDevicePrimaryCtxReset_v2(d, device: c_int) {
        let state = d.state()?;
        let id = state.devices[index(&state, device)?].primary;
        let active = state.contexts.contains_key(&id);
        drop(state);
        if active { end(d, id) } else { Ok(()) }
    }

    0 fn cuDevicePrimaryCtxGetState(d, device: c_int, flags: Out<c_uint>, active: Out<c_int>) {
        let state = d.state()?;
        let own = &state.devices[index(&state, device)?];
        flags.set(own.primary_flags)?;
        active.set(c_int::from(state.contexts.contains_key(&own.primary)))
    }

    0 fn cuDevicePrimaryCtxSetFlags_v2(d, device: c_int, flags: c_uint) {
        let mut state = d.state()?;
        let device = index(&state, device)?;
        state.devices[device].primary_flags = flags;
        Ok(())
    }

    0 fn cuCtxCreate_v2(d, context: Out<u64>, flags: c_uint, device: c_int) {
        create(d, context, flags, device)
    }

    0 fn cuCtxCreate_v3(d, context: Out<u64>, _affinity: Host, _count: c_int, flags: c_uint, device: c_int) {
        create(d, context, flags, device)
    }

    12050 fn cuCtxCreate_v4(d, context: Out<u64>, _parameters: Host, flags: c_uint, device: c_int) {
        create(d, context, flags, device)
    }

    0 fn cuCtxDestroy_v2(d, context: u64) {
        let primary = d.state()?.contexts.get(&context).map(|c| c.primary);
        if primary.ok_or(Status::INVALID_CONTEXT)? { return Err(Status::INVALID_CONTEXT) }
        contexts(|stack| { if stack.last() == Some(&context) { stack.pop(); } });
        end(d, context)
    }

    0 fn cuCtxPushCurrent_v2(d, context: u64) {
        if !d.state()?.contexts.contains_key(&context) { return Err(Status::INVALID_CONTEXT) }
        contexts(|stack| stack.push(context));
        Ok(())
    }

    0 fn cuCtxPopCurrent_v2(_d, context: Out<u64>) {
        let popped = contexts(|stack| stack.pop()).ok_or(Status::INVALID_CONTEXT)?;
        context.set_if(popped);
        Ok(())
    }

    // Takes the place of the top of the stack; null pops it.
    0 fn cuCtxSetCurrent(d, context: u64) {
        if context != 0 && !d.state()?.contexts.contains_key(&context) {
            return Err(Status::INVALID_CONTEXT);
        }
        contexts(|stack| {
            stack.pop();
            if context != 0 { stack.push(context) }
        });
        Ok(())
    }

    0 fn cuCtxGetCurrent(_d, context: Out<u64>) {
        context.set(contexts(|stack| stack.last().copied().unwrap_or(0)))
    }

    0 fn cuCtxGetDevice(d, device: Out<c_int>) {
        device.set(current_device(&*d.state()?)?.1 as c_int)
    }

    13000 fn cuCtxGetDevice_v2(d, device: Out<c_int>, context: u64) {
        let state = d.state()?;
        let id = if context == 0 { current(&state)? } else { context };
        device.set(state.contexts.get(&id).ok_or(Status::INVALID_CONTEXT)?.device as c_int)
    }

    0 fn cuCtxGetFlags(d, flags: Out<c_uint>) {
        let state = d.state()?;
        let id = current(&state)?;
        flags.set(state.contexts.get(&id).map_or(0, |c| c.flags))
    }

    12010 fn cuCtxSetFlags(d, flags: c_uint) {
        let mut state = d.state()?;
        let id = current(&state)?;
        if let Some(context) = state.contexts.get_mut(&id) { context.flags = flags }
        Ok(())
    }

    0 fn cuCtxGetId(d, context: u64, number: Out<u64>) {
        let state = d.state()?;
        let id = if context == 0 { current(&state)? } else { context };
        if !state.contexts.contains_key(&id) { return Err(Status::CONTEXT_DESTROYED) }
        number.set(id & 0xffff_ffff)
    }

    0 fn cuCtxGetApiVersion(d, _context: u64, version: Out<c_uint>) {
        current(&*d.state()?)?;
        version.set(3020)
    }

    0 fn cuCtxSynchronize(d) {
        let state = d.state()?;
        let id = current(&state)?;
        refuse_captured(state, d, id)
    }

    13000 fn cuCtxSynchronize_v2(d, context: u64) {
        let state = d.state()?;
        let id = if context == 0 { current(&state)? } else { context };
        refuse_captured(state, d, id)
    }

    0 fn cuCtxGetStreamPriorityRange(d, least: Out<c_int>, greatest: Out<c_int>) {
        current(&*d.state()?)?;
        least.set_if(0);
        greatest.set_if(-5);
        Ok(())
    }

    0 fn cuCtxGetLimit(d, value: Out<usize>, limit: c_uint) {
        let state = d.state()?;
        let id = current(&state)?;
        value.set(state.contexts.get(&id).and_then(|c| c.limits.get(&limit)).copied().unwrap_or(1024))
    }

    0 fn cuCtxSetLimit(d, limit: c_uint, value: usize) {
        let mut state = d.state()?;
        let id = current(&state)?;
        if let Some(context) = state.contexts.get_mut(&id) { context.limits.insert(limit, value); }
        Ok(())
    }

    0 fn cuCtxEnablePeerAccess(d, peer: u64, flags: c_uint) {
        let mut state = d.state()?;
        let (id, device) = current_device(&state)?;
        let other = state.contexts.get(&peer).ok_or(Status::INVALID_CONTEXT)?.device;
        if flags != 0 { return Err(Status::INVALID_VALUE) }
        if !are_peers(&state, device, other) { return Err(Status::PEER_UNSUPPORTED) }
        let fresh = state.contexts.get_mut(&id).is_some_and(|c| c.peers.insert(other));
        if fresh { Ok(()) } else { Err(Status::PEER_ALREADY_ENABLED) }
    }

    0 fn cuCtxDisablePeerAccess(d, peer: u64) {
        let mut state = d.state()?;
        let id = current(&state)?;
        let other = state.contexts.get(&peer).ok_or(Status::INVALID_CONTEXT)?.device;
        let was = state.contexts.get_mut(&id).is_some_and(|c| c.peers.remove(&other));
        if was { Ok(()) } else { Err(Status::PEER_NOT_ENABLED) }
    }

    // Undocumented tables for the run-time library: this driver has none.
    0 fn cuGetExportTable(_d, table: Out<u64>, _id: In<[u8; 16]>) {
        table.set(0)?;
        Err(Status::NOT_FOUND)
    }
}

fn refuse_captured(mut state: crate::driver::Locked<'_>, d: &'static Driver, id: u64) -> Outcome {
    let streams: Vec<u64> =
        state.streams.iter().filter(|(_, s)| s.context == id).map(|(id, _)| *id).collect();
    for stream in streams {
        state.refuse_captured(stream)?;
    }
    d.wait_for_all(state, id).map(drop)
}
