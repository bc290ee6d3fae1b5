//! Copies of strided memory into one block, and of large memory by several
//! threads.
//!
//! # Safety
//!
//! The functions are given raw places and vouch for nothing but this: they read
//! what the layout covers and write its [`Layout::len_bytes`] bytes. Threads
//! are given parts of the target that have no byte in common.

use crate::out::copy_long;
use crate::strided::{Axis, Layout};
use crate::threads;

/// Copies of fewer bytes stay on one thread: waking the others costs more.
pub const PARALLEL_FROM_BYTES: usize = 4 << 20;
/// What one thread takes at a time: at the end all wait for the last.
const PART_BYTES: usize = 256 << 10;
/// Elements of a square tile where source and target run across each other.
const TILE: usize = 32;

/// One axis with its stride in the target as well.
#[derive(Clone, Copy)]
struct Step {
    len: usize,
    from: isize,
    to: usize,
}

#[derive(Clone, Copy)]
struct Place {
    from: *const u8,
    to: *mut u8,
}

impl Place {
    /// The place so many bytes further in the source and in the target.
    fn moved(&self, from: isize, to: usize) -> Place {
        Place { from: self.from.wrapping_offset(from), to: self.to.wrapping_add(to) }
    }
}

// SAFETY: threads read the source only, and each writes a part of its own.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// Strided memory that is to be copied: the only way in which code without
/// `unsafe` can name some.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    from: *const u8,
    layout: &'a Layout,
}

