//! Host memory that is locked in place, from a pool with a bound.
//!
//! To lock memory takes longer than to copy it, so none is locked while a message waits: [`PinnedPool::take`] gives
//! what is there or nothing, and [`PinnedPool::grow`], called when nobody waits, makes what was missed.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferropickle_core::buffer::{Buffer, Owner};

use super::calls::started;
use super::copy::Fence;
use super::device::{Current, Device, Relaxed};
use crate::api::GpuError;

/// The smallest class; smaller messages gain nothing from locked memory of their own.
const SMALLEST: usize = 64 << 10;

/// The largest class: copies of more go in pieces.
const LARGEST: usize = 64 << 20;

/// `CU_MEMHOSTALLOC_PORTABLE`: locked for every context. Not write-combined: we read it.
const PORTABLE: u32 = 1;

/// Buffers of locked memory, in classes of powers of two.
///
/// A clone is the same pool. It gives its memory back when the last clone and the last buffer are gone.
#[derive(Clone)]
pub struct PinnedPool {
    inner: Arc<Inner>,
}

struct Inner {
    device: Arc<Device>,
    limit: usize,
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    /// Buffers that are not in use, by size. The work on some may still be under way: their fences tell.
    free: BTreeMap<usize, Vec<Memory>>,
    /// Bytes that are locked, in use or not.
    locked: usize,
    /// How many more buffers of a size would have been used.
    missed: BTreeMap<usize, usize>,
}

/// Locked memory, with the last work on it.
struct Memory {
    at: NonNull<c_void>,
    size: usize,
    fence: Option<Fence>,
}

// SAFETY: it is plain memory of the process; the driver's functions on it may be called on any thread.
unsafe impl Send for Memory {}
// SAFETY: a shared reference to it gives no access to the memory.
unsafe impl Sync for Memory {}

/// A buffer from the pool. Dropped, it goes back; the next user gets it when the work on it is done.
pub struct Pinned {
    memory: Option<Memory>,
    length: usize,
    pool: Arc<Inner>,
}

/// The class of a size: the next power of two; none if it is too large.
fn class(size: usize) -> Option<usize> {
    size.max(SMALLEST).checked_next_power_of_two().filter(|&class| class <= LARGEST)
}

impl Inner {
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_memory(&self, current: &Current<'_>, size: usize) -> Result<Memory, GpuError> {
        let mut at = std::ptr::null_mut();
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: `at` is live; the context of the device is current.
        unsafe { current.calls.host_alloc(&mut at, size, PORTABLE) }?;
        let failed = GpuError::Failed { call: "cuMemHostAlloc", code: 0 };
        Ok(Memory { at: NonNull::new(at).ok_or(failed)?, size, fence: None })
    }
}

impl PinnedPool {
    /// A pool that locks at most `limit` bytes. It begins empty.
    pub fn new(device: &Arc<Device>, limit: usize) -> Self {
        let shelves = Mutex::default();
        Self { inner: Arc::new(Inner { device: device.clone(), limit, shelves }) }
    }

    /// Locks buffers of this size ahead of their use, as far as the bound allows; how many it were.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; a call that fails.
    pub fn warm(&self, size: usize, count: usize) -> Result<usize, GpuError> {
        let current = self.inner.device.enter()?;
        let Some(class) = class(size) else { return Ok(0) };
        for made in 0..count {
            {
                let mut shelves = self.inner.shelves();
                if shelves.locked + class > self.inner.limit {
                    return Ok(made);
                }
                shelves.locked += class;
            }
            // Not under the lock: it takes long.
            match self.inner.lock_memory(&current, class) {
                Ok(memory) => self.inner.shelves().free.entry(class).or_default().push(memory),
                Err(error) => {
                    self.inner.shelves().locked -= class;
                    return Err(error);
                }
            }
        }
        Ok(count)
    }

