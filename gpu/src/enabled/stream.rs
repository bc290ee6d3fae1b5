//! Our own streams, and the order between them and the streams of those whose memory we read or write.

use std::sync::Arc;

use super::calls::{Handle, started};
use super::device::{Current, Device, Relaxed};
use super::event::Event;
use crate::api::{GpuError, StreamRef};

/// `CU_STREAM_NON_BLOCKING`: our copies wait for what they are told to, and for nothing else.
const NON_BLOCKING: u32 = 1;

/// A stream of ours.
pub struct Stream {
    device: Arc<Device>,
    handle: Handle,
}

/// The handle by which the driver knows a stream.
pub(super) fn handle_of(stream: StreamRef) -> Handle {
    match stream {
        StreamRef::Default => 1,
        StreamRef::PerThread => 2,
        StreamRef::Handle(handle) => handle.get(),
    }
}

/// Refuses a stream that is being captured into a graph. Nothing but the question is asked of it.
pub(super) fn refuse_captured(current: &Current<'_>, stream: Handle) -> Result<(), GpuError> {
    let mut status = 0;
    // SAFETY: `status` is live; `StreamRef` says that the stream outlives its use.
    match unsafe { current.calls.stream_capturing(stream, &mut status) } {
        Ok(()) if status == 0 => Ok(()),
        // The default stream can't even be asked while a stream that it orders is captured.
        Ok(()) | Err(GpuError::Failed { code: CAPTURE_IMPLICIT, .. }) => Err(GpuError::Capturing),
        Err(error) => Err(error),
    }
}

/// The driver's status for work in the default stream next to a captured one.
const CAPTURE_IMPLICIT: i32 = 906;

impl Stream {
    /// A new stream.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; a call that fails.
    pub fn new(device: &Arc<Device>) -> Result<Self, GpuError> {
        let current = device.enter()?;
        let mut handle = 0;
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: `handle` is live; the context of the device is current.
        unsafe { current.calls.stream_create(&mut handle, NON_BLOCKING) }?;
        Ok(Self { device: device.clone(), handle })
    }

    /// The device of the stream.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    /// Waits until all work of the stream is done.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; the status of work that failed.
    pub fn wait(&self) -> Result<(), GpuError> {
        let current = self.device.enter()?;
        // SAFETY: the stream is ours and alive.
        unsafe { current.calls.stream_synchronize(self.handle) }
    }

    /// Orders this stream after the work of a producer's: the first of the two edges. Work that is queued here from
    /// now on sees what the producer has written. [`Turn::give_back`] makes the second edge.
    ///
    /// With `None` there is nothing to wait for, and nobody to hold back.
    ///
    /// # Errors
    ///
    /// [`GpuError::Capturing`] if the producer's stream is being captured, before anything is asked of it;
    /// [`GpuError::Forked`]; a call that fails.
    pub fn after(&self, producer: Option<StreamRef>) -> Result<Turn<'_>, GpuError> {
        let current = self.device.enter()?;
        let producer = producer.map(handle_of);
        if let Some(producer) = producer {
            refuse_captured(&current, producer)?;
            let event = Event::take(&current)?;
            // SAFETY: `StreamRef` says that the producer's stream outlives its use; ours is alive.
            unsafe {
                event.record(&current, producer)?;
                event.hold_back(&current, self.handle)?;
            }
        }
        Ok(Turn { stream: self, producer, open: true })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The driver does the work that is still there. In a forked child the stream is the parent's.
        if let (Some(calls), Ok(_current)) = (started(), self.device.enter()) {
            // SAFETY: the stream is ours, and this is its end.
            let _ = unsafe { calls.stream_destroy(self.handle) };
        }
    }
}

/// The time between the two edges, in which our stream uses a producer's memory.
#[must_use = "the producer's stream is held back only by `give_back`"]
pub struct Turn<'s> {
    stream: &'s Stream,
    producer: Option<Handle>,
    open: bool,
}

impl Turn<'_> {
    /// The second edge: the producer's later work waits for what our stream has been told to do so far. Where there is
    /// no stream to hold back, this call waits until it is done.
    ///
    /// # Errors
    ///
    /// [`GpuError::Capturing`] if a capture of the producer's stream has begun in the meantime; our work is done then,
    /// as this call has waited for it. [`GpuError::Forked`]; a call that fails.
    pub fn give_back(mut self) -> Result<(), GpuError> {
        self.open = false;
        self.close()
    }

    /// Ends the turn where what our stream was told to do is done: there is nothing to hold anybody back for.
    pub(super) fn done(mut self) {
        self.open = false;
    }

    fn close(&self) -> Result<(), GpuError> {
        let Some(producer) = self.producer else { return self.stream.wait() };
        let current = self.stream.device.enter()?;
        if let Err(error) = refuse_captured(&current, producer) {
            self.stream.wait()?;
            return Err(error);
        }
        let event = Event::take(&current)?;
        // SAFETY: our stream is alive; `StreamRef` says that the producer's outlives its use.
        unsafe {
            event.record(&current, self.stream.handle)?;
            event.hold_back(&current, producer)
        }
    }
}

impl Drop for Turn<'_> {
    /// An error on the way must not leave the producer's memory in use behind its back.
    fn drop(&mut self) {
        if self.open {
            let _ = self.close();
        }
    }
}
