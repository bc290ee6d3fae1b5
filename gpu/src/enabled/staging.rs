//! Arrays between the device and the host: many at once, packed by a kernel, in few copies through locked memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferropickle_core::buffer::{Block, Buffer};
use ferropickle_core::threads;

use super::device::{Current, Device};
use super::kernel::{Kernels, Way};
use super::lane::{Lane, Lanes, Mover, ROOM, ROOM_ON_DEVICE, fence};
use super::memory::{DeviceBuffer, DeviceMemory, mark};
use super::pinned::PinnedPool;
use super::pointer::ask;
use super::stream::{Stream, Turn};
use crate::api::{GpuError, Memory, StreamRef};
use crate::plan::{ALIGN, Chunk, Part, Shape, plan};
use crate::region::Region;

/// Locked memory of kept buffers at most, unless the stager's maker says otherwise.
const LIMIT: usize = 256 << 20;

/// Where buffers in device memory begin: as the driver's own allocations do.
pub(super) const DEVICE_ALIGN: usize = 256;

/// From so many bytes on several threads copy between a locked buffer and the caller's memory.
const PARALLEL_FROM: usize = 1 << 20;

/// The driver's statuses for a module that it will never take: no code for the device, PTX that is wrong or too new, no compiler.
const NEVER: [i32; 5] = [209, 218, 221, 222, 223];

/// Told of bytes that have arrived: which array, where in its packed bytes, the bytes. Those of an array come in order. It is called
/// in the midst of a transfer: it takes no lock that one who waits to transfer may hold.
pub type Seen<'s> = &'s mut dyn FnMut(usize, usize, &[u8]);

/// Moves arrays between a device and the host, and on the device. A clone is the same one.
///
/// After the first transfer (of as many threads as transfer at a time) nothing is allocated on the device, no memory locked, and
/// no stream or event made by any that names its own target.
#[derive(Clone)]
pub struct Stager {
    inner: Arc<Inner>,
}

struct Inner {
    device: Arc<Device>,
    pool: PinnedPool,
    lanes: Lanes,
}

impl Stager {
    /// A stager of its own. The buffers that [`Stager::download_kept`] gives take at most `limit` bytes of locked memory; transfers
    /// take 16 MiB each, four at most at a time.
    pub fn new(device: &Arc<Device>, limit: usize) -> Self {
        let pool = PinnedPool::new(device, limit);
        let lanes = Lanes::new(device);
        Self { inner: Arc::new(Inner { device: device.clone(), pool, lanes }) }
    }

    /// The stager of a device: one for the process.
    pub fn of(device: &Arc<Device>) -> Self {
        device.stager.get_or_init(|| Stager::new(device, LIMIT)).clone()
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.inner.device
    }

    /// The pool of locked memory, from which [`Stager::download_kept`] takes.
    pub fn pool(&self) -> &PinnedPool {
        &self.inner.pool
    }

    /// Copies arrays to the host, each packed into its own memory, and returns when all is there. `seen` is told of each piece
    /// as soon as it is there, while others are still under way.
    ///
    /// # Errors
    ///
    /// [`GpuError::TooSmall`] if some memory is not of its array's length; [`GpuError::NotThere`];
    /// [`GpuError::Capturing`] if the stream of an array is being captured;
    /// [`GpuError::Forked`]; a call that fails. What has been copied until then is in no order.
    pub fn download(
        &self,
        from: &[Region],
        into: &mut [&mut [u8]],
        mut seen: Option<Seen<'_>>,
    ) -> Result<(), GpuError> {
        let fits = from.iter().zip(into.iter()).all(|(from, to)| from.len_bytes() == to.len());
        if !fits || from.len() != into.len() {
            return Err(GpuError::TooSmall);
        }
        self.transfer(from, Edges::Waited, |mover, lane, chunks| {
            down(mover, lane, chunks, into, &mut seen)
        })
    }

