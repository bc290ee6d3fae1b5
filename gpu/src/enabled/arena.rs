//! An arena: device memory of one process, divided into slots that others read.
//!
//! The slots' states are those of the host's arenas ([`ferropickle_core::shm`]): a table in shared memory beside the
//! device's, in which every step is one exchange of a word, and from which survivors free what dead processes have.
//!
//! A slot has an event of its own, by its number. It is recorded when the slot is filled and before that is told, and not again
//! before the slot has been claimed anew, for which each who took it has given it back, and so has seen the event.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ferropickle_core::buffer::Block;
use ferropickle_core::shm::{Arena, Lease, Reservation, ShmError, SlotRef};
use ferropickle_core::sys::process::Stamp;

use super::blocks::note_of;
use super::device::Current;
use super::ipc::SharedEvent;
use super::memory::{DeviceBuffer, DeviceOwner};
use super::shared::{SharedMemory, granule};
use super::staging::Stager;
use super::stream::Stream;
use crate::api::GpuError;
use crate::plan::{DEVICE_ALIGN, places};
use crate::region::Region;
use crate::wire::{ArenaNote, BlockNote, SlotNote};

/// Slots beyond these are filled when their message is told: drivers have so many events between processes, and not many more.
const EVENTS: u32 = 256;

/// When so many messages are remembered, those that have ended are forgotten.
const FORGET: usize = 1024;

/// Between two questions whether what fills a slot is done.
const NAP: Duration = Duration::from_micros(50);

/// An arena of this process. A clone is the same one.
#[derive(Clone)]
pub struct DeviceArena {
    inner: Arc<Inner>,
}

struct Inner {
    stager: Stager,
    slots: Arena,
    memory: SharedMemory,
    granule: usize,
    events: Mutex<HashMap<u32, Option<Arc<SharedEvent>>>>,
    sent: Mutex<Vec<(SlotRef, Instant)>>,
}

/// What is told to those who shall import an arena: by a socket that takes descriptors.
pub struct ArenaExport {
    /// An [`ArenaNote`].
    pub note: [u8; ArenaNote::LEN],
    /// The memory.
    pub memory: OwnedFd,
    /// The table of slots.
    pub slots: OwnedFd,
}

/// Arrays that were put into an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// A [`SlotNote`], for one receiver, or for all if they are kept.
    pub note: [u8; SlotNote::LEN],
    /// Where each array begins in the message, in the order in which they were given.
    pub places: Vec<usize>,
    slot: SlotRef,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<ShmError> for GpuError {
    fn from(error: ShmError) -> Self {
        match error {
            ShmError::Lost => Self::Lost,
            ShmError::Damaged(what) => Self::Damaged(what),
            ShmError::NotAnArena => Self::Damaged("a file is no table of slots"),
            ShmError::Namespace => Self::Unshareable("it has another namespace of processes"),
            error => Self::Slots(error.to_string()),
        }
    }
}

impl DeviceArena {
    /// An arena of `capacity` bytes, rounded up to what the device maps.
    ///
    /// # Errors
    ///
    /// [`GpuError::Unshareable`] where there is no memory to be shared; [`GpuError::Slots`]; [`GpuError::Forked`]; a call
    /// that fails, out of memory among them.
    pub fn new(stager: &Stager, capacity: usize) -> Result<Self, GpuError> {
        let device = stager.device();
        let current = device.enter()?;
        let granule = granule(device, &current)?;
        let size = capacity.max(1).checked_next_multiple_of(granule);
        let size = size.ok_or(GpuError::NoHostMemory(capacity))?;
        let slots = Arena::of_other_memory(size as u64)?;
        let memory = SharedMemory::create(device, &current, size)?;
        let (events, sent) = (Mutex::default(), Mutex::default());
        let stager = stager.clone();
        Ok(Self { inner: Arc::new(Inner { stager, slots, memory, granule, events, sent }) })
    }

    /// What other processes import it by. Once for each of them.
    ///
    /// # Errors
    ///
    /// [`GpuError::Slots`]; [`GpuError::Forked`]; a call that fails.
    pub fn export(&self) -> Result<ArenaExport, GpuError> {
        let inner = &*self.inner;
        let device = inner.stager.device();
        let memory = inner.memory.export(&device.enter()?)?;
        let slots = inner.slots.fd().try_clone_to_owned();
        let slots = slots.map_err(|error| GpuError::Slots(error.to_string()))?;
        let note = ArenaNote {
            device: device.id(),
            id: inner.slots.id(),
            size: inner.memory.size() as u64,
            granule: inner.granule as u64,
            maker: Stamp::own().word(),
        };
        Ok(ArenaExport { note: note.bytes(), memory, slots })
    }

    /// Tells arenas apart.
    pub fn id(&self) -> u64 {
        self.inner.slots.id()
    }

