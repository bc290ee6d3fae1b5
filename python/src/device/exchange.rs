//! Arrays on devices between processes that share a lane, where a sender does not know who will read a message: `outbound.rs`
//! and `inbound.rs` with a ticket before the message in place of descriptors beside it.
//!
//! A reader asks the sender for an arena once, by the address in the ticket, which Python's side of this listens at
//! (`python/ferropickle/multiprocessing/_offers.py`). From then on slots change hands by the arena's table alone, as on a link.
//! Messages lie in an arena once some reader has imported it. One that cannot asks for the bytes.

use super::inbound::{Arrived, Inbound, Part};
use super::outbound::{Load, Outbound, regions_of};
use super::unread::Unread;
use crate::arena::{Arena, argument};
use crate::error::{Raised, raise_gpu};
use crate::message::{self, Access};
use crate::parcel;
use crate::policy::{self, Choices, DeviceChoice};
use crate::types::to_bound;
use ferropickle_core::buffer::Buffer as HostBuffer;
use ferropickle_core::sys::process::{self, Stamp};
use ferropickle_gpu::beside::Offer;
use ferropickle_gpu::ticket::Ticket;
use ferropickle_gpu::wire::SlotNote;
use ferropickle_gpu::{DeviceArena, GpuError};
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::VecDeque;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many arenas that cannot be imported are remembered.
const DECLINED: usize = 64;

/// What a reader asks a sender for: an arena by its number, or the bytes of a message by its note.
const ARENA: u8 = b'A';
const BYTES: u8 = b'B';

/// An arena that others may ask for, until nothing lies in it any more.
struct Given {
    arena: DeviceArena,
    offer: Offer,
    descriptors: Vec<OwnedFd>,
}

/// What this process sends on devices to those who share a lane with it, and what they send.
///
/// `address` and `ask` are of those who bring questions to senders and answers back:
/// `address()` gives the bytes of the address that this process is asked at, or None
/// if it cannot be; `ask(address, question)` gives the answer's bytes and a list of
/// its descriptors, or raises what says why there is none.
#[pyclass(frozen, module = "ferropickle._native", name = "DeviceExchange", weakref)]
pub struct Exchange {
    outbound: Outbound,
    inbound: Inbound,
    given: Mutex<Vec<Given>>,
    unread: Unread,
    declined: Mutex<VecDeque<u64>>,
    /// Who made it. In a forked child it is not used, and its locks are not taken: threads of the parent's may have them.
    pid: u32,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn raise(py: Python<'_>, error: &GpuError) -> PyErr {
    raise_gpu(error).into_py(py)
}

/// The ticket before a message, and where the message begins.
fn read(py: Python<'_>, bytes: &HostBuffer) -> PyResult<(Ticket, HostBuffer)> {
    let (ticket, start) = Ticket::read(bytes.as_slice())
        .map_err(|error| Raised::unpickling(&error.to_string()).into_py(py))?;
    let inner = bytes.part(start, bytes.len() - start).ok_or_else(Raised::no_memory);
    Ok((ticket, inner.map_err(|raised| raised.into_py(py))?))
}

impl Exchange {
    fn is_own(&self) -> bool {
        self.pid == process::pid()
    }

    /// An arena of this process, if it is one.
    fn own(&self, id: u64) -> Option<DeviceArena> {
        if !self.is_own() {
            return None;
        }
        let given = locked(&self.given);
        let found = given.iter().find(|given| given.arena.id() == id);
        found.map(|given| given.arena.clone())
    }

    /// The bytes of a message that this process has sent; `None` if it is not one.
    fn bytes_of(&self, py: Python<'_>, note: &SlotNote) -> PyResult<Option<HostBuffer>> {
        // The arena first: it is kept until what leaves it is noted.
        let arena = self.own(note.arena);
        if !self.is_own() || (arena.is_none() && !self.unread.has(note)) {
            return Ok(None);
        }
        let taken = py.detach(move || {
            let bytes = self.unread.take(note);
            let (None, Some(arena)) = (&bytes, arena) else { return Ok(bytes) };
            match arena.take_bytes(note) {
                // It may have left for the host in between.
                Err(GpuError::Lost) => self.unread.take(note).map(Some).ok_or(GpuError::Lost),
                taken => taken.map(|bytes| Some(bytes.into())),
            }
        });
        taken.map_err(|error| raise(py, &error))
    }

