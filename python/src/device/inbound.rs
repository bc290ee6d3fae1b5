//! Arrays on devices that come from another process: from arenas that it has offered.

use super::buffer::{Buffer, fetch};
use crate::buffers;
use crate::build::buffer::Supply;
use crate::error::{Raised, raise_gpu};
use crate::fast::Own;
use crate::policy::Choices;
use crate::types::from_bound;
use ferropickle_core::buffer::Buffer as HostBuffer;
use ferropickle_core::shm::{self, SlotRef};
use ferropickle_core::sys::process::Stamp;
use ferropickle_gpu::beside::{Beside, Offer, Place, Places};
use ferropickle_gpu::wire::SlotNote;
use ferropickle_gpu::{DeviceBuffer, DeviceId, DevicePeer, GpuError, Stager, open_device, probe};
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The arenas that messages may lie in.
pub type Arenas = Arc<Vec<Arc<Arena>>>;

/// An arena of another process's.
pub struct Arena {
    offer: Offer,
    /// Kept for other processes, which may be given this end of the link.
    descriptors: [OwnedFd; 2],
    imported: OnceLock<DevicePeer>,
}

impl Arena {
    /// The arena as this process has it.
    pub fn peer(&self) -> Result<&DevicePeer, GpuError> {
        if let Some(peer) = self.imported.get() {
            return Ok(peer);
        }
        let [memory, slots] = &self.descriptors;
        let copy = |descriptor: &OwnedFd| {
            descriptor.try_clone().map_err(|error| GpuError::Slots(error.to_string()))
        };
        probe()?;
        let device = open_device(self.offer.arena.device)?;
        let note = self.offer.arena.bytes();
        let peer = DevicePeer::import(&device, &note, copy(memory)?, copy(slots)?)?;
        Ok(self.imported.get_or_init(|| peer))
    }
}

/// The other end's arenas, as they come.
#[derive(Default)]
pub struct Inbound {
    arenas: Mutex<Arenas>,
}

impl Inbound {
    /// The arenas of messages that have come so far.
    pub fn arenas(&self) -> Arenas {
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, arena: Arena) -> Arenas {
        let (id, replaces) = (arena.offer.arena.id, arena.offer.replaces);
        let mut arenas = self.arenas.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Vec::new();
        for known in arenas.iter().filter(|known| ![id, replaces].contains(&known.offer.arena.id)) {
            kept.push(known.clone());
        }
        kept.push(Arc::new(arena));
        core::mem::replace(&mut *arenas, Arc::new(kept))
    }

    /// The arena with this number, if it has come.
    pub fn find(&self, id: u64) -> Option<Arc<Arena>> {
        self.arenas().iter().find(|arena| arena.offer.arena.id == id).cloned()
    }

    /// Gives arenas up by which nothing comes any more.
    pub fn prune(&self) {
        let over = |arena: &Arena| {
            let answers = [arena.offer.trial, arena.offer.refusal];
            let ended = || Stamp::from_word(arena.offer.arena.maker).is_none_or(|s| !s.alive());
            arena.imported.get().map_or_else(ended, |peer| peer.is_over(&answers))
        };
        let over: Vec<Arc<Arena>> =
            self.arenas().iter().filter(|arena| over(arena)).cloned().collect();
        let is_over = |arena: &Arc<Arena>| over.iter().any(|known| Arc::ptr_eq(known, arena));
        let old = {
            let mut arenas = self.arenas.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = arenas.iter().filter(|arena| !is_over(arena)).cloned().collect();
            core::mem::replace(&mut *arenas, Arc::new(kept))
        };
        drop((old, over));
    }

