//! Types whose instances are written as `object.__reduce_ex__` would: class, `__dict__`
//! and slots; and by which method the others are asked.

use super::look::{
    MANAGED_DICT, class_text, has_flag, is_abc_meta, is_named, is_object_default, is_text,
    type_dict,
};
use super::{Asked, Plan, Slot};
use crate::error::OrNone;
use crate::fast::{self, Obj, Own, TypePtr, instance};
use crate::types;
use pyo3::ffi;

/// By which method `object.__reduce_ex__` gets at the instances of a type
/// (`object___reduce_ex___impl` and `reduce_newobj` in `Objects/typeobject.c`).
pub(super) fn asked(ty: TypePtr, class: Obj) -> Asked {
    let names = types::get();
    let plain_meta = fast::is_type(class.ty()) || is_abc_meta(class.ty());
    let default = |name: &Own| is_object_default(ty, name.obj());
    let own = |name: &Own| fast::type_lookup(ty, name.obj());
    if !plain_meta || !instance::reads_plainly(ty) || !default(&names.reduce_ex) {
        return Asked::ReduceEx;
    }
    if !default(&names.reduce) {
        let is_method = own(&names.reduce).is_some_and(|method| {
            fast::is_function(method.ty()) || method.ty() == &raw mut ffi::PyMethodDescr_Type
        });
        return if is_method { Asked::Reduce } else { Asked::ReduceEx };
    }
    let has_items = has_flag(ty, ffi::Py_TPFLAGS_LIST_SUBCLASS)
        || has_flag(ty, ffi::Py_TPFLAGS_DICT_SUBCLASS)
        || has_flag(ty, ffi::Py_TPFLAGS_TYPE_SUBCLASS);
    // SAFETY: a live type.
    let can_be_made = unsafe { (*ty).tp_new.is_some() };
    let of_state = own(&names.getstate).is_some_and(|method| fast::is_function(method.ty()))
        && own(&names.getnewargs).is_none()
        && own(&names.getnewargs_ex).is_none()
        && default(&names.class)
        && !has_items
        && can_be_made;
    if of_state { Asked::GetState } else { Asked::ReduceEx }
}

/// Classes whose instances look plain but hold what belongs to the process:
/// `ferropickle.reducers` writes these, subclasses too.
const SEEMINGLY_PLAIN: [(&[u8], &[&[u8]]); 27] = [
    (b"asyncio.events", &[b"AbstractEventLoop"]),
    (b"threading", &[b"Condition", b"BoundedSemaphore", b"Barrier", b"_RLock", b"Thread"]),
    (b"weakref", &[b"WeakValueDictionary", b"WeakKeyDictionary", b"finalize"]),
    (b"tempfile", &[b"_TemporaryFileWrapper"]),
    (b"ctypes", &[b"CDLL"]),
    (b"subprocess", &[b"Popen"]),
    (b"logging", &[b"Handler"]),
    (b"gzip", &[b"GzipFile"]),
    (b"bz2", &[b"BZ2File"]),
    (b"lzma", &[b"LZMAFile"]),
    (b"cupy._core.fusion", &[b"Fusion"]),
    (b"cupy._functional.vectorize", &[b"vectorize"]),
    (b"cupy.cuda.pinned_memory", &[b"PinnedMemory"]),
    (b"cupy.cuda.stream", &[b"_BaseStream", b"Event"]),
    (b"cupyx.jit._interface", &[b"_JitRawKernel"]),
    (
        b"numba.cuda.cudadrv.driver",
        &[
            b"Context",
            b"CudaPythonFunction",
            b"CudaPythonModule",
            b"Device",
            b"Event",
            b"MemoryPointer",
            b"OwnedPointer",
            b"PinnedMemory",
            b"Stream",
        ],
    ),
    (b"numba.cuda.dispatcher", &[b"ForAll"]),
    (b"numba.cuda.simulator.kernel", &[b"FakeCUDAKernel"]),
    (b"numba.cuda.vectorizers", &[b"CUDAGeneralizedUFunc", b"CUDAUFuncDispatcher"]),
    (b"torch.cuda._utils", &[b"_CudaKernel", b"_CudaModule"]),
    (b"torch.cuda.graphs", &[b"CUDAGraph"]),
    (b"torch.cuda.memory", &[b"MemPool"]),
    (b"torch.cuda.streams", &[b"Event", b"Stream"]),
    (b"triton.compiler.compiler", &[b"CompiledKernel"]),
    (b"triton.runtime.autotuner", &[b"Autotuner", b"Heuristics"]),
    (b"triton.runtime.interpreter", &[b"InterpretedFunction"]),
    (b"triton.runtime.jit", &[b"ConstexprFunction", b"JITFunction"]),
];

