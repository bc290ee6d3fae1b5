//! What kind of object is it? Exact built-in types are told apart by the
//! walker itself; everything else has a [`Plan`] here, made once per type.
//!
//! A plan is kept under the type's address and version, so that any change of
//! the class (or of a base) makes a new one. What a plan cannot know by the
//! version (is the class still what its module says? is it in copyreg's
//! table?) is looked at again once per dump: see `walk/instance.rs`.

use crate::fast::{self, Obj, Own, TypePtr, instance};
use crate::types;
use pyo3::ffi;
use std::collections::HashMap;

/// How instances of a type are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// By the general protocol: hooks, `__reduce_ex__`. May run user code.
    Foreign,
    /// A marker object of `dataclasses`, of which there is one: by its name
    /// there, unless the face is pickle's.
    Marker,
    /// A plain instance: class, `__dict__` and slots.
    Instance,
    /// A reduce method that is C code of the standard library and runs no
    /// Python code: called without leaving the pure state.
    CReduce,
    /// `datetime.date`.
    Date,
    /// `datetime.time`.
    Time,
    /// `datetime.datetime`.
    DateTime,
    /// `datetime.timedelta`.
    TimeDelta,
    /// `uuid.UUID` as the standard library has it.
    Uuid,
    /// An enum member whose class keeps `Enum.__reduce_ex__`.
    Enum,
    /// `decimal.Decimal` in C.
    Decimal,
    /// `PurePath` and its standard subclasses, as of 3.10 and 3.11.
    Path,
    /// A NumPy scalar of a fixed type.
    NumpyScalar,
    /// `numpy.ndarray`.
    NumpyArray,
    /// A namedtuple or other plain tuple subclass with its own `__getnewargs__`.
    NamedTuple,
}

/// What `obj.__reduce_ex__(protocol)` comes down to, so that it need not be
/// called, as long as no name in the instance's dict gets in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Not known.
    ReduceEx,
    /// `object.__reduce_ex__` calls the type's `__reduce__`.
    Reduce,
    /// From protocol 2 on it makes NEWOBJ of the class alone, and the state is
    /// what the type's `__getstate__` gives, a Python function.
    GetState,
}

/// A slot: its name and the byte offset in the instance.
pub struct Slot {
    pub name: Own,
    pub offset: isize,
}

/// What is known of a type.
pub struct Plan {
    pub kind: Kind,
    pub ty: TypePtr,
    version: u32,
    /// Instances have a `__dict__`.
    pub has_dict: bool,
    pub slots: Vec<Slot>,
    /// `__module__` and `__qualname__`, for kinds that write their class.
    pub module: Option<Own>,
    pub qualname: Option<Own>,
    /// What the reduction of a NumPy type showed.
    pub shown: Option<crate::walk::numpy::Shown>,
    /// The dump in which the class was last found to be what its module says.
    pub verified_in: u64,
    /// Which methods a foreign type is asked by.
    pub asked: Asked,
    /// No function of the by-value room is for its instances: neither parts of
    /// classes nor type variables. False of unknown types as long as nobody has looked.
    pub ordinary: bool,
    /// The package's own reducer for a foreign type, or None; not asked yet.
    pub reducer: Option<Own>,
    /// The id of the class by value, once it was needed.
    pub class_id: Option<Own>,
    /// As was found then: the class goes by value.
    pub by_value: bool,
}

/// Plans by type. Kept with the thread's scratch memory.
#[derive(Default)]
pub struct TypeCache {
    by_type: HashMap<usize, u32, AddressHash>,
    pub plans: Vec<Plan>,
    last: (usize, u32),
}

/// Types known before the cache is emptied: bounds what programs that make
/// classes without end can cost.
const MOST_PLANS: usize = 2048;

/// For keys that are addresses.
pub type AddressHash = core::hash::BuildHasherDefault<AddressHasher>;

/// Hash of an address.
#[derive(Default)]
pub struct AddressHasher(u64);

impl core::hash::Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    fn write_usize(&mut self, value: usize) {
        self.0 = (value as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(20);
    }
}

impl TypeCache {
    /// The number of the type's plan.
    #[inline(always)]
    pub fn plan(&mut self, ty: TypePtr) -> u32 {
        if self.last.0 == ty as usize {
            let number = self.last.1;
            // A free build holds the GIL, so a version only changes when code
            // runs; still it is one load.
            if self.plans[number as usize].version == fast::type_version(ty) {
                return number;
            }
        }
        self.plan_cold(ty)
    }

    /// The number of the type's plan if there is one: nothing is made.
    pub fn known(&self, ty: TypePtr) -> Option<u32> {
        let number = match self.last {
            (last, number) if last == ty as usize => number,
            _ => *self.by_type.get(&(ty as usize))?,
        };
        let version = fast::type_version(ty);
        (version != 0 && self.plans[number as usize].version == version).then_some(number)
    }

