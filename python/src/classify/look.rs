//! What a class says of itself, read from the dictionaries of types: no code runs.

use crate::error::OrNone;
use crate::fast::{self, Obj, Own, TypePtr};
use crate::types;
use pyo3::ffi;

/// Whether a type has one of the interpreter's flags.
pub fn has_flag(ty: TypePtr, flag: core::ffi::c_ulong) -> bool {
    // SAFETY: a live type.
    unsafe { ffi::PyType_HasFeature(ty, flag) != 0 }
}

/// The class's own `__module__`, if it is a str: heap types have it in their
/// dict, static ones in front of their name.
pub(super) fn class_text(ty: TypePtr, name: Obj) -> Option<Own> {
    if has_flag(ty, ffi::Py_TPFLAGS_HEAPTYPE) {
        let found = fast::type_lookup(ty, name)?;
        return fast::is_str(found.ty()).then(|| found.own());
    }
    // SAFETY: a static type's name lives for ever.
    let full = unsafe { core::ffi::CStr::from_ptr((*ty).tp_name) }.to_str().ok()?;
    let (module, _) = full.rsplit_once('.').unwrap_or(("builtins", full));
    fast::new_str(module).or_none().map(fast::text::interned)
}

pub(super) fn qualname(ty: TypePtr) -> Option<Own> {
    // SAFETY: `type.__qualname__` of a live type, read by its getter: a new
    // reference or null with an error set.
    let found = unsafe {
        let types = types::get();
        Own::from_new(ffi::PyObject_GetAttr(ty.cast(), types.qualname.ptr()))
    };
    found.or_none().filter(|text| fast::is_str(text.ty()))
}

pub(super) fn is_object_default(ty: TypePtr, name: Obj) -> bool {
    let own = fast::type_lookup(ty, name);
    let default = fast::type_lookup(&raw mut ffi::PyBaseObject_Type, name);
    own == default
}

/// Whether a function of the class is the one that its module's file defines:
/// a patched one has another file.
pub fn is_from_module(ty: TypePtr, name: Obj, module: &core::ffi::CStr) -> bool {
    fast::type_lookup(ty, name).is_some_and(|function| is_of_module(function, module))
}

/// Whether an object is a function with the globals of a module that is loaded.
pub fn is_of_module(function: Obj, module: &core::ffi::CStr) -> bool {
    if !fast::is_function(function.ty()) {
        return false;
    }
    let Ok(module_name) = fast::intern(module) else { return false };
    let module = types::loaded_module(module_name.obj()).and_then(fast::module_dict);
    module == Some(fast::function::fields(function).globals)
}

/// The function in a static or class method of a class.
pub fn bare_function(ty: TypePtr, name: Obj) -> Option<Own> {
    let method = fast::type_lookup(ty, name)?;
    let kinds = [&raw mut ffi::PyStaticMethod_Type, &raw mut ffi::PyClassMethod_Type];
    if !kinds.contains(&method.ty()) {
        return None;
    }
    let function = attribute(method, c"__func__")?;
    fast::is_function(function.ty()).then_some(function)
}

/// An attribute; `None` where it can't be had, whatever the reason.
pub fn attribute(obj: Obj, name: &core::ffi::CStr) -> Option<Own> {
    fast::intern(name).and_then(|name| obj.getattr(name.obj())).or_none()
}

/// Whether a class made by a class statement has this name and is of this module.
pub fn is_named(ty: TypePtr, name: &[u8], module: &[u8]) -> bool {
    // SAFETY: a live type's name is NUL-terminated.
    let own = unsafe { core::ffi::CStr::from_ptr((*ty).tp_name) }.to_bytes();
    own == name
        && has_flag(ty, ffi::Py_TPFLAGS_HEAPTYPE)
        && class_text(ty, types::get().module.obj())
            .is_some_and(|found| is_text(found.obj(), module))
}

/// Whether an object is a str of this text, in UTF-8.
pub fn is_text(text: Obj, expected: &[u8]) -> bool {
    fast::is_str(text.ty()) && fast::text::utf8(text, &mut Vec::new()) == expected
}

pub(super) fn is_abc_meta(meta: TypePtr) -> bool {
    // SAFETY: a live type's name is NUL-terminated.
    let name = unsafe { core::ffi::CStr::from_ptr((*meta).tp_name) }.to_bytes();
    name == b"ABCMeta"
        && class_text(meta, types::get().module.obj()).is_some_and(|m| is_text(m.obj(), b"abc"))
        // SAFETY: a live type; classes read their attributes as `type` does.
        && unsafe {
            (*meta).tp_getattro.map(|f| f as usize)
                == ffi::PyType_Type.tp_getattro.map(|f| f as usize)
        }
}

/// The type's own dict.
///
/// # Safety
/// `ty` must be a live type.
pub(super) unsafe fn type_dict(ty: TypePtr) -> Option<Own> {
    // SAFETY: a live type by the contract.
    unsafe {
        #[cfg(Py_3_12)]
        let dict = ffi::PyType_GetDict(ty);
        #[cfg(not(Py_3_12))]
        let dict = {
            let dict = (*ty).tp_dict;
            ffi::Py_XINCREF(dict);
            dict
        };
        Own::from_new(dict).or_none()
    }
}

/// The flag of types whose instances have a dict that the interpreter manages.
#[cfg(Py_3_11)]
pub(super) const MANAGED_DICT: core::ffi::c_ulong = 1 << 4;
/// As above: there are none.
#[cfg(not(Py_3_11))]
pub(super) const MANAGED_DICT: core::ffi::c_ulong = 0;
