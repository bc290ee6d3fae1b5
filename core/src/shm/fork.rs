//! Forks: a child sees what its parent holds.
//!
//! The views that a process has at a fork are there in the child too. So each of its slots is held once more
//! before the fork, in the parent's name, and the child puts its own name there. Whoever of the two lets go last
//! frees the slot.
//!
//! The three functions are for the hooks that an interpreter calls around a fork. Between [`before`] and the
//! fork itself no other thread may be inside a call of this module's; an interpreter lock held all the while
//! sees to that. A fork that calls none of them gives a child whose views hold nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::arena::Inner;

static ARENAS: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

fn arenas() -> MutexGuard<'static, Vec<Weak<Inner>>> {
    ARENAS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers an arena.
pub(super) fn register(arena: &Arc<Inner>) {
    let mut arenas = arenas();
    arenas.retain(|known| known.strong_count() > 0);
    arenas.push(Arc::downgrade(arena));
}

fn each(act: impl Fn(&Inner)) {
    let known: Vec<_> = arenas().iter().filter_map(Weak::upgrade).collect();
    known.iter().for_each(|arena| act(arena));
}

/// Before a fork.
pub fn before() {
    each(Inner::before_fork);
}

/// After a fork, in the parent; also if the fork failed.
pub fn in_parent() {
    each(Inner::after_fork_in_parent);
}

/// After a fork, in the child.
pub fn in_child() {
    each(Inner::after_fork_in_child);
}
