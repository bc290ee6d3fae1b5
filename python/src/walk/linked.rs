//! Memory that arrays share.
//!
//! An array that owns its memory and has one reference shares it with nobody: a
//! view would hold a reference. All others are noted in `Walker::regions`, with
//! the memo index of their buffer, and an array that lies within a buffer which
//! the stream holds becomes a view of that. Where one reaches over, the walk
//! begins again, once, with the larger buffer first; a walk that has run user
//! code cannot, and then only what comes after the larger array is its view. What
//! is noted is kept alive, so an address stays one array's memory. Only the
//! face of our own does this: the others copy each array, as pickle does.

use super::numpy::{Array, Span};
use super::{Stop, Walker};
use crate::arrays;
use crate::error::Raised;
use crate::fast::Obj;
use ferropickle_core::opcode::Op;
use ferropickle_core::regions::Place;
use ferropickle_core::strided::{Axis, Layout};
use ferropickle_numpy::view::{self, View};

impl Walker {
    /// An array whose memory others may see as well.
    pub(super) fn write_linked(&mut self, array: &Array<'_>) -> Result<(), Stop> {
        let view = &array.view;
        let Some(layout) = view.layout(array.item_bytes) else {
            return Err(Raised::pickling("an array is larger than memory").into());
        };
        let at = view.data as usize;
        let may_restart =
            self.hooks.buffer_callback.is_none() && (self.pure || self.replay.recording);
        match self.regions.place(at, &layout, view.is_writable(), may_restart) {
            Place::Within { index, start, writable } => {
                self.write_view_head(array)?;
                self.enc.get(index);
                if writable && !view.is_writable() {
                    self.op(Op::ReadonlyBuffer);
                }
                self.write_view_tail(at - start, view.strides);
            }
            Place::Whole { start, end, writable } => {
                let index = self.write_view(array, Span { start, end, writable }, true)?;
                let bytes = Axis { len: end - start, stride: 1 };
                if let Some(whole) = Layout::new([bytes], 1) {
                    self.note(array.obj, start, whole, index, writable);
                }
            }
            Place::Alone => {
                let start = at - layout.before();
                let writable = view.is_writable() || memory_is_writable(view);
                let span = Span { start, end: start + layout.extent(), writable };
                let index = if view.is_c_contiguous() || view.is_f_contiguous() {
                    self.write_block(array, span, true)?
                } else if layout.is_compact() {
                    self.write_view(array, span, true)?
                } else {
                    self.write_gathered(array, &layout, !view.is_writable())?;
                    None
                };
                self.note(array.obj, at, layout, index, writable);
            }
        }
        Ok(())
    }

    fn note(&mut self, array: Obj, at: usize, layout: Layout, index: Option<u32>, writable: bool) {
        self.regions.note(at, layout, index, writable);
        self.keep(array);
    }
}

/// Whether an array further down, whose memory this is, can be written to.
fn memory_is_writable(view: &View<'_>) -> bool {
    let Some(Some(kit)) = arrays::kit() else { return false };
    let mut base = view.base;
    // SAFETY: null or a live object, kept by the array above it; only fields of
    // arrays are read.
    while let Some(obj) = unsafe { Obj::borrowed(base) } {
        if obj.ty_obj() != kit.ndarray.obj() {
            return false;
        }
        // SAFETY: an exact ndarray.
        let below = unsafe { view::of(obj.ptr()) };
        if below.is_writable() {
            return true;
        }
        base = below.base;
    }
    false
}
