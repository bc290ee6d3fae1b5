//! How work is queued, held, ordered and done.
//!
//! Each stream has a thread that takes its work in order. A piece of work starts when everything it waits for is done
//! and either somebody waits for it or it has been held long enough. So work that nobody waits for comes late,
//! each time, and a program that forgot to wait sees it. Waiting spreads: what a wanted piece of work waits for is wanted
//! too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::bytes::{Bytes, Field};
use crate::driver::{Driver, Locked, State};
use crate::status::{Outcome, Status};

/// What a piece of work waits for.
#[derive(Clone)]
pub enum Wait {
    /// All work of this stream up to this number.
    Stream(u64, u64),
    /// So many records of an event that is shared between processes.
    Shared(Arc<Bytes>, u64),
}

type Work = Box<dyn FnOnce(&'static Driver) -> Outcome + Send>;

/// A piece of work in a queue.
pub struct Task {
    number: u64,
    waits: Vec<Wait>,
    due: Instant,
    work: Work,
}

/// The queue of a stream.
#[derive(Default)]
pub struct Queue {
    tasks: VecDeque<Task>,
    /// The number of the last piece of work that was queued.
    pub queued: u64,
    /// All work up to this number is done.
    pub done: u64,
    /// All work up to this number is waited for.
    wanted: u64,
    /// The stream is destroyed: its thread ends when the queue is empty.
    pub closed: bool,
}

/// How often events of other processes are looked at.
const POLL: Duration = Duration::from_micros(100);

impl State {
    fn is_done(&self, wait: &Wait) -> bool {
        match wait {
            Wait::Stream(stream, number) => {
                self.streams.get(stream).is_none_or(|s| s.queue.done >= *number)
            }
            Wait::Shared(event, records) => event.get(Field::Completed) >= *records,
        }
    }

    /// Marks work as waited for, and all that it waits for.
    pub fn want(&mut self, stream: u64, number: u64) {
        let mut open = vec![(stream, number)];
        while let Some((stream, number)) = open.pop() {
            let Some(stream) = self.streams.get_mut(&stream) else { continue };
            let queue = &mut stream.queue;
            if queue.wanted >= number {
                continue;
            }
            let before = std::mem::replace(&mut queue.wanted, number);
            let newly = queue.tasks.iter().filter(|t| t.number > before && t.number <= number);
            open.extend(newly.flat_map(|task| &task.waits).filter_map(|wait| match wait {
                Wait::Stream(stream, number) => Some((*stream, *number)),
                Wait::Shared(..) => None,
            }));
        }
    }

    /// A number from 0 to 1, by the seed.
    fn jitter(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    /// What new work of a stream has to wait for besides the work before it: the rules of the default stream.
    /// CUDA Driver API, "Stream synchronization behavior": the legacy stream waits for all blocking streams of its
    /// context, and they wait for it; non-blocking streams take no part.
    fn default_stream_waits(&self, stream: u64) -> Vec<Wait> {
        let Some(own) = self.streams.get(&stream) else { return Vec::new() };
        let blocking = self.streams.iter().filter(|(id, other)| {
            **id != stream && other.context == own.context && !other.is_non_blocking()
        });
        let relevant = blocking.filter(|(_, other)| own.legacy || other.legacy);
        let last = relevant.map(|(id, other)| Wait::Stream(*id, other.queue.queued));
        if own.is_non_blocking() { Vec::new() } else { last.collect() }
    }
}

impl Driver {
    /// Queues work and gives its number. In a stream that is being captured it is only noted, and the number is 0.
    pub fn queue(
        &'static self,
        state: &mut State,
        stream: u64,
        mut waits: Vec<Wait>,
        work: impl FnOnce(&'static Driver) -> Outcome + Send + 'static,
    ) -> Outcome<u64> {
        let own = state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?;
        let context = own.context;
        if let Some(lost) = state.contexts.get(&context).and_then(|c| c.lost) {
            return Err(lost);
        }
        if state.note_captured(stream)? {
            return Ok(0);
        }
        waits.extend(state.default_stream_waits(stream));
        waits.retain(|wait| !state.is_done(wait));
        let hold = self.hold_us.load(Ordering::SeqCst) as f64 * (0.5 + state.jitter());
        let queue = &mut state.streams.get_mut(&stream).ok_or(Status::INVALID_HANDLE)?.queue;
        queue.queued += 1;
        let due = Instant::now() + Duration::from_micros(hold as u64);
        queue.tasks.push_back(Task { number: queue.queued, waits, due, work: Box::new(work) });
        let number = queue.queued;
        self.wake.notify_all();
        Ok(number)
    }

    /// Waits until a stream has done its work up to a number. The status is that of the context if it was lost.
    pub fn wait_for<'a>(
        &'static self,
        mut state: Locked<'a>,
        stream: u64,
        number: u64,
    ) -> Outcome<Locked<'a>> {
        let context = state.streams.get(&stream).map(|s| s.context);
        state.want(stream, number);
        self.wake.notify_all();
        while !state.is_done(&Wait::Stream(stream, number)) {
            state = state.wait(self, Duration::from_secs(1));
        }
        match context.and_then(|c| state.contexts.get(&c)).and_then(|c| c.lost) {
            Some(lost) => Err(lost),
            None => Ok(state),
        }
    }

    /// Waits for all streams of a context.
    pub fn wait_for_all<'a>(
        &'static self,
        mut state: Locked<'a>,
        context: u64,
    ) -> Outcome<Locked<'a>> {
        let streams = state.streams.iter().filter(|(_, s)| s.context == context);
        let all: Vec<_> = streams.map(|(id, s)| (*id, s.queue.queued)).collect();
        for (stream, number) in &all {
            state.want(*stream, *number);
        }
        for (stream, number) in all {
            state = self.wait_for(state, stream, number)?;
        }
        match state.contexts.get(&context).and_then(|c| c.lost) {
            Some(lost) => Err(lost),
            None => Ok(state),
        }
    }

    /// Starts the thread that does the work of a stream.
    pub fn start_worker(&'static self, stream: u64) -> Outcome {
        let builder = std::thread::Builder::new().name(format!("stream {stream:x}"));
        let started = builder.spawn(move || {
            // A broken simulator shows as a violation; the stream goes on with an unknown error.
            self.work(stream)
        });
        started.map(drop).map_err(|_| Status::OPERATING_SYSTEM)
    }

    fn work(&'static self, stream: u64) {
        let Ok(mut state) = self.state() else { return };
        loop {
            let Some(own) = state.streams.get(&stream) else { return };
            let queue = &own.queue;
            let Some(first) = queue.tasks.front() else {
                if queue.closed {
                    state.streams.remove(&stream);
                    self.wake.notify_all();
                    return;
                }
                state = state.wait(self, Duration::from_secs(1));
                continue;
            };
            let blocked: Vec<&Wait> = first.waits.iter().filter(|w| !state.is_done(w)).collect();
            let now = Instant::now();
            if !blocked.is_empty() || (queue.wanted < first.number && first.due > now) {
                let polled = blocked.iter().any(|wait| matches!(wait, Wait::Shared(..)));
                let patience = match (polled, blocked.is_empty()) {
                    (true, _) => POLL,
                    (_, true) => first.due - now,
                    _ => Duration::from_secs(1),
                };
                state = state.wait(self, patience);
                continue;
            }
            let context = own.context;
            let lost = state.contexts.get(&context).is_none_or(|c| c.lost.is_some());
            let Some(task) = state.streams.get_mut(&stream).and_then(|s| s.queue.tasks.pop_front())
            else {
                continue;
            };
            drop(state);
            let outcome = if lost { Ok(()) } else { self.perform(task.work) };
            let Ok(next) = self.state() else { return };
            state = next;
            if let Some(own) = state.streams.get_mut(&stream) {
                own.queue.done = task.number;
            }
            if let (Err(status), Some(context)) = (outcome, state.contexts.get_mut(&context)) {
                context.lost.get_or_insert(status);
            }
            self.wake.notify_all();
        }
    }

    fn perform(&'static self, work: Work) -> Outcome {
        let run = std::panic::AssertUnwindSafe(|| work(self));
        std::panic::catch_unwind(run).unwrap_or_else(|_| {
            self.violation("the simulator broke while it did queued work".into());
            Err(Status::LAUNCH_FAILED)
        })
    }
}
