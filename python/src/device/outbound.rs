//! How arrays on devices leave a link: through an arena on their device that the other end has imported, else by the host.
//!
//! The first message that has arrays of a device brings the other end an offer of an arena there, and goes by the host. Who
//! imports the arena takes a message that the offer names, who cannot takes another, and nothing comes back by the socket: the sender
//! sees in the arena's table which was taken. Until then messages go by the host, and for ever after a refusal. Who has not answered is
//! offered one arena, and no large one: `unanswered.rs`.

use super::region::Region;
use super::staging::{Want, download, source_of};
use super::unanswered::{MOST_FIRST, Unanswered};
use crate::api;
use crate::buffers;
use crate::error::{Raised, raise_gpu};
use crate::policy::Face;
use crate::types::to_bound;
use ferropickle_core::buffer::{ALIGN, Block, Buffer as HostBuffer, BufferDesc, BufferTable};
use ferropickle_core::sys::process;
use ferropickle_gpu::beside::{Offer, Place, Places};
use ferropickle_gpu::plan::DEVICE_ALIGN;
use ferropickle_gpu::wire::{ArenaNote, SlotNote};
use ferropickle_gpu::{
    DeviceArena, DeviceId, GpuError, Region as Source, Sent, Stager, open_device,
};
use pyo3::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An arena for one reader has room for so many messages like the one that it was made for.
const MESSAGES: u64 = 2;

/// One for readers of any number.
const MESSAGES_FOR_MANY: u64 = 4;

/// No arena is smaller.
const LEAST_BYTES: u64 = 16 << 20;

/// The way to one device.
#[derive(Default)]
struct Route {
    arena: Option<DeviceArena>,
    /// How the other end answers; `None` when it has accepted.
    answer: Option<Box<Answer>>,
    /// What the first arena takes, as long as there is no answer.
    unanswered: Option<Unanswered>,
    /// No arena for messages of so many bytes can be had.
    refused_from: Option<u64>,
    /// A thread is making an arena.
    in_the_making: bool,
}

/// Of these the other end takes the one or the other.
#[derive(Clone)]
struct Answer {
    trial: Sent,
    refusal: Sent,
}

/// The ways of a link, and the process that made them.
#[derive(Default)]
struct Routes {
    by_device: HashMap<DeviceId, Route>,
    pid: u32,
}

/// The arenas by which one end of a link sends, or a process to those who share a lane with it.
pub struct Outbound {
    routes: Mutex<Routes>,
    /// An arena has room for so many messages.
    messages: u64,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { routes: Mutex::default(), messages: MESSAGES }
    }
}

/// How a message goes.
enum Way {
    Host,
    /// By this arena, once the other end has accepted it.
    Arena(DeviceArena, Option<Box<Answer>>),
    /// By the host, with the offer of an arena in place of this one.
    Make(u64),
}

/// What a message has beside it.
#[derive(Default)]
pub struct Load {
    /// What goes with the first byte.
    pub descriptors: Vec<OwnedFd>,
    /// The arena that is offered, and how.
    pub made: Option<(DeviceArena, Offer)>,
    /// Where buffers lie that are in arenas.
    pub places: Option<Places>,
    slots: Vec<(DeviceArena, Sent)>,
    offered: Option<DeviceId>,
}

impl Load {
    /// What goes beside the message, in this order.
    pub fn asides(&self) -> Vec<Vec<u8>> {
        let offer = self.made.as_ref().map(|(_, offer)| offer.bytes());
        offer.into_iter().chain(self.places.as_ref().map(Places::bytes)).collect()
    }
}

/// A buffer that is memory of a device: which of the message's it is.
pub type Row<'py> = (usize, Bound<'py, Region>);

impl Outbound {
    /// One whose messages may be read by any of several processes.
    pub fn for_many() -> Self {
        Self { messages: MESSAGES_FOR_MANY, ..Self::default() }
    }

