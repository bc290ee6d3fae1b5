//! Instances: attribute dicts, slots, and attributes set straight.

use super::{Obj, Own, TypePtr};
#[cfg(known_dicts)]
use super::{dict, values::Values};
use crate::error::{OrNone, Raised};
use pyo3::ffi;

/// The instance's `__dict__`, made if it has none yet. Needs an object whose
/// type gives its instances a dict.
#[inline(always)]
pub fn dict(obj: Obj) -> Result<Own, Raised> {
    #[cfg(known_dicts)]
    if let Some(dict) = managed_dict(obj) {
        return Ok(dict.own());
    }
    // SAFETY: alive; a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyObject_GenericGetDict(obj.ptr(), core::ptr::null_mut())) }
}

/// The dict of an object that keeps it in front of itself, if it has been made.
#[cfg(known_dicts)]
#[inline(always)]
fn managed_dict(obj: Obj) -> Option<Obj> {
    // SAFETY: a type with this flag (bit 4) has room for the pointer three words
    // before its instances (internal/pycore_object.h); it is null, or in 3.12
    // odd, where there is no dict.
    unsafe {
        if ffi::PyType_HasFeature(obj.ty(), 1 << 4) == 0 {
            return None;
        }
        let found = *obj.ptr().cast::<*mut ffi::PyObject>().sub(3);
        if found as usize & 1 != 0 { None } else { Obj::borrowed(found) }
    }
}

/// Where the attributes of an instance are, read without making a dict.
#[cfg_attr(not(known_dicts), expect(dead_code, reason = "no layout tells where"))]
pub enum Attributes {
    /// It has none.
    Empty,
    /// In its dict.
    Dict(Obj),
    /// In the instance itself.
    Inline(Inline),
}

/// Attributes that an instance holds without a dict: values in the instance,
/// keys in its class. Valid as long as nothing changes the instance.
#[derive(Clone, Copy, Debug)]
pub struct Inline {
    /// The first of the keys that the class has for its instances.
    #[cfg(known_dicts)]
    keys: *const *mut ffi::PyObject,
    #[cfg(known_dicts)]
    values: Values,
    len: isize,
}

impl Inline {
    /// How many attributes there are.
    #[inline(always)]
    pub fn len(&self) -> isize {
        self.len
    }

    /// Name and value of an attribute, in the order in which they were set.
    #[inline(always)]
    pub fn get(&self, at: isize) -> (Obj, Obj) {
        debug_assert!(at < self.len);
        #[cfg(known_dicts)]
        // SAFETY: in bounds; the class holds the key, the instance the value.
        unsafe {
            let (index, value) = self.values.get(at);
            (Obj::new(*self.keys.add(index * 2)), Obj::new(value))
        }
        #[cfg(not(known_dicts))]
        unreachable!("this version's instances are not read inline")
    }
}

/// Where an instance's attributes are; `None` where this version's layout is
/// not known. Needs an object whose type gives its instances a dict.
#[cfg(known_dicts)]
#[inline(always)]
pub fn attributes(obj: Obj) -> Option<Attributes> {
    if let Some(dict) = managed_dict(obj) {
        return Some(Attributes::Dict(dict));
    }
    // SAFETY: as in `managed_dict`; an instance of a heap type with the flag has
    // its values where the version's internal/pycore_object.h says, and its
    // class holds the keys.
    unsafe {
        let ty = obj.ty();
        if ffi::PyType_HasFeature(ty, 1 << 4) == 0 {
            let offset = (*ty).tp_dictoffset;
            if offset <= 0 {
                return None;
            }
            let dict = *obj.ptr().byte_offset(offset).cast::<*mut ffi::PyObject>();
            return Some(Obj::borrowed(dict).map_or(Attributes::Empty, Attributes::Dict));
        }
        let Some(values) = inline_values(obj) else { return Some(Attributes::Empty) };
        let keys = dict::first_entry(shared_keys(ty)?);
        let len = values.len();
        if len == 0 {
            return Some(Attributes::Empty);
        }
        Some(Attributes::Inline(Inline { keys, values, len: len.into() }))
    }
}

/// As above: not known.
#[cfg(not(known_dicts))]
pub fn attributes(_obj: Obj) -> Option<Attributes> {
    None
}

/// The values of an instance with a managed dict that has not been made.
///
/// # Safety
/// The type must have the flag of a managed dict, and the object no dict.
#[cfg(known_dicts)]
#[inline(always)]
unsafe fn inline_values(obj: Obj) -> Option<Values> {
    // SAFETY: 3.11 has a pointer to them four words before the instance; 3.12
    // three words before it, less one; from 3.13 on they are after the instance, if its
    // type has a flag (bit 2) and their fourth byte is not zero.
    unsafe {
        #[cfg(not(Py_3_12))]
        let values = *obj.ptr().cast::<*const core::ffi::c_void>().sub(4);
        #[cfg(all(Py_3_12, not(Py_3_13)))]
        let values = {
            let word = *obj.ptr().cast::<usize>().sub(3);
            if word == 0 { core::ptr::null() } else { (word + 1) as *const core::ffi::c_void }
        };
        #[cfg(Py_3_13)]
        let values = {
            let after = obj.ptr().cast::<u8>().offset((*obj.ty()).tp_basicsize);
            let valid = ffi::PyType_HasFeature(obj.ty(), 1 << 2) != 0 && *after.add(3) != 0;
            if valid { after.cast::<core::ffi::c_void>().cast_const() } else { core::ptr::null() }
        };
        (!values.is_null()).then(|| Values::of(values))
    }
}

