//! The arena as one process has it.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::ShmError;
use super::fork;
use super::layout::Shared;
use super::lease::{Lease, Reservation};
use super::people::Person;
use super::segment::Segment;
use super::slots::{Hold, SlotRef, file_offset};
use super::warm::Warm;
use crate::limits::UNCLAIMED_MS;
use crate::sys::{memfile, process};

/// How long a claim waits for others before it answers that there is no room.
const PATIENCE: Duration = Duration::from_millis(500);
/// Where there is no room, the dead are not counted again within this time.
const RECLAIM_MS: u64 = 50;
/// An arena is not smaller.
const MIN_CAPACITY: u64 = 64 << 10;
/// An arena is not larger unless its size is given.
const MAX_DEFAULT: u64 = 64 << 30;

/// An arena. Cloning shares it.
#[derive(Clone)]
pub struct Arena(Arc<Inner>);

pub(super) struct Inner {
    pub(super) segment: Segment,
    id: u64,
    capacity: u64,
    /// Process id and number: after a fork the number is the parent's.
    person: AtomicU64,
    /// What this process has mapped; `None` where the memory of the slots is somewhere else.
    warm: Option<Warm>,
    reclaimed_ms: AtomicU64,
    /// Whether a fork is under way, so that each new lease is held for the child too.
    forking: AtomicBool,
    leases: Mutex<Leases>,
}

/// The leases of this process, by key.
#[derive(Default)]
struct Leases {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
}

/// What a lease has to give back.
struct Entry {
    slot: SlotRef,
    person: Person,
    /// `None` in a forked child for which nothing could be held.
    hold: Option<Hold>,
    /// The process that holds.
    pid: u32,
    /// Made before a fork, for the child to take over.
    for_child: Option<u32>,
}

impl Arena {
    /// A new arena. `capacity` bounds the bytes in it; `None` leaves the bound to the memory that is
    /// there. With a name it can be opened by name until its last process ends.
    pub fn create(capacity: Option<u64>, name: Option<&str>) -> Result<Arena, ShmError> {
        let capacity = match capacity {
            Some(bytes) => bytes.max(MIN_CAPACITY),
            None => default_capacity(name.is_some()),
        };
        let grain = super::slots::GRAIN;
        let capacity = capacity.checked_next_multiple_of(grain).ok_or(ShmError::NotAnArena)?;
        let segment = match name {
            None => Segment::anonymous(capacity)?,
            Some(name) => Segment::named(name, capacity)?,
        };
        let arena = Arena::join(segment, false)?;
        arena.0.head().open();
        Ok(arena)
    }

    /// A new arena whose slots divide `capacity` bytes of other memory, a device's say: no memory of the file's own is
    /// ever taken for them. [`Reservation::place`] and [`Lease::place`] tell where a slot is.
    pub fn of_other_memory(capacity: u64) -> Result<Arena, ShmError> {
        let arena = Arena::join(Segment::anonymous(capacity)?, true)?;
        arena.0.head().open();
        Ok(arena)
    }

    /// As [`Arena::attach`], to one that [`Arena::of_other_memory`] made.
    pub fn attach_of_other_memory(file: OwnedFd) -> Result<Arena, ShmError> {
        Arena::join(Segment::attach(file, None)?, true)
    }

    /// The arena of a descriptor that another process sent.
    pub fn attach(file: OwnedFd) -> Result<Arena, ShmError> {
        Arena::join(Segment::attach(file, None)?, false)
    }

    /// The arena of a name.
    pub fn open(name: &str) -> Result<Arena, ShmError> {
        Arena::join(Segment::open(name)?, false)
    }

    fn join(segment: Segment, elsewhere: bool) -> Result<Arena, ShmError> {
        let head = segment.head()?;
        let (id, capacity) = (head.id.load(Ordering::SeqCst), head.capacity.load(Ordering::SeqCst));
        let warm = (!elsewhere).then(|| Warm::new(segment.map.len()));
        let inner = Arc::new(Inner {
            segment,
            id,
            capacity,
            person: AtomicU64::new(0),
            warm,
            reclaimed_ms: AtomicU64::new(0),
            forking: AtomicBool::new(false),
            leases: Mutex::default(),
        });
        inner.person()?;
        fork::register(&inner);
        Ok(Arena(inner))
    }

    #[cfg(test)]
    pub(super) fn head(&self) -> &Shared {
        self.0.head()
    }

    /// Tells arenas apart.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The bound on bytes in it.
    pub fn capacity(&self) -> u64 {
        self.0.capacity
    }

