//! Memory that is kept between calls.
//!
//! Taken, not borrowed: a reducer may call `dumps` again, and then finds
//! nothing and makes its own.

use crate::build::BuildScratch;
use crate::walk::Walker;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// One spare of each for the process: a thread that ends could not free the
/// Python objects that cached plans hold, as it has no GIL then. Taken and given
/// with the GIL held, so that nobody comes between a read and a write.
static WALK: AtomicPtr<Walker> = AtomicPtr::new(ptr::null_mut());
static BUILD: AtomicPtr<BuildScratch> = AtomicPtr::new(ptr::null_mut());

fn take<T>(spare: &AtomicPtr<T>) -> Option<Box<T>> {
    let taken = spare.load(Ordering::Acquire);
    if taken.is_null() {
        return None;
    }
    spare.store(ptr::null_mut(), Ordering::Release);
    // SAFETY: only `give` stores there, a pointer from `Box::into_raw`; it is ours
    // alone, as it was taken out with the GIL held.
    Some(unsafe { Box::from_raw(taken) })
}

fn give<T>(spare: &AtomicPtr<T>, scratch: Box<T>) {
    let old = spare.load(Ordering::Acquire);
    spare.store(Box::into_raw(scratch), Ordering::Release);
    if !old.is_null() {
        // SAFETY: as in `take`.
        drop(unsafe { Box::from_raw(old) });
    }
}

/// Memo slots, frames and the like that are worth keeping; more is freed.
const KEEP_MEMO_SLOTS: usize = 1 << 16;
const KEEP_ENTRIES: usize = 1 << 14;

/// The spare walker.
#[inline]
pub fn take_walk() -> Box<Walker> {
    take(&WALK).unwrap_or_else(|| Box::new(Walker::idle()))
}

/// Gives it back, after its [`Walker::end`].
#[inline]
pub fn give_walk(mut walker: Box<Walker>) {
    if walker.memo.slots() > KEEP_MEMO_SLOTS || walker.memo.failed() {
        walker.memo = Default::default();
    } else {
        walker.memo.clear();
    }
    let Walker { elided, pins, frames, text, .. } = &mut *walker;
    for list in [elided, pins] {
        debug_assert!(list.is_empty());
        if list.capacity() > KEEP_ENTRIES {
            *list = Vec::new();
        }
    }
    if frames.capacity() > KEEP_ENTRIES {
        *frames = Vec::new();
    }
    if text.capacity() > KEEP_ENTRIES * 4 {
        *text = Vec::new();
    }
    give(&WALK, walker);
}

/// The spare memory for a load.
pub fn take_build() -> Box<BuildScratch> {
    take(&BUILD).unwrap_or_default()
}

/// Gives it back.
pub fn give_build(mut scratch: Box<BuildScratch>) {
    scratch.decoder.reset();
    scratch.decoder.memo.clear(KEEP_ENTRIES);
    if scratch.decoder.stack_capacity() > KEEP_ENTRIES {
        scratch.decoder = Default::default();
    }
    give(&BUILD, scratch);
}