impl<'a> Source<'a> {
    /// The elements of a layout whose first is at `from`.
    ///
    /// # Safety
    /// Every element must be readable as long as the source is used.
    pub unsafe fn new(from: *const u8, layout: &'a Layout) -> Source<'a> {
        Source { from, layout }
    }

    /// Bytes of all elements together.
    pub fn len_bytes(&self) -> usize {
        self.layout.len_bytes()
    }

    /// Copies the elements.
    ///
    /// # Panics
    /// If there is another number of bytes in `to`.
    pub fn fill(&self, to: &mut [u8]) {
        assert_eq!(to.len(), self.len_bytes(), "room for exactly the elements");
        // SAFETY: by the contract of `new`; a borrowed slice is nobody else's.
        unsafe { gather(self.from, self.layout, to.as_mut_ptr()) }
    }

    /// As [`Source::fill`], where nothing is yet.
    ///
    /// # Safety
    /// `to` must be valid for writes of [`Source::len_bytes`] bytes, which are no
    /// element's.
    pub unsafe fn write_to(&self, to: *mut u8) {
        // SAFETY: the contracts of both.
        unsafe { gather(self.from, self.layout, to) }
    }
}

/// Copies the elements of a layout, whose first is at `from`, one after another
/// in the order of its axes to `to`.
///
/// # Safety
/// Every element must be readable, `to` valid for writes of
/// [`Layout::len_bytes`] bytes, and the two must have no byte in common.
unsafe fn gather(from: *const u8, layout: &Layout, to: *mut u8) {
    if layout.len_bytes() == 0 {
        return;
    }
    let (axes, block) = layout.blocks();
    let steps = with_target(&axes, block);
    let place = Place { from, to };
    // SAFETY: by the contract; parts of the steps cover parts of both.
    unsafe { split(place, &steps, block, layout.len_bytes()) }
}

/// Copies bytes, by several threads if there are many.
///
/// # Safety
/// `to` must be valid for writes of `from.len()` bytes and not overlap `from`.
pub unsafe fn copy(from: &[u8], to: *mut u8) {
    let place = Place { from: from.as_ptr(), to };
    let len = from.len();
    let part = |at: usize| {
        let part = place.moved(at as isize, at);
        // SAFETY: the part lies within both by the bound of `at`.
        unsafe {
            let from = core::slice::from_raw_parts(part.from, PART_BYTES.min(len - at));
            copy_long(from, part.to);
        }
    };
    let starts = (0..len).step_by(PART_BYTES);
    if len >= PARALLEL_FROM_BYTES { threads::share(starts, part) } else { starts.for_each(part) }
}

/// The axes with the strides that they have in the target.
fn with_target(axes: &[Axis], block: usize) -> Vec<Step> {
    let mut to = block;
    let mut steps: Vec<Step> = axes
        .iter()
        .rev()
        .map(|axis| {
            let step = Step { len: axis.len, from: axis.stride, to };
            to *= axis.len;
            step
        })
        .collect();
    steps.reverse();
    steps
}

/// Cuts the longest axis among the threads, if there is enough to do.
///
/// # Safety
/// As for [`gather`].
unsafe fn split(place: Place, steps: &[Step], block: usize, len_bytes: usize) {
    let longest = (0..steps.len()).max_by_key(|&i| steps[i].len);
    let parallel = len_bytes >= PARALLEL_FROM_BYTES && threads::count() > 1;
    let (Some(axis), true) = (longest, parallel) else {
        return if longest.is_some() {
            // SAFETY: the contract.
            unsafe { copy_steps(place, steps, block) }
        } else {
            // SAFETY: the contract, for the one block that there is.
            unsafe { copy(core::slice::from_raw_parts(place.from, block), place.to) }
        };
    };
    let len = steps[axis].len;
    let most_parts = len_bytes.div_ceil(PART_BYTES);
    let part = len.div_ceil(most_parts.clamp(1, len));
    threads::share((0..len).step_by(part), |first| {
        let mut steps = steps.to_vec();
        let step = steps[axis];
        steps[axis].len = part.min(len - first);
        let part = place.moved(first as isize * step.from, first * step.to);
        // SAFETY: the part's elements are elements of the whole, and those
        // of different parts have different places in the target.
        unsafe { copy_steps(part, &steps, block) };
    });
}

/// Copies on this thread.
///
/// # Safety
/// As for [`gather`]; `steps` has an axis.
unsafe fn copy_steps(place: Place, steps: &[Step], block: usize) {
    // SAFETY: the contract, for blocks of the size that the copier is for.
    unsafe {
        match block {
            1 => copy_axes::<1>(place, steps, block),
            2 => copy_axes::<2>(place, steps, block),
            4 => copy_axes::<4>(place, steps, block),
            8 => copy_axes::<8>(place, steps, block),
            12 => copy_axes::<12>(place, steps, block),
            16 => copy_axes::<16>(place, steps, block),
            24 => copy_axes::<24>(place, steps, block),
            32 => copy_axes::<32>(place, steps, block),
            _ => copy_axes::<0>(place, steps, block),
        }
    }
}

/// Copies a block of `N` bytes, of `block` where `N` is 0.
///
/// # Safety
/// Both places must be good for the block.
#[inline(always)]
unsafe fn copy_block<const N: usize>(from: *const u8, to: *mut u8, block: usize) {
    // SAFETY: the contract.
    unsafe {
        if N == 0 {
            from.copy_to_nonoverlapping(to, block);
        } else {
            to.cast::<[u8; N]>().write_unaligned(from.cast::<[u8; N]>().read_unaligned());
        }
    }
}

/// Walks the outer axes and copies what is below them.
///
/// # Safety
/// As for [`gather`]; blocks are of `N` bytes, or `N` is 0.
unsafe fn copy_axes<const N: usize>(place: Place, steps: &[Step], block: usize) {
    let Some((inner, outer)) = steps.split_last() else { return };
    // The axis along which the source lies closest: where that is not the
    // innermost, lines of the source and of the target cross.
    let near = (0..outer.len()).min_by_key(|&i| outer[i].from.unsigned_abs());
    let crossing = near.filter(|&i| outer[i].from.unsigned_abs() < inner.from.unsigned_abs());
    let across = crossing.map_or(Step { len: 1, from: 0, to: 0 }, |i| outer[i]);
    let mut rest = outer.to_vec();
    if let Some(i) = crossing {
        rest.remove(i);
    }
    let mut index = vec![0usize; rest.len()];
    let (mut from, mut to) = (place.from, place.to);
    loop {
        // SAFETY: `from` and `to` are at the element of `index`, whose plane of
        // `across` and `inner` is within both.
        unsafe { copy_plane::<N>(from, to, across, *inner, block) };
        let mut axis = rest.len();
        loop {
            let Some(next) = axis.checked_sub(1) else { return };
            axis = next;
            let step = rest[axis];
            index[axis] += 1;
            if index[axis] < step.len {
                from = from.wrapping_offset(step.from);
                to = to.wrapping_add(step.to);
                break;
            }
            index[axis] = 0;
            from = from.wrapping_offset(-(step.from * (step.len as isize - 1)));
            to = to.wrapping_sub(step.to * (step.len - 1));
        }
    }
}

/// Copies a plane, tile by tile.
///
/// # Safety
/// All blocks of the plane must lie within both; `N` as in [`copy_block`].
#[inline(always)]
unsafe fn copy_plane<const N: usize>(
    from: *const u8,
    to: *mut u8,
    across: Step,
    inner: Step,
    block: usize,
) {
    let tile = if across.len == 1 { inner.len } else { TILE };
    for top in (0..across.len).step_by(TILE) {
        for left in (0..inner.len).step_by(tile) {
            let right = inner.len.min(left + tile);
            for i in top..across.len.min(top + TILE) {
                let from = from.wrapping_offset(i as isize * across.from);
                let to = to.wrapping_add(i * across.to);
                for j in left..right {
                    let from = from.wrapping_offset(j as isize * inner.from);
                    // SAFETY: a block of the plane.
                    unsafe { copy_block::<N>(from, to.wrapping_add(j * inner.to), block) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element by element, by the definition.
    fn by_hand(memory: &[u8], at: usize, layout: &Layout) -> Vec<u8> {
        let mut out = Vec::new();
        let mut index = vec![0usize; layout.axes().len()];
        loop {
            let offset: isize =
                index.iter().zip(layout.axes()).map(|(i, axis)| *i as isize * axis.stride).sum();
            let from = (at as isize + offset) as usize;
            out.extend_from_slice(&memory[from..from + layout.item_bytes()]);
            let mut axis = index.len();
            loop {
                let Some(next) = axis.checked_sub(1) else { return out };
                axis = next;
                index[axis] += 1;
                if index[axis] < layout.axes()[axis].len {
                    break;
                }
                index[axis] = 0;
            }
        }
    }

    fn check(memory: &[u8], at: usize, layout: &Layout) {
        assert!(at >= layout.before() && at - layout.before() + layout.extent() <= memory.len());
        let mut out = vec![0xEE; layout.len_bytes() + 8];
        // SAFETY: the layout lies within the memory, checked above.
        unsafe { gather(memory.as_ptr().add(at), layout, out.as_mut_ptr()) };
        assert!(out[..layout.len_bytes()] == by_hand(memory, at, layout), "{layout:?}");
        assert!(out[layout.len_bytes()..].iter().all(|b| *b == 0xEE), "written past the end");
    }

    fn layout(axes: &[(usize, isize)], item_bytes: usize) -> Layout {
        let axes = axes.iter().map(|&(len, stride)| Axis { len, stride });
        Layout::new(axes, item_bytes).expect("fits")
    }

    #[test]
    fn every_item_size_and_direction() {
        let memory: Vec<u8> = (0..200_000u32).map(|n| (n * 7 + n / 256) as u8).collect();
        for item in [1usize, 2, 3, 4, 5, 8, 12, 16, 24, 32, 40] {
            let i = item as isize;
            check(&memory, 0, &layout(&[(50, 2 * i)], item));
            check(&memory, 70 * item, &layout(&[(70, -i)], item));
            check(&memory, 0, &layout(&[(45, i), (70, 45 * i)], item));
            check(&memory, 50_000, &layout(&[(5, -40 * i), (7, 3 * i), (4, 200 * i)], item));
            check(&memory, 9, &layout(&[(6, 0), (7, i)], item));
            check(&memory, 9, &layout(&[(6, i), (7, 0), (3, 5 * i)], item));
            check(&memory, 0, &layout(&[(2, 64 * i), (3, 16 * i), (4, i)], item));
            check(&memory, 3, &layout(&[], item));
        }
    }

    #[test]
    fn large_ones_are_cut_among_threads() {
        let side = 1100usize;
        let memory: Vec<u8> = (0..side * side * 4).map(|n| (n / 5) as u8).collect();
        let row = side as isize * 4;
        check(&memory, 0, &layout(&[(side, row), (side, 4)], 4));
        check(&memory, 0, &layout(&[(side, 4), (side, row)], 4));
        check(&memory, (side - 1) * row as usize, &layout(&[(side, -row), (side, 4)], 4));
        check(&memory, 0, &layout(&[(side * side, 4)], 2));
        let mut out = vec![0; memory.len()];
        // SAFETY: two vectors of one length.
        unsafe { copy(&memory, out.as_mut_ptr()) };
        assert!(out == memory);
    }
}
