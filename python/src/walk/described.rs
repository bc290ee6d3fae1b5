//! What reducers say of arrays on devices, and which of these share memory.
//!
//! A reducer answers for such an array with a [`Described`]: its memory, and the
//! function that gives the reduce value. The function is told of bytes of
//! this stream in which the array lies, if there are any, and makes a view of
//! them.
//!
//! Which memory goes as one is decided as it is for arrays of NumPy's (`numpy.rs`): an array that lies in one
//! that was written is a view of that, and where one reaches over the end of another, the walk begins again with the
//! memory of both first. Memory that no two arrays share is not looked at beyond their elements.

use super::Walker;
use crate::device::region::Region;
use crate::error::OrNone;
use crate::fast::{self, Obj, Own};
use crate::types::{count_modules, from_bound, loaded_module, to_bound};
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use ferropickle_core::regions::{Place, Regions};
use ferropickle_core::strided::{Axis, Layout};
use ferropickle_gpu::{DeviceId, StreamRef};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// What a reducer says of an array on a device.
///
/// region: its DeviceRegion.
/// form: called with the array, the region, None or `(bytes, offset)`, and whether the
/// bytes may come as memory of a device. `bytes` is what `form` gave as those
/// of an earlier array that holds this one, which begins in them at `offset`. Returns
/// the reduce value, and an object that the stream then has for all bytes of the
/// array, or None.
/// kind: arrays of one kind can be views of each other.
/// whole: for arrays that can be: called with a DeviceRegion of bytes, and whether they
/// may come as memory of a device. Returns an object that the stream then has for these bytes, of which
/// arrays are views.
#[pyclass(frozen, module = "ferropickle._native", name = "Described")]
pub struct Described {
    region: Py<Region>,
    form: Py<PyAny>,
    kind: String,
    whole: Option<Py<PyAny>>,
}

#[pymethods]
impl Described {
    #[new]
    #[pyo3(signature = (region, form, kind, whole = None))]
    fn new(
        region: Py<Region>,
        form: Py<PyAny>,
        kind: String,
        whole: Option<Py<PyAny>>,
    ) -> Described {
        MET.store(true, Ordering::Relaxed);
        Described { region, form, kind, whole }
    }
}

/// Arrays that may be views of each other: of one kind, on one device, worked on in one stream.
struct Family {
    kind: String,
    device: DeviceId,
    stream: Option<StreamRef>,
    /// Which memory the stream has; the index of its bytes is that in `bytes`.
    regions: Regions,
    /// What stands for the bytes of an array, or of several.
    bytes: Vec<Own>,
    /// What was said of the arrays: their memory is alive until the dump ends.
    described: Vec<Own>,
}

impl Family {
    /// Has bytes of the stream stand for some memory.
    fn hold(&mut self, at: u64, layout: Layout, bytes: Option<Own>) {
        let index = bytes.map(|bytes| {
            self.bytes.push(bytes);
            self.bytes.len() as u32 - 1
        });
        self.regions.note(at as usize, layout, index, true);
    }

    /// All that keep memory from `start` to `end`, for those who outlive the dump.
    fn owners(&self, py: Python<'_>, start: usize, end: usize) -> PyResult<Py<PyAny>> {
        let described = self.described.iter().map(|said| to_bound(py, said.obj()));
        let mut owners = Vec::new();
        for said in described {
            let region = said.cast_exact::<Described>()?.get().region.get();
            let (low, high) = region.span();
            if low < end as u64 && start as u64 <= high {
                owners.push(region.owner(py));
            }
        }
        Ok(PyTuple::new(py, owners)?.into_any().unbind())
    }

    /// Whether elements at this distance from the first of the bytes are as well aligned in a copy.
    fn is_aligned(distance: u64, layout: &Layout) -> bool {
        distance.is_multiple_of(1 << layout.item_bytes().trailing_zeros().min(4))
    }
}

/// All of one dump.
#[derive(Default)]
pub struct Families {
    all: Vec<Family>,
}

