//! Strings, bytes and bytearrays.

use super::memo::AS_NAME;
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::fast::{self, Obj, Own, text};
use crate::types;
use ferropickle_core::Error;
use ferropickle_core::limits::FRAME_TARGET_BYTES;
use ferropickle_core::memo::{Entry, Found};
use ferropickle_core::opcode::Op;
use pyo3::ffi;

impl Walker {
    #[inline(always)]
    pub(super) fn save_str(&mut self, obj: Obj) -> Flow {
        match self.enter_leaf(obj)? {
            Enter::Met => {}
            Enter::Elided => self.write_str(obj)?,
            Enter::Memo(vacant) => {
                self.write_str(obj)?;
                self.memoize_at(vacant, obj);
            }
        }
        WRITTEN
    }

    /// A str that is a key of a dict: always memoized, as keys repeat.
    #[inline(always)]
    pub fn save_key_str(&mut self, key: Obj) -> Result<(), Stop> {
        if let Some(index) = self.cached_key(key) {
            self.enc.get(index);
            return Ok(());
        }
        self.save_key_str_cold(key)
    }

    fn save_key_str_cold(&mut self, key: Obj) -> Result<(), Stop> {
        if self.options.fast {
            return self.write_str(key);
        }
        match self.memo.find(key.addr()) {
            Found::Yes(entry) => {
                let index = entry.as_index().ok_or(Stop::Restart)?;
                self.enc.get(index);
                self.cache_key(key, index);
            }
            Found::No(_) if self.pure && key.refcnt() == 1 => {
                // A key that only this dict has.
                self.write_str(key)?;
            }
            Found::No(vacant) => {
                self.write_str(key)?;
                let index = self.enc.next_index();
                self.memoize_at(vacant, key);
                self.cache_key(key, index);
            }
        }
        Ok(())
    }