/// The keys that a class has for the values of its instances.
///
/// # Safety
/// The type must have the flag of a managed dict.
#[cfg(known_dicts)]
#[inline(always)]
unsafe fn shared_keys(ty: TypePtr) -> Option<*const dict::Keys> {
    if !is_heap_type(ty) {
        return None;
    }
    // SAFETY: a heap type, alive as its instance is.
    let keys = unsafe { (*ty.cast::<ffi::PyHeapTypeObject>()).ht_cached_keys };
    (!keys.is_null()).then_some(keys.cast::<dict::Keys>().cast_const())
}

/// Gives an instance without attributes those of the pairs from `from` on,
/// which are taken off the stack, where its class knows their names and it has
/// room for them without a dict; false, with nothing done, if not. The names
/// are interned. `places` is a memory of where they go, for the next instance.
#[cfg(known_dicts)]
#[inline(always)]
pub fn fill(obj: Obj, stack: &mut Vec<Own>, from: usize, places: &mut Vec<u8>) -> bool {
    let ty = obj.ty();
    // SAFETY: as in `attributes`: the values of an instance of a heap type, and
    // the keys that its class has for them. Places are within the keys, which
    // instances have room for (`shared_keys_usable_size` in Objects/dictobject.c,
    // which never grows), are empty as there are no attributes, and each is
    // filled once, with the stack's reference.
    unsafe {
        if ffi::PyType_HasFeature(ty, 1 << 4) == 0 || managed_dict(obj).is_some() {
            return false;
        }
        let Some(keys) = shared_keys(ty) else { return false };
        let Some(values) = inline_values(obj) else { return false };
        if values.len() != 0 || (stack.len() - from) / 2 > values.room() {
            return false;
        }
        let (names, known) = (dict::first_entry(keys), dict::entries(keys));
        let mut filled = 0_u64;
        for (at, pair) in stack[from..].chunks_exact(2).enumerate() {
            let is_at = |place: usize| *names.add(2 * place) == pair[0].ptr();
            let place = match places.get(at) {
                Some(place) if usize::from(*place) < known && is_at((*place).into()) => *place,
                _ => {
                    let Some(place) = (0..known).find(|place| is_at(*place)) else { return false };
                    let place = place as u8;
                    places.truncate(at);
                    places.push(place);
                    place
                }
            };
            if place >= 64 || !values.has(place) || filled >> place & 1 != 0 {
                return false;
            }
            filled |= 1 << place;
        }
        let pairs = (stack.len() - from) / 2;
        for (at, object) in stack.drain(from..).enumerate() {
            if at % 2 == 1 {
                values.put(at as isize / 2, places[at / 2], object.into_ptr());
            }
        }
        values.set_len(pairs);
    }
    true
}

/// As above: not for this version.
#[cfg(not(known_dicts))]
pub fn fill(_obj: Obj, _stack: &mut Vec<Own>, _from: usize, _places: &mut Vec<u8>) -> bool {
    false
}

/// The object in a slot at a byte offset, if it is set.
#[inline(always)]
pub fn slot(obj: Obj, offset: isize) -> Option<Obj> {
    // SAFETY: the offset is that of a member descriptor of the object's type,
    // of kind T_OBJECT_EX: a pointer that is null or a reference held there.
    unsafe { Obj::borrowed(*obj.ptr().byte_offset(offset).cast::<*mut ffi::PyObject>()) }
}

/// The byte offset of the slot that a member descriptor stands for in instances of a type;
/// `None` if the object is no such descriptor of a plain slot, or one of another class,
/// whose instances may be larger.
pub fn member_offset(ty: TypePtr, descriptor: Obj) -> Option<isize> {
    // SAFETY: the type check makes the cast right (Include/cpython/descrobject.h);
    // a descriptor's member definition lives as long as it does.
    unsafe {
        if descriptor.ty() != &raw mut ffi::PyMemberDescr_Type {
            return None;
        }
        if ffi::PyType_IsSubtype(ty, descriptor_class(descriptor).ptr().cast()) == 0 {
            return None;
        }
        let member = (*descriptor.ptr().cast::<MemberDescr>()).member;
        ((*member).type_code == ffi::Py_T_OBJECT_EX).then_some((*member).offset)
    }
}

/// As [`member_offset`], for a slot of a class that is set as `setattr` sets it: where it lies.
pub fn settable_offset(ty: TypePtr, descriptor: Obj) -> Option<isize> {
    let offset = member_offset(ty, descriptor)?;
    // SAFETY: `member_offset` found a member descriptor.
    let flags = unsafe { (*(*descriptor.ptr().cast::<MemberDescr>()).member).flags };
    (flags & ffi::Py_READONLY == 0).then_some(offset)
}

