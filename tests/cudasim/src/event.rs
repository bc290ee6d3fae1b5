//! Events, also those between processes. CUDA Driver API, "Event Management" and "Unified Addressing" for sharing.

use std::ffi::c_uint;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::bytes::{Bytes, Field};
use crate::context::current;
use crate::driver::{Driver, Tag};
use crate::engine::Wait;
use crate::raw::Out;
use crate::space::Kind;
use crate::status::{Outcome, Status};
use crate::stream::{queued, resolve};
use crate::sys;

const DISABLE_TIMING: c_uint = 2;
const INTERPROCESS: c_uint = 4;

pub struct Event {
    pub context: u64,
    pub flags: c_uint,
    /// The stream and the number of the last record.
    mark: Option<(u64, u64)>,
    /// When that record was done.
    time: Arc<OnceLock<Instant>>,
    /// The counters that all processes see.
    shared: Option<Arc<Bytes>>,
    imported: bool,
}

impl Event {
    /// What has to be done for the event to have happened; nothing if it was never recorded.
    pub fn waits(&self) -> Vec<Wait> {
        let own = self.mark.map(|(stream, number)| Wait::Stream(stream, number));
        let shared = self.shared.as_ref().filter(|s| s.get(Field::Recorded) > 0);
        let shared = shared.map(|s| Wait::Shared(s.clone(), s.get(Field::Recorded)));
        own.into_iter().chain(shared).collect()
    }
}

/// A handle for another process: which process, which descriptor of it, what it must be.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Handle(pub [u64; 8]);

/// What stands at the front of every handle of this driver.
const SIGN: u64 = u64::from_le_bytes(*b"simevent");

fn happened(d: &'static Driver, event: u64, until: bool) -> Outcome {
    let mut state = d.state()?;
    let waits = state.events.get(&event).ok_or(Status::INVALID_HANDLE)?.waits();
    for wait in waits {
        match wait {
            Wait::Stream(stream, number) if until => {
                state.refuse_captured(stream)?;
                state = d.wait_for(state, stream, number)?;
            }
            Wait::Stream(stream, number) => {
                let own = state.streams.get(&stream);
                let (done, context) =
                    own.map_or((true, 0), |s| (s.queue.done >= number, s.context));
                if let Some(lost) = state.contexts.get(&context).and_then(|c| c.lost) {
                    return Err(lost);
                }
                if !done {
                    state.want(stream, number);
                    d.wake.notify_all();
                    return Err(Status::NOT_READY);
                }
            }
            Wait::Shared(shared, records) => {
                while shared.get(Field::Completed) < records {
                    if !until {
                        return Err(Status::NOT_READY);
                    }
                    state = state.wait(d, Duration::from_micros(100));
                }
            }
        }
    }
    Ok(())
}

fn elapsed(d: &'static Driver, milliseconds: Out<f32>, start: u64, end: u64) -> Outcome {
    let state = d.state()?;
    let time = |event: u64| {
        let event = state.events.get(&event).ok_or(Status::INVALID_HANDLE)?;
        if event.flags & DISABLE_TIMING != 0 || event.mark.is_none() {
            return Err(Status::INVALID_HANDLE);
        }
        event.time.get().copied().ok_or(Status::NOT_READY)
    };
    let (start, end) = (time(start)?, time(end)?);
    let forth = end.saturating_duration_since(start).as_secs_f32();
    milliseconds.set((forth - start.saturating_duration_since(end).as_secs_f32()) * 1000.0)
}

fn record(d: &'static Driver, event: u64, stream: u64) -> Outcome {
    let mut state = d.state()?;
    let stream = resolve(d, &mut state, stream)?;
    let context = state.streams.get(&stream).map(|s| s.context);
    let known = state.events.get(&event).ok_or(Status::INVALID_HANDLE)?;
    if context != Some(known.context) {
        return Err(Status::INVALID_HANDLE);
    }
    let time = Arc::new(OnceLock::new());
    let shared = known.shared.clone();
    let done = time.clone();
    let target = shared.as_ref().map_or(0, |s| s.get(Field::Recorded) + 1);
    let signal = shared.clone();
    let number = d.queue(&mut state, stream, Vec::new(), move |_| {
        // A second record of the same event finds the time set; each has its own.
        let _ = done.set(Instant::now());
        if let Some(shared) = signal {
            shared.set(Field::Completed, target);
        }
        Ok(())
    })?;
    if let Some(shared) = shared {
        shared.set(Field::Recorded, target);
    }
    if let Some(event) = state.events.get_mut(&event) {
        event.mark = Some((stream, number));
        event.time = time;
    }
    debug_assert!(number == 0 || number == queued(&state, stream), "recorded last");
    Ok(())
}

