//! A bound on memory of arenas that were offered to ends which have not answered yet.
//!
//! The descriptor of an offer keeps the memory until the other end reads it, so that a sender cannot take back what it has offered.
//! It may offer so much before it knows that anybody reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// An end that has not answered is offered no larger arena than this.
pub const MOST_FIRST: u64 = 64 << 20;

/// All first offers of this process that have no answer.
const MOST: u64 = 256 << 20;

static HELD: AtomicU64 = AtomicU64::new(0);

/// Bytes of an offer that has no answer. Dropped, they may be offered again.
pub struct Unanswered {
    bytes: u64,
}

impl Unanswered {
    /// Takes what an offer needs; `None` if too much is offered already.
    pub fn take(bytes: u64) -> Option<Unanswered> {
        let more = |held: u64| held.checked_add(bytes).filter(|&held| held <= MOST);
        let taken = HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Unanswered { bytes })
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        HELD.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
