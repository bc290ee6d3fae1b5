//! The cyclic collector, put off while a stream is read or written.
//!
//! While reading, every container made counts as new and collections run over
//! a graph that cannot have garbage yet: most of stock's time on large graphs.
//! While writing, a collection could run finalizers, and so user code, in the
//! middle of a walk that holds no references (before 3.12 any allocation of a
//! container can start one).

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use pyo3::ffi;

/// Calls that keep the collector off now. All changes happen with the GIL
/// held; atomics only because statics must be.
static DEPTH: AtomicUsize = AtomicUsize::new(0);
static WAS_ENABLED: AtomicBool = AtomicBool::new(false);

/// Keeps the collector off while it lives. Nested calls and other threads
/// share one count: the last guard to go restores what the first one found.
pub struct Paused(());

impl Paused {
    /// Puts the collector off.
    #[inline]
    pub fn new() -> Paused {
        // Read and written apart, which costs less: nobody comes in between.
        let depth = DEPTH.load(Ordering::Relaxed);
        DEPTH.store(depth + 1, Ordering::Relaxed);
        if depth == 0 {
            // SAFETY: the GIL is held.
            let was = unsafe { ffi::PyGC_Disable() } != 0;
            WAS_ENABLED.store(was, Ordering::Relaxed);
        }
        Paused(())
    }
}

impl Drop for Paused {
    #[inline]
    fn drop(&mut self) {
        let depth = DEPTH.load(Ordering::Relaxed) - 1;
        DEPTH.store(depth, Ordering::Relaxed);
        if depth == 0 && WAS_ENABLED.load(Ordering::Relaxed) {
            // SAFETY: the GIL is held.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}
