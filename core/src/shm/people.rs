//! The processes that take part in an arena, by number.

use core::sync::atomic::Ordering;

use super::layout::Shared;
use crate::sys::process::Stamp;

/// The number of one who takes part; 0 is nobody.
pub type Person = u16;

/// Nobody owns it.
pub const NOBODY: Person = 0;

impl Shared {
    /// Enters this process; `None` if there is no room.
    pub fn enter(&self) -> Option<Person> {
        let own = Stamp::own().word();
        let free = self.people.iter().position(|entry| {
            entry.compare_exchange(0, own, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        })?;
        Some(free as Person + 1)
    }

    /// Takes a person off the list, who must own nothing.
    pub fn leave(&self, person: Person) {
        self.people[usize::from(person) - 1].store(0, Ordering::SeqCst);
    }

    /// The stamp of a person, if there is one of this number.
    pub fn stamp(&self, person: Person) -> Option<Stamp> {
        let entry = self.people.get(usize::from(person).checked_sub(1)?)?;
        Stamp::from_word(entry.load(Ordering::SeqCst))
    }

    /// Whether anyone on the list lives.
    pub fn anyone_lives(&self) -> bool {
        let stamps = self.people.iter().map(|entry| entry.load(Ordering::SeqCst));
        stamps.filter_map(Stamp::from_word).any(Stamp::alive)
    }
}
