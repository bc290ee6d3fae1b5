//! Arrays on devices: their bytes are fetched together, once the walk is done.
//!
//! A reducer answers for such an array with a `Described`, of which `described.rs` makes
//! the reduce value. In that a `DeviceRegion` stands for bytes. Where it is
//! written, room is reserved, in the output or in memory that leaves it, and
//! the walk goes on: see [`Walker::settle_devices`] for when the bytes come.
//! Whoever could look at the memory before gets it settled first: a buffer
//! callback, a file.
//!
//! Where the buffers that leave the stream may be memory of a device, the buffer is
//! that: a copy made on the device, or the array's own memory.
//!
//! After the bytes stands the device's UUID as a text that is thrown away at
//! once: `build/device.rs` knows where the sender had the array, and no other
//! reader is the wiser.

use super::described::Families;
use super::path::Path;
use super::{Flow, Stop, WRITTEN, Walker};
use crate::buffers;
use crate::device::buffer::{Buffer, StandIn, snapshot};
use crate::device::region::Region;
use crate::device::staging::{Want, download};
use crate::error::{Raised, raise_device, raise_gpu};
use crate::fast::{self, Obj, Own};
use crate::policy::DeviceChoice;
use crate::types::{from_bound, to_bound};
use ferropickle_core::buffer::{Block, Buffer as HostBuffer};
use ferropickle_core::opcode::Op;
use pyo3::prelude::*;
use std::slice;

/// Bytes that wait at most before a file gets what there is.
const MOST_PENDING_BYTES: usize = 256 << 20;

/// The refusal of `share=True` where arrays go to another process.
const NOT_SHARED: &str = "share=True has no meaning between processes: the receiver would be left with memory that the sender may free, \
    or take with it when it ends; without share=True a copy is sent, on the device where both ends can";

/// Where fetched bytes go.
enum Place {
    /// To an offset of the output.
    Output(usize),
    /// Into memory that leaves the stream.
    Memory(HostBuffer),
}

/// Bytes that wait.
struct Pending {
    region: Own,
    place: Place,
    path: Path,
}

/// A buffer that waits for a copy of a region.
struct Copied {
    region: Own,
    buffer: Own,
    path: Path,
}

/// Arrays on devices that one dump has met.
#[derive(Default)]
pub struct Devices {
    /// Which of them share memory.
    pub families: Families,
    pending: Vec<Pending>,
    pending_bytes: usize,
    copies: Vec<Copied>,
    /// How many frames are below the array whose bytes are written next.
    depth: Option<usize>,
    /// That to the array whose bytes could not be had.
    failed: Option<Path>,
}

impl Devices {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.families.clear();
        self.forget_bytes();
    }

    /// Forgets what the stream has, for a walk that begins again. Which memory it should have as one stays.
    pub fn begin_again(&mut self) {
        self.families.begin_again();
        self.forget_bytes();
    }

    fn forget_bytes(&mut self) {
        let some = self.depth.is_some() || self.failed.is_some();
        if !some && self.pending.is_empty() && self.copies.is_empty() {
            return;
        }
        self.pending.clear();
        self.pending_bytes = 0;
        self.copies.clear();
        self.depth = None;
        self.failed = None;
    }

    /// Whether a file has to wait for more.
    pub fn hold_back(&self) -> bool {
        !self.pending.is_empty() && self.pending_bytes < MOST_PENDING_BYTES
    }
}

/// Whether an object is exactly of a native class.
pub(super) fn is_exactly<T: pyo3::PyClass>(obj: Obj) -> bool {
    Python::attach(|py| to_bound(py, obj).cast_exact::<T>().is_ok())
}

impl Walker {
    /// The path to the array on a device that an error is about, if it was met before.
    pub fn failed_at(&self) -> Option<String> {
        self.devices.failed.as_ref().map(Path::to_string)
    }

    /// Whether an object stands for bytes on a device.
    pub(super) fn is_region(obj: Obj) -> bool {
        is_exactly::<Region>(obj)
    }

    /// An array on a device, by what its reducer said of it.
    pub(super) fn save_described(&mut self, obj: Obj, value: Own) -> Flow {
        let reduced =
            Python::attach(|py| self.ask_form(py, &to_bound(py, obj), &to_bound(py, value.obj())));
        let reduced = reduced.map_err(Raised::from_py)?;
        // The frame below says where it is only after this: the path is read later.
        self.devices.depth = Some(self.frames.len());
        self.save_reduced(obj, reduced)
    }

