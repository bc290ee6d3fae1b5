//! Arrays on devices: where they land.
//!
//! The text that `walk/device.rs` writes after the bytes of such an array names
//! the sender's device. The calls that come next make the array: each is left
//! to `ferropickle._landing.land`, which says whether it was the one that brings the
//! bytes to a device. Plain pickle makes the same calls, on the device that is current.

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

    /// Whether the next call may make an array on a device.
    #[inline(always)]
    pub(super) fn is_landing(&self) -> bool {
        self.landing.sender.is_some()
    }

    /// A call after the bytes of an array on a device.
    #[cold]
    pub(super) fn land(&mut self, callable: Obj, args: Obj) -> Result<Own, Raised> {
        if let Some(made) = super::numpy::make(callable, args)? {
            return Ok(made);
        }
        let Some(sender) = self.landing.sender.take() else {
            return super::reduce::call(&callable.own(), &args.own());
        };
        let policy = self.landing.policy.clone().unwrap_or_else(super::scalar::none);
        let land = types::import_attribute(c"ferropickle._landing", c"land")?;
        let answer = land.call(&[callable, args, sender.obj(), policy.obj()])?;
        if !fast::is_tuple(answer.ty()) || fast::tuple_len(answer.obj()) != 2 {
            return Err(Raised::unpickling("a call for an array gave no pair"));
        }
        let (made, landed) = (fast::tuple_get(answer.obj(), 0), fast::tuple_get(answer.obj(), 1));
        if !fast::is_true(landed) {
            self.landing.sender = Some(sender);
        }
        Ok(made.own())
    }
}

fn is_device(text: &[u8]) -> bool {
    text.len() <= LONGEST && (text.starts_with(b"GPU-") || text.starts_with(b"MIG-"))
}
