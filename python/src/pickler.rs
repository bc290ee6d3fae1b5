//! The `Pickler` class.

use crate::api::{self, callback_of, protocol_of};
use crate::error::Raised;
use crate::fast::{Obj, Own};
use crate::gc::Paused;
use crate::hooks::Hooks;
use crate::policy::{self, Choices, GcChoice};
use crate::scratch;
use crate::sink::Sink;
use crate::types::{from_bound, to_bound};
use crate::walk::{Options, Walker};
use ferropickle_core::memo::{Entry, Memo};
use ferropickle_core::regions::Regions;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// What `__init__` sets up.
struct Setup {
    write: Own,
    proto: u8,
    fix_imports: bool,
    buffer_callback: Option<Own>,
    choices: Choices,
}

/// Writes objects to a file, one stream each; the memo lives on between them.
///
/// file: an object with a `write` method that takes bytes.
/// protocol, fix_imports, buffer_callback, policy: as for `dumps`.
///
/// Subclasses may define `persistent_id(obj)`, `reducer_override(obj)` and
/// `dispatch_table`.
#[pyclass(subclass, dict, weakref, module = "ferropickle", name = "Pickler")]
pub struct Pickler {
    /// The object is made. The collector can visit it before: a subclass's
    /// `__dict__` is allocated while these fields are still zero.
    made: bool,
    setup: Option<Setup>,
    memo: Memo,
    /// Memory of arrays in the streams so far, by memo index too.
    regions: Regions,
    next_index: u32,
    /// References to the objects in the memo, and to temporaries.
    pins: Vec<Obj>,
    fast: bool,
    busy: bool,
}

// SAFETY: the handles are only used by methods, by the collector's visits and
// on drop, all of which hold the GIL (the module asks free-threaded builds for
// it); which thread that is does not matter to them.
unsafe impl Send for Pickler {}
// SAFETY: as above.
unsafe impl Sync for Pickler {}

#[pymethods]
impl Pickler {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Pickler {
        Pickler {
            made: true,
            setup: None,
            memo: Memo::new(),
            regions: Regions::default(),
            next_index: 0,
            pins: Vec::new(),
            fast: false,
            busy: false,
        }
    }