impl Families {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.all.clear();
    }

    /// Forgets what the stream has, not which memory it should have as one.
    pub fn begin_again(&mut self) {
        for family in &mut self.all {
            family.regions.begin_again();
            family.bytes.clear();
        }
    }

    /// Whether there is any.
    pub fn met_any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether the walk should begin again: an array reaches over the end of one that came before.
    pub fn wants_again(&self) -> bool {
        self.all.iter().any(|family| family.regions.wants_again())
    }

    fn of(&mut self, kind: &str, device: DeviceId, stream: Option<StreamRef>) -> &mut Family {
        let same = |family: &Family| {
            family.kind == kind && family.device == device && family.stream == stream
        };
        let index = self.all.iter().position(same).unwrap_or_else(|| {
            self.all.push(Family {
                kind: kind.to_owned(),
                device,
                stream,
                regions: Regions::default(),
                bytes: Vec::new(),
                described: Vec::new(),
            });
            self.all.len() - 1
        });
        &mut self.all[index]
    }
}

/// Whether this process has met an array on a device.
static MET: AtomicBool = AtomicBool::new(false);

/// Libraries whose arrays are on devices.
const LIBRARIES: [&CStr; 5] = [c"cupy", c"numba.cuda", c"torch", c"rmm", c"cuda.core"];

/// How many modules there were when none of the libraries was among them.
static WITHOUT: AtomicIsize = AtomicIsize::new(0);

/// Whether dumps of this process may meet arrays on devices.
pub fn are_likely() -> bool {
    if MET.load(Ordering::Relaxed) {
        return true;
    }
    let count = count_modules();
    if WITHOUT.load(Ordering::Relaxed) == count {
        return false;
    }
    let is_loaded = |name: &&CStr| {
        fast::intern(name).or_none().is_some_and(|name| loaded_module(name.obj()).is_some())
    };
    let loaded = LIBRARIES.iter().any(is_loaded);
    if !loaded {
        WITHOUT.store(count, Ordering::Relaxed);
    }
    loaded
}

impl Walker {
    /// Whether a reducer's answer is a `Described`.
    pub(super) fn is_described(value: Obj) -> bool {
        super::device::is_exactly::<Described>(value)
    }

    /// The reduce value of an array: one of its own, or that of a view.
    pub(super) fn ask_form(
        &mut self,
        py: Python<'_>,
        obj: &Bound<'_, PyAny>,
        said: &Bound<'_, PyAny>,
    ) -> PyResult<Own> {
        let described = said.cast_exact::<Described>()?.get();
        let region = described.region.get();
        let direct = self.goes_as_device();
        let share = self.options.choices.share;
        let may_restart =
            self.hooks.buffer_callback.is_none() && (self.pure || self.replay.recording);
        let form = |within: Option<(Bound<'_, PyAny>, u64)>| {
            let answer = described.form.call1(py, (obj, &described.region, within, direct))?;
            answer.extract::<(Bound<'_, PyAny>, Option<Bound<'_, PyAny>>)>(py)
        };
        let (Some(device), Some(whole)) = (region.device_id(), &described.whole) else {
            return Ok(from_bound(&form(None)?.0));
        };
        let (low, _) = region.span();
        let layout = region.layout();
        let family = self.devices.families.of(&described.kind, device, region.stream());
        let place = family.regions.place(region.address() as usize, layout, true, may_restart);
        let within = match place {
            Place::Within { index, start, .. }
                if Family::is_aligned(low - start as u64, layout) =>
            {
                let bytes = to_bound(py, family.bytes[index as usize].obj());
                Some((bytes, low - start as u64))
            }
            Place::Whole { start, end, .. } if Family::is_aligned(low - start as u64, layout) => {
                let all = Axis { len: end - start, stride: 1 };
                let owner = if share { family.owners(py, start, end)? } else { region.owner(py) };
                let memory = region.spanning(py, owner, start as u64, all)?;
                let bytes = whole.call1(py, (memory, direct))?.into_bound(py);
                if let Some(all) = Layout::new([all], 1) {
                    family.hold(start as u64, all, Some(from_bound(&bytes)));
                }
                Some((bytes, low - start as u64))
            }
            _ => None,
        };
        family.described.push(from_bound(said));
        let is_view = within.is_some();
        let (reduced, bytes) = form(within)?;
        if !is_view {
            let bytes = bytes.filter(|_| region.is_whole()).map(|bytes| from_bound(&bytes));
            family.hold(region.address(), layout.clone(), bytes);
        }
        Ok(from_bound(&reduced))
    }
}
