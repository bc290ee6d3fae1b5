//! Annotations that 3.14 and later compute when they are asked for (PEP 649).
//!
//! They go as what they are now, not as the function that computes them: that
//! one closes over the namespace of its class. Where a name in them is not
//! defined they go as text.

use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use crate::types;
use pyo3::ffi;

/// The annotations of a function or class as a dict. Runs code.
pub(super) fn computed(owner: Obj) -> Result<Own, Raised> {
    match owner.getattr(fast::intern(c"__annotations__")?.obj()) {
        Ok(found) => Ok(found),
        Err(raised) => {
            raised.discard();
            as_text(owner)
        }
    }
}

/// `annotationlib.get_annotations(owner, format=Format.STRING)`.
fn as_text(owner: Obj) -> Result<Own, Raised> {
    let get = types::import_attribute(c"annotationlib", c"get_annotations")?;
    let formats = types::import_attribute(c"annotationlib", c"Format")?;
    let text = formats.getattr(fast::intern(c"STRING")?.obj())?;
    let args = fast::new_tuple(&[owner])?;
    let keywords = fast::new_dict(1)?;
    let format = fast::intern(c"format")?;
    // SAFETY: live objects; -1 with an error set, then a new reference or null
    // with an error set.
    unsafe {
        if ffi::PyDict_SetItem(keywords.ptr(), format.ptr(), text.ptr()) != 0 {
            return Err(Raised::set());
        }
        Own::from_new(ffi::PyObject_Call(get.ptr(), args.ptr(), keywords.ptr()))
    }
}
