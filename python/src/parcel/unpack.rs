//! `unpack`: from a parcel, or its bytes, to the object.

use super::Parcel;
use crate::api;
use crate::buffers::{self, let_go};
use crate::build::Builder;
use crate::build::buffer::{Given, Supply, TableSupply};
use crate::device::buffer::Buffer as DeviceMemory;
use crate::error::{Raised, raise_fault};
use crate::fast::Own;
use crate::policy::{self, Choices};
use crate::source::View;
use crate::types::{from_bound, to_bound};
use ferropickle_core::buffer::{Block, Buffer, BufferTable};
use ferropickle_core::decode::SliceReader;
use ferropickle_core::parcel::unpack::Layout;
use ferropickle_core::parcel::{Codec, Fault, Kind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// What may be copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyChoice {
    Never,
    Lazy,
    Always,
}

impl CopyChoice {
    /// Checks a `copy` argument.
    pub fn of(given: &str) -> PyResult<CopyChoice> {
        match given {
            "never" => Ok(CopyChoice::Never),
            "lazy" => Ok(CopyChoice::Lazy),
            "always" => Ok(CopyChoice::Always),
            other => {
                let text = format!("copy must be one of 'never', 'lazy', 'always', not '{other}'");
                Err(PyValueError::new_err(text))
            }
        }
    }
}

/// A parcel's bytes and where its parts are in them.
struct Written {
    data: Buffer,
    /// Whether the memory of the data may be written to.
    writable: bool,
    layout: Layout,
    copy: CopyChoice,
    next: usize,
}

impl Written {
    fn of(data: &Bound<'_, PyAny>, copy: CopyChoice) -> PyResult<Written> {
        let py = data.py();
        let view = View::of_argument(from_bound(data).obj(), "parcel");
        let view = view.map_err(|raised| raised.into_py(py))?;
        let writable = !view.read_only();
        let data = buffers::kept_view(view);
        let layout = Layout::of(data.as_slice());
        let layout = layout.map_err(|fault| raise_fault(&fault).into_py(py))?;
        Ok(Written { data, writable, layout, copy, next: 1 })
    }

    /// A part, its checksum compared, and whether it is read-only.
    fn part(&self, number: usize) -> Result<(Buffer, bool), Fault> {
        let slot = &self.layout.slots[number];
        let stored = self.layout.stored(self.data.as_slice(), number);
        let read_only = slot.desc.read_only();
        let raw = slot.codec == Codec::Raw;
        if !raw && self.copy == CopyChoice::Never {
            return Err(self.layout.fault(number, Kind::NoView));
        }
        let view = match self.copy {
            CopyChoice::Never => raw,
            CopyChoice::Lazy => raw && (read_only || self.writable),
            CopyChoice::Always => false,
        };
        let own = let_go(stored.len(), || -> Result<Option<Block>, Fault> {
            self.layout.check(stored, number)?;
            if view { Ok(None) } else { self.layout.read(stored, number).map(Some) }
        })?;
        let part = || self.data.part(slot.at as usize, slot.stored as usize);
        match own.map(Buffer::from).or_else(part) {
            Some(buffer) => Ok((buffer, read_only || (view && !self.writable))),
            None => Err(self.layout.fault(number, Kind::Field("it lies outside of the parcel"))),
        }
    }

    /// The stream, as a view wherever it can be one.
    fn stream(&self) -> Result<Buffer, Fault> {
        let stored = self.layout.stored(self.data.as_slice(), 0);
        let slot = &self.layout.slots[0];
        let_go(stored.len(), || {
            self.layout.check(stored, 0)?;
            match self.data.part(slot.at as usize, slot.stored as usize) {
                Some(part) if slot.codec == Codec::Raw => Ok(part),
                _ => self.layout.read(stored, 0).map(Buffer::from),
            }
        })
    }
}

impl Supply for Written {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        if self.next >= self.layout.slots.len() {
            return Ok(None);
        }
        self.next += 1;
        self.part(self.next - 1).map(Some).map_err(|fault| raise_fault(&fault))
    }
}

/// The buffers of a table, copied one by one as they are asked for.
struct Copied(TableSupply);