    /// Imports an arena, if this process can: else the other end is told, and messages go on coming by the host.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn accept(&self, offer: Offer, descriptors: Vec<OwnedFd>) -> Result<(), GpuError> {
        let Ok(descriptors) = descriptors.try_into() else { return Ok(()) };
        let arena = Arena { offer, descriptors, imported: OnceLock::new() };
        let peer = match arena.peer() {
            Ok(peer) => peer.clone(),
            Err(error) => {
                let [_, slots] = arena.descriptors;
                refuse(&offer, slots);
                return Err(error);
            }
        };
        drop(self.add(arena));
        // That tells the other end, which waits for it nowhere.
        peer.receive(&offer.trial.bytes(), Duration::ZERO).map(drop)
    }

    /// What another process needs that is given this end: the bytes of offers, with their descriptors, which stay the link's.
    pub fn offers(&self) -> Vec<(Vec<u8>, i32, i32)> {
        let offer = |arena: &Arc<Arena>| {
            let [memory, slots] = &arena.descriptors;
            (arena.offer.bytes(), memory.as_raw_fd(), slots.as_raw_fd())
        };
        self.arenas().iter().map(offer).collect()
    }

    /// Takes what [`Inbound::offers`] gave in another process. The arena is imported when a message lies in it.
    ///
    /// # Errors
    ///
    /// If the bytes are no offer's.
    pub fn adopt(&self, offer: &[u8], descriptors: [OwnedFd; 2]) -> Result<(), GpuError> {
        let Beside::Offer(offer) = Beside::read(offer)? else {
            return Err(GpuError::Damaged("it is no offer of an arena"));
        };
        drop(self.add(Arena { offer: *offer, descriptors, imported: OnceLock::new() }));
        Ok(())
    }

    /// Takes what came beside a message: offers are seen to, and places are what it gives.
    ///
    /// # Errors
    ///
    /// UnpicklingError if it makes no sense.
    pub fn read(
        &self,
        py: Python<'_>,
        asides: &[Vec<u8>],
        mut descriptors: Vec<OwnedFd>,
    ) -> PyResult<Option<Places>> {
        let mut places = None;
        for aside in asides {
            match Beside::read(aside) {
                Ok(Beside::Offer(offer)) => {
                    let given = core::mem::take(&mut descriptors);
                    // Who cannot import it is sent messages by the host.
                    let _ = py.detach(|| self.accept(*offer, given));
                }
                Ok(Beside::Places(found)) => places = Some(found),
                Err(error) => return Err(Raised::unpickling(&error.to_string()).into_py(py)),
            }
        }
        Ok(places)
    }

    /// Whether there is any.
    pub fn is_used(&self) -> bool {
        !self.arenas().is_empty()
    }

    /// Gives the arenas up; arrays in them stay.
    pub fn end(&self) {
        let arenas = self.arenas.lock().map(|mut arenas| core::mem::take(&mut *arenas));
        drop(arenas);
    }
}

/// Tells the other end that its arena cannot be imported. It takes no driver to do so.
fn refuse(offer: &Offer, slots: OwnedFd) {
    let slot = SlotRef { index: offer.refusal.index, generation: offer.refusal.generation };
    if let Ok(slots) = shm::Arena::attach_of_other_memory(slots) {
        drop(slots.take(slot));
    }
}

/// Memory of a message, or of one of its buffers, that lay in an arena.
#[derive(Clone)]
pub enum Part {
    /// The arena's, or a copy of that on its device.
    Device(DeviceBuffer),
    /// A copy of that in host memory.
    Host(HostBuffer),
}

impl Part {
    /// A part of it; `None` if it does not lie within.
    fn part(&self, from: u64, len: u64) -> Option<Part> {
        let (from, len) = (usize::try_from(from).ok()?, usize::try_from(len).ok()?);
        match self {
            Part::Device(memory) => memory.part(from, len).map(Part::Device),
            Part::Host(bytes) => bytes.part(from, len).map(Part::Host),
        }
    }
}

/// The buffers of a message that lie in arenas.
pub struct Arrived {
    /// With their numbers.
    parts: std::vec::IntoIter<(u64, Part)>,
    /// Their bytes are wanted: the receiver's policy says where they go.
    fetched: bool,
}

impl Arrived {
    /// Takes a message out of its slots. They are free again when the last array in them is gone.
    ///
    /// # Errors
    ///
    /// DeviceError if one is gone, or lies in an arena that this process has not imported.
    pub fn take(
        py: Python<'_>,
        places: Places,
        arenas: &Arenas,
        choices: &Choices,
    ) -> PyResult<Arrived> {
        let taken = py.detach(|| {
            let take = |note: &SlotNote| {
                let arena = arenas.iter().find(|arena| arena.offer.arena.id == note.arena);
                let none = GpuError::Unshareable("it does not have the memory");
                let peer = arena.ok_or(none)?.peer()?;
                // The sender has filled it before it told.
                peer.receive(&note.bytes(), Duration::ZERO).map(Part::Device)
            };
            let slots = places.slots.iter().map(take).collect::<Result<Vec<_>, _>>()?;
            Arrived::parts(&slots, &places.rows)
        });
        Arrived::of(py, taken, choices)
    }

