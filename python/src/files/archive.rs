//! A file that is open: its object, parts of it, and their memory.

use super::raise_read;
use super::ticker::Ticker;
use crate::buffers::{copied, let_go};
use crate::build::buffer::Supply;
use crate::error::{Raised, raise_fault_of};
use crate::parcel::unpack::{CopyChoice, unpack_native};
use crate::policy::{self, Choices};
use crate::types::to_bound;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use ferropickle_core::buffer::{Block, Buffer};
use ferropickle_core::parcel::file::map::map;
use ferropickle_core::parcel::file::outline::{Outline, outline};
use ferropickle_core::parcel::file::pick::pick;
use ferropickle_core::parcel::file::read::{Archive as File, ReadError, Which};
use ferropickle_core::parcel::{Codec, Fault, Kind};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// When the checksum of a buffer is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verify {
    /// Where it is compressed, and so read whole.
    Never,
    /// When it is first used.
    Lazy,
}

/// What is shared by all loads of a file.
struct Opened {
    file: File,
    map: Buffer,
    path: String,
    verify: Verify,
    stream: OnceLock<Buffer>,
    outline: OnceLock<Option<Outline>>,
    checked: Vec<AtomicBool>,
}

impl Opened {
    fn raise(&self, fault: &Fault) -> Raised {
        raise_fault_of(fault, Some(&self.path))
    }

    /// The stream, its checksum compared once.
    fn stream(&self) -> Result<&Buffer, Fault> {
        if let Some(stream) = self.stream.get() {
            return Ok(stream);
        }
        let stream = self.file.part(&self.map, Which::Stream)?;
        let_go(stream.len(), || self.file.check(stream.as_slice(), Which::Stream))?;
        // Of two threads that came here at once, one puts it there.
        let _ = self.stream.set(stream);
        self.stream()
    }

    fn outline(&self) -> Result<Option<&Outline>, Fault> {
        if self.outline.get().is_none() {
            let stream = self.stream()?.as_slice();
            let found = let_go(stream.len(), || outline(stream));
            let _ = self.outline.set(found);
        }
        Ok(self.outline.get().and_then(Option::as_ref))
    }

    fn buffer(&self, number: usize, copy: CopyChoice) -> Result<Buffer, Fault> {
        let which = Which::Buffer(number);
        let stored = self.file.part(&self.map, which)?;
        let raw = self.file.stored(which).is_none_or(|(_, codec)| codec == Codec::Raw);
        if !raw && copy == CopyChoice::Never {
            return Err(self.file.fault(which, Kind::NoView));
        }
        let own = let_go(stored.len(), || -> Result<Option<Block>, Fault> {
            let checked = self.checked.get(number);
            let known = checked.is_some_and(|known| known.load(Ordering::Relaxed));
            if !known && (self.verify == Verify::Lazy || !raw) {
                self.file.check(stored.as_slice(), which)?;
                if let Some(checked) = checked {
                    checked.store(true, Ordering::Relaxed);
                }
            }
            if raw { Ok(None) } else { self.file.decompress(stored.as_slice(), which).map(Some) }
        })?;
        Ok(own.map_or(stored, Buffer::from))
    }
}

/// Buffers of a mapped file, all or those that a picked stream asks for.
struct Mapped {
    opened: Arc<Opened>,
    order: Option<Vec<usize>>,
    next: usize,
    copy: CopyChoice,
}

impl Supply for Mapped {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        let number = match &self.order {
            Some(order) => order.get(self.next).copied(),
            None => Some(self.next),
        };
        let Some(number) = number else { return Ok(None) };
        self.next += 1;
        let buffer = self.opened.buffer(number, self.copy);
        let buffer = buffer.map_err(|fault| self.opened.raise(&fault))?;
        // What was decompressed is nobody else's already.
        let raw = self.opened.file.stored(Which::Buffer(number));
        let shared = raw.is_some_and(|(_, codec)| codec == Codec::Raw);
        let own = self.copy == CopyChoice::Always && shared;
        // Whether it was read-only is in the stream.
        Ok(Some((if own { copied(&buffer)? } else { buffer }, false)))
    }
}

/// A file that is open.
#[pyclass(frozen, module = "ferropickle._native", name = "Archive")]
pub struct Archive {
    opened: Mutex<Option<Arc<Opened>>>,
}

