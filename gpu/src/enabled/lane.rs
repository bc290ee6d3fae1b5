//! What one transfer at a time needs: a stream, two locked buffers, memory on the device to pack into. Kept between
//! transfers, so that none makes any.

use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::calls::{CopyRows, Side};
use super::copy::Fence;
use super::device::{Current, Device};
use super::kernel::{Kernels, Way};
use super::memory::DeviceMemory;
use super::pinned::{Pinned, PinnedPool};
use super::stream::Stream;
use crate::api::GpuError;
use crate::plan::{Chunk, Part, Room, Shape, Table};

/// Bytes of a locked buffer: the data of a chunk, then the tables of its kernel.
const SLOT: usize = 8 << 20;
const TABLE: usize = 1 << 20;

/// What a chunk that goes through a locked buffer may have.
pub const ROOM: Room = Room { bytes: SLOT - TABLE, table: TABLE };

/// What a chunk that stays on the device may have: the buffer has nothing but its tables.
pub const ROOM_ON_DEVICE: Room = Room { bytes: 256 << 20, table: SLOT };

/// Transfers of one device that can be under way at a time; more wait for their turn.
const MOST_LANES: usize = 4;

/// The lanes of a device.
pub(super) struct Lanes {
    device: Arc<Device>,
    pool: PinnedPool,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<Lane>,
    made: usize,
}

pub(super) struct Lane {
    pub stream: Arc<Stream>,
    slots: [Pinned; 2],
    scratch: Option<DeviceMemory>,
}

/// A lane in use; it goes back when this is dropped.
pub(super) struct Lease<'l> {
    lane: Option<Lane>,
    lanes: &'l Lanes,
}

