//! Large containers, encoded by several threads.
//!
//! A serial walk notes, a frame's worth of output at a time, how fast it gets
//! on in the containers that are open. Where much is left in one, what is left
//! is cut into parts. Parts are encoded in waves: while one runs, the memo is
//! frozen and read by all; an object met by two parts of a wave is written
//! first, by the serial walk, and the wave again. A part that needs more than
//! reading, or leads far into other parts, ends the wave, and the serial walk
//! goes on from there. The first wave is a small one: it costs little to learn
//! that a graph cannot be split. Where it meets many objects that others refer
//! to as well, which waves of more parts may meet twice, waves begin small and
//! none is encoded again: what one costs in vain is a small share of the whole,
//! or no more than those before have saved.
//!
//! How parts are cut depends on the objects alone, so the stream is the same
//! whatever the number of threads, as long as it is more than one.

use super::frame::{Batch, Frame, TupleEnd};
use super::worker::Worker;
use super::{Stop, Walker};
use crate::fast::{self, Obj};
use core::sync::atomic::AtomicUsize;
use ferropickle_core::Error;
use ferropickle_core::memo::{Entry, Found, Memo};
use ferropickle_core::opcode::Op;
use ferropickle_core::threads;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of output that a part should have: a frame. At the end of a wave threads
/// wait for the last part, and longer parts are waited for longer.
const PART_BYTES: usize = 64 * 1024;
/// Bytes of output that each of the two parts of a trial should have: a graph in
/// which everything leads to everything shows itself there.
const TRIAL_BYTES: usize = 16 * 1024;
/// A part with so many times the output that it should have has got into what
/// other parts are to write.
const MOST_OUTPUT: usize = 2;
/// What must be left to be worth the threads: about two milliseconds' work.
const LEAST_BYTES: usize = 2 << 20;
/// A str or bytes with so many bytes of output takes its time for their copy.
const LONG_BYTES: usize = 4096;
/// Items that must be left: fewer cannot be cut evenly.
const LEAST_ITEMS: isize = 8;
/// Parts of the first wave and of the largest; each has so many times the parts
/// of the one before.
const FIRST_WAVE: usize = 64;
const LARGEST_WAVE: usize = 256;
const WAVES_GROW: usize = 4;
/// The same in doubt, where the first wave is one part in so many of the rest.
const FIRST_WAVE_IN_DOUBT: usize = 64;
const WAVES_GROW_IN_DOUBT: usize = 2;
/// Room that is asked for at once, for waves to come too: an allocator may copy
/// what is written each time it is asked for more. What is larger it maps, and
/// that grows without a copy.
const MOST_ROOM_AHEAD: usize = 32 << 20;
/// Open containers that are looked at, from the outermost.
const DEEPEST: usize = 8;
/// One object in so many may be shared between the parts of a wave.
const MOST_SHARED: usize = 16;
/// And of a trial, whose small parts have more in common.
const MOST_SHARED_ON_TRIAL: usize = 4;
/// Where more than one object in so many has other references, parts of a larger
/// wave may share what those of a trial do not.
const DOUBTFUL: usize = 16;

/// Where a walk stands in its containers, and which it is to split.
pub struct Split {
    /// More than one thread may work.
    pub on: bool,
    /// The depth of the frame to split; `usize::MAX` if there is none.
    pub depth: usize,
    bytes_per_item: usize,
    /// Of a worker: where its part ends without success.
    pub most_bytes: usize,
    /// The last wave has met much that more parts may share.
    in_doubt: bool,
    /// By depth: the container, and how far it was at the last look.
    marks: Vec<(usize, isize)>,
    /// The output at the last look.
    looked_at: usize,
    /// Looks to leave out, and how many the next failure costs.
    wait: u32,
    cost: u32,
}

