//! Arrays on devices: where they land.
//!
//! The text that `walk/device.rs` writes after the bytes of such an array names
//! the sender's device. The calls that come next make the array: each is left
//! to a `ferropickle._landing.Landing`, which says whether it was the one that brings the
//! bytes to a device. Plain pickle makes the same calls, on the device that is current.
//!
//! # Elements that wait
//!
//! An array may be there before its elements are: those of many arrays go together, at the
//! end of the load. While some wait (`Builder::waits`), nothing may run that could look at them.
//! Whatever runs code that is not known asks first: calls, classes that are called, states, items of
//! objects that are no plain list, dict or set, keys with a hash of their own, persistent ids,
//! objects that are thrown away. What fails on the way has the elements copied as well, as code that ran
//! may keep a container that has got arrays since.

use super::Builder;
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use crate::policy::{Choices, Missing};
use crate::types;
use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;

/// Longest text that may be the UUID of a device.
const LONGEST: usize = 64;

/// What a load knows of arrays on devices.
#[derive(Default)]
pub struct Landing {
    /// The policy, or nothing.
    policy: Option<Own>,
    /// Whether arrays of the host's may stand for those on devices.
    host_if_missing: bool,
    /// The sender's device of bytes that have no array yet.
    sender: Option<Own>,
    /// The `Landing` in Python, once there is an array.
    calls: Option<Own>,
    /// Whether elements wait to be copied.
    waits: bool,
    /// Whether the next call is for `calls`: bytes have no array yet, or elements wait.
    open: bool,
    /// An error that the load ends with.
    failed: Option<PyErr>,
}

impl Landing {
    /// The choices of a load.
    pub fn take(&mut self, py: Python<'_>, choices: &Choices) {
        self.policy = choices.policy.as_ref().map(|policy| types::from_bound(policy.bind(py)));
        self.host_if_missing = choices.on_missing == Missing::Host;
    }
}

impl Builder {
    /// A text that a stream throws away may name a device.
    #[inline]
    pub(super) fn note_device(&mut self, thrown_away: &Own) {
        let text = thrown_away.obj();
        if fast::is_str(text.ty()) && is_device(fast::text::ascii(text)) {
            self.landing.sender = Some(thrown_away.clone());
            self.landing.open = true;
        }
    }

    /// What stands for a function of a library that is not here, if arrays of the
    /// host's may; else the error of the search, as it was.
    #[cold]
    pub(super) fn absent(&self, module: Obj, name: Obj, raised: Raised) -> Result<Own, Raised> {
        if !self.landing.host_if_missing {
            return Err(raised);
        }
        Python::attach(|py| {
            let error = raised.into_py(py);
            if !error.is_instance_of::<PyModuleNotFoundError>(py) {
                return Err(Raised::from_py(error));
            }
            let absent = types::import_attribute(c"ferropickle._landing", c"absent")?;
            let found = absent.call(&[module, name])?;
            if found.is_none() { Err(Raised::from_py(error)) } else { Ok(found) }
        })
    }

    /// Whether the next call may make an array on a device, or look at elements that wait.
    #[inline(always)]
    pub(super) fn is_landing(&self) -> bool {
        self.landing.open
    }

    /// Whether elements of arrays wait: nothing may run that could look at them.
    #[inline(always)]
    pub(super) fn waits(&self) -> bool {
        self.landing.waits
    }