    /// Its descriptor, to be sent to those who shall attach to it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.segment.fd()
    }

    /// Bytes that are written, on their way or held.
    pub fn used(&self) -> u64 {
        self.0.head().used()
    }

    /// Slots that are written, on their way or held.
    pub fn busy(&self) -> usize {
        self.0.head().busy()
    }

    /// Whether a message was sent and nobody has taken it, nor taken it back.
    pub fn is_unread(&self, slot: SlotRef) -> bool {
        self.0.head().is_unread(slot)
    }

    /// Messages that were sent and that nobody has taken.
    pub fn unread(&self) -> usize {
        self.0.head().unread()
    }

    /// Whether this use of a slot has not ended: it is written, on its way or held.
    pub fn is_busy(&self, slot: SlotRef) -> bool {
        self.0.head().is_busy(slot)
    }

    /// Memory for a message of `len` bytes; `None` if there is no room for it now.
    pub fn reserve(&self, len: u64) -> Result<Option<Reservation>, ShmError> {
        let inner = &self.0;
        let (head, person) = (inner.head(), inner.person()?);
        let claimed = {
            let Some(_guard) = head.lock.acquire(PATIENCE) else { return Ok(None) };
            head.claim(person, len).or_else(|| {
                let now = process::milliseconds();
                let last = inner.reclaimed_ms.load(Ordering::Relaxed);
                if now.saturating_sub(last) < RECLAIM_MS && last != 0 {
                    return None;
                }
                inner.reclaimed_ms.store(now, Ordering::Relaxed);
                let freed = head.reclaim(now, UNCLAIMED_MS);
                if freed > 0 { head.claim(person, len) } else { None }
            })
        };
        let Some((slot, offset)) = claimed else { return Ok(None) };
        let start = file_offset(offset) as usize;
        let reservation = Reservation {
            inner: inner.clone(),
            slot,
            person,
            start,
            len: len as usize,
            published: false,
        };
        let ready = inner.warm.as_ref().is_none_or(|warm| {
            let trims = head.trims.load(Ordering::SeqCst);
            warm.for_writing(&inner.segment, start, len as usize, trims)
        });
        Ok(ready.then_some(reservation))
    }

    /// Takes what was published: once if it was sent, any number of times while it is kept.
    pub fn take(&self, slot: SlotRef) -> Result<Lease, ShmError> {
        let inner = &self.0;
        let (head, person) = (inner.head(), inner.person()?);
        let hold = head.take(slot, person).ok_or(ShmError::Lost)?;
        let Some((offset, len)) = head.extent(slot) else {
            head.release(slot, person, hold);
            return Err(ShmError::Damaged("a slot outside its arena"));
        };
        let (start, len) = (file_offset(offset) as usize, len as usize);
        let mut leases = inner.leases();
        let forking = inner.forking.load(Ordering::Relaxed);
        let for_child = if forking { head.share(slot, person) } else { None };
        let key =
            leases.add(Entry { slot, person, hold: Some(hold), pid: process::pid(), for_child });
        drop(leases);
        if let Some(warm) = &inner.warm {
            warm.for_reading(&inner.segment, start, len);
        }
        Ok(Lease { inner: inner.clone(), key, start, len, sole: hold == Hold::Owner })
    }

    /// Takes a message back that nobody has taken, or ends the keeping of one; false if it is not there.
    pub fn withdraw(&self, slot: SlotRef) -> bool {
        self.0.head().withdraw(slot)
    }

    /// Takes all messages back that nobody has taken.
    pub fn withdraw_all(&self) {
        self.0.head().withdraw_all();
    }

    /// Frees what dead processes own. What they sent and nobody has taken stays for
    /// [`UNCLAIMED_MS`], unless the caller knows that it is on its way no more. Says how many slots were freed.
    pub fn reclaim(&self, unclaimed: bool) -> usize {
        let head = self.0.head();
        let Some(_guard) = head.lock.acquire(PATIENCE) else { return 0 };
        head.reclaim(process::milliseconds(), if unclaimed { 0 } else { UNCLAIMED_MS })
    }

    /// Gives the memory of what is free back to the system; it is got again when it is needed.
    pub fn trim(&self) -> Result<(), ShmError> {
        let head = self.0.head();
        let Some(_guard) = head.lock.acquire(PATIENCE) else { return Ok(()) };
        head.trims.fetch_add(1, Ordering::SeqCst);
        for (offset, len) in head.gaps() {
            memfile::punch(self.fd(), file_offset(offset), len)?;
        }
        Ok(())
    }
}

