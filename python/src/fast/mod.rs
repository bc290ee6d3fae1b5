//! Raw access to Python objects: the hot paths of walker and builder.
//!
//! # Safety
//!
//! Two handles carry the invariants of everything built on them:
//!
//! * [`Obj`] is a pointer to an object that is alive while the handle is used.
//!   Nothing checks that: the walker and the builder keep it true by the rules
//!   at the head of `walk/mod.rs` (who holds a reference, and when).
//! * [`Own`] is an `Obj` that owns one reference.
//!
//! All functions need the GIL (an attached thread state). The entry points in
//! `api.rs`, `pickler.rs` and `unpickler.rs` get it from PyO3 and hold it for
//! the whole call; neither handle is `Send`.
//!
//! Whatever reads the fields of an object's struct is in this folder, with the
//! versions it was read for; the layout test holds it. Fields of types are the
//! exception: `PyTypeObject` is documented, and `classify/` and others read it.

pub mod datetime;
mod dict;
pub mod function;
pub mod instance;
pub mod long;
mod private;
pub mod sequence;
mod set;
pub mod storage;
pub mod text;
#[cfg(known_dicts)]
mod values;

pub use dict::{
    end as dict_end, has_keys as dict_has_keys, items as dict_items, len as dict_len,
    like as dict_like, model as dict_model, next as dict_next,
};
pub use set::{chunk as set_chunk, end as set_end, len as set_len, next as set_next};

use crate::error::Raised;
use core::ffi::c_char;
use core::ptr::NonNull;
use pyo3::ffi;

/// A live Python object, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Obj(NonNull<ffi::PyObject>);

/// A Python object with one reference owned.
#[repr(transparent)]
pub struct Own(Obj);

pub type TypePtr = *mut ffi::PyTypeObject;

impl Obj {
    /// A handle on a borrowed pointer; `None` if it is null.
    ///
    /// # Safety
    /// The object must stay alive while the handle is used.
    #[inline(always)]
    pub unsafe fn borrowed(ptr: *mut ffi::PyObject) -> Option<Obj> {
        NonNull::new(ptr).map(Obj)
    }

    /// A handle on a borrowed pointer that is not null.
    ///
    /// # Safety
    /// As [`Obj::borrowed`]; the pointer must not be null.
    #[inline(always)]
    pub unsafe fn new(ptr: *mut ffi::PyObject) -> Obj {
        debug_assert!(!ptr.is_null());
        // SAFETY: not null by the caller's contract.
        Obj(unsafe { NonNull::new_unchecked(ptr) })
    }

    #[inline(always)]
    pub fn ptr(self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// The object's identity.
    #[inline(always)]
    pub fn addr(self) -> usize {
        self.0.as_ptr() as usize
    }

    #[inline(always)]
    pub fn ty(self) -> TypePtr {
        // SAFETY: the object is alive.
        unsafe { ffi::Py_TYPE(self.ptr()) }
    }

    /// The object's type as an object.
    #[inline(always)]
    pub fn ty_obj(self) -> Obj {
        // SAFETY: a live object keeps its type alive.
        unsafe { Obj::new(self.ty().cast()) }
    }

    #[inline(always)]
    pub fn refcnt(self) -> isize {
        // SAFETY: the object is alive.
        unsafe { ffi::Py_REFCNT(self.ptr()) as isize }
    }

    #[inline(always)]
    pub fn incref(self) {
        // SAFETY: the object is alive.
        unsafe { ffi::Py_INCREF(self.ptr()) }
    }

    /// Gives up a reference taken with [`Obj::incref`].
    #[inline(always)]
    pub fn decref(self) {
        // SAFETY: the caller owns the reference, taken by `incref`.
        unsafe { ffi::Py_DECREF(self.ptr()) }
    }

    /// A reference of our own.
    #[inline(always)]
    pub fn own(self) -> Own {
        self.incref();
        Own(self)
    }

    /// Whether the type is a subclass of `type`: the object is a class.
    pub fn is_class(self) -> bool {
        // SAFETY: the type of a live object is alive.
        unsafe { ffi::PyType_Check(self.ptr()) != 0 }
    }

    pub fn is_none(self) -> bool {
        self == none()
    }

    /// Attribute by an interned name; runs what the attribute runs.
    pub fn getattr(self, name: Obj) -> Result<Own, Raised> {
        // SAFETY: both are alive; a new reference or null with an error set.
        unsafe { Own::from_new(ffi::PyObject_GetAttr(self.ptr(), name.ptr())) }
    }

    /// As [`Obj::getattr`], `None` where there is no such attribute.
    pub fn getattr_opt(self, name: Obj) -> Result<Option<Own>, Raised> {
        let mut found = core::ptr::null_mut();
        // SAFETY: both are alive; see `private.rs` for the three results.
        unsafe {
            match private::PyObject_GetOptionalAttr(self.ptr(), name.ptr(), &mut found) {
                1 => Own::from_new(found).map(Some),
                0 => Ok(None),
                _ => Err(Raised::set()),
            }
        }
    }

    /// Calls the object with positional arguments.
    pub fn call(self, args: &[Obj]) -> Result<Own, Raised> {
        // SAFETY: an Obj is a pointer to a live object (repr transparent), so
        // the slice is an argument vector.
        unsafe {
            Own::from_new(ffi::PyObject_Vectorcall(
                self.ptr(),
                args.as_ptr().cast(),
                args.len(),
                core::ptr::null_mut(),
            ))
        }
    }
}

impl core::ops::Deref for Own {
    type Target = Obj;
    #[inline(always)]
    fn deref(&self) -> &Obj {
        &self.0
    }
}

impl Drop for Own {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.decref();
    }
}