    #[pyo3(signature = (file, protocol = None, fix_imports = true, buffer_callback = None, *, policy = None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        file: &Bound<'_, PyAny>,
        protocol: Option<&Bound<'_, PyAny>>,
        fix_imports: bool,
        buffer_callback: Option<&Bound<'_, PyAny>>,
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let proto = protocol_of(protocol)?;
        let buffer_callback = callback_of(buffer_callback, proto)?;
        let choices = policy::choose(policy, Choices::default())?;
        let write = Sink::writer_of(from_bound(file).obj()).map_err(|raised| raised.into_py(py))?;
        let mut this = slf.try_borrow_mut()?;
        this.setup = Some(Setup { write, proto, fix_imports, buffer_callback, choices });
        let old = this.forget();
        drop(this);
        release(old);
        Ok(())
    }

    /// Writes an object to the file.
    #[pyo3(signature = (obj, /))]
    fn dump(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let walker = Self::begin(slf)?;
        let (walker, choices) = walker;
        let paused = (choices.gc == GcChoice::Pause).then(Paused::new);
        let outcome = Self::run(py, walker, obj, choices, slf);
        drop(paused);
        outcome
    }

    /// Forgets the objects written so far: the next stream stands by itself.
    fn clear_memo(slf: &Bound<'_, Self>) -> PyResult<()> {
        let old = slf.try_borrow_mut()?.forget();
        release(old);
        Ok(())
    }

    /// The persistent id of an object, or None: to be overridden.
    #[pyo3(signature = (obj, /))]
    fn persistent_id<'py>(&self, obj: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let _ = obj;
        None
    }

    /// No memo at all: shorter streams, no sharing, no cycles.
    #[getter]
    fn get_fast(&self) -> bool {
        self.fast
    }

    #[setter]
    fn set_fast(&mut self, fast: &Bound<'_, PyAny>) -> PyResult<()> {
        self.fast = fast.is_truthy()?;
        Ok(())
    }

    /// Whether the protocol is binary (1 and up).
    #[getter]
    fn bin(&self) -> bool {
        self.setup.as_ref().is_some_and(|setup| setup.proto > 0)
    }

    /// The objects written so far, by id.
    #[getter]
    fn get_memo(slf: &Bound<'_, Self>) -> PicklerMemo {
        PicklerMemo { pickler: slf.clone().unbind() }
    }

    #[setter]
    fn set_memo(slf: &Bound<'_, Self>, memo: &Bound<'_, PyAny>) -> PyResult<()> {
        let copied = if let Ok(proxy) = memo.cast::<PicklerMemo>() {
            proxy.borrow().copy(slf.py())?
        } else if let Ok(dict) = memo.cast::<PyDict>() {
            dict.copy()?
        } else {
            let name = memo.get_type().name()?;
            let text =
                format!("'memo' attribute must be a PicklerMemoProxy object or dict, not {name}");
            return Err(PyTypeError::new_err(text));
        };
        let (mut table, mut pins, mut next) = (Memo::new(), Vec::new(), 0);
        for (_, value) in copied.iter() {
            let pair = value
                .cast_into::<PyTuple>()
                .ok()
                .filter(|pair| pair.len() == 2)
                .ok_or_else(|| PyTypeError::new_err("'memo' values must be 2-item tuples"))?;
            let index: u32 = pair.get_item(0)?.extract()?;
            let obj = from_bound(&pair.get_item(1)?);
            table.set(obj.addr(), Entry::index(index.min(Entry::MAX_INDEX)));
            next = next.max(index.saturating_add(1));
            let kept = obj.obj();
            let _ = obj.into_ptr();
            pins.push(kept);
        }
        let mut this = slf.try_borrow_mut()?;
        let old = this.forget();
        this.regions.clear();
        (this.memo, this.pins, this.next_index) = (table, pins, next);
        drop(this);
        release(old);
        Ok(())
    }

    fn __sizeof__(&self) -> usize {
        size_of::<Self>() + self.memo.slots() * 16 + self.pins.capacity() * size_of::<Obj>()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !self.made {
            return Ok(());
        }
        let mut outcome = Ok(());
        self.each_ref(|obj| {
            if outcome.is_ok() {
                outcome = visit_obj(&visit, obj);
            }
        });
        outcome
    }

    fn __clear__(&mut self) {
        self.setup = None;
        let old = self.forget();
        release(old);
    }
}

/// Shows one object to the cyclic collector.
pub fn visit_obj(visit: &PyVisit<'_>, obj: Obj) -> Result<(), PyTraverseError> {
    // SAFETY: the object is held by its owner; a Py over it is only looked at,
    // not dropped.
    let seen = unsafe {
        core::mem::ManuallyDrop::new(core::mem::transmute::<*mut pyo3::ffi::PyObject, Py<PyAny>>(
            obj.ptr(),
        ))
    };
    visit.call(&*seen)
}

impl Pickler {
    fn each_ref(&self, mut f: impl FnMut(Obj)) {
        self.pins.iter().for_each(|obj| f(*obj));
        if let Some(setup) = &self.setup {
            f(setup.write.obj());
            if let Some(callback) = &setup.buffer_callback {
                f(callback.obj());
            }
        }
    }

    /// Empties the memo; the references it held are given to the caller, who
    /// drops them when the object is no longer borrowed.
    fn forget(&mut self) -> Vec<Obj> {
        self.memo.clear();
        self.regions.clear();
        self.next_index = 0;
        core::mem::take(&mut self.pins)
    }

