//! Which memory of a segment a process has mapped, and getting it ready before it is used: page faults one by one
//! would cost more.

use core::sync::atomic::{AtomicU64, Ordering};

use super::segment::Segment;

/// Memory is got ready in pieces of this size.
const PIECE: usize = 256 << 10;

/// What this process has mapped of a segment.
pub(super) struct Warm {
    /// A bit for each piece.
    pieces: Box<[AtomicU64]>,
    /// How often memory had been given back to the system when this was last right.
    trims: AtomicU64,
}

impl Warm {
    /// Of a segment of `len` bytes: nothing is mapped yet.
    pub(super) fn new(len: usize) -> Warm {
        let words = len.div_ceil(PIECE).div_ceil(64);
        Warm { pieces: (0..words).map(|_| AtomicU64::new(0)).collect(), trims: AtomicU64::new(0) }
    }

    /// Nothing is mapped any more.
    pub(super) fn forget(&self) {
        self.pieces.iter().for_each(|bits| bits.store(0, Ordering::Relaxed));
    }

    /// Gets memory ready to be written; false if it cannot be had.
    /// `trims` is how often memory of the segment was given back to the system.
    pub(super) fn for_writing(
        &self,
        segment: &Segment,
        start: usize,
        len: usize,
        trims: u64,
    ) -> bool {
        if self.trims.swap(trims, Ordering::Relaxed) != trims {
            self.forget();
        }
        self.each_cold(segment, start, len, |from, len| segment.secure(from, len).is_ok())
    }

    /// Gets memory ready to be read. What is not, comes by page faults.
    pub(super) fn for_reading(&self, segment: &Segment, start: usize, len: usize) {
        let populate = |from, len| segment.map.populate_for_reading(from, len).is_ok();
        self.each_cold(segment, start, len, populate);
    }

    /// Calls `warm` for each run of pieces that this process has not mapped; false if one call was.
    fn each_cold(
        &self,
        segment: &Segment,
        start: usize,
        len: usize,
        warm: impl Fn(usize, usize) -> bool,
    ) -> bool {
        let end = (start + len).div_ceil(PIECE);
        let mut piece = start / PIECE;
        let is_warm =
            |piece: usize| self.pieces[piece / 64].load(Ordering::Relaxed) >> (piece % 64) & 1 != 0;
        while piece < end {
            if is_warm(piece) {
                piece += 1;
                continue;
            }
            let first = piece;
            while piece < end && !is_warm(piece) {
                piece += 1;
            }
            let from = first * PIECE;
            let to = (piece * PIECE).min(segment.map.len());
            if !warm(from, to - from) {
                return false;
            }
            for done in first..piece {
                self.pieces[done / 64].fetch_or(1 << (done % 64), Ordering::Relaxed);
            }
        }
        true
    }
}
