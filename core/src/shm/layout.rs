//! The head of a segment: who takes part, what is held, the slots.
//!
//! # Safety
//!
//! [`Shared`] has atomics only, all of which are valid for every pattern of bits, so it may be seen through
//! a shared reference while other processes write to it.

use core::sync::atomic::{AtomicU64, Ordering};

use super::error::ShmError;
use super::lock::Lock;
use crate::sys::memory::Mapping;

/// Slots of an arena. A message takes one, whatever its buffers.
pub const SLOTS: usize = 4096;
/// Holds besides the first: slots kept for many takers, slots held at a fork.
pub const HOLDS: usize = 4096;
/// Processes that can take part at a time.
pub const PEOPLE: usize = 1024;

/// Where the memory of the slots begins; a multiple of every page size, huge pages included.
pub const DATA_START: usize = 2 << 20;

/// Says what the file is and which layout it has. Stored last, when all else is in place.
const MAGIC: u64 = u64::from_le_bytes(*b"fpshm\0\0\x01");

/// One slot. `offset`, `len` and `sent_ms` are written by its owner before the state that
/// makes them valid.
#[repr(C)]
pub struct Slot {
    /// See [`State`](super::slots::State).
    pub state: AtomicU64,
    /// Of its memory, from the start of the data.
    pub offset: AtomicU64,
    /// Of its memory, in bytes.
    pub len: AtomicU64,
    /// When it was published.
    pub sent_ms: AtomicU64,
}

/// The head of a segment. A new file is all zeros, which is an arena in which everything is free.
#[repr(C)]
pub struct Shared {
    magic: AtomicU64,
    /// Tells arenas apart.
    pub id: AtomicU64,
    /// Bytes of the data.
    pub capacity: AtomicU64,
    /// Where the stamps hold: see [`namespace`](crate::sys::process::namespace).
    pub namespace: AtomicU64,
    /// How often memory was given back to the system.
    pub trims: AtomicU64,
    /// No slot from this number on was ever used.
    pub slots_high: AtomicU64,
    /// Likewise for holds, but for a moment after a hold was made.
    pub holds_high: AtomicU64,
    /// For claims and reclaims.
    pub lock: Lock,
    /// Stamps of those who take part; number 1 is the first.
    pub people: [AtomicU64; PEOPLE],
    /// See [`Hold`](super::slots::Hold).
    pub holds: [AtomicU64; HOLDS],
    /// The slots.
    pub slots: [Slot; SLOTS],
}

const _: () = assert!(size_of::<Shared>() <= DATA_START);

impl Shared {
    /// The head of a mapped segment.
    pub fn of(map: &Mapping) -> Result<&Shared, ShmError> {
        if map.len() < DATA_START {
            return Err(ShmError::NotAnArena);
        }
        // SAFETY: the mapping is long enough, page-aligned, and lives as long as the reference; atomics
        // may be written by others meanwhile.
        Ok(unsafe { map.start().cast::<Shared>().as_ref() })
    }

    /// Opens the arena: all else is in place.
    pub fn open(&self) {
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// Whether the arena is open.
    pub fn is_open(&self) -> bool {
        self.magic.load(Ordering::Acquire) == MAGIC
    }
}
