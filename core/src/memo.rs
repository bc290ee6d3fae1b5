//! Identity while encoding: which objects were written, and under what index.
//!
//! An object is an opaque non-zero `usize` (its address). Open addressing with
//! linear probing and a multiplicative hash: CPython's own table hashes
//! `address >> 3` and clusters (`_PyMemoTable_Lookup`, half of its dump time).
//! Entries carry a generation, so clearing the table for the next dump is one
//! increment.

use std::sync::Arc;

/// What the table says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(u32);

impl Entry {
    /// A tuple or frozenset whose items are being written: it has no index
    /// yet, and meeting it again means that it contains itself.
    pub const IN_PROGRESS: Entry = Entry(u32::MAX);
    /// A container that was written without a memo entry.
    pub const ELIDED: Entry = Entry(u32::MAX - 1);
    /// Highest index an object can have.
    pub const MAX_INDEX: u32 = u32::MAX - 6;

    /// The entry of an object that has an index in the stream.
    #[inline(always)]
    pub fn index(index: u32) -> Entry {
        debug_assert!(index <= Self::MAX_INDEX);
        Entry(index)
    }

    /// The index in the stream, if the object has one.
    #[inline(always)]
    pub fn as_index(self) -> Option<u32> {
        (self.0 <= Self::MAX_INDEX).then_some(self.0)
    }
}

/// Where a look-up ended.
#[derive(Debug, Clone, Copy)]
pub enum Found {
    /// The object is in the table.
    Yes(Entry),
    /// It is not; [`Memo::insert_at`] puts it there without a second probe.
    No(Vacant),
}

/// A free place, valid until the table changes.
#[derive(Debug, Clone, Copy)]
pub struct Vacant(usize);

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Slot {
    key: usize,
    value: u32,
    generation: u32,
}

/// The table.
#[derive(Debug)]
pub struct Memo {
    slots: Vec<Slot>,
    shift: u32,
    len: usize,
    generation: u32,
    failed: bool,
    /// What is known besides: a table that does not change meanwhile.
    base: Option<Arc<Memo>>,
}

const MIN_SLOTS: usize = 64;
/// Tables from here on (4 MiB) ask for huge pages: look-ups go everywhere in them.
#[cfg(unix)]
const HUGE_FROM_SLOTS: usize = 1 << 18;
/// 2^64 divided by the golden ratio.
const FIBONACCI: u64 = 0x9E37_79B9_7F4A_7C15;

impl Default for Memo {
    fn default() -> Self {
        Memo::new()
    }
}

impl Memo {
    /// An empty table.
    pub fn new() -> Self {
        Memo {
            slots: vec![Slot::default(); MIN_SLOTS],
            shift: 64 - MIN_SLOTS.trailing_zeros(),
            len: 0,
            generation: 1,
            failed: false,
            base: None,
        }
    }

    /// A table that holds nothing and has no memory: to stand where another was
    /// taken away. Must not be searched.
    pub const fn placeholder() -> Self {
        Memo { slots: Vec::new(), shift: 63, len: 0, generation: 1, failed: false, base: None }
    }

    /// Whether memory ran out: entries may be missing, the dump must fail.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Objects in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Slots held; a caller that keeps tables for reuse drops large ones.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Puts another table under this one: what is not found here is looked for
    /// there. [`Memo::len`] and [`Memo::iter`] do not see it.
    pub fn set_base(&mut self, base: Option<Arc<Memo>>) {
        self.base = base;
    }

