//! Types of the standard library and of NumPy whose reduction is known.

use super::Kind;
use super::look::{MANAGED_DICT, class_text, has_flag, is_from_module, is_object_default, is_text};
use super::plain::{has_default_getstate, slot_layout};
use crate::error::OrNone;
use crate::fast::{self, Obj, TypePtr, instance};
use crate::types;
use pyo3::ffi;

/// Types whose reduction is known by their C name.
pub(super) fn known_kind(ty: TypePtr, class: Obj) -> Option<Kind> {
    if !fast::is_type(class.ty()) {
        return numpy_dtype_kind(ty, class).or_else(|| enum_kind(ty, class));
    }
    // SAFETY: a live type's name is NUL-terminated.
    let name = unsafe { core::ffi::CStr::from_ptr((*ty).tp_name) }.to_bytes();
    let heap = has_flag(ty, ffi::Py_TPFLAGS_HEAPTYPE);
    if !heap || has_flag(ty, ffi::Py_TPFLAGS_IMMUTABLETYPE) {
        // Immutable: nobody can have changed what these do.
        return match name {
            b"datetime.date" => Some(Kind::Date),
            b"datetime.time" => Some(Kind::Time),
            b"datetime.datetime" => Some(Kind::DateTime),
            b"datetime.timedelta" => Some(Kind::TimeDelta),
            b"decimal.Decimal" => Some(Kind::Decimal),
            b"datetime.timezone"
            | b"collections.deque"
            | b"collections.OrderedDict"
            | b"collections.defaultdict"
            | b"range"
            | b"slice"
            | b"builtin_function_or_method"
            | b"array.array" => Some(Kind::CReduce),
            _ => numpy_kind(name),
        };
    }
    match name {
        b"UUID" => uuid_kind(ty),
        b"PurePosixPath" | b"PureWindowsPath" | b"PosixPath" | b"WindowsPath" => path_kind(ty),
        _ => named_tuple_kind(ty),
    }
}

/// NumPy's arrays and scalars: their reductions are C code that looks functions
/// up in modules which are loaded. (Its ufuncs and generators are not here:
/// theirs run Python.)
fn numpy_kind(name: &[u8]) -> Option<Kind> {
    match name.strip_prefix(b"numpy.")? {
        b"ndarray" => Some(Kind::NumpyArray),
        b"datetime64" | b"timedelta64" | b"void" | b"str_" | b"bytes_" | b"longdouble"
        | b"clongdouble" => Some(Kind::CReduce),
        rest => ferropickle_numpy::scalar::len(rest).map(|_| Kind::NumpyScalar),
    }
}

/// NumPy's dtypes: instances of classes whose metaclass is NumPy's own.
fn numpy_dtype_kind(ty: TypePtr, class: Obj) -> Option<Kind> {
    // SAFETY: a live type's name is NUL-terminated.
    let meta = unsafe { core::ffi::CStr::from_ptr((*class.ty()).tp_name) }.to_bytes();
    let own = meta == b"numpy._DTypeMeta"
        && !has_flag(ty, ffi::Py_TPFLAGS_HEAPTYPE)
        && !has_flag(class.ty(), ffi::Py_TPFLAGS_HEAPTYPE);
    own.then_some(Kind::CReduce)
}

fn uuid_kind(ty: TypePtr) -> Option<Kind> {
    let names = types::get();
    let stock = class_text(ty, names.module.obj()).is_some_and(|m| is_text(m.obj(), b"uuid"))
        && is_from_module(ty, names.getstate.obj(), c"uuid")
        && is_object_default(ty, names.reduce_ex.obj())
        && is_object_default(ty, names.reduce.obj())
        && fast::type_lookup(ty, names.getnewargs.obj()).is_none()
        && fast::type_lookup(ty, names.getnewargs_ex.obj()).is_none()
        && uuid_slots(ty).is_some();
    stock.then_some(Kind::Uuid)
}

