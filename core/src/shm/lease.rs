//! The memory of a slot, in the hands of who writes it and of who reads it.
//!
//! # Safety
//!
//! * The memory of a slot is written by its writer alone ([`Reservation`]) until it is published, and then belongs
//!   to those who took it ([`Lease`]): the table of slots hands each range to one holder at a time, and a range is
//!   free only when its last holder has let go.
//! * A kept slot has several holders; none of them may write to it, and [`Lease::sole`] tells.
//! * A lease keeps the mapping: addresses stay valid as long as any buffer over them.
//! * In a forked child the leases of the parent hold the slots once more ([`super::fork`]).

use core::ptr::NonNull;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::arena::Inner;
use super::error::ShmError;
use super::layout::DATA_START;
use super::people::Person;
use super::slots::SlotRef;
use crate::buffer::{Buffer, Owner};
use crate::sys::{memory::Mapping, process};

/// Memory that is being written. Dropped without [`Self::publish`], it is free again.
pub struct Reservation {
    pub(super) inner: Arc<Inner>,
    pub(super) slot: SlotRef,
    pub(super) person: Person,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) published: bool,
}

impl Reservation {
    /// Where the slot begins, from the beginning of the arena's memory.
    pub fn place(&self) -> u64 {
        (self.start - DATA_START) as u64
    }

    /// The slot, which can be taken once it is published.
    pub fn slot(&self) -> SlotRef {
        self.slot
    }

    /// The bytes, to be filled.
    ///
    /// # Panics
    /// If they lie elsewhere than in the arena's segment.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let map = &self.inner.segment.map;
        let (start, _end) = (map.at(self.start), map.at(self.start + self.len));
        // SAFETY: within the mapping, both ends checked; the slot is this writer's alone until it
        // is published.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), self.len) }
    }

    /// What was written can be taken, once; or while it is `kept`, any number of times.
    pub fn publish(mut self, kept: bool) -> SlotRef {
        self.published = true;
        let now = process::milliseconds();
        self.inner.head().publish(self.slot, self.person, kept, now);
        self.slot
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.published {
            self.inner.head().abandon(self.slot, self.person);
        }
    }
}

/// A slot that was taken; given back on drop, on whatever thread that is.
pub struct Lease {
    pub(super) inner: Arc<Inner>,
    pub(super) key: usize,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) sole: bool,
}

impl Owner for Lease {}

impl Lease {
    /// Whether nobody else reads the slot, so that it may be written to.
    pub fn sole(&self) -> bool {
        self.sole
    }

    /// Where the slot begins, from the beginning of the arena's memory, and how long it is.
    pub fn place(&self) -> (u64, u64) {
        ((self.start - DATA_START) as u64, self.len as u64)
    }

    /// The memory of the slot. The lease ends with the last part of it.
    pub fn into_buffer(self) -> Buffer {
        let start: NonNull<u8> = self.inner.segment.map.at(self.start);
        let len = self.len;
        // SAFETY: the range lies in the mapping, which the lease keeps, and is nobody else's to write to
        // while the lease lives.
        unsafe { Buffer::from_raw(start, len, Arc::new(self)) }
    }

    /// As [`Self::into_buffer`], of pages that become this process's own when they are written to.
    pub fn into_private_buffer(self) -> Result<Buffer, ShmError> {
        let file = self.inner.segment.file.as_fd();
        let map = Mapping::copy_on_write(file, self.start as u64, self.len)?;
        let (start, len) = (map.start(), self.len);
        // SAFETY: the range is the mapping's, which the owner keeps; the lease keeps what it reads through to.
        Ok(unsafe { Buffer::from_raw(start, len, Arc::new(Private { _map: map, _lease: self })) })
    }
}

/// A copy-on-write view of a slot.
struct Private {
    _map: Mapping,
    _lease: Lease,
}

impl Owner for Private {}

impl Drop for Lease {
    fn drop(&mut self) {
        self.inner.give_back(self.key);
    }
}
