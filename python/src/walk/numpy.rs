//! NumPy arrays and scalars, with no call of their reductions.
//!
//! An array of one block is written as NumPy's own reduction has it: a function
//! of NumPy's, `(buffer, dtype, shape, order)`, REDUCE. One that is not goes as
//! `numpy.ndarray(shape, dtype, buffer, offset, strides)` where all its bytes,
//! from the lowest to the highest, are no more than its elements (a broadcast
//! array, or one that is turned), and else with its elements gathered into one.
//! Memory that arrays share: `linked.rs`.

use super::frame::Frame;
use super::{Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::arrays::{self, Kit};
use crate::buffers;
use crate::error::Raised;
use crate::fast::{self, Exc, Obj, Own};
use crate::policy::Face;
use ferropickle_core::buffer::{Block, Buffer};
use ferropickle_core::copy::Source;
use ferropickle_core::memo::{Entry, Found};
use ferropickle_core::opcode::Op;
use ferropickle_core::strided::Layout;
use ferropickle_numpy::dtype::{self, Elements};
use ferropickle_numpy::scalar;
use ferropickle_numpy::view::{self, View};
use pyo3::Python;

/// Memory of this size is given to a file as it is; less is copied with what is
/// around it.
const APART_FROM_BYTES: usize = 1 << 20;

/// What the reduction of a NumPy scalar showed: kept with the type's plan.
pub struct Shown {
    /// The function that rebuilds.
    function: Own,
    /// The dtype of all scalars of the type, and the bytes of their value.
    dtype: Own,
    len: usize,
}

/// The dtype met last: in the memo of the dump with this epoch.
#[derive(Clone, Copy)]
pub struct KnownDtype {
    addr: usize,
    epoch: u32,
    index: u32,
    elements: Elements,
}

impl Default for KnownDtype {
    fn default() -> Self {
        KnownDtype { addr: 0, epoch: 0, index: 0, elements: Elements::Reduce }
    }
}

/// Lengths and order of the last array of one block. Where the next has the same, they
/// get memo indices, and those after it refer to them.
#[derive(Clone, Copy, Default)]
pub struct KnownForm {
    epoch: u32,
    lengths: [isize; FEW_AXES],
    axes: usize,
    fortran: bool,
    indices: Option<(u32, u32)>,
}

/// Arrays of more axes than this do not come by the thousand.
const FEW_AXES: usize = 4;

/// A block of memory, as addresses.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
    /// Whether the buffer is to be one that can be written to.
    pub writable: bool,
}

impl Span {
    /// The bytes. Alive as long as the array that they were taken from.
    fn bytes<'a>(self) -> &'a [u8] {
        if self.start == self.end {
            return &[];
        }
        // SAFETY: all of it is memory of an array that the caller holds, or of
        // the object that this array keeps.
        unsafe { core::slice::from_raw_parts(self.start as *const u8, self.end - self.start) }
    }
}

/// An array that is being written.
pub(super) struct Array<'a> {
    pub obj: Obj,
    pub view: View<'a>,
    pub kit: &'static Kit,
    /// Memo index of the dtype.
    pub dtype: u32,
    pub item_bytes: usize,
}

impl Walker {
    fn index_of(&self, obj: Obj) -> Option<u32> {
        self.memo.get(obj.addr()).and_then(Entry::as_index)
    }

    /// A scalar: function, `(dtype, bytes)`, REDUCE.
    pub(super) fn save_numpy_scalar(&mut self, obj: Obj, number: u32) -> Flow {
        if let Some(shown) = &self.types.plans[number as usize].shown
            && let Some(function) = self.index_of(shown.function.obj())
            && let Some(dtype) = self.index_of(shown.dtype.obj())
            && self.options.proto >= 3
        {
            let len = shown.len;
            if self.write_if_met(obj)? {
                return WRITTEN;
            }
            self.enc.get(function);
            self.enc.get(dtype);
            // SAFETY: an exact scalar of the type that `len` is of.
            self.enc.bytes(unsafe { scalar::bytes(obj.ptr(), len) })?;
            self.op(Op::Tuple2);
            self.op(Op::Reduce);
            if !(self.pure && obj.refcnt() == 1) {
                self.memoize(obj);
            }
            return WRITTEN;
        }
        self.learn(obj, number)?;
        self.save_c_reduced(obj)
    }

