//! Arrays between the device and the host: many at once, packed by a kernel, in few copies through locked memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferropickle_core::buffer::{Block, Buffer};

use super::device::{Current, Device};
use super::edges::{Edges, between};
use super::host::{Seen, copy_all, image, load, unload};
use super::kernel::{Kernels, Way};
use super::lane::{Lane, Lanes, Mover, ROOM, fence};
use super::memory::{DeviceBuffer, DeviceMemory, mark};
use super::pinned::PinnedPool;
use super::pointer::ask;
use crate::api::{GpuError, Memory};
use crate::plan::{ALIGN, Chunk, DEVICE_ALIGN, Shape, places, plan};
use crate::region::Region;

/// Locked memory of kept buffers at most, unless the stager's maker says otherwise.
const LIMIT: usize = 256 << 20;

/// Moves arrays between a device and the host, and on the device. A clone is the same one.
///
/// After the first transfer (of as many threads as transfer at a time) nothing is allocated on the device, no memory locked, and
/// no stream or event made by any that names its own target.
#[derive(Clone)]
pub struct Stager {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    device: Arc<Device>,
    pool: PinnedPool,
    pub(super) lanes: Lanes,
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
        check_upload(from, into)?;
        self.transfer(into, Edges::Both, |mover, lane, chunks| up(mover, lane, chunks, from))
    }

    /// As [`Stager::upload`], and returns when the arrays are written: for all streams.
    ///
    /// # Errors
    ///
    /// As [`Stager::upload`].
    pub fn upload_waited(&self, from: &[&[u8]], into: &[Region]) -> Result<(), GpuError> {
        check_upload(from, into)?;
        self.transfer(into, Edges::Waited, |mover, lane, chunks| {
            up(mover, lane, chunks, from)?;
            lane.stream.wait()
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

    /// New device memory for buffers of these lengths, one allocation for all; what is in it does not matter yet.
    ///
    /// # Errors
    ///
    /// As [`Stager::upload_new`].
    pub fn unfilled(&self, lens: &[usize]) -> Result<Vec<DeviceBuffer>, GpuError> {
        self.in_new(lens, |_, _, _, _, _| Ok(()))
    }

    /// New device memory for buffers of these lengths, filled by `fill`, which is given its address, where in it each buffer
    /// begins, and its length.
    pub(super) fn in_new(
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

    pub(super) fn mover<'t>(
        &'t self,
        current: &'t Current<'t>,
        shapes: &'t [Shape],
        chunks: &[Chunk],
    ) -> Mover<'t> {
        let needed = chunks.iter().any(|chunk| !chunk.gathered.is_empty());
        let kernels = if needed { Kernels::of(&self.inner.device, current) } else { None };
        Mover { device: &self.inner.device, current, kernels, shapes }
    }

    /// The arrays in few axes, each within one allocation that the device can use.
    pub(super) fn shapes(
        &self,
        current: &Current<'_>,
        arrays: &[Region],
    ) -> Result<Vec<Shape>, GpuError> {
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

/// Refuses arrays that cannot be written to one element after another.
pub(super) fn writable(arrays: &[Region]) -> Result<(), GpuError> {
    let sound = arrays.iter().all(|array| array.layout().is_nested());
    if sound { Ok(()) } else { Err(GpuError::Overlapping) }
}

/// The shape of a buffer of ours.
pub(super) fn shape_of(buffer: &DeviceBuffer) -> Shape {
    Shape::together(buffer.place(), buffer.len())
}

/// Whether bytes can go into arrays: as many as these have, which can be written to.
fn check_upload(from: &[&[u8]], into: &[Region]) -> Result<(), GpuError> {
    let fits = into.iter().zip(from).all(|(to, from)| to.len_bytes() == from.len());
    if !fits || from.len() != into.len() {
        return Err(GpuError::TooSmall);
    }
    writable(into)
}

/// Copies chunks from the host, whose bytes have been read when this returns.
fn up(
    mover: &Mover<'_>,
    lane: &mut Lane,
    chunks: &[Chunk],
    from: &[&[u8]],
) -> Result<(), GpuError> {
    for (number, chunk) in chunks.iter().enumerate() {
        let slot = lane.slot(number)?;
        load(chunk, from, slot);
        let host = slot.as_ptr() as u64;
        // SAFETY: the chunk has room in its slot, which is the lane's and has a fence; the arrays were checked.
        unsafe { mover.by_host(lane, number, chunk, host, Way::Scatter) }?;
        lane.keep(mover.current, number)?;
    }
    Ok(())
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
