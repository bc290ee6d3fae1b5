//! Ctrl-C and other signals in long calls.

use crate::error::Raised;
use pyo3::ffi;

unsafe extern "C" {
    // Include/intrcheck.h.
    fn PyOS_InterruptOccurred() -> core::ffi::c_int;
}

/// Whether Ctrl-C was pressed. Runs no handler: the signal is set again, for
/// [`check`] to deliver.
pub fn interrupted() -> bool {
    // SAFETY: the GIL is held.
    unsafe {
        if PyOS_InterruptOccurred() == 0 {
            return false;
        }
        ffi::PyErr_SetInterrupt();
        true
    }
}

/// Runs the handlers of signals that have arrived.
pub fn check() -> Result<(), Raised> {
    // SAFETY: the GIL is held; -1 with an error set if a handler raised.
    match unsafe { ffi::PyErr_CheckSignals() } {
        0 => Ok(()),
        _ => Err(Raised::set()),
    }
}