    /// Notes what the type's own reduction gives, once.
    fn learn(&mut self, obj: Obj, number: u32) -> Result<(), Stop> {
        if self.types.plans[number as usize].shown.is_some() || self.options.proto < 5 {
            return Ok(());
        }
        let value = self.c_reduce(obj)?;
        if !fast::is_tuple(value.ty()) || fast::tuple_len(value.obj()) != 2 {
            return Ok(());
        }
        let (function, args) = (fast::tuple_get(value.obj(), 0), fast::tuple_get(value.obj(), 1));
        let name = crate::error::type_name(obj);
        let len = name.strip_prefix("numpy.").and_then(|name| scalar::len(name.as_bytes()));
        if let Some(len) = len
            && fast::is_tuple(args.ty())
            && fast::tuple_len(args) > 0
        {
            let dtype = fast::tuple_get(args, 0).own();
            let shown = Shown { function: function.own(), dtype, len };
            self.types.plans[number as usize].shown = Some(shown);
        }
        Ok(())
    }

    /// An exact `ndarray`.
    pub(super) fn save_numpy_array(&mut self, obj: Obj) -> Flow {
        self.save_array(obj, false)
    }

    fn save_array(&mut self, obj: Obj, dtype_is_written: bool) -> Flow {
        if self.options.proto < 5 || self.options.fast {
            return self.save_c_reduced(obj);
        }
        let kit = match arrays::kit() {
            Some(Some(kit)) => kit,
            Some(None) => return self.save_c_reduced(obj),
            None if self.pure => return Err(Stop::LookUpNumpy),
            None => {
                arrays::prepare()?;
                return self.save_array(obj, dtype_is_written);
            }
        };
        if !(self.pure && obj.refcnt() == 1) && self.write_if_met(obj)? {
            return WRITTEN;
        }
        // SAFETY: an exact ndarray by its plan; where code may run below it is
        // held, and its fields are read anew.
        let view = unsafe { view::of(obj.ptr()) };
        // SAFETY: an array's dtype lives as long as the array.
        let descr = unsafe { Obj::new(view.descr) };
        let Some(known) = self.known_dtype(descr) else {
            if dtype_is_written {
                return self.save_c_reduced(obj);
            }
            self.push(Frame::Dtype { array: obj })?;
            self.save(descr)?;
            return PUSHED;
        };
        let mut array = Array { obj, view, kit, dtype: known.index, item_bytes: 0 };
        match known.elements {
            Elements::Bytes(item_bytes) => {
                array.item_bytes = item_bytes;
                self.save_bytes_array(&array)
            }
            // The notes that 3.14 adds to errors are those of the reduction.
            Elements::Objects if cfg!(Py_3_14) && self.options.choices.face == Face::Pickle => {
                self.save_c_reduced(obj)
            }
            Elements::Objects => self.save_object_array(&array),
            Elements::Reduce => self.save_c_reduced(obj),
        }
    }

    /// The dtype is written: it is in the memo now, and the array can follow.
    pub(super) fn step_dtype(&mut self) -> Result<(), Stop> {
        let Some(Frame::Dtype { array }) = self.frames.last() else {
            unreachable!("the caller looked at the frame")
        };
        let array = array.own();
        self.op(Op::Pop);
        self.pop();
        self.save_array(array.obj(), true).map(drop)
    }

    #[inline(always)]
    fn known_dtype(&mut self, descr: Obj) -> Option<KnownDtype> {
        if self.dtype.addr == descr.addr() && self.dtype.epoch == self.epoch {
            return Some(self.dtype);
        }
        let index = self.index_of(descr)?;
        // SAFETY: a live dtype; NumPy was looked up.
        let elements = Python::attach(|py| unsafe { dtype::elements(py, descr.ptr()) });
        self.dtype = KnownDtype { addr: descr.addr(), epoch: self.epoch, index, elements };
        Some(self.dtype)
    }