impl Clone for Own {
    #[inline(always)]
    fn clone(&self) -> Own {
        self.0.own()
    }
}

impl Own {
    /// Takes over a new reference; null means that an exception is set.
    ///
    /// # Safety
    /// `ptr` must be null with an exception set, or a reference to own.
    #[inline(always)]
    pub unsafe fn from_new(ptr: *mut ffi::PyObject) -> Result<Own, Raised> {
        match NonNull::new(ptr) {
            Some(ptr) => Ok(Own(Obj(ptr))),
            None => Err(Raised::set()),
        }
    }

    #[inline(always)]
    pub fn obj(&self) -> Obj {
        self.0
    }

    /// Gives the reference away as a pointer.
    #[inline(always)]
    pub fn into_ptr(self) -> *mut ffi::PyObject {
        let ptr = self.0.ptr();
        core::mem::forget(self);
        ptr
    }
}

/// Exceptions that the raw layer names.
#[derive(Clone, Copy)]
#[allow(clippy::enum_variant_names, reason = "the names are Python's")]
pub enum Exc {
    AttributeError,
    TypeError,
    RuntimeError,
    KeyError,
    ValueError,
    EofError,
    NotImplementedError,
    RecursionError,
    OverflowError,
}

/// The exception's class.
pub fn unsafe_exc(which: Exc) -> Obj {
    // SAFETY: the interpreter's exception classes live as long as it does.
    unsafe {
        Obj::new(match which {
            Exc::AttributeError => ffi::PyExc_AttributeError,
            Exc::TypeError => ffi::PyExc_TypeError,
            Exc::RuntimeError => ffi::PyExc_RuntimeError,
            Exc::KeyError => ffi::PyExc_KeyError,
            Exc::ValueError => ffi::PyExc_ValueError,
            Exc::EofError => ffi::PyExc_EOFError,
            Exc::OverflowError => ffi::PyExc_OverflowError,
            Exc::RecursionError => ffi::PyExc_RecursionError,
            Exc::NotImplementedError => ffi::PyExc_NotImplementedError,
        })
    }
}

macro_rules! exact_types {
    ($($name:ident => $raw:ident;)*) => {
        $(
            /// Whether a type is exactly this one.
            #[inline(always)]
            pub fn $name(ty: TypePtr) -> bool {
                ty == &raw mut ffi::$raw
            }
        )*
    };
}

exact_types! {
    is_str => PyUnicode_Type;
    is_int => PyLong_Type;
    is_float => PyFloat_Type;
    is_bool => PyBool_Type;
    is_list => PyList_Type;
    is_dict => PyDict_Type;
    is_tuple => PyTuple_Type;
    is_bytes => PyBytes_Type;
    is_set => PySet_Type;
    is_frozenset => PyFrozenSet_Type;
    is_bytearray => PyByteArray_Type;
    is_type => PyType_Type;
    is_function => PyFunction_Type;
    is_module => PyModule_Type;
}

#[inline(always)]
pub fn is_true(obj: Obj) -> bool {
    // SAFETY: reads the address of a static.
    obj.ptr() == unsafe { ffi::Py_True() }
}

// ---- containers; each needs an object of the exact or a derived type ----

