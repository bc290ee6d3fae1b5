//! Names, classes and tables of the interpreter that the engine uses again and
//! again, looked up once at import.

use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use std::sync::OnceLock;

macro_rules! table {
    (
        names { $($name:ident = $text:literal;)* }
        objects { $($object:ident = $module:literal . $attr:literal;)* }
    ) => {
        /// The table. Its objects live as long as the process.
        pub struct Types {
            $(pub $name: Own,)*
            $(pub $object: Own,)*
        }

        impl Types {
            fn load(py: Python<'_>) -> PyResult<Types> {
                Ok(Types {
                    $($name: fast::intern($text).map_err(|raised| raised.into_py(py))?,)*
                    $($object: attribute(py, $module, $attr)?,)*
                })
            }
        }
    };
}

table! {
    names {
        reduce_ex = c"__reduce_ex__";
        reduce = c"__reduce__";
        getstate = c"__getstate__";
        getnewargs = c"__getnewargs__";
        getnewargs_ex = c"__getnewargs_ex__";
        setstate = c"__setstate__";
        dict = c"__dict__";
        slots = c"__slots__";
        class = c"__class__";
        new = c"__new__";
        init = c"__init__";
        name = c"__name__";
        qualname = c"__qualname__";
        module = c"__module__";
        main = c"__main__";
        getinitargs = c"__getinitargs__";
        append = c"append";
        extend = c"extend";
        add = c"add";
        write = c"write";
        read = c"read";
        readline = c"readline";
        readinto = c"readinto";
        peek = c"peek";
        observe = c"_observe";
        persistent_id = c"persistent_id";
        persistent_load = c"persistent_load";
        reducer_override = c"reducer_override";
        dispatch_table = c"dispatch_table";
        find_class = c"find_class";
        int = c"int";
        is_safe = c"is_safe";
        value_slot = c"_value_";
        latin1 = c"latin1";
        co_name = c"co_name";
        co_qualname = c"co_qualname";
        co_names = c"co_names";
        co_consts = c"co_consts";
        co_flags = c"co_flags";
        co_freevars = c"co_freevars";
        package = c"__package__";
        path = c"__path__";
        file = c"__file__";
        version = c"__version__";
        builtins = c"__builtins__";
        loader = c"__loader__";
        spec = c"__spec__";
        getattr_hook = c"__getattr__";
        doc = c"__doc__";
        abc_impl = c"_abc_impl";
        init_subclass = c"__init_subclass__";
        cuda_array_interface = c"__cuda_array_interface__";
        dlpack_device = c"__dlpack_device__";
        takes_device_buffers = c"takes_device_buffers";
    }
    objects {
        pickling_error = "_pickle"."PicklingError";
        unpickling_error = "_pickle"."UnpicklingError";
        copyreg_dispatch = "copyreg"."dispatch_table";
        newobj = "copyreg"."__newobj__";
        extension_registry = "copyreg"."_extension_registry";
        inverted_registry = "copyreg"."_inverted_registry";
        extension_cache = "copyreg"."_extension_cache";
        codecs_encode = "_codecs"."encode";
        partial = "functools"."partial";
        getattr_function = "builtins"."getattr";
        stdlib_names = "sys"."stdlib_module_names";
        name_mapping_2to3 = "_compat_pickle"."NAME_MAPPING";
        import_mapping_2to3 = "_compat_pickle"."IMPORT_MAPPING";
        name_mapping_3to2 = "_compat_pickle"."REVERSE_NAME_MAPPING";
        import_mapping_3to2 = "_compat_pickle"."REVERSE_IMPORT_MAPPING";
    }
}

fn attribute(py: Python<'_>, module: &str, attr: &str) -> PyResult<Own> {
    let found = py.import(module)?.getattr(attr)?;
    Ok(from_bound(&found))
}

/// A reference of our own to a PyO3 object.
pub fn from_bound(bound: &Bound<'_, PyAny>) -> Own {
    // SAFETY: a Bound is a live object.
    unsafe { Obj::new(bound.as_ptr()) }.own()
}

