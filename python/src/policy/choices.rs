//! The choices of one dump or load as values, and the words for them.

use crate::byvalue::Rules;
use crate::types;
use ferropickle_core::parcel::{Checksum, Compression, Spec};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use std::sync::Arc;

/// What the cyclic collector does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum GcChoice {
    /// Put off until the call ends (the default).
    #[default]
    Pause,
    /// Left as it is.
    Keep,
}

/// How errors are worded, and what is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Face {
    /// Ferropickle's own: texts begin with the path.
    #[default]
    Own,
    /// As the standard library's pickle: its texts, the path in a note;
    /// nothing goes by value.
    Pickle,
    /// As cloudpickle.
    Cloudpickle,
    /// As dill.
    Dill,
}

/// Which class a receiver gets for a class by value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Identity {
    /// The one it has, if it has one of the same contents, as it is (the default).
    #[default]
    First,
    /// The one it has, its attributes set again.
    Refresh,
    /// A new one each time.
    New,
}

/// What functions of `__main__` see of its globals, and how they go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Main {
    /// By value, with the globals they use (the default).
    #[default]
    Value,
    /// By name: the receiver's own `__main__` has them.
    Ref,
}

/// What a stream tells of the files that code was written in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Paths {
    /// As they are (the default).
    #[default]
    Keep,
    /// From the sender's working directory.
    Relative,
    /// Nothing.
    Drop,
}

/// What happens when a function captures more than `max_captured` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Captured {
    /// A warning with the path (the default).
    #[default]
    Warn,
    /// An error with the path.
    Refuse,
}

/// Whether functions by value carry their source, for other versions of Python.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Sources {
    /// Bytecode alone (the default).
    #[default]
    Never,
    /// Where it is known.
    Auto,
    /// Or an error.
    Always,
}

/// How open files go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Files {
    /// Opened again by name (the default).
    #[default]
    Reopen,
    /// With what is in them.
    Contents,
}

/// How arrays that are mapped from files go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Memmap {
    /// With their elements (the default).
    #[default]
    Value,
    /// As the place in the file, which is mapped again.
    Reference,
}

/// How arrays on devices leave the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DeviceChoice {
    /// As their bytes (the default).
    #[default]
    Host,
    /// As memory of the device, where the buffers that leave the stream may be
    /// that.
    Device,
    /// By who the receiver is.
    Auto,
}

/// What a load does with an array on a device where there is no device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Missing {
    /// It fails (the default).
    #[default]
    Raise,
    /// It gives an array of the host's.
    Host,
}

/// What becomes of the tracebacks of exceptions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Tracebacks {
    /// Left behind (the default).
    #[default]
    Drop,
    /// Written with the exception.
    Keep,
}

/// The choices in effect for one call.
#[derive(Clone, Default)]
pub struct Choices {
    pub gc: GcChoice,
    pub face: Face,
    pub identity: Identity,
    pub main: Main,
    pub paths: Paths,
    pub sources: Sources,
    /// Bytes that one captured variable may have in the stream.
    pub max_captured: Option<usize>,
    pub captured: Captured,
    /// Refuse what a plain `pickle.loads` could not load.
    pub require_stock: bool,
    pub files: Files,
    pub memmap: Memmap,
    pub tracebacks: Tracebacks,
    pub device: DeviceChoice,
    pub on_missing: Missing,
    /// Memory of devices is given away as it is, not copied.
    pub share: bool,
    /// How parcels and files are written.
    pub spec: Spec,
    /// Leave it to the system when a file's bytes reach the disk.
    pub no_fsync: bool,
    /// Threads that may encode one graph: as many as there are cores if none
    /// is said.
    pub threads: Option<usize>,
    /// Those that need Python objects, if any is given.
    pub rules: Option<Arc<Rules>>,
    /// The policy itself, for the package's reducers.
    pub policy: Option<Arc<Py<PyAny>>>,
}

impl Choices {
    /// Gives up the objects in them.
    pub fn let_go(&mut self) {
        (self.rules, self.policy) = (None, None);
    }
}

/// One choice that is a word: its name, and its words in the order of the enum.
macro_rules! words {
    ($ty:ident, $name:literal: $($variant:ident = $word:literal),*) => {
        impl $ty {
            pub(super) fn word(self) -> &'static str {
                match self { $($ty::$variant => $word),* }
            }
            pub(super) fn of(given: &Bound<'_, PyAny>) -> PyResult<$ty> {
                match crate::api::text_of(given, $name)? {
                    $($word => Ok($ty::$variant),)*
                    other => {
                        let words = [$($word),*].map(|word| format!("'{word}'")).join(", ");
                        let text = format!("{} must be one of {words}, not '{other}'", $name);
                        Err(PyValueError::new_err(text))
                    }
                }
            }
        }
    };
}

words!(GcChoice, "gc": Pause = "pause", Keep = "keep");
words!(Face, "face": Own = "ferropickle", Pickle = "pickle", Cloudpickle = "cloudpickle", Dill = "dill");
words!(Identity, "identity": First = "first", Refresh = "refresh", New = "new");
words!(Main, "main": Value = "value", Ref = "ref");
words!(Paths, "paths": Keep = "keep", Relative = "relative", Drop = "drop");
words!(Sources, "sources": Never = "never", Auto = "auto", Always = "always");
words!(Memmap, "memmap": Value = "value", Reference = "reference");
words!(Files, "files": Reopen = "reopen", Contents = "contents");
words!(Tracebacks, "tracebacks": Drop = "drop", Keep = "keep");
words!(DeviceChoice, "device": Host = "host", Device = "device", Auto = "auto");
words!(Missing, "on_missing": Raise = "raise", Host = "host");
words!(Captured, "captured": Warn = "warn", Refuse = "refuse");

/// Level of zstd where none is given, as zstd has it.
const ZSTD_LEVEL: i32 = 3;

pub(super) fn checksum_of(given: &Bound<'_, PyAny>) -> PyResult<Checksum> {
    match crate::api::text_of(given, "checksum")? {
        "xxh3" => Ok(Checksum::Xxh3),
        "crc32" => Ok(Checksum::Crc32),
        other => {
            let text = format!("checksum must be 'xxh3', 'crc32' or None, not '{other}'");
            Err(PyValueError::new_err(text))
        }
    }
}

pub(super) fn compression_of(given: &Bound<'_, PyAny>) -> PyResult<Compression> {
    let refuse = || {
        let text = "compression must be 'zstd', ('zstd', level), 'lz4' or None";
        PyValueError::new_err(format!(
            "{text}, not {}",
            crate::error::repr(types::from_bound(given).obj())
        ))
    };
    if let Ok(pair) = given.cast::<PyTuple>() {
        let (name, level): (String, i32) = pair.extract().map_err(|_| refuse())?;
        if name != "zstd" {
            return Err(refuse());
        }
        if !Compression::LEVELS.contains(&level) {
            let (least, most) = (Compression::LEVELS.start(), Compression::LEVELS.end());
            let text = format!("the level of zstd must be from {least} to {most}, not {level}");
            return Err(PyValueError::new_err(text));
        }
        return Ok(Compression::Zstd(level));
    }
    match given.cast::<PyString>().map_err(|_| refuse())?.to_str()? {
        "zstd" => Ok(Compression::Zstd(ZSTD_LEVEL)),
        "lz4" => Ok(Compression::Lz4),
        _ => Err(refuse()),
    }
}
