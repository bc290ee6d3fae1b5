//! `Policy`: the choices of dumps and loads as an object of Python's, and which
//! one a call has.

mod choices;

pub use choices::{
    Captured, Choices, DeviceChoice, Face, Files, GcChoice, Identity, Main, Memmap, Missing, Paths,
    Sources, Tracebacks,
};

use crate::byvalue::{Rules, Verdict};
use crate::fast::Obj;
use crate::types;
use choices::{checksum_of, compression_of};
use ferropickle_core::parcel::{Checksum, Compression, Spec};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::{Arc, OnceLock};

/// The choices of a dump or load. Immutable; compared by value.
///
/// gc: "pause" puts the cyclic collector off until the call ends, "keep"
/// leaves it as it is.
/// by_value: functions and classes of these modules go by value although they
/// can be imported: a module, its name (submodules included), a predicate that
/// is given the module, "project" (all that is neither the standard library
/// nor installed in site-packages), or a sequence of these.
/// main: "value" sends functions and classes of `__main__` by value, "ref" by
/// name; a dict from names to objects sends by name what it has under the name
/// that it bears in `__main__`, and all else by value.
/// identity: what a class by value is to a receiver that has one of the same
/// contents: "first" gives that one as it is, "refresh" sets its attributes
/// again, "new" makes another.
/// paths: the files that code was written in: "keep", "relative" to the
/// working directory, or "drop".
/// sources: whether functions by value carry their source beside their
/// bytecode, for receivers of another version of Python: "never", "auto" (where
/// it is known) or "always" (an error where it is not).
/// Tracebacks show it where the file is missing.
/// max_captured: bytes that a global or closure variable of a function may
/// take in the stream; captured: "warn" or "refuse" when it takes more.
/// reducers: a mapping from types to functions like those of `copyreg`, asked
/// first.
/// require_stock: refuse what a plain `pickle.loads` could not load without
/// this package: its own functions, classes and modules.
/// files: "reopen" makes an open file again by its name, "contents" sends what
/// is in it.
/// tracebacks: "drop" leaves the traceback of an exception behind, "keep"
/// sends its files, functions and lines.
/// memmap: arrays that NumPy maps from a file go by "value", with their
/// elements, or by "reference": the receiver maps the same file again.
/// device: arrays on devices go by "host" as their bytes, by "device" as memory
/// of the device where the receiver can take that, by "auto" as suits the receiver.
/// place: the device on which a load puts arrays of devices: None for the sender's
/// if it is visible here, else the current one; a UUID, an ordinal, a dict from
/// the sender's UUID to one of these, or a function of that UUID.
/// on_missing: where there is no device, or no library for it, a load may "raise"
/// or give arrays of the "host".
/// share: with "device", the memory itself where it lies together; writes to it
/// are seen on both sides. Else a copy, as the memory was at the dump.
/// checksum: what a parcel notes of each buffer, and compares when it is
/// unpacked: "xxh3", "crc32" or None. Files have a CRC-32 in any case.
/// compression: of the buffers of parcels and files: "zstd", ("zstd", level),
/// "lz4" or None. A buffer that a sample says would not shrink stays as it is.
/// fsync: whether `save` waits until the file is on the disk.
/// threads: how many may encode a large graph, this one included; None: as many
/// as there are cores. 1 keeps to one thread.
#[pyclass(frozen, module = "ferropickle", name = "Policy")]
pub struct Policy {
    pub choices: Choices,
    by_value: Py<PyAny>,
    reducers: Py<PyAny>,
    main_names: Option<Py<PyDict>>,
    place: Py<PyAny>,
}

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (*, gc = None, face = None, by_value = None, main = None, identity = None, paths = None, sources = None, max_captured = None, captured = None, reducers = None, require_stock = false, files = None, tracebacks = None, memmap = None, device = None, place = None, on_missing = None, share = false, checksum = None, compression = None, fsync = true, threads = None))]
    #[allow(clippy::too_many_arguments, reason = "all by keyword")]
    fn new(
        py: Python<'_>,
        gc: Option<&Bound<'_, PyAny>>,
        face: Option<&Bound<'_, PyAny>>,
        by_value: Option<&Bound<'_, PyAny>>,
        main: Option<&Bound<'_, PyAny>>,
        identity: Option<&Bound<'_, PyAny>>,
        paths: Option<&Bound<'_, PyAny>>,
        sources: Option<&Bound<'_, PyAny>>,
        max_captured: Option<&Bound<'_, PyAny>>,
        captured: Option<&Bound<'_, PyAny>>,
        reducers: Option<&Bound<'_, PyAny>>,
        require_stock: bool,
        files: Option<&Bound<'_, PyAny>>,
        tracebacks: Option<&Bound<'_, PyAny>>,
        memmap: Option<&Bound<'_, PyAny>>,
        device: Option<&Bound<'_, PyAny>>,
        place: Option<&Bound<'_, PyAny>>,
        on_missing: Option<&Bound<'_, PyAny>>,
        share: bool,
        checksum: Option<&Bound<'_, PyAny>>,
        compression: Option<&Bound<'_, PyAny>>,
        fsync: bool,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Policy> {
        if let Some(reducers) = reducers
            && !reducers.is_instance_of::<pyo3::types::PyMapping>()
        {
            let name = reducers.get_type().name()?;
            return Err(PyTypeError::new_err(format!("reducers must be a mapping, not {name}")));
        }
        let max_captured = max_captured.map(|given| {
            given
                .extract::<usize>()
                .map_err(|_| PyTypeError::new_err("max_captured must be a number of bytes or None"))
        });
        let threads = threads.map(|given| match given.extract::<usize>() {
            Ok(0) => Err(PyValueError::new_err("threads must be at least 1")),
            Ok(threads) => Ok(threads),
            Err(_) => Err(PyTypeError::new_err("threads must be an int or None")),
        });
        let main_names = main.and_then(|given| given.cast::<PyDict>().ok());
        let main = if main_names.is_some() { None } else { main };
        let rules = Rules::of(by_value, reducers, main_names)?;
        let face = face.map(Face::of).transpose()?.unwrap_or_default();
        // cloudpickle sets the attributes of a class that comes again.
        let identity_of_face =
            if face == Face::Cloudpickle { Identity::Refresh } else { Identity::First };
        let choices = Choices {
            gc: gc.map(GcChoice::of).transpose()?.unwrap_or_default(),
            face,
            identity: identity.map(Identity::of).transpose()?.unwrap_or(identity_of_face),
            main: main.map(Main::of).transpose()?.unwrap_or_default(),
            paths: paths.map(Paths::of).transpose()?.unwrap_or_default(),
            sources: sources.map(Sources::of).transpose()?.unwrap_or_default(),
            max_captured: max_captured.transpose()?,
            captured: captured.map(Captured::of).transpose()?.unwrap_or_default(),
            require_stock,
            files: files.map(Files::of).transpose()?.unwrap_or_default(),
            memmap: memmap.map(Memmap::of).transpose()?.unwrap_or_default(),
            tracebacks: tracebacks.map(Tracebacks::of).transpose()?.unwrap_or_default(),
            device: device.map(DeviceChoice::of).transpose()?.unwrap_or_default(),
            on_missing: on_missing.map(Missing::of).transpose()?.unwrap_or_default(),
            share,
            spec: Spec {
                checksum: checksum.map(checksum_of).transpose()?.unwrap_or_default(),
                compression: compression.map(compression_of).transpose()?,
            },
            no_fsync: !fsync,
            threads: threads.transpose()?,
            rules: rules.map(Arc::new),
            policy: None,
        };
        let keep = |given: Option<&Bound<'_, PyAny>>| match given {
            Some(given) => given.clone().unbind(),
            None => py.None(),
        };
        let main_names = main_names.map(|names| names.clone().unbind());
        let (by_value, reducers, place) = (keep(by_value), keep(reducers), keep(place));
        Ok(Policy { choices, by_value, reducers, main_names, place })
    }

    /// What the cyclic collector does meanwhile: "pause" or "keep".
    #[getter]
    fn gc(&self) -> &'static str {
        self.choices.gc.word()
    }

    /// Whose contract holds: "ferropickle", "pickle", "cloudpickle" or "dill".
    #[getter]
    fn face(&self) -> &'static str {
        self.choices.face.word()
    }

    /// What goes by value although it can be imported.
    #[getter]
    fn by_value(&self, py: Python<'_>) -> Py<PyAny> {
        self.by_value.clone_ref(py)
    }

    /// How functions and classes of `__main__` go: "value", "ref", or a dict of
    /// those that go by name.
    #[getter]
    fn main(&self, py: Python<'_>) -> Py<PyAny> {
        match &self.main_names {
            Some(names) => names.clone_ref(py).into_any(),
            None => pyo3::types::PyString::intern(py, self.choices.main.word()).into_any().unbind(),
        }
    }

    /// Which class a receiver gets: "first", "refresh" or "new".
    #[getter]
    fn identity(&self) -> &'static str {
        self.choices.identity.word()
    }

    /// What a stream tells of source files: "keep", "relative" or "drop".
    #[getter]
    fn paths(&self) -> &'static str {
        self.choices.paths.word()
    }

    /// Whether functions carry their source: "never", "auto" or "always".
    #[getter]
    fn sources(&self) -> &'static str {
        self.choices.sources.word()
    }

    /// Bytes that one captured variable may take, or None.
    #[getter]
    fn max_captured(&self) -> Option<usize> {
        self.choices.max_captured
    }

    /// What happens when one takes more: "warn" or "refuse".
    #[getter]
    fn captured(&self) -> &'static str {
        self.choices.captured.word()
    }

    /// Reducers by type, or None.
    #[getter]
    fn reducers(&self, py: Python<'_>) -> Py<PyAny> {
        self.reducers.clone_ref(py)
    }

    /// Whether what plain pickle could not load is refused.
    #[getter]
    fn require_stock(&self) -> bool {
        self.choices.require_stock
    }

    /// How arrays mapped from files go: "value" or "reference".
    #[getter]
    fn memmap(&self) -> &'static str {
        self.choices.memmap.word()
    }

    /// How arrays on devices go: "host", "device" or "auto".
    #[getter]
    fn device(&self) -> &'static str {
        self.choices.device.word()
    }

    /// On which device a load puts arrays of devices, or None.
    #[getter]
    fn place(&self, py: Python<'_>) -> Py<PyAny> {
        self.place.clone_ref(py)
    }

    /// What a load does where there is no device: "raise" or "host".
    #[getter]
    fn on_missing(&self) -> &'static str {
        self.choices.on_missing.word()
    }

    /// Whether memory of devices is given away as it is.
    #[getter]
    fn share(&self) -> bool {
        self.choices.share
    }

    /// How open files go: "reopen" or "contents".
    #[getter]
    fn files(&self) -> &'static str {
        self.choices.files.word()
    }

    /// What becomes of the tracebacks of exceptions: "drop" or "keep".
    #[getter]
    fn tracebacks(&self) -> &'static str {
        self.choices.tracebacks.word()
    }

    /// What a parcel notes of each buffer: "xxh3", "crc32" or None.
    #[getter]
    fn checksum(&self) -> Option<&'static str> {
        match self.choices.spec.checksum {
            Checksum::Nothing => None,
            Checksum::Xxh3 => Some("xxh3"),
            Checksum::Crc32 => Some("crc32"),
        }
    }

    /// How buffers of parcels and files are compressed: ("zstd", level), "lz4"
    /// or None.
    #[getter]
    fn compression<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match self.choices.spec.compression {
            None => None,
            Some(Compression::Zstd(level)) => Some(("zstd", level).into_pyobject(py)?.into_any()),
            Some(Compression::Lz4) => Some("lz4".into_pyobject(py)?.into_any()),
        })
    }

    /// Whether `save` waits until the file is on the disk.
    #[getter]
    fn fsync(&self) -> bool {
        !self.choices.no_fsync
    }

    /// How many threads may encode a large graph, or None.
    #[getter]
    fn threads(&self) -> Option<usize> {
        self.choices.threads
    }

    /// Whether `by_value` takes functions and classes of a loaded module.
    fn _takes_module(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<bool> {
        let Some(rules) = &self.choices.rules else { return Ok(false) };
        let name = types::from_bound(name.as_any());
        match rules.judge(name.obj()) {
            Verdict::Known(known) => Ok(known),
            Verdict::Ask => rules.ask(name.obj()).map_err(|raised| raised.into_py(py)),
        }
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let Ok(other) = other.cast::<Policy>() else { return Ok(py.NotImplemented()) };
        let same = self.values(py)?.eq(other.get().values(py)?)?;
        Ok(pyo3::types::PyBool::new(py, same).to_owned().into_any().unbind())
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        let c = &self.choices;
        (c.gc, c.face, c.identity, c.main, c.paths, c.sources).hash(&mut hasher);
        (c.max_captured, c.captured, c.require_stock).hash(&mut hasher);
        (c.files, c.tracebacks, c.memmap, c.spec, c.no_fsync, c.threads).hash(&mut hasher);
        (c.device, c.on_missing, c.share).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let plain = Policy::default_values(py)?;
        let mut parts = Vec::new();
        for (name, value) in self.values(py)? {
            let always = ["gc", "face"].contains(&name.to_string().as_str());
            if always || !plain.get_item(&name)?.is_some_and(|v| v.eq(&value).unwrap_or(false)) {
                parts.push(format!("{name}={}", value.repr()?));
            }
        }
        Ok(format!("Policy({})", parts.join(", ")))
    }

    /// The choices by name.
    fn _choices<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.values(py)
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (Py<PyAny>,))> {
        let py = slf.py();
        let rebuild = py.import("ferropickle._policy")?.getattr("_policy_from")?;
        Ok((rebuild.unbind(), (slf.get().values(py)?.into_any().unbind(),)))
    }
}

