//! Slices copied one after the other into one place, much of it by several threads.

use crate::threads;
use rayon::prelude::*;

/// Less than this is copied by one thread.
const PARALLEL_FROM_BYTES: usize = 8 << 20;

/// What one thread copies at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Copies slices into a place that is as long as all of them together.
///
/// # Panics
/// If it is not.
pub fn gather<'a>(slices: impl Iterator<Item = &'a [u8]>, mut to: &mut [u8]) {
    let pool = threads::pool().filter(|_| to.len() >= PARALLEL_FROM_BYTES);
    let mut pieces = Vec::new();
    for slice in slices {
        if pool.is_none() {
            let (here, rest) = to.split_at_mut(slice.len());
            here.copy_from_slice(slice);
            to = rest;
            continue;
        }
        for piece in slice.chunks(PIECE_BYTES) {
            let (here, rest) = to.split_at_mut(piece.len());
            pieces.push((piece, here));
            to = rest;
        }
    }
    assert!(to.is_empty(), "the place is longer than the slices");
    if let Some(pool) = pool {
        pool.install(|| {
            pieces.into_par_iter().for_each(|(piece, here)| here.copy_from_slice(piece));
        });
    }
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
