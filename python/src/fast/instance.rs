//! Instances: attribute dicts, slots, and attributes set straight.

use super::{Obj, Own, TypePtr};
use crate::error::Raised;
use pyo3::ffi;

/// The instance's `__dict__`, made if it has none yet. Needs an object whose
/// type gives its instances a dict.
pub fn dict(obj: Obj) -> Result<Own, Raised> {
    // SAFETY: alive; a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyObject_GenericGetDict(obj.ptr(), core::ptr::null_mut())) }
}

/// The object in a slot at a byte offset, if it is set.
#[inline(always)]
pub fn slot(obj: Obj, offset: isize) -> Option<Obj> {
    // SAFETY: the offset is that of a member descriptor of the object's type,
    // of kind T_OBJECT_EX: a pointer that is null or a reference held there.
    unsafe { Obj::borrowed(*obj.ptr().byte_offset(offset).cast::<*mut ffi::PyObject>()) }
}

/// The byte offset of the slot that a member descriptor stands for; `None` if
/// the object is no such descriptor of a plain slot.
pub fn member_offset(descriptor: Obj) -> Option<isize> {
    // SAFETY: the type check makes the cast right (Include/cpython/descrobject.h);
    // a descriptor's member definition lives as long as it does.
    unsafe {
        if descriptor.ty() != &raw mut ffi::PyMemberDescr_Type {
            return None;
        }
        let member = (*descriptor.ptr().cast::<MemberDescr>()).member;
        ((*member).type_code == ffi::Py_T_OBJECT_EX).then_some((*member).offset)
    }
}

/// `PyMemberDescrObject` (Include/cpython/descrobject.h), the same from 3.10
/// to 3.14.
#[repr(C)]
struct MemberDescr {
    base: ffi::PyObject,
    class: *mut ffi::PyTypeObject,
    name: *mut ffi::PyObject,
    qualname: *mut ffi::PyObject,
    member: *mut Member,
}

/// `PyMemberDef`.
#[repr(C)]
struct Member {
    name: *const core::ffi::c_char,
    type_code: core::ffi::c_int,
    offset: isize,
    flags: core::ffi::c_int,
    doc: *const core::ffi::c_char,
}

/// Whether an attribute of that name on the class would take part in setting
/// it on an instance: a data descriptor.
#[inline(always)]
pub fn shadows(ty: TypePtr, name: Obj) -> bool {
    match super::type_lookup(ty, name) {
        None => false,
        // SAFETY: the type of a live object.
        Some(found) => unsafe { (*found.ty()).tp_descr_set.is_some() },
    }
}

/// Sets an attribute as `object.__setattr__` does.
#[inline(always)]
pub fn set_attr(obj: Obj, name: Obj, value: Obj) -> Result<(), Raised> {
    // SAFETY: all alive; 0, or -1 with an error set.
    match unsafe { ffi::PyObject_GenericSetAttr(obj.ptr(), name.ptr(), value.ptr()) } {
        0 => Ok(()),
        _ => Err(Raised::set()),
    }
}

/// Whether a type's instances are made by `object.__new__` and can be
/// allocated without calling it: a heap type that is not abstract.
#[inline(always)]
pub fn is_plainly_made(ty: TypePtr) -> bool {
    // SAFETY: a live type.
    unsafe {
        (*ty).tp_new.map(|f| f as usize) == ffi::PyBaseObject_Type.tp_new.map(|f| f as usize)
            && ffi::PyType_HasFeature(ty, ffi::Py_TPFLAGS_IS_ABSTRACT) == 0
            && ffi::PyType_HasFeature(ty, ffi::Py_TPFLAGS_HEAPTYPE) != 0
    }
}

/// A new instance of a type for which [`is_plainly_made`] holds.
#[inline(always)]
pub fn new(ty: TypePtr) -> Result<Own, Raised> {
    // SAFETY: a live heap type has an allocator.
    unsafe {
        match (*ty).tp_alloc {
            Some(alloc) => Own::from_new(alloc(ty, 0)),
            None => Own::from_new(ffi::PyType_GenericAlloc(ty, 0)),
        }
    }
}

/// Whether attributes of the type's instances are read by the generic function.
pub fn reads_plainly(ty: TypePtr) -> bool {
    // SAFETY: a live type.
    unsafe {
        (*ty).tp_getattro.map(|f| f as usize)
            == Some(ffi::PyObject_GenericGetAttr as *const () as usize)
    }
}

/// Whether a type was made at run time: by a class statement, mostly.
#[inline(always)]
pub fn is_heap_type(ty: TypePtr) -> bool {
    // SAFETY: a live type.
    unsafe { ffi::PyType_HasFeature(ty, ffi::Py_TPFLAGS_HEAPTYPE) != 0 }
}

/// Whether instances have a `__dict__`.
pub fn has_dict(ty: TypePtr) -> bool {
    // SAFETY: a live type. From 3.11 on a managed dict has a flag (bit 4) and,
    // depending on the version, a negative offset.
    unsafe {
        (*ty).tp_dictoffset != 0 || (cfg!(Py_3_11) && ffi::PyType_HasFeature(ty, 1 << 4) != 0)
    }
}

/// Whether an object is a class whose names are read as `type` reads them: its
/// metaclass is `type`, or one that changes nothing in that.
pub fn is_plain_class(obj: Obj) -> bool {
    let meta = obj.ty();
    let type_type = &raw mut ffi::PyType_Type;
    if meta == type_type {
        return true;
    }
    let names = crate::types::get();
    let same = |name: &Own| {
        super::type_lookup(meta, name.obj()) == super::type_lookup(type_type, name.obj())
    };
    // SAFETY: live types.
    let reads_plainly = unsafe {
        (*meta).tp_getattro.map(|f| f as usize) == (*type_type).tp_getattro.map(|f| f as usize)
    };
    obj.is_class() && reads_plainly && same(&names.module) && same(&names.qualname)
}
