//! Persistent ids, and the observer, which is told of each object in the same
//! place.

use super::frame::Frame;
use super::{Stop, Walker};
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use ferropickle_core::opcode::Op;
use pyo3::ffi;

impl Walker {
    /// Tells the observer of an object that comes next: what it is, how many
    /// objects are being written around it, and how many bytes there are so far.
    /// At the end it is told of the root once more, at depth -1.
    pub(super) fn observe(&self, obj: Obj, depth: usize) -> Result<(), Raised> {
        let Some(observer) = self.hooks.observer.clone() else { return Ok(()) };
        let depth = fast::long::from_i64(i64::try_from(depth).unwrap_or(-1))?;
        let written = self.sink.written() + self.enc.out().len();
        let written = fast::long::from_i64(i64::try_from(written).unwrap_or(i64::MAX))?;
        observer.call(&[obj, depth.obj(), written.obj()]).map(drop)
    }

    /// Asks for a persistent id; `None` if the object has none, else whether a
    /// frame was pushed.
    #[cold]
    pub(super) fn save_persistent(&mut self, obj: Obj) -> Result<Option<bool>, Stop> {
        let keep = obj.own();
        self.observe(obj, self.frames.len())?;
        let Some(hook) = self.hooks.persistent_id.clone() else {
            let pushed = self.save_plain(obj)?;
            drop(keep);
            return Ok(Some(pushed));
        };
        let id = hook.call(&[keep.obj()])?;
        if id.is_none() {
            // Alive until it is written: what follows takes references.
            let pushed = self.save_plain(obj)?;
            drop(keep);
            return Ok(Some(pushed));
        }
        let depth = self.frames.len();
        self.write_persistent(id)?;
        Ok(Some(self.frames.len() > depth))
    }

    /// As [`Walker::write_persistent`], to its end.
    pub(crate) fn write_persistent_whole(&mut self, id: Own) -> Result<(), Stop> {
        let depth = self.frames.len();
        self.write_persistent(id)?;
        self.run(depth)
    }

    /// Writes a persistent id, or pushes a frame that will.
    fn write_persistent(&mut self, id: Own) -> Result<(), Stop> {
        if self.enc.binary() {
            let frame = Frame::Then {
                keep: id.obj(),
                ops: [Some(Op::Binpersid), None, None],
                memoize: None,
                label: "<persistent id>",
            };
            self.push(frame)?;
            self.save_plain(id.obj())?;
            return Ok(());
        }
        // SAFETY: alive; a new reference or null with an error set.
        let text = unsafe { Own::from_new(ffi::PyObject_Str(id.ptr()))? };
        let bytes = fast::text::utf8(text.obj(), &mut self.text);
        if !bytes.is_ascii() {
            let text = "persistent IDs in protocol 0 must be ASCII strings";
            return Err(Raised::pickling(text).into());
        }
        self.enc.line(Op::Persid, bytes);
        Ok(())
    }
}
