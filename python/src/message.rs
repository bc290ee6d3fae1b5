//! Messages: an object as a stream with its buffers, in one piece of memory.
//!
//! A small object is its pickle stream. Where there are buffers, or the stream is long, the message is a
//! reference of the core's (`ferropickle_core::shm`): the stream and all buffers lie together in a slot of
//! an arena, or behind the reference where there is no arena or no room in it.

use crate::buffers;
use crate::build::buffer::Supply;
use crate::device::inbound::{self, Mixed};
use crate::error::{Raised, raise_system};
use crate::fast::{self, Own};
use crate::parcel;
use crate::policy::Choices;
use crate::source::View;
use ferropickle_core::buffer::plan::Row;
use ferropickle_core::buffer::{Buffer, BufferTable, Plan};
use ferropickle_core::shm::{Arena, HEAD, Message, Parts, Place, ShmError, content};
use ferropickle_core::transport::Received;
use pyo3::exceptions::{PyOSError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Contents shorter than this are not worth a slot.
const SLOT_BYTES: u64 = 16 << 10;

/// Copies longer than this are made without the GIL.
const LONG_COPY: u64 = 64 << 10;

/// The exception of a fault of shared memory.
#[cold]
pub fn raise(py: Python<'_>, error: ShmError) -> PyErr {
    match error {
        ShmError::System(error) => raise_system(py, error, None),
        ShmError::NotAnArena => PyValueError::new_err(error.to_string()),
        ShmError::Namespace | ShmError::Crowded => PyOSError::new_err(error.to_string()),
        ShmError::Lost | ShmError::Foreign | ShmError::Damaged(_) => {
            Raised::unpickling(&error.to_string()).into_py(py)
        }
    }
}

/// What goes into a message, in its order.
pub struct Content<'a> {
    parts: Vec<&'a [u8]>,
    plan: Plan,
    /// Whether the first part is a stream.
    stream: bool,
}

impl<'a> Content<'a> {
    /// A stream and its buffers.
    pub fn of_stream(stream: &'a [u8], table: &'a BufferTable) -> PyResult<Content<'a>> {
        let buffers = table.iter().map(|(desc, buffer)| (buffer.as_slice(), desc.read_only()));
        Content::new(core::iter::once((stream, true)).chain(buffers).collect(), true)
    }

    /// Buffers alone.
    pub fn of_buffers(views: &'a [View]) -> PyResult<Content<'a>> {
        let parts = views.iter().map(|view| (view.as_slice(), view.read_only()));
        Content::new(parts.collect(), false)
    }

    fn new(parts: Vec<(&'a [u8], bool)>, stream: bool) -> PyResult<Content<'a>> {
        let rows = parts
            .iter()
            .map(|(part, read_only)| Row { len: part.len() as u64, read_only: *read_only });
        let plan = Plan::new(rows);
        let plan = plan.ok_or_else(|| PyOverflowError::new_err("the buffers are too long"))?;
        Ok(Content { parts: parts.into_iter().map(|(part, _)| part).collect(), plan, stream })
    }

    /// Where each part goes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The parts.
    pub fn parts(&self) -> &[&'a [u8]] {
        &self.parts
    }

    /// Whether it is long enough for a slot of its own.
    pub fn is_long(&self) -> bool {
        self.plan.len() >= SLOT_BYTES
    }

    /// Copies it into an arena; `None` if there is no room.
    pub fn put(&self, py: Python<'_>, arena: &Arena, kept: bool) -> PyResult<Option<[u8; HEAD]>> {
        let copy = || -> Result<_, ShmError> {
            let Some(mut room) = arena.reserve(self.plan.len())? else { return Ok(None) };
            self.plan.copy_to(self.parts.iter().copied(), room.as_mut_slice());
            Ok(Some(room.publish(kept)))
        };
        let slot = if self.plan.len() > LONG_COPY { py.detach(copy) } else { copy() };
        let slot = slot.map_err(|error| raise(py, error))?;
        Ok(slot.map(|slot| content::in_slot(&self.plan, arena.id(), slot, self.stream)))
    }

    /// Copies it behind a reference.
    pub fn inline<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let len = usize::try_from(self.plan.len())?;
        PyBytes::new_with(py, HEAD + len, |bytes| {
            let (head, rest) = bytes.split_at_mut(HEAD);
            head.copy_from_slice(&content::inline(&self.plan, self.stream));
            self.plan.copy_to(self.parts.iter().copied(), rest);
            Ok(())
        })
    }
}

/// The message of an object. With an arena, what is long lies there if there is room.
pub fn pack<'py>(
    obj: &Bound<'py, PyAny>,
    arena: Option<&Arena>,
    kept: bool,
    choices: Choices,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = obj.py();
    let (stream, table) = parcel::pack_copies(py, obj, choices)?;
    packed(py, &stream, &table, arena, kept)
}

