//! The `Unpickler` class.

use crate::api::{self, fill_builder};
use crate::build::buffer::Given;
use crate::build::{Builder, path};
use crate::error::Raised;
use crate::fast::{Obj, Own};
use crate::gc::Paused;
use crate::pickler::{is_base_method, visit_obj};
use crate::policy::{self, Choices, GcChoice};
use crate::source::FileSource;
use crate::types::{self, from_bound, to_bound};
use ferropickle_core::decode::{Decoder, MemoSlots};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::Cell;
use std::rc::Rc;

/// What `__init__` sets up, and a load takes out for its time.
struct Setup {
    source: FileSource,
    builder: Builder,
    choices: Choices,
}

/// Reads objects from a file, one stream each; the memo lives on between them.
///
/// file: an object with `read` and `readline`; `peek` is used if there.
/// fix_imports, encoding, errors, buffers, policy: as for `loads`.
///
/// Subclasses may define `find_class(module, name)` and `persistent_load(pid)`.
#[pyclass(subclass, dict, weakref, module = "ferropickle", name = "Unpickler")]
pub struct Unpickler {
    /// The object is made. The collector can visit it before: a subclass's
    /// `__dict__` is allocated while these fields are still zero.
    made: bool,
    setup: Option<Setup>,
    decoder: Decoder<Own>,
    busy: bool,
    /// For `find_class` called from outside a load.
    fix_imports: bool,
    stock: bool,
    proto: Rc<Cell<u8>>,
}

// SAFETY: the handles and the shared protocol number are only used with the GIL
// held (the module asks free-threaded builds for it), on whatever thread.
unsafe impl Send for Unpickler {}
// SAFETY: as above.
unsafe impl Sync for Unpickler {}

#[pymethods]
impl Unpickler {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Unpickler {
        Unpickler {
            made: true,
            setup: None,
            decoder: Decoder::default(),
            busy: false,
            fix_imports: true,
            stock: false,
            proto: Rc::default(),
        }
    }

    #[pyo3(signature = (file, *, fix_imports = true, encoding = "ASCII", errors = "strict", buffers = None, policy = None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        file: &Bound<'_, PyAny>,
        fix_imports: bool,
        #[pyo3(from_py_with = api::encoding_of)] encoding: &str,
        #[pyo3(from_py_with = api::errors_of)] errors: &str,
        buffers: Option<&Bound<'_, PyAny>>,
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let choices = policy::choose(policy, Choices::default())?;
        let mut builder = Builder::default();
        builder.set_face(choices.face);
        builder.landing.take(py, &choices);
        fill_builder(&mut builder, fix_imports, encoding, errors, buffers)?;
        let source =
            FileSource::new(from_bound(file).obj()).map_err(|raised| raised.into_py(py))?;
        let mut this = slf.try_borrow_mut()?;
        this.fix_imports = fix_imports;
        this.stock = builder.stock;
        this.proto.set(0);
        builder.shared_proto = Some(Rc::clone(&this.proto));
        let old_setup = this.setup.replace(Setup { source, builder, choices });
        let old = core::mem::take(&mut this.decoder);
        drop(this);
        drop((old, old_setup));
        Ok(())
    }

    /// The object of the next stream in the file.
    fn load<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this_obj = from_bound(slf.as_any());
        let mut this = slf.try_borrow_mut()?;
        if this.busy {
            return Err(PyRuntimeError::new_err("Unpickler.load() was called while it is running"));
        }
        let Some(mut setup) = this.setup.take() else {
            let name = slf.get_type().name()?;
            let text = format!("Unpickler.__init__() was not called by {name}.__init__()");
            return Err(Raised::unpickling(&text).into_py(py));
        };
        this.busy = true;
        let mut decoder = core::mem::take(&mut this.decoder);
        drop(this);
        let outcome = Self::run(py, this_obj.obj(), &mut setup, &mut decoder);
        decoder.reset();
        let mut this = slf.try_borrow_mut()?;
        this.busy = false;
        this.setup = Some(setup);
        this.decoder = decoder;
        drop(this);
        outcome.map(|object| to_bound(py, object.obj()))
    }

    /// A class or function by its module and qualified name: to be overridden
    /// where not everything may be loaded.
    #[pyo3(signature = (module_name, global_name, /))]
    fn find_class<'py>(
        slf: &Bound<'py, Self>,
        module_name: &Bound<'py, PyAny>,
        global_name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (proto, fix_imports, stock) = {
            let this = slf.try_borrow()?;
            (this.proto.get(), this.fix_imports, this.stock)
        };
        let (module, name) = (from_bound(module_name), from_bound(global_name));
        let found = api::find_class(module.obj(), name.obj(), proto, fix_imports, stock);
        found.map(|found| to_bound(py, found.obj())).map_err(|raised| raised.into_py(py))
    }

    /// The object of a persistent id: to be overridden.
    #[pyo3(signature = (pid, /))]
    fn persistent_load<'py>(&self, pid: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let text = "A load persistent id instruction was encountered, but no persistent_load \
                    function was specified.";
        Err(Raised::unpickling(text).into_py(pid.py()))
    }

    /// The objects read so far, by memo index.
    #[getter]
    fn get_memo(slf: &Bound<'_, Self>) -> UnpicklerMemo {
        UnpicklerMemo { unpickler: slf.clone().unbind() }
    }

    #[setter]
    fn set_memo(slf: &Bound<'_, Self>, memo: &Bound<'_, PyAny>) -> PyResult<()> {
        let copied = if let Ok(proxy) = memo.cast::<UnpicklerMemo>() {
            proxy.borrow().copy(slf.py())?
        } else if let Ok(dict) = memo.cast::<PyDict>() {
            dict.copy()?
        } else {
            let name = memo.get_type().name()?;
            let text = format!(
                "'memo' attribute must be an UnpicklerMemoProxy object or dict, not {name}"
            );
            return Err(PyTypeError::new_err(text));
        };
        let mut slots = MemoSlots::default();
        for (key, value) in copied.iter() {
            let index: i64 =
                key.extract().map_err(|_| PyTypeError::new_err("memo key must be integers"))?;
            let index = u64::try_from(index)
                .map_err(|_| PyValueError::new_err("memo key must be positive integers."))?;
            slots
                .put(index, from_bound(&value))
                .map_err(|_| PyMemoryError::new_err("out of memory"))?;
        }
        let mut this = slf.try_borrow_mut()?;
        let old = core::mem::replace(&mut this.decoder.memo, slots);
        drop(this);
        drop(old);
        Ok(())
    }

    fn __sizeof__(&self) -> usize {
        size_of::<Self>() + self.decoder.memo.len() * 8 + self.decoder.stack_capacity() * 8
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !self.made {
            return Ok(());
        }
        for (_, object) in self.decoder.memo.iter() {
            visit_obj(&visit, object.obj())?;
        }
        let mut outcome = Ok(());
        if let Some(setup) = &self.setup {
            setup.source.each_ref(|obj| {
                if outcome.is_ok() {
                    outcome = visit_obj(&visit, obj);
                }
            });
            if let Given::Iterator(buffers) = &setup.builder.buffers {
                visit_obj(&visit, buffers.obj())?;
            }
        }
        outcome
    }

    fn __clear__(&mut self) {
        let old = (self.setup.take(), core::mem::take(&mut self.decoder));
        drop(old);
    }
}