    /// Forgets all objects and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
        match self.generation.checked_add(1) {
            Some(next) => self.generation = next,
            None => {
                self.slots.fill(Slot::default());
                self.generation = 1;
            }
        }
    }

    #[inline(always)]
    fn home(&self, key: usize) -> usize {
        (((key >> 4) as u64).wrapping_mul(FIBONACCI) >> self.shift) as usize
    }

    /// Where a look-up of `key` will begin to read, to be asked of memory before.
    #[inline(always)]
    pub fn place(&self, key: usize) -> *const u8 {
        self.slots.as_ptr().wrapping_add(self.home(key)).cast()
    }

    /// Looks `key` up. Keys are addresses: never zero.
    #[inline(always)]
    pub fn find(&self, key: usize) -> Found {
        let mask = self.slots.len() - 1;
        let mut at = self.home(key) & mask;
        loop {
            let slot = self.slots[at];
            if slot.generation != self.generation {
                return match &self.base {
                    None => Found::No(Vacant(at)),
                    Some(base) => base.below(key).map_or(Found::No(Vacant(at)), Found::Yes),
                };
            }
            if slot.key == key {
                return Found::Yes(Entry(slot.value));
            }
            at = (at + 1) & mask;
        }
    }

    /// [`Memo::get`] of a table under another: a call, as `find` is part of many
    /// loops and would have itself in it.
    #[inline(never)]
    fn below(&self, key: usize) -> Option<Entry> {
        self.get(key)
    }

    /// The entry of `key`, if there is one.
    #[inline(always)]
    pub fn get(&self, key: usize) -> Option<Entry> {
        match self.find(key) {
            Found::Yes(entry) => Some(entry),
            Found::No(_) => None,
        }
    }

    /// Puts `key` at the free place where its look-up ended.
    #[inline(always)]
    pub fn insert_at(&mut self, vacant: Vacant, key: usize, entry: Entry) {
        self.slots[vacant.0] = Slot { key, value: entry.0, generation: self.generation };
        self.len += 1;
        if self.len * 2 > self.slots.len() {
            self.grow();
        }
    }

    /// Puts `key` into the table, or changes its entry.
    pub fn set(&mut self, key: usize, entry: Entry) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(key) & mask;
        loop {
            let slot = &mut self.slots[at];
            if slot.generation != self.generation {
                return self.insert_at(Vacant(at), key, entry);
            }
            if slot.key == key {
                slot.value = entry.0;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Forgets the objects that have indices from `first` on.
    pub fn forget_from(&mut self, first: u32) {
        let keeps = |entry: &Entry| entry.as_index().is_none_or(|index| index < first);
        let kept: Vec<_> = self.iter().filter(|(_, entry)| keeps(entry)).collect();
        self.clear();
        kept.into_iter().for_each(|(key, entry)| self.set(key, entry));
    }

    /// Every key with its entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Entry)> + '_ {
        self.slots
            .iter()
            .filter(|slot| slot.generation == self.generation)
            .map(|slot| (slot.key, Entry(slot.value)))
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        // Fourfold while small, as most tables that leave the first size go on
        // growing; twofold when large, for memory.
        let factor = if self.slots.len() < 1 << 18 { 4 } else { 2 };
        let bigger = self.slots.len() * factor;
        let mut slots = Vec::new();
        if slots.try_reserve_exact(bigger).is_err() {
            self.failed = true;
            // Room for probes to end is all that is needed: the walk is over.
            if self.len * 8 > self.slots.len() * 7 {
                self.clear();
            }
            return;
        }
        #[cfg(unix)]
        if bigger >= HUGE_FROM_SLOTS {
            crate::sys::memory::prefer_huge_pages(slots.spare_capacity_mut());
        }
        slots.resize(bigger, Slot::default());
        let old = core::mem::replace(&mut self.slots, slots);
        let generation = self.generation;
        self.shift = 64 - bigger.trailing_zeros();
        let mask = bigger - 1;
        for slot in old.into_iter().filter(|slot| slot.generation == generation) {
            let mut at = self.home(slot.key) & mask;
            while self.slots[at].generation == generation {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_agrees_with_a_hash_map() {
        let mut memo = Memo::new();
        let mut naive = HashMap::new();
        let mut key = 0x1000usize;
        for round in 0..3u32 {
            for i in 0..5_000u32 {
                key = key.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407) | 16;
                memo.set(key, Entry::index(i));
                naive.insert(key, i);
                memo.set(key, Entry::index(i + round));
                naive.insert(key, i + round);
            }
            assert_eq!(memo.len(), naive.len());
            for (key, index) in &naive {
                assert_eq!(memo.get(*key).and_then(Entry::as_index), Some(*index));
            }
            assert_eq!(memo.iter().count(), naive.len());
            memo.clear();
            naive.clear();
            assert_eq!(memo.get(key), None);
        }
    }

    #[test]
    fn neighbouring_addresses_do_not_cluster() {
        let mut memo = Memo::new();
        for i in 0..10_000usize {
            memo.set(0x7f00_0000_0000 + i * 48, Entry::index(i as u32));
        }
        let mask = memo.slots.len() - 1;
        let longest = memo
            .iter()
            .map(|(key, _)| {
                let home = memo.home(key) & mask;
                (0..).find(|step| memo.slots[(home + step) & mask].key == key).expect("is there")
            })
            .max();
        assert!(longest < Some(64), "longest probe {longest:?}");
    }

    #[test]
    fn what_is_not_here_is_looked_for_below() {
        let mut below = Memo::new();
        below.set(0x10, Entry::index(1));
        below.set(0x20, Entry::index(2));
        let mut memo = Memo::new();
        memo.set_base(Some(Arc::new(below)));
        memo.set(0x20, Entry::index(7));
        assert_eq!(memo.get(0x10), Some(Entry::index(1)));
        assert_eq!(memo.get(0x20), Some(Entry::index(7)));
        assert_eq!((memo.get(0x30), memo.len()), (None, 1));
        memo.clear();
        assert_eq!(memo.get(0x20), Some(Entry::index(2)));
    }

    #[test]
    fn what_came_last_can_be_forgotten() {
        let mut memo = Memo::new();
        for i in 0..1000u32 {
            memo.set(0x1000 + 32 * i as usize, Entry::index(i));
        }
        memo.set(0x10, Entry::IN_PROGRESS);
        memo.forget_from(400);
        assert_eq!(memo.len(), 401);
        assert_eq!(memo.get(0x10), Some(Entry::IN_PROGRESS));
        for i in 0..1000u32 {
            let index = memo.get(0x1000 + 32 * i as usize).and_then(Entry::as_index);
            assert_eq!(index, (i < 400).then_some(i));
        }
    }

    #[test]
    fn special_entries_have_no_index() {
        assert_eq!(Entry::IN_PROGRESS.as_index(), None);
        assert_eq!(Entry::ELIDED.as_index(), None);
        assert_eq!(size_of::<Slot>(), 16);
    }
}
