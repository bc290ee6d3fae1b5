//! Ints: raw digits where the layout is known, the C API elsewhere.

use super::{Obj, Own};
use crate::error::Raised;
use pyo3::ffi;

/// Layout of an int before 3.12 (`Include/cpython/longintrepr.h`): the sign is
/// that of the size, digits have 30 bits.
#[cfg(not(Py_3_12))]
#[repr(C)]
struct LongLayout {
    base: ffi::PyVarObject,
    digits: [u32; 3],
}

/// The magnitude of an int with one to three digits, and whether it is below
/// 2^63. Without a branch on their number, which differs from int to int.
///
/// # Safety
/// `digits` must be valid for reads of `count` digits, 1 to 3.
#[inline(always)]
unsafe fn magnitude(digits: *const u32, count: usize) -> (i64, bool) {
    debug_assert!((1..=3).contains(&count));
    let (second, third) = (usize::from(count > 1), usize::from(count > 2));
    // SAFETY: each index is below the count.
    let [low, mid, high] =
        unsafe { [*digits, *digits.add(second), *digits.add(second + third)].map(u64::from) };
    let value = low | (mid * second as u64) << 30 | (high * third as u64) << 60;
    (value as i64, high * (third as u64) < 8)
}

/// The value, if it fits 64 bits. Needs an exact int.
#[cfg(not(Py_3_12))]
#[inline(always)]
pub fn as_i64(int: Obj) -> Option<i64> {
    let raw = int.ptr().cast::<LongLayout>();
    // SAFETY: an exact int by the caller's check; digit i exists if the size
    // is more than i.
    unsafe {
        let size = (*raw).base.ob_size;
        let count = size.unsigned_abs();
        if count.wrapping_sub(1) < 3 {
            let (value, fits) = magnitude((&raw const (*raw).digits).cast(), count);
            if fits {
                let sign = (size >> 63) as i64;
                return Some((value ^ sign) - sign);
            }
        } else if count == 0 {
            return Some(0);
        }
        as_i64_portable(int)
    }
}

/// Layout of an int from 3.12 to 3.14: sign in the tag's two low bits (0 plus,
/// 1 zero, 2 minus), number of digits from bit 3 on.
#[cfg(Py_3_12)]
#[repr(C)]
struct LongLayout {
    base: ffi::PyObject,
    tag: usize,
    digits: [u32; 3],
}

/// The value, if it fits 64 bits. Needs an exact int.
#[cfg(Py_3_12)]
#[inline(always)]
pub fn as_i64(int: Obj) -> Option<i64> {
    let raw = int.ptr().cast::<LongLayout>();
    // SAFETY: an exact int by the caller's check; digit i exists if the count
    // is more than i (one digit exists always).
    unsafe {
        let tag = (*raw).tag;
        // Zero has the count 0 and one digit, which is 0.
        let count = (tag >> 3).max(1);
        if count <= 3 {
            let (value, fits) = magnitude((&raw const (*raw).digits).cast(), count);
            if fits {
                return Some(value * (1 - (tag & 3) as i64));
            }
        }
        as_i64_portable(int)
    }
}

/// The value, if it fits 64 bits, by the C API.
#[inline(never)]
pub fn as_i64_portable(int: Obj) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: an int by the caller's check, so no error can be set.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(int.ptr(), &mut overflow) };
    (overflow == 0).then_some(value)
}

/// Little-endian two's complement in the fewest bytes that keep the sign.
pub fn to_bytes(int: Obj) -> Result<Vec<u8>, Raised> {
    // SAFETY: an int by the caller's check. `_PyLong_AsByteArray` fills the
    // whole buffer or sets an error.
    unsafe {
        let bits = super::private::_PyLong_NumBits(int.ptr());
        if bits == usize::MAX {
            return Err(Raised::set());
        }
        let n = bits / 8 + 1;
        let mut bytes = vec![0u8; n];
        #[cfg(not(Py_3_13))]
        let failed = ffi::_PyLong_AsByteArray(int.ptr().cast(), bytes.as_mut_ptr(), n, 1, 1);
        #[cfg(Py_3_13)]
        let failed = {
            // Little-endian and two's complement; the API of 3.13 on.
            let flags = ffi::Py_ASNATIVEBYTES_LITTLE_ENDIAN;
            let needed =
                ffi::PyLong_AsNativeBytes(int.ptr(), bytes.as_mut_ptr().cast(), n as isize, flags);
            if needed < 0 { -1 } else { 0 }
        };
        if failed < 0 {
            return Err(Raised::set());
        }
        // A byte of pure sign is left out where the byte before has the sign.
        let last = bytes[n - 1];
        if n > 1 && (last == 0xff && bytes[n - 2] >= 0x80 || last == 0 && bytes[n - 2] < 0x80) {
            bytes.pop();
        }
        Ok(bytes)
    }
}

/// An int from 64 bits.
#[inline(always)]
pub fn from_i64(value: i64) -> Result<Own, Raised> {
    // SAFETY: a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyLong_FromLongLong(value)) }
}

/// An int from little-endian two's complement.
pub fn from_bytes(bytes: &[u8]) -> Result<Own, Raised> {
    // SAFETY: pointer and length of a live slice.
    unsafe {
        #[cfg(not(Py_3_13))]
        let int = ffi::_PyLong_FromByteArray(bytes.as_ptr(), bytes.len(), 1, 1);
        #[cfg(Py_3_13)]
        let int = ffi::PyLong_FromNativeBytes(
            bytes.as_ptr().cast(),
            bytes.len(),
            ffi::Py_ASNATIVEBYTES_LITTLE_ENDIAN,
        );
        Own::from_new(int)
    }
}
