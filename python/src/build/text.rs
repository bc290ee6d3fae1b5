//! Strings, bytes and bytearrays.

use super::Builder;
use crate::error::Raised;
use crate::fast::{self, Own, storage, text};
use ferropickle_core::decode::{Step, TextContext};
use ferropickle_core::opcode::Op;
use pyo3::ffi;
use std::ffi::CString;

/// Bytes from here on are copied into memory on huge pages.
const LARGE_BYTES: usize = 4 << 20;

/// A str. Names of attributes are interned where they are met first: in the
/// place of a key, in the state of an instance, with the memo to share them.
#[inline(always)]
pub fn str(utf8: &[u8], context: &TextContext<'_, Own>) -> Result<Own, Raised> {
    let made = text::from_utf8(utf8)?;
    if matches!(context.next, Some(Op::Memoize | Op::Binput | Op::LongBinput))
        && is_attribute_name(context)
    {
        return Ok(text::interned(made));
    }
    Ok(made)
}

/// Whether the stack reads: instance, dict, mark, pairs.
#[inline(always)]
fn is_attribute_name(context: &TextContext<'_, Own>) -> bool {
    let Some(mark) = context.mark else { return false };
    mark >= 2
        && (context.stack.len() - mark).is_multiple_of(2)
        && fast::is_dict(context.stack[mark - 1].ty())
        && fast::instance::is_heap_type(context.stack[mark - 2].ty())
}

/// A str that names a module or a global.
pub fn plain(utf8: &[u8]) -> Result<Own, Raised> {
    // SAFETY: pointer and length of a live slice; a new reference or null.
    unsafe {
        Own::from_new(ffi::PyUnicode_DecodeUTF8(
            utf8.as_ptr().cast(),
            utf8.len() as isize,
            core::ptr::null(),
        ))
    }
}

/// A str from raw-unicode-escape.
pub fn str_escaped(escaped: &[u8]) -> Result<Own, Raised> {
    // SAFETY: as above.
    unsafe {
        Own::from_new(ffi::PyUnicode_DecodeRawUnicodeEscape(
            escaped.as_ptr().cast(),
            escaped.len() as isize,
            core::ptr::null(),
        ))
    }
}

#[inline(always)]
pub fn bytes(data: &[u8]) -> Result<Own, Raised> {
    if data.len() < LARGE_BYTES {
        // SAFETY: as above.
        return unsafe {
            Own::from_new(ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), data.len() as isize))
        };
    }
    large_bytes(data)
}

#[inline(never)]
fn large_bytes(data: &[u8]) -> Result<Own, Raised> {
    let bytes = storage::new_bytes(data.len())?;
    // SAFETY: a new object with room for exactly that many bytes.
    unsafe {
        let to: *mut u8 = ffi::PyBytes_AS_STRING(bytes.ptr()).cast_mut().cast();
        ferropickle_core::copy::copy(data, to);
    }
    Ok(bytes)
}

/// Memory taken for a payload on the word of a stream that is read from a file;
/// more is taken once that much has come.
const FIRST_STEP_BYTES: usize = 16 << 20;

/// What `fill` reads, straight into a bytes object.
pub fn large_bytes_read(
    len: usize,
    fill: &mut dyn FnMut(&mut [u8]) -> Step<(), Raised>,
) -> Step<Own, Raised> {
    let mut filled = 0;
    let mut bytes = storage::new_bytes(len.min(FIRST_STEP_BYTES))?;
    loop {
        let room = fast::bytes_data(bytes.obj()).len();
        // SAFETY: the object is ours alone and has `room` bytes.
        let to = unsafe {
            let start: *mut u8 = ffi::PyBytes_AS_STRING(bytes.ptr()).cast_mut().cast();
            core::slice::from_raw_parts_mut(start.add(filled), room - filled)
        };
        fill(to)?;
        filled = room;
        if filled == len {
            return Ok(bytes);
        }
        bytes = storage::resize_bytes(bytes, len.min(room * 2))?;
    }
}

/// What `fill` reads, straight into a bytearray.
pub fn large_bytearray(
    len: usize,
    fill: &mut dyn FnMut(&mut [u8]) -> Step<(), Raised>,
) -> Step<Own, Raised> {
    let array = bytearray(&[])?;
    let mut filled = 0;
    while filled < len {
        let room = len.min((filled * 2).max(FIRST_STEP_BYTES));
        // SAFETY: the object is ours alone: nothing has exported its memory.
        let to = unsafe {
            if ffi::PyByteArray_Resize(array.ptr(), room as isize) < 0 {
                return Err(Raised::set().into());
            }
            let start: *mut u8 = ffi::PyByteArray_AsString(array.ptr()).cast();
            core::slice::from_raw_parts_mut(start.add(filled), room - filled)
        };
        fill(to)?;
        filled = room;
    }
    Ok(array)
}

pub fn bytearray(data: &[u8]) -> Result<Own, Raised> {
    if data.len() >= LARGE_BYTES {
        let array = storage::new_bytearray(data.len())?;
        // SAFETY: a new object with room for exactly that many bytes.
        unsafe {
            ferropickle_core::copy::copy(data, ffi::PyByteArray_AsString(array.ptr()).cast());
        }
        return Ok(array);
    }
    // SAFETY: as above.
    unsafe {
        Own::from_new(ffi::PyByteArray_FromStringAndSize(data.as_ptr().cast(), data.len() as isize))
    }
}

impl Builder {
    /// A Python 2 string: bytes, or text in the load's encoding.
    pub(super) fn build_string(&mut self, bytes: &[u8]) -> Result<Own, Raised> {
        let Some(encoding) = &self.encoding else { return self::bytes(bytes) };
        let nul = |_| Raised::new(fast::Exc::ValueError, "embedded null character");
        let encoding = if encoding.is_empty() { "ASCII" } else { encoding };
        let encoding = CString::new(encoding).map_err(nul)?;
        let errors = if self.errors.is_empty() { "strict" } else { self.errors.as_str() };
        let errors = CString::new(errors).map_err(nul)?;
        // SAFETY: a live slice and NUL-terminated names.
        unsafe {
            Own::from_new(ffi::PyUnicode_Decode(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
                encoding.as_ptr(),
                errors.as_ptr(),
            ))
        }
    }

    /// As above, from a quoted literal with escapes.
    pub(super) fn build_string_literal(&mut self, literal: &[u8]) -> Result<Own, Raised> {
        let inner = match literal {
            [open @ (b'\'' | b'"'), inner @ .., close] if open == close => inner,
            _ => return Err(Raised::unpickling("the STRING opcode argument must be quoted")),
        };
        // SAFETY: a live slice; a new reference or null with an error set.
        let bytes = unsafe {
            Own::from_new(ffi::PyBytes_DecodeEscape(
                inner.as_ptr().cast(),
                inner.len() as isize,
                core::ptr::null(),
                0,
                core::ptr::null(),
            ))?
        };
        self.build_string(fast::bytes_data(bytes.obj()))
    }
}
