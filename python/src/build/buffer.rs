//! Out-of-band buffers (PEP 574).

use super::Builder;
use crate::error::Raised;
use crate::fast::{self, Own};
use pyo3::ffi;

impl Builder {
    /// The next of the buffers that the caller gave.
    pub(super) fn build_next_buffer(&mut self) -> Result<Own, Raised> {
        let Some(buffers) = &self.buffers else {
            let text = "pickle stream refers to out-of-band data but no *buffers* argument was \
                        given";
            return Err(Raised::unpickling(text));
        };
        match fast::iter_next(buffers.obj())? {
            Some(buffer) => Ok(buffer),
            None => Err(Raised::unpickling("not enough out-of-band buffers")),
        }
    }
}

/// A read-only view of a buffer; itself if it is read-only.
pub fn read_only(buffer: Own) -> Result<Own, Raised> {
    // SAFETY: live objects; new references or null with an error set.
    unsafe {
        let view = Own::from_new(ffi::PyMemoryView_FromObject(buffer.ptr()))?;
        let known = fast::intern(c"readonly")?;
        if fast::is_true(view.getattr(known.obj())?.obj()) {
            return Ok(buffer);
        }
        let name = fast::intern(c"toreadonly")?;
        view.getattr(name.obj())?.call(&[])
    }
}