    /// The message of these slots, on their device copied out of them: they are free again when this returns, unless there is no
    /// memory for that.
    ///
    /// # Errors
    ///
    /// DeviceError if a buffer does not lie in its slot.
    pub fn copied(
        py: Python<'_>,
        slots: Vec<Part>,
        rows: &[Place],
        choices: &Choices,
    ) -> PyResult<Arrived> {
        let fetched = has_place(py, choices)?;
        let parts = py.detach(move || {
            let mut parts = Arrived::parts(&slots, rows)?;
            if !fetched {
                copy_out(&mut parts);
            }
            drop(slots);
            Ok(parts)
        });
        Arrived::of(py, parts, choices)
    }

    fn parts(slots: &[Part], rows: &[Place]) -> Result<Vec<(u64, Part)>, GpuError> {
        let part = |row: &Place| {
            let part = slots.get(row.slot as usize).and_then(|slot| slot.part(row.from, row.len));
            part.map(|part| (row.buffer, part)).ok_or(GpuError::TooSmall)
        };
        rows.iter().map(part).collect()
    }

    fn of(
        py: Python<'_>,
        parts: Result<Vec<(u64, Part)>, GpuError>,
        choices: &Choices,
    ) -> PyResult<Arrived> {
        let parts = parts.map_err(|error| raise_gpu(&error).into_py(py))?;
        // From here on the memory is let go of without the GIL.
        let mut arrived = Arrived { parts: parts.into_iter(), fetched: false };
        arrived.fetched = has_place(py, choices)?;
        Ok(arrived)
    }

    /// The buffer with this number; `None` if it is of the host's.
    fn object(&mut self, number: u64) -> Result<Option<Own>, Raised> {
        if self.parts.as_slice().first().is_none_or(|(buffer, _)| *buffer != number) {
            return Ok(None);
        }
        let memory = match self.parts.next() {
            Some((_, Part::Device(memory))) => memory,
            Some((_, Part::Host(bytes))) => return buffers::object_of(bytes, false).map(Some),
            None => return Ok(None),
        };
        Python::attach(|py| {
            let buffer = Buffer::new(memory);
            if self.fetched {
                let bytes = fetch(py, &[&buffer]).map_err(Raised::from_py)?;
                let bytes = bytes.into_iter().next().ok_or_else(Raised::no_memory)?;
                return buffers::object_of(bytes, false).map(Some);
            }
            let object = Bound::new(py, buffer).map_err(Raised::from_py)?;
            Ok(Some(from_bound(object.as_any())))
        })
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        let parts = core::mem::take(&mut self.parts);
        // What waits for the device does so without the GIL.
        Python::try_attach(|py| py.detach(move || drop(parts)));
    }
}

/// Puts copies of our own in the place of what lies in arenas, one allocation for each device; what there is no memory for
/// stays where it lies.
fn copy_out(parts: &mut [(u64, Part)]) {
    let mut by_device: BTreeMap<DeviceId, (Vec<usize>, Vec<DeviceBuffer>)> = BTreeMap::new();
    for (number, (_, part)) in parts.iter().enumerate() {
        if let Part::Device(memory) = part {
            let (numbers, from) = by_device.entry(memory.device().id()).or_default();
            numbers.push(number);
            from.push(memory.clone());
        }
    }
    for (numbers, from) in by_device.into_values() {
        let copies = from.first().map(|first| Stager::of(first.device()).copy_out(&from));
        for (number, copy) in
            numbers.into_iter().zip(copies.and_then(Result::ok).into_iter().flatten())
        {
            parts[number].1 = Part::Device(copy);
        }
    }
}

/// Whether a policy says on which device arrays land: then they come there from wherever they were.
fn has_place(py: Python<'_>, choices: &Choices) -> PyResult<bool> {
    let Some(policy) = &choices.policy else { return Ok(false) };
    let place = policy.bind(py).getattr("place")?;
    let as_sent = place.is_none() || place.extract::<&str>().is_ok_and(|word| word == "sender");
    Ok(!as_sent)
}

/// Buffers of the host's with those among them that lie in arenas.
pub struct Mixed {
    host: Box<dyn Supply>,
    arrived: Arrived,
    number: u64,
}

impl Mixed {
    /// `host` gives the buffers that have no places.
    pub fn new(host: Box<dyn Supply>, arrived: Arrived) -> Mixed {
        Mixed { host, arrived, number: 0 }
    }
}

impl Supply for Mixed {
    fn next(&mut self) -> Result<Option<(HostBuffer, bool)>, Raised> {
        self.host.next()
    }

    fn object(&mut self) -> Result<Option<Own>, Raised> {
        self.number += 1;
        match self.arrived.object(self.number - 1)? {
            Some(object) => Ok(Some(object)),
            None => self.host.object(),
        }
    }
}