impl Default for Split {
    fn default() -> Self {
        Split {
            on: false,
            depth: usize::MAX,
            bytes_per_item: 0,
            most_bytes: usize::MAX,
            in_doubt: false,
            marks: Vec::new(),
            looked_at: 0,
            wait: 0,
            cost: 8,
        }
    }
}

impl Split {
    /// Forgets what was noted: a walk begins, or begins again.
    pub fn reset(&mut self, on: bool) {
        let mut marks = core::mem::take(&mut self.marks);
        marks.clear();
        *self = Split { on, marks, ..Split::default() };
    }

    /// After a wave of which so many parts are written, not all.
    fn back_off(&mut self, placed: usize) {
        self.wait = self.wait.max(self.cost);
        if placed == 0 {
            self.cost = self.cost.saturating_mul(8);
        }
    }

    /// After a wave in doubt that was given up, with so many bytes to write: half of
    /// them may have met what there is to share.
    fn wait_for_half(&mut self, bytes: usize) {
        self.wait = u32::try_from(bytes / PART_BYTES / 2).unwrap_or(u32::MAX);
    }
}

/// How a wave is cut: items to a part, and parts.
#[derive(Clone, Copy)]
struct Wave {
    step: isize,
    parts: usize,
    trial: bool,
}

/// A container whose items are cut into parts.
#[derive(Clone, Copy)]
pub enum Items {
    List(Obj),
    Tuple(Obj),
    /// By the positions of its entries.
    Dict(Obj),
    /// By the places of its table.
    Set(Obj),
    FrozenSet(Obj),
}

/// The parts of one wave.
pub struct Job {
    pub items: Items,
    from: isize,
    end: isize,
    step: isize,
    pub parts: usize,
    /// Bytes of output that no part may reach.
    pub most_bytes: usize,
    /// The number of the next part.
    pub next: AtomicUsize,
    /// The first part that could not be encoded.
    pub stop: AtomicUsize,
    met: Mutex<Vec<Option<Met>>>,
}

// SAFETY: its objects are only read, by the head of `worker.rs`.
unsafe impl Sync for Job {}

/// What a part has met, in the order of its entries.
pub struct Met {
    pub entries: Vec<(usize, u32)>,
    pub elided: Vec<Obj>,
}

// SAFETY: addresses, and objects that nobody touches before they are back.
unsafe impl Send for Met {}

impl Job {
    /// The items of a part.
    pub fn range(&self, number: usize) -> (isize, isize) {
        let from = self.from + number as isize * self.step;
        (from, self.end.min(from + self.step))
    }

    /// Keeps what a part has met.
    pub fn note(&self, number: usize, met: Met) {
        let mut all = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        all[number] = Some(met);
    }
}

impl Walker {
    /// Whether this walk may use threads at all.
    pub(super) fn may_split(&self) -> bool {
        cfg!(not(Py_GIL_DISABLED))
            && self.pure
            && self.options.proto >= 4
            && self.options.choices.threads != Some(1)
            && !self.hooks.asks_for_everything()
            && self.options.choices.rules.is_none()
    }

    /// A frame's worth was written: is there a container worth splitting?
    pub(super) fn look_for_split(&mut self) {
        let len = self.enc.out().len();
        let written = len.saturating_sub(self.split.looked_at);
        self.split.looked_at = len;
        let waiting = self.split.wait > 0;
        self.split.wait = self.split.wait.saturating_sub(1);
        for depth in 0..self.frames.len().min(DEEPEST) {
            let standing = standing(&self.frames[depth]);
            let Some((obj, done, left)) = standing else {
                if self.split.marks.get(depth).is_none_or(|(known, _)| *known != 0) {
                    self.split.marks.truncate(depth);
                    self.split.marks.push((0, 0));
                }
                continue;
            };
            let before = match self.split.marks.get(depth) {
                Some((known, before)) if *known == obj.addr() => Some(*before),
                _ => None,
            };
            if before.is_none() {
                self.split.marks.truncate(depth);
                self.split.marks.push((obj.addr(), done));
            } else if let Some(mark) = self.split.marks.get_mut(depth) {
                mark.1 = done;
            }
            let Some(gained) = before.map(|before| done - before).filter(|n| *n > 0) else {
                continue;
            };
            let bytes_per_item = written / gained as usize;
            let enough = left >= LEAST_ITEMS
                && bytes_per_item.saturating_mul(left as usize) >= LEAST_BYTES
                && !is_copied(&self.frames[depth], done, bytes_per_item);
            if enough && !waiting {
                self.split.bytes_per_item = bytes_per_item.max(1);
                self.split.depth = depth;
                return;
            }
        }
    }

