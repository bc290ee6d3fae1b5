//! The table of slots: every step from one state to the next.
//!
//! The steps are single exchanges of a slot's word and need no lock, but for [`Shared::claim`] and
//! [`Shared::reclaim`], whose callers hold the arena's.

use core::sync::atomic::Ordering::SeqCst;

use super::layout::{DATA_START, HOLDS, SLOTS, Shared};
use super::people::{NOBODY, Person};

/// Slots begin and end at multiples of this: a page, so that one alone can be mapped copy-on-write.
pub const GRAIN: u64 = 4096;

/// What may be done with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Free = 0,
    Writing = 1,
    Sent = 2,
    Kept = 3,
    Taken = 4,
}

/// A slot's word: generation, owner, whether there may be holds besides the owner's, kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub generation: u32,
    pub owner: Person,
    pub shared: bool,
    pub kind: Kind,
}

impl State {
    pub fn word(self) -> u64 {
        u64::from(self.generation) << 32
            | u64::from(self.owner) << 16
            | u64::from(self.shared) << 8
            | self.kind as u64
    }

    /// A word that is no state counts as taken by nobody: nothing touches such a slot again.
    pub fn from_word(word: u64) -> State {
        let kind = match word as u8 {
            0 => Kind::Free,
            1 => Kind::Writing,
            2 => Kind::Sent,
            3 => Kind::Kept,
            _ => Kind::Taken,
        };
        let (generation, owner) = ((word >> 32) as u32, (word >> 16) as Person);
        State { generation, owner, shared: word >> 8 & 1 != 0, kind }
    }

    fn free(self) -> State {
        State { owner: NOBODY, shared: false, kind: Kind::Free, ..self }
    }
}

/// Names a slot, in this use of it and no later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRef {
    /// Its number.
    pub index: u32,
    /// Counts its uses.
    pub generation: u32,
}

/// What a taker has to give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It owns the slot.
    Owner,
    /// An entry of this number in the table of holds.
    Entry(u32),
}

/// An entry in the table of holds: never 0, as no person has number 0.
fn entry_word(slot: SlotRef, person: Person) -> u64 {
    u64::from(slot.generation) << 32 | u64::from(slot.index) << 16 | u64::from(person)
}

fn entry_slot(word: u64) -> SlotRef {
    SlotRef { index: (word >> 16) as u32 & 0xffff, generation: (word >> 32) as u32 }
}

impl Shared {
    fn state(&self, index: u32) -> State {
        State::from_word(self.slots[index as usize].state.load(SeqCst))
    }

    /// Exchanges a slot's word; says whether it was `from`.
    fn step(&self, index: u32, from: State, to: State) -> bool {
        let word = &self.slots[index as usize].state;
        word.compare_exchange(from.word(), to.word(), SeqCst, SeqCst).is_ok()
    }

    fn used_slots(&self) -> impl Iterator<Item = u32> {
        0..(self.slots_high.load(SeqCst) as u32).min(SLOTS as u32)
    }

    /// Claims memory for a writer. The lock must be held. `None` if there is no room.
    pub fn claim(&self, person: Person, len: u64) -> Option<(SlotRef, u64)> {
        let capacity = self.capacity.load(SeqCst);
        let len = len.max(1).checked_next_multiple_of(GRAIN).filter(|len| *len <= capacity)?;
        let mut free = None;
        let mut busy = Vec::new();
        for index in self.used_slots() {
            if self.state(index).kind == Kind::Free {
                free = free.or(Some(index));
            } else {
                let slot = &self.slots[index as usize];
                busy.push((slot.offset.load(SeqCst), slot.len.load(SeqCst)));
            }
        }
        let index = free.or_else(|| {
            let next = self.slots_high.load(SeqCst);
            (next < SLOTS as u64).then_some(next as u32)
        })?;
        let offset = lowest_gap(&mut busy, len, capacity)?;
        let slot = &self.slots[index as usize];
        slot.offset.store(offset, SeqCst);
        slot.len.store(len, SeqCst);
        self.slots_high.fetch_max(u64::from(index) + 1, SeqCst);
        let was = self.state(index);
        let generation = was.generation.wrapping_add(1);
        let state = State { generation, owner: person, shared: false, kind: Kind::Writing };
        slot.state.store(state.word(), SeqCst);
        Some((SlotRef { index, generation }, offset))
    }

