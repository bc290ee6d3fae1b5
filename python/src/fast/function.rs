//! Functions, cells and code objects, field by field.
//!
//! Functions are read through PyO3's declaration of `PyFunctionObject`, which
//! follows `Include/cpython/funcobject.h` of each version; the rest is public
//! or `PyUnstable` API.

use super::{Obj, Own};
use crate::error::Raised;
use core::ffi::c_void;
use pyo3::ffi;
use std::sync::OnceLock;

/// What a function is made of, borrowed from it.
pub struct Fields {
    pub code: Obj,
    pub globals: Obj,
    pub name: Obj,
    pub qualname: Obj,
    pub module: Option<Obj>,
    pub defaults: Option<Obj>,
    pub kwdefaults: Option<Obj>,
    /// A tuple of cells.
    pub closure: Option<Obj>,
    pub doc: Option<Obj>,
    pub dict: Option<Obj>,
    /// A tuple of type parameters (3.12 and later).
    pub type_params: Option<Obj>,
    /// What computes the annotations (3.14 and later).
    pub annotate: Option<Obj>,
}

/// The fields of an exact function.
pub fn fields(function: Obj) -> Fields {
    debug_assert!(super::is_function(function.ty()));
    // SAFETY: the caller checked the type; the first four fields are never
    // null, the others are null or a reference held by the function.
    unsafe {
        let f = &*function.ptr().cast::<ffi::PyFunctionObject>();
        Fields {
            code: Obj::new(f.func_code),
            globals: Obj::new(f.func_globals),
            name: Obj::new(f.func_name),
            qualname: Obj::new(f.func_qualname),
            module: Obj::borrowed(f.func_module),
            defaults: Obj::borrowed(f.func_defaults),
            kwdefaults: Obj::borrowed(f.func_kwdefaults),
            closure: Obj::borrowed(f.func_closure),
            doc: Obj::borrowed(f.func_doc),
            dict: Obj::borrowed(f.func_dict),
            #[cfg(Py_3_12)]
            type_params: Obj::borrowed(f.func_typeparams),
            #[cfg(not(Py_3_12))]
            type_params: None,
            #[cfg(Py_3_14)]
            annotate: Obj::borrowed(f.func_annotate),
            #[cfg(not(Py_3_14))]
            annotate: None,
        }
    }
}

/// The function's annotations as a dict, if it has any that are computed.
pub fn annotations(function: Obj) -> Option<Own> {
    // SAFETY: an exact function; a field that is null or an object.
    unsafe {
        let f = &*function.ptr().cast::<ffi::PyFunctionObject>();
        if f.func_annotations.is_null() {
            return None;
        }
        // Turns the tuple form into the dict; a borrowed reference.
        let found = Obj::borrowed(ffi::PyFunction_GetAnnotations(function.ptr()));
        if found.is_none() {
            ffi::PyErr_Clear();
        }
        found.map(Obj::own)
    }
}

/// The name of a built-in function or method.
pub fn built_in_name<'a>(callable: Obj) -> Option<&'a core::ffi::CStr> {
    if callable.ty() != &raw mut ffi::PyCFunction_Type {
        return None;
    }
    // SAFETY: the type check makes the cast right; the definition lives as long as the
    // function and has a NUL-terminated name.
    unsafe {
        let definition = (*callable.ptr().cast::<ffi::PyCFunctionObject>()).m_ml;
        Some(core::ffi::CStr::from_ptr((*definition).ml_name))
    }
}

pub fn is_cell(obj: Obj) -> bool {
    obj.ty() == &raw mut ffi::PyCell_Type
}

pub fn is_code(obj: Obj) -> bool {
    obj.ty() == &raw mut ffi::PyCode_Type
}

/// Whether an object is a method bound to something.
pub fn is_method(obj: Obj) -> bool {
    obj.ty() == &raw mut super::private::PyMethod_Type
}

/// The function of a bound method and what it is bound to, borrowed.
pub fn method_parts(method: Obj) -> Option<(Obj, Obj)> {
    if !is_method(method) {
        return None;
    }
    // SAFETY: a bound method; both are held by it.
    unsafe {
        let function = Obj::borrowed(super::private::PyMethod_Function(method.ptr()))?;
        Some((function, Obj::borrowed(super::private::PyMethod_Self(method.ptr()))?))
    }
}

/// What a cell holds; nothing if it is empty.
pub fn cell_contents(cell: Obj) -> Option<Own> {
    debug_assert!(is_cell(cell));
    // SAFETY: a cell; a new reference, or null without an error if it is empty.
    unsafe {
        let found = ffi::PyCell_Get(cell.ptr());
        if found.is_null() { None } else { Own::from_new(found).ok() }
    }
}

/// The code's instructions as the compiler wrote them: not specialized, not
/// instrumented.
pub fn instructions(code: Obj) -> Result<Own, Raised> {
    debug_assert!(is_code(code));
    // SAFETY: a code object; a new reference or null with an error set.
    #[cfg(Py_3_11)]
    unsafe {
        unsafe extern "C" {
            // Include/cpython/code.h
            fn PyCode_GetCode(code: *mut ffi::PyObject) -> *mut ffi::PyObject;
        }
        Own::from_new(PyCode_GetCode(code.ptr()))
    }
    #[cfg(not(Py_3_11))]
    {
        let name = super::intern(c"co_code")?;
        code.getattr(name.obj())
    }
}

/// The slot for [`extra`] in code objects of this interpreter; negative where
/// there is none to be had.
static EXTRA: OnceLock<isize> = OnceLock::new();

/// Something of ours that lives as long as a code object does. It must hold no
/// references to Python objects: it is dropped inside the code's destructor.
pub trait CodeExtra: Sized + 'static {}

/// The extra of a code object, if one was set.
///
/// One type only may be kept (the slot is the same for all).
pub fn extra<'a, T: CodeExtra>(code: Obj) -> Option<&'a T> {
    let index = *EXTRA.get()?;
    let mut found: *mut c_void = core::ptr::null_mut();
    // SAFETY: a code object and an index of ours; what is there was put there
    // by `set_extra` as a leaked box of the one type, and lives with the code.
    unsafe {
        if index < 0 || ffi::PyUnstable_Code_GetExtra(code.ptr(), index, &mut found) != 0 {
            return None;
        }
        found.cast::<T>().as_ref()
    }
}

/// Gives a code object its extra; hands it back where it cannot be kept.
pub fn set_extra<'a, T: CodeExtra>(code: Obj, value: Box<T>) -> Result<&'a T, Box<T>> {
    unsafe extern "C" fn free<T>(extra: *mut c_void) {
        if !extra.is_null() {
            // SAFETY: a leaked box, given up by the code object that dies.
            drop(unsafe { Box::from_raw(extra.cast::<T>()) });
        }
    }
    // SAFETY: the GIL is held; the function frees what `set_extra` stores.
    let index =
        *EXTRA.get_or_init(|| unsafe { ffi::PyUnstable_Eval_RequestCodeExtraIndex(free::<T>) });
    if index < 0 {
        return Err(value);
    }
    let raw = Box::into_raw(value);
    // SAFETY: a code object, an index of ours, a leaked box.
    unsafe {
        if ffi::PyUnstable_Code_SetExtra(code.ptr(), index, raw.cast()) != 0 {
            ffi::PyErr_Clear();
            return Err(Box::from_raw(raw));
        }
        Ok(&*raw)
    }
}
