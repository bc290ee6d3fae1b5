//! A lock between processes that its holder cannot take to the grave.
//!
//! The word is the holder's stamp. Who waits too long asks whether that process lives, and if not, puts its
//! own stamp there. What the lock protects must be in order at every instruction of the holder.

use core::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sys::process::Stamp;

/// Free when 0.
#[repr(C, align(64))]
pub struct Lock(AtomicU64);

/// The lock is held until this is dropped.
pub struct Guard<'a> {
    word: &'a AtomicU64,
    own: u64,
}

/// Turns of a waiter before it starts to sleep.
const SPINS: u32 = 200;
/// How long a waiter sleeps; then it also asks whether the holder lives.
const NAP: Duration = Duration::from_micros(200);

impl Lock {
    /// Waits for the lock; `None` if a living process holds it for longer than `patience`.
    pub fn acquire(&self, patience: Duration) -> Option<Guard<'_>> {
        let own = Stamp::own().word();
        let take = |from: u64| {
            let taken = self.0.compare_exchange(from, own, Ordering::Acquire, Ordering::Relaxed);
            taken.is_ok().then_some(Guard { word: &self.0, own })
        };
        for _ in 0..SPINS {
            if let Some(guard) = take(0) {
                return Some(guard);
            }
            core::hint::spin_loop();
        }
        let deadline = Instant::now() + patience;
        loop {
            let holder = self.0.load(Ordering::Relaxed);
            let free = Stamp::from_word(holder).is_none_or(|stamp| !stamp.alive());
            if let Some(guard) = free.then(|| take(holder)).flatten() {
                return Some(guard);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(NAP);
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // By exchange: in a child that was forked meanwhile the lock is still the parent's.
        let _ = self.word.compare_exchange(self.own, 0, Ordering::Release, Ordering::Relaxed);
    }
}
