//! Buffers: PickleBuffer in band or out of band (PEP 574).

use super::{Flow, Stop, WRITTEN, Walker};
use crate::buffers::{self, Keep};
use crate::error::Raised;
use crate::fast::{Obj, Own, TypePtr};
use crate::source::View;
use ferropickle_core::buffer::{Buffer, BufferDesc};
use ferropickle_core::limits::FRAME_TARGET_BYTES;
use ferropickle_core::memo::Found;
use ferropickle_core::opcode::Op;
use pyo3::ffi;

unsafe extern "C" {
    // Include/picklebufobject.h; stable since 3.8.
    static mut PyPickleBuffer_Type: ffi::PyTypeObject;
    fn PyPickleBuffer_FromObject(obj: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyPickleBuffer_GetBuffer(obj: *mut ffi::PyObject) -> *const ffi::Py_buffer;
}

/// Whether a type is exactly PickleBuffer.
pub(super) fn is_pickle_buffer(ty: TypePtr) -> bool {
    ty == &raw mut PyPickleBuffer_Type
}

/// A PickleBuffer's bytes and whether they are read-only.
fn view<'a>(obj: Obj) -> Result<(&'a [u8], bool), Raised> {
    // SAFETY: an exact PickleBuffer; null with an error set if it was released.
    // The view stays as long as the object does.
    unsafe {
        let view = PyPickleBuffer_GetBuffer(obj.ptr());
        if view.is_null() {
            return Err(Raised::set());
        }
        let contiguous = ffi::PyBuffer_IsContiguous(view, b'A' as core::ffi::c_char) != 0;
        if (*view).suboffsets.is_null() && contiguous {
            let len = (*view).len as usize;
            let data: &[u8] =
                if len == 0 { &[] } else { core::slice::from_raw_parts((*view).buf.cast(), len) };
            return Ok((data, (*view).readonly != 0));
        }
    }
    let text = "PickleBuffer can not be pickled when pointing to a non-contiguous buffer";
    Err(Raised::pickling(text))
}

impl Walker {
    #[cold]
    pub(super) fn save_buffer(&mut self, obj: Obj) -> Flow {
        if self.options.proto < 5 {
            let text = "PickleBuffer can only be pickled with protocol >= 5";
            return Err(Raised::pickling(text).into());
        }
        let (data, read_only) = view(obj)?;
        if self.hooks.collected.is_some() {
            // The PickleBuffer may be released; what it looks at stays.
            self.collect(data, read_only, View::hold(obj)?);
            return WRITTEN;
        }
        if let Some(appended) = &mut self.hooks.appended {
            appended.buffers.push(obj.own());
            self.op_buffer(read_only);
            return WRITTEN;
        }
        if let Some(callback) = self.hooks.buffer_callback.clone() {
            let keep = obj.own();
            // A callback may release the buffer: its memory stays until it is
            // written.
            self.leave_pure()?;
            let hold = View::hold(keep.obj())?;
            let answer = match self.hooks.replayed_buffer() {
                Some(in_band) => in_band,
                None => {
                    let answer = callback.call(&[keep.obj()])?;
                    // SAFETY: a live object; -1 with an error set.
                    let in_band = match unsafe { ffi::PyObject_IsTrue(answer.ptr()) } {
                        0 => false,
                        1 => true,
                        _ => return Err(Raised::set().into()),
                    };
                    self.hooks.record_buffer(in_band);
                    in_band
                }
            };
            if !answer {
                self.op_buffer(read_only);
                return WRITTEN;
            }
            let outcome = self.write_buffer(keep.obj(), data, read_only);
            drop(hold);
            return outcome;
        }
        self.write_buffer(obj, data, read_only)
    }

    /// Out of band, to the native table: `Hooks::collected` must be there, and
    /// `keeper` must keep the bytes where they are.
    pub(super) fn collect(&mut self, data: &[u8], read_only: bool, keeper: impl Keep) {
        self.collect_buffer(buffers::kept(data, keeper), read_only);
    }

    fn collect_buffer(&mut self, buffer: Buffer, read_only: bool) {
        let Some(table) = &mut self.hooks.collected else { return };
        table.push(BufferDesc::host(buffer.len(), buffers::ALIGN_HINT, read_only), buffer);
        self.op_buffer(read_only);
    }

    fn op_buffer(&mut self, read_only: bool) {
        self.op(Op::NextBuffer);
        if read_only {
            self.op(Op::ReadonlyBuffer);
        }
    }

    /// A native buffer that leaves the stream; to a callback it goes as a
    /// PickleBuffer, which may still say that it is to stay.
    pub(super) fn save_out_of_band(&mut self, buffer: Buffer, read_only: bool) -> Result<(), Stop> {
        if self.hooks.collected.is_some() {
            self.collect_buffer(buffer, read_only);
            return Ok(());
        }
        let memory = buffers::object_of(buffer, read_only)?;
        // SAFETY: an object with the buffer protocol; a new reference or null
        // with an error set.
        let shown = unsafe { Own::from_new(PyPickleBuffer_FromObject(memory.ptr()))? };
        if let Some(appended) = &mut self.hooks.appended {
            appended.buffers.push(shown);
            self.op_buffer(read_only);
            return Ok(());
        }
        self.save_buffer(shown.obj()).map(drop)
    }

    /// In band: as bytes or bytearray, memoized under the buffer itself.
    fn write_buffer(&mut self, obj: Obj, data: &[u8], read_only: bool) -> Flow {
        if !self.options.fast
            && let Found::Yes(entry) = self.memo.find(obj.addr())
        {
            let index = entry.as_index().ok_or(Stop::Restart)?;
            self.enc.get(index);
            return WRITTEN;
        }
        if !read_only {
            self.enc.bytearray(data);
        } else if data.len() >= FRAME_TARGET_BYTES
            && self.sink.streams_now(self.pure, self.replay.recording)
        {
            // SAFETY: pointer and length of a live view.
            let bytes = unsafe {
                Own::from_new(ffi::PyBytes_FromStringAndSize(
                    data.as_ptr().cast(),
                    data.len() as isize,
                ))?
            };
            self.write_bytes(bytes.obj())?;
        } else {
            self.enc.bytes(data)?;
        }
        self.memoize(obj);
        WRITTEN
    }
}