    /// The buffers of a message without those that lie in arenas, and what tells of these.
    ///
    /// `bound`: no arena is larger.
    pub fn load(
        &self,
        py: Python<'_>,
        table: BufferTable,
        bound: u64,
    ) -> PyResult<(BufferTable, Load)> {
        let mut load = Load::default();
        match self.fill(py, &table, bound, &mut load) {
            Ok(other) => Ok((other.unwrap_or(table), load)),
            Err(error) => {
                self.take_back(py, load);
                Err(error)
            }
        }
    }

    /// The table of a load, if it is another than the object's.
    fn fill(
        &self,
        py: Python<'_>,
        table: &BufferTable,
        bound: u64,
        load: &mut Load,
    ) -> PyResult<Option<BufferTable>> {
        let rows = regions_of(py, table)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut places = Places::default();
        let mut by_device: BTreeMap<DeviceId, Vec<Row<'_>>> = BTreeMap::new();
        for (number, region) in rows {
            if let Some(device) = region.get().device_id() {
                by_device.entry(device).or_default().push((number, region));
            }
        }
        let mut by_host = Vec::new();
        for (device, rows) in by_device {
            let raise = |error| raise_gpu(&error).into_py(py);
            match self.put(py, device, &rows, bound, load) {
                Ok(Some(sent)) => add_slot(&mut places, &rows, &sent).map_err(raise)?,
                Ok(None) => by_host.extend(rows),
                Err(error) => return Err(blamed(py, &rows, raise(error))),
            }
        }
        places.rows.sort_by_key(|row| row.buffer);
        let table = on_host(py, table, by_host, &places);
        load.places = (!places.rows.is_empty()).then_some(places);
        table.map(Some)
    }