/// Puts an object into the slot at a byte offset; what was there is dropped.
#[inline(always)]
pub fn put_slot(obj: Obj, offset: isize, value: Own) {
    // SAFETY: as for `slot`; the object takes over the reference, and the one to what
    // was there is ours once it is no longer there.
    unsafe {
        let place = obj.ptr().byte_offset(offset).cast::<*mut ffi::PyObject>();
        let before = core::ptr::replace(place, value.into_ptr());
        ffi::Py_XDECREF(before);
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
    // SAFETY: a live heap type has an allocator. Up to 3.12 it does not make the
    // values of attributes: `object.__new__` does.
    unsafe {
        #[cfg(all(Py_3_11, not(Py_3_13)))]
        if ffi::PyType_HasFeature(ty, 1 << 4) != 0
            && let Some(new) = ffi::PyBaseObject_Type.tp_new
        {
            return Own::from_new(new(ty, super::new_tuple(&[])?.ptr(), core::ptr::null_mut()));
        }
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

/// Whether attributes of the type's instances are set by the generic function.
pub fn sets_plainly(ty: TypePtr) -> bool {
    // SAFETY: a live type.
    unsafe {
        (*ty).tp_setattro.map(|f| f as usize)
            == Some(ffi::PyObject_GenericSetAttr as *const () as usize)
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

/// Whether a class was made by a class statement or a call of `type`: its
/// instances are freed by the function that all such classes share.
pub fn is_python_made(ty: TypePtr) -> bool {
    let Some(dealloc) = python_dealloc() else { return false };
    // SAFETY: a live type.
    unsafe { is_heap_type(ty) && (*ty).tp_dealloc.map(|f| f as usize) == Some(dealloc) }
}

/// `subtype_dealloc` (`Objects/typeobject.c`), read off a class of our own.
fn python_dealloc() -> Option<usize> {
    static DEALLOC: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *DEALLOC.get_or_init(|| {
        let name = super::new_str("probe").or_none()?;
        let (bases, namespace) = (super::new_tuple(&[]).or_none()?, super::new_dict(0).or_none()?);
        // SAFETY: `type` is alive as long as the interpreter.
        let meta = unsafe { Obj::new((&raw mut ffi::PyType_Type).cast()) };
        let class = meta.call(&[name.obj(), bases.obj(), namespace.obj()]).or_none()?;
        // SAFETY: a class that was just made.
        unsafe { (*class.ptr().cast::<ffi::PyTypeObject>()).tp_dealloc.map(|f| f as usize) }
    })
}

/// The classes of an MRO, the class itself first.
pub fn mro(ty: TypePtr) -> impl Iterator<Item = Obj> {
    // SAFETY: a live, ready type has an MRO, a tuple of classes, held by it.
    let mro = unsafe { Obj::borrowed((*ty).tp_mro) };
    let len = mro.map_or(0, super::tuple_len);
    (0..len).filter_map(move |i| mro.map(|mro| super::tuple_get(mro, i)))
}

/// The base whose layout the class extends.
pub fn base(ty: TypePtr) -> Option<Obj> {
    // SAFETY: a live type; its base is null or alive.
    unsafe { Obj::borrowed((*ty).tp_base.cast()) }
}

/// The bases of a class, a tuple.
pub fn bases(ty: TypePtr) -> Result<Own, Raised> {
    // SAFETY: a live, ready type has a tuple of bases.
    match unsafe { Obj::borrowed((*ty).tp_bases) } {
        Some(bases) => Ok(bases.own()),
        None => super::new_tuple(&[]),
    }
}

/// The class's own dict.
pub fn class_dict(ty: TypePtr) -> Result<Own, Raised> {
    // SAFETY: a live, ready type has a dict.
    unsafe {
        #[cfg(Py_3_12)]
        return Own::from_new(ffi::PyType_GetDict(ty));
        #[cfg(not(Py_3_12))]
        return Ok(Obj::new((*ty).tp_dict).own());
    }
}

/// The class that a descriptor written in C belongs to.
pub fn descriptor_class(descriptor: Obj) -> Obj {
    // SAFETY: the caller checked that it is a member or getset descriptor, whose
    // structs begin alike; the class is held by it.
    unsafe { Obj::new((*descriptor.ptr().cast::<MemberDescr>()).class.cast()) }
}

/// Whether objects of the type can be referred to weakly.
pub fn has_weakrefs(ty: TypePtr) -> bool {
    // SAFETY: a live type. From 3.12 on a managed one has a flag (bit 3).
    unsafe {
        (*ty).tp_weaklistoffset != 0 || (cfg!(Py_3_12) && ffi::PyType_HasFeature(ty, 1 << 3) != 0)
    }
}

/// As [`has_weakrefs`], for the instances of a class.
pub fn instances_have_weakrefs(class: Obj) -> bool {
    has_weakrefs(class.ptr().cast())
}