/// A PyO3 object with a reference of its own.
pub fn to_bound<'py>(py: Python<'py>, obj: Obj) -> Bound<'py, PyAny> {
    // SAFETY: an Obj is a live object.
    unsafe { Bound::from_borrowed_ptr(py, obj.ptr()) }
}

struct Shared(Types);
// SAFETY: the table is written once, before any other thread can call into the
// module, and only used with the GIL held.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

static TYPES: OnceLock<Shared> = OnceLock::new();

/// Fills the table. Called while the module is imported; refuses an interpreter
/// whose objects are not laid out as the engine reads them.
pub fn init(py: Python<'_>) -> PyResult<()> {
    if !fast::text::layout_holds().map_err(|raised| raised.into_py(py))? {
        let text = "this CPython lays strings out in a way that ferropickle was not made for";
        return Err(PyImportError::new_err(text));
    }
    let loaded = Types::load(py)?;
    let _ = TYPES.set(Shared(loaded));
    Ok(())
}

/// The table.
#[inline(always)]
pub fn get() -> &'static Types {
    match TYPES.get() {
        Some(shared) => &shared.0,
        None => unreachable!("the table is filled at import"),
    }
}

/// `sys.implementation.cache_tag`: "cpython-311".
pub fn cache_tag() -> String {
    let (major, minor) = python_version();
    format!("cpython-{major}{minor}")
}

/// `sys.modules[name]`, if it is there, without running any code.
pub fn loaded_module(name: Obj) -> Option<Obj> {
    fast::dict_get(loaded_modules()?, name)
}

/// How many modules are loaded.
pub fn count_modules() -> isize {
    loaded_modules().map_or(0, fast::dict_len)
}

fn loaded_modules() -> Option<Obj> {
    // SAFETY: the GIL is held; a borrowed reference to a live dict.
    let modules = unsafe { Obj::borrowed(pyo3::ffi::PyImport_GetModuleDict()) }?;
    fast::is_dict(modules.ty()).then_some(modules)
}

/// The exception of following a path of attributes that leads nowhere: context
/// of a refusal from 3.14 on, before `None`.
pub fn missing_attribute(from: Obj, path: &[Vec<u8>]) -> Option<Raised> {
    if cfg!(not(Py_3_14)) {
        return None;
    }
    let mut found = from.own();
    for part in path {
        let name = fast::text::from_utf8(part).ok()?;
        match found.getattr(name.obj()) {
            Ok(next) => found = next,
            Err(raised) => return Some(raised),
        }
    }
    None
}

/// Imports a module by name; runs its code if it is not loaded yet.
pub fn import(name: Obj) -> Result<Own, Raised> {
    // SAFETY: a str; a new reference or null with an error set.
    unsafe { Own::from_new(pyo3::ffi::PyImport_Import(name.ptr())) }
}

/// The running Python's version and what else it says: "3.11.7 (main, ...".
pub fn python_version_text() -> &'static str {
    // SAFETY: a text that ends in NUL and lives for ever.
    let text = unsafe { core::ffi::CStr::from_ptr(pyo3::ffi::Py_GetVersion()) };
    text.to_str().unwrap_or_default()
}

/// The running Python's major and minor version.
pub fn python_version() -> (u8, u8) {
    let mut parts = python_version_text().split(|c: char| !c.is_ascii_digit());
    let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (number(), number())
}

/// An attribute of a module, imported if need be.
pub fn import_attribute(
    module: &core::ffi::CStr,
    attribute: &core::ffi::CStr,
) -> Result<Own, Raised> {
    let name = fast::intern(module)?;
    import(name.obj())?;
    match loaded_module(name.obj()) {
        Some(module) => module.own().getattr(fast::intern(attribute)?.obj()),
        None => {
            Err(Raised::new(fast::Exc::RuntimeError, "a module vanished while it was imported"))
        }
    }
}
