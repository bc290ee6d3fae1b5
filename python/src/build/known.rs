//! Calls of known types: made through their C API, not by a call.

use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use core::sync::atomic::{AtomicPtr, Ordering};
use pyo3::ffi;

/// `datetime.datetime`, once it was met.
static DATETIME: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(core::ptr::null_mut());

/// The object of a call if it is a known one with arguments that its own
/// `__reduce__` gives; else nothing, and the call is made.
#[inline(always)]
pub fn make(callable: Obj, args: Obj) -> Result<Option<Own>, Raised> {
    if callable.ptr().cast() == DATETIME.load(Ordering::Relaxed) {
        return make_datetime(args);
    }
    if fast::is_type(callable.ty()) {
        learn(callable);
    }
    Ok(None)
}

/// As [`make`] for a single bytes argument that was not made into an object.
#[inline(always)]
pub fn make_from_bytes(callable: Obj, data: &[u8]) -> Result<Option<Own>, Raised> {
    if callable.ptr().cast() != DATETIME.load(Ordering::Relaxed) {
        return Ok(None);
    }
    match <&[u8; 10]>::try_from(data) {
        Ok(state) => datetime(state, None),
        Err(_) => Ok(None),
    }
}

/// Notes the type if it is `datetime.datetime`.
#[inline(always)]
fn learn(class: Obj) {
    if !DATETIME.load(Ordering::Relaxed).is_null() {
        return;
    }
    // SAFETY: a live type has a NUL-terminated name; a static one lives for ever.
    unsafe {
        let ty = class.ptr().cast::<ffi::PyTypeObject>();
        let is_static = ffi::PyType_HasFeature(ty, ffi::Py_TPFLAGS_HEAPTYPE) == 0;
        if is_static && core::ffi::CStr::from_ptr((*ty).tp_name) == c"datetime.datetime" {
            ffi::PyDateTime_IMPORT();
            if ffi::PyDateTimeAPI().is_null() {
                ffi::PyErr_Clear();
            } else {
                DATETIME.store(ty, Ordering::Relaxed);
            }
        }
    }
}

/// `datetime(state)` or `datetime(state, tzinfo)` with a ten-byte state.
#[inline(always)]
fn make_datetime(args: Obj) -> Result<Option<Own>, Raised> {
    if !fast::is_tuple(args.ty()) {
        return Ok(None);
    }
    let len = fast::tuple_len(args);
    if !(1..=2).contains(&len) || !fast::is_bytes(fast::tuple_get(args, 0).ty()) {
        return Ok(None);
    }
    let Ok(state) = <&[u8; 10]>::try_from(fast::bytes_data(fast::tuple_get(args, 0))) else {
        return Ok(None);
    };
    let zone = if len == 2 { Some(fast::tuple_get(args, 1)) } else { None };
    datetime(state, zone)
}

/// A datetime from its state (`datetime_new` in `Modules/_datetimemodule.c`);
/// nothing if a field is out of range or the zone is none.
#[inline(always)]
pub fn datetime(state: &[u8; 10], zone: Option<Obj>) -> Result<Option<Own>, Raised> {
    let zone = zone.filter(|zone| !zone.is_none());
    if !is_moment(state) || zone.is_some_and(|zone| !is_timezone(zone)) {
        return Ok(None);
    }
    // The type that was noted, static and so never changed.
    fast::datetime::new_datetime(DATETIME.load(Ordering::Relaxed), *state, zone).map(Some)
}

/// Whether the fields are a day of the calendar and a time of day.
#[inline(always)]
fn is_moment(state: &[u8; 10]) -> bool {
    const DAYS: [u8; 13] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let &[century, rest, month, day, hour, minute, second, ..] = state;
    let year = u16::from_be_bytes([century, rest]);
    let month = month & 0x7f; // the top bit is `fold`
    let micro = u32::from_be_bytes([0, state[7], state[8], state[9]]);
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    (1..=9999).contains(&year)
        && DAYS.get(usize::from(month)).is_some_and(|days| (1..=*days).contains(&day))
        && (month != 2 || day < 29 || leap)
        && hour < 24
        && minute < 60
        && second < 60
        && micro < 1_000_000
}

/// Whether an object is a `tzinfo`: others make the type raise.
fn is_timezone(zone: Obj) -> bool {
    // SAFETY: the API was imported; a live object.
    unsafe { ffi::PyObject_TypeCheck(zone.ptr(), (*ffi::PyDateTimeAPI()).TZInfoType) != 0 }
}