    /// Of arenas that are in use no more only what lies in them is still to be read.
    fn give_up(&self, left: Vec<(DeviceArena, Offer)>) {
        for (arena, offer) in &left {
            // These only say whether the arena can be used. A driver that fails at that has lost the arena.
            let _ = arena.withdraw_noted(&offer.trial);
            let _ = arena.withdraw_noted(&offer.refusal);
        }
        let is_left = |id| left.iter().any(|(arena, _)| arena.id() == id);
        let empty: Vec<Given> = locked(&self.given)
            .extract_if(.., |given| is_left(given.arena.id()) && given.arena.busy() == 0)
            .collect();
        drop(empty);
    }

    /// The ticket of a message; `None` if it needs none.
    fn ticket(&self, py: Python<'_>, address: Vec<u8>, load: &mut Load) -> Option<Ticket> {
        let in_use = self.outbound.in_use();
        let mut offers = Vec::new();
        let mut left = Vec::new();
        {
            let mut given = locked(&self.given);
            if let Some((arena, offer)) = load.made.take() {
                let descriptors = core::mem::take(&mut load.descriptors);
                given.push(Given { arena, offer, descriptors });
            }
            // None goes from here before it is empty: readers ask for it meanwhile.
            for known in &*given {
                match in_use.iter().find(|(id, _)| *id == known.arena.id()) {
                    Some((_, answered)) => offers.extend((!answered).then_some(known.offer)),
                    None => left.push((known.arena.clone(), known.offer)),
                }
            }
        }
        if !left.is_empty() {
            py.detach(|| self.give_up(left));
        }
        let places = load.places.take();
        for note in places.iter().flat_map(|places| &places.slots) {
            py.detach(|| self.unread.add(*note, |id| self.own(id)));
        }
        let wanted = places.is_some() || !offers.is_empty();
        wanted.then_some(Ticket { address, offers, places })
    }

    /// Imports an arena that is offered, if that can be.
    fn consider(
        &self,
        py: Python<'_>,
        offer: &Offer,
        ask: &dyn Fn(&[u8]) -> PyResult<Answer>,
    ) -> PyResult<()> {
        let id = offer.arena.id;
        let own = offer.arena.maker == Stamp::own().word();
        if own || self.inbound.find(id).is_some() || locked(&self.declined).contains(&id) {
            return Ok(());
        }
        let answer = match ask(&question(ARENA, &id.to_le_bytes())) {
            Ok(answer) => answer,
            // Without it messages go on coming by the host.
            Err(error) if error.is_instance_of::<PyException>(py) => return Ok(()),
            Err(error) => return Err(error),
        };
        let accepted = py.detach(|| {
            self.inbound.prune();
            self.inbound.accept(*offer, answer.descriptors)
        });
        if accepted.is_err() && self.inbound.find(id).is_none() {
            let mut declined = locked(&self.declined);
            declined.push_back(id);
            if declined.len() > DECLINED {
                declined.pop_front();
            }
        }
        Ok(())
    }

