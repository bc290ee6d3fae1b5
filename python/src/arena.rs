//! The `Arena` class: memory that processes share.

use crate::buffers;
use crate::build::buffer::Supply;
use crate::message::{self, Access, Arrived, Content, raise};
use crate::policy::{self, Choices};
use crate::source::View;
use crate::types::{from_bound, to_bound};
use ferropickle_core::buffer::Buffer;
use ferropickle_core::shm::{self, Message, ShmError};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

/// Memory shared by processes, in which large messages travel without being
/// copied on arrival.
///
/// capacity: bound on the bytes in it; None leaves it to the memory that is
/// there. Memory is taken from the system as it is used, and used again.
/// name: makes a named POSIX segment, for processes that cannot be sent a
/// descriptor. The name goes with the last process that has it open; names that
/// killed processes left go when the next named arena is made.
///
/// Raises OSError if the system has no memory to share.
///
/// Who takes part trusts the others: each can write to all of it.
#[pyclass(frozen, module = "ferropickle._native", name = "Arena", weakref)]
pub struct Arena {
    open: Mutex<Option<shm::Arena>>,
}

impl Arena {
    fn new(py: Python<'_>, arena: shm::Arena) -> PyResult<Arena> {
        watch_forks(py)?;
        Ok(Arena { open: Mutex::new(Some(arena)) })
    }

    /// The arena, if it is open.
    pub fn get(&self) -> PyResult<shm::Arena> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        open.ok_or_else(|| PyValueError::new_err("the arena is closed"))
    }
}

/// The memory of a bytes-like argument.
pub fn argument(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Buffer> {
    let view = View::of_argument(from_bound(given).obj(), name);
    view.map(buffers::kept_view).map_err(|raised| raised.into_py(given.py()))
}

/// Has the interpreter say when it forks: a child keeps what its parent holds.
fn watch_forks(py: Python<'_>) -> PyResult<()> {
    static WATCHED: PyOnceLock<()> = PyOnceLock::new();
    let watched = WATCHED.get_or_try_init(py, || {
        let os = py.import("os")?;
        let Ok(register) = os.getattr("register_at_fork") else { return Ok(()) };
        let hooks = PyDict::new(py);
        hooks.set_item("before", wrap_pyfunction!(before_fork, py)?)?;
        hooks.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, py)?)?;
        hooks.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, py)?)?;
        register.call((), Some(&hooks)).map(drop)
    });
    watched.map(drop)
}

#[pyfunction]
fn before_fork() {
    shm::fork::before();
}

#[pyfunction]
fn after_fork_in_parent() {
    shm::fork::in_parent();
}

#[pyfunction]
fn after_fork_in_child() {
    shm::fork::in_child();
}

#[pymethods]
impl Arena {
    #[new]
    #[pyo3(signature = (capacity = None, *, name = None))]
    fn create(py: Python<'_>, capacity: Option<u64>, name: Option<&str>) -> PyResult<Arena> {
        if name.is_some_and(|name| name.is_empty() || name.contains(['/', '\0'])) {
            return Err(PyValueError::new_err("name must be that of a file, without its folder"));
        }
        let arena = shm::Arena::create(capacity, name).map_err(|error| raise(py, error))?;
        Arena::new(py, arena)
    }

    /// The arena that another process made.
    ///
    /// source: a descriptor, which stays the caller's to close, or the name that
    /// the arena was made with.
    ///
    /// Raises ValueError for a file that is no arena, OSError if it cannot be
    /// mapped.
    #[staticmethod]
    fn attach(source: &Bound<'_, PyAny>) -> PyResult<Arena> {
        let py = source.py();
        let arena = if let Ok(name) = source.extract::<&str>() {
            shm::Arena::open(name)
        } else {
            let fd = source.extract::<i32>().map_err(|_| {
                PyTypeError::new_err("source must be the descriptor or the name of an arena")
            })?;
            if fd < 0 {
                return Err(PyValueError::new_err("source must be an open descriptor"));
            }
            // SAFETY: not -1. A number that is no open descriptor makes the call fail, nothing else.
            let own = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
            own.map_err(ShmError::System).and_then(shm::Arena::attach)
        };
        Arena::new(py, arena.map_err(|error| raise(py, error))?)
    }

    /// The descriptor, to be sent to another process that shall attach to it.
    #[getter]
    fn fd(&self) -> PyResult<i32> {
        Ok(self.get()?.fd().as_raw_fd())
    }

    /// The bound on the bytes in it.
    #[getter]
    fn capacity(&self) -> PyResult<u64> {
        Ok(self.get()?.capacity())
    }

    /// Bytes that are written, on their way or held, in all processes.
    #[getter]
    fn used(&self) -> PyResult<u64> {
        Ok(self.get()?.used())
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.get().is_err()
    }

