//! Opcodes from a file object.
//!
//! Nothing is read beyond STOP, as another stream may follow: without `peek`
//! exactly what is asked for is read (a frame at once), with it the bytes
//! ahead are looked at first and taken once they are used.

use crate::error::{Raised, type_name};
use crate::fast::{self, Exc, Obj, Own};
use crate::types;
use ferropickle_core::Error;
use ferropickle_core::decode::{Read, Step};
use ferropickle_core::limits::{LINE_MAX_BYTES, READ_STEP_BYTES};
use ferropickle_core::opcode::Op;
use pyo3::ffi;
use pyo3::{PyErr, Python};

/// Bytes asked of `peek` at a time.
const PEEK_BYTES: i64 = 64 * 1024;

/// A file and what was read of it.
pub struct FileSource {
    read: Own,
    readline: Own,
    readinto: Option<Own>,
    peek: Option<Own>,
    buffer: Vec<u8>,
    at: usize,
    /// The buffer is a look at what is still in the file.
    peeked: bool,
    /// The buffer is the rest of a frame.
    framed: bool,
    /// Offset of the buffer's first byte in what was read since the start.
    base: u64,
}

impl FileSource {
    /// A source over an object with `read` and `readline`.
    pub fn new(file: Obj) -> Result<FileSource, Raised> {
        let names = types::get();
        let method = |name: &Own| file.getattr_opt(name.obj());
        let (Some(read), Some(readline)) = (method(&names.read)?, method(&names.readline)?) else {
            let text = "file must have 'read' and 'readline' attributes";
            return Err(Raised::new(Exc::TypeError, text));
        };
        let (readinto, peek) = (method(&names.readinto)?, method(&names.peek)?);
        Ok(FileSource {
            read,
            readline,
            readinto,
            peek,
            buffer: Vec::new(),
            at: 0,
            peeked: false,
            framed: false,
            base: 0,
        })
    }

    /// Calls `f` with every object held, for the cyclic collector.
    pub fn each_ref(&self, mut f: impl FnMut(Obj)) {
        f(self.read.obj());
        f(self.readline.obj());
        for optional in [&self.readinto, &self.peek] {
            optional.iter().for_each(|method| f(method.obj()));
        }
    }

