//! Copies between a device and locked memory, in the order of a stream of ours.

use super::device::Current;
use super::event::Event;
use super::pinned::Pinned;
use super::stream::Stream;
use crate::api::GpuError;

/// The end of queued work on a buffer.
pub(super) struct Fence(Event);

impl Fence {
    /// After what the stream has been told to do so far.
    pub fn new(current: &Current<'_>, stream: &Stream) -> Result<Self, GpuError> {
        let event = Event::take(current)?;
        // SAFETY: the stream is alive and of the current device.
        unsafe { event.record(current, stream.handle()) }?;
        Ok(Self(event))
    }

    pub fn is_done(&self, current: &Current<'_>) -> Result<bool, GpuError> {
        self.0.has_happened(current)
    }

    pub fn wait(&self, current: &Current<'_>) -> Result<(), GpuError> {
        self.0.wait(current)
    }
}

impl Stream {
    /// Copies `size` bytes from the device into a buffer, whose bytes can be read once that is done:
    /// [`Pinned::bytes`] waits.
    ///
    /// # Errors
    ///
    /// [`GpuError::TooSmall`] if the buffer has fewer bytes; [`GpuError::Forked`]; a call that fails.
    ///
    /// # Safety
    ///
    /// `from` is the address of so many bytes of device memory, which stay there until the copy is done.
    pub unsafe fn copy_to_host(
        &self,
        from: u64,
        into: &mut Pinned,
        size: usize,
    ) -> Result<(), GpuError> {
        let current = self.device().enter()?;
        let (to, fence) = into.span(size).ok_or(GpuError::TooSmall)?;
        self.follow(&current, fence)?;
        // SAFETY: the buffer holds `size` bytes and is kept by the fence until the copy is done; the caller
        // vouches for the device's.
        unsafe { current.calls.copy_to_host(to, from, size, self.handle()) }?;
        self.keep(&current, fence)
    }

    /// Copies `size` bytes of a buffer to the device. The buffer may be dropped at once.
    ///
    /// # Errors
    ///
    /// As [`Stream::copy_to_host`].
    ///
    /// # Safety
    ///
    /// `to` is the address of so many bytes of device memory, which stay there until the copy is done.
    pub unsafe fn copy_to_device(
        &self,
        to: u64,
        from: &mut Pinned,
        size: usize,
    ) -> Result<(), GpuError> {
        let current = self.device().enter()?;
        let (from, fence) = from.span(size).ok_or(GpuError::TooSmall)?;
        self.follow(&current, fence)?;
        // SAFETY: as in `copy_to_host`.
        unsafe { current.calls.copy_to_device(to, from, size, self.handle()) }?;
        self.keep(&current, fence)
    }

    /// Orders this stream after the last work on a buffer, which may be another stream's.
    fn follow(&self, current: &Current<'_>, fence: &Option<Fence>) -> Result<(), GpuError> {
        match fence {
            // SAFETY: the stream is alive.
            Some(fence) => unsafe { fence.0.hold_back(current, self.handle()) },
            None => Ok(()),
        }
    }

    /// Leaves a fence behind a copy; without one, the copy is waited for.
    pub(super) fn keep(
        &self,
        current: &Current<'_>,
        fence: &mut Option<Fence>,
    ) -> Result<(), GpuError> {
        match Fence::new(current, self) {
            Ok(made) => {
                *fence = Some(made);
                Ok(())
            }
            Err(_) => self.wait(),
        }
    }
}
