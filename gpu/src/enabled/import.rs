//! Arenas of other processes: imported once, read from for each message.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ferropickle_core::shm::{Arena, Lease, SlotRef};
use ferropickle_core::sys::process::Stamp;

use super::arena::locked;
use super::device::{Current, Device, Relaxed};
use super::ipc::{ForeignBlock, SharedEvent};
use super::memory::{DeviceBuffer, DeviceOwner};
use super::shared::{SharedMemory, granule};
use crate::api::GpuError;
use crate::wire::{ArenaNote, BlockNote, HANDLE, SlotNote};

/// A receiver asks so often at once whether a slot is filled; then it sleeps in between.
const SPINS: u32 = 2000;
const NAP: Duration = Duration::from_micros(50);

/// An arena of another process, imported once and read from for each message. A clone is the same one.
#[derive(Clone)]
pub struct DevicePeer {
    inner: Arc<Imported>,
}

pub(super) struct Imported {
    device: Arc<Device>,
    note: ArenaNote,
    slots: Arena,
    memory: SharedMemory,
    maker: Option<Stamp>,
    events: Mutex<HashMap<u32, Arc<SharedEvent>>>,
    /// Slots to be given back when the device can be waited for.
    parked: Mutex<Vec<Lease>>,
    /// Slots to be given back when they are filled, though nobody wants them any more.
    unfilled: Mutex<Vec<(Lease, Arc<SharedEvent>)>>,
}

/// The arenas that a device's users have imported, by number.
pub(super) type Peers = Mutex<HashMap<u64, Weak<Imported>>>;

impl DevicePeer {
    /// The arena of this number, if it is imported: then no descriptors need be sent.
    pub fn known(device: &Device, id: u64) -> Option<Self> {
        let inner = locked(&device.peers).get(&id)?.upgrade()?;
        Some(Self { inner })
    }

    /// The arena that another process describes; the same object while it is in use.
    ///
    /// # Errors
    ///
    /// [`GpuError::Unshareable`] if it is on another device than this, if another partition of it, or this process's own (take
    /// `Stager::snapshot` there); [`GpuError::Damaged`] if the note or a descriptor is none; [`GpuError::Forked`]; a call that
    /// fails. Nothing stays behind.
    pub fn import(
        device: &Arc<Device>,
        note: &[u8],
        memory: OwnedFd,
        slots: OwnedFd,
    ) -> Result<Self, GpuError> {
        let note = ArenaNote::read(note)?;
        if note.device != device.id() {
            return Err(GpuError::Unshareable("it is on another device"));
        }
        if note.maker == Stamp::own().word() {
            return Err(GpuError::Unshareable("it is this process's own"));
        }
        let current = device.enter()?;
        if let Some(known) = Self::known(device, note.id).filter(|known| known.inner.note == note) {
            return Ok(known);
        }
        let granule = granule(device, &current)?;
        let slots = Arena::attach_of_other_memory(slots)?;
        let same = slots.id() == note.id && slots.capacity() == note.size;
        let size = usize::try_from(note.size).ok().filter(|size| size.is_multiple_of(granule));
        let size =
            size.filter(|_| same).ok_or(GpuError::Damaged("an arena is not as its note says"))?;
        let memory = SharedMemory::import(device, &current, memory, size)?;
        let inner = Arc::new(Imported {
            device: device.clone(),
            note,
            slots,
            memory,
            maker: Stamp::from_word(note.maker),
            events: Mutex::default(),
            parked: Mutex::default(),
            unfilled: Mutex::default(),
        });
        let mut peers = locked(&device.peers);
        peers.retain(|_, peer| peer.strong_count() > 0);
        peers.insert(note.id, Arc::downgrade(&inner));
        Ok(Self { inner })
    }

    /// Tells arenas apart.
    pub fn id(&self) -> u64 {
        self.inner.slots.id()
    }

    /// Whether nothing comes by it any more: its maker has ended, and every message in it but `answers`, which nobody waits for.
    pub fn is_over(&self, answers: &[SlotNote]) -> bool {
        let slots = &self.inner.slots;
        if self.inner.maker_lives() {
            return false;
        }
        for SlotNote { index, generation, .. } in answers {
            slots.withdraw(SlotRef { index: *index, generation: *generation });
        }
        slots.reclaim(false);
        slots.busy() == 0
    }

    /// Takes a message and waits until it is filled, `patience` at most: its arrays may wait for long work of the sender's. The
    /// buffer is the sender's memory: it is given back when the last part of
    /// the buffer is gone, for which the device's work is waited for if its address was asked for. `Stager::copy_out` makes it
    /// short.
    ///
    /// # Errors
    ///
    /// [`GpuError::Damaged`] if the note is none, or of another arena, or the slot smaller than it says; [`GpuError::Lost`] if
    /// the message was taken before, withdrawn, or its sender has died before it was filled; [`GpuError::Late`];
    /// [`GpuError::Slots`]; [`GpuError::Forked`]; a call that fails. A message that was taken is given back.
    pub fn receive(&self, note: &[u8], patience: Duration) -> Result<DeviceBuffer, GpuError> {
        let current = self.inner.device.enter()?;
        let note = SlotNote::read(note)?;
        let (lease, address) = self.take(&current, &note, patience)?;
        let owner = Held::new(lease, self, None);
        Ok(DeviceBuffer::new(&self.inner.device, Arc::new(owner), None, address, note.len as usize))
    }