    /// The number of the type's plan if it is the one asked for last, and says
    /// that instances are plain.
    #[inline(always)]
    pub fn plan_of_instance(&self, ty: TypePtr) -> Option<u32> {
        let (last, number) = self.last;
        if last != ty as usize {
            return None;
        }
        let plan = &self.plans[number as usize];
        let plain = plan.kind == Kind::Instance && plan.version == fast::type_version(ty);
        plain.then_some(number)
    }

    #[inline(never)]
    fn plan_cold(&mut self, ty: TypePtr) -> u32 {
        let version = fast::type_version(ty);
        let known = self.by_type.get(&(ty as usize)).copied();
        if let Some(number) = known
            && version != 0
            && self.plans[number as usize].version == version
        {
            self.last = (ty as usize, number);
            return number;
        }
        let plan = make(ty);
        match known {
            Some(number) => {
                self.plans[number as usize] = plan;
                self.last = (ty as usize, number);
                number
            }
            None => {
                let number = self.plans.len() as u32;
                self.plans.push(plan);
                self.by_type.insert(ty as usize, number);
                self.last = (ty as usize, number);
                number
            }
        }
    }

    /// Empties the cache if it has grown large. Only between dumps.
    pub fn trim(&mut self) {
        if self.plans.len() > MOST_PLANS {
            *self = TypeCache::default();
        }
    }
}

fn foreign(ty: TypePtr) -> Plan {
    Plan {
        kind: Kind::Foreign,
        ty,
        version: fast::type_version(ty),
        has_dict: false,
        slots: Vec::new(),
        module: None,
        qualname: None,
        shown: None,
        verified_in: 0,
        asked: Asked::ReduceEx,
        ordinary: false,
        reducer: None,
        class_id: None,
        by_value: false,
    }
}

/// Makes the plan of a type. Looks only at type dictionaries along the MRO:
/// runs no code.
fn make(ty: TypePtr) -> Plan {
    let names = types::get();
    // A look-up gives the type a version, if it can have one.
    let _ = fast::type_lookup(ty, names.reduce_ex.obj());
    let mut plan = foreign(ty);
    if plan.version == 0 {
        return plan;
    }
    // SAFETY: a type is alive while one of its instances is walked.
    let class = unsafe { Obj::new(ty.cast()) };
    plan.kind = known_kind(ty, class).unwrap_or_else(|| {
        if is_plain_instance(ty, class, &mut plan) { Kind::Instance } else { Kind::Foreign }
    });
    if plan.kind == Kind::Instance {
        if is_marker(ty) {
            plan.kind = Kind::Marker;
        } else if is_only_seemingly_plain(ty) || offers_memory(ty) {
            plan.kind = Kind::Foreign;
        }
    }
    if plan.kind != Kind::Foreign {
        match (class_text(ty, names.module.obj()), qualname(ty)) {
            (Some(module), Some(qualname)) => {
                plan.module = Some(module);
                plan.qualname = Some(qualname);
            }
            _ => plan.kind = Kind::Foreign,
        }
    }
    plan.ordinary = matches!(
        plan.kind,
        Kind::Date
            | Kind::Time
            | Kind::DateTime
            | Kind::TimeDelta
            | Kind::Decimal
            | Kind::Uuid
            | Kind::Path
            | Kind::NumpyScalar
            | Kind::NumpyArray
    );
    if plan.kind == Kind::Foreign {
        plan.asked = asked(ty, class);
    }
    plan
}