    /// The bound on bytes in it.
    pub fn capacity(&self) -> usize {
        self.inner.memory.size()
    }

    /// Bytes that are on their way or held by receivers.
    pub fn used(&self) -> u64 {
        self.inner.slots.used()
    }

    /// Messages that are on their way or held by receivers.
    pub fn busy(&self) -> usize {
        self.inner.slots.busy()
    }

    /// Whether a message is on its way: nobody has taken it.
    pub fn is_unread(&self, note: &SlotNote) -> bool {
        self.inner.slots.is_unread(slot_of(note))
    }

    /// Messages that are on their way: nobody has taken them.
    pub fn unread(&self) -> usize {
        self.inner.slots.unread()
    }

    /// Packs arrays into a slot, for one receiver or, `kept`, for any number until it is withdrawn. `None` if there is no room
    /// now: the message goes another way. What is queued in the arrays' streams from then on does not change what is sent.
    ///
    /// # Errors
    ///
    /// As [`Stager::snapshot`]; [`GpuError::Slots`].
    pub fn send(&self, arrays: &[Region], kept: bool) -> Result<Option<Sent>, GpuError> {
        self.pack(arrays, kept, false)
    }

    /// As [`DeviceArena::send`], and waits until the slot is filled: the message is as good when this process has ended.
    ///
    /// # Errors
    ///
    /// As [`DeviceArena::send`]; the status of work that failed.
    pub fn send_filled(&self, arrays: &[Region], kept: bool) -> Result<Option<Sent>, GpuError> {
        self.pack(arrays, kept, true)
    }

    fn pack(&self, arrays: &[Region], kept: bool, filled: bool) -> Result<Option<Sent>, GpuError> {
        let stager = &self.inner.stager;
        let current = stager.device().enter()?;
        let lens: Vec<usize> = arrays.iter().map(Region::len_bytes).collect();
        let Some((places, len)) = places(&lens, DEVICE_ALIGN) else { return Ok(None) };
        self.put(&current, places, len, (kept, filled), |base, places, after| {
            let to: Vec<u64> = places.iter().map(|&place| base + place as u64).collect();
            stager.pack(&current, arrays, &to, after)
        })
    }

    /// Claims a slot, has it filled, and tells of it: `kept`, and once it is `filled`. `fill` is given where it is, where in it the arrays go, and what our stream is
    /// told when that is queued.
    fn put(
        &self,
        current: &Current<'_>,
        places: Vec<usize>,
        len: usize,
        (kept, filled): (bool, bool),
        fill: impl FnOnce(
            u64,
            &[usize],
            &dyn Fn(&Stream) -> Result<(), GpuError>,
        ) -> Result<(), GpuError>,
    ) -> Result<Option<Sent>, GpuError> {
        let inner = &*self.inner;
        let Some(room) = inner.slots.reserve(len as u64)? else { return Ok(None) };
        let slot = room.slot();
        let event = if filled { None } else { inner.event(current, &room)? };
        fill(inner.memory.address() + room.place(), &places, &|stream| match &event {
            Some(event) => event.record(current, stream),
            None => stream.wait(),
        })?;
        let note = SlotNote {
            arena: inner.slots.id(),
            index: slot.index,
            generation: slot.generation,
            len: len as u64,
            event: event.map(|event| event.handle),
        };
        {
            let mut sent = locked(&inner.sent);
            if sent.len() >= FORGET {
                sent.retain(|(slot, _)| inner.slots.is_busy(*slot));
            }
            sent.push((slot, Instant::now()));
        }
        room.publish(kept);
        Ok(Some(Sent { note: note.bytes(), places, slot }))
    }

    /// Shares the memory of an array as it is, live: nothing is copied, and what either side writes both see. The message is a slot
    /// with nothing in it, whose note goes with that of the memory, and which receivers hold as long as they use the memory; the
    /// caller keeps it as long as [`DeviceArena::is_held`] says. `None` if there is no room now.
    ///
    /// The whole allocation is opened to the receivers, with all that lies in it besides.
    ///
    /// # Errors
    ///
    /// [`GpuError::Unshareable`] if the memory was allocated in a way that others cannot open: it is sent as a copy then;
    /// [`GpuError::NotThere`], [`GpuError::Capturing`], [`GpuError::Slots`], [`GpuError::Forked`]; a call that fails.
    pub fn share(
        &self,
        array: &Region,
        kept: bool,
    ) -> Result<Option<(Sent, [u8; BlockNote::LEN])>, GpuError> {
        let device = self.inner.stager.device();
        let current = device.enter()?;
        let (low, len) = array.span().unwrap_or((array.address(), u64::MAX));
        let block = note_of(device, &current, low, len)?;
        let stager = &self.inner.stager;
        let sent = self
            .put(&current, Vec::new(), 0, (kept, false), |_, _, after| stager.mark(array, after))?;
        Ok(sent.map(|sent| (sent, block.bytes())))
    }

