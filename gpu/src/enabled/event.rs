//! Events, kept for the next use: making one costs more than most of what is ordered by it.

use std::sync::{Arc, Mutex, PoisonError};

use super::calls::{Handle, started};
use super::device::{Current, Relaxed};
use crate::api::GpuError;

/// `CU_EVENT_DISABLE_TIMING`: events with timing are slower, and nobody asks for the time.
const NO_TIMING: u32 = 2;

/// So many events are kept; more are ended when they come back.
const KEPT: usize = 256;

/// The events of a device that are not in use.
#[derive(Clone, Default)]
pub(super) struct EventPool(Arc<Mutex<Vec<Handle>>>);

impl EventPool {
    fn free<R>(&self, act: impl FnOnce(&mut Vec<Handle>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An event from the pool. Dropped, it goes back there: work that was told to wait for it goes on waiting, as a wait is for
/// the record that was last when it was asked for.
pub(super) struct Event {
    handle: Handle,
    pool: EventPool,
}

impl Event {
    /// An event that will be recorded.
    pub fn take(current: &Current<'_>) -> Result<Self, GpuError> {
        let pool = current.device.events.clone();
        if let Some(handle) = pool.free(Vec::pop) {
            return Ok(Self { handle, pool });
        }
        let mut handle = 0;
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: `handle` is live; the context of the device is current.
        unsafe { current.calls.event_create(&mut handle, NO_TIMING) }?;
        Ok(Self { handle, pool })
    }

    /// Puts the event into a stream, after the work that is there.
    ///
    /// # Safety
    ///
    /// The stream is alive and of the current device.
    pub unsafe fn record(&self, current: &Current<'_>, stream: Handle) -> Result<(), GpuError> {
        // SAFETY: the event is alive while `self` is; the caller vouches for the stream.
        unsafe { current.calls.event_record(self.handle, stream) }
    }

    /// Makes later work of a stream wait for the event.
    ///
    /// # Safety
    ///
    /// The stream is alive.
    pub unsafe fn hold_back(&self, current: &Current<'_>, stream: Handle) -> Result<(), GpuError> {
        // SAFETY: the event is alive while `self` is; the caller vouches for the stream.
        unsafe { current.calls.stream_wait(stream, self.handle, 0) }
    }

    /// Whether the event has happened.
    pub fn has_happened(&self, current: &Current<'_>) -> Result<bool, GpuError> {
        // SAFETY: the event is alive while `self` is.
        unsafe { has_happened(current, self.handle) }
    }

    /// Waits until the event has happened.
    pub fn wait(&self, current: &Current<'_>) -> Result<(), GpuError> {
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: the event is alive while `self` is.
        unsafe { current.calls.event_synchronize(self.handle) }
    }
}

/// The driver's status for "not yet".
const NOT_READY: i32 = 600;

/// Whether an event has happened.
///
/// # Safety
///
/// The event is alive.
pub(super) unsafe fn has_happened(current: &Current<'_>, event: Handle) -> Result<bool, GpuError> {
    let _relaxed = Relaxed::new(current.calls)?;
    // SAFETY: the contract.
    match unsafe { current.calls.event_query(event) } {
        Ok(()) => Ok(true),
        Err(GpuError::Failed { code: NOT_READY, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // In a forked child the lock may be held for ever, and the event is the parent's.
        let Some(calls) = started() else { return };
        let kept = self.pool.free(|free| {
            let room = free.len() < KEPT;
            if room {
                free.push(self.handle);
            }
            room
        });
        if !kept {
            // SAFETY: the event is ours and nobody else has its handle.
            let _ = unsafe { calls.event_destroy(self.handle) };
        }
    }
}