/// By which method `object.__reduce_ex__` gets at the instances of a type
/// (`object___reduce_ex___impl` and `reduce_newobj` in `Objects/typeobject.c`).
fn asked(ty: TypePtr, class: Obj) -> Asked {
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

/// Whether a type has one of the interpreter's flags.
pub fn has_flag(ty: TypePtr, flag: core::ffi::c_ulong) -> bool {
    // SAFETY: a live type.
    unsafe { ffi::PyType_HasFeature(ty, flag) != 0 }
}

/// The class's own `__module__`, if it is a str: heap types have it in their
/// dict, static ones in front of their name.
fn class_text(ty: TypePtr, name: Obj) -> Option<Own> {
    if has_flag(ty, ffi::Py_TPFLAGS_HEAPTYPE) {
        let found = fast::type_lookup(ty, name)?;
        return fast::is_str(found.ty()).then(|| found.own());
    }
    // SAFETY: a static type's name lives for ever.
    let full = unsafe { core::ffi::CStr::from_ptr((*ty).tp_name) }.to_str().ok()?;
    let (module, _) = full.rsplit_once('.').unwrap_or(("builtins", full));
    fast::new_str(module).ok().map(fast::text::interned)
}

fn qualname(ty: TypePtr) -> Option<Own> {
    // SAFETY: `type.__qualname__` of a live type, read by its getter: a new
    // reference or null with an error set.
    let found = unsafe {
        let types = types::get();
        Own::from_new(ffi::PyObject_GetAttr(ty.cast(), types.qualname.ptr()))
    };
    match found {
        Ok(text) if fast::is_str(text.ty()) => Some(text),
        Ok(_) => None,
        Err(raised) => {
            raised.discard();
            None
        }
    }
}

fn is_object_default(ty: TypePtr, name: Obj) -> bool {
    let own = fast::type_lookup(ty, name);
    let default = fast::type_lookup(&raw mut ffi::PyBaseObject_Type, name);
    own == default
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

fn is_only_seemingly_plain(ty: TypePtr) -> bool {
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
fn offers_memory(ty: TypePtr) -> bool {
    let names = types::get();
    fast::type_lookup(ty, names.cuda_array_interface.obj()).is_some()
        || fast::type_lookup(ty, names.dlpack_device.obj()).is_some()
}

/// `functools.partialmethod`, which `object.__new__` no longer makes.
fn is_partial_method(ty: TypePtr) -> bool {
    // SAFETY: a live type's name is NUL-terminated.
    let name = unsafe { core::ffi::CStr::from_ptr((*ty).tp_name) }.to_bytes();
    name == b"partialmethod"
        && class_text(ty, types::get().module.obj())
            .is_some_and(|module| is_text(module.obj(), b"functools"))
}

/// `MISSING`, `KW_ONLY` and the markers inside `Field` are compared by identity.
fn is_marker(ty: TypePtr) -> bool {
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

/// Types whose reduction is known by their C name.
fn known_kind(ty: TypePtr, class: Obj) -> Option<Kind> {
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
    match fast::intern(name).and_then(|name| obj.getattr(name.obj())) {
        Ok(found) => Some(found),
        Err(raised) => {
            raised.discard();
            None
        }
    }
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
    let offset = |name| fast::type_lookup(ty, name).and_then(instance::member_offset);
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
    let name = fast::intern(c"_parts").ok()?;
    fast::type_lookup(ty, name.obj()).and_then(instance::member_offset)
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

#[cfg(Py_3_11)]
const MANAGED_DICT: core::ffi::c_ulong = 1 << 4;
#[cfg(not(Py_3_11))]
const MANAGED_DICT: core::ffi::c_ulong = 0;

/// Members of plain enums, by the reduction of the running version's `enum`.
fn enum_kind(ty: TypePtr, class: Obj) -> Option<Kind> {
    let meta = class.ty();
    let enum_module = fast::intern(c"enum").ok()?;
    let module = types::loaded_module(enum_module.obj())?;
    if !fast::is_module(module.ty()) {
        return None;
    }
    // SAFETY: a module has a dict.
    let dict = unsafe { Obj::new(ffi::PyModule_GetDict(module.ptr())) };
    let get = |name: &core::ffi::CStr| {
        fast::intern(name).ok().and_then(|name| fast::dict_get(dict, name.obj()))
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

/// Whether an object is a str of this text, in UTF-8.
pub fn is_text(text: Obj, expected: &[u8]) -> bool {
    fast::is_str(text.ty()) && fast::text::utf8(text, &mut Vec::new()) == expected
}

fn has_default_getstate(ty: TypePtr) -> bool {
    // 3.11 gave `object` a `__getstate__`; before, there must be none.
    is_object_default(ty, types::get().getstate.obj())
}

/// Whether `object.__reduce_ex__` is what writes the instances, with nothing
/// of the user's in it. Fills in the plan's dict and slots.
fn is_plain_instance(ty: TypePtr, class: Obj, plan: &mut Plan) -> bool {
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

fn is_abc_meta(meta: TypePtr) -> bool {
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

/// The slots that `copyreg._slotnames` would name, with their offsets; `None`
/// if any of them is not a plain slot or a `__slots__` is not a plain value.
fn slot_layout(ty: TypePtr) -> Option<Vec<Slot>> {
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
            let offset =
                fast::dict_get(dict.obj(), mangled.obj()).and_then(instance::member_offset)?;
            // The attribute must be this very slot also when looked up.
            let found = fast::type_lookup(ty, mangled.obj()).and_then(instance::member_offset);
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
            return fast::new_str(&format!("_{stripped}{name}")).ok().map(fast::text::interned);
        }
    }
    fast::new_str(name).ok().map(fast::text::interned)
}

/// The type's own dict.
///
/// # Safety
/// `ty` must be a live type.
unsafe fn type_dict(ty: TypePtr) -> Option<Own> {
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
        match Own::from_new(dict) {
            Ok(dict) => Some(dict),
            Err(raised) => {
                raised.discard();
                None
            }
        }
    }
}
