//! Results of reducers, kept while a restart is possible: no reducer is called
//! twice for one dump.
//!
//! A walk that runs code of the user's from its beginning keeps none, but where arrays on devices
//! are likely: those that share memory may need a restart (`described.rs`). It then keeps
//! results until there are many and no such array, or much for a file is held back.

use super::{Stop, Walker};
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use pyo3::ffi;
use std::collections::HashMap;

/// Results that are kept before an array on a device is met.
const MOST_WITHOUT_DEVICES: usize = 1000;

/// Bytes that are held back from a file because arrays on devices may need a restart.
const MOST_HELD_BACK: usize = 256 << 20;

/// Results of reducers that a restart must not ask for again.
#[derive(Default)]
pub struct Replay {
    /// A restart is possible.
    pub recording: bool,
    /// For the sake of arrays on devices alone.
    for_devices: bool,
    /// The walk could begin again, as no reducer has been called in it whose result is not kept.
    none_lost: bool,
    pub results: HashMap<(usize, Asked), Option<Own>>,
}

impl Replay {
    /// The walk begins again; `runs_code`: it did not run code of the user's, and now does.
    pub fn begin_again(&mut self, runs_code: bool) {
        self.for_devices = runs_code && super::described::are_likely();
        self.recording = self.for_devices;
        self.none_lost = runs_code;
    }

    fn end(&mut self) {
        (self.recording, self.for_devices) = (false, false);
        self.results.clear();
    }
}

/// What was asked of an object, for results that a restart uses again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Asked {
    /// `reducer_override`; no result means NotImplemented.
    Override,
    /// The dispatch table or `__reduce_ex__`.
    Reduce,
}

impl Replay {
    /// Forgets all.
    pub fn clear(&mut self) {
        // Whatever the walk that ended was about must not reach the next one.
        (self.recording, self.for_devices, self.none_lost) = (false, false, false);
        if !self.results.is_empty() {
            self.results = HashMap::new();
        }
    }
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
        if core::mem::take(&mut self.replay.none_lost) && !self.replay.recording {
            // The first array on a device of this process, before any other object.
            self.replay.recording = Self::is_described(value.obj());
            self.replay.for_devices = self.replay.recording;
        }
        if !self.replay.recording {
            return Ok(value);
        }
        if self.replay.for_devices
            && self.replay.results.len() >= MOST_WITHOUT_DEVICES
            && !self.devices.families.met_any()
            && !self.wants_again()
        {
            self.replay.end();
            return Ok(value);
        }
        let value = freeze_iterators(value)?;
        self.keep(obj);
        self.replay.results.insert((obj.addr(), asked), Some(value.clone()));
        thaw_iterators(value)
    }

    /// Whether arrays that share memory need the walk to begin again.
    pub(super) fn wants_again(&self) -> bool {
        self.regions.wants_again() || self.devices.families.wants_again()
    }

    /// Before output is held back from a file: has the walk begin again now if it must, or go on to its end
    /// if there is too much already.
    pub(super) fn bound_recording(&mut self) -> Result<(), Stop> {
        if !self.replay.for_devices || self.enc.out().len() < MOST_HELD_BACK {
            return Ok(());
        }
        if self.wants_again() {
            return Err(Stop::Regions);
        }
        self.replay.end();
        Ok(())
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
