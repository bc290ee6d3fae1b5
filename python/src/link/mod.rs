//! The native half of channels: objects over a socket, with an arena for what is large.

pub mod carried;
mod wait;

use crate::arena::Arena;
use crate::device::inbound::{Arenas, Arrived, Inbound};
use crate::device::outbound::{Load, Outbound};
use crate::error::{Raised, raise_system};
use crate::fast;
use crate::message::{self, Access, Content};
use crate::parcel;
use crate::policy::{self, Choices, DeviceChoice};
use crate::signals;
use crate::types::to_bound;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use ferropickle_core::buffer::BufferTable;
use ferropickle_core::shm;
use ferropickle_core::sys::process::{self, Stamp};
use ferropickle_core::sys::socket::{self, Event, MAX_SLICES};
use ferropickle_core::transport::{Delivery, FrameError, Incoming, Outgoing, Received};
use ferropickle_gpu::beside::Places;
use pyo3::exceptions::{PyConnectionError, PyEOFError, PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use wait::{Deadline, Turn, timed_out};

/// Why a wait without the GIL ended.
enum Pause {
    /// A signal came, or may have: one that came to another thread, or just
    /// before the wait, does not end it.
    Signal,
    /// Time is up.
    Timeout,
    /// The channel was closed on this side.
    Closed,
    /// The other side is closed.
    End,
    /// The process that was sending a message has died.
    Died,
    System(std::io::Error),
    Faulty(FrameError),
}

/// The right to send.
#[derive(Default)]
struct Sending;

/// A message on its way in.
#[derive(Default)]
struct Receiving {
    incoming: Incoming,
    /// What came with it.
    descriptors: Vec<OwnedFd>,
}

fn closed() -> PyErr {
    PyOSError::new_err("the channel is closed")
}

/// What goes when the link is closed and no call uses it any more.
struct Open {
    socket: OwnedFd,
    arena: Option<shm::Arena>,
    /// Arenas on devices: our own, and the other end's.
    outbound: Outbound,
    inbound: Inbound,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.outbound.is_used() || self.inbound.is_used() {
            // To undo mappings is to wait for devices.
            Python::try_attach(|py| {
                py.detach(|| {
                    self.outbound.end();
                    self.inbound.end();
                });
            });
        }
    }
}

/// A link's descriptor in this process.
struct State {
    open: Mutex<Option<Arc<Open>>>,
    closed: AtomicBool,
    /// The process that made the link, or has used it since a fork.
    user: AtomicU32,
    /// The other end, where one call made both.
    other: OnceLock<Weak<State>>,
}

impl State {
    fn new(socket: OwnedFd, arena: Option<shm::Arena>) -> Arc<State> {
        Arc::new(State {
            open: Mutex::new(Some(Arc::new(Open {
                socket,
                arena,
                outbound: Outbound::default(),
                inbound: Inbound::default(),
            }))),
            closed: AtomicBool::new(false),
            user: AtomicU32::new(process::pid()),
            other: OnceLock::new(),
        })
    }