/// The message of a stream, a bytes object, and its buffers.
pub fn packed<'py>(
    py: Python<'py>,
    stream: &Own,
    table: &BufferTable,
    arena: Option<&Arena>,
    kept: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = fast::bytes_data(stream.obj());
    if !table.is_empty() || bytes.len() as u64 >= SLOT_BYTES {
        let content = Content::of_stream(bytes, table)?;
        if content.is_long()
            && let Some(arena) = arena
            && let Some(head) = content.put(py, arena, kept)?
        {
            return Ok(PyBytes::new(py, &head));
        }
        if !table.is_empty() {
            return content.inline(py);
        }
    }
    Ok(crate::types::to_bound(py, stream.obj()).cast_into::<PyBytes>()?)
}

/// Whether what arrives can be written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// As it was sent (PEP 574).
    AsSent,
    /// Never.
    ReadOnly,
    /// All of it.
    Writable,
}

impl Access {
    /// The meaning of a `writable` argument.
    pub fn of(writable: Option<bool>) -> Access {
        match writable {
            None => Access::AsSent,
            Some(false) => Access::ReadOnly,
            Some(true) => Access::Writable,
        }
    }

    fn read_only(self, as_sent: bool) -> bool {
        match self {
            Access::AsSent => as_sent,
            Access::ReadOnly => true,
            Access::Writable => false,
        }
    }
}

/// The parts of a message as buffers to be given out.
pub struct Arrived {
    parts: Parts,
    access: Access,
    /// The memory is somebody else's too: what is written to has to be copied first.
    borrowed: bool,
}

impl Arrived {
    /// The content of a message: views of an arena's slot, or of the message itself, which is `borrowed` if
    /// others see its memory.
    pub fn of(
        py: Python<'_>,
        message: &Message,
        bytes: &Buffer,
        borrowed: bool,
        arena: Option<&Arena>,
        access: Access,
    ) -> PyResult<Arrived> {
        let arrived = Arrived::take(message, bytes, borrowed, arena, access);
        arrived.map_err(|error| raise(py, error))
    }

    fn take(
        message: &Message,
        bytes: &Buffer,
        borrowed: bool,
        arena: Option<&Arena>,
        access: Access,
    ) -> Result<Arrived, ShmError> {
        let (content, borrowed) = match message.place() {
            Place::Inline(start) => {
                let content = bytes.part(start, bytes.len() - start);
                (content.ok_or(ShmError::Damaged("it is too short"))?, borrowed)
            }
            Place::Slot(id, slot) => {
                let arena = arena.filter(|arena| arena.id() == id).ok_or(ShmError::Foreign)?;
                let lease = arena.take(slot)?;
                let writes = match access {
                    Access::AsSent => message.has_writable_parts(),
                    Access::ReadOnly => false,
                    Access::Writable => true,
                };
                // Alone with the memory, one may write to it where it lies.
                let shared = lease.sole() || !writes;
                let content =
                    if shared { lease.into_buffer() } else { lease.into_private_buffer()? };
                (content, false)
            }
        };
        Ok(Arrived { parts: message.parts(content)?, access, borrowed })
    }
}