    /// A str that names something: entered apart from strs that are values, and
    /// by the one object that stands for all that are equal. So the stream does
    /// not tell which of them happened to be the same object.
    pub fn save_identifier(&mut self, name: Own) -> Result<(), Stop> {
        let name = self.pin(text::interned(name));
        if self.options.fast {
            return self.write_str(name);
        }
        let key = name.addr() | AS_NAME;
        match self.memo.find(key) {
            Found::Yes(entry) => {
                let index = entry.as_index().ok_or(Stop::Restart)?;
                self.enc.get(index);
            }
            Found::No(vacant) => {
                self.write_str(name)?;
                let index = self.enc.memoize();
                self.memo.insert_at(vacant, key, Entry::index(index));
            }
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn write_str(&mut self, obj: Obj) -> Result<(), Stop> {
        if self.enc.binary() {
            let utf8 = text::try_utf8(obj, &mut self.text).ok_or(Error::OutOfMemory)?;
            if utf8.len() < FRAME_TARGET_BYTES || !self.sink.is_file() {
                self.enc.str(utf8)?;
                return Ok(());
            }
            self.write_large_str(obj)
        } else {
            self.write_str_escaped(obj);
            Ok(())
        }
    }

    /// A large str to a file: written by itself, before and after it what else
    /// there is.
    #[cold]
    fn write_large_str(&mut self, obj: Obj) -> Result<(), Stop> {
        let keep = obj.own();
        self.stream_out()?;
        self.enc.str(text::try_utf8(obj, &mut self.text).ok_or(Error::OutOfMemory)?)?;
        self.stream_out()?;
        self.keep_orphan(keep);
        Ok(())
    }

    /// An object that was held while the file's code ran: if its container has
    /// let go of it meanwhile, it is kept for the memo entry that may follow.
    fn keep_orphan(&mut self, held: fast::Own) {
        if held.refcnt() == 1 {
            self.pin(held);
        }
    }

    /// Protocol 0: raw-unicode-escape, with the characters escaped that end or
    /// begin something (`raw_unicode_escape` in `Modules/_pickle.c`).
    #[cold]
    fn write_str_escaped(&mut self, obj: Obj) {
        use std::io::Write;
        let mut escaped: Vec<u8> = Vec::new();
        for c in text::code_points(obj) {
            // Writing to a Vec cannot fail.
            let _ = match c {
                0x10000.. => write!(escaped, "\\U{c:08x}"),
                0x100.. | 0x5c | 0 | 0x0a | 0x0d | 0x1a => write!(escaped, "\\u{c:04x}"),
                _ => {
                    escaped.push(c as u8);
                    Ok(())
                }
            };
        }
        self.enc.str_escaped(&escaped);
    }

    #[inline(always)]
    pub(super) fn save_bytes(&mut self, obj: Obj) -> Flow {
        if self.options.proto < 3 {
            return self.save_bytes_reduced(obj);
        }
        match self.enter_leaf(obj)? {
            Enter::Met => {}
            Enter::Elided => self.write_bytes(obj)?,
            Enter::Memo(vacant) => {
                self.write_bytes(obj)?;
                self.memoize_at(vacant, obj);
            }
        }
        WRITTEN
    }

    #[inline(always)]
    pub(super) fn write_bytes(&mut self, obj: Obj) -> Result<(), Stop> {
        let data = fast::bytes_data(obj);
        if data.len() >= FRAME_TARGET_BYTES && self.sink.is_file() && self.options.proto >= 4 {
            return self.write_bytes_to_file(obj, data.len());
        }
        self.enc.bytes(data)?;
        Ok(())
    }

    /// Large bytes go to the file by themselves: not copied.
    #[cold]
    fn write_bytes_to_file(&mut self, obj: Obj, len: usize) -> Result<(), Stop> {
        self.enc.bytes_detached(len)?;
        self.write_apart(obj, len)
    }

    /// Writes a large bytes-like object, whose header is written, to the file.
    pub(super) fn write_apart(&mut self, obj: Obj, len: usize) -> Result<(), Stop> {
        self.enc.check()?;
        if self.sink.streams_now(self.pure, self.replay.recording) {
            let keep = obj.own();
            self.sink.write(self.enc.out().as_slice())?;
            self.enc.drain();
            self.sink.write_object(obj, len)?;
            self.keep_orphan(keep);
        } else {
            self.sink.detach(self.enc.out().len(), obj, len);
        }
        self.enc.begin_frame();
        Ok(())
    }

    /// Before protocol 3: a call that makes them, in Python 2 as well.
    #[cold]
    fn save_bytes_reduced(&mut self, obj: Obj) -> Flow {
        if let Enter::Met = self.enter_leaf(obj)? {
            return WRITTEN;
        }
        let names = types::get();
        let data = fast::bytes_data(obj);
        let value = if data.is_empty() {
            let empty = fast::new_tuple(&[])?;
            fast::new_tuple(&[obj.ty_obj(), empty.obj()])?
        } else {
            // SAFETY: pointer and length of live bytes.
            let text = unsafe {
                fast::Own::from_new(ffi::PyUnicode_DecodeLatin1(
                    data.as_ptr().cast(),
                    data.len() as isize,
                    core::ptr::null(),
                ))?
            };
            let args = fast::new_tuple(&[text.obj(), names.latin1.obj()])?;
            fast::new_tuple(&[names.codecs_encode.obj(), args.obj()])?
        };
        self.begin_reduce(value, Some(obj))?;
        PUSHED
    }

    #[cold]
    pub(super) fn save_bytearray(&mut self, obj: Obj) -> Flow {
        let entered = self.enter(obj)?;
        if let Enter::Met = entered {
            return WRITTEN;
        }
        if self.options.proto >= 5 {
            self.enc.bytearray(fast::bytearray_data(obj));
            if let Enter::Memo(vacant) = entered {
                self.memoize_at(vacant, obj);
            }
            return WRITTEN;
        }
        let data = fast::bytearray_data(obj);
        let args = if data.is_empty() {
            fast::new_tuple(&[])?
        } else {
            // SAFETY: pointer and length of a live bytearray that nothing
            // changes meanwhile.
            let bytes = unsafe {
                fast::Own::from_new(ffi::PyBytes_FromStringAndSize(
                    data.as_ptr().cast(),
                    data.len() as isize,
                ))?
            };
            fast::new_tuple(&[bytes.obj()])?
        };
        let value = fast::new_tuple(&[obj.ty_obj(), args.obj()])?;
        self.begin_reduce(value, Some(obj))?;
        PUSHED
    }

    /// Writes a plain opcode.
    #[inline(always)]
    pub(super) fn op(&mut self, op: Op) {
        self.enc.op(op);
    }
}
