//! Ints and floats.

use super::{Flow, WRITTEN, Walker};
use crate::error::Raised;
use crate::fast::{self, Obj, Own, long};
use ferropickle_core::encode::Run;
use ferropickle_core::out::Storage;
use pyo3::ffi;

/// After so many ints below 256 in a row the next is thought to be one.
const STREAK: u32 = 4;

/// Writes an int; false, with nothing written, if it is too large for a run.
/// `streak` counts ints below 256.
#[inline(always)]
pub(super) fn write_int<S: Storage>(run: &mut Run<'_, S>, int: Obj, streak: &mut u32) -> bool {
    // Asked only where the answer is likely: widths that come in no order would
    // be guessed wrong.
    if *streak >= STREAK
        && let Some(value) = long::as_byte(int)
    {
        run.byte(value);
        return true;
    }
    let Some(value) = long::as_i64(int) else { return false };
    run.int(value);
    *streak = if (value as u64) < 256 { *streak + 1 } else { 0 };
    true
}

impl Walker {
    #[inline(always)]
    pub(super) fn save_int(&mut self, obj: Obj) -> Flow {
        match long::as_i64(obj) {
            Some(value) => self.enc.int(value),
            None => self.save_big_int(obj)?,
        }
        WRITTEN
    }

    #[inline(never)]
    fn save_big_int(&mut self, obj: Obj) -> Result<(), super::Stop> {
        if self.options.proto >= 2 {
            long::to_bytes(obj, &mut self.text)?;
            self.enc.int_bytes(&self.text)?;
        } else {
            // SAFETY: an int; a new reference or null with an error set (3.11
            // on: more digits than sys.get_int_max_str_digits allows).
            let digits = unsafe { Own::from_new(ffi::PyObject_Repr(obj.ptr()))? };
            self.enc.int_decimal(fast::text::utf8(digits.obj(), &mut self.text));
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn save_float(&mut self, obj: Obj) -> Flow {
        let value = fast::float_value(obj);
        if self.enc.binary() {
            self.enc.float(value);
        } else {
            self.save_float_text(value)?;
        }
        WRITTEN
    }

    #[cold]
    fn save_float_text(&mut self, value: f64) -> Result<(), Raised> {
        // SAFETY: memory that PyMem_Free takes back, NUL-terminated, or null
        // with an error set.
        unsafe {
            let text = ffi::PyOS_double_to_string(
                value,
                b'r' as core::ffi::c_char,
                0,
                ffi::Py_DTSF_ADD_DOT_0,
                core::ptr::null_mut(),
            );
            if text.is_null() {
                return Err(Raised::set());
            }
            self.enc.float_text(core::ffi::CStr::from_ptr(text).to_bytes());
            ffi::PyMem_Free(text.cast());
        }
        Ok(())
    }
}