/// Offsets of UUID's `int` and `is_safe` slots.
pub fn uuid_slots(ty: TypePtr) -> Option<(isize, isize)> {
    let names = types::get();
    let offset =
        |name| fast::type_lookup(ty, name).and_then(|found| instance::member_offset(ty, found));
    Some((offset(names.int.obj())?, offset(names.is_safe.obj())?))
}

/// 3.10 and 3.11: `__reduce__` is `(cls, tuple(self._parts))`; later versions
/// compute their parts lazily and go the general way.
fn path_kind(ty: TypePtr) -> Option<Kind> {
    let names = types::get();
    let stock = cfg!(not(Py_3_12))
        && class_text(ty, names.module.obj()).is_some_and(|m| is_text(m.obj(), b"pathlib"))
        && is_from_module(ty, names.reduce.obj(), c"pathlib")
        && is_object_default(ty, names.reduce_ex.obj())
        && path_parts(ty).is_some();
    stock.then_some(Kind::Path)
}

/// Offset of PurePath's `_parts` slot.
pub fn path_parts(ty: TypePtr) -> Option<isize> {
    let name = fast::intern(c"_parts").or_none()?;
    fast::type_lookup(ty, name.obj()).and_then(|found| instance::member_offset(ty, found))
}

/// A class made by `collections.namedtuple`: a tuple subclass with no state,
/// whose `__getnewargs__` is the generated one (`tuple(self)`).
fn named_tuple_kind(ty: TypePtr) -> Option<Kind> {
    let names = types::get();
    // SAFETY: a live type; its base is null or alive.
    let is_tuple_child = unsafe { (*ty).tp_base } == &raw mut ffi::PyTuple_Type;
    let plain = is_tuple_child
        // SAFETY: a live type.
        && unsafe { (*ty).tp_dictoffset } == 0
        && !has_flag(ty, MANAGED_DICT)
        && is_generated_getnewargs(ty)
        && fast::type_lookup(ty, names.getnewargs_ex.obj()).is_none()
        && is_object_default(ty, names.reduce_ex.obj())
        && is_object_default(ty, names.reduce.obj())
        && has_default_getstate(ty)
        && is_object_default(ty, names.class.obj())
        && instance::reads_plainly(ty)
        && slot_layout(ty).is_some_and(|slots| slots.is_empty());
    plain.then_some(Kind::NamedTuple)
}

fn is_generated_getnewargs(ty: TypePtr) -> bool {
    let names = types::get();
    let Some(function) = fast::type_lookup(ty, names.getnewargs.obj()) else { return false };
    if !fast::is_function(function.ty()) {
        return false;
    }
    // `namedtuple` writes the method with `_tuple` as its only global or cell.
    is_from_module(ty, names.getnewargs.obj(), c"collections")
}

/// Members of plain enums, by the reduction of the running version's `enum`.
fn enum_kind(ty: TypePtr, class: Obj) -> Option<Kind> {
    let meta = class.ty();
    let enum_module = fast::intern(c"enum").or_none()?;
    let module = types::loaded_module(enum_module.obj())?;
    if !fast::is_module(module.ty()) {
        return None;
    }
    // SAFETY: a module has a dict.
    let dict = unsafe { Obj::new(ffi::PyModule_GetDict(module.ptr())) };
    let get = |name: &core::ffi::CStr| {
        fast::intern(name).or_none().and_then(|name| fast::dict_get(dict, name.obj()))
    };
    let names = types::get();
    let (enum_meta, enum_base) = (get(c"EnumMeta")?, get(c"Enum")?);
    // SAFETY: `enum.Enum` is a class.
    let base = enum_base.is_class().then(|| enum_base.ptr().cast::<ffi::PyTypeObject>())?;
    let stock = meta as usize == enum_meta.addr()
        && fast::type_lookup(ty, names.reduce_ex.obj())
            == fast::type_lookup(base, names.reduce_ex.obj())
        && is_from_module(ty, names.reduce_ex.obj(), c"enum")
        && instance::reads_plainly(ty);
    stock.then_some(Kind::Enum)
}