    /// Bytes on a device.
    #[cold]
    pub(super) fn save_region(&mut self, obj: Obj) -> Flow {
        if self.write_if_met(obj)? {
            return WRITTEN;
        }
        self.leave_pure()?;
        let keep = obj.own();
        if self.options.proto < 5 {
            return self.save_region_bytes(keep);
        }
        let (len, device) =
            region_of(keep.obj(), |region| (region.layout().len_bytes(), region.device_id()))?;
        if self.goes_as_device() && device.is_some() {
            return self.save_as_device(keep);
        }
        let place = if self.hooks.out_of_band() {
            let block = Block::zeroed(len).ok_or_else(Raised::no_memory)?;
            let buffer = HostBuffer::from(block);
            let place = Place::Memory(buffer.clone());
            if self.hooks.buffer_callback.is_some() {
                // It may look at the buffer, or leave it in the stream.
                self.wait_for(keep.clone(), place, len);
                self.settle_devices()?;
            } else {
                self.wait_for(keep.clone(), place, len);
            }
            self.save_out_of_band(buffer, false)?;
            None
        } else {
            Some(Place::Output(self.enc.bytearray_reserved(len)))
        };
        if let Some(place) = place {
            self.wait_for(keep.clone(), place, len);
        }
        self.memoize(keep.obj());
        self.tell_device(keep.obj())
    }

    /// Whether the buffers of this dump may be memory of a device.
    pub(super) fn goes_as_device(&self) -> bool {
        let taken = match self.hooks.collected {
            Some(_) => self.hooks.takes_devices,
            None => self.hooks.buffer_callback.is_some() && self.hooks.callback_takes_devices,
        };
        match self.options.choices.device {
            DeviceChoice::Host => false,
            DeviceChoice::Device => taken,
            DeviceChoice::Auto => taken && self.hooks.takes_regions,
        }
    }

    /// A buffer that is memory of a device.
    fn save_as_device(&mut self, region: Own) -> Flow {
        if self.hooks.takes_regions {
            let path = self.path_of_bytes();
            if self.options.choices.share {
                self.devices.failed = Some(path);
                return Err(raise_device(NOT_SHARED).into());
            }
            region_of(region.obj(), |region| region.found_at(path.to_string()))?;
        }
        if self.hooks.takes_regions
            && let Some(table) = &mut self.hooks.collected
        {
            let (desc, row) = buffers::row_of_device(region.clone());
            table.push(desc, row);
            self.op(Op::NextBuffer);
            self.memoize(region.obj());
            return self.tell_device(region.obj());
        }
        let buffer = Python::attach(|py| {
            let bound = to_bound(py, region.obj()).cast_into_exact::<Region>();
            let bound = bound.map_err(PyErr::from).map_err(Raised::from_py)?;
            let together = bound.get().is_whole();
            let buffer = Bound::new(py, Buffer::empty()).map_err(Raised::from_py)?;
            if self.options.choices.share && together {
                buffer.get().share(bound.unbind()).map_err(|error| raise_gpu(&error))?;
            } else {
                let path = self.path_of_bytes();
                let buffer = from_bound(buffer.as_any());
                self.devices.copies.push(Copied { region: region.clone(), buffer, path });
            }
            Ok::<Own, Raised>(from_bound(buffer.as_any()))
        })?;
        if self.hooks.collected.is_none() && self.offer_device(&buffer)? {
            self.save_region_inside(&region)?;
        } else {
            if let Some(table) = &mut self.hooks.collected {
                let (desc, row) = buffers::row_of_device(buffer);
                table.push(desc, row);
            }
            self.op(Op::NextBuffer);
        }
        self.memoize(region.obj());
        self.tell_device(region.obj())
    }

    /// Gives a callback the buffer, by a PickleBuffer of no bytes whose memory belongs to an
    /// object that has it; whether the bytes are to stay in the stream.
    fn offer_device(&mut self, buffer: &Own) -> Result<bool, Stop> {
        self.settle_devices()?;
        let Some(callback) = self.hooks.buffer_callback.clone() else { return Ok(true) };
        if let Some(in_band) = self.hooks.replayed_buffer() {
            return Ok(in_band);
        }
        let answer = Python::attach(|py| {
            let stand_in = StandIn::new(to_bound(py, buffer.obj()).unbind());
            let wrap = py.import("_pickle")?.getattr("PickleBuffer")?;
            let shown = wrap.call1((Bound::new(py, stand_in)?,))?;
            to_bound(py, callback.obj()).call1((shown,))?.is_truthy()
        });
        let in_band = answer.map_err(Raised::from_py)?;
        self.hooks.record_buffer(in_band);
        Ok(in_band)
    }

