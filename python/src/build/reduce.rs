//! Calls in the stream: REDUCE, INST, OBJ.

use super::known;
use crate::error::Raised;
use crate::fast::{self, Own};
use crate::types;
use pyo3::ffi;

#[inline(always)]
pub fn call(callable: &Own, args: &Own) -> Result<Own, Raised> {
    if let Some(made) = known::make(callable.obj(), args.obj())? {
        return Ok(made);
    }
    if let Some(made) = super::numpy::make(callable.obj(), args.obj())? {
        return Ok(made);
    }
    // SAFETY: live objects; a TypeError is set if `args` is no tuple.
    unsafe { Own::from_new(ffi::PyObject_CallObject(callable.ptr(), args.ptr())) }
}

/// A class with the arguments from `from` on: without arguments by `__new__`,
/// unless the class has `__getinitargs__` (`instantiate` in `_pickle.c`).
pub fn instance(class: Own, stack: &mut Vec<Own>, from: usize) -> Result<Own, Raised> {
    let names = types::get();
    if from == stack.len()
        && class.is_class()
        && class.getattr_opt(names.getinitargs.obj())?.is_none()
    {
        let new = class.getattr(names.new.obj())?;
        return new.call(&[class.obj()]);
    }
    let args: Vec<fast::Obj> = stack[from..].iter().map(Own::obj).collect();
    let made = class.call(&args);
    stack.truncate(from);
    made
}
