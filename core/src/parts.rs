//! Parts of a stream that are encoded by themselves, on several threads, and
//! put into it in their order.
//!
//! A part is whole frames. Its memo entries have no indices yet: MEMOIZE needs
//! none, and GETs of its own entries get theirs when the part has its place
//! ([`Encoder::begin_part`], [`Placement`]).
//!
//! # Safety
//!
//! A [`Placement`] holds a pointer to the room after a stream's output, which
//! it borrows. Each part gets a range of it under a lock, ranges follow one
//! another, and only the thread that was given a range writes there.

use crate::encode::Encoder;
use crate::out::Storage;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Indices from here on are a part's own until it has its place in a stream.
pub(crate) const OWN_INDICES: u32 = 1 << 31;

/// A part that is encoded.
#[derive(Debug, Default)]
pub struct Part {
    /// Its opcodes.
    pub bytes: Vec<u8>,
    /// Where they have GETs of its own entries.
    pub own_gets: Vec<usize>,
    /// How many memo entries they make.
    pub entries: u32,
}

impl Part {
    /// The number of an entry among the part's own, if its index is not yet one
    /// of a stream.
    pub fn own(index: u32) -> Option<u32> {
        index.checked_sub(OWN_INDICES)
    }

    fn rebase(&mut self, first: u32) {
        for at in &self.own_gets {
            let place = &mut self.bytes[*at..*at + 4];
            let own = u32::from_le_bytes([place[0], place[1], place[2], place[3]]) - OWN_INDICES;
            place.copy_from_slice(&(first + own).to_le_bytes());
        }
    }
}

/// A place in a stream, between frames, to which it can be cut back.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    len: usize,
    next_index: u32,
}

impl Cut {
    /// The first index that what comes after may have.
    pub fn next_index(&self) -> u32 {
        self.next_index
    }
}

impl<S: Storage> Encoder<S> {
    /// Begins a part, to be encoded by this encoder alone. From protocol 4 on.
    pub fn begin_part(&mut self) {
        debug_assert!(self.proto() >= 4);
        self.own_gets.clear();
        self.restart(OWN_INDICES);
        self.begin_frame();
    }

    /// Ends the part: the output is its opcodes, which `take` is given, storage
    /// and length; it gives them as a vector.
    pub fn end_part(&mut self, take: impl FnOnce(&mut S, usize) -> Vec<u8>) -> Part {
        self.end_frame();
        let entries = self.next_index - OWN_INDICES;
        let own_gets = core::mem::take(&mut self.own_gets);
        Part { bytes: self.take_output(take), own_gets, entries }
    }

    /// Closes the open frame: parts may follow.
    pub fn cut(&mut self) -> Cut {
        self.end_frame();
        Cut { len: self.out.len(), next_index: self.next_index }
    }

    /// Goes back to a cut.
    pub fn cut_back(&mut self, cut: Cut) {
        self.end_frame();
        self.out.truncate(cut.len);
        self.next_index = cut.next_index;
    }

    /// Adds the parts that `run` gives to the placement, from number 0 up to the
    /// first that it does not give, and says with which indices their entries
    /// begin. There should be `room` bytes for them; more are written afterwards
    /// by this thread. Between [`Encoder::cut`] and [`Encoder::begin_frame`].
    pub fn add_parts(&mut self, room: usize, run: impl FnOnce(&Placement)) -> Vec<u32> {
        self.out.reserve(room);
        let next_index = self.next_index;
        let placement = Placement::new(self.out.spare_mut(), next_index);
        run(&placement);
        let placed = placement.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the placement's ranges follow one another, and all copies to
        // them ended with `run`: `finish` returns after its own.
        unsafe { self.out.advance(placed.len) };
        for part in &placed.beyond {
            self.out.put_slice(&part.bytes);
        }
        self.next_index = placed.next_index;
        placed.firsts
    }
}

/// Gives finished parts their places.
pub struct Placement<'a> {
    room: *mut u8,
    size: usize,
    state: Mutex<Placed>,
    _room: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

// SAFETY: the room is written to in disjoint ranges only (see the module).
unsafe impl Sync for Placement<'_> {}

#[derive(Default)]
struct Placed {
    /// Parts that came before their turn.
    early: Vec<(usize, Part)>,
    /// Bytes of the room that are given away.
    len: usize,
    next_index: u32,
    /// The first index of each part that has its place.
    firsts: Vec<u32>,
    /// Parts for which there was no room, and all after them.
    beyond: Vec<Part>,
    /// Memory of parts that were placed.
    spare: Vec<Part>,
}