fn default_capacity(named: bool) -> u64 {
    let free = match named {
        true => memfile::free_in_segments(),
        false => process::available_memory(),
    };
    free.map_or(256 << 20, |bytes| bytes / 2).clamp(MIN_CAPACITY, MAX_DEFAULT)
}

impl Inner {
    pub(super) fn head(&self) -> &Shared {
        match self.segment.head() {
            Ok(head) => head,
            Err(_) => unreachable!("a segment was long enough when it was mapped"),
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process's number among those who take part.
    fn person(&self) -> Result<Person, ShmError> {
        let pid = u64::from(process::pid());
        let known = self.person.load(Ordering::Relaxed);
        if known >> 32 == pid {
            return Ok(known as Person);
        }
        let head = self.head();
        let entered = head.enter().or_else(|| {
            let _guard = head.lock.acquire(PATIENCE)?;
            head.reclaim(process::milliseconds(), UNCLAIMED_MS);
            head.enter()
        });
        let person = entered.ok_or(ShmError::Crowded)?;
        let word = pid << 32 | u64::from(person);
        match self.person.compare_exchange(known, word, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => {
                // Page tables of shared memory do not come along in a fork.
                self.warm.iter().for_each(Warm::forget);
                Ok(person)
            }
            Err(first) => {
                head.leave(person);
                Ok(first as Person)
            }
        }
    }

    /// Before a fork: each lease is held once more.
    pub(super) fn before_fork(&self) {
        let mut leases = self.leases();
        self.forking.store(true, Ordering::Relaxed);
        let head = self.head();
        for entry in leases.entries.iter_mut().flatten() {
            if entry.for_child.is_none() && entry.pid == process::pid() && entry.hold.is_some() {
                entry.for_child = head.share(entry.slot, entry.person);
                if entry.for_child.is_none() {
                    // No entry is left: memory that the child may see is better lost than used again.
                    entry.hold = None;
                }
            }
        }
    }

    /// After a fork, in the parent: what was held for the child is the child's.
    pub(super) fn after_fork_in_parent(&self) {
        self.forking.store(false, Ordering::Relaxed);
        for entry in self.leases().entries.iter_mut().flatten() {
            entry.for_child = None;
        }
    }

    /// After a fork, in the child: it takes over what was held for it.
    pub(super) fn after_fork_in_child(&self) {
        self.forking.store(false, Ordering::Relaxed);
        let mut leases = self.leases();
        if leases.entries.iter().all(Option::is_none) {
            return;
        }
        let own = self.person().ok();
        for entry in leases.entries.iter_mut().flatten() {
            let held =
                entry.for_child.take().zip(own).filter(|(hold, own)| {
                    self.head().hand_over(*hold, entry.slot, entry.person, *own)
                });
            entry.hold = held.map(|(hold, _)| Hold::Entry(hold));
            entry.person = own.unwrap_or(entry.person);
            entry.pid = process::pid();
        }
    }

    /// Ends a lease.
    pub(super) fn give_back(&self, key: usize) {
        let Some(entry) = self.leases().remove(key) else { return };
        // A child that was forked without our knowing holds nothing: the parent gives it back.
        if entry.pid != process::pid() {
            return;
        }
        if let Some(hold) = entry.for_child {
            self.head().release(entry.slot, entry.person, Hold::Entry(hold));
        }
        if let Some(hold) = entry.hold {
            self.head().release(entry.slot, entry.person, hold);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let known = *self.person.get_mut();
        let (pid, person) = ((known >> 32) as u32, known as Person);
        let head = self.head();
        if pid == process::pid() && !head.owns_anything(person) {
            head.leave(person);
        }
        if self.segment.name.is_some() {
            let guard = head.lock.acquire(PATIENCE);
            head.reclaim(process::milliseconds(), UNCLAIMED_MS);
            drop(guard);
            let own = process::Stamp::own();
            let others = (1..=head.people.len() as Person)
                .filter_map(|person| head.stamp(person))
                .any(|stamp| stamp != own && stamp.alive());
            if !others {
                self.segment.unlink();
            }
        }
    }
}

impl Leases {
    fn add(&mut self, entry: Entry) -> usize {
        match self.free.pop() {
            Some(key) => {
                self.entries[key] = Some(entry);
                key
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() - 1
            }
        }
    }

    fn remove(&mut self, key: usize) -> Option<Entry> {
        let entry = self.entries.get_mut(key)?.take()?;
        self.free.push(key);
        Some(entry)
    }
}