    /// Takes a message out of its slot.
    fn take(
        &self,
        py: Python<'_>,
        note: &SlotNote,
        ask: &dyn Fn(&[u8]) -> PyResult<Answer>,
    ) -> PyResult<Part> {
        if let Some(bytes) = self.bytes_of(py, note)? {
            return Ok(Part::Host(bytes));
        }
        if self.inbound.find(note.arena).is_none() {
            let Answer { bytes, descriptors } = ask(&question(ARENA, &note.arena.to_le_bytes()))?;
            let adopted = py.detach(|| {
                self.inbound.prune();
                let two = descriptors.try_into();
                let two = two.map_err(|_| GpuError::Damaged("an arena came without its memory"))?;
                self.inbound.adopt(bytes.as_slice(), two)
            });
            adopted.map_err(|error| raise(py, &error))?;
        }
        let taken = py.detach(|| {
            let arena = self.inbound.find(note.arena);
            let arena = arena.ok_or(GpuError::Damaged("a message lies in another arena"))?;
            // The sender has filled it before it told.
            arena.peer()?.receive(&note.bytes(), Duration::ZERO)
        });
        match taken {
            Ok(memory) => Ok(Part::Device(memory)),
            Err(error @ GpuError::Damaged(_)) => Err(raise(py, &error)),
            // This process cannot use the arena, or the bytes wait on the host.
            Err(_) => {
                let bytes = ask(&question(BYTES, &note.bytes()))?.bytes;
                if bytes.len() as u64 != note.len {
                    return Err(raise(py, &GpuError::Damaged("a message came in part")));
                }
                Ok(Part::Host(bytes))
            }
        }
    }
}

/// What a sender has answered.
struct Answer {
    bytes: HostBuffer,
    descriptors: Vec<OwnedFd>,
}

impl Answer {
    fn of(given: &Bound<'_, PyAny>) -> PyResult<Answer> {
        let (bytes, numbers): (Bound<'_, PyAny>, Vec<i32>) = given.extract()?;
        if numbers.iter().enumerate().any(|(at, fd)| *fd < 0 || numbers[..at].contains(fd)) {
            return Err(PyValueError::new_err("descriptors must be open, and each there once"));
        }
        // SAFETY: the caller gives them away, none is -1, and none is there twice.
        let own = numbers.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Answer { descriptors: own.collect(), bytes: argument(&bytes, "bytes")? })
    }
}

fn question(kind: u8, about: &[u8]) -> Vec<u8> {
    [&[kind], about].concat()
}

#[pymethods]
impl Exchange {
    #[new]
    fn new() -> Exchange {
        Exchange {
            outbound: Outbound::for_many(),
            inbound: Inbound::default(),
            given: Mutex::default(),
            unread: Unread::default(),
            declined: Mutex::default(),
            pid: process::pid(),
        }
    }

    /// The message of an object, as `Arena.pack` makes it, with arrays on devices in
    /// memory that readers can map once one has, and until then with an offer of it.
    ///
    /// Raises what `dumps` raises.
    #[pyo3(signature = (obj, arena, policy, address))]
    fn pack<'py>(
        &self,
        obj: &Bound<'py, PyAny>,
        arena: &Bound<'py, Arena>,
        policy: &Bound<'py, PyAny>,
        address: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = obj.py();
        let arena = arena.get().get()?;
        let mut choices = policy::choose(Some(policy), Choices::default())?;
        if !self.is_own() {
            choices.device = DeviceChoice::Host;
            return message::pack(obj, Some(&arena), false, choices);
        }
        let (stream, table) = parcel::pack_regions(py, obj, choices)?;
        if regions_of(py, &table)?.is_empty() {
            return message::packed(py, &stream, &table, Some(&arena), false);
        }
        let address: Option<Vec<u8>> = address.call0()?.extract()?;
        let bound = if address.is_some() { arena.capacity() } else { 0 };
        let (table, mut load) = self.outbound.load(py, table, bound)?;
        if load.places.is_none() {
            // There may be no room: the next one may have some.
            py.detach(|| self.unread.make_room(|id| self.own(id)));
        }
        let ticket = self.ticket(py, address.unwrap_or_default(), &mut load);
        let inner = match message::packed(py, &stream, &table, Some(&arena), false) {
            Ok(inner) => inner,
            Err(error) => {
                self.outbound.take_back(py, load);
                return Err(error);
            }
        };
        let Some(ticket) = ticket else { return Ok(inner) };
        Ok(PyBytes::new(py, &[&ticket.bytes(), inner.as_bytes()].concat()))
    }

