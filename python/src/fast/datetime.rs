//! Fields of the datetime family, as `Include/datetime.h` declares them from
//! 3.10 to 3.14. Each function needs an object of exactly the type of its name.

use super::Obj;
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
