//! Long work without the GIL: signals, and a callback that is told of progress.

use crate::signals;
use core::ops::ControlFlow;
use pyo3::prelude::*;

/// Bytes between two calls.
const STEP_BYTES: u64 = 4 << 20;

/// Takes the GIL every few megabytes.
pub struct Ticker {
    progress: Option<Py<PyAny>>,
    total: u64,
    /// Bytes of parts that are done.
    before: u64,
    told: u64,
    /// What the callback or a signal handler raised.
    pub raised: Option<PyErr>,
}

impl Ticker {
    /// `progress` is called with the bytes that are done and `total`.
    pub fn new(progress: Option<&Bound<'_, PyAny>>, total: u64) -> Ticker {
        let progress = progress.filter(|given| !given.is_none()).map(|p| p.clone().unbind());
        Ticker { progress, total, before: 0, told: 0, raised: None }
    }

    /// The part that is worked on is complete.
    pub fn next_part(&mut self, bytes: u64) {
        self.before += bytes;
    }

    /// So many bytes of the part are done.
    pub fn tick(&mut self, done: u64) -> ControlFlow<()> {
        let done = (self.before + done).min(self.total);
        let last = done == self.total && self.told < done;
        if done < self.told + STEP_BYTES && !last {
            return ControlFlow::Continue(());
        }
        self.told = done;
        Python::attach(|py| {
            let mut outcome = signals::check().map_err(|raised| raised.into_py(py));
            if let (Ok(()), Some(progress)) = (&outcome, &self.progress) {
                outcome = progress.call1(py, (done, self.total)).map(drop);
            }
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    self.raised = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
    }
}