    /// The object of a message that `pack` of another process has made, if a ticket
    /// stands before it. Its arrays on devices are copies there, of the receiver's own.
    ///
    /// Raises UnpicklingError for a ticket that makes no sense, DeviceError if what it
    /// is for is gone, what `ask` raises, and what `loads` raises.
    #[pyo3(signature = (message, arena, ask))]
    fn unpack<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        arena: &Bound<'py, Arena>,
        ask: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = message.py();
        let (arena, choices) = (arena.get().get()?, policy::choose(None, Choices::default())?);
        let (ticket, inner) = read(py, &argument(message, "message")?)?;
        let address = PyBytes::new(py, &ticket.address);
        let ask = |question: &[u8]| Answer::of(&ask.call1((&address, PyBytes::new(py, question)))?);
        for offer in &ticket.offers {
            self.consider(py, offer, &ask)?;
        }
        let on_devices = match ticket.places {
            Some(places) => {
                let slots = places.slots.iter().map(|note| self.take(py, note, &ask));
                let slots = slots.collect::<PyResult<Vec<_>>>()?;
                Some(Arrived::copied(py, slots, &places.rows, &choices)?)
            }
            None => None,
        };
        let access = Access::of(None);
        let object = message::unpack(py, &inner, true, Some(&arena), access, choices, on_devices)?;
        Ok(to_bound(py, object.obj()))
    }

    /// The answer to a question of another process's: bytes, and descriptors that are
    /// the caller's to close. None if it is about an arena that is not this exchange's.
    ///
    /// Raises DeviceError if the message that is asked for is gone or cannot be read.
    fn answer<'py>(
        &self,
        py: Python<'py>,
        question: &[u8],
    ) -> PyResult<Option<(Bound<'py, PyAny>, Vec<i32>)>> {
        match question.split_first() {
            _ if !self.is_own() => Ok(None),
            Some((&ARENA, id)) => {
                let given = locked(&self.given);
                let found = given.iter().find(|given| given.arena.id().to_le_bytes() == *id);
                let Some(found) = found else { return Ok(None) };
                let copies = found.descriptors.iter().map(OwnedFd::try_clone);
                let copies = copies.collect::<Result<Vec<_>, _>>()?;
                let numbers = copies.into_iter().map(IntoRawFd::into_raw_fd).collect();
                Ok(Some((PyBytes::new(py, &found.offer.bytes()).into_any(), numbers)))
            }
            Some((&BYTES, note)) => {
                let note = SlotNote::read(note).map_err(|error| raise(py, &error))?;
                let Some(bytes) = self.bytes_of(py, &note)? else { return Ok(None) };
                let object = crate::buffers::object_of(bytes, true);
                let object = object.map_err(|raised| raised.into_py(py))?;
                Ok(Some((to_bound(py, object.obj()), Vec::new())))
            }
            _ => Ok(None),
        }
    }

    /// Takes back a message that nobody will read: what of it lies on devices, and in
    /// the arena of the host.
    fn withdraw(&self, message: &Bound<'_, PyAny>, arena: &Bound<'_, Arena>) -> PyResult<()> {
        let py = message.py();
        let (ticket, inner) = read(py, &argument(message, "message")?)?;
        py.detach(|| {
            for note in ticket.places.iter().flat_map(|places| &places.slots) {
                if self.is_own() && self.unread.take(note).is_some() {
                    continue;
                }
                // A driver that fails here has lost the arena.
                if let Some(arena) = self.own(note.arena)
                    && !arena.withdraw_noted(note).unwrap_or(false)
                {
                    // It may have left for the host in between.
                    drop(self.unread.take(note));
                }
            }
        });
        message::withdraw(&arena.get().get()?, inner.as_slice());
        Ok(())
    }

    /// How many messages of this process lie on devices and have not been read.
    #[getter]
    fn unread(&self) -> usize {
        if !self.is_own() {
            return 0;
        }
        let in_use = self.outbound.in_use();
        // In one that nobody is known to have imported lie no messages.
        let is_used = |id| in_use.iter().all(|(known, answered)| *known != id || *answered);
        let given = locked(&self.given);
        let used = given.iter().map(|given| &given.arena).filter(|arena| is_used(arena.id()));
        used.map(DeviceArena::unread).sum::<usize>() + self.unread.len()
    }

    /// Gives all arenas up. Arrays that were received stay; what was not read is gone.
    fn close(&self, py: Python<'_>) {
        if !self.is_own() {
            return;
        }
        let given = core::mem::take(&mut *locked(&self.given));
        py.detach(|| {
            drop(given);
            self.unread.clear();
            self.outbound.end();
            self.inbound.end();
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // To undo mappings is to wait for devices.
        Python::try_attach(|py| self.close(py));
    }
}