#[inline(always)]
pub fn list_len(list: Obj) -> isize {
    // SAFETY: the caller checked the type.
    unsafe { ffi::PyList_GET_SIZE(list.ptr()) }
}

/// Puts the items of one list at the end of another.
pub fn extend(list: Obj, items: Obj) -> Result<(), Raised> {
    let len = list_len(list);
    // SAFETY: both are lists; -1 with an error set.
    let failed = unsafe { ffi::PyList_SetSlice(list.ptr(), len, len, items.ptr()) } < 0;
    if failed { Err(Raised::set()) } else { Ok(()) }
}

/// Item `i`, which must be below the length.
#[inline(always)]
pub fn list_get(list: Obj, i: isize) -> Obj {
    debug_assert!(i < list_len(list));
    // SAFETY: in bounds; the list holds a reference to the item.
    unsafe { Obj::new(ffi::PyList_GET_ITEM(list.ptr(), i)) }
}

#[inline(always)]
pub fn tuple_len(tuple: Obj) -> isize {
    // SAFETY: the caller checked the type.
    unsafe { ffi::PyTuple_GET_SIZE(tuple.ptr()) }
}

/// Item `i`, which must be below the length.
#[inline(always)]
pub fn tuple_get(tuple: Obj, i: isize) -> Obj {
    debug_assert!(i < tuple_len(tuple));
    // SAFETY: in bounds; the tuple holds a reference to the item.
    unsafe { Obj::new(ffi::PyTuple_GET_ITEM(tuple.ptr(), i)) }
}

/// The items, borrowed from the tuple.
pub fn tuple_items(tuple: Obj) -> impl Iterator<Item = Obj> {
    (0..tuple_len(tuple)).map(move |i| tuple_get(tuple, i))
}

/// How deep tuples are looked into that are keys.
const DEEPEST_KEY: u32 = 8;

/// Whether a key is a leaf, or a tuple of leaves: its hash and comparisons run no
/// code of the user's.
pub fn is_leaf_key(key: Obj) -> bool {
    is_leaf_key_at(key, 0)
}

fn is_leaf_key_at(key: Obj, depth: u32) -> bool {
    let ty = key.ty();
    if is_tuple(ty) {
        return depth < DEEPEST_KEY && tuple_items(key).all(|item| is_leaf_key_at(item, depth + 1));
    }
    is_str(ty) || is_int(ty) || is_float(ty) || is_bytes(ty) || is_bool(ty) || key.is_none()
}

/// None.
#[inline(always)]
pub fn none() -> Obj {
    // SAFETY: a singleton that lives as long as the interpreter.
    unsafe { Obj::new(ffi::Py_None()) }
}

/// Borrowed look-up by an exact str key (hash and equality run no user code).
#[inline(always)]
pub fn dict_get(dict: Obj, key: Obj) -> Option<Obj> {
    // SAFETY: a dict by the caller's check; a borrowed reference or null.
    unsafe {
        let found = ffi::PyDict_GetItemWithError(dict.ptr(), key.ptr());
        if found.is_null() && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
        }
        Obj::borrowed(found)
    }
}

#[inline(always)]
pub fn bytes_data<'a>(bytes: Obj) -> &'a [u8] {
    // SAFETY: the caller checked the type; bytes are immutable and alive.
    unsafe {
        let len = ffi::Py_SIZE(bytes.ptr()) as usize;
        core::slice::from_raw_parts(ffi::PyBytes_AS_STRING(bytes.ptr()).cast(), len)
    }
}

/// The bytes of a bytearray; copy them before any Python code runs.
pub fn bytearray_data<'a>(bytearray: Obj) -> &'a [u8] {
    // SAFETY: the caller checked the type and lets nothing run while it reads.
    unsafe {
        let len = ffi::PyByteArray_Size(bytearray.ptr()) as usize;
        core::slice::from_raw_parts(ffi::PyByteArray_AsString(bytearray.ptr()).cast(), len)
    }
}

#[inline(always)]
pub fn float_value(float: Obj) -> f64 {
    // SAFETY: the caller checked the type.
    unsafe { ffi::PyFloat_AS_DOUBLE(float.ptr()) }
}

/// An iterator over the object.
pub fn iter(obj: Obj) -> Result<Own, Raised> {
    // SAFETY: alive; a new reference or null with an error set.
    unsafe { Own::from_new(ffi::PyObject_GetIter(obj.ptr())) }
}