    /// Copies buffers on the device to the host, each into its own memory, and returns when all is there.
    ///
    /// # Errors
    ///
    /// [`GpuError::TooSmall`] if some memory is not of its buffer's length; [`GpuError::Forked`]; a call that fails.
    pub fn fetch(&self, from: &[DeviceBuffer], into: &mut [&mut [u8]]) -> Result<(), GpuError> {
        let fits = from.iter().zip(into.iter()).all(|(from, to)| from.len() == to.len());
        if !fits || from.len() != into.len() {
            return Err(GpuError::TooSmall);
        }
        let current = self.inner.device.enter()?;
        let shapes: Vec<Shape> = from.iter().map(shape_of).collect();
        let chunks = plan(&shapes, ROOM);
        let mut lane = self.inner.lanes.take()?;
        let mover = self.mover(&current, &shapes, &chunks);
        between(&mut lane, &[], Edges::Waited, |lane| {
            from.iter().try_for_each(|buffer| buffer.hold_back(&current, &lane.stream))?;
            down(&mover, lane, &chunks, into, &mut None)
        })
    }

    /// Copies arrays to the host, each into a buffer of its own: parts of one piece of locked memory if the pool has it
    /// (copied once), ordinary memory if not.
    ///
    /// # Errors
    ///
    /// As [`Stager::download`]; [`GpuError::NoHostMemory`].
    pub fn download_kept(&self, from: &[Region]) -> Result<Vec<Buffer>, GpuError> {
        let total = from.iter().try_fold(0usize, |sum, region| {
            sum.checked_add(region.len_bytes().checked_next_multiple_of(ALIGN)?)
        });
        let total = total.ok_or(GpuError::NoHostMemory(usize::MAX))?;
        let Some(mut kept) = self.inner.pool.take(total)? else { return self.download_new(from) };
        let mut places = vec![(0, 0); from.len()];
        self.transfer(from, Edges::Waited, |mover, lane, chunks| {
            let start = kept.bytes()?.as_mut_ptr() as u64;
            let mut base = 0;
            for (number, chunk) in chunks.iter().enumerate() {
                for part in chunk.parts().filter(|part| part.from == 0) {
                    places[part.array] = (base + part.at, from[part.array].len_bytes());
                }
                // SAFETY: chunks that follow each other end and begin at multiples of what arrays are aligned to, so that all of
                // them take no more than the arrays so aligned; the arrays were checked.
                unsafe { mover.by_host(lane, number, chunk, start + base as u64, Way::Gather) }?;
                lane.keep(mover.current, number)?;
                fence(mover.current, lane, &mut kept)?;
                base += chunk.bytes.next_multiple_of(ALIGN);
            }
            // The buffer is the last of the stream's work.
            kept.bytes().map(drop)
        })?;
        kept.into_buffers(places)
    }

    /// As [`Stager::download_kept`], where there is no locked memory.
    fn download_new(&self, from: &[Region]) -> Result<Vec<Buffer>, GpuError> {
        let block = |region: &Region| {
            let len = region.len_bytes();
            Block::zeroed(len).ok_or(GpuError::NoHostMemory(len))
        };
        let mut blocks: Vec<Block> = from.iter().map(block).collect::<Result<_, _>>()?;
        let mut into: Vec<&mut [u8]> = blocks.iter_mut().map(Block::as_mut_slice).collect();
        self.download(from, &mut into, None)?;
        Ok(blocks.into_iter().map(Buffer::from).collect())
    }

    /// Copies packed bytes from the host into arrays. The bytes have been read when this returns; the arrays are written in the
    /// order of their streams, and those without one when this returns.
    ///
    /// # Errors
    ///
    /// As [`Stager::download`]; [`GpuError::Overlapping`] if elements of an array share memory.
    pub fn upload(&self, from: &[&[u8]], into: &[Region]) -> Result<(), GpuError> {
        let fits = into.iter().zip(from).all(|(to, from)| to.len_bytes() == from.len());
        if !fits || from.len() != into.len() {
            return Err(GpuError::TooSmall);
        }
        writable(into)?;
        self.transfer(into, Edges::Both, |mover, lane, chunks| {
            for (number, chunk) in chunks.iter().enumerate() {
                let slot = lane.slot(number)?;
                load(chunk, from, slot);
                let host = slot.as_ptr() as u64;
                // SAFETY: as in `download`.
                unsafe { mover.by_host(lane, number, chunk, host, Way::Scatter) }?;
                lane.keep(mover.current, number)?;
            }
            Ok(())
        })
    }