crate::api::functions! {
    0 fn cuEventCreate(d, event: Out<u64>, flags: c_uint) {
        let mut state = d.state()?;
        let context = current(&state)?;
        let between = flags & INTERPROCESS != 0;
        if flags > 7 || (between && flags & DISABLE_TIMING == 0) { return Err(Status::INVALID_VALUE) }
        let shared = if between {
            let bytes = Bytes::new(0)?;
            bytes.set(Field::Kind, Kind::Event as u64);
            bytes.set(Field::Id, d.buffer_id());
            Some(Arc::new(bytes))
        } else { None };
        let id = state.handle(Tag::Event);
        let time = Arc::new(OnceLock::new());
        state.events.insert(id, Event { context, flags, mark: None, time, shared, imported: false });
        event.set(id)
    }

    0 fn cuEventDestroy_v2(d, event: u64) {
        let mut state = d.state()?;
        if state.events.remove(&event).is_none() {
            d.violation(format!("{event:#x} is destroyed and no event, or no longer"));
            return Err(Status::INVALID_HANDLE);
        }
        Ok(())
    }

    0 fn cuEventRecord => cuEventRecord_ptsz(d, event: u64, stream: u64) {
        record(d, event, stream)
    }

    0 fn cuEventRecordWithFlags => cuEventRecordWithFlags_ptsz(d, event: u64, stream: u64, _flags: c_uint) {
        record(d, event, stream)
    }

    0 fn cuEventQuery(d, event: u64) {
        happened(d, event, false)
    }

    0 fn cuEventSynchronize(d, event: u64) {
        happened(d, event, true)
    }

    0 fn cuEventElapsedTime(d, milliseconds: Out<f32>, start: u64, end: u64) {
        elapsed(d, milliseconds, start, end)
    }

    12080 fn cuEventElapsedTime_v2(d, milliseconds: Out<f32>, start: u64, end: u64) {
        elapsed(d, milliseconds, start, end)
    }

    0 fn cuIpcGetEventHandle(d, handle: Out<Handle>, event: u64) {
        let state = d.state()?;
        if !d.config.legacy_ipc { return Err(Status::NOT_SUPPORTED) }
        let event = state.events.get(&event).ok_or(Status::INVALID_HANDLE)?;
        let shared = event.shared.as_ref().filter(|_| !event.imported).ok_or(Status::INVALID_HANDLE)?;
        let descriptor = shared.file().map_or(-1, std::os::fd::AsRawFd::as_raw_fd);
        let words = [SIGN, std::process::id().into(), descriptor as u64, shared.get(Field::Id), 0, 0, 0, 0];
        handle.set(Handle(words))
    }

    0 fn cuIpcOpenEventHandle(d, event: Out<u64>, handle: Handle) {
        let mut state = d.state()?;
        let context = current(&state)?;
        let [sign, process, descriptor, id, ..] = handle.0;
        if sign != SIGN { return Err(Status::INVALID_HANDLE) }
        if process == u64::from(std::process::id()) { return Err(Status::INVALID_CONTEXT) }
        let shared = Bytes::from_file(sys::open_of(process as u32, descriptor as i32)?)?;
        if shared.get(Field::Kind) != Kind::Event as u64 || shared.get(Field::Id) != id {
            return Err(Status::INVALID_HANDLE);
        }
        let opened = state.handle(Tag::Event);
        let (flags, time) = (DISABLE_TIMING | INTERPROCESS, Arc::new(OnceLock::new()));
        let shared = Some(Arc::new(shared));
        state.events.insert(opened, Event { context, flags, mark: None, time, shared, imported: true });
        event.set(opened)
    }
}