    fn left(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Appends what one `read(n)` gives to the buffer; says how much that is.
    fn read_once(&mut self, n: usize) -> Result<usize, Raised> {
        let count = fast::long::from_i64(n as i64)?;
        let data = self.read.clone().call(&[count.obj()])?;
        self.append(data.obj(), "read")
    }

    fn append(&mut self, data: Obj, method: &str) -> Result<usize, Raised> {
        let view;
        let data = if fast::is_bytes(data.ty()) {
            fast::bytes_data(data)
        } else {
            view = View::of_argument(data, &format!("result of {method}()"))?;
            view.as_slice()
        };
        if self.buffer.try_reserve(data.len()).is_err() {
            return Err(Raised::no_memory());
        }
        self.buffer.extend_from_slice(data);
        Ok(data.len())
    }

    /// Takes the used part of a look-ahead out of the file and forgets it.
    pub fn settle(&mut self) -> Result<(), Raised> {
        if self.peeked {
            let used = self.at;
            self.forget();
            let mut skipped = 0;
            while skipped < used {
                let n = self.read_once(used - skipped)?;
                self.buffer.clear();
                if n == 0 {
                    break;
                }
                skipped += n;
            }
        } else if self.left() == 0 {
            self.forget();
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.base += self.at as u64;
        self.buffer.clear();
        self.at = 0;
        self.peeked = false;
    }

    /// Makes at least `n` bytes available.
    #[cold]
    fn fill(&mut self, n: usize) -> Step<(), Raised> {
        if core::mem::take(&mut self.framed) && self.left() > 0 {
            return Err(Error::FrameBounds.into());
        }
        if self.peeked || self.left() == 0 {
            self.settle()?;
        }
        if self.left() == 0
            && n < PEEK_BYTES as usize
            && let Some(peek) = self.peek.clone()
        {
            let count = fast::long::from_i64(PEEK_BYTES)?;
            match peek.call(&[count.obj()]) {
                Ok(data) => {
                    self.append(data.obj(), "peek")?;
                    self.peeked = self.left() > 0;
                }
                // As `_Unpickler_ReadFromFile`: a peek that is not there is
                // not asked again.
                Err(raised) => {
                    let missing = raised.clear_if(|| fast::unsafe_exc(Exc::NotImplementedError));
                    if !missing {
                        return Err(raised.into());
                    }
                    self.peek = None;
                }
            }
            if self.left() >= n {
                return Ok(());
            }
            self.buffer.clear();
            self.peeked = false;
        }
        self.read_up_to(n)
    }

    /// Reads until `n` bytes are available.
    fn read_up_to(&mut self, n: usize) -> Step<(), Raised> {
        self.drop_used();
        // Each step asks for no more than what has already come, so that a
        // crafted length cannot allocate what the file does not have.
        while self.left() < n {
            let most = READ_STEP_BYTES.max(self.left());
            let got = self.read_once((n - self.left()).min(most))?;
            if got == 0 {
                return Err(Error::Truncated.into());
            }
        }
        Ok(())
    }

    fn drop_used(&mut self) {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
        }
    }

    /// The end of the line that begins at `from` in the buffer; reads it.
    fn line_end(&mut self, from: usize) -> Step<usize, Raised> {
        if let Some(n) = self.buffer[from..].iter().position(|b| *b == b'\n') {
            return Ok(from + n);
        }
        if core::mem::take(&mut self.framed) && self.left() > 0 {
            return Err(Error::FrameBounds.into());
        }
        if self.peeked {
            // The line goes on beyond the look-ahead: read it whole.
            let kept = self.buffer[self.at..from].to_vec();
            self.at = from;
            self.settle()?;
            self.base -= kept.len() as u64;
            self.buffer = kept;
        }
        let start = self.buffer.len();
        let line = self.readline.clone().call(&[])?;
        self.append(line.obj(), "readline")?;
        if self.buffer.len() > LINE_MAX_BYTES {
            return Err(Error::TooLarge.into());
        }
        match self.buffer[start..].iter().position(|b| *b == b'\n') {
            Some(n) => Ok(start + n),
            None => Err(Error::Truncated.into()),
        }
    }
}

impl Read<Raised> for FileSource {
    #[inline]
    fn byte(&mut self) -> Step<u8, Raised> {
        if self.left() == 0 {
            self.fill(1)?;
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn take(&mut self, n: usize) -> Step<&[u8], Raised> {
        if self.left() < n {
            self.fill(n)?;
        }
        self.at += n;
        Ok(&self.buffer[self.at - n..self.at])
    }

    fn line(&mut self) -> Step<&[u8], Raised> {
        if !self.peeked {
            self.drop_used();
        }
        if self.left() == 0 && self.peek.is_some() {
            // A look-ahead makes short lines cheap; at the end of the file
            // `readline` gives the error.
            match self.fill(1) {
                Ok(()) | Err(ferropickle_core::decode::Cause::Format(Error::Truncated)) => {}
                Err(other) => return Err(other),
            }
        }
        let end = self.line_end(self.at)?;
        let start = core::mem::replace(&mut self.at, end + 1);
        Ok(&self.buffer[start.min(end)..end])
    }

    fn two_lines(&mut self) -> Step<(&[u8], &[u8]), Raised> {
        let first = self.line()?.to_vec();
        let second = self.line()?.to_vec();
        // Both are wanted at once: they are put side by side.
        self.base += self.at as u64;
        self.base -= (first.len() + second.len() + 2) as u64;
        let rest = self.buffer.split_off(self.at);
        if self.peeked {
            // The file still has them: take them out of it.
            self.buffer = rest;
            let used = self.at;
            self.at = 0;
            self.take_out(used)?;
            let keep = core::mem::take(&mut self.buffer);
            self.place(&first, &second, &[]);
            drop(keep);
            self.peeked = false;
        } else {
            self.place(&first, &second, &rest);
        }
        let (a, b) = (first.len(), second.len());
        self.at = a + b + 2;
        Ok((&self.buffer[..a], &self.buffer[a + 1..a + 1 + b]))
    }

    fn frame(&mut self, n: u64, strict: bool) -> Step<(), Raised> {
        if strict && self.framed && self.left() > 0 {
            return Err(Error::NestedFrame.into());
        }
        let n = usize::try_from(n).map_err(|_| Error::TooLarge)?;
        if self.peeked {
            // A look-ahead would go on beyond the frame.
            self.settle()?;
        }
        self.read_up_to(n)?;
        self.framed = self.left() == n;
        Ok(())
    }

    fn reads_into(&self) -> bool {
        self.readinto.is_some()
    }

    fn read_into(&mut self, to: &mut [u8]) -> Step<(), Raised> {
        let ready = self.left().min(to.len());
        to[..ready].copy_from_slice(&self.buffer[self.at..self.at + ready]);
        self.at += ready;
        let mut done = ready;
        if done < to.len() {
            self.settle()?;
            self.drop_used();
        }
        while done < to.len() {
            let got = self.read_some_into(&mut to[done..])?;
            if got == 0 {
                return Err(Error::Truncated.into());
            }
            self.base += got as u64;
            done += got;
        }
        Ok(())
    }

    fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    #[inline]
    fn peek_after(&self, n: usize) -> Option<Op> {
        self.buffer.get(self.at.checked_add(n)?).and_then(|byte| Op::from_byte(*byte))
    }
}

impl FileSource {
    /// Reads `n` bytes out of the file that were looked at before.
    fn take_out(&mut self, n: usize) -> Result<(), Raised> {
        let mut taken = 0;
        while taken < n {
            let before = self.buffer.len();
            let got = self.read_once(n - taken)?;
            self.buffer.truncate(before);
            if got == 0 {
                break;
            }
            taken += got;
        }
        Ok(())
    }

    /// One call of `readinto`.
    fn read_some_into(&mut self, to: &mut [u8]) -> Result<usize, Raised> {
        let Some(readinto) = self.readinto.clone() else { return Ok(0) };
        // SAFETY: a view of memory that outlives the call; it is released
        // before the memory is used again, so a file that kept it finds
        // nothing there.
        let view = unsafe {
            Own::from_new(ffi::PyMemoryView_FromMemory(
                to.as_mut_ptr().cast(),
                to.len() as isize,
                ffi::PyBUF_WRITE,
            ))?
        };
        let count = readinto.call(&[view.obj()]);
        let error = count.is_err().then(|| Python::attach(PyErr::fetch));
        let released = view.getattr(fast::intern(c"release")?.obj())?.call(&[]);
        if let Some(error) = error {
            if let Err(raised) = released {
                raised.discard();
            }
            return Err(Raised::from_py(error));
        }
        released?;
        let count = count?;
        if !fast::is_int(count.ty()) {
            let text = format!("readinto() returned {}, not int", type_name(count.obj()));
            return Err(Raised::new(Exc::TypeError, &text));
        }
        match fast::long::as_i64(count.obj()).and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n <= to.len() => Ok(n),
            _ => Err(Raised::new(Exc::ValueError, "readinto() returned a count out of range")),
        }
    }

    fn place(&mut self, first: &[u8], second: &[u8], rest: &[u8]) {
        self.buffer.clear();
        for part in [first, b"\n", second, b"\n", rest] {
            self.buffer.extend_from_slice(part);
        }
    }
}

/// A view of a bytes-like object, released when dropped.
pub struct View {
    raw: Box<ffi::Py_buffer>,
}

impl View {
    /// The view of an object that has the buffer interface.
    pub fn new(obj: Obj) -> Result<View, Raised> {
        View::of_kind(obj, ffi::PyBUF_CONTIG_RO)
    }