    /// A forked child has both ends of a pair. It uses one; with the other open it would not see the end.
    fn used(&self) {
        let pid = process::pid();
        if self.user.swap(pid, Ordering::Relaxed) == pid {
            return;
        }
        let other = self.other.get().and_then(Weak::upgrade);
        if let Some(other) = other.filter(|other| other.user.load(Ordering::Relaxed) != pid) {
            other.close();
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Open {
    /// This process's stamp, where the other end can ask about it.
    fn sender(&self) -> u64 {
        if self.arena.is_some() { Stamp::own().word() } else { 0 }
    }
}

/// A socket of the system with an arena, or without.
///
/// fd: a connected stream socket; the link closes it.
/// arena: the arena that the other end has too and nobody else, or None.
///
/// What `Channel` is made of; it says what the methods do.
#[pyclass(frozen, module = "ferropickle._native", name = "Link")]
pub struct Link {
    state: Arc<State>,
    sending: Turn<Sending>,
    receiving: Turn<Receiving>,
}

impl Link {
    fn of(state: Arc<State>) -> Link {
        Link { state, sending: Turn::new(), receiving: Turn::new() }
    }

    fn open(&self) -> PyResult<Arc<Open>> {
        self.state.used();
        let open = self.state.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        open.ok_or_else(closed)
    }

    fn raise(&self, py: Python<'_>, pause: Pause) -> PyResult<()> {
        match pause {
            Pause::Signal => signals::check().map_err(|raised| raised.into_py(py)),
            Pause::Timeout => Err(timed_out()),
            Pause::Closed => Err(closed()),
            Pause::End => Err(PyEOFError::new_err("the channel is closed at the other end")),
            Pause::Died => {
                self.close();
                let text = "the other end went away without a word";
                Err(PyConnectionError::new_err(text))
            }
            Pause::System(error) => Err(raise_system(py, error, None)),
            Pause::Faulty(FrameError::OutOfMemory) => {
                self.close();
                Err(PyMemoryError::new_err("no memory for the message"))
            }
            Pause::Faulty(error) => {
                self.close();
                Err(Raised::unpickling(&error.to_string()).into_py(py))
            }
        }
    }

    /// Sends a message.
    fn drive(
        &self,
        py: Python<'_>,
        socket: BorrowedFd<'_>,
        mut out: Outgoing<'_>,
        descriptors: &[OwnedFd],
        deadline: Deadline,
    ) -> PyResult<()> {
        let turn = self.sending.take(py, deadline)?;
        let mut outcome = Ok(());
        while outcome.is_ok() && !out.is_done() {
            let pause = py.detach(|| self.push(socket, &mut out, descriptors, deadline));
            outcome = pause.map_or(Ok(()), |pause| self.raise(py, pause));
        }
        self.sending.give(turn);
        if outcome.is_err() && out.has_begun() && !out.is_done() {
            // What would follow could not be told from the rest of this message.
            self.close();
        }
        outcome
    }

    fn push(
        &self,
        socket: BorrowedFd<'_>,
        out: &mut Outgoing<'_>,
        descriptors: &[OwnedFd],
        deadline: Deadline,
    ) -> Option<Pause> {
        while !out.is_done() {
            // They go with the first byte.
            let with = if out.has_begun() { &[] } else { descriptors };
            match socket::send_with(socket, &out.slices(MAX_SLICES), with) {
                Ok(sent) => out.advance(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.wait(socket, Event::Writable, deadline) {
                        Ok(true) => {}
                        Ok(false) => return Some(Pause::Signal),
                        Err(pause) => return Some(pause),
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => return Some(Pause::Signal),
                Err(error) => return Some(Pause::System(error)),
            }
        }
        None
    }

    /// Waits for a while, without the GIL; false if nothing happened.
    fn wait(
        &self,
        socket: BorrowedFd<'_>,
        event: Event,
        deadline: Deadline,
    ) -> Result<bool, Pause> {
        if self.state.closed.load(Ordering::Relaxed) {
            return Err(Pause::Closed);
        }
        match socket::wait(socket, event, deadline.stretch()) {
            Ok(false) if deadline.is_over() => Err(Pause::Timeout),
            Ok(happened) => Ok(happened),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(Pause::Signal),
            Err(error) => Err(Pause::System(error)),
        }
    }

    fn pull(
        &self,
        open: &Open,
        receiving: &mut Receiving,
        deadline: Deadline,
    ) -> Result<Delivery, Pause> {
        let (socket, mut died) = (open.socket.as_fd(), false);
        let Receiving { incoming, descriptors } = receiving;
        loop {
            let got = match open.arena.is_some() && incoming.is_between() {
                true => socket::receive_with(socket, incoming.space(), descriptors),
                false => socket::receive(socket, incoming.space()),
            };
            match got {
                Ok(0) if incoming.has_begun() => return Err(Pause::Died),
                Ok(0) => return Err(Pause::End),
                Ok(count) => {
                    incoming.advance(count).map_err(Pause::Faulty)?;
                    if let Some(delivery) = incoming.take() {
                        return Ok(delivery);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if died {
                        return Err(Pause::Died);
                    }
                    if !self.wait(socket, Event::Readable, deadline)? {
                        // Asked once more after that: its last bytes may have come in between.
                        died = Stamp::from_word(incoming.sender()).is_some_and(|s| !s.alive());
                        if !died {
                            return Err(Pause::Signal);
                        }
                    }
                }
                Err(error) => {
                    return Err(match error.kind() {
                        ErrorKind::Interrupted => Pause::Signal,
                        ErrorKind::ConnectionReset if !incoming.has_begun() => Pause::End,
                        ErrorKind::ConnectionReset
                        | ErrorKind::TimedOut
                        | ErrorKind::HostUnreachable
                        | ErrorKind::NetworkUnreachable => Pause::Died,
                        _ => Pause::System(error),
                    });
                }
            }
        }
    }

    /// Sends a stream and its buffers.
    fn send_packed(
        &self,
        py: Python<'_>,
        open: &Open,
        stream: &fast::Own,
        table: &BufferTable,
        load: &Load,
        deadline: Deadline,
    ) -> PyResult<()> {
        let (bytes, sender) = (fast::bytes_data(stream.obj()), open.sender());
        let content = Content::of_stream(bytes, table)?;
        let (socket, asides) = (open.socket.as_fd(), load.asides());
        if content.is_long()
            && let Some(arena) = &open.arena
            && let Some(head) = content.put(py, arena, false)?
        {
            let out = Outgoing::whole(&head, sender).with_asides(&asides, sender);
            let sent = self.drive(py, socket, out, &load.descriptors, deadline);
            if sent.is_err() {
                message::withdraw(arena, &head);
            }
            return sent;
        }
        let out = match table.is_empty() {
            true => Outgoing::whole(bytes, sender),
            false => Outgoing::parts(content.plan(), content.parts(), sender),
        };
        let out = out.with_asides(&asides, sender);
        self.drive(py, socket, out, &load.descriptors, deadline)
    }

    fn receive(
        &self,
        py: Python<'_>,
        open: &Open,
        deadline: Deadline,
    ) -> PyResult<(Received, Option<(Places, Arenas)>)> {
        let mut receiving = self.receiving.take(py, deadline)?;
        let outcome = loop {
            match py.detach(|| self.pull(open, &mut receiving, deadline)) {
                Ok(delivery) => {
                    // While no other thread receives: what it gets may lie in an arena that is offered here.
                    let descriptors = core::mem::take(&mut receiving.descriptors);
                    let places = open.inbound.read(py, &delivery.asides, descriptors);
                    break places.map(|places| {
                        let places = places.map(|places| (places, open.inbound.arenas()));
                        (delivery.received, places)
                    });
                }
                Err(pause) => {
                    if let (Pause::End | Pause::Died, Some(arena)) = (&pause, &open.arena) {
                        // Nobody is there to take what was sent.
                        arena.withdraw_all();
                        py.detach(|| open.outbound.end());
                    }
                    if let Err(error) = self.raise(py, pause) {
                        break Err(error);
                    }
                }
            }
        };
        self.receiving.give(receiving);
        outcome
    }
}

#[pymethods]
impl Link {
    #[new]
    #[pyo3(signature = (fd, arena = None))]
    fn new(fd: i32, arena: Option<&Bound<'_, Arena>>) -> PyResult<Link> {
        if fd < 0 {
            return Err(PyValueError::new_err("fd must be an open descriptor"));
        }
        let arena = arena.map(|arena| arena.get().get()).transpose()?;
        // SAFETY: the caller gives the descriptor away, and it is not -1.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Link::of(State::new(socket, arena)))
    }

    /// Both ends of a new socket pair.
    #[staticmethod]
    #[pyo3(signature = (arena = None))]
    fn pair(arena: Option<&Bound<'_, Arena>>) -> PyResult<(Link, Link)> {
        let arena = arena.map(|arena| arena.get().get()).transpose()?;
        let (first, second) = std::os::unix::net::UnixStream::pair()?;
        let (first, second) =
            (State::new(first.into(), arena.clone()), State::new(second.into(), arena));
        let _ = first.other.set(Arc::downgrade(&second));
        let _ = second.other.set(Arc::downgrade(&first));
        Ok((Link::of(first), Link::of(second)))
    }

    /// Sends an object.
    #[pyo3(signature = (obj, timeout = None, policy = None))]
    fn send(
        &self,
        obj: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = obj.py();
        let (choices, deadline) =
            (policy::choose(policy, Choices::default())?, Deadline::of(timeout)?);
        let open = self.open()?;
        let arena = open.arena.as_ref().filter(|_| {
            // Without shared memory the other end may be anywhere.
            choices.device != DeviceChoice::Host && !choices.require_stock
        });
        let Some(arena) = arena else {
            let (stream, table) = parcel::pack_copies(py, obj, choices)?;
            return self.send_packed(py, &open, &stream, &table, &Load::default(), deadline);
        };
        let (stream, table) = parcel::pack_regions(py, obj, choices)?;
        let (table, load) = open.outbound.load(py, table, arena.capacity())?;
        let sent = self.send_packed(py, &open, &stream, &table, &load, deadline);
        if sent.is_err() {
            open.outbound.take_back(py, load);
        }
        sent
    }

    /// Receives an object.
    #[pyo3(signature = (timeout = None, policy = None, writable = None))]
    fn recv<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
        policy: Option<&Bound<'py, PyAny>>,
        writable: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (choices, deadline) =
            (policy::choose(policy, Choices::default())?, Deadline::of(timeout)?);
        let open = self.open()?;
        let (received, places) = self.receive(py, &open, deadline)?;
        let on_devices =
            places.map(|(places, arenas)| Arrived::take(py, places, &arenas, &choices));
        let (access, arena) = (Access::of(writable), open.arena.as_ref());
        let on_devices = on_devices.transpose()?;
        let object = message::unpack_received(py, received, arena, access, choices, on_devices)?;
        Ok(to_bound(py, object.obj()))
    }

    /// Whether something can be received, or the other end is closed.
    #[pyo3(signature = (timeout = None))]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let deadline = Deadline::of(timeout)?;
        let open = self.open()?;
        loop {
            match py.detach(|| self.wait(open.socket.as_fd(), Event::Readable, deadline)) {
                Ok(true) => return Ok(true),
                Ok(false) => self.raise(py, Pause::Signal)?,
                Err(Pause::Timeout) => return Ok(false),
                Err(pause) => self.raise(py, pause)?,
            }
        }
    }

    /// The descriptor of the socket.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.open()?.socket.as_raw_fd())
    }

    /// The arenas on devices that the other end sends by, for a process that is given
    /// this end: bytes and two descriptors for each, which stay the link's.
    fn offers(&self, py: Python<'_>) -> PyResult<Vec<(Py<PyBytes>, i32, i32)>> {
        let offers = self.open()?.inbound.offers().into_iter();
        Ok(offers.map(|(bytes, a, b)| (PyBytes::new(py, &bytes).unbind(), a, b)).collect())
    }

    /// Takes one of what `offers` gave, with copies of the descriptors, which the link
    /// closes.
    fn adopt(&self, offer: &[u8], memory: i32, slots: i32) -> PyResult<()> {
        if memory < 0 || slots < 0 || memory == slots {
            return Err(PyValueError::new_err("two open descriptors are needed"));
        }
        // SAFETY: the caller gives both away, and neither is -1.
        let own = [memory, slots].map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let adopted = self.open()?.inbound.adopt(offer, own);
        adopted.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Whether it was closed on this side.
    #[getter]
    fn closed(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed)
    }

    /// Closes the socket; calls that wait in other threads end within a moment.
    fn close(&self) {
        self.state.close();
    }
}
