//! Messages of a channel as bytes, where somebody else carries them: a library
//! that encrypts, say.

use crate::error::Raised;
use crate::fast;
use crate::message::{self, Access, Content};
use crate::parcel;
use crate::policy::{self, Choices};
use crate::types::to_bound;
use ferropickle_core::transport::{Delivery, FrameError, Incoming, Outgoing};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Mutex, PoisonError};

/// What is joined before it is given to a library that encrypts.
const JOIN_BYTES: usize = 64 << 10;

/// An object as the bytes that a channel sends, in pieces: large buffers as views of
/// their memory, what is small joined.
#[pyfunction]
#[pyo3(signature = (obj, policy = None))]
pub fn frames<'py>(
    obj: &Bound<'py, PyAny>,
    policy: Option<&Bound<'py, PyAny>>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = obj.py();
    let choices = policy::choose(policy, Choices::default())?;
    let (stream, table) = parcel::pack_copies(py, obj, choices)?;
    let bytes = fast::bytes_data(stream.obj());
    let content = Content::of_stream(bytes, &table)?;
    let out = match table.is_empty() {
        true => Outgoing::whole(bytes, 0),
        false => Outgoing::parts(content.plan(), content.parts(), 0),
    };
    let mut frames = Vec::new();
    let mut joined = Vec::new();
    for slice in out.slices(usize::MAX) {
        let owner = table.iter().map(|(_, buffer)| buffer).find(|buffer| {
            slice.len() >= JOIN_BYTES && core::ptr::eq(buffer.as_ptr(), slice.as_ptr())
        });
        if let Some(buffer) = owner {
            frames.push(PyBytes::new(py, &core::mem::take(&mut joined)).into_any());
            let view = crate::buffers::view_of(buffer.clone(), true);
            frames.push(to_bound(py, view.map_err(|raised| raised.into_py(py))?.obj()));
        } else {
            joined.extend_from_slice(&slice);
            if joined.len() >= JOIN_BYTES {
                frames.push(PyBytes::new(py, &core::mem::take(&mut joined)).into_any());
            }
        }
    }
    frames.push(PyBytes::new(py, &joined).into_any());
    Ok(frames)
}

/// Receives what `frames` made, from bytes that somebody else brings.
#[pyclass(frozen, module = "ferropickle._native", name = "Inbox")]
pub struct Inbox {
    state: Mutex<(Incoming, Option<Delivery>)>,
}

#[pymethods]
impl Inbox {
    #[new]
    fn new() -> Inbox {
        Inbox { state: Mutex::new((Incoming::default(), None)) }
    }

    /// Bytes that are wanted next; 0 when a message is complete.
    #[getter]
    fn wanted(&self) -> usize {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1.is_some() { 0 } else { state.0.space().len() }
    }

    /// Whether a part of a message is there.
    #[getter]
    fn begun(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.is_some() || state.0.has_begun()
    }

    /// Takes bytes that came, not more than are wanted.
    ///
    /// Raises UnpicklingError if they are no message of a channel.
    fn feed(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (incoming, done) = &mut *state;
        let space = incoming.space();
        if done.is_some() || data.len() > space.len() {
            return Err(PyValueError::new_err("data must not be more than is wanted"));
        }
        space[..data.len()].copy_from_slice(data);
        let advanced = incoming.advance(data.len());
        advanced.map_err(|error| match error {
            FrameError::OutOfMemory => PyMemoryError::new_err("no memory for the message"),
            FrameError::Damaged(what) => Raised::unpickling(what).into_py(py),
        })?;
        *done = incoming.take();
        Ok(())
    }

    /// The object of the message that is complete.
    #[pyo3(signature = (policy = None, writable = None))]
    fn load<'py>(
        &self,
        py: Python<'py>,
        policy: Option<&Bound<'py, PyAny>>,
        writable: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let choices = policy::choose(policy, Choices::default())?;
        let received = self.state.lock().unwrap_or_else(PoisonError::into_inner).1.take();
        let delivery = received.ok_or_else(|| PyTypeError::new_err("no message is complete"))?;
        let access = Access::of(writable);
        if !delivery.asides.is_empty() {
            let text = "a message lies in memory that does not come this way";
            return Err(Raised::unpickling(text).into_py(py));
        }
        let object = message::unpack_received(py, delivery.received, None, access, choices, None)?;
        Ok(to_bound(py, object.obj()))
    }
}