    fn of_kind(obj: Obj, flags: core::ffi::c_int) -> Result<View, Raised> {
        let mut raw = Box::new(ffi::Py_buffer::new());
        // SAFETY: a live object; on success the view is ours to release.
        if unsafe { ffi::PyObject_GetBuffer(obj.ptr(), &mut *raw, flags) } < 0 {
            return Err(Raised::set());
        }
        Ok(View { raw })
    }

    /// A hold on an object's buffer, whatever its shape: it stays while this lives.
    pub fn hold(obj: Obj) -> Result<View, Raised> {
        View::of_kind(obj, ffi::PyBUF_FULL_RO)
    }

    /// As [`View::new`] for an argument: a TypeError names it.
    pub fn of_argument(obj: Obj, argument: &str) -> Result<View, Raised> {
        // SAFETY: a live object.
        if unsafe { ffi::PyObject_CheckBuffer(obj.ptr()) } == 0 {
            let text =
                format!("{argument}: a bytes-like object is required, not '{}'", type_name(obj));
            return Err(Raised::new(Exc::TypeError, &text));
        }
        View::new(obj)
    }

    /// Whether the memory must not be written to.
    pub fn read_only(&self) -> bool {
        self.raw.readonly != 0
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        if self.raw.len == 0 {
            return &[];
        }
        // SAFETY: a contiguous view of `len` bytes, held until we release it.
        unsafe { core::slice::from_raw_parts(self.raw.buf.cast(), self.raw.len as usize) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: got by PyObject_GetBuffer and not released yet.
        unsafe { ffi::PyBuffer_Release(&mut *self.raw) };
    }
}