impl Supply for Copied {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        let Some((buffer, read_only)) = self.0.next()? else { return Ok(None) };
        Ok(Some((buffers::copied(&buffer)?, read_only)))
    }

    fn object(&mut self) -> Result<Option<Own>, Raised> {
        let device = self.0.table.get(self.0.next).and_then(|(d, b)| buffers::device_of(d, b));
        if let Some(device) = device {
            self.0.next += 1;
            let copy = Python::attach(|py| {
                let bound = to_bound(py, device.obj());
                let copy = bound.cast_exact::<DeviceMemory>()?.get().copied(py)?;
                Ok(from_bound(Bound::new(py, copy)?.as_any()))
            });
            return copy.map(Some).map_err(Raised::from_py);
        }
        match self.next()? {
            Some((buffer, read_only)) => buffers::object_of(buffer, read_only).map(Some),
            None => Ok(None),
        }
    }
}

/// The stream and all buffers of a parcel's bytes.
pub fn read_all(data: &Bound<'_, PyAny>, copy: CopyChoice) -> PyResult<(Buffer, BufferTable)> {
    let written = Written::of(data, copy)?;
    let raise = |fault: Fault| raise_fault(&fault).into_py(data.py());
    let stream = written.stream().map_err(raise)?;
    let mut table = BufferTable::default();
    for number in 1..written.layout.slots.len() {
        let (buffer, read_only) = written.part(number).map_err(raise)?;
        let align = written.layout.slots[number].desc.align;
        let desc = ferropickle_core::buffer::BufferDesc::host(buffer.len(), align, read_only);
        table.push(desc, buffer);
    }
    Ok((stream, table))
}

/// The object of a stream whose buffers come from `supply`.
pub fn unpack_native(
    py: Python<'_>,
    stream: &[u8],
    supply: Box<dyn Supply>,
    choices: Choices,
) -> PyResult<Own> {
    let mut builder = Builder::plain();
    builder.buffers = Given::Native(supply);
    api::run_load(py, &mut SliceReader::new(stream), &mut builder, choices)
}

/// The object of a parcel: of a `Parcel`, or of the bytes that it was written as.
///
/// copy: whose memory the object's buffers are.
///
/// - "lazy": views of the parcel's memory wherever these do as well as memory
///   of their own: all buffers of a `Parcel`; of bytes-like data those that
///   were read-only, and if the data itself can be written to (a bytearray, a
///   memory map) all. The others are copied: what was writable is writable.
/// - "never": views of all; they are read-only where the data is. ValueError
///   for compressed buffers.
/// - "always": memory of their own.
///
/// A view holds the parcel's memory as long as it lives, and what is written to
/// one is seen by all. Compressed buffers have memory of their own.
///
/// policy: a Policy; None means that of the enclosing `policy(...)` block.
///
/// Raises ParcelError, an UnpicklingError, for a parcel that is truncated,
/// altered (where it was packed with checksums) or none, naming part and
/// offset; else what `loads` raises.
#[pyfunction]
#[pyo3(signature = (parcel, *, copy = "lazy", policy = None))]
pub fn unpack<'py>(
    parcel: &Bound<'py, PyAny>,
    copy: &str,
    policy: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = parcel.py();
    let copy = CopyChoice::of(copy)?;
    let choices = policy::choose(policy, Choices::default())?;
    let (stream, supply): (Buffer, Box<dyn Supply>) = match parcel.cast::<Parcel>() {
        Ok(given) => {
            let given = given.get();
            let supply = TableSupply { table: given.table.clone(), next: 0 };
            let copied = copy == CopyChoice::Always;
            let supply: Box<dyn Supply> =
                if copied { Box::new(Copied(supply)) } else { Box::new(supply) };
            (given.stream.clone(), supply)
        }
        Err(_) => {
            let written = Written::of(parcel, copy)?;
            let stream = written.stream();
            let stream = stream.map_err(|fault| raise_fault(&fault).into_py(py))?;
            (stream, Box::new(written))
        }
    };
    let object = unpack_native(py, stream.as_slice(), supply, choices)?;
    Ok(to_bound(py, object.obj()))
}
