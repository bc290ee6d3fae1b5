//! Arrays within a device: copies of our own, slots of an arena, memory of a user's.

use super::device::Current;
use super::edges::{Edges, between};
use super::kernel::Way;
use super::lane::{Lane, ROOM_ON_DEVICE};
use super::memory::DeviceBuffer;
use super::staging::{Stager, shape_of, writable};
use super::stream::Stream;
use crate::api::GpuError;
use crate::plan::{Part, Shape, plan};
use crate::region::Region;

impl Stager {
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
        let current = self.device().enter()?;
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
}