    fn save_bytes_array(&mut self, array: &Array<'_>) -> Flow {
        let view = &array.view;
        let Some(len) = view.len_bytes(array.item_bytes) else {
            return self.save_c_reduced(array.obj);
        };
        // Outside the pure state a callback may let go of the array.
        let _keep = (!self.pure).then(|| array.obj.own());
        let own_face = self.options.choices.face == Face::Own;
        // Before a buffer of it takes a reference, which is none of the graph's.
        let met_once = self.pure && array.obj.refcnt() == 1;
        let alone = view.owns_memory() && array.obj.refcnt() == 1;
        if own_face && !alone && len > 0 {
            self.write_linked(array)?;
        } else if view.is_c_contiguous() || view.is_f_contiguous() {
            let start = view.data as usize;
            let span = Span { start, end: start + len, writable: view.is_writable() };
            self.write_block(array, span, false)?;
        } else {
            let Some(layout) = view.layout(array.item_bytes) else {
                return self.save_c_reduced(array.obj);
            };
            if own_face && layout.is_compact() {
                let start = view.data as usize - layout.before();
                let span =
                    Span { start, end: start + layout.extent(), writable: view.is_writable() };
                self.write_view(array, span, false)?;
            } else {
                self.write_gathered(array, &layout, own_face && !view.is_writable())?;
            }
        }
        if self.pure && met_once {
            self.log_elided(array.obj)?;
        } else {
            self.memoize(array.obj);
        }
        WRITTEN
    }

    /// An array of one block.
    pub(super) fn write_block(
        &mut self,
        array: &Array<'_>,
        span: Span,
        shared: bool,
    ) -> Result<Option<u32>, Stop> {
        self.write_named(array.kit.from_buffer.obj())?;
        self.op(Op::Mark);
        let index = self.write_span(array, span, shared)?;
        self.write_block_tail(array, !array.view.is_c_contiguous())?;
        Ok(index)
    }

    fn write_block_tail(&mut self, array: &Array<'_>, fortran: bool) -> Result<(), Stop> {
        self.enc.get(array.dtype);
        let shape = array.view.shape;
        let known = &self.form;
        let again = known.epoch == self.epoch
            && known.axes == shape.len()
            && known.lengths[..known.axes] == *shape
            && known.fortran == fortran;
        if let (true, Some((lengths, order))) = (again, known.indices) {
            self.enc.get(lengths);
            self.enc.get(order);
        } else {
            self.write_lengths(shape);
            let lengths = again.then(|| self.enc.memoize());
            self.enc.str(if fortran { b"F" } else { b"C" })?;
            let order = again.then(|| self.enc.memoize());
            self.know_form(shape, fortran, lengths.zip(order));
        }
        self.op(Op::Tuple);
        self.op(Op::Reduce);
        Ok(())
    }

    fn know_form(&mut self, shape: &[isize], fortran: bool, indices: Option<(u32, u32)>) {
        // A Pickler's memo, which others may look into, is of objects alone.
        let own = self.options.choices.face == Face::Own && !self.options.keep_memo;
        if own && shape.len() <= FEW_AXES {
            let mut lengths = [0; FEW_AXES];
            lengths[..shape.len()].copy_from_slice(shape);
            self.form =
                KnownForm { epoch: self.epoch, lengths, axes: shape.len(), fortran, indices };
        }
    }

    /// An array with its own strides over a block.
    pub(super) fn write_view(
        &mut self,
        array: &Array<'_>,
        span: Span,
        shared: bool,
    ) -> Result<Option<u32>, Stop> {
        self.write_view_head(array)?;
        let index = self.write_span(array, span, shared)?;
        self.write_view_tail(array.view.data as usize - span.start, array.view.strides);
        Ok(index)
    }

    pub(super) fn write_view_head(&mut self, array: &Array<'_>) -> Result<(), Stop> {
        self.write_named(array.kit.ndarray.obj())?;
        self.op(Op::Mark);
        self.write_lengths(array.view.shape);
        self.enc.get(array.dtype);
        Ok(())
    }

    pub(super) fn write_view_tail(&mut self, offset: usize, strides: &[isize]) {
        self.enc.int(offset as i64);
        self.write_lengths(strides);
        self.op(Op::Tuple);
        self.op(Op::Reduce);
    }

