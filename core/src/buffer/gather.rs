//! Slices copied one after the other into one place, much of it by several threads.

use crate::threads;

/// Less than this is copied by one thread.
const PARALLEL_FROM_BYTES: usize = 8 << 20;

/// What one thread copies at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Copies of slices, made one by one where they are few bytes in all, and else
/// together, by several threads.
pub struct Copies<'a, 'b> {
    parallel: bool,
    bytes: usize,
    pieces: Vec<(&'a [u8], &'b mut [u8])>,
}

impl<'a, 'b> Copies<'a, 'b> {
    /// None yet, of so many bytes in all.
    pub fn of_bytes(bytes: usize) -> Copies<'a, 'b> {
        Copies::of_bytes_from(bytes, PARALLEL_FROM_BYTES)
    }

    /// As [`Copies::of_bytes`], for several threads from `least` bytes on.
    pub fn of_bytes_from(bytes: usize, least: usize) -> Copies<'a, 'b> {
        let parallel = bytes >= least && threads::count() > 1;
        Copies { parallel, bytes, pieces: Vec::new() }
    }

    /// One more: to a place of the same length.
    pub fn add(&mut self, slice: &'a [u8], place: &'b mut [u8]) {
        if !self.parallel {
            return place.copy_from_slice(slice);
        }
        let places = place.chunks_mut(PIECE_BYTES);
        self.pieces.extend(slice.chunks(PIECE_BYTES).zip(places));
    }

    /// Makes those that wait.
    pub fn finish(mut self) {
        if self.pieces.is_empty() {
            return;
        }
        // Of short ones several at a time.
        let some = self.pieces.len().div_ceil(self.bytes.div_ceil(PIECE_BYTES).max(1));
        threads::share(self.pieces.chunks_mut(some), |pieces| {
            pieces.iter_mut().for_each(|(slice, place)| place.copy_from_slice(slice));
        });
    }
}

/// Copies slices into a place that is as long as all of them together.
///
/// # Panics
/// If it is not.
pub fn gather<'a>(slices: impl Iterator<Item = &'a [u8]>, mut to: &mut [u8]) {
    let mut copies = Copies::of_bytes(to.len());
    for slice in slices {
        let (here, rest) = to.split_at_mut(slice.len());
        copies.add(slice, here);
        to = rest;
    }
    assert!(to.is_empty(), "the place is longer than the slices");
    copies.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_lie_one_after_the_other() {
        for len in [100, PARALLEL_FROM_BYTES / 3 + 5] {
            let data: Vec<u8> = (0..len * 4).map(|n| (n / 3) as u8).collect();
            let (first, rest) = data.split_at(len * 2);
            let mut place = vec![0; data.len()];
            gather([first, &[], &rest[..7], &rest[7..]].into_iter(), &mut place);
            assert!(place == data);
        }
    }

    #[test]
    #[should_panic(expected = "longer than the slices")]
    fn a_place_must_fit() {
        gather([&[1, 2][..]].into_iter(), &mut [0; 3]);
    }
}
