//! Streams, and the capture of their work. CUDA Driver API, "Stream Management".

use std::cell::Cell;
use std::ffi::{c_int, c_uint};

use crate::context::current;
use crate::driver::{self, Driver, Locked, State, Tag};
use crate::engine::Queue;
use crate::raw::{Host, HostFunction, Out};
use crate::status::{Outcome, Status};
use crate::sys;

/// The handles of the two default streams.
const LEGACY: u64 = 1;
const PER_THREAD: u64 = 2;

const NON_BLOCKING: c_uint = 1;

/// Capture modes: whose potentially unsafe calls spoil a capture. CUDA Driver API,
/// `cuThreadExchangeStreamCaptureMode`.
const GLOBAL: c_uint = 0;
const RELAXED: c_uint = 2;

thread_local! {
    /// The mode of this thread's calls.
    static MODE: Cell<c_uint> = const { Cell::new(GLOBAL) };
}

pub struct Stream {
    pub context: u64,
    pub flags: c_uint,
    pub priority: c_int,
    /// The context's legacy default stream.
    pub legacy: bool,
    /// Made by `cuStreamCreate`: its handle is known to the program, which has to destroy it.
    pub user: bool,
    pub queue: Queue,
    pub capture: Option<Capture>,
}

/// A capture in progress.
pub struct Capture {
    id: u64,
    mode: c_uint,
    thread: u64,
    invalidated: bool,
}

impl Stream {
    pub fn is_non_blocking(&self) -> bool {
        self.flags & NON_BLOCKING != 0
    }
}

impl State {
    /// Notes work in a captured stream: true if it must not be done. Work in the legacy stream while a blocking
    /// stream is captured would make one depend on the other, and spoils the capture.
    /// CUDA Driver API, `cuStreamBeginCapture`, and CUDA C++ Programming Guide, "Prohibited and Unhandled
    /// Operations".
    pub fn note_captured(&mut self, stream: u64) -> Outcome<bool> {
        let Some(own) = self.streams.get(&stream) else { return Ok(false) };
        if let Some(capture) = &own.capture {
            let spoiled = capture.invalidated;
            return if spoiled { Err(Status::CAPTURE_INVALIDATED) } else { Ok(true) };
        }
        if own.legacy {
            let context = own.context;
            let mut spoiled = false;
            for other in self.streams.values_mut() {
                if other.context == context && !other.is_non_blocking() {
                    spoiled |= other.capture.is_some();
                    if let Some(capture) = &mut other.capture {
                        capture.invalidated = true;
                    }
                }
            }
            if spoiled {
                return Err(Status::CAPTURE_IMPLICIT);
            }
        }
        Ok(false)
    }

    /// Refuses a call that waits for a captured stream or asks for its state, and spoils the capture.
    pub fn refuse_captured(&mut self, stream: u64) -> Outcome {
        match self.streams.get_mut(&stream).and_then(|s| s.capture.as_mut()) {
            Some(capture) => {
                capture.invalidated = true;
                Err(Status::CAPTURE_UNSUPPORTED)
            }
            None => Ok(()),
        }
    }

