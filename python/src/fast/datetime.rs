//! Fields of the datetime family, as `Include/datetime.h` declares them from
//! 3.10 to 3.14. Each function needs an object of exactly the type of its name.

use super::{Obj, Own, TypePtr};
use crate::error::Raised;
use pyo3::ffi;

/// What a time or a datetime holds.
pub struct Fields<const N: usize> {
    pub data: [u8; N],
    pub fold: bool,
    pub zone: Option<Obj>,
}

/// A date's state.
#[inline(always)]
pub fn date(obj: Obj) -> [u8; 4] {
    // SAFETY: an exact date by the caller's check.
    unsafe { (*obj.ptr().cast::<ffi::PyDateTime_Date>()).data }
}

/// A timedelta's days, seconds and microseconds.
#[inline(always)]
pub fn timedelta(obj: Obj) -> [i32; 3] {
    // SAFETY: an exact timedelta by the caller's check.
    let delta = unsafe { &*obj.ptr().cast::<ffi::PyDateTime_Delta>() };
    [delta.days, delta.seconds, delta.microseconds]
}

#[inline(always)]
pub fn time(obj: Obj) -> Fields<6> {
    // SAFETY: an exact time by the caller's check; the zone's field exists if
    // the object says so, and then holds a reference.
    unsafe {
        let raw = obj.ptr().cast::<ffi::PyDateTime_Time>();
        let zone = if (*raw).hastzinfo != 0 { Obj::borrowed((*raw).tzinfo) } else { None };
        Fields { data: (*raw).data, fold: (*raw).fold != 0, zone }
    }
}

#[inline(always)]
pub fn datetime(obj: Obj) -> Fields<10> {
    // SAFETY: as in `time`, of an exact datetime.
    unsafe {
        let raw = obj.ptr().cast::<ffi::PyDateTime_DateTime>();
        let zone = if (*raw).hastzinfo != 0 { Obj::borrowed((*raw).tzinfo) } else { None };
        Fields { data: (*raw).data, fold: (*raw).fold != 0, zone }
    }
}

/// A datetime of a state whose fields are in range, as `new_datetime_ex2` in
/// `Modules/_datetimemodule.c` makes it. `ty` must be `datetime.datetime`, the
/// zone a `tzinfo`.
#[inline(always)]
pub fn new_datetime(ty: TypePtr, state: [u8; 10], zone: Option<Obj>) -> Result<Own, Raised> {
    // SAFETY: the type's allocator gives an object with the zone's field if its
    // second argument is not 0, and none of the fields is set yet.
    unsafe {
        let Some(alloc) = (*ty).tp_alloc else { return Err(Raised::no_memory()) };
        let made = Own::from_new(alloc(ty, zone.is_some().into()))?;
        let raw = made.ptr().cast::<ffi::PyDateTime_DateTime>();
        (*raw).hashcode = -1;
        (*raw).hastzinfo = zone.is_some().into();
        (*raw).data = state;
        (*raw).data[2] &= 0x7f;
        (*raw).fold = state[2] >> 7;
        if let Some(zone) = zone {
            (*raw).tzinfo = zone.own().into_ptr();
        }
        Ok(made)
    }
}