impl Lanes {
    /// None yet.
    pub fn new(device: &Arc<Device>) -> Self {
        let pool = PinnedPool::new(device, MOST_LANES * 2 * SLOT);
        Self { device: device.clone(), pool, state: Mutex::default(), returned: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane that nobody uses: one that is there, a new one, or where there are many, the next that comes back.
    pub fn take(&self) -> Result<Lease<'_>, GpuError> {
        let mut state = self.state();
        loop {
            if let Some(lane) = state.free.pop() {
                return Ok(Lease { lane: Some(lane), lanes: self });
            }
            if state.made < MOST_LANES {
                break;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.made += 1;
        drop(state);
        // From here on the lane counts as made: the lease takes it back if it cannot be.
        let mut lease = Lease { lane: None, lanes: self };
        lease.lane = Some(Lane::new(&self.device, &self.pool)?);
        Ok(lease)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        match self.lane.take() {
            Some(lane) => state.free.push(lane),
            None => state.made -= 1,
        }
        self.lanes.returned.notify_one();
    }
}

impl Deref for Lease<'_> {
    type Target = Lane;
    fn deref(&self) -> &Lane {
        self.lane.as_ref().expect("a lease has its lane")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Lane {
        self.lane.as_mut().expect("a lease has its lane")
    }
}

impl Lane {
    fn new(device: &Arc<Device>, pool: &PinnedPool) -> Result<Self, GpuError> {
        // The only memory that is locked while somebody waits: once for each lane.
        pool.warm(SLOT, 2)?;
        let slot = || pool.take(SLOT)?.ok_or(GpuError::NoHostMemory(SLOT));
        Ok(Self {
            stream: Arc::new(Stream::new(device)?),
            slots: [slot()?, slot()?],
            scratch: None,
        })
    }

    /// The locked buffer of a chunk by its number, once the work on it is done.
    pub fn slot(&mut self, number: usize) -> Result<&mut [u8], GpuError> {
        self.slots[number % 2].bytes()
    }

    /// Where on the device chunks are packed.
    fn scratch(&mut self, device: &Arc<Device>, current: &Current<'_>) -> Result<u64, GpuError> {
        match &self.scratch {
            Some(memory) => Ok(memory.address()),
            None => {
                let memory = DeviceMemory::new(device, current, ROOM.bytes)?;
                Ok(self.scratch.insert(memory).address())
            }
        }
    }

    /// Leaves a fence behind the work on a chunk's buffer.
    pub fn keep(&mut self, current: &Current<'_>, number: usize) -> Result<(), GpuError> {
        let Self { stream, slots, .. } = self;
        match slots[number % 2].span(SLOT) {
            Some((_, fence)) => stream.keep(current, fence),
            None => stream.wait(),
        }
    }
}

/// One transfer: where the arrays are, and what is needed to move them.
pub(super) struct Mover<'t> {
    pub device: &'t Arc<Device>,
    pub current: &'t Current<'t>,
    pub kernels: Option<&'t Kernels>,
    pub shapes: &'t [Shape],
}

impl Mover<'_> {
    /// Queues the copies of a chunk between the arrays and `host`, locked memory for it as it lies in the chunk.
    ///
    /// # Safety
    ///
    /// `host` is locked memory of the chunk's length, which stays until the lane's stream has done this, as do the arrays.
    pub unsafe fn by_host(
        &self,
        lane: &mut Lane,
        number: usize,
        chunk: &Chunk,
        host: u64,
        way: Way,
    ) -> Result<(), GpuError> {
        if !chunk.gathered.is_empty() {
            match self.kernels {
                Some(kernels) => {
                    let scratch = lane.scratch(self.device, self.current)?;
                    let table = &mut lane.slot(number)?[ROOM.bytes..];
                    let at = table.as_ptr() as u64;
                    let to = |part: &Part| scratch + part.at as u64;
                    let table =
                        chunk.write_table(self.shapes, to, table).ok_or(GpuError::TooSmall)?;
                    let (stream, size) = (&lane.stream, chunk.gathered_bytes);
                    let launch = || {
                        // SAFETY: the tables were just written and stay until the slot's fence; the arrays were checked and
                        // stay; the scratch memory is the lane's, whose stream orders its uses.
                        unsafe { kernels.launch(self.current, stream, way, at, table) }
                    };
                    if way == Way::Gather {
                        launch()?;
                    }
                    // SAFETY: both sides have the bytes, and stay.
                    unsafe { self.copy(stream, scratch, host, size, way) }?;
                    if way == Way::Scatter {
                        launch()?;
                    }
                }
                None => {
                    for part in &chunk.gathered {
                        // SAFETY: as the caller says; the part lies within the chunk.
                        unsafe { self.rows(&lane.stream, part, host + part.at as u64, way) }?;
                    }
                }
            }
        }
        for part in &chunk.direct {
            let there = self.shapes[part.array].address() + part.from as u64;
            // SAFETY: as the caller says; the part lies within the chunk, and the array's bytes lie together.
            unsafe { self.copy(&lane.stream, there, host + part.at as u64, part.bytes, way) }?;
        }
        Ok(())
    }

    /// Queues the copies of a chunk between the arrays and packed memory on the device, where each part's place is known.
    ///
    /// # Safety
    ///
    /// As [`Mover::by_host`], for the places of the parts.
    pub unsafe fn on_device(
        &self,
        lane: &mut Lane,
        number: usize,
        chunk: &Chunk,
        place: impl Fn(&Part) -> u64,
        way: Way,
    ) -> Result<(), GpuError> {
        if !chunk.gathered.is_empty() {
            match self.kernels {
                Some(kernels) => {
                    let table = lane.slot(number)?;
                    let at = table.as_ptr() as u64;
                    let table = chunk.write_table(self.shapes, &place, table);
                    let table: Table = table.ok_or(GpuError::TooSmall)?;
                    // SAFETY: the tables stay until the slot's fence; the caller vouches for the rest.
                    unsafe { kernels.launch(self.current, &lane.stream, way, at, table) }?;
                }
                None => {
                    for part in &chunk.gathered {
                        // SAFETY: as the caller says.
                        unsafe { self.rows(&lane.stream, part, place(part), way) }?;
                    }
                }
            }
        }
        for part in &chunk.direct {
            let there = self.shapes[part.array].address() + part.from as u64;
            let (to, from) = match way {
                Way::Gather => (place(part), there),
                Way::Scatter => (there, place(part)),
            };
            let stream = lane.stream.handle();
            // SAFETY: as the caller says; the array's bytes lie together.
            unsafe { self.current.calls.copy_within(to, from, part.bytes, stream) }?;
        }
        Ok(())
    }

    /// Queues one copy between the device and the host: down when gathering, else up.
    ///
    /// # Safety
    ///
    /// Both have `size` bytes, and stay until the copy is done; the host's are locked.
    unsafe fn copy(
        &self,
        stream: &Stream,
        device: u64,
        host: u64,
        size: usize,
        way: Way,
    ) -> Result<(), GpuError> {
        let (calls, host) = (self.current.calls, host as *mut c_void);
        // SAFETY: the contract.
        unsafe {
            match way {
                Way::Gather => calls.copy_to_host(host, device, size, stream.handle()),
                Way::Scatter => calls.copy_to_device(device, host, size, stream.handle()),
            }
        }
    }

    /// Queues the copies of a part where there is no kernel: one for each set of rows at one distance.
    ///
    /// # Safety
    ///
    /// The array and the part's bytes at `packed` stay until that is done.
    unsafe fn rows(
        &self,
        stream: &Stream,
        part: &Part,
        packed: u64,
        way: Way,
    ) -> Result<(), GpuError> {
        for rows in self.shapes[part.array].rows(part.from, part.bytes) {
            let there = Side::known(rows.address, rows.pitch);
            let here = Side::known(packed + rows.packed as u64, rows.width);
            let (from, to) = match way {
                Way::Gather => (there, here),
                Way::Scatter => (here, there),
            };
            let what = CopyRows { from, to, width: rows.width, height: rows.height };
            // SAFETY: the rows lie within the array and the part; `what` is read by the call.
            unsafe { self.current.calls.copy_rows(&what, stream.handle()) }?;
        }
        Ok(())
    }
}

/// A fence behind what a lane's stream has been told to do, on memory that is not the lane's.
pub(super) fn fence(
    current: &Current<'_>,
    lane: &Lane,
    buffer: &mut Pinned,
) -> Result<(), GpuError> {
    match buffer.span(0) {
        Some((_, fence)) => {
            let made: Fence = Fence::new(current, &lane.stream)?;
            *fence = Some(made);
            Ok(())
        }
        None => lane.stream.wait(),
    }
}