impl Supply for Arrived {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        let part = self.parts.next_part();
        let part = part.map_err(|error| Raised::unpickling(&error.to_string()))?;
        let Some((part, sent_read_only)) = part else { return Ok(None) };
        let read_only = self.access.read_only(sent_read_only);
        if self.borrowed && !read_only {
            return Ok(Some((buffers::copied(&part)?, false)));
        }
        Ok(Some((part, read_only)))
    }
}

/// The object of a message in memory that is `borrowed` or ours; what of it lies in memory of devices is `on_devices`.
pub fn unpack(
    py: Python<'_>,
    bytes: &Buffer,
    borrowed: bool,
    arena: Option<&Arena>,
    access: Access,
    choices: Choices,
    on_devices: Option<inbound::Arrived>,
) -> PyResult<Own> {
    let (stream, supply) = parts_of(py, bytes, borrowed, arena, access)?;
    parcel::unpack_native(py, stream.as_slice(), mixed(supply, on_devices), choices)
}

fn mixed(supply: Box<dyn Supply>, on_devices: Option<inbound::Arrived>) -> Box<dyn Supply> {
    match on_devices {
        Some(arrived) => Box::new(Mixed::new(supply, arrived)),
        None => supply,
    }
}

/// The stream of a message, and what gives its buffers.
fn parts_of(
    py: Python<'_>,
    bytes: &Buffer,
    borrowed: bool,
    arena: Option<&Arena>,
    access: Access,
) -> PyResult<(Buffer, Box<dyn Supply>)> {
    if !Message::is_message(bytes.as_slice()) {
        return Ok((bytes.clone(), Box::new(Nothing)));
    }
    let message = Message::read(bytes.as_slice()).map_err(|error| raise(py, error))?;
    if !message.has_stream() {
        return Err(raise(py, ShmError::Damaged("it holds buffers and no object")));
    }
    let mut arrived = Arrived::of(py, &message, bytes, borrowed, arena, access)?;
    let stream = arrived.parts.next_part().map_err(|error| raise(py, error))?;
    let Some((stream, _)) = stream else {
        return Err(raise(py, ShmError::Damaged("it holds nothing")));
    };
    Ok((stream, Box::new(arrived)))
}

/// The object of a message that came over a socket; what of it lies in memory of devices is `on_devices`.
pub fn unpack_received(
    py: Python<'_>,
    received: Received,
    arena: Option<&Arena>,
    access: Access,
    choices: Choices,
    on_devices: Option<inbound::Arrived>,
) -> PyResult<Own> {
    let (stream, supply): (Buffer, Box<dyn Supply>) = match received {
        Received::Whole(bytes) => parts_of(py, &Buffer::from_vec(bytes), false, arena, access)?,
        Received::Parts(parts) => {
            let mut parts = parts.into_iter();
            let Some((stream, _)) = parts.next() else {
                return Err(raise(py, ShmError::Damaged("it holds nothing")));
            };
            (stream, Box::new(Streamed(parts, access)))
        }
    };
    parcel::unpack_native(py, stream.as_slice(), mixed(supply, on_devices), choices)
}

/// Parts with memory of their own.
struct Streamed(std::vec::IntoIter<(Buffer, bool)>, Access);

impl Supply for Streamed {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        Ok(self.0.next().map(|(part, sent)| (part, self.1.read_only(sent))))
    }
}

/// Takes a message back that nobody has taken; false if it is not in the arena.
pub fn withdraw(arena: &Arena, bytes: &[u8]) -> bool {
    match Message::read(bytes).map(|message| message.place()) {
        Ok(Place::Slot(id, slot)) => id == arena.id() && arena.withdraw(slot),
        _ => false,
    }
}

/// A stream without buffers.
struct Nothing;

impl Supply for Nothing {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        Ok(None)
    }
}