impl Archive {
    fn opened(&self) -> PyResult<Arc<Opened>> {
        // Nothing that could panic or wait is done with the lock held.
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        opened.ok_or_else(|| PyValueError::new_err("the file is closed"))
    }

    fn build<'py>(
        py: Python<'py>,
        opened: Arc<Opened>,
        stream: &[u8],
        order: Option<Vec<usize>>,
        copy: CopyChoice,
        choices: Choices,
    ) -> PyResult<Bound<'py, PyAny>> {
        let supply = Box::new(Mapped { opened, order, next: 0, copy });
        let object = unpack_native(py, stream, supply, choices)?;
        Ok(to_bound(py, object.obj()))
    }
}

#[pymethods]
impl Archive {
    /// path: of the file. lazy: compare a buffer's checksum when it is first used.
    #[new]
    #[pyo3(signature = (path, *, lazy = false))]
    fn new(path: &Bound<'_, PyAny>, lazy: bool) -> PyResult<Archive> {
        let py = path.py();
        let place: PathBuf = path.extract()?;
        let opened = || -> Result<(File, Buffer), ReadError> {
            let file = File::open(std::fs::File::open(&place)?)?;
            let len = usize::try_from(file.len()).map_err(std::io::Error::other)?;
            let map = map(file.file(), len)?;
            Ok((file, map))
        };
        let (file, map) = opened().map_err(|error| raise_read(py, error, path))?;
        let checked = (0..file.buffers()).map(|_| AtomicBool::new(false)).collect();
        let verify = if lazy { Verify::Lazy } else { Verify::Never };
        let path = place.to_string_lossy().into_owned();
        let (stream, outline) = (OnceLock::new(), OnceLock::new());
        let opened = Opened { file, map, path, verify, stream, outline, checked };
        Ok(Archive { opened: Mutex::new(Some(Arc::new(opened))) })
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> bool {
        self.opened().is_err()
    }

    /// Names and stored lengths of the entries.
    fn entries(&self) -> PyResult<Vec<(String, u64)>> {
        let opened = self.opened()?;
        let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        Ok(opened.file.entries().map(|entry| (name(&entry.name), entry.len)).collect())
    }

    /// The whole object.
    #[pyo3(signature = (*, copy = "lazy", policy = None))]
    fn load<'py>(
        &self,
        py: Python<'py>,
        copy: &str,
        policy: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (opened, copy) = (self.opened()?, CopyChoice::of(copy)?);
        let choices = policy::choose(policy, Choices::default())?;
        let stream = opened.stream().map_err(|fault| opened.raise(&fault).into_py(py))?.clone();
        Archive::build(py, opened, stream.as_slice(), None, copy, choices)
    }

    /// The keys of a dict, read without its values; None if that cannot be done.
    #[pyo3(signature = (*, policy = None))]
    fn keys<'py>(
        &self,
        py: Python<'py>,
        policy: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let opened = self.opened()?;
        let choices = policy::choose(policy, Choices::default())?;
        let raise = |fault: Fault| opened.raise(&fault).into_py(py);
        let Some(outline) = opened.outline().map_err(raise)? else { return Ok(None) };
        let keys: Vec<_> = outline.pairs.iter().map(|(key, _)| key.clone()).collect();
        let stream = opened.stream().map_err(raise)?.as_slice();
        let Some(picked) = pick(stream, outline, &keys) else { return Ok(None) };
        let (copy, order) = (CopyChoice::Lazy, Some(picked.buffers));
        Archive::build(py, opened.clone(), &picked.stream, order, copy, choices).map(Some)
    }

    /// The value of that number in a tuple, read without the others; None if
    /// that cannot be done.
    #[pyo3(signature = (number, *, copy = "lazy", policy = None))]
    fn value<'py>(
        &self,
        py: Python<'py>,
        number: usize,
        copy: &str,
        policy: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let (opened, copy) = (self.opened()?, CopyChoice::of(copy)?);
        let choices = policy::choose(policy, Choices::default())?;
        let raise = |fault: Fault| opened.raise(&fault).into_py(py);
        let Some(outline) = opened.outline().map_err(raise)? else { return Ok(None) };
        let pair = outline.pairs.get(number);
        let (_, value) = pair.ok_or_else(|| PyIndexError::new_err("no value of that number"))?;
        let stream = opened.stream().map_err(raise)?.as_slice();
        let Some(picked) = pick(stream, outline, core::slice::from_ref(value)) else {
            return Ok(None);
        };
        let order = Some(picked.buffers);
        let found = Archive::build(py, opened.clone(), &picked.stream, order, copy, choices)?;
        Ok(Some(found.cast_into::<PyTuple>()?))
    }

    /// Compares the checksums of all entries.
    #[pyo3(signature = (*, progress = None))]
    fn verify(&self, py: Python<'_>, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let opened = self.opened()?;
        let total = opened.file.entries().map(|entry| entry.len).sum();
        let mut ticker = Ticker::new(progress, total);
        let outcome = py.detach(|| opened.file.check_all(&opened.map, |done| ticker.tick(done)));
        match (outcome, ticker.raised.take()) {
            (_, Some(error)) => Err(error),
            (Err(fault), None) => Err(opened.raise(&fault).into_py(py)),
            (Ok(_), None) => {
                opened.checked.iter().for_each(|known| known.store(true, Ordering::Relaxed));
                Ok(())
            }
        }
    }

    /// Lets the file go; arrays that were read keep their memory.
    fn close(&self) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(opened);
    }
}