    /// A call while arrays land.
    #[cold]
    pub(super) fn land(&mut self, callable: Obj, args: Obj) -> Result<Own, Raised> {
        if let Some(made) = super::known::make(callable, args)? {
            return Ok(made);
        }
        if let Some(made) = super::numpy::make(callable, args)? {
            return Ok(made);
        }
        let sender = self.landing.sender.take();
        let sender_or_none = sender.clone().unwrap_or_else(super::scalar::none);
        let call = self.calls()?.getattr(fast::intern(c"call")?.obj())?;
        let answer = call.call(&[callable, args, sender_or_none.obj()]);
        let answer = match answer {
            Ok(answer) => answer,
            Err(raised) => {
                self.landing.open = self.landing.waits;
                return Err(raised);
            }
        };
        if !fast::is_tuple(answer.ty()) || fast::tuple_len(answer.obj()) != 3 {
            return Err(Raised::unpickling("a call for an array gave no triple"));
        }
        let part = |index| fast::tuple_get(answer.obj(), index);
        self.landing.waits = fast::is_true(part(2));
        self.landing.sender = sender.filter(|_| !fast::is_true(part(1)));
        self.landing.open = self.landing.waits || self.landing.sender.is_some();
        Ok(part(0).own())
    }

    fn calls(&mut self) -> Result<Own, Raised> {
        if let Some(calls) = &self.landing.calls {
            return Ok(calls.clone());
        }
        let class = types::import_attribute(c"ferropickle._landing", c"Landing")?;
        let policy = self.landing.policy.clone().unwrap_or_else(super::scalar::none);
        let calls = class.call(&[policy.obj()])?;
        Ok(self.landing.calls.insert(calls).clone())
    }

    /// Copies the elements that wait, before code that could look at them.
    #[cold]
    pub(super) fn settle(&mut self) -> Result<(), Raised> {
        self.settle_for(super::scalar::none().obj())
    }

    fn settle_for(&mut self, root: Obj) -> Result<(), Raised> {
        self.landing.waits = false;
        self.landing.open = self.landing.sender.is_some();
        let Some(calls) = self.landing.calls.clone() else { return Ok(()) };
        calls.getattr(fast::intern(c"settle")?.obj())?.call(&[root]).map(drop)
    }

    /// Before an object is thrown away, whose end may run code. An error is told when the load ends.
    #[cold]
    pub(super) fn settle_for_end(&mut self) {
        if let Err(raised) = self.settle() {
            self.landing.failed = Some(Python::attach(|py| raised.into_py(py)));
        }
    }

    /// Before an object is given its state.
    #[cold]
    pub(super) fn settle_for_state(&mut self, object: Obj) -> Result<(), Raised> {
        let Some(calls) = self.landing.calls.clone() else { return Ok(()) };
        let before = calls.getattr(fast::intern(c"before_state")?.obj())?;
        self.landing.waits = fast::is_true(before.call(&[object])?.obj());
        self.landing.open = self.landing.waits || self.landing.sender.is_some();
        Ok(())
    }

    /// Before items are set or added whose keys may have a hash of their own.
    #[cold]
    pub(super) fn settle_for_keys<'k>(
        &mut self,
        plain: bool,
        mut keys: impl Iterator<Item = &'k Own>,
    ) -> Result<(), Raised> {
        if plain && keys.all(|key| fast::is_leaf_key(key.obj())) { Ok(()) } else { self.settle() }
    }

    /// Copies what waits at the end of a load, whatever its outcome.
    pub fn finish_landing(&mut self, py: Python<'_>, outcome: PyResult<Own>) -> PyResult<Own> {
        let waits = self.landing.waits;
        let outcome = match outcome {
            Ok(root) if waits => {
                self.settle_for(root.obj()).map_err(|raised| raised.into_py(py)).map(|()| root)
            }
            Err(error) if waits => {
                // The first error is what the user must see.
                drop(self.settle().map_err(|raised| raised.into_py(py)));
                Err(error)
            }
            outcome => outcome,
        };
        let failed = self.landing.failed.take();
        let outcome = outcome.and_then(|root| failed.map_or(Ok(root), Err));
        self.landing.sender = None;
        self.landing.calls = None;
        self.landing.open = false;
        outcome
    }
}

fn is_device(text: &[u8]) -> bool {
    text.len() <= LONGEST && (text.starts_with(b"GPU-") || text.starts_with(b"MIG-"))
}