    /// What a slot's writer wrote can be taken: by one, or while it is kept by all who come.
    pub fn publish(&self, slot: SlotRef, person: Person, kept: bool, now_ms: u64) {
        self.slots[slot.index as usize].sent_ms.store(now_ms, SeqCst);
        let kind = if kept { Kind::Kept } else { Kind::Sent };
        let from = State {
            generation: slot.generation,
            owner: person,
            shared: false,
            kind: Kind::Writing,
        };
        self.step(slot.index, from, State { kind, ..from });
    }

    /// Frees a slot that its writer did not finish.
    pub fn abandon(&self, slot: SlotRef, person: Person) {
        let generation = slot.generation;
        let from = State { generation, owner: person, shared: false, kind: Kind::Writing };
        self.step(slot.index, from, from.free());
    }

    /// Takes what was published; `None` if it is not there (any more).
    pub fn take(&self, slot: SlotRef, person: Person) -> Option<Hold> {
        if slot.index >= SLOTS as u32 {
            return None;
        }
        let state = self.state(slot.index);
        if state.generation != slot.generation {
            return None;
        }
        match state.kind {
            Kind::Sent => {
                let taken = State { owner: person, kind: Kind::Taken, ..state };
                self.step(slot.index, state, taken).then_some(Hold::Owner)
            }
            Kind::Kept => {
                let entry = self.make_entry(slot, person)?;
                // Whoever withdraws it first changes the state and then looks for entries.
                let state = self.state(slot.index);
                if state.generation == slot.generation && state.kind == Kind::Kept {
                    return Some(Hold::Entry(entry));
                }
                self.drop_entry(entry, slot, person);
                None
            }
            Kind::Free | Kind::Writing | Kind::Taken => None,
        }
    }

    /// Offset and length of a slot's memory, which its holder asks for; `None` if they make no sense.
    pub fn extent(&self, slot: SlotRef) -> Option<(u64, u64)> {
        let entry = self.slots.get(slot.index as usize)?;
        let (offset, len) = (entry.offset.load(SeqCst), entry.len.load(SeqCst));
        let end = offset.checked_add(len)?;
        (end <= self.capacity.load(SeqCst)).then_some((offset, len))
    }

    /// A further hold of a slot that the caller holds, for somebody who comes later.
    pub fn share(&self, slot: SlotRef, person: Person) -> Option<u32> {
        let entry = self.make_entry(slot, person)?;
        loop {
            let state = self.state(slot.index);
            if state.shared || self.step(slot.index, state, State { shared: true, ..state }) {
                return Some(entry);
            }
        }
    }