impl Unpickler {
    fn run(
        py: Python<'_>,
        this: Obj,
        setup: &mut Setup,
        decoder: &mut Decoder<Own>,
    ) -> PyResult<Own> {
        let names = types::get();
        let hook = |name: &Own| -> PyResult<Option<Own>> {
            let found = this.getattr_opt(name.obj()).map_err(|raised| raised.into_py(py))?;
            Ok(found.filter(|found| !is_base_method(found.obj(), this)))
        };
        setup.builder.find_class = hook(&names.find_class)?;
        setup.builder.persistent_load = hook(&names.persistent_load)?;
        setup.builder.proto = 0;
        if let Some(shared) = &setup.builder.shared_proto {
            shared.set(0);
        }
        let paused = (setup.choices.gc == GcChoice::Pause).then(Paused::new);
        let outcome = decoder.decode(&mut setup.source, &mut setup.builder);
        let outcome = outcome.map_err(|error| path::explain(py, error));
        let outcome = setup.builder.finish_landing(py, outcome);
        drop(paused);
        // Hooks are looked up anew by each load: bound methods would be a cycle.
        setup.builder.find_class = None;
        setup.builder.persistent_load = None;
        let object = outcome?;
        setup.source.settle().map_err(|raised| raised.into_py(py))?;
        Ok(object)
    }
}

/// The memo of an Unpickler, to be copied, cleared, or given to another.
#[pyclass(frozen, module = "ferropickle", name = "UnpicklerMemoProxy")]
pub struct UnpicklerMemo {
    unpickler: Py<Unpickler>,
}

#[pymethods]
impl UnpicklerMemo {
    /// Forgets the objects read so far.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let mut this = self.unpickler.bind(py).try_borrow_mut()?;
        let old = core::mem::take(&mut this.decoder.memo);
        drop(this);
        drop(old);
        Ok(())
    }

    /// `{index: object}`.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let this = self.unpickler.bind(py).try_borrow()?;
        let dict = PyDict::new(py);
        for (index, object) in this.decoder.memo.iter() {
            dict.set_item(index, to_bound(py, object.obj()))?;
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