/// The iterator's next item.
#[inline]
pub fn iter_next(iterator: Obj) -> Result<Option<Own>, Raised> {
    // SAFETY: alive and an iterator; a new reference, or null with or without
    // an error set.
    unsafe {
        let item = ffi::PyIter_Next(iterator.ptr());
        if item.is_null() {
            if ffi::PyErr_Occurred().is_null() { Ok(None) } else { Err(Raised::set()) }
        } else {
            Own::from_new(item).map(Some)
        }
    }
}

/// The type's attribute along its MRO, descriptors not called. Runs no code.
#[inline(always)]
pub fn type_lookup(ty: TypePtr, name: Obj) -> Option<Obj> {
    // SAFETY: a live type and an interned str; a borrowed reference or null.
    unsafe { Obj::borrowed(private::_PyType_Lookup(ty, name.ptr())) }
}

/// The type's version, 0 if it has none: two equal non-zero versions mean that
/// nothing in the type or its bases changed in between.
#[inline(always)]
pub fn type_version(ty: TypePtr) -> u32 {
    // SAFETY: a live type.
    unsafe {
        #[cfg(not(Py_3_12))]
        if ffi::PyType_HasFeature(ty, ffi::Py_TPFLAGS_VALID_VERSION_TAG) == 0 {
            return 0;
        }
        (*ty).tp_version_tag
    }
}

/// An interned str made from a literal.
pub fn intern(text: &core::ffi::CStr) -> Result<Own, Raised> {
    // SAFETY: a NUL-terminated text; a new reference or null with an error.
    unsafe { Own::from_new(ffi::PyUnicode_InternFromString(text.as_ptr())) }
}

/// A str made from UTF-8.
pub fn new_str(text: &str) -> Result<Own, Raised> {
    // SAFETY: pointer and length of a live str.
    unsafe {
        Own::from_new(ffi::PyUnicode_FromStringAndSize(
            text.as_ptr().cast::<c_char>(),
            text.len() as isize,
        ))
    }
}

/// An audit event about finding a class (`sys.addaudithook`).
pub fn audit_find_class(module: Obj, name: Obj) -> Result<(), Raised> {
    // SAFETY: the format takes two objects, both alive; -1 with an error set.
    let refused = unsafe {
        private::PySys_Audit(
            c"pickle.find_class".as_ptr(),
            c"OO".as_ptr(),
            module.ptr(),
            name.ptr(),
        )
    };
    if refused < 0 { Err(Raised::set()) } else { Ok(()) }
}

/// An empty dict with room for `len` entries.
pub fn new_dict(len: isize) -> Result<Own, Raised> {
    // SAFETY: a new reference or null with an error set.
    unsafe { Own::from_new(private::_PyDict_NewPresized(len)) }
}

/// A tuple of the objects.
pub fn new_tuple(items: &[Obj]) -> Result<Own, Raised> {
    // SAFETY: every slot of the new tuple is filled with a reference of its own.
    unsafe {
        let tuple = Own::from_new(ffi::PyTuple_New(items.len() as isize))?;
        for (i, item) in items.iter().enumerate() {
            item.incref();
            ffi::PyTuple_SET_ITEM(tuple.ptr(), i as isize, item.ptr());
        }
        Ok(tuple)
    }
}

/// The dict of a module; `None` for what stands in the place of one.
pub fn module_dict(module: Obj) -> Option<Obj> {
    if !is_module(module.ty()) {
        return None;
    }
    // SAFETY: a module has a dict, borrowed.
    unsafe { Obj::borrowed(ffi::PyModule_GetDict(module.ptr())) }
}

/// Whether a set or frozenset has an element.
pub fn set_contains(set: Obj, element: Obj) -> Result<bool, Raised> {
    // SAFETY: a set by the caller's check; -1 with an error set.
    match unsafe { ffi::PySet_Contains(set.ptr(), element.ptr()) } {
        -1 => Err(Raised::set()),
        found => Ok(found != 0),
    }
}

/// Asks for the memory at an address that will be read soon. Any address will do.
#[inline(always)]
pub fn prefetch(_at: *const u8) {
    // SAFETY: a hint to the processor, which reads nothing.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(_at.cast());
    }
}

/// Asks for the memory in which a dict or list has its items.
#[inline(always)]
pub fn prefetch_items(obj: Obj) {
    let ty = obj.ty();
    if is_dict(ty) {
        prefetch(dict::place(obj));
    } else if is_list(ty) {
        // SAFETY: a list by the check.
        prefetch(unsafe { (*obj.ptr().cast::<ffi::PyListObject>()).ob_item.cast() });
    }
}