pub(super) fn is_only_seemingly_plain(ty: TypePtr) -> bool {
    // SAFETY: a live, ready type has an MRO, a tuple of classes.
    let Some(mro) = (unsafe { Obj::borrowed((*ty).tp_mro) }) else { return false };
    (0..fast::tuple_len(mro)).any(|i| {
        let base: TypePtr = fast::tuple_get(mro, i).ptr().cast();
        // SAFETY: a live type's name is NUL-terminated.
        let name = unsafe { core::ffi::CStr::from_ptr((*base).tp_name) }.to_bytes();
        SEEMINGLY_PLAIN.iter().any(|(module, classes)| {
            classes.contains(&name)
                && class_text(base, types::get().module.obj())
                    .is_some_and(|found| is_text(found.obj(), module))
        })
    })
}

/// Whether instances may be arrays on a device: `ferropickle.reducers` asks
/// them what they are.
pub(super) fn offers_memory(ty: TypePtr) -> bool {
    let names = types::get();
    fast::type_lookup(ty, names.cuda_array_interface.obj()).is_some()
        || fast::type_lookup(ty, names.dlpack_device.obj()).is_some()
}

/// `functools.partialmethod`, which `object.__new__` no longer makes.
fn is_partial_method(ty: TypePtr) -> bool {
    is_named(ty, b"partialmethod", b"functools")
}

/// `MISSING`, `KW_ONLY` and the markers inside `Field` are compared by identity.
pub(super) fn is_marker(ty: TypePtr) -> bool {
    // SAFETY: a live type's name is NUL-terminated.
    let name = unsafe { core::ffi::CStr::from_ptr((*ty).tp_name) }.to_bytes();
    let known = matches!(
        name,
        b"_MISSING_TYPE" | b"_FIELD_BASE" | b"_KW_ONLY_TYPE" | b"_HAS_DEFAULT_FACTORY_CLASS"
    );
    known
        && class_text(ty, types::get().module.obj())
            .is_some_and(|module| is_text(module.obj(), b"dataclasses"))
}

pub(super) fn has_default_getstate(ty: TypePtr) -> bool {
    // 3.11 gave `object` a `__getstate__`; before, there must be none.
    is_object_default(ty, types::get().getstate.obj())
}