    /// Copies bytes from the host into new device memory: one allocation for all, a buffer for each. The bytes have been
    /// read when this returns; the buffers are filled in time ([`DeviceBuffer::before`], [`DeviceBuffer::wait`]).
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; a call that fails, out of memory among them.
    pub fn upload_new(&self, from: &[&[u8]]) -> Result<Vec<DeviceBuffer>, GpuError> {
        let lens: Vec<usize> = from.iter().map(|bytes| bytes.len()).collect();
        self.in_new(&lens, |current, lane, memory, places, total| {
            // The new memory is one array, whose bytes are the buffers and what is between them.
            let shapes = [Shape::together(memory, total)];
            let chunks = plan(&shapes, ROOM);
            let mover = self.mover(current, &shapes, &chunks);
            for (number, chunk) in chunks.iter().enumerate() {
                let slot = lane.slot(number)?;
                for part in chunk.parts() {
                    copy_all(image(from, places, part.from, &mut slot[part.at..][..part.bytes]));
                }
                let host = slot.as_ptr() as u64;
                // SAFETY: as in `download`; the memory is of that length.
                unsafe { mover.by_host(lane, number, chunk, host, Way::Scatter) }?;
                lane.keep(current, number)?;
            }
            Ok(())
        })
    }

    /// Copies arrays into new memory on their device, packed: one allocation for all, a buffer for each. What is queued in the
    /// arrays' streams after this has returned does not change what is copied; the buffers are filled in time.
    ///
    /// # Errors
    ///
    /// As [`Stager::download`] and [`Stager::upload_new`].
    pub fn snapshot(&self, from: &[Region]) -> Result<Vec<DeviceBuffer>, GpuError> {
        let lens: Vec<usize> = from.iter().map(Region::len_bytes).collect();
        self.in_new(&lens, |current, lane, memory, places, _| {
            let to: Vec<u64> = places.iter().map(|&at| memory + at as u64).collect();
            self.pack_in(current, lane, from, &to, |_| Ok(()))
        })
    }

    /// Copies arrays into memory of ours on their device, each packed to its address, and has `after` told our stream when that
    /// is queued. Both edges are made.
    pub(super) fn pack(
        &self,
        current: &Current<'_>,
        from: &[Region],
        to: &[u64],
        after: impl FnOnce(&Stream) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let mut lane = self.inner.lanes.take()?;
        self.pack_in(current, &mut lane, from, to, after)
    }

    /// Has `after` told a stream of ours, in the order of the array's stream.
    pub(super) fn mark(
        &self,
        array: &Region,
        after: impl FnOnce(&Stream) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let mut lane = self.inner.lanes.take()?;
        between(&mut lane, std::slice::from_ref(array), Edges::Both, |lane| after(&lane.stream))
    }

    fn pack_in(
        &self,
        current: &Current<'_>,
        lane: &mut Lane,
        from: &[Region],
        to: &[u64],
        after: impl FnOnce(&Stream) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let shapes = self.shapes(current, from)?;
        let chunks = plan(&shapes, ROOM_ON_DEVICE);
        let mover = self.mover(current, &shapes, &chunks);
        between(lane, from, Edges::Both, |lane| {
            for (number, chunk) in chunks.iter().enumerate() {
                let place = |part: &Part| to[part.array] + part.from as u64;
                // SAFETY: the memory has room for all of the arrays, which were checked.
                unsafe { mover.on_device(lane, number, chunk, place, Way::Gather) }?;
                lane.keep(current, number)?;
            }
            after(&lane.stream)
        })
    }

    /// Copies packed buffers on the device into arrays, in the order of their streams; those without one are written when this
    /// returns. The buffers are no longer used then.
    ///
    /// # Errors
    ///
    /// As [`Stager::upload`].
    pub fn spread(&self, from: &[DeviceBuffer], into: &[Region]) -> Result<(), GpuError> {
        let fits = into.iter().zip(from).all(|(to, from)| to.len_bytes() == from.len());
        if !fits || from.len() != into.len() {
            return Err(GpuError::TooSmall);
        }
        writable(into)?;
        let current = self.inner.device.enter()?;
        let shapes = self.shapes(&current, into)?;
        let chunks = plan(&shapes, ROOM_ON_DEVICE);
        let mover = self.mover(&current, &shapes, &chunks);
        let mut lane = self.inner.lanes.take()?;
        between(&mut lane, into, Edges::Both, |lane| {
            from.iter().try_for_each(|buffer| buffer.hold_back(&current, &lane.stream))?;
            for (number, chunk) in chunks.iter().enumerate() {
                let place = |part: &Part| from[part.array].place() + part.from as u64;
                // SAFETY: the buffers are as long as the arrays, which were checked, and kept until the wait below.
                unsafe { mover.on_device(lane, number, chunk, place, Way::Scatter) }?;
                lane.keep(&current, number)?;
            }
            lane.stream.wait()
        })
    }