    /// Refuses a call that may be unsafe while this thread, or in global mode any thread, captures, and spoils the
    /// capture. CUDA Driver API, `cuThreadExchangeStreamCaptureMode`: "potentially unsafe API calls".
    pub fn refuse_unsafe(&mut self) -> Outcome {
        let (thread, mode) = (sys::thread_id(), MODE.get());
        let mut refused = false;
        for capture in self.streams.values_mut().filter_map(|s| s.capture.as_mut()) {
            let own = capture.thread == thread && capture.mode != RELAXED;
            let any = mode == GLOBAL && capture.mode == GLOBAL;
            if mode != RELAXED && (own || any) {
                capture.invalidated = true;
                refused = true;
            }
        }
        if refused { Err(Status::CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }
}

/// A new stream with its thread.
pub fn create(
    driver: &'static Driver,
    state: &mut State,
    context: u64,
    flags: c_uint,
    priority: c_int,
    kind: Option<bool>,
) -> Outcome<u64> {
    let id = state.handle(Tag::Stream);
    driver.start_worker(id)?;
    let stream = Stream {
        context,
        flags,
        priority,
        legacy: kind == Some(true),
        user: kind.is_none(),
        queue: Queue::default(),
        capture: None,
    };
    state.streams.insert(id, stream);
    Ok(id)
}

/// The stream that a handle means in this call: one of the current context's default streams, or one that the
/// program has made.
pub fn resolve(driver: &'static Driver, state: &mut State, handle: u64) -> Outcome<u64> {
    let per_thread = handle == PER_THREAD || (handle == 0 && driver::own_stream());
    if !per_thread && handle > LEGACY {
        let known = state.streams.get(&handle).is_some_and(|s| s.user && !s.queue.closed);
        if !known {
            driver.violation(format!("{handle:#x} is no stream"));
            return Err(Status::INVALID_HANDLE);
        }
        return Ok(handle);
    }
    let id = current(state)?;
    let key = if per_thread { sys::thread_id() } else { 0 };
    let made = state.contexts.get(&id).and_then(|context| context.defaults.get(&key)).copied();
    if let Some(stream) = made {
        return Ok(stream);
    }
    let stream = create(driver, state, id, 0, 0, Some(!per_thread))?;
    if let Some(context) = state.contexts.get_mut(&id) {
        context.defaults.insert(key, stream);
    }
    Ok(stream)
}

/// Waits until a stream has done all its work.
pub fn synchronize<'a>(
    driver: &'static Driver,
    mut state: Locked<'a>,
    stream: u64,
) -> Outcome<Locked<'a>> {
    state.refuse_captured(stream)?;
    let mut last = vec![(stream, queued(&state, stream))];
    // To wait for the legacy stream is to wait for the blocking streams as well.
    if let Some((context, true)) = state.streams.get(&stream).map(|s| (s.context, s.legacy)) {
        let others =
            state.streams.iter().filter(|(_, s)| s.context == context && !s.is_non_blocking());
        last.extend(others.map(|(id, s)| (*id, s.queue.queued)));
    }
    for (stream, number) in last {
        state = driver.wait_for(state, stream, number)?;
    }
    Ok(state)
}

/// The number of the last piece of work in a stream.
pub fn queued(state: &State, stream: u64) -> u64 {
    state.streams.get(&stream).map_or(0, |s| s.queue.queued)
}