/// Whether `object.__reduce_ex__` is what writes the instances, with nothing
/// of the user's in it. Fills in the plan's dict and slots.
pub(super) fn is_plain_instance(ty: TypePtr, class: Obj, plan: &mut Plan) -> bool {
    let names = types::get();
    let meta = class.ty();
    // The class is written as a global: reading its names must run no code.
    if cfg!(Py_3_14) && is_partial_method(ty) {
        return false;
    }
    let plain_meta = fast::is_type(meta) || is_abc_meta(meta);
    if !(plain_meta && has_flag(ty, ffi::Py_TPFLAGS_HEAPTYPE) && instance::reads_plainly(ty)) {
        return false;
    }
    let methods_are_default = is_object_default(ty, names.reduce_ex.obj())
        && is_object_default(ty, names.reduce.obj())
        && has_default_getstate(ty)
        && is_object_default(ty, names.class.obj())
        && fast::type_lookup(ty, names.getnewargs.obj()).is_none()
        && fast::type_lookup(ty, names.getnewargs_ex.obj()).is_none();
    if !methods_are_default {
        return false;
    }
    // Subclasses of list and dict have items besides their state.
    let has_items = has_flag(ty, ffi::Py_TPFLAGS_LIST_SUBCLASS)
        || has_flag(ty, ffi::Py_TPFLAGS_DICT_SUBCLASS)
        || has_flag(ty, ffi::Py_TPFLAGS_TYPE_SUBCLASS);
    // SAFETY: a live type.
    let (itemsize, basicsize, dictoffset, weaklistoffset) = unsafe {
        ((*ty).tp_itemsize, (*ty).tp_basicsize, (*ty).tp_dictoffset, (*ty).tp_weaklistoffset)
    };
    if has_items || itemsize != 0 {
        return false;
    }
    let Some(slots) = slot_layout(ty) else { return false };
    let managed = has_flag(ty, MANAGED_DICT);
    // As in `object_getstate_default` (Objects/typeobject.c): a type with more
    // than this in its instances has C state that pickle cannot see.
    let pointer = size_of::<*mut ffi::PyObject>() as isize;
    // SAFETY: reads a static type.
    let mut plain_size = unsafe { ffi::PyBaseObject_Type.tp_basicsize };
    plain_size += if dictoffset != 0 && !managed { pointer } else { 0 };
    plain_size += if weaklistoffset > 0 { pointer } else { 0 };
    plain_size += slots.len() as isize * pointer;
    if basicsize > plain_size {
        return false;
    }
    // A `__dict__` of the class's own making (a property, a slot) is user code.
    plan.has_dict = dictoffset != 0 || managed;
    let dict_descriptor = fast::type_lookup(ty, names.dict.obj());
    let dict_is_plain = match dict_descriptor {
        None => !plan.has_dict,
        Some(found) => found.ty() == &raw mut ffi::PyGetSetDescr_Type,
    };
    plan.slots = slots;
    dict_is_plain
}

/// The slots that `copyreg._slotnames` would name, with their offsets; `None`
/// if any of them is not a plain slot or a `__slots__` is not a plain value.
pub(super) fn slot_layout(ty: TypePtr) -> Option<Vec<Slot>> {
    let names = types::get();
    let mut slots: Vec<Slot> = Vec::new();
    // SAFETY: a live, ready type has an MRO, a tuple of classes.
    let mro = unsafe { Obj::borrowed((*ty).tp_mro) }?;
    for i in 0..fast::tuple_len(mro) {
        let class = fast::tuple_get(mro, i);
        // SAFETY: entries of an MRO are classes; a class has a dict.
        let dict = unsafe { type_dict(class.ptr().cast()) }?;
        let Some(declared) = fast::dict_get(dict.obj(), names.slots.obj()) else { continue };
        let declared: Vec<Obj> = if fast::is_str(declared.ty()) {
            vec![declared]
        } else if fast::is_tuple(declared.ty()) {
            (0..fast::tuple_len(declared)).map(|i| fast::tuple_get(declared, i)).collect()
        } else if fast::is_list(declared.ty()) {
            (0..fast::list_len(declared)).map(|i| fast::list_get(declared, i)).collect()
        } else {
            return None;
        };
        for name in declared {
            if !fast::is_str(name.ty()) {
                return None;
            }
            let mut scratch = Vec::new();
            let text = core::str::from_utf8(fast::text::utf8(name, &mut scratch)).ok()?;
            if text == "__dict__" || text == "__weakref__" {
                continue;
            }
            let mangled = mangle(class, text)?;
            let offset = fast::dict_get(dict.obj(), mangled.obj())
                .and_then(|found| instance::member_offset(ty, found))?;
            // The attribute must be this very slot also when looked up.
            let found = fast::type_lookup(ty, mangled.obj())
                .and_then(|found| instance::member_offset(ty, found));
            if found != Some(offset) {
                return None;
            }
            slots.push(Slot { name: mangled, offset });
        }
    }
    Some(slots)
}

/// A private name as the compiler mangles it.
fn mangle(class: Obj, name: &str) -> Option<Own> {
    if name.starts_with("__") && !name.ends_with("__") {
        // SAFETY: a class's name is NUL-terminated.
        let class_name = unsafe {
            let ty: TypePtr = class.ptr().cast();
            core::ffi::CStr::from_ptr((*ty).tp_name).to_str().ok()?
        };
        let stripped = class_name.trim_start_matches('_');
        if !stripped.is_empty() {
            return fast::new_str(&format!("_{stripped}{name}"))
                .or_none()
                .map(fast::text::interned);
        }
    }
    fast::new_str(name).or_none().map(fast::text::interned)
}