    /// Copies buffers on the device into new memory there: one allocation for all. The buffers are no longer used when this
    /// returns.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; a call that fails, out of memory among them.
    pub fn copy_out(&self, from: &[DeviceBuffer]) -> Result<Vec<DeviceBuffer>, GpuError> {
        let lens: Vec<usize> = from.iter().map(DeviceBuffer::len).collect();
        self.in_new(&lens, |current, lane, memory, places, _| {
            let shapes: Vec<Shape> = from.iter().map(shape_of).collect();
            let chunks = plan(&shapes, ROOM_ON_DEVICE);
            let mover = self.mover(current, &shapes, &chunks);
            from.iter().try_for_each(|buffer| buffer.hold_back(current, &lane.stream))?;
            for (number, chunk) in chunks.iter().enumerate() {
                let place = |part: &Part| memory + (places[part.array] + part.from) as u64;
                // SAFETY: the memory has room for all of the buffers, which are kept until the wait below.
                unsafe { mover.on_device(lane, number, chunk, place, Way::Gather) }?;
                lane.keep(current, number)?;
            }
            lane.stream.wait()
        })
    }

    /// New device memory for buffers of these lengths, filled by `fill`, which is given its address, where in it each buffer
    /// begins, and its length.
    fn in_new(
        &self,
        lens: &[usize],
        fill: impl FnOnce(&Current<'_>, &mut Lane, u64, &[usize], usize) -> Result<(), GpuError>,
    ) -> Result<Vec<DeviceBuffer>, GpuError> {
        let device = &self.inner.device;
        let (places, total) =
            places(lens, DEVICE_ALIGN).ok_or(GpuError::NoHostMemory(usize::MAX))?;
        let current = device.enter()?;
        let memory = Arc::new(DeviceMemory::new(device, &current, total)?);
        let mut lane = self.inner.lanes.take()?;
        let filled = match fill(&current, &mut lane, memory.address(), &places, total) {
            Ok(()) => mark(&current, &lane.stream)?,
            Err(error) => {
                // Nothing may be under way in memory that is freed.
                let _ = lane.stream.wait();
                return Err(error);
            }
        };
        let buffer = |(&at, &len): (&usize, &usize)| {
            let (owner, address) = (memory.clone(), memory.address() + at as u64);
            DeviceBuffer::new(device, owner, Some(filled.clone()), address, len)
        };
        Ok(places.iter().zip(lens).map(buffer).collect())
    }

    /// Checks arrays, and does `work` between the two edges to their streams.
    fn transfer(
        &self,
        arrays: &[Region],
        edges: Edges,
        work: impl FnOnce(&Mover<'_>, &mut Lane, &[Chunk]) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let current = self.inner.device.enter()?;
        let shapes = self.shapes(&current, arrays)?;
        let chunks = plan(&shapes, ROOM);
        let mut lane = self.inner.lanes.take()?;
        let mover = self.mover(&current, &shapes, &chunks);
        between(&mut lane, arrays, edges, |lane| work(&mover, lane, &chunks))
    }

    fn mover<'t>(
        &'t self,
        current: &'t Current<'t>,
        shapes: &'t [Shape],
        chunks: &[Chunk],
    ) -> Mover<'t> {
        let needed = chunks.iter().any(|chunk| !chunk.gathered.is_empty());
        let kernels = if needed { self.kernels(current) } else { None };
        Mover { device: &self.inner.device, current, kernels, shapes }
    }

    /// The kernels, if the driver takes them. What it refuses for good is not tried again.
    fn kernels(&self, current: &Current<'_>) -> Option<&Kernels> {
        let known = &self.inner.device.kernels;
        if known.get().is_none() {
            match Kernels::load(current) {
                Ok(loaded) => drop(known.set(Some(loaded))),
                Err(GpuError::Failed { code, .. }) if NEVER.contains(&code) => {
                    drop(known.set(None))
                }
                Err(_) => return None,
            }
        }
        known.get()?.as_ref()
    }