    /// Bytes on a device that stay in the stream.
    fn save_region_inside(&mut self, region: &Own) -> Result<(), Stop> {
        let len = region_of(region.obj(), |region| region.layout().len_bytes())?;
        let place = Place::Output(self.enc.bytearray_reserved(len));
        self.wait_for(region.clone(), place, len);
        Ok(())
    }

    /// The device as a text that is thrown away.
    fn tell_device(&mut self, region: Obj) -> Flow {
        if let Some(device) = region_of(region, Region::device_id)? {
            self.enc.str(device.to_string().as_bytes())?;
            self.op(Op::Pop);
        }
        WRITTEN
    }

    fn wait_for(&mut self, region: Own, place: Place, len: usize) {
        let path = self.path_of_bytes();
        self.devices.pending_bytes += len;
        self.devices.pending.push(Pending { region, place, path });
    }

    fn path_of_bytes(&mut self) -> Path {
        let depth = self.devices.depth.take().unwrap_or(self.frames.len());
        Path::new(self, depth)
    }

    /// For protocols without buffers: bytes, fetched at once.
    fn save_region_bytes(&mut self, region: Own) -> Flow {
        let fetch = fast::intern(c"fetch")?;
        let bytes = region.obj().getattr(fetch.obj())?.call(&[])?;
        self.save_whole(bytes.obj())?;
        self.pin(bytes);
        WRITTEN
    }

    /// Fetches all bytes that wait, in one go for each device, and makes the copies.
    pub(super) fn settle_devices(&mut self) -> Result<(), Raised> {
        if self.devices.pending.is_empty() && self.devices.copies.is_empty() {
            return Ok(());
        }
        let copies = core::mem::take(&mut self.devices.copies);
        self.settle_all(copies, |_, copies| copy(copies), |one| one.path)?;
        let pending = core::mem::take(&mut self.devices.pending);
        self.devices.pending_bytes = 0;
        self.settle_all(pending, Walker::download, |one| one.path)
    }

    /// Settles all at once; if that fails, each alone, to tell which array it was.
    fn settle_all<T>(
        &mut self,
        all: Vec<T>,
        mut settle: impl FnMut(&mut Walker, &[T]) -> PyResult<()>,
        path: impl Fn(T) -> Path,
    ) -> Result<(), Raised> {
        let Err(error) = settle(self, &all) else { return Ok(()) };
        for one in all {
            if let Err(error) = settle(self, slice::from_ref(&one)) {
                self.devices.failed = Some(path(one));
                return Err(Raised::from_py(error));
            }
        }
        Err(Raised::from_py(error))
    }

    fn download(&mut self, pending: &[Pending]) -> PyResult<()> {
        Python::attach(|py| {
            let bounds: Vec<_> = pending.iter().map(|one| to_bound(py, one.region.obj())).collect();
            let mut wants = Vec::with_capacity(bounds.len());
            for (bound, one) in bounds.iter().zip(pending) {
                let region = bound.cast_exact::<Region>()?.get();
                let len = region.layout().len_bytes();
                let to = match &one.place {
                    Place::Memory(buffer) => buffer.as_ptr(),
                    Place::Output(at) => match self.enc.reserved(*at, len) {
                        Some(bytes) => bytes.as_mut_ptr(),
                        None => return Err(Raised::no_memory().into_py(py)),
                    },
                };
                // SAFETY: each place has as many bytes as its region: blocks that nobody has seen, or
                // reserved parts of the output, of which no two overlap. The output does not move
                // while this walker, which is borrowed, writes nothing.
                wants.extend(Want::of(region, unsafe { slice::from_raw_parts_mut(to, len) }));
            }
            download(py, wants)
        })
    }
}

fn copy(copies: &[Copied]) -> PyResult<()> {
    Python::attach(|py| {
        let bounds: Vec<_> = copies
            .iter()
            .map(|one| (to_bound(py, one.region.obj()), to_bound(py, one.buffer.obj())))
            .collect();
        let pairs = bounds.iter().map(|(region, buffer)| -> PyResult<_> {
            Ok((region.cast_exact::<Region>()?.get(), buffer.cast_exact::<Buffer>()?.get()))
        });
        let pairs: Vec<_> = pairs.collect::<PyResult<_>>()?;
        snapshot(py, &pairs)
    })
}

fn region_of<T>(obj: Obj, ask: impl FnOnce(&Region) -> T) -> Result<T, Raised> {
    Python::attach(|py| {
        let bound = to_bound(py, obj);
        let region = bound.cast_exact::<Region>().map_err(PyErr::from);
        Ok(ask(region.map_err(Raised::from_py)?.get()))
    })
}
