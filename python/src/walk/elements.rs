//! Arrays of objects: made empty, and given their elements as a list, as NumPy's
//! own reduction has it; the elements are walked where they lie.
//!
//! An element is one edge to its object, whatever leads to the array. So in the
//! pure state two arrays over the same memory are one edge too many: meeting the
//! second restarts in the full state. In an array that passes an element twice
//! by its strides each is given a reference more, so that it gets its entry.

use super::frame::Frame;
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::error::Raised;
use crate::fast::{Exc, Obj};
use crate::walk::numpy::Array;
use ferropickle_core::limits::BATCH_ITEMS;
use ferropickle_core::opcode::Op;
use ferropickle_numpy::view::{self, View};
use pyo3::ffi;

/// Where the elements of an array are walked.
#[derive(Clone, Copy, Debug)]
pub struct Elements {
    pub array: Obj,
    /// Elements begun.
    pub next: usize,
    len: usize,
    in_batch: u32,
    /// Elements may come twice.
    repeats: bool,
}

impl Walker {
    /// An exact `ndarray` of objects.
    pub(super) fn save_object_array(&mut self, array: &Array<'_>) -> Flow {
        let view = &array.view;
        let layout = view.layout(size_of::<*mut ffi::PyObject>());
        let (Some(layout), Some(len)) = (layout, view.len_bytes(1)) else {
            return self.save_c_reduced(array.obj);
        };
        let alone = view.owns_memory() && array.obj.refcnt() == 1;
        if self.pure && !alone && len > 0 {
            let start = view.data as usize - layout.before();
            let end = start + layout.extent();
            let below = self.object_memory.range(..end).next_back();
            if below.is_some_and(|(_, other_end)| *other_end > start) {
                return Err(Stop::Restart);
            }
            self.object_memory.insert(start, end);
        }
        let entered = self.enter(array.obj)?;
        if let Enter::Met = entered {
            return WRITTEN;
        }
        self.write_empty_array(array)?;
        if let Enter::Memo(_) = entered {
            self.memoize(array.obj);
        }
        // The state that `ndarray.__setstate__` takes.
        self.op(Op::Mark);
        self.enc.int(1);
        self.write_lengths(view.shape);
        self.enc.get(array.dtype);
        self.enc.bool(view.is_f_contiguous() && !view.is_c_contiguous());
        self.op(Op::EmptyList);
        let repeats = !layout.is_nested();
        let elements = Elements { array: array.obj, next: 0, len, in_batch: 0, repeats };
        self.push(Frame::Elements(elements))?;
        PUSHED
    }

    /// `_reconstruct(ndarray, (0,), b'b')`.
    fn write_empty_array(&mut self, array: &Array<'_>) -> Result<(), Stop> {
        self.write_named(array.kit.reconstruct.obj())?;
        self.write_named(array.kit.ndarray.obj())?;
        self.enc.int(0);
        self.op(Op::Tuple1);
        self.enc.bytes(b"b")?;
        self.op(Op::Tuple3);
        self.op(Op::Reduce);
        Ok(())
    }

    pub(super) fn step_elements(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Elements(mut at) = self.frames[depth] else {
            unreachable!("the caller looked at the frame")
        };
        loop {
            if at.in_batch > 0 && (at.in_batch == BATCH_ITEMS || at.next == at.len) {
                // A batch of one is the last, and has no mark.
                self.op(if at.in_batch == 1 { Op::Append } else { Op::Appends });
                at.in_batch = 0;
            }
            if at.next == at.len {
                self.op(Op::Tuple);
                self.op(Op::Build);
                self.pop();
                return Ok(());
            }
            if at.in_batch == 0 {
                if self.enc.at_boundary() {
                    self.frames[depth] = Frame::Elements(at);
                    self.boundary()?;
                }
                if at.len - at.next > 1 {
                    self.op(Op::Mark);
                }
            }
            let item = element(&at)?;
            at.next += 1;
            at.in_batch += 1;
            if at.repeats
                && let Some(item) = item
            {
                self.keep(item);
            }
            let saved = match item {
                Some(item) => self.save(item),
                None => {
                    self.enc.none();
                    WRITTEN
                }
            };
            if !matches!(saved, Ok(false)) {
                if let Some(frame) = self.frames.get_mut(depth) {
                    *frame = Frame::Elements(at);
                }
                return saved.map(drop);
            }
        }
    }
}

/// The next element, the last index fastest; `None` where there never was one,
/// which NumPy takes for None.
fn element(at: &Elements) -> Result<Option<Obj>, Raised> {
    // SAFETY: an exact ndarray of objects, which the frame holds outside the pure
    // state. User code may have changed it: its fields are those of now.
    let view: View<'_> = unsafe { view::of(at.array.ptr()) };
    if view.len_bytes(1) != Some(at.len) {
        let text = "the array was changed while it was pickled";
        return Err(Raised::new(Exc::RuntimeError, text));
    }
    let width = size_of::<*mut ffi::PyObject>() as isize;
    let mut offset = 0;
    if view.is_c_contiguous() {
        offset = at.next as isize * width;
    } else {
        let mut rest = at.next as isize;
        for (len, stride) in view.shape.iter().zip(view.strides).rev() {
            offset += rest % len * stride;
            rest /= len;
        }
    }
    // SAFETY: the place of an element; unaligned in some fields of records.
    unsafe {
        Ok(Obj::borrowed(view.data.offset(offset).cast::<*mut ffi::PyObject>().read_unaligned()))
    }
}
