//! Out-of-band buffers (PEP 574).

use super::Builder;
use crate::buffers;
use crate::error::Raised;
use crate::fast::{self, Own};
use ferropickle_core::buffer::{Buffer, BufferTable};
use pyo3::ffi;

/// Gives native buffers one by one, in the order of the NEXT_BUFFER opcodes.
pub trait Supply {
    /// The next buffer and whether it is read-only; `None` if there is none.
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised>;

    /// The next buffer as the object that a load gets.
    fn object(&mut self) -> Result<Option<Own>, Raised> {
        match self.next()? {
            Some((buffer, read_only)) => buffers::object_of(buffer, read_only).map(Some),
            None => Ok(None),
        }
    }
}

/// The buffers of a load.
#[derive(Default)]
pub enum Given {
    /// None were given.
    #[default]
    Nothing,
    /// An iterator over bytes-like objects.
    Iterator(Own),
    /// Native ones: each becomes a `buffers::PyBuffer`.
    Native(Box<dyn Supply>),
}

/// The buffers of a table as they are.
pub struct TableSupply {
    pub table: BufferTable,
    pub next: usize,
}

impl Supply for TableSupply {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        let row = self.table.get(self.next);
        self.next += 1;
        Ok(row.map(|(desc, buffer)| (buffer.clone(), desc.read_only())))
    }

    fn object(&mut self) -> Result<Option<Own>, Raised> {
        let Some((desc, buffer)) = self.table.get(self.next) else { return Ok(None) };
        self.next += 1;
        match buffers::device_of(desc, buffer) {
            Some(object) => Ok(Some(object)),
            None => buffers::object_of(buffer.clone(), desc.read_only()).map(Some),
        }
    }
}

impl Builder {
    /// The next of the buffers that the caller gave.
    pub(super) fn build_next_buffer(&mut self) -> Result<Own, Raised> {
        let next = match &mut self.buffers {
            Given::Nothing => {
                let text = "pickle stream refers to out-of-band data but no *buffers* argument \
                            was given";
                return Err(Raised::unpickling(text));
            }
            Given::Iterator(buffers) => fast::iter_next(buffers.obj())?,
            Given::Native(supply) => supply.object()?,
        };
        next.ok_or_else(|| Raised::unpickling("not enough out-of-band buffers"))
    }
}

/// A read-only view of a buffer; itself if it is read-only.
pub fn read_only(buffer: Own) -> Result<Own, Raised> {
    if let Some((memory, read_only)) = buffers::of(buffer.obj()) {
        return if read_only { Ok(buffer) } else { buffers::object_of(memory, true) };
    }
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
