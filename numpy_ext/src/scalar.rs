//! The value of a NumPy scalar: right after the object's header
//! (`arrayscalars.h`, the same in 1.x and 2.x).

use pyo3::ffi::PyObject;

/// The bytes of a scalar of a type with `len` bytes.
///
/// # Safety
/// `scalar` must be a live scalar of exactly a type for which [`len`] gave
/// `len`, and live as long as the bytes are used.
#[inline(always)]
pub unsafe fn bytes<'a>(scalar: *mut PyObject, len: usize) -> &'a [u8] {
    // SAFETY: the contract.
    unsafe { core::slice::from_raw_parts(scalar.add(1).cast::<u8>(), len) }
}

/// Bytes of the value of a scalar type, by its name without `numpy.`; `None`
/// where they differ from machine to machine.
pub fn len(name: &[u8]) -> Option<usize> {
    Some(match name {
        b"bool" | b"bool_" | b"int8" | b"uint8" => 1,
        b"int16" | b"uint16" | b"float16" => 2,
        b"int32" | b"uint32" | b"float32" => 4,
        b"int64" | b"uint64" | b"longlong" | b"ulonglong" | b"float64" | b"complex64" => 8,
        b"complex128" => 16,
        _ => return None,
    })
}
