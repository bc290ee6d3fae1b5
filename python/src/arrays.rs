//! What the engine uses of NumPy, looked up once NumPy is loaded.
//!
//! Nothing is imported for it: where NumPy is not loaded there is no array.

use crate::error::{OrNone, Raised};
use crate::fast::{self, Obj, Own};
use crate::types;
use pyo3::Python;
use std::sync::OnceLock;

/// Names and functions of NumPy.
pub struct Kit {
    /// `numpy.ndarray`.
    pub ndarray: Own,
    /// What NumPy's own reduction names for arrays of one block.
    pub from_buffer: Own,
    /// What it names for all others.
    pub reconstruct: Own,
    /// What it names for scalars.
    pub scalar: Own,
}

struct Shared(Option<Kit>);
// SAFETY: written once and only used with the GIL held.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

static KIT: OnceLock<Shared> = OnceLock::new();

/// Whether NumPy was looked up, and what was found: `None` inside where its
/// version is not one that is known here.
#[inline(always)]
pub fn kit() -> Option<Option<&'static Kit>> {
    KIT.get().map(|shared| shared.0.as_ref())
}

/// Looks NumPy up. Runs code of NumPy's: not in the walker's pure state.
pub fn prepare() -> Result<(), Raised> {
    if KIT.get().is_some() {
        return Ok(());
    }
    let found = Python::attach(|py| ferropickle_numpy::prepare(py).map_err(Raised::from_py))
        .and_then(|()| look_up());
    let kit = match found {
        Ok(kit) => Some(kit),
        Err(raised) => {
            // NumPy's own reductions are what is left.
            raised.discard();
            None
        }
    };
    // Code has run: another may have been first.
    let _ = KIT.set(Shared(kit));
    Ok(())
}

fn look_up() -> Result<Kit, Raised> {
    let new_name = fast::intern(c"numpy._core.numeric")?;
    let is_new = types::loaded_module(new_name.obj()).is_some();
    let (numeric, multiarray) = if is_new {
        (c"numpy._core.numeric", c"numpy._core.multiarray")
    } else {
        (c"numpy.core.numeric", c"numpy.core.multiarray")
    };
    Ok(Kit {
        ndarray: types::import_attribute(c"numpy", c"ndarray")?,
        from_buffer: types::import_attribute(numeric, c"_frombuffer")?,
        reconstruct: types::import_attribute(multiarray, c"_reconstruct")?,
        scalar: types::import_attribute(multiarray, c"scalar")?,
    })
}

/// Whether a callable of a stream may be one of [`Kit`]'s: only then is NumPy
/// looked up for a load, and only where it is loaded. Asked for every call of a
/// load as long as NumPy is not known, so by fields alone.
pub fn may_be_known(callable: Obj) -> bool {
    let is_known = if fast::is_function(callable.ty()) {
        fast::text::ascii(fast::function::fields(callable).name) == b"_frombuffer"
    } else if fast::is_type(callable.ty()) {
        // SAFETY: a live type's name is NUL-terminated.
        let name = unsafe {
            core::ffi::CStr::from_ptr((*callable.ptr().cast::<pyo3::ffi::PyTypeObject>()).tp_name)
        };
        name == c"numpy.ndarray"
    } else {
        fast::function::built_in_name(callable) == Some(c"scalar")
    };
    let numpy = || fast::intern(c"numpy").or_none();
    is_known && numpy().is_some_and(|name| types::loaded_module(name.obj()).is_some())
}
