//! Strings: the data of compact ASCII ones in place, others as UTF-8.
//!
//! What a str is, is in the bit fields of its `state`
//! (`Include/cpython/unicodeobject.h`), the same from 3.10 to 3.14 but for
//! free-threaded builds, where the first of them has a byte to itself. C says
//! where compilers put bit fields as little as PyO3 does from 3.14 on, so
//! [`layout_holds`] asks strings that are known when the module is imported.

use super::{Obj, Own};
use crate::error::Raised;
use pyo3::ffi;

/// Width of `interned`. After it come three bits of `kind`, then `compact`,
/// then `ascii`.
const INTERNED_BITS: u32 = if cfg!(all(Py_3_14, Py_GIL_DISABLED)) { 8 } else { 2 };
const INTERNED: u32 = field(0, INTERNED_BITS);
const COMPACT: u32 = field(INTERNED_BITS + 3, 1);
const ASCII: u32 = field(INTERNED_BITS + 4, 1);

/// The mask of a bit field: fields are laid from the end that is first in memory.
const fn field(at: u32, width: u32) -> u32 {
    let shift = if cfg!(target_endian = "big") { u32::BITS - at - width } else { at };
    ((1 << width) - 1) << shift
}

/// The bit fields. Needs a str.
#[inline(always)]
fn state(text: Obj) -> u32 {
    // SAFETY: a str by the caller's check.
    unsafe { (*text.ptr().cast::<ffi::PyASCIIObject>()).state }
}

/// Whether a str's characters are ASCII and follow its header.
#[inline(always)]
fn is_compact_ascii(text: Obj) -> bool {
    state(text) & (COMPACT | ASCII) == COMPACT | ASCII
}

/// Whether the fields say of known strings what is known of them.
pub fn layout_holds() -> Result<bool, Raised> {
    let (ascii, latin) = (super::new_str("not interned")?, super::new_str("\u{e9}")?);
    let wide = [super::new_str("\u{20ac}")?, super::new_str("\u{1f600}")?];
    let known = super::intern(c"interned")?;
    let wide_holds = wide.iter().all(|text| state(text.obj()) & (COMPACT | ASCII) == COMPACT);
    let mut len = 0;
    // SAFETY: live strs; null with an error set. The cached form of a str that
    // is compact and not ASCII is where `utf8_wide` looks for it.
    unsafe {
        let data: *const u8 = ffi::PyUnicode_DATA(ascii.ptr()).cast();
        let cached = ffi::PyUnicode_AsUTF8AndSize(latin.ptr(), &mut len);
        if cached.is_null() {
            return Err(Raised::set());
        }
        let compact = latin.ptr().cast::<ffi::PyCompactUnicodeObject>();
        Ok(is_compact_ascii(ascii.obj())
            && ascii_data(ascii.obj()).as_ptr() == data
            && state(latin.obj()) & (COMPACT | ASCII) == COMPACT
            && ((*compact).utf8.cast_const(), (*compact).utf8_length) == (cached, len)
            && wide_holds
            && is_interned(known.obj())
            && !is_interned(ascii.obj()))
    }
}

/// The data of a str for which [`is_compact_ascii`] holds.
#[inline(always)]
fn ascii_data<'a>(text: Obj) -> &'a [u8] {
    // SAFETY: the data follow the header; they are immutable and it is alive.
    unsafe {
        let len = ffi::PyUnicode_GET_LENGTH(text.ptr()) as usize;
        let data = text.ptr().cast::<ffi::PyASCIIObject>().add(1).cast::<u8>();
        core::slice::from_raw_parts(data, len)
    }
}

/// The UTF-8 of a str (surrogates passed): in place if it is ASCII or has a
/// cached form, else written into `scratch`. The object is left as it was:
/// `PyUnicode_AsUTF8AndSize` would leave a copy in it for its whole life.
/// `None` if memory for the scratch runs out.
#[inline(always)]
pub fn try_utf8(text: Obj, scratch: &mut Vec<u8>) -> Option<&[u8]> {
    if is_compact_ascii(text) {
        return Some(ascii_data(text));
    }
    utf8_wide(text, scratch)
}

/// As [`try_utf8`] for short texts: empty if memory runs out.
pub fn utf8(text: Obj, scratch: &mut Vec<u8>) -> &[u8] {
    try_utf8(text, scratch).unwrap_or_default()
}

/// `str(obj)`.
pub fn of(obj: Obj) -> Result<Own, Raised> {
    // SAFETY: alive; a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyObject_Str(obj.ptr())) }
}

/// The data of an ASCII str; of any other an empty slice.
#[inline(always)]
pub fn ascii<'a>(text: Obj) -> &'a [u8] {
    if is_compact_ascii(text) { ascii_data(text) } else { &[] }
}