impl Policy {
    fn default_values(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        py.get_type::<Policy>().call0()?.cast::<Policy>()?.get().values(py)
    }

    /// The arguments that make the same policy.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        values.set_item("gc", self.gc())?;
        values.set_item("face", self.face())?;
        values.set_item("by_value", &self.by_value)?;
        values.set_item("main", self.main(py))?;
        values.set_item("identity", self.identity())?;
        values.set_item("paths", self.paths())?;
        values.set_item("sources", self.sources())?;
        values.set_item("max_captured", self.max_captured())?;
        values.set_item("captured", self.captured())?;
        values.set_item("reducers", &self.reducers)?;
        values.set_item("require_stock", self.require_stock())?;
        values.set_item("files", self.files())?;
        values.set_item("memmap", self.memmap())?;
        values.set_item("tracebacks", self.tracebacks())?;
        values.set_item("device", self.device())?;
        values.set_item("place", &self.place)?;
        values.set_item("on_missing", self.on_missing())?;
        values.set_item("share", self.share())?;
        values.set_item("checksum", self.checksum())?;
        values.set_item("compression", self.compression(py)?)?;
        values.set_item("fsync", self.fsync())?;
        values.set_item("threads", self.threads())?;
        Ok(values)
    }
}

struct ContextVar(*mut ffi::PyObject);
// SAFETY: an object that lives as long as the process, used with the GIL held.
unsafe impl Send for ContextVar {}
// SAFETY: as above.
unsafe impl Sync for ContextVar {}
static CURRENT: OnceLock<ContextVar> = OnceLock::new();

