//! Output memory of a dump: a reused scratch buffer, then a `bytes` object
//! that grows in place and becomes the result.

use super::Own;
use crate::error::Raised;
use core::ptr::NonNull;
use ferropickle_core::out::Storage;
use pyo3::ffi;

/// Streams up to this size are written into the scratch buffer and copied into
/// an exact `bytes`; longer ones move into a `bytes` that grows. A program that
/// does little else than dump gains from more (its heap is warm), others lose:
/// what is beyond the cache is copied in vain.
const SCRATCH_BYTES: usize = 512 * 1024;
const FIRST_SCRATCH_BYTES: usize = 16 * 1024;
/// Room asked beyond what is needed, when that is much.
const SLACK_BYTES: usize = 4096;
/// Room that a result may keep: given back, the allocator would hold the whole
/// for smaller than what is asked for next, and take fresh memory each time.
const SPARE_BYTES: usize = 3 * SLACK_BYTES;
/// Allocations from here on ask the kernel for huge pages: page faults are
/// most of the cost of large fresh memory. Above the upper bound the kernel
/// may stall compacting memory.
const HUGE_FROM_BYTES: usize = 4 << 20;
const HUGE_TO_BYTES: usize = 4 << 30;
/// The longest output that is asked for at once because the last was as long.
const EXPECTED_TO_BYTES: usize = 64 << 20;
const PAGE_BYTES: usize = 4096;
/// What an allocation of a bytes object has besides its data, at the most.
const HEADS_BYTES: usize = 64;

enum Room {
    Scratch,
    /// As large as needed, in the scratch buffer: for threads without the GIL.
    Heap,
    Bytes(*mut ffi::PyObject),
}

/// Storage of an encoder. Not `Send`: it holds Python memory.
pub struct BytesStorage {
    scratch: Vec<u8>,
    room: Room,
    /// Length of the last output that was too long for the scratch buffer.
    last: usize,
}

impl Default for BytesStorage {
    fn default() -> Self {
        BytesStorage { scratch: Vec::new(), room: Room::Scratch, last: 0 }
    }
}

impl BytesStorage {
    /// A storage that never makes a Python object.
    pub fn heap() -> BytesStorage {
        BytesStorage { scratch: Vec::new(), room: Room::Heap, last: 0 }
    }

    /// Exchanges the memory of a storage on the heap; gives the `len` bytes
    /// that were written.
    pub fn swap_heap(&mut self, memory: Vec<u8>, len: usize) -> Vec<u8> {
        let mut written = core::mem::replace(&mut self.scratch, memory);
        self.scratch.clear();
        // SAFETY: the encoder has written the first `len` bytes.
        unsafe { written.set_len(len) };
        written
    }

    /// The first `len` bytes as a `bytes` object; the scratch buffer stays.
    #[inline]
    pub fn finish(&mut self, len: usize) -> Result<Own, Raised> {
        match core::mem::replace(&mut self.room, Room::Scratch) {
            // SAFETY: `len` bytes of the scratch buffer were written.
            Room::Scratch | Room::Heap => unsafe {
                let data = self.scratch.as_ptr().cast();
                Own::from_new(ffi::PyBytes_FromStringAndSize(data, len as isize))
            },
            Room::Bytes(mut ptr) => {
                self.last = len;
                // SAFETY: the object is ours alone and has room for `len` bytes
                // and the zero after them; on failure it is freed and the
                // pointer is null with an exception set.
                unsafe {
                    if ffi::Py_SIZE(ptr) as usize - len > SPARE_BYTES {
                        super::private::_PyBytes_Resize(&mut ptr, len as isize);
                    } else {
                        ffi::PyBytes_AS_STRING(ptr).cast_mut().add(len).write(0);
                        (*ptr.cast::<ffi::PyVarObject>()).ob_size = len as isize;
                    }
                    Own::from_new(ptr)
                }
            }
        }
    }

    /// Room for an output as long as the last, if that is enough and there is
    /// memory: programs that dump again and again dump much the same.
    fn expected(&self, needed: usize) -> Option<(Own, usize)> {
        if !(needed..=EXPECTED_TO_BYTES).contains(&self.last) {
            return None;
        }
        new_room(capacity(0, self.last)?)
    }

    /// Gives up what was written; the scratch buffer stays.
    #[inline]
    pub fn discard(&mut self, _len: usize) {
        if let Room::Bytes(ptr) = core::mem::replace(&mut self.room, Room::Scratch) {
            // SAFETY: the object is ours; it may be null after a failed resize.
            unsafe { ffi::Py_XDECREF(ptr) };
        }
    }
}

impl Drop for BytesStorage {
    fn drop(&mut self) {
        self.discard(0);
    }
}

/// Asks for huge pages under a region, from its first page to its last: were
/// some left out, the mapping would be two, which cannot grow in place.
fn advise_huge(start: *mut u8, len: usize) {
    if !(HUGE_FROM_BYTES..=HUGE_TO_BYTES).contains(&len) {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        let from = start as usize & !(PAGE_BYTES - 1);
        let to = (start as usize + len).next_multiple_of(PAGE_BYTES);
        // SAFETY: each of the pages holds bytes of an allocation of ours; the
        // advice changes no content. A refusal is no error.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE) };
    }
}

