//! How long a call on a link waits: for the other end, and for other threads.

use crate::signals;
use ferropickle_core::sys::process;
use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest wait at a stretch: then it is seen whether the channel was closed by another thread, or the
/// sender of half a message has died.
const STRETCH: Duration = Duration::from_millis(200);

/// How long a thread sleeps that waits for another one to finish its message.
const NAP: Duration = Duration::from_micros(100);

/// Until when a call may wait.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// The meaning of a `timeout` argument: seconds, or None for ever.
    pub(super) fn of(timeout: Option<f64>) -> PyResult<Deadline> {
        let Some(seconds) = timeout else { return Ok(Deadline(None)) };
        if seconds.is_nan() {
            return Err(PyValueError::new_err("timeout must be a number of seconds or None"));
        }
        let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        Ok(Deadline(Instant::now().checked_add(time)))
    }

    /// What is left, [`STRETCH`] at the most.
    pub(super) fn stretch(self) -> Duration {
        self.0.map_or(STRETCH, |at| at.saturating_duration_since(Instant::now()).min(STRETCH))
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }
}

/// Something that one thread uses at a time. Taken and given back with the GIL; a forked child does not wait for
/// threads that its parent has.
pub(super) struct Turn<T>(Mutex<(Option<T>, u32)>);

impl<T: Default> Turn<T> {
    pub(super) fn new() -> Turn<T> {
        Turn(Mutex::new((Some(T::default()), 0)))
    }

    pub(super) fn take(&self, py: Python<'_>, deadline: Deadline) -> PyResult<T> {
        loop {
            {
                let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let pid = process::pid();
                let taken = turn.0.take().or_else(|| (turn.1 != pid).then(T::default));
                if let Some(taken) = taken {
                    turn.1 = pid;
                    return Ok(taken);
                }
            }
            if deadline.is_over() {
                return Err(timed_out());
            }
            py.detach(|| std::thread::sleep(NAP));
            signals::check().map_err(|raised| raised.into_py(py))?;
        }
    }

    pub(super) fn give(&self, taken: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(taken);
    }
}

pub(super) fn timed_out() -> PyErr {
    PyTimeoutError::new_err("the other end took longer than the timeout")
}
