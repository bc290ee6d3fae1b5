//! Results of reducers, kept while a restart is possible: no reducer is called
//! twice for one dump.

use super::Walker;
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use pyo3::ffi;
use std::collections::HashMap;

/// Results of reducers that a restart must not ask for again.
#[derive(Default)]
pub struct Replay {
    /// A restart is possible.
    pub recording: bool,
    pub results: HashMap<(usize, Asked), Option<Own>>,
}

/// What was asked of an object, for results that a restart uses again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Asked {
    /// `reducer_override`; no result means NotImplemented.
    Override,
    /// The dispatch table or `__reduce_ex__`.
    Reduce,
}

impl Walker {
    /// What was answered before a restart; taken out.
    pub(super) fn replayed(&mut self, obj: Obj, asked: Asked) -> Option<Option<Own>> {
        if self.replay.results.is_empty() || self.replay.recording {
            return None;
        }
        self.replay.results.remove(&(obj.addr(), asked))
    }

    /// Keeps a result while a restart is possible. Iterators in it are turned
    /// into lists, as they can be gone through once only.
    pub(super) fn record(&mut self, obj: Obj, asked: Asked, value: Own) -> Result<Own, Raised> {
        if !self.replay.recording {
            return Ok(value);
        }
        let value = freeze_iterators(value)?;
        self.keep(obj);
        self.replay.results.insert((obj.addr(), asked), Some(value.clone()));
        thaw_iterators(value)
    }
}

/// Replaces the iterators of a reduce value by what `convert` makes of them.
fn convert_iterators(
    value: Own,
    convert: impl Fn(Obj) -> Result<Own, Raised>,
) -> Result<Own, Raised> {
    // SAFETY: a live object.
    if unsafe { ffi::PyTuple_Check(value.ptr()) } == 0 || fast::tuple_len(value.obj()) < 4 {
        return Ok(value);
    }
    let mut parts = Vec::new();
    for i in 0..fast::tuple_len(value.obj()) {
        let part = fast::tuple_get(value.obj(), i);
        let is_items = (i == 3 || i == 4) && !part.is_none();
        parts.push(if is_items { convert(part)? } else { part.own() });
    }
    let parts: Vec<Obj> = parts.iter().map(Own::obj).collect();
    fast::new_tuple(&parts)
}

/// Lists in the place of iterators.
fn freeze_iterators(value: Own) -> Result<Own, Raised> {
    convert_iterators(value, |items| {
        // SAFETY: live objects; a check, then a new reference or an error.
        unsafe {
            if ffi::PyIter_Check(items.ptr()) == 0 {
                return Ok(items.own());
            }
            Own::from_new(ffi::PySequence_List(items.ptr()))
        }
    })
}

/// Iterators again.
pub(super) fn thaw_iterators(value: Own) -> Result<Own, Raised> {
    convert_iterators(value, |items| {
        if fast::is_list(items.ty()) { fast::iter(items) } else { Ok(items.own()) }
    })
}
