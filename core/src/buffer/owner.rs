//! Who keeps a buffer's bytes alive, and who frees them.
//!
//! # Safety
//!
//! A [`Buffer`] is a pointer and a length that its [`Owner`] vouches for: the
//! region is valid for reads as long as the owner lives, and nobody writes to
//! it while a `&[u8]` of it is out. Memory that programs share with us (an
//! array that another thread may write to) bends the second half: bytes read
//! meanwhile are whichever were there, as for any `write` of such memory, and
//! nothing that is read from them is trusted. The owner is shared by `Arc`: the last
//! buffer dropped frees the memory, on whatever thread that is.

use super::Block;
use core::ptr::NonNull;
use std::sync::Arc;

/// Keeps memory alive. Dropping it frees the memory; the drop may happen on
/// any thread, must not panic, and must not take a lock that is held while
/// buffers are dropped.
pub trait Owner: Send + Sync {}

impl Owner for Vec<u8> {}
impl Owner for Box<[u8]> {}

/// Bytes with an owner. Cloning shares them.
#[derive(Clone)]
pub struct Buffer {
    ptr: NonNull<u8>,
    len: usize,
    owner: Arc<dyn Owner>,
}

// SAFETY: the region is only read through shared references, and its owner is
// Send + Sync by the trait's bound.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A buffer over memory that `owner` keeps alive.
    ///
    /// # Safety
    /// `ptr` must be valid for reads of `len` bytes as long as `owner` lives,
    /// and nothing may write there while a slice of the buffer is borrowed.
    pub unsafe fn from_raw(ptr: NonNull<u8>, len: usize, owner: Arc<dyn Owner>) -> Buffer {
        Buffer { ptr, len, owner }
    }

    /// A buffer that owns a vector.
    pub fn from_vec(bytes: Vec<u8>) -> Buffer {
        let owner = Arc::new(bytes);
        let (ptr, len) = (NonNull::from(owner.as_slice()).cast(), owner.len());
        // SAFETY: the vector is never touched again, so its heap block stays
        // where it is until the Arc drops it.
        unsafe { Buffer::from_raw(ptr, len, owner) }
    }

    /// A buffer that owns a block.
    pub fn from_block(mut block: Block) -> Buffer {
        let len = block.as_slice().len();
        let ptr = NonNull::from(block.as_mut_slice()).cast();
        // SAFETY: as in `from_vec`: the heap block does not move with its owner,
        // and nobody else can reach it.
        unsafe { Buffer::from_raw(ptr, len, Arc::new(block)) }
    }

    /// A part of the buffer, with the same owner; `None` if it does not lie within.
    pub fn part(&self, from: usize, len: usize) -> Option<Buffer> {
        let end = from.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: `from` lies within the region or at its end.
        let ptr = unsafe { self.ptr.add(from) };
        Some(Buffer { ptr, len, owner: self.owner.clone() })
    }

    /// Where the bytes are. Whether they may be written to is said by their
    /// [`BufferDesc`](super::BufferDesc).
    pub fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the contract of `from_raw`.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many buffers share the owner.
    pub fn shared_by(&self) -> usize {
        Arc::strong_count(&self.owner)
    }
}

impl core::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_last_buffer_frees_the_memory() {
        static FREED: AtomicBool = AtomicBool::new(false);
        struct Tracked(Box<[u8]>);
        impl Owner for Tracked {}
        impl Drop for Tracked {
            fn drop(&mut self) {
                FREED.store(true, Ordering::SeqCst);
            }
        }
        let owner = Arc::new(Tracked(vec![1, 2, 3].into_boxed_slice()));
        let ptr = NonNull::from(&owner.0[0]);
        // SAFETY: the boxed slice lives as long as its Arc.
        let first = unsafe { Buffer::from_raw(ptr, 3, owner) };
        let second = first.clone();
        drop(first);
        assert!(!FREED.load(Ordering::SeqCst));
        assert_eq!(second.as_slice(), [1, 2, 3]);
        assert_eq!(second.shared_by(), 1);
        let part = second.part(1, 2).expect("within");
        assert_eq!((part.as_slice(), second.shared_by()), (&[2, 3][..], 2));
        assert!(second.part(2, 2).is_none() && second.part(1, usize::MAX).is_none());
        drop(part);
        std::thread::spawn(move || drop(second)).join().expect("no panic");
        assert!(FREED.load(Ordering::SeqCst));
    }
}