/// A `bytes` object of `len` bytes, not yet filled, on huge pages if large.
pub fn new_bytes(len: usize) -> Result<Own, Raised> {
    // SAFETY: a null source makes an uninitialised object, which the caller
    // fills before anyone sees it.
    unsafe {
        let bytes = Own::from_new(ffi::PyBytes_FromStringAndSize(core::ptr::null(), len as isize))?;
        advise_huge(ffi::PyBytes_AS_STRING(bytes.ptr()).cast_mut().cast(), len);
        Ok(bytes)
    }
}

/// The same for an output, and its length; `None` if memory is out.
fn new_room(cap: usize) -> Option<(Own, usize)> {
    Some((new_bytes(cap).map_err(Raised::discard).ok()?, cap))
}

/// A `bytes` object of `len` bytes that `fill` fills.
pub fn fill_bytes(len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Own, Raised> {
    let bytes = new_bytes(len)?;
    // SAFETY: `len` bytes of a new object that nobody else has seen.
    unsafe {
        let data: *mut u8 = ffi::PyBytes_AS_STRING(bytes.ptr()).cast_mut().cast();
        fill(core::slice::from_raw_parts_mut(data, len));
    }
    Ok(bytes)
}

/// A `bytearray` of `len` bytes, not yet filled, on huge pages if large.
pub fn new_bytearray(len: usize) -> Result<Own, Raised> {
    // SAFETY: as above.
    unsafe {
        let array = ffi::PyByteArray_FromStringAndSize(core::ptr::null(), len as isize);
        let array = Own::from_new(array)?;
        advise_huge(ffi::PyByteArray_AsString(array.ptr()).cast(), len);
        Ok(array)
    }
}

/// The same bytes object with another length; what is new is not yet filled.
pub fn resize_bytes(bytes: Own, len: usize) -> Result<Own, Raised> {
    let mut ptr = bytes.into_ptr();
    // SAFETY: the object is ours alone; on failure it is freed, the pointer
    // null and an exception set.
    unsafe {
        super::private::_PyBytes_Resize(&mut ptr, len as isize);
        Own::from_new(ptr)
    }
}

// SAFETY: the scratch vector and the bytes object are both valid for their
// capacity, stay where they are between calls, and `grow` copies or reallocates
// the first `len` bytes.
unsafe impl Storage for BytesStorage {
    #[inline]
    fn kept(&mut self) -> Option<(NonNull<u8>, usize)> {
        match self.room {
            Room::Scratch | Room::Heap => {
                let ptr = NonNull::new(self.scratch.as_mut_ptr())?;
                Some((ptr, self.scratch.capacity()))
            }
            Room::Bytes(_) => None,
        }
    }

    fn grow(&mut self, len: usize, needed: usize) -> Option<(NonNull<u8>, usize)> {
        match self.room {
            Room::Heap => {
                // SAFETY: `len` bytes were written.
                unsafe { self.scratch.set_len(len) };
                let target = capacity(len, needed)?.max(FIRST_SCRATCH_BYTES);
                self.scratch.try_reserve_exact(target - len).ok()?;
                let ptr = NonNull::new(self.scratch.as_mut_ptr())?;
                Some((ptr, self.scratch.capacity()))
            }
            Room::Scratch if needed <= SCRATCH_BYTES => {
                // SAFETY: `len` bytes were written (0 when the scratch is new).
                unsafe { self.scratch.set_len(len) };
                let target = needed.max(len * 4).clamp(FIRST_SCRATCH_BYTES, SCRATCH_BYTES);
                self.scratch.try_reserve_exact(target.saturating_sub(len)).ok()?;
                let ptr = NonNull::new(self.scratch.as_mut_ptr())?;
                Some((ptr, self.scratch.capacity()))
            }
            Room::Scratch => {
                let expected = self.expected(needed);
                let (bytes, cap) = expected.or_else(|| new_room(capacity(len, needed)?))?;
                // SAFETY: the new object has room for `len` bytes and more.
                unsafe {
                    let data: *mut u8 = ffi::PyBytes_AS_STRING(bytes.ptr()).cast_mut().cast();
                    core::ptr::copy_nonoverlapping(self.scratch.as_ptr(), data, len);
                    self.room = Room::Bytes(bytes.into_ptr());
                    Some((NonNull::new(data)?, cap))
                }
            }
            Room::Bytes(mut ptr) => {
                let cap = capacity(len, needed)?;
                // SAFETY: the object is ours alone; on failure it is freed, the
                // pointer is null and an exception is set, which we clear: the
                // encoder reports the failure by itself.
                unsafe {
                    let failed = super::private::_PyBytes_Resize(&mut ptr, cap as isize) < 0;
                    self.room = Room::Bytes(ptr);
                    if failed {
                        ffi::PyErr_Clear();
                        return None;
                    }
                    let data: *mut u8 = ffi::PyBytes_AS_STRING(ptr).cast_mut().cast();
                    advise_huge(data, cap);
                    Some((NonNull::new(data)?, cap))
                }
            }
        }
    }
}

/// Twice what is written, or what is needed if that is more.
fn capacity(len: usize, needed: usize) -> Option<usize> {
    let exact = needed.checked_add(SLACK_BYTES)?;
    let mut cap = exact.max(len.saturating_mul(2));
    if cap >= HUGE_FROM_BYTES {
        // With the heads of the object and of the allocation whole pages.
        cap = cap.checked_add(HEADS_BYTES)?.checked_next_multiple_of(PAGE_BYTES)? - HEADS_BYTES;
    }
    (cap <= isize::MAX as usize / 2).then_some(cap)
}