impl<'a> Placement<'a> {
    fn new(room: &'a mut [MaybeUninit<u8>], next_index: u32) -> Self {
        Placement {
            room: room.as_mut_ptr().cast(),
            size: room.len(),
            state: Mutex::new(Placed { next_index, ..Placed::default() }),
            _room: PhantomData,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Placed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a part; each number from 0 on once. Gives memory for another.
    pub fn finish(&self, number: usize, part: Part) -> Part {
        let mut turn: Vec<(Part, u32, usize)> = Vec::new();
        let mut state = self.lock();
        state.early.push((number, part));
        while let Some(at) = state.early.iter().position(|(n, _)| *n == state.firsts.len()) {
            let (_, part) = state.early.swap_remove(at);
            let (first, len) = (state.next_index, part.bytes.len());
            state.firsts.push(first);
            state.next_index += part.entries;
            if state.beyond.is_empty() && len <= self.size - state.len {
                turn.push((part, first, state.len));
                state.len += len;
            } else {
                let mut part = part;
                part.rebase(first);
                state.beyond.push(part);
            }
        }
        drop(state);
        for (part, first, at) in &mut turn {
            part.rebase(*first);
            // SAFETY: `at` and the bytes after it were given to this part alone,
            // within the room.
            unsafe {
                let to = self.room.add(*at);
                core::ptr::copy_nonoverlapping(part.bytes.as_ptr(), to, part.bytes.len());
            }
        }
        let mut state = self.lock();
        state.spare.extend(turn.into_iter().map(|(part, ..)| part));
        state.spare.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opcode::Op;
    use crate::out::HeapStorage;

    type Heap = Encoder<HeapStorage>;

    fn part(write: impl FnOnce(&mut Heap)) -> Part {
        let mut enc = Heap::new(HeapStorage::default(), 4);
        enc.begin_part();
        write(&mut enc);
        enc.end_part(|storage, len| storage.take_vec(len))
    }

    /// A list of `[n, n]`, where the second item is a GET of the first, twice
    /// memoized; by parts in the order given.
    fn by_parts(room: usize, order: &[usize]) -> Vec<u8> {
        let mut enc = Heap::new(HeapStorage::default(), 4);
        enc.begin();
        enc.op(Op::EmptyList);
        enc.memoize();
        enc.cut();
        let firsts = enc.add_parts(room, |placement| {
            for number in order {
                placement.finish(
                    *number,
                    part(|enc| {
                        enc.op(Op::Mark);
                        enc.str(format!("part {number}").as_bytes()).expect("fits");
                        let index = enc.memoize();
                        assert_eq!(Part::own(index), Some(0));
                        enc.get(index);
                        enc.get(0);
                        enc.op(Op::Appends);
                    }),
                );
            }
        });
        assert_eq!(firsts, (1..=firsts.len() as u32).collect::<Vec<_>>());
        enc.begin_frame();
        enc.finish().expect("memory is there");
        enc.into_vec()
    }

    #[test]
    fn parts_come_in_order_whatever_the_order_of_their_end() {
        let straight = by_parts(1 << 16, &[0, 1, 2, 3, 4]);
        assert_eq!(straight, by_parts(1 << 16, &[3, 0, 4, 2, 1]));
        crate::decode::verify(&straight).expect("well-formed");
        for number in 0..5 {
            let text = format!("part {number}");
            assert!(straight.windows(text.len()).any(|found| found == text.as_bytes()));
        }
    }

    #[test]
    fn parts_without_room_are_added_afterwards() {
        assert_eq!(by_parts(0, &[1, 0, 2]), by_parts(1 << 16, &[0, 1, 2]));
        assert_eq!(by_parts(60, &[2, 1, 0]), by_parts(1 << 16, &[0, 1, 2]));
    }

    #[test]
    fn what_follows_a_missing_part_is_left_out() {
        assert_eq!(by_parts(1 << 16, &[0, 2, 3]), by_parts(1 << 16, &[0]));
    }

    #[test]
    fn a_cut_forgets_parts() {
        let mut enc = Heap::new(HeapStorage::default(), 4);
        enc.begin();
        enc.op(Op::EmptyList);
        let cut = enc.cut();
        enc.add_parts(64, |placement| {
            placement.finish(0, part(|enc| enc.none()));
        });
        enc.cut_back(cut);
        enc.begin_frame();
        enc.finish().expect("memory is there");
        assert_eq!(enc.into_vec(), b"\x80\x04].");
    }

    #[test]
    fn threads_share_the_work() {
        let serial = by_parts(1 << 20, &(0..64).collect::<Vec<_>>());
        let mut enc = Heap::new(HeapStorage::default(), 4);
        enc.begin();
        enc.op(Op::EmptyList);
        enc.memoize();
        enc.cut();
        let next = core::sync::atomic::AtomicUsize::new(0);
        enc.add_parts(1 << 20, |placement| {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        loop {
                            let number = next.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
                            if number >= 64 {
                                return;
                            }
                            let made = part(|enc| {
                                enc.op(Op::Mark);
                                enc.str(format!("part {number}").as_bytes()).expect("fits");
                                let index = enc.memoize();
                                enc.get(index);
                                enc.get(0);
                                enc.op(Op::Appends);
                            });
                            placement.finish(number, made);
                        }
                    });
                }
            });
        });
        enc.begin_frame();
        enc.finish().expect("memory is there");
        assert_eq!(enc.into_vec(), serial);
    }
}