    /// Gives a further hold to another person; false if it is gone.
    pub fn hand_over(&self, entry: u32, slot: SlotRef, from: Person, to: Person) -> bool {
        let (from, to) = (entry_word(slot, from), entry_word(slot, to));
        self.holds[entry as usize].compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// Lets go of a hold; the last one frees the slot.
    pub fn release(&self, slot: SlotRef, person: Person, hold: Hold) {
        match hold {
            Hold::Entry(entry) => self.drop_entry(entry, slot, person),
            Hold::Owner => {
                let generation = slot.generation;
                let own = State { generation, owner: person, shared: false, kind: Kind::Taken };
                if self.step(slot.index, own, own.free()) {
                    return;
                }
                let own = State { shared: true, ..own };
                if self.step(slot.index, own, State { owner: NOBODY, ..own }) {
                    self.free_if_left(slot);
                }
            }
        }
    }

    /// Takes a published slot out of circulation; who holds it already keeps it. False if it is not
    /// there (any more).
    pub fn withdraw(&self, slot: SlotRef) -> bool {
        if slot.index >= SLOTS as u32 {
            return false;
        }
        let state = self.state(slot.index);
        if state.generation != slot.generation {
            return false;
        }
        match state.kind {
            Kind::Sent => self.step(slot.index, state, state.free()),
            Kind::Kept => self.unkeep(slot, state),
            Kind::Free | Kind::Writing | Kind::Taken => false,
        }
    }

    /// Frees all that was sent and that nobody has taken.
    pub fn withdraw_all(&self) {
        for index in self.used_slots() {
            let state = self.state(index);
            if state.kind == Kind::Sent {
                self.step(index, state, state.free());
            }
        }
    }

    fn unkeep(&self, slot: SlotRef, state: State) -> bool {
        let to = State { owner: NOBODY, shared: true, kind: Kind::Taken, ..state };
        let done = self.step(slot.index, state, to);
        if done {
            self.free_if_left(slot);
        }
        done
    }

    fn make_entry(&self, slot: SlotRef, person: Person) -> Option<u32> {
        let word = entry_word(slot, person);
        let free = |entry: &core::sync::atomic::AtomicU64| {
            entry.load(SeqCst) == 0 && entry.compare_exchange(0, word, SeqCst, SeqCst).is_ok()
        };
        let entry = self.holds.iter().position(free)?;
        self.holds_high.fetch_max(entry as u64 + 1, SeqCst);
        Some(entry as u32)
    }

    fn drop_entry(&self, entry: u32, slot: SlotRef, person: Person) {
        let word = entry_word(slot, person);
        if self.holds[entry as usize].compare_exchange(word, 0, SeqCst, SeqCst).is_ok() {
            self.free_if_left(slot);
        }
    }

    /// Frees a slot that nobody owns and nobody holds.
    fn free_if_left(&self, slot: SlotRef) {
        let state = self.state(slot.index);
        let left =
            State { generation: slot.generation, owner: NOBODY, shared: true, kind: Kind::Taken };
        if state != left {
            return;
        }
        let high = (self.holds_high.load(SeqCst) as usize).min(HOLDS);
        let held = self.holds[..high].iter().any(|entry| {
            let word = entry.load(SeqCst);
            word != 0 && entry_slot(word) == slot
        });
        if !held {
            self.step(slot.index, left, left.free());
        }
    }

    /// Frees what dead processes own and hold; what they sent and nobody took only if it was sent `unclaimed_ms`
    /// ago. The lock must be held. Says how many slots were freed.
    pub fn reclaim(&self, now_ms: u64, unclaimed_ms: u64) -> usize {
        let mut known = std::collections::HashMap::<Person, bool>::new();
        let mut dead = |person: Person| {
            *known.entry(person).or_insert_with(|| self.stamp(person).is_none_or(|s| !s.alive()))
        };
        let before = self.busy();
        // The holds first: then a slot that a dead process both owned and held is seen as free below.
        for entry in &self.holds {
            let word = entry.load(SeqCst);
            if word != 0 && dead(word as Person) {
                let _ = entry.compare_exchange(word, 0, SeqCst, SeqCst);
            }
        }
        for index in self.used_slots() {
            let state = self.state(index);
            let slot = SlotRef { index, generation: state.generation };
            match state.kind {
                Kind::Free => {}
                Kind::Taken if state.owner == NOBODY => self.free_if_left(slot),
                _ if !dead(state.owner) => {}
                Kind::Writing => self.abandon(slot, state.owner),
                Kind::Taken => self.release(slot, state.owner, Hold::Owner),
                Kind::Kept => {
                    self.unkeep(slot, state);
                }
                Kind::Sent => {
                    let sent = self.slots[index as usize].sent_ms.load(SeqCst);
                    if now_ms.saturating_sub(sent) >= unclaimed_ms {
                        self.step(index, state, state.free());
                    }
                }
            }
        }
        for person in 1..=self.people.len() as Person {
            if self.stamp(person).is_some() && dead(person) && !self.owns_anything(person) {
                self.leave(person);
            }
        }
        before.saturating_sub(self.busy())
    }

    /// Whether a slot or a hold bears the number of a person.
    pub fn owns_anything(&self, person: Person) -> bool {
        let owns = |state: State| state.kind != Kind::Free && state.owner == person;
        self.used_slots().any(|index| owns(self.state(index)))
            || self.holds.iter().any(|entry| {
                let word = entry.load(SeqCst);
                word != 0 && word as Person == person
            })
    }

    /// Whether a slot is not free, in this use of it.
    pub fn is_busy(&self, slot: SlotRef) -> bool {
        let state = (slot.index < SLOTS as u32).then(|| self.state(slot.index));
        state.is_some_and(|s| s.generation == slot.generation && s.kind != Kind::Free)
    }

    /// Slots that are not free.
    pub fn busy(&self) -> usize {
        self.used_slots().filter(|index| self.state(*index).kind != Kind::Free).count()
    }

    /// Whether a message was sent and nobody has taken it, nor taken it back.
    pub fn is_unread(&self, slot: SlotRef) -> bool {
        let state = (slot.index < SLOTS as u32).then(|| self.state(slot.index));
        state.is_some_and(|s| s.generation == slot.generation && s.kind == Kind::Sent)
    }

    /// Messages that were sent and that nobody has taken.
    pub fn unread(&self) -> usize {
        self.used_slots().filter(|index| self.state(*index).kind == Kind::Sent).count()
    }

    /// Bytes of the slots that are not free.
    pub fn used(&self) -> u64 {
        let busy = self.used_slots().filter(|index| self.state(*index).kind != Kind::Free);
        busy.map(|index| self.slots[index as usize].len.load(SeqCst)).sum()
    }

    /// The free ranges of the data. The lock must be held.
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        let mut busy: Vec<(u64, u64)> = self
            .used_slots()
            .filter(|index| self.state(*index).kind != Kind::Free)
            .filter_map(|index| self.extent(SlotRef { index, generation: 0 }))
            .collect();
        busy.sort_unstable();
        let mut gaps = Vec::new();
        let mut at = 0;
        for (offset, len) in busy {
            if offset > at {
                gaps.push((at, offset - at));
            }
            at = at.max(offset + len);
        }
        let capacity = self.capacity.load(SeqCst);
        if capacity > at {
            gaps.push((at, capacity - at));
        }
        gaps
    }
}

