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
    let (low, mid, high) = unsafe {
        let digit = |i: usize| u64::from(*digits.add(i));
        (digit(0), digit(second), digit(second + third))
    };
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
        } else {
            return (count == 0).then_some(0);
        }
        as_i64_portable(int)
    }
}

/// The value, if it is below 256. Needs an exact int.
#[cfg(not(Py_3_12))]
#[inline(always)]
pub fn as_byte(int: Obj) -> Option<u8> {
    let raw = int.ptr().cast::<LongLayout>();
    // SAFETY: an exact int by the caller's check; a size of one is one digit.
    unsafe {
        match (*raw).base.ob_size {
            0 => Some(0),
            1 => u8::try_from((*raw).digits[0]).ok(),
            _ => None,
        }
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
        } else {
            return None;
        }
        as_i64_portable(int)
    }
}

/// The value, if it is below 256. Needs an exact int.
#[cfg(Py_3_12)]
#[inline(always)]
pub fn as_byte(int: Obj) -> Option<u8> {
    let raw = int.ptr().cast::<LongLayout>();
    // SAFETY: an exact int by the caller's check; one digit exists always.
    unsafe {
        // One digit above zero, or none: zero has the tag 1. Bit 2 says from 3.14
        // on that the int is immortal.
        let small = matches!((*raw).tag & !0b100, 0b1000 | 1);
        u8::try_from((*raw).digits[0]).ok().filter(|_| small)
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

/// Bits of a digit.
const DIGIT: u32 = 30;

/// The digits of an int, lowest first, and whether it is below zero. Needs an
/// exact int; zero may have no digit.
#[inline(always)]
fn digits(int: &Obj) -> (&[u32], bool) {
    let raw = int.ptr().cast::<LongLayout>();
    // SAFETY: an exact int by the caller's check, alive as long as the
    // reference; the layout says how many digits there are.
    unsafe {
        #[cfg(not(Py_3_12))]
        let (count, negative) = ((*raw).base.ob_size.unsigned_abs(), (*raw).base.ob_size < 0);
        #[cfg(Py_3_12)]
        let (count, negative) = ((*raw).tag >> 3, (*raw).tag & 3 == 2);
        (core::slice::from_raw_parts((&raw const (*raw).digits).cast(), count), negative)
    }
}

/// Little-endian two's complement in the fewest bytes that keep the sign, laid
/// into the vector in place of what it has. Needs an exact int.
pub fn to_bytes(int: Obj, bytes: &mut Vec<u8>) -> Result<(), Raised> {
    let (digits, negative) = digits(&int);
    bytes.clear();
    bytes.try_reserve(4 * digits.len() + 4).map_err(|_| Raised::no_memory())?;
    // The complement of two: every bit turned, and one added.
    let mask = (1 << DIGIT) - 1;
    let (turn, mut carry) = if negative { (mask, 1) } else { (0, 0) };
    let (mut held, mut bits) = (0u64, 0);
    for digit in digits {
        let digit = (u64::from(*digit) ^ turn) + carry;
        carry = digit >> DIGIT;
        held |= (digit & mask) << bits;
        bits += DIGIT;
        if bits >= 32 {
            bytes.extend_from_slice(&(held as u32).to_le_bytes());
            held >>= 32;
            bits -= 32;
        }
    }
    if negative {
        held |= u64::MAX << bits;
    }
    bytes.extend_from_slice(&(held as u32).to_le_bytes());
    // A byte of pure sign is left out where the byte before has the sign.
    let sign = if negative { 0xff } else { 0 };
    while let [.., before, last] = bytes[..]
        && last == sign
        && (before ^ sign) < 0x80
    {
        bytes.pop();
    }
    Ok(())
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
