//! NumPy's arrays and scalars, read in place.
//!
//! Layouts are those of NumPy's public headers, the same in 1.x and 2.x:
//! `PyArrayObject_fields` (`ndarraytypes.h`), the first fields of
//! `PyArray_Descr`, and scalars (`arrayscalars.h`), whose value follows the
//! object header.

use super::Obj;
use pyo3::ffi;

/// `PyArrayObject_fields`.
#[repr(C)]
struct ArrayLayout {
    base: ffi::PyObject,
    data: *const u8,
    dimensions_count: core::ffi::c_int,
    dimensions: *const isize,
    strides: *const isize,
    owner: *mut ffi::PyObject,
    descr: *mut ffi::PyObject,
    flags: core::ffi::c_int,
}

/// The first fields of `PyArray_Descr`.
#[repr(C)]
struct DescrLayout {
    base: ffi::PyObject,
    scalar_type: *mut ffi::PyTypeObject,
    kind: u8,
}

const C_CONTIGUOUS: core::ffi::c_int = 0x1;
const WRITEABLE: core::ffi::c_int = 0x400;

/// An array whose bytes are one block in C order and hold no objects.
pub struct Block<'a> {
    pub data: &'a [u8],
    pub shape: &'a [isize],
    pub descr: Obj,
    pub writable: bool,
}

/// The block of an exact `ndarray`; `None` for any other layout or dtype.
pub fn block<'a>(array: Obj, item_bytes: impl FnOnce(Obj) -> Option<usize>) -> Option<Block<'a>> {
    // SAFETY: an exact ndarray by the caller's check; its dimensions and data
    // are valid while it lives and nothing runs.
    unsafe {
        let raw = array.ptr().cast::<ArrayLayout>();
        let descr = Obj::borrowed((*raw).descr)?;
        let kind = (*descr.ptr().cast::<DescrLayout>()).kind;
        if (*raw).flags & C_CONTIGUOUS == 0 || !b"biufcmMSU".contains(&kind) {
            return None;
        }
        let count = usize::try_from((*raw).dimensions_count).ok()?;
        let shape: &[isize] =
            if count == 0 { &[] } else { core::slice::from_raw_parts((*raw).dimensions, count) };
        let items =
            shape.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?))?;
        let len = items.checked_mul(item_bytes(descr)?)?;
        let data: &[u8] =
            if len == 0 { &[] } else { core::slice::from_raw_parts((*raw).data, len) };
        Some(Block { data, shape, descr, writable: (*raw).flags & WRITEABLE != 0 })
    }
}

/// The bytes of a scalar of a type with `len` bytes.
pub fn scalar_bytes<'a>(scalar: Obj, len: usize) -> &'a [u8] {
    // SAFETY: an exact scalar by the caller's check: `len` bytes of value come
    // right after the object header.
    unsafe { core::slice::from_raw_parts(scalar.ptr().add(1).cast::<u8>(), len) }
}

/// Bytes of the value of a scalar type, by its name without `numpy.`.
pub fn scalar_len(name: &[u8]) -> Option<usize> {
    Some(match name {
        b"bool" | b"bool_" | b"int8" | b"uint8" => 1,
        b"int16" | b"uint16" | b"float16" => 2,
        b"int32" | b"uint32" | b"float32" => 4,
        b"int64" | b"uint64" | b"longlong" | b"ulonglong" | b"float64" | b"complex64" => 8,
        b"complex128" => 16,
        _ => return None,
    })
}