    /// The arrays in few axes, each within one allocation that the device can use.
    fn shapes(&self, current: &Current<'_>, arrays: &[Region]) -> Result<Vec<Shape>, GpuError> {
        let device = &self.inner.device;
        let mut known: BTreeMap<u64, u64> = BTreeMap::new();
        let shape = |array: &Region| {
            let shape = Shape::new(array.address(), array.layout());
            if shape.bytes() == 0 {
                return Ok(shape);
            }
            let (address, bytes) = array.span().unwrap_or((array.address(), u64::MAX));
            let missing = GpuError::NotThere { address, bytes, device: device.id() };
            let end = address.checked_add(bytes).ok_or(missing.clone())?;
            if array.is_vouched() {
                return Ok(shape);
            }
            let within = |(_, last): (&u64, &u64)| end <= *last;
            if !known.range(..=address).next_back().is_some_and(within) {
                let found = ask(current, address)?.filter(|found| match found.memory {
                    Memory::Device => found.ordinal as usize == device.ordinal(),
                    memory => memory != Memory::Pageable,
                });
                let found = found.ok_or(missing.clone())?;
                let last = found.base.saturating_add(found.size);
                if found.base > address || end > last {
                    return Err(missing);
                }
                known.insert(found.base, last);
            }
            Ok(shape)
        };
        arrays.iter().map(shape).collect()
    }
}

/// How the streams of arrays are ordered with ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edges {
    /// Our work comes after theirs, and is done when the call returns.
    Waited,
    /// Our work comes after theirs, and theirs after ours.
    Both,
}

/// Does `work` after what is queued in the streams of the arrays, and before what will be.
fn between(
    lane: &mut Lane,
    arrays: &[Region],
    edges: Edges,
    work: impl FnOnce(&mut Lane) -> Result<(), GpuError>,
) -> Result<(), GpuError> {
    let mut streams: Vec<Option<StreamRef>> = Vec::new();
    for array in arrays.iter().filter(|array| array.len_bytes() > 0) {
        let stream = array.stream();
        if !streams.contains(&stream) && (stream.is_some() || edges == Edges::Both) {
            streams.push(stream);
        }
    }
    let own = lane.stream.clone();
    let turns = streams.into_iter().map(|stream| own.after(stream));
    let turns: Vec<Turn<'_>> = turns.collect::<Result<_, _>>()?;
    if let Err(error) = work(lane) {
        // Nothing is under way when an error is told.
        let _ = own.wait();
        return Err(error);
    }
    turns.into_iter().try_for_each(|turn| match edges {
        Edges::Waited => {
            turn.done();
            Ok(())
        }
        Edges::Both => turn.give_back(),
    })
}

/// Refuses arrays that cannot be written to one element after another.
fn writable(arrays: &[Region]) -> Result<(), GpuError> {
    let sound = arrays.iter().all(|array| array.layout().is_nested());
    if sound { Ok(()) } else { Err(GpuError::Overlapping) }
}

/// Where buffers of these lengths begin one after another, and where the last ends; `None` if that is too far.
pub(super) fn places(lens: &[usize], align: usize) -> Option<(Vec<usize>, usize)> {
    let mut end = 0usize;
    let place = |&len: &usize| {
        let at = end.checked_next_multiple_of(align)?;
        end = at.checked_add(len)?;
        Some(at)
    };
    let places = lens.iter().map(place).collect::<Option<_>>()?;
    Some((places, end))
}

/// A copy within the host.
type Pair<'p> = (&'p mut [u8], &'p [u8]);