    /// Takes a message that [`DeviceArena::share`](super::DeviceArena::share) has made. The buffer is the sender's live memory;
    /// the sender learns when the last part of it is gone.
    ///
    /// # Errors
    ///
    /// As [`DevicePeer::receive`]; [`GpuError::Unshareable`] if the memory is on another device or another process's than the
    /// arena.
    pub fn receive_shared(
        &self,
        note: &[u8],
        block: &[u8],
        patience: Duration,
    ) -> Result<DeviceBuffer, GpuError> {
        let inner = &*self.inner;
        let current = inner.device.enter()?;
        let (note, block) = (SlotNote::read(note)?, BlockNote::read(block)?);
        if block.device != inner.device.id() || Stamp::from_word(block.maker) != inner.maker {
            return Err(GpuError::Unshareable("it is on another device, or not its sender's"));
        }
        let (lease, _) = self.take(&current, &note, patience)?;
        let opened = inner.device.blocks.open(&inner.device, &current, &block)?;
        let (address, len) = (opened.address + block.offset, block.len as usize);
        let owner = Held::new(lease, self, Some(opened));
        Ok(DeviceBuffer::new(&inner.device, Arc::new(owner), None, address, len))
    }

    /// Takes a slot once it is filled, and where it is.
    fn take(
        &self,
        current: &Current<'_>,
        note: &SlotNote,
        patience: Duration,
    ) -> Result<(Lease, u64), GpuError> {
        let inner = &*self.inner;
        if note.arena != inner.slots.id() {
            return Err(GpuError::Damaged("a message lies in another arena"));
        }
        inner.give_back(current, None);
        // An error is the event's, and of no interest any more.
        locked(&inner.unfilled)
            .retain(|(_, event)| matches!(event.has_happened(current), Ok(false)));
        let slot = SlotRef { index: note.index, generation: note.generation };
        // Given back on every way out.
        let lease = inner.slots.take(slot)?;
        let (place, room) = lease.place();
        let end = place.checked_add(room).filter(|&end| end <= inner.memory.size() as u64);
        if end.is_none() || note.len > room {
            return Err(GpuError::Damaged("a message does not lie in its arena"));
        }
        if let Some(handle) = note.event {
            let event = inner.event(current, slot.index, handle)?;
            if !inner.wait(current, &event, patience)? {
                locked(&inner.unfilled).push((lease, event));
                return Err(GpuError::Late);
            }
        }
        Ok((lease, inner.memory.address() + place))
    }
}

impl Imported {
    /// The event of a slot, opened if it is not.
    fn event(
        &self,
        current: &Current<'_>,
        index: u32,
        handle: [u8; HANDLE],
    ) -> Result<Arc<SharedEvent>, GpuError> {
        if let Some(known) = locked(&self.events).get(&index)
            && known.handle == handle
        {
            return Ok(known.clone());
        }
        let opened = SharedEvent::open(&self.device, current, handle);
        let opened =
            opened.map_err(|error| if self.maker_lives() { error } else { GpuError::Lost })?;
        let opened = Arc::new(opened);
        locked(&self.events).insert(index, opened.clone());
        Ok(opened)
    }

    /// Waits for an event as long as its maker lives: by asking, since a stream that waits for a dead process's event waits for ever.
    /// False if it has not happened in time.
    fn wait(
        &self,
        current: &Current<'_>,
        event: &SharedEvent,
        patience: Duration,
    ) -> Result<bool, GpuError> {
        let deadline = Instant::now().checked_add(patience);
        for turn in 0u32.. {
            // Asked first: what a process did before it died is done.
            let lives = turn % 64 != 63 || self.maker_lives();
            if event.has_happened(current)? {
                return Ok(true);
            }
            if !lives {
                return Err(GpuError::Lost);
            }
            if turn > SPINS {
                std::thread::sleep(NAP);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        Ok(false)
    }

    /// Gives slots back once no work of this process can read them any more. Where the device cannot be waited for, that is tried
    /// again with the next message.
    fn give_back(&self, current: &Current<'_>, lease: Option<Lease>) {
        let mut parked = std::mem::take(&mut *locked(&self.parked));
        parked.extend(lease);
        if parked.is_empty() {
            return;
        }
        let done = Relaxed::new(current.calls).and_then(|_relaxed| {
            // SAFETY: the context is current; it may be waited for at any time.
            unsafe { current.calls.context_synchronize() }
        });
        if done.is_err() {
            locked(&self.parked).extend(parked);
        }
    }

    fn maker_lives(&self) -> bool {
        self.maker.is_some_and(Stamp::alive)
    }
}

/// A slot that this process has taken.
struct Held {
    lease: Option<Lease>,
    peer: DevicePeer,
    /// The allocation that it is a lease of, if it is not of the slot itself.
    _block: Option<Arc<ForeignBlock>>,
    /// Whether others than us use it.
    exposed: AtomicBool,
}

impl Held {
    fn new(lease: Lease, peer: &DevicePeer, block: Option<Arc<ForeignBlock>>) -> Self {
        let exposed = AtomicBool::new(false);
        Self { lease: Some(lease), peer: peer.clone(), _block: block, exposed }
    }
}

impl DeviceOwner for Held {
    fn expose(&self) {
        self.exposed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        // Our own work on it was waited for.
        if !*self.exposed.get_mut() {
            return;
        }
        // In a forked child there is no work of ours, and the slot is the parent's.
        let Ok(current) = self.peer.inner.device.enter() else { return };
        self.peer.inner.give_back(&current, Some(lease));
    }
}