crate::api::functions! {
    0 fn cuStreamCreate(d, stream: Out<u64>, flags: c_uint) {
        let mut state = d.state()?;
        let context = current(&state)?;
        if flags > NON_BLOCKING || stream.is_null() { return Err(Status::INVALID_VALUE) }
        stream.set(create(d, &mut state, context, flags, 0, None)?)
    }

    0 fn cuStreamCreateWithPriority(d, stream: Out<u64>, flags: c_uint, priority: c_int) {
        let mut state = d.state()?;
        let context = current(&state)?;
        if flags > NON_BLOCKING || stream.is_null() { return Err(Status::INVALID_VALUE) }
        stream.set(create(d, &mut state, context, flags, priority.clamp(-5, 0), None)?)
    }

    // Returns at once; what is queued is still done.
    0 fn cuStreamDestroy_v2(d, stream: u64) {
        let mut state = d.state()?;
        let own = state.streams.get_mut(&stream).filter(|s| s.user && !s.queue.closed);
        let Some(own) = own else {
            d.violation(format!("{stream:#x} is destroyed and no stream, or no longer"));
            return Err(Status::INVALID_HANDLE);
        };
        own.queue.closed = true;
        d.wake.notify_all();
        Ok(())
    }

    0 fn cuStreamSynchronize => cuStreamSynchronize_ptsz(d, stream: u64) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        synchronize(d, state, stream).map(drop)
    }

    0 fn cuStreamQuery => cuStreamQuery_ptsz(d, stream: u64) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        state.refuse_captured(stream)?;
        let own = state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?;
        let (context, last) = (own.context, own.queue.queued);
        let done = own.queue.done >= last;
        if let Some(lost) = state.contexts.get(&context).and_then(|c| c.lost) { return Err(lost) }
        if done { return Ok(()) }
        // Who asks again and again waits too.
        state.want(stream, last);
        d.wake.notify_all();
        Err(Status::NOT_READY)
    }

    0 fn cuStreamWaitEvent => cuStreamWaitEvent_ptsz(d, stream: u64, event: u64, _flags: c_uint) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        let known = state.events.get(&event);
        let waits = known.ok_or(Status::INVALID_HANDLE)?.waits();
        // An event that was never recorded is nothing to wait for.
        if waits.is_empty() { return state.note_captured(stream).map(drop) }
        d.queue(&mut state, stream, waits, |_| Ok(())).map(drop)
    }

    0 fn cuStreamGetCtx => cuStreamGetCtx_ptsz(d, stream: u64, context: Out<u64>) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        context.set(state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?.context)
    }

    12080 fn cuStreamGetDevice => cuStreamGetDevice_ptsz(d, stream: u64, device: Out<c_int>) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        let context = state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?.context;
        device.set(state.contexts.get(&context).ok_or(Status::INVALID_CONTEXT)?.device as c_int)
    }

    0 fn cuStreamGetFlags => cuStreamGetFlags_ptsz(d, stream: u64, flags: Out<c_uint>) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        flags.set(state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?.flags)
    }

    0 fn cuStreamGetPriority => cuStreamGetPriority_ptsz(d, stream: u64, priority: Out<c_int>) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        priority.set(state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?.priority)
    }

    0 fn cuStreamGetId => cuStreamGetId_ptsz(d, stream: u64, id: Out<u64>) {
        let mut state = d.state()?;
        id.set(resolve(d, &mut state, stream)? & 0xffff_ffff)
    }

    0 fn cuLaunchHostFunc => cuLaunchHostFunc_ptsz(d, stream: u64, function: HostFunction, argument: Host) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        let number = d.queue(&mut state, stream, Vec::new(), move |_| { let argument = argument; function(argument); Ok(()) })?;
        // The host may wait for it in ways that are not seen here.
        state.want(stream, number);
        Ok(())
    }

    0 fn cuStreamBeginCapture_v2 => cuStreamBeginCapture_v2_ptsz(d, stream: u64, mode: c_uint) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        let id = state.handle(Tag::Graph);
        let own = state.streams.get_mut(&stream).ok_or(Status::INVALID_HANDLE)?;
        if own.legacy { return Err(Status::CAPTURE_UNSUPPORTED) }
        if own.capture.is_some() || mode > RELAXED { return Err(Status::ILLEGAL_STATE) }
        own.capture = Some(Capture { id, mode, thread: sys::thread_id(), invalidated: false });
        Ok(())
    }

    0 fn cuStreamEndCapture => cuStreamEndCapture_ptsz(d, stream: u64, graph: Out<u64>) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        let own = state.streams.get_mut(&stream).ok_or(Status::INVALID_HANDLE)?;
        let capture = own.capture.take().ok_or(Status::ILLEGAL_STATE)?;
        if capture.invalidated { graph.set_if(0); return Err(Status::CAPTURE_INVALIDATED) }
        state.graphs += 1;
        graph.set(capture.id)
    }

    0 fn cuStreamIsCapturing => cuStreamIsCapturing_ptsz(d, stream: u64, status: Out<c_uint>) {
        let mut state = d.state()?;
        let stream = resolve(d, &mut state, stream)?;
        let own = state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?;
        if own.legacy {
            let context = own.context;
            let captured = |s: &Stream| s.context == context && !s.is_non_blocking() && s.capture.is_some();
            if state.streams.values().any(captured) { return Err(Status::CAPTURE_IMPLICIT) }
            return status.set(0);
        }
        status.set(own.capture.as_ref().map_or(0, |c| 1 + c_uint::from(c.invalidated)))
    }

    0 fn cuThreadExchangeStreamCaptureMode(_d, mode: Out<c_uint>) {
        let wanted = mode.get()?;
        if wanted > RELAXED { return Err(Status::INVALID_VALUE) }
        mode.set(MODE.replace(wanted))
    }

    0 fn cuGraphDestroy(d, _graph: u64) {
        let mut state = d.state()?;
        state.graphs = state.graphs.checked_sub(1).ok_or(Status::INVALID_HANDLE)?;
        Ok(())
    }
}