    /// Puts arrays of a device into its arena; `None` if they go by the host.
    fn put(
        &self,
        py: Python<'_>,
        device: DeviceId,
        rows: &[Row<'_>],
        bound: u64,
        load: &mut Load,
    ) -> Result<Option<Sent>, GpuError> {
        let lens = rows.iter().map(|(_, region)| region.get().layout().len_bytes() as u64);
        let bytes = lens.map(|len| len.next_multiple_of(DEVICE_ALIGN as u64)).sum();
        match self.way(device, bytes, bound, load.offered.is_none()) {
            Way::Host => Ok(None),
            Way::Make(replaces) => {
                let room = if replaces == 0 { self.first_room(bytes) } else { bytes };
                let made = py.detach(|| self.make(device, room, bound, replaces));
                load.offered = self.made(py, device, bytes, made, load).then_some(device);
                Ok(None)
            }
            Way::Arena(arena, answer) => {
                if let Some(answer) = &answer
                    && !self.is_accepted(py, device, &arena, answer)
                {
                    return Ok(None);
                }
                if (arena.capacity() as u64) < bytes {
                    // Now a larger one may be offered.
                    return self.put(py, device, rows, bound, load);
                }
                let sources: Vec<Source> =
                    rows.iter().map(|(_, region)| source_of(region.get())).collect();
                match py.detach(|| arena.send_filled(&sources, false)) {
                    Ok(sent) => {
                        load.slots.extend(sent.clone().map(|sent| (arena, sent)));
                        Ok(sent)
                    }
                    // The host would be refused as well.
                    Err(GpuError::Capturing) => Err(GpuError::Capturing),
                    // What is wrong with the arrays, if it is these, the copy to the host says.
                    Err(_) => Ok(None),
                }
            }
        }
    }

    /// Whether the other end can use an arena, as far as is known now. One that it has refused is given up.
    fn is_accepted(
        &self,
        py: Python<'_>,
        device: DeviceId,
        arena: &DeviceArena,
        answer: &Answer,
    ) -> bool {
        let (refused, accepted) = py.detach(|| {
            let refused = !arena.is_held(&answer.refusal);
            let accepted = !refused && !arena.is_held(&answer.trial);
            if accepted {
                // It takes room, and a driver that fails here fails at what comes next as well.
                let _ = arena.withdraw(&answer.refusal);
            }
            (refused, accepted)
        });
        let mut given_up = None;
        if let Some(route) = self.routes().by_device.get_mut(&device)
            && route.arena.as_ref().is_some_and(|known| known.id() == arena.id())
            && (refused || accepted)
        {
            (route.answer, route.unanswered) = (None, None);
            if refused {
                route.refused_from = Some(0);
                given_up = route.arena.take();
            }
        }
        drop(given_up);
        accepted
    }

    /// The arenas in use, and whether it is known that they can be: until then they are to be offered.
    pub fn in_use(&self) -> Vec<(u64, bool)> {
        let routes = self.routes();
        let known = |route: &Route| Some((route.arena.as_ref()?.id(), route.answer.is_none()));
        routes.by_device.values().filter_map(known).collect()
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way(&self, device: DeviceId, bytes: u64, bound: u64, may_offer: bool) -> Way {
        let mut routes = self.routes();
        let pid = process::pid();
        if routes.pid == 0 {
            routes.pid = pid;
        }
        if routes.pid != pid {
            // The arenas are the parent's.
            return Way::Host;
        }
        let route = routes.by_device.entry(device).or_default();
        if route.in_the_making {
            return Way::Host;
        }
        if let Some(arena) = &route.arena
            && (arena.capacity() as u64 >= bytes || route.answer.is_some())
        {
            return Way::Arena(arena.clone(), route.answer.clone());
        }
        let refused = route.refused_from.is_some_and(|least| bytes >= least);
        if refused || bytes > bound || !may_offer {
            return Way::Host;
        }
        if route.arena.is_none() {
            let room = self.capacity(self.first_room(bytes), bound);
            let Some(unanswered) = Unanswered::take(room) else { return Way::Host };
            route.unanswered = Some(unanswered);
        }
        route.in_the_making = true;
        Way::Make(route.arena.as_ref().map_or(0, DeviceArena::id))
    }

    /// Bytes of an arena for messages of `bytes`.
    fn capacity(&self, bytes: u64, bound: u64) -> u64 {
        bytes.saturating_mul(self.messages).max(LEAST_BYTES).min(bound)
    }

    /// For messages of which size the first arena is made: a large message has a larger one made once the other end has answered.
    fn first_room(&self, bytes: u64) -> u64 {
        if self.capacity(bytes, u64::MAX) <= MOST_FIRST { bytes } else { 0 }
    }

    /// An arena with an offer of it.
    fn make(
        &self,
        device: DeviceId,
        bytes: u64,
        bound: u64,
        replaces: u64,
    ) -> Result<Made, GpuError> {
        let capacity = self.capacity(bytes, bound);
        let capacity = usize::try_from(capacity).map_err(|_| GpuError::NoHostMemory(usize::MAX))?;
        let arena = DeviceArena::new(&Stager::of(&open_device(device)?), capacity)?;
        let nothing = || {
            let sent = arena.send_filled(&[], false)?;
            sent.ok_or(GpuError::Damaged("a new arena has no room"))
        };
        let answer = Answer { trial: nothing()?, refusal: nothing()? };
        let export = arena.export()?;
        let offer = Offer {
            arena: ArenaNote::read(&export.note)?,
            trial: SlotNote::read(&answer.trial.note)?,
            refusal: SlotNote::read(&answer.refusal.note)?,
            replaces,
        };
        Ok(Made { arena, answer, offer, descriptors: vec![export.memory, export.slots] })
    }

    /// Notes what became of making an arena; whether it is offered.
    fn made(
        &self,
        py: Python<'_>,
        device: DeviceId,
        bytes: u64,
        made: Result<Made, GpuError>,
        load: &mut Load,
    ) -> bool {
        let mut old = None;
        let offered = {
            let mut routes = self.routes();
            let route = routes.by_device.entry(device).or_default();
            route.in_the_making = false;
            match made {
                Ok(made) => {
                    old = route.arena.replace(made.arena.clone());
                    route.answer = Some(Box::new(made.answer));
                    load.made = Some((made.arena, made.offer));
                    load.descriptors = made.descriptors;
                    true
                }
                Err(error) => {
                    let of_size = matches!(error, GpuError::Failed { .. });
                    route.refused_from = Some(if of_size { bytes } else { 0 });
                    route.unanswered = None;
                    false
                }
            }
        };
        py.detach(|| drop(old));
        offered
    }

    /// A message was not sent: takes back what lies in arenas, and an arena that was not offered.
    pub fn take_back(&self, py: Python<'_>, load: Load) {
        let lost = load.offered.and_then(|device| self.routes().by_device.remove(&device));
        py.detach(|| {
            for (arena, sent) in &load.slots {
                // A driver that fails here has lost the arena, and with it the slot.
                let _ = arena.withdraw(sent);
            }
            drop((load, lost));
        });
    }

    /// Whether there is any.
    pub fn is_used(&self) -> bool {
        !self.routes().by_device.is_empty()
    }

    /// Gives the arenas up: what was sent stays for those who have imported them.
    pub fn end(&self) {
        let routes = core::mem::take(&mut self.routes().by_device);
        drop(routes);
    }
}

/// An arena that was made for the other end.
struct Made {
    arena: DeviceArena,
    answer: Answer,
    offer: Offer,
    descriptors: Vec<OwnedFd>,
}

/// Adds where the parts of a slot are, as the other end is told.
fn add_slot(places: &mut Places, rows: &[Row<'_>], sent: &Sent) -> Result<(), GpuError> {
    let slot = places.slots.len() as u32;
    places.slots.push(SlotNote::read(&sent.note)?);
    for ((number, region), from) in rows.iter().zip(&sent.places) {
        let len = region.get().layout().len_bytes() as u64;
        places.rows.push(Place { buffer: *number as u64, slot, from: *from as u64, len });
    }
    Ok(())
}

/// The rows of a table that are memory of devices.
pub fn regions_of<'py>(py: Python<'py>, table: &BufferTable) -> PyResult<Vec<Row<'py>>> {
    let mut rows = Vec::new();
    for (number, (desc, buffer)) in table.iter().enumerate() {
        if let Some(object) = buffers::device_of(desc, buffer) {
            rows.push((number, to_bound(py, object.obj()).cast_into_exact::<Region>()?));
        }
    }
    Ok(rows)
}

/// The table without buffers that have places, with the bytes of those that go by the host.
fn on_host(
    py: Python<'_>,
    table: &BufferTable,
    rows: Vec<Row<'_>>,
    places: &Places,
) -> PyResult<BufferTable> {
    let blocks = fetched(py, &rows).map_err(|error| blamed(py, &rows, error))?;
    let numbers = rows.iter().map(|(number, _)| *number);
    let mut fetched: HashMap<usize, Block> = numbers.zip(blocks).collect();
    let mut placed = places.rows.iter().map(|row| row.buffer as usize).peekable();
    let mut made = BufferTable::default();
    for (number, (desc, buffer)) in table.iter().enumerate() {
        if placed.next_if_eq(&number).is_some() {
            continue;
        }
        let row = match fetched.remove(&number).map(HostBuffer::from) {
            Some(bytes) => (BufferDesc::host(bytes.len(), ALIGN as u32, false), bytes),
            None => (*desc, buffer.clone()),
        };
        made.push(row.0, row.1);
    }
    Ok(made)
}

/// The bytes of arrays, in one go for each device.
fn fetched(py: Python<'_>, rows: &[Row<'_>]) -> PyResult<Vec<Block>> {
    let block = |(_, region): &Row<'_>| Block::zeroed(region.get().layout().len_bytes());
    let blocks: Option<Vec<Block>> = rows.iter().map(block).collect();
    let mut blocks = blocks.ok_or_else(|| Raised::no_memory().into_py(py))?;
    let wants = (rows.iter().zip(&mut blocks))
        .filter_map(|((_, region), block)| Want::of(region.get(), block.as_mut_slice()));
    download(py, wants.collect())?;
    Ok(blocks)
}

/// The error of arrays that were copied together, with the path to the one that cannot be copied alone.
#[cold]
fn blamed(py: Python<'_>, rows: &[Row<'_>], error: PyErr) -> PyErr {
    let alone = rows.iter().find_map(|row| {
        let error = fetched(py, slice::from_ref(row)).err()?;
        Some((error, row.1.get().path()))
    });
    let (error, path) = alone.unwrap_or((error, "obj"));
    api::explain_at(py, error, path, Face::Own)
}