/// The lowest place for `len` bytes between those that are busy: low addresses are used again and
/// again, so their pages are there.
fn lowest_gap(busy: &mut [(u64, u64)], len: u64, capacity: u64) -> Option<u64> {
    busy.sort_unstable();
    let mut at = 0u64;
    for &(offset, taken) in busy.iter() {
        if offset.checked_sub(at).is_some_and(|gap| gap >= len) {
            return Some(at);
        }
        at = at.max(offset.saturating_add(taken));
    }
    at.checked_add(len).filter(|end| *end <= capacity).map(|_| at)
}

/// The offset in the file of an offset in the data.
pub fn file_offset(offset: u64) -> u64 {
    DATA_START as u64 + offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_word() {
        for kind in [Kind::Free, Kind::Writing, Kind::Sent, Kind::Kept, Kind::Taken] {
            for shared in [false, true] {
                let state = State { generation: u32::MAX, owner: 1024, shared, kind };
                assert_eq!(State::from_word(state.word()), state);
            }
        }
    }

    #[test]
    fn the_lowest_place_that_is_large_enough_is_taken() {
        let mut busy = [(8192, 4096), (0, 4096), (20480, 4096)];
        assert_eq!(lowest_gap(&mut busy, 4096, 1 << 20), Some(4096));
        assert_eq!(lowest_gap(&mut busy, 8192, 1 << 20), Some(12288));
        assert_eq!(lowest_gap(&mut busy, 12288, 1 << 20), Some(24576));
        assert_eq!(lowest_gap(&mut busy, 12288, 32768), None);
        assert_eq!(lowest_gap(&mut [], 4096, 4096), Some(0));
        assert_eq!(lowest_gap(&mut [(0, u64::MAX)], 1, u64::MAX), None);
    }
}