    /// Takes what a dump needs out of the object, so that hooks may use it.
    fn begin(slf: &Bound<'_, Self>) -> PyResult<(Box<Walker>, Choices)> {
        let py = slf.py();
        let this_obj = from_bound(slf.as_any());
        let mut this = slf.try_borrow_mut()?;
        if this.busy {
            return Err(PyRuntimeError::new_err("Pickler.dump() was called while it is running"));
        }
        let Some(setup) = &this.setup else {
            let name = slf.get_type().name()?;
            let text = format!("Pickler.__init__() was not called by {name}.__init__()");
            return Err(Raised::pickling(&text).into_py(py));
        };
        let (write, callback) = (setup.write.clone(), setup.buffer_callback.clone());
        let (proto, fix_imports, choices) = (setup.proto, setup.fix_imports, setup.choices.clone());
        let options = Options {
            proto,
            fix_imports,
            fast: this.fast,
            keep_memo: true,
            full: true,
            choices: choices.clone(),
        };
        drop(this);
        let is_base = |found: Obj| is_base_method(found, this_obj.obj());
        let hooks = Hooks::of_pickler(this_obj.obj(), callback, is_base)
            .map_err(|raised| raised.into_py(py))?;
        this = slf.try_borrow_mut()?;
        this.busy = true;
        let mut walker = scratch::take_walk();
        walker.memo = core::mem::replace(&mut this.memo, Memo::placeholder());
        walker.pins = core::mem::take(&mut this.pins);
        walker.regions = core::mem::take(&mut this.regions);
        walker.begin(options, hooks, Sink::file(write));
        Ok((walker, choices))
    }

    fn run(
        py: Python<'_>,
        mut walker: Box<Walker>,
        obj: &Bound<'_, PyAny>,
        choices: Choices,
        slf: &Bound<'_, Self>,
    ) -> PyResult<()> {
        let first = slf.try_borrow()?.next_index;
        let root = from_bound(obj);
        let outcome = walker
            .dump(root.obj(), first)
            .and_then(|()| walker.sink.write(walker.enc.out().as_slice()))
            .and_then(|()| walker.hooks.deliver());
        let outcome = outcome.map_err(|raised| api::explain(py, raised, &walker, choices.face));
        let oversized = core::mem::take(&mut walker.by_value.oversized);
        let mut this = slf.try_borrow_mut()?;
        this.busy = false;
        this.memo = core::mem::take(&mut walker.memo);
        this.next_index = walker.enc.next_index();
        this.pins = core::mem::take(&mut walker.pins);
        this.regions = core::mem::take(&mut walker.regions);
        drop(this);
        walker.end();
        scratch::give_walk(walker);
        outcome?;
        api::warn_oversized(py, oversized)
    }
}

impl Drop for Pickler {
    fn drop(&mut self) {
        release(self.forget());
    }
}

fn release(pins: Vec<Obj>) {
    pins.into_iter().for_each(Obj::decref);
}

/// Whether a bound method is one of the native class itself.
pub fn is_base_method(found: Obj, owner: Obj) -> bool {
    // SAFETY: the type check makes the cast of the macro right.
    unsafe {
        found.ty() == &raw mut pyo3::ffi::PyCFunction_Type
            && pyo3::ffi::PyCFunction_GetSelf(found.ptr()) == owner.ptr()
    }
}

/// The memo of a Pickler, to be copied, cleared, or given to another.
#[pyclass(frozen, module = "ferropickle", name = "PicklerMemoProxy")]
pub struct PicklerMemo {
    pickler: Py<Pickler>,
}

#[pymethods]
impl PicklerMemo {
    /// Forgets the objects written so far.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        Pickler::clear_memo(self.pickler.bind(py))
    }

    /// `{id: (index, object)}`.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let pickler = self.pickler.bind(py).try_borrow()?;
        let dict = PyDict::new(py);
        for obj in &pickler.pins {
            let index = pickler.memo.get(obj.addr()).and_then(Entry::as_index);
            if let Some(index) = index {
                dict.set_item(obj.addr(), (index, to_bound(py, *obj)))?;
            }
        }
        Ok(dict)
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyDict>,))> {
        Ok((py.get_type::<PyDict>().into_any(), (self.copy(py)?,)))
    }
}