    /// Whether a message is still on its way, or held by a receiver that lives.
    pub fn is_held(&self, sent: &Sent) -> bool {
        let slots = &self.inner.slots;
        slots.is_busy(sent.slot) && (slots.reclaim(false) == 0 || slots.is_busy(sent.slot))
    }

    /// Takes a message back that nobody has taken, or ends the keeping of one; false if it is not there.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; the status of work that failed.
    pub fn withdraw(&self, sent: &Sent) -> Result<bool, GpuError> {
        self.inner.withdraw(sent.slot)
    }

    /// As [`DeviceArena::withdraw`], by the message's note.
    ///
    /// # Errors
    ///
    /// As [`DeviceArena::withdraw`].
    pub fn withdraw_noted(&self, note: &SlotNote) -> Result<bool, GpuError> {
        self.inner.withdraw(slot_of(note))
    }

    /// Takes a message in the place of a receiver that cannot import the arena: its bytes, in host memory.
    ///
    /// # Errors
    ///
    /// [`GpuError::Lost`] if it was taken before or withdrawn; [`GpuError::Damaged`] if it is of another arena, or the slot
    /// smaller than its note says; [`GpuError::NoHostMemory`]; as [`Stager::fetch`]. A message that was taken is given back.
    pub fn take_bytes(&self, note: &SlotNote) -> Result<Block, GpuError> {
        let inner = &*self.inner;
        if note.arena != inner.slots.id() {
            return Err(GpuError::Damaged("a message lies in another arena"));
        }
        let outside = GpuError::Damaged("a message does not lie in its arena");
        let len = usize::try_from(note.len).ok().filter(|len| *len <= self.capacity());
        let Some(len) = len else { return Err(outside) };
        // Before the message is taken: it is there once.
        let mut bytes = Block::zeroed(len).ok_or(GpuError::NoHostMemory(len))?;
        let lease = inner.slots.take(slot_of(note))?;
        let (place, room) = lease.place();
        let end = place.checked_add(room).filter(|&end| end <= inner.memory.size() as u64);
        if end.is_none() || note.len > room {
            return Err(outside);
        }
        let (device, address) = (inner.stager.device(), inner.memory.address() + place);
        let held = Arc::new(Taken { _lease: lease, _arena: self.clone() });
        let buffer = DeviceBuffer::new(device, held, None, address, len);
        inner.stager.fetch(&[buffer], &mut [bytes.as_mut_slice()])?;
        Ok(bytes)
    }

    /// Takes back what was sent longer than `deadline` ago and nobody has taken, and frees what dead receivers had. How many
    /// messages it were.
    ///
    /// # Errors
    ///
    /// As [`DeviceArena::withdraw`].
    pub fn expire(&self, deadline: Duration) -> Result<usize, GpuError> {
        let inner = &*self.inner;
        let mut freed = inner.slots.reclaim(false);
        let all = std::mem::take(&mut *locked(&inner.sent));
        let (mut late, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, since)| since.elapsed() >= deadline);
        locked(&inner.sent).extend(others);
        while let Some(sent) = late.pop() {
            match inner.withdraw(sent.0) {
                Ok(withdrawn) => freed += usize::from(withdrawn),
                // The others are not forgotten.
                Err(error) => {
                    locked(&inner.sent).extend(late.into_iter().chain([sent]));
                    return Err(error);
                }
            }
        }
        Ok(freed)
    }
}

/// A message of our own that we have taken.
struct Taken {
    _lease: Lease,
    _arena: DeviceArena,
}

impl DeviceOwner for Taken {}

fn slot_of(note: &SlotNote) -> SlotRef {
    SlotRef { index: note.index, generation: note.generation }
}

impl Inner {
    /// The event of a slot; `None` where there is none.
    fn event(
        &self,
        current: &Current<'_>,
        room: &Reservation,
    ) -> Result<Option<Arc<SharedEvent>>, GpuError> {
        let index = room.slot().index;
        if index >= EVENTS {
            return Ok(None);
        }
        let mut events = locked(&self.events);
        if let Some(known) = events.get(&index) {
            return Ok(known.clone());
        }
        let made = SharedEvent::create(self.stager.device(), current)?.map(Arc::new);
        events.insert(index, made.clone());
        Ok(made)
    }

    fn withdraw(&self, slot: SlotRef) -> Result<bool, GpuError> {
        if !self.slots.is_busy(slot) {
            return Ok(false);
        }
        let current = self.stager.device().enter()?;
        // Who claims the memory next does not wait for what still fills it.
        let event = locked(&self.events).get(&slot.index).cloned().flatten();
        if let Some(event) = event {
            while !event.has_happened(&current)? {
                std::thread::sleep(NAP);
            }
        }
        Ok(self.slots.withdraw(slot))
    }
}