/// Makes the context variable that `ferropickle.policy(...)` sets.
pub fn init(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let var = py.import("_contextvars")?.getattr("ContextVar")?.call1(("ferropickle_policy",))?;
    let _ = CURRENT.set(ContextVar(var.clone().into_ptr()));
    Ok(var)
}

/// The choices for a call: its own policy, else the context's, else `default`.
#[inline]
pub fn choose(given: Option<&Bound<'_, PyAny>>, default: Choices) -> PyResult<Choices> {
    if let Some(given) = given
        && !given.is_none()
    {
        return of(given);
    }
    let Some(var) = CURRENT.get() else { return Ok(default) };
    let mut value = core::ptr::null_mut();
    // SAFETY: a live context variable; on success a new reference or null.
    let value = unsafe {
        if ffi::PyContextVar_Get(var.0, core::ptr::null_mut(), &mut value) < 0 {
            ffi::PyErr_Clear();
            return Ok(default);
        }
        Obj::borrowed(value)
    };
    match value {
        None => Ok(default),
        Some(value) => Python::attach(|py| {
            let bound = types::to_bound(py, value);
            value.decref();
            of(&bound)
        }),
    }
}

fn of(given: &Bound<'_, PyAny>) -> PyResult<Choices> {
    match given.cast::<Policy>() {
        Ok(policy) => Ok(Choices {
            policy: Some(Arc::new(given.clone().unbind())),
            ..policy.get().choices.clone()
        }),
        Err(_) => {
            let name = given.get_type().name()?;
            Err(PyTypeError::new_err(format!("policy must be a Policy or None, not {name}")))
        }
    }
}