/// Buffers read from a file into memory of their own.
struct Read {
    file: File,
    path: Py<PyAny>,
    verify: bool,
    next: usize,
    ticker: Ticker,
}

impl Read {
    fn read(&mut self, which: Which) -> Result<Block, Raised> {
        let Read { file, verify, ticker, .. } = self;
        let len = file.stored(which).map_or(0, |(len, _)| len);
        let outcome = let_go(len as usize, || {
            file.read(which, *verify, |done| match ticker.tick(done) {
                ControlFlow::Continue(()) => ControlFlow::Continue(()),
                ControlFlow::Break(()) => ControlFlow::Break(ticker.raised.take()),
            })
        });
        ticker.next_part(len);
        Python::attach(|py| match outcome {
            Ok(ControlFlow::Continue(block)) => Ok(block),
            Ok(ControlFlow::Break(Some(error))) => Err(Raised::from_py(error)),
            Ok(ControlFlow::Break(None)) => Err(Raised::set()),
            Err(error) => Err(Raised::from_py(raise_read(py, error, self.path.bind(py)))),
        })
    }
}

impl Supply for Read {
    fn next(&mut self) -> Result<Option<(Buffer, bool)>, Raised> {
        let which = Which::Buffer(self.next);
        self.next += 1;
        let mut block = self.read(which)?;
        if self.file.stored(which).is_some_and(|(_, codec)| codec != Codec::Raw) {
            let data =
                let_go(block.as_slice().len(), || self.file.decompress(block.as_slice(), which));
            block = data.map_err(|fault| {
                Python::attach(|py| {
                    let error = ReadError::Fault(fault);
                    Raised::from_py(raise_read(py, error, self.path.bind(py)))
                })
            })?;
        }
        Ok(Some((block.into(), false)))
    }
}

/// The object of a file, in memory of its own.
#[pyfunction]
#[pyo3(signature = (path, *, verify = true, policy = None, progress = None))]
pub fn read_file<'py>(
    path: &Bound<'py, PyAny>,
    verify: bool,
    policy: Option<&Bound<'py, PyAny>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = path.py();
    let place: PathBuf = path.extract()?;
    let choices = policy::choose(policy, Choices::default())?;
    let file = std::fs::File::open(&place).map_err(ReadError::System).and_then(File::open);
    let file = file.map_err(|error| raise_read(py, error, path))?;
    let parts = core::iter::once(Which::Stream).chain((0..file.buffers()).map(Which::Buffer));
    let total = parts.filter_map(|which| file.stored(which)).map(|(len, _)| len).sum();
    let ticker = Ticker::new(progress, total);
    let mut read = Read { file, path: path.clone().unbind(), verify, next: 0, ticker };
    let stream = read.read(Which::Stream).map_err(|raised| raised.into_py(py))?;
    let object = unpack_native(py, stream.as_slice(), Box::new(read), choices)?;
    Ok(to_bound(py, object.obj()))
}
