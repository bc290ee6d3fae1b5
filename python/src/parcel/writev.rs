//! A parcel to a descriptor, straight from the memory of its buffers.

use crate::error::raise_system;
use crate::signals;
use core::mem::ManuallyDrop;
use ferropickle_core::parcel::pack::Packed;
use ferropickle_core::parcel::send::write_all;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::fs::File;
use std::io::{Error, ErrorKind, Write};
use std::os::fd::{FromRawFd, RawFd};

/// The descriptor of an argument: an int, or an object with `fileno()`.
pub fn descriptor_of(given: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let number = if given.is_instance_of::<pyo3::types::PyInt>() {
        given.extract::<RawFd>()?
    } else if given.hasattr("fileno")? {
        given.call_method0("fileno")?.extract::<RawFd>()?
    } else {
        let name = given.get_type().name()?;
        let text = format!("fd must be an int or have fileno(), not {name}");
        return Err(PyTypeError::new_err(text));
    };
    if number < 0 {
        return Err(raise_system(given.py(), Error::from_raw_os_error(libc::EBADF), None));
    }
    Ok(number)
}

/// Waits until a descriptor can be written to; a signal ends it as well.
fn wait_for_room(fd: RawFd) {
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, which lives through the call. What is wrong with the
    // descriptor is said by the next write.
    unsafe { libc::poll(&mut poll, 1, -1) };
}

/// Writes a parcel; the GIL is let go meanwhile, and taken for signals.
pub fn write(py: Python<'_>, fd: RawFd, packed: &Packed<'_>) -> PyResult<u64> {
    // SAFETY: not negative; the file never closes the descriptor, which stays
    // the caller's.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let mut raised = None;
    let written = py.detach(|| {
        let slices = packed.segments().map(|segment| segment.as_slice());
        write_all(
            slices,
            |vector| file.write_vectored(vector),
            |kind| {
                if kind == ErrorKind::WouldBlock {
                    wait_for_room(fd);
                }
                let checked =
                    Python::attach(|py| signals::check().map_err(|raised| raised.into_py(py)));
                checked.map_err(|error| {
                    raised = Some(error);
                    Error::from(ErrorKind::Interrupted)
                })
            },
        )
    });
    match raised {
        Some(error) => Err(error),
        None => written.map_err(|error| raise_system(py, error, None)),
    }
}