    /// The elements one after another, the last index fastest.
    pub(super) fn write_gathered(
        &mut self,
        array: &Array<'_>,
        layout: &Layout,
        read_only: bool,
    ) -> Result<(), Stop> {
        let own_face = self.options.choices.face == Face::Own;
        let distinct = if own_face { layout.distinct() } else { None };
        let layout = distinct.as_ref().map_or(layout, |(distinct, _)| distinct);
        // SAFETY: the layout is the array's, which is alive.
        let source = unsafe { Source::new(array.view.data, layout) };
        if distinct.is_some() {
            self.write_view_head(array)?;
        } else {
            self.write_named(array.kit.from_buffer.obj())?;
            self.op(Op::Mark);
        }
        if self.hooks.out_of_band() {
            self.save_out_of_band(gathered(&source)?, read_only)?;
            self.check_unchanged(array)?;
        } else if read_only {
            self.enc.bytes_of(&source)?;
        } else {
            self.enc.bytearray_of(&source);
        }
        match &distinct {
            Some((_, strides)) => {
                self.write_view_tail(0, strides);
                Ok(())
            }
            None => self.write_block_tail(array, false),
        }
    }

    /// The bytes of a block, in band or out of it. If others may share them, the
    /// buffer gets a memo index, and a read-only array a read-only view of it.
    fn write_span(
        &mut self,
        array: &Array<'_>,
        span: Span,
        shared: bool,
    ) -> Result<Option<u32>, Stop> {
        let data = span.bytes();
        if self.hooks.out_of_band() {
            let buffer = buffers::kept(data, array.obj.own());
            self.save_out_of_band(buffer, !span.writable)?;
            self.check_unchanged(array)?;
        } else if self.sink.is_file() && data.len() >= APART_FROM_BYTES {
            self.write_span_apart(array, span)?;
            self.check_unchanged(array)?;
        } else if span.writable {
            self.enc.bytearray(data);
        } else {
            self.enc.bytes(data)?;
        }
        if !shared {
            return Ok(None);
        }
        let index = self.enc.memoize();
        if span.writable && !array.view.is_writable() {
            self.op(Op::ReadonlyBuffer);
        }
        Ok(Some(index))
    }

    /// Large memory goes to the file as it is: not copied.
    #[cold]
    fn write_span_apart(&mut self, array: &Array<'_>, span: Span) -> Result<(), Stop> {
        let data = span.bytes();
        let shown = buffers::view_of(buffers::kept(data, array.obj.own()), true)?;
        if span.writable {
            self.enc.bytearray_detached(data.len());
        } else {
            self.enc.bytes_detached(data.len())?;
        }
        self.write_apart(shown.obj(), data.len())
    }

    /// A buffer callback is the user's code, and so is a file: it must have left the array's form
    /// alone, which is written after the buffer.
    fn check_unchanged(&self, array: &Array<'_>) -> Result<(), Stop> {
        if self.pure {
            return Ok(());
        }
        // SAFETY: the array is held; its fields are those of now.
        let now = unsafe { view::of(array.obj.ptr()) };
        let before = &array.view;
        let same = core::ptr::eq(now.shape, before.shape)
            && core::ptr::eq(now.strides, before.strides)
            && now.data == before.data
            && now.descr == before.descr;
        if same {
            return Ok(());
        }
        let text = "the array was changed while it was pickled";
        Err(Raised::new(Exc::RuntimeError, text).into())
    }

    /// A function or class of NumPy's, by its name.
    #[inline(always)]
    pub(super) fn write_named(&mut self, named: Obj) -> Result<(), Stop> {
        if let Some(index) = self.cached_key(named) {
            self.enc.get(index);
            return Ok(());
        }
        self.write_named_cold(named)
    }

    #[cold]
    fn write_named_cold(&mut self, named: Obj) -> Result<(), Stop> {
        self.save_whole(named)?;
        if let Found::Yes(entry) = self.memo.find(named.addr())
            && let Some(index) = entry.as_index()
        {
            self.cache_key(named, index);
        }
        Ok(())
    }

    /// A tuple of ints.
    pub(super) fn write_lengths(&mut self, lengths: &[isize]) {
        if lengths.len() > 3 {
            self.op(Op::Mark);
        }
        lengths.iter().for_each(|n| self.enc.int(*n as i64));
        self.op(match lengths.len() {
            0 => Op::EmptyTuple,
            1 => Op::Tuple1,
            2 => Op::Tuple2,
            3 => Op::Tuple3,
            _ => Op::Tuple,
        });
    }
}

/// The elements in memory of their own.
fn gathered(source: &Source<'_>) -> Result<Buffer, Raised> {
    let Some(mut block) = Block::zeroed(source.len_bytes()) else {
        return Err(Raised::no_memory());
    };
    source.fill(block.as_mut_slice());
    Ok(block.into())
}
