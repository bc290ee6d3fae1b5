//! Where a dump's output goes: nowhere (it becomes `bytes`), or to a file.
//!
//! While a restart is possible nothing may reach the file, so output is held
//! back; large bytes are held by reference, not copied. In the Full state
//! frames go to the file one by one.

use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use crate::types;

/// Bytes given to one `write` when held-back output is written.
const WRITE_BYTES: usize = 1 << 20;

/// Where output goes.
#[derive(Default)]
pub struct Sink {
    write: Option<Own>,
    /// Bytes-like objects, where they belong, and their lengths.
    detached: Vec<(usize, Own, usize)>,
    places: Vec<(usize, String)>,
    written: usize,
}

impl Sink {
    /// To memory.
    pub fn memory() -> Sink {
        Sink::default()
    }

    /// To an object's `write` method.
    pub fn file(write: Own) -> Sink {
        Sink { write: Some(write), ..Sink::default() }
    }

    /// The `write` method of a file.
    pub fn writer_of(file: Obj) -> Result<Own, Raised> {
        match file.getattr_opt(types::get().write.obj())? {
            Some(write) => Ok(write),
            None => {
                let text = "file must have a 'write' attribute";
                Err(Raised::new(fast::Exc::TypeError, text))
            }
        }
    }

    /// Whether there is a file.
    #[inline(always)]
    pub fn is_file(&self) -> bool {
        self.write.is_some()
    }

    /// Bytes that went to the file.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Whether output can go to the file now: no restart can follow.
    pub fn streams_now(&self, pure: bool, may_restart: bool) -> bool {
        self.is_file() && !pure && !may_restart
    }

    /// Forgets what was held back.
    pub fn restart(&mut self) {
        self.detached.clear();
        self.places.clear();
    }

    /// Holds back a bytes-like object that belongs at an offset of the output.
    pub fn detach(&mut self, at: usize, bytes: Obj, len: usize) {
        self.detached.push((at, bytes.own(), len));
    }

    /// Notes what was being written at an offset, for the error of a file that
    /// fails when held-back output is written.
    pub fn note_place(&mut self, at: usize, path: String) {
        self.places.push((at, path));
    }

    /// Writes bytes to the file.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Raised> {
        if bytes.is_empty() {
            return Ok(());
        }
        let len = bytes.len();
        // SAFETY: pointer and length of a live slice; a new reference or null
        // with an error set.
        let bytes = unsafe {
            Own::from_new(pyo3::ffi::PyBytes_FromStringAndSize(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
            ))?
        };
        self.write_object(bytes.obj(), len)
    }

    /// Writes a bytes-like object of `len` bytes to the file.
    pub fn write_object(&mut self, bytes: Obj, len: usize) -> Result<(), Raised> {
        match &self.write {
            Some(write) => {
                self.written += len;
                write.clone().call(&[bytes]).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Writes all that was held back. On failure the second value says what
    /// was being written, as far as that was noted.
    pub fn flush(&mut self, output: &[u8]) -> Result<(), (Raised, String)> {
        let mut done = 0;
        let detached = core::mem::take(&mut self.detached);
        for (at, bytes, len) in &detached {
            self.flush_range(output, done, *at)?;
            self.write_object(bytes.obj(), *len).map_err(|raised| (raised, self.place(*at)))?;
            done = *at;
        }
        self.flush_range(output, done, output.len())
    }

    fn flush_range(
        &mut self,
        output: &[u8],
        from: usize,
        to: usize,
    ) -> Result<(), (Raised, String)> {
        let mut at = from;
        while at < to {
            let end = to.min(at + WRITE_BYTES);
            self.write(&output[at..end]).map_err(|raised| (raised, self.place(end)))?;
            at = end;
        }
        Ok(())
    }

    /// The last path noted before an offset.
    fn place(&self, at: usize) -> String {
        let last = self.places.iter().take_while(|(offset, _)| *offset <= at).last();
        last.map_or_else(|| "obj".to_owned(), |(_, path)| path.clone())
    }
}