/// Copies, on several threads if it is much.
fn copy_all(pairs: Vec<Pair<'_>>) {
    let total: usize = pairs.iter().map(|(to, _)| to.len()).sum();
    if total < PARALLEL_FROM || threads::count() == 1 {
        return pairs.into_iter().for_each(|(to, from)| to.copy_from_slice(from));
    }
    // Shares of the same size, none cut finer than it has to be.
    let share = total.div_ceil(threads::count());
    let mut shares: Vec<(usize, Vec<Pair<'_>>)> = vec![(0, Vec::new())];
    for (mut to, mut from) in pairs {
        while !to.is_empty() {
            let full = shares.last().is_none_or(|(bytes, _)| *bytes >= share);
            if full {
                shares.push((0, Vec::new()));
            }
            let Some((bytes, pairs)) = shares.last_mut() else { break };
            let here = to.len().min(share - *bytes);
            let (now, later) = to.split_at_mut(here);
            let (first, rest) = from.split_at(here);
            pairs.push((now, first));
            *bytes += here;
            (to, from) = (later, rest);
        }
    }
    threads::with_each(&mut shares, |(_, pairs)| {
        pairs.iter_mut().for_each(|(to, from)| to.copy_from_slice(from));
    });
}

/// The shape of a buffer of ours.
fn shape_of(buffer: &DeviceBuffer) -> Shape {
    Shape::together(buffer.place(), buffer.len())
}

/// Copies chunks to the host, and waits for them.
fn down(
    mover: &Mover<'_>,
    lane: &mut Lane,
    chunks: &[Chunk],
    into: &mut [&mut [u8]],
    seen: &mut Option<Seen<'_>>,
) -> Result<(), GpuError> {
    let mut before: Option<(usize, &Chunk)> = None;
    for (number, chunk) in chunks.iter().enumerate() {
        let host = lane.slot(number)?.as_mut_ptr() as u64;
        // SAFETY: the chunk has room in its slot, which is the lane's and has a fence; the arrays were checked, or are ours.
        unsafe { mover.by_host(lane, number, chunk, host, Way::Gather) }?;
        lane.keep(mover.current, number)?;
        // The one before comes to the host while this one is on its way.
        if let Some((number, chunk)) = before.replace((number, chunk)) {
            unload(chunk, lane.slot(number)?, into, seen);
        }
    }
    if let Some((number, chunk)) = before {
        unload(chunk, lane.slot(number)?, into, seen);
    }
    Ok(())
}

/// Brings a chunk that has arrived to where it belongs, and tells of it.
fn unload(chunk: &Chunk, slot: &[u8], into: &mut [&mut [u8]], seen: &mut Option<Seen<'_>>) {
    for parts in [&chunk.gathered, &chunk.direct] {
        let mut pairs = Vec::with_capacity(parts.len());
        let (mut rest, mut first) = (&mut *into, 0);
        for part in parts {
            // Parts are in the order of their arrays, of which each has one in a chunk.
            let (head, tail) = rest.split_at_mut(part.array + 1 - first);
            (rest, first) = (tail, part.array + 1);
            if let Some(to) = head.last_mut() {
                pairs.push((&mut to[part.from..][..part.bytes], &slot[part.at..][..part.bytes]));
            }
        }
        copy_all(pairs);
    }
    if let Some(seen) = seen {
        for part in chunk.parts() {
            seen(part.array, part.from, &slot[part.at..][..part.bytes]);
        }
    }
}

/// Puts what a chunk has into its slot.
fn load(chunk: &Chunk, from: &[&[u8]], slot: &mut [u8]) {
    let mut pairs = Vec::with_capacity(chunk.gathered.len() + chunk.direct.len());
    let (mut rest, mut first) = (slot, 0);
    for part in chunk.parts() {
        let (_, tail) = rest.split_at_mut(part.at - first);
        let (to, tail) = tail.split_at_mut(part.bytes);
        (rest, first) = (tail, part.at + part.bytes);
        pairs.push((to, &from[part.array][part.from..][..part.bytes]));
    }
    copy_all(pairs);
}

/// The copies that make a part, from `start` on, of buffers that lie at these places; what is between them is set to 0.
fn image<'p>(
    from: &[&'p [u8]],
    places: &[usize],
    start: usize,
    part: &'p mut [u8],
) -> Vec<Pair<'p>> {
    let end = start + part.len();
    let mut pairs = Vec::new();
    let (mut rest, mut at) = (part, start);
    let first = places.partition_point(|&place| place <= start).saturating_sub(1);
    for (bytes, &place) in from.iter().zip(places).skip(first) {
        let (low, high) = (place.max(start), (place + bytes.len()).min(end));
        if low >= high {
            continue;
        }
        let (gap, tail) = rest.split_at_mut(low - at);
        gap.fill(0);
        let (to, tail) = tail.split_at_mut(high - low);
        pairs.push((to, &bytes[low - place..high - place]));
        (rest, at) = (tail, high);
    }
    rest.fill(0);
    pairs
}