#[inline(never)]
fn utf8_wide(text: Obj, scratch: &mut Vec<u8>) -> Option<&[u8]> {
    scratch.clear();
    // SAFETY: a str by the caller's check.
    let most = unsafe { ffi::PyUnicode_GET_LENGTH(text.ptr()) as usize }.saturating_mul(4);
    if scratch.capacity() < most && scratch.try_reserve(most).is_err() {
        return None;
    }
    // SAFETY: as above; `kind` says the width of each of the `len` elements.
    unsafe {
        let len = ffi::PyUnicode_GET_LENGTH(text.ptr()) as usize;
        let compact = text.ptr().cast::<ffi::PyCompactUnicodeObject>();
        if state(text) & COMPACT != 0 && !(*compact).utf8.is_null() {
            let cached = (*compact).utf8_length as usize;
            return Some(core::slice::from_raw_parts((*compact).utf8.cast(), cached));
        }
        let data = ffi::PyUnicode_DATA(text.ptr());
        match ffi::PyUnicode_KIND(text.ptr()) {
            ffi::PyUnicode_1BYTE_KIND => {
                latin1(core::slice::from_raw_parts(data.cast(), len), scratch);
            }
            ffi::PyUnicode_2BYTE_KIND => {
                wide(core::slice::from_raw_parts(data.cast::<u16>(), len), scratch);
            }
            _ => wide(core::slice::from_raw_parts(data.cast::<u32>(), len), scratch),
        }
    }
    Some(scratch)
}

fn latin1(from: &[u8], to: &mut Vec<u8>) {
    for run in from.chunk_by(|a, b| a.is_ascii() == b.is_ascii()) {
        if run[0].is_ascii() {
            to.extend_from_slice(run);
        } else {
            to.extend(run.iter().flat_map(|b| [0xc0 | (b >> 6), 0x80 | (b & 0x3f)]));
        }
    }
}

/// UCS-2 or UCS-4 to UTF-8. Surrogates get three bytes each, as
/// "surrogatepass" gives them.
fn wide<T: Copy + Into<u32>>(from: &[T], to: &mut Vec<u8>) {
    assert!(to.capacity() - to.len() >= from.len().saturating_mul(4), "the caller makes room");
    let start = to.as_mut_ptr();
    let mut at = to.len();
    for unit in from {
        let c: u32 = (*unit).into();
        // SAFETY: four bytes per element are there, which is the most one takes.
        unsafe {
            let p = start.add(at);
            if c < 0x80 {
                *p = c as u8;
                at += 1;
            } else if c < 0x800 {
                *p = 0xc0 | (c >> 6) as u8;
                *p.add(1) = 0x80 | (c & 0x3f) as u8;
                at += 2;
            } else if c < 0x10000 {
                *p = 0xe0 | (c >> 12) as u8;
                *p.add(1) = 0x80 | ((c >> 6) & 0x3f) as u8;
                *p.add(2) = 0x80 | (c & 0x3f) as u8;
                at += 3;
            } else {
                *p = 0xf0 | (c >> 18) as u8;
                *p.add(1) = 0x80 | ((c >> 12) & 0x3f) as u8;
                *p.add(2) = 0x80 | ((c >> 6) & 0x3f) as u8;
                *p.add(3) = 0x80 | (c & 0x3f) as u8;
                at += 4;
            }
        }
    }
    // SAFETY: every byte up to `at` was written in the loop.
    unsafe { to.set_len(at) };
}

/// The elements of a str as code points: for escapes of protocol 0.
pub fn code_points(text: Obj) -> impl Iterator<Item = u32> {
    // SAFETY: a str by the caller's check; indices below the length.
    let len = unsafe { ffi::PyUnicode_GET_LENGTH(text.ptr()) };
    // SAFETY: as above.
    (0..len).map(move |i| unsafe { ffi::PyUnicode_ReadChar(text.ptr(), i) })
}

/// A str from UTF-8, surrogates passed. ASCII is copied without a decoder.
#[inline(always)]
pub fn from_utf8(utf8: &[u8]) -> Result<Own, Raised> {
    if utf8.is_ascii() {
        // SAFETY: the new str has room for the bytes, which are all below 128.
        unsafe {
            if utf8.len() == 1 {
                return Own::from_new(ffi::PyUnicode_FromOrdinal(utf8[0].into()));
            }
            let text = Own::from_new(ffi::PyUnicode_New(utf8.len() as isize, 127))?;
            let data = text.ptr().cast::<ffi::PyASCIIObject>().add(1).cast::<u8>();
            if !utf8.is_empty() {
                core::ptr::copy_nonoverlapping(utf8.as_ptr(), data, utf8.len());
            }
            return Ok(text);
        }
    }
    // SAFETY: pointer and length of a live slice, a NUL-terminated name.
    unsafe {
        Own::from_new(ffi::PyUnicode_DecodeUTF8(
            utf8.as_ptr().cast(),
            utf8.len() as isize,
            c"surrogatepass".as_ptr(),
        ))
    }
}

/// A str in an encoding.
pub fn encode(text: Obj, encoding: &core::ffi::CStr) -> Result<Own, Raised> {
    // SAFETY: a str by the caller's check and a NUL-terminated name; a new
    // reference or null with an error set.
    unsafe {
        Own::from_new(ffi::PyUnicode_AsEncodedString(
            text.ptr(),
            encoding.as_ptr(),
            core::ptr::null(),
        ))
    }
}

/// The interned twin of a str.
#[inline]
pub fn interned(text: Own) -> Own {
    let mut ptr = text.into_ptr();
    // SAFETY: takes over the reference and leaves one to the interned str.
    unsafe {
        ffi::PyUnicode_InternInPlace(&mut ptr);
        Own(Obj::new(ptr))
    }
}

/// Whether a str is interned: equal interned strs are the same object.
#[inline(always)]
pub fn is_interned(text: Obj) -> bool {
    state(text) & INTERNED != 0
}