    /// What is left of the container of the frame at `depth`, which is the last
    /// and stands between two items.
    #[cold]
    pub(super) fn split(&mut self, depth: usize) -> Result<(), Stop> {
        self.split.depth = usize::MAX;
        match self.frames[depth] {
            Frame::List { obj, next, .. } => {
                self.op(Op::Appends);
                let end = fast::list_len(obj);
                let reached = self.split_items(Items::List(obj), next, end)?;
                if reached == end {
                    self.pop();
                    return Ok(());
                }
                self.op(Op::Mark);
                if let Frame::List { next, in_batch, .. } = &mut self.frames[depth] {
                    (*next, *in_batch) = (reached, 0);
                }
            }
            Frame::Tuple { obj, next, .. } => {
                let reached = self.split_items(Items::Tuple(obj), next, fast::tuple_len(obj))?;
                if let Frame::Tuple { next, .. } = &mut self.frames[depth] {
                    *next = reached;
                }
            }
            Frame::Dict { obj, pos, .. } => {
                self.op(Op::Setitems);
                let Some(end) = fast::dict_end(obj) else { return Ok(()) };
                let reached = self.split_items(Items::Dict(obj), pos, end)?;
                self.op(Op::Mark);
                if let Frame::Dict { pos, at, in_batch, .. } = &mut self.frames[depth] {
                    (*pos, *at, *in_batch) = (reached, reached, 0);
                }
            }
            Frame::Set { obj, pos, frozen, .. } => {
                let items = if frozen {
                    Items::FrozenSet(obj)
                } else {
                    self.op(Op::Additems);
                    Items::Set(obj)
                };
                let reached = self.split_items(items, pos, fast::set_end(obj))?;
                if !frozen {
                    self.op(Op::Mark);
                }
                if let Frame::Set { pos, in_batch, .. } = &mut self.frames[depth] {
                    (*pos, *in_batch) = (reached, 0);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Encodes items from `from` on in parts; says how far it came.
    fn split_items(&mut self, items: Items, from: isize, end: isize) -> Result<isize, Stop> {
        let threads = threads::count().min(self.options.choices.threads.unwrap_or(usize::MAX));
        if threads < 2 {
            self.split.on = false;
            return Ok(from);
        }
        let items_of = |bytes: usize| (bytes / self.split.bytes_per_item).max(1) as isize;
        let (trial, step) = (items_of(TRIAL_BYTES), items_of(PART_BYTES));
        let mut workers: Vec<Worker> = (0..threads).map(|_| Worker::of(self)).collect();
        let mut at = from;
        let mut next = Wave { step: trial, parts: 2, trial: true };
        while end - at > step && self.split.on {
            let wave = next;
            let parts = wave.parts.min(((end - at + wave.step - 1) / wave.step) as usize);
            let placed = self.wave(&mut workers, items, (at, end), Wave { parts, ..wave })?;
            at = end.min(at + placed as isize * wave.step);
            if placed < parts {
                self.split.back_off(placed);
                break;
            }
            let left = ((end - at) / step) as usize;
            let parts = match (wave.trial, self.split.in_doubt) {
                (true, false) => FIRST_WAVE,
                (true, true) => (left / FIRST_WAVE_IN_DOUBT).clamp(2, FIRST_WAVE),
                (false, false) => wave.parts * WAVES_GROW,
                (false, true) => wave.parts * WAVES_GROW_IN_DOUBT,
            };
            next = Wave { step, parts: parts.min(LARGEST_WAVE), trial: false };
            if crate::signals::interrupted() {
                break;
            }
        }
        Ok(at)
    }

    /// One wave: says how many of its parts, from the first on, are written.
    fn wave(
        &mut self,
        workers: &mut [Worker],
        items: Items,
        (from, end): (isize, isize),
        Wave { step, parts, trial }: Wave,
    ) -> Result<usize, Stop> {
        let per_item = self.split.bytes_per_item;
        let bytes_of = |items: isize| per_item.saturating_mul(items as usize);
        let one_wave = trial || self.split.in_doubt;
        let ahead = if one_wave { step * parts as isize } else { end - from };
        let room = bytes_of(ahead).min(MOST_ROOM_AHEAD) / 4 * 5;
        // Twice at most: what was shared is in the memo then.
        for _ in 0..2 {
            let job = Job {
                items,
                from,
                end,
                step,
                parts,
                most_bytes: bytes_of(step).max(TRIAL_BYTES).saturating_mul(MOST_OUTPUT),
                next: AtomicUsize::new(0),
                stop: AtomicUsize::new(usize::MAX),
                met: Mutex::new((0..parts).map(|_| None).collect()),
            };
            let frozen = Arc::new(core::mem::replace(&mut self.memo, Memo::placeholder()));
            workers.iter_mut().for_each(|worker| worker.set_base(Some(frozen.clone())));
            let cut = self.enc.cut();
            let firsts = self.enc.add_parts(room, |placement| {
                let turns: Vec<_> = workers.iter_mut().map(Mutex::new).collect();
                threads::together(turns.len() - 1, |number| {
                    let mut worker = turns[number].lock().unwrap_or_else(PoisonError::into_inner);
                    worker.work(&job, placement);
                });
            });
            workers.iter_mut().for_each(|worker| worker.set_base(None));
            self.memo = Arc::into_inner(frozen).unwrap_or_default();
            let mut met = job.met.into_inner().unwrap_or_else(PoisonError::into_inner);
            met.truncate(firsts.len());
            let met: Vec<Met> = met.into_iter().flatten().collect();
            let all: usize = met.iter().map(|met| met.entries.len() + met.elided.len()).sum();
            if trial || self.split.in_doubt {
                let telling = telling_entries(&met);
                self.split.in_doubt = telling.len() > all / DOUBTFUL;
                if trial && self.split.in_doubt && has_twice(telling) {
                    // As below, but that the memo has nothing to forget.
                    self.enc.cut_back(cut);
                    self.enc.begin_frame();
                    self.split.wait_for_half(bytes_of(end - from));
                    return Ok(0);
                }
            }
            let shared = self.take_over(&met, &firsts);
            if shared.is_empty() {
                self.elided_in_parts.try_reserve(met.len()).map_err(|_| Error::OutOfMemory)?;
                self.elided_in_parts.extend(met.into_iter().map(|met| met.elided));
                self.enc.begin_frame();
                self.enc.check()?;
                self.split.looked_at = self.enc.out().len();
                return Ok(firsts.len());
            }
            self.enc.cut_back(cut);
            self.memo.forget_from(cut.next_index());
            self.enc.begin_frame();
            if self.split.in_doubt {
                self.split.wait_for_half(bytes_of(end - from));
                return Ok(0);
            }
            if shared.len() > all / if trial { MOST_SHARED_ON_TRIAL } else { MOST_SHARED } {
                self.split.on = false;
                return Ok(0);
            }
            for obj in shared {
                self.save_whole(obj)?;
                self.op(Op::Pop);
            }
            if !self.pure {
                return Ok(0);
            }
        }
        self.split.on = false;
        Ok(0)
    }

    /// Enters what parts have met, now that they have their places. Gives the
    /// objects that two of them have met and whose identity shows, in the order
    /// in which they come in the stream.
    fn take_over(&mut self, met: &[Met], firsts: &[u32]) -> Vec<Obj> {
        let mut twice = Vec::new();
        for (part, first) in met.iter().zip(firsts) {
            for (addr, own) in &part.entries {
                match self.memo.find(*addr) {
                    Found::No(vacant) => {
                        self.memo.insert_at(vacant, *addr, Entry::index(first + own));
                    }
                    Found::Yes(entry) => twice.push((entry.as_index(), *addr)),
                }
            }
        }
        twice.sort_unstable();
        twice.dedup();
        // SAFETY: these were met just now.
        let objects = twice.iter().map(|(_, addr)| unsafe { object_at(*addr) });
        objects.filter(|obj| identity_shows(*obj)).collect()
    }
}

/// The addresses of objects that parts have just met, and whose identity shows.
fn telling_entries(met: &[Met]) -> Vec<usize> {
    let addresses = met.iter().flat_map(|met| &met.entries).map(|(addr, _)| *addr);
    // SAFETY: they were met just now.
    addresses.filter(|addr| identity_shows(unsafe { object_at(*addr) })).collect()
}

fn has_twice(mut addresses: Vec<usize>) -> bool {
    addresses.sort_unstable();
    addresses.windows(2).any(|two| two[0] == two[1])
}

/// The object of an entry.
///
/// # Safety
///
/// A part of the walk that goes on has met it: parts enter objects alone, under
/// their addresses, and nothing dies in the walk.
unsafe fn object_at(addr: usize) -> Obj {
    // SAFETY: an object that lives, as the caller says.
    unsafe { Obj::new(addr as *mut pyo3::ffi::PyObject) }
}

/// Not of texts: only `is` could tell of these, and they hold nothing.
fn identity_shows(obj: Obj) -> bool {
    !fast::is_str(obj.ty()) && !fast::is_bytes(obj.ty())
}

/// A container that can be split: itself, how many items are written and how
/// many are left.
fn standing(frame: &Frame) -> Option<(Obj, isize, isize)> {
    match frame {
        Frame::List { obj, next, batch: Batch::Marked, .. } => {
            Some((*obj, *next, fast::list_len(*obj) - next))
        }
        Frame::Tuple { obj, next, end: TupleEnd::Tuple, .. } => {
            Some((*obj, *next, fast::tuple_len(*obj) - next))
        }
        Frame::Dict { obj, pos, batch: Batch::Marked, build: false, .. } => {
            fast::dict_end(*obj).map(|end| (*obj, *pos, end - pos))
        }
        Frame::Set { obj, pos, .. } => Some((*obj, *pos, fast::set_end(*obj) - pos)),
        _ => None,
    }
}

/// Whether the next item, and others of this length, are written as fast as memory:
/// numbers, and long texts, of which parts would be copied twice.
fn is_copied(frame: &Frame, at: isize, bytes: usize) -> bool {
    let item = match frame {
        Frame::List { obj, .. } => fast::list_get(*obj, at),
        Frame::Tuple { obj, .. } => fast::tuple_get(*obj, at),
        Frame::Dict { obj, .. } => {
            let mut pos = at;
            match fast::dict_next(*obj, &mut pos) {
                Some((_, value)) => value,
                None => return true,
            }
        }
        Frame::Set { obj, .. } => {
            let mut pos = at;
            match fast::set_next(*obj, &mut pos) {
                Some(item) => item,
                None => return true,
            }
        }
        _ => return true,
    };
    let ty = item.ty();
    let is_number = fast::is_int(ty) || fast::is_float(ty) || fast::is_bool(ty);
    let is_long = bytes >= LONG_BYTES && (fast::is_str(ty) || fast::is_bytes(ty));
    is_number || item.is_none() || is_long
}