    /// Copies buffers into shared memory.
    ///
    /// buffers: bytes-like objects, contiguous.
    /// keep: whether any number of receivers may take them, until `withdraw`;
    /// else the first takes them alone.
    ///
    /// Returns a token for `take`, to be sent by other means, or None if there
    /// is no room: then send the buffers themselves.
    #[pyo3(signature = (buffers, *, keep = false))]
    fn put<'py>(
        &self,
        buffers: &Bound<'py, PyAny>,
        keep: bool,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let py = buffers.py();
        let arena = self.get()?;
        let mut views = Vec::new();
        for buffer in buffers.try_iter()? {
            let view = View::of_argument(from_bound(&buffer?).obj(), "buffers");
            views.push(view.map_err(|raised| raised.into_py(py))?);
        }
        let head = Content::of_buffers(&views)?.put(py, &arena, keep)?;
        Ok(head.map(|head| PyBytes::new(py, &head)))
    }

    /// The buffers of a token, as bytes-like objects over the shared memory.
    ///
    /// When the last of them is gone, the memory is free again.
    /// writable: None gives writable buffers where those put were (nobody else
    /// reads that memory; of kept buffers each receiver has a copy-on-write view),
    /// False none, True all.
    ///
    /// Raises UnpicklingError if the token was taken before, was withdrawn, or is
    /// of another arena.
    #[pyo3(signature = (token, *, writable = None))]
    fn take<'py>(
        &self,
        token: &Bound<'py, PyAny>,
        writable: Option<bool>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = token.py();
        let arena = self.get()?;
        let bytes = argument(token, "token")?;
        let message = Message::read(bytes.as_slice()).map_err(|error| raise(py, error))?;
        let access = Access::of(writable);
        let mut arrived = Arrived::of(py, &message, &bytes, true, Some(&arena), access)?;
        let list = PyList::empty(py);
        let mut next = || match arrived.next()? {
            Some((buffer, read_only)) => buffers::object_of(buffer, read_only).map(Some),
            None => Ok(None),
        };
        while let Some(object) = next().map_err(|raised| raised.into_py(py))? {
            list.append(to_bound(py, object.obj()))?;
        }
        Ok(list)
    }

    /// Takes a token or message back: nobody can take it any more, and the memory
    /// is free once those who did have let go.
    ///
    /// Returns whether it was there to be taken.
    fn withdraw(&self, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        let arena = self.get()?;
        let bytes = argument(message, "message")?;
        Ok(message::withdraw(&arena, bytes.as_slice()))
    }

    /// The message of an object, to be sent by other means.
    ///
    /// What is large lies in shared memory if there is room, else in the message; a
    /// small object's message is its pickle stream.
    /// policy: a Policy; None means that of the enclosing `policy(...)` block.
    /// keep: as for `put`.
    ///
    /// Raises what `dumps` raises.
    #[pyo3(signature = (obj, policy = None, *, keep = false))]
    fn pack<'py>(
        &self,
        obj: &Bound<'py, PyAny>,
        policy: Option<&Bound<'py, PyAny>>,
        keep: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let choices = policy::choose(policy, Choices::default())?;
        message::pack(obj, Some(&self.get()?), keep, choices)
    }

    /// The object of a message. Its arrays are views of the shared memory, which is
    /// free again when the last of them is gone.
    ///
    /// policy: a Policy; None means that of the enclosing `policy(...)` block.
    /// writable: as for `take`.
    ///
    /// Raises what `take` and `loads` raise.
    #[pyo3(signature = (message, policy = None, *, writable = None))]
    fn unpack<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        policy: Option<&Bound<'py, PyAny>>,
        writable: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = message.py();
        let choices = policy::choose(policy, Choices::default())?;
        let (arena, bytes) = (self.get()?, argument(message, "message")?);
        let access = Access::of(writable);
        let object = message::unpack(py, &bytes, true, Some(&arena), access, choices, None)?;
        Ok(to_bound(py, object.obj()))
    }

    /// Frees what processes hold that have died. `put` does so when there is no
    /// room; this is for those who know that one has died.
    ///
    /// unclaimed: free as well what the dead sent and nobody has taken, for those
    /// who know that it is on its way no more. Else it can be taken for ten minutes,
    /// and while there is room.
    ///
    /// Returns the number of messages whose memory was freed.
    #[pyo3(signature = (*, unclaimed = false))]
    fn reclaim(&self, unclaimed: bool) -> PyResult<usize> {
        Ok(self.get()?.reclaim(unclaimed))
    }

    /// Gives memory that is not in use back to the system.
    fn trim(&self, py: Python<'_>) -> PyResult<()> {
        self.get()?.trim().map_err(|error| raise(py, error))
    }

    /// Ends the use of the arena through this object. Arrays that were taken stay.
    fn close(&self) {
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exc))]
    fn __exit__(&self, _exc: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        match self.get() {
            Ok(arena) => {
                format!("<ferropickle Arena, {} of {} bytes used>", arena.used(), arena.capacity())
            }
            Err(_) => "<ferropickle Arena, closed>".to_owned(),
        }
    }
}