    /// A buffer of at least `size` bytes if one is there whose last work is done, else `None`: the caller goes another
    /// way. Nothing is locked here.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; the status of work that failed.
    pub fn take(&self, size: usize) -> Result<Option<Pinned>, GpuError> {
        let current = self.inner.device.enter()?;
        let Some(class) = class(size) else { return Ok(None) };
        let mut shelves = self.inner.shelves();
        // The next larger class will do; beyond that too much would lie idle.
        for (_, shelf) in shelves.free.range_mut(class..=2 * class) {
            for i in 0..shelf.len() {
                let done =
                    shelf[i].fence.as_ref().map_or(Ok(true), |fence| fence.is_done(&current));
                if done? {
                    let mut memory = shelf.swap_remove(i);
                    memory.fence = None;
                    let pool = self.inner.clone();
                    return Ok(Some(Pinned { memory: Some(memory), length: size, pool }));
                }
            }
        }
        *shelves.missed.entry(class).or_default() += 1;
        Ok(None)
    }

    /// Locks what was missed since the last call, within the bound. For a time when nobody waits.
    ///
    /// # Errors
    ///
    /// As [`PinnedPool::warm`].
    pub fn grow(&self) -> Result<usize, GpuError> {
        // A forked child is refused before the lock.
        drop(self.inner.device.enter()?);
        let missed = std::mem::take(&mut self.inner.shelves().missed);
        missed.into_iter().try_fold(0, |sum, (class, count)| Ok(sum + self.warm(class, count)?))
    }

    /// Bytes that are locked now.
    pub fn locked(&self) -> usize {
        self.inner.shelves().locked
    }
}

impl Pinned {
    /// How many bytes were asked for.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none were asked for.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes, once the work on them is done.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; the status of work that failed.
    pub fn bytes(&mut self) -> Result<&mut [u8], GpuError> {
        let length = self.length;
        let current = self.pool.device.enter()?;
        let Some(memory) = self.memory.as_mut() else { return Ok(&mut []) };
        // A fence that could not be waited for stays: the work may still be under way.
        if let Some(fence) = &memory.fence {
            fence.wait(&current)?;
        }
        memory.fence = None;
        // SAFETY: the memory is at least so long, initialized by the system, ours alone, and no copy is under
        // way: the only ones are queued through `span`, which leaves a fence.
        Ok(unsafe { std::slice::from_raw_parts_mut(memory.at.as_ptr().cast(), length) })
    }

    /// The address for a copy of `size` bytes that a stream will do, until which the fence it gives has to be kept.
    pub(super) fn span(&mut self, size: usize) -> Option<(*mut c_void, &mut Option<Fence>)> {
        let fits = size <= self.length;
        self.memory.as_mut().filter(|_| fits).map(|memory| (memory.at.as_ptr(), &mut memory.fence))
    }

    /// The bytes, once the work on them is done, as buffers between these bounds. The memory goes back to its pool when the last
    /// of them is gone.
    ///
    /// # Errors
    ///
    /// As [`Pinned::bytes`].
    ///
    /// # Panics
    ///
    /// If bounds do not lie within.
    pub fn into_buffers(
        mut self,
        bounds: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Vec<Buffer>, GpuError> {
        let bytes = self.bytes()?;
        let (at, len) = (NonNull::from(&mut *bytes).cast(), bytes.len());
        // SAFETY: the memory stays where it is until its owner is dropped, and nobody but the owner has it.
        let whole = unsafe { Buffer::from_raw(at, len, Arc::new(self)) };
        let part = |(from, len)| whole.part(from, len).expect("within");
        Ok(bounds.into_iter().map(part).collect())
    }
}

impl Owner for Pinned {}

impl Drop for Pinned {
    fn drop(&mut self) {
        // In a forked child the lock may be held for ever, and the memory is the parent's.
        if let (Some(memory), Some(_)) = (self.memory.take(), started()) {
            self.pool.shelves().free.entry(memory.size).or_default().push(memory);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // At the end of a process, and in a forked child, there is nothing to give back.
        let Ok(current) = self.device.enter() else { return };
        let shelves = self.shelves.get_mut().unwrap_or_else(PoisonError::into_inner);
        for memory in std::mem::take(&mut shelves.free).into_values().flatten() {
            // SAFETY: nobody has the memory; the driver waits for the work on it.
            let _ = unsafe { current.calls.host_free(memory.at.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_classes() {
        assert_eq!(class(0), Some(SMALLEST));
        assert_eq!(class(SMALLEST + 1), Some(2 * SMALLEST));
        assert_eq!(class(LARGEST), Some(LARGEST));
        assert_eq!(class(LARGEST + 1), None);
        assert_eq!(class(usize::MAX), None);
    }
}
