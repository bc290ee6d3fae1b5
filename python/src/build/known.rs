//! Known types: made through their C API or field by field, not by a call. The
//! twin of `walk/known.rs`.
//!
//! Only where a type is as the standard library has it and the arguments are such
//! as its own reduction gives; all others are made as the stream says.

use super::classes::{Classes, How};
use crate::classify;
use crate::error::{OrNone, Raised};
use crate::fast::{self, Obj, Own, TypePtr, instance, sequence};
use crate::types;
use core::sync::atomic::{AtomicPtr, Ordering};
use ferropickle_core::opcode::Op;
use pyo3::ffi;

/// `datetime.datetime`, once it was met.
static DATETIME: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(core::ptr::null_mut());

/// The object of a call if it is a known one with arguments that its own
/// `__reduce__` gives; else nothing, and the call is made.
#[inline(always)]
pub fn make(callable: Obj, args: Obj) -> Result<Option<Own>, Raised> {
    if callable.ptr().cast() == DATETIME.load(Ordering::Relaxed) {
        return if fast::is_tuple(args.ty()) {
            make_datetime(fast::tuple_len(args) as usize, |i| fast::tuple_get(args, i))
        } else {
            Ok(None)
        };
    }
    if fast::is_type(callable.ty()) {
        learn(callable);
    }
    Ok(None)
}

/// As [`make`] for a single bytes argument that was not made into an object.
#[inline(always)]
pub fn make_from_bytes(callable: Obj, data: &[u8]) -> Result<Option<Own>, Raised> {
    if callable.ptr().cast() != DATETIME.load(Ordering::Relaxed) {
        return Ok(None);
    }
    match <&[u8; 10]>::try_from(data) {
        Ok(state) => datetime(state, None),
        Err(_) => Ok(None),
    }
}

/// The object below `from`, called with those from `from` on: REDUCE or NEWOBJ. Says
/// whether it was made; else nothing was done.
#[inline(always)]
pub fn call_with_items(
    classes: &mut Classes,
    stack: &mut Vec<Own>,
    from: usize,
    op: Op,
) -> Result<bool, Raised> {
    let callable = stack[from - 1].obj();
    let made = if !fast::is_type(callable.ty()) {
        if op == Op::Reduce { super::numpy::make_scalar(callable, &stack[from..])? } else { None }
    } else if callable.ptr().cast() == DATETIME.load(Ordering::Relaxed) {
        let args = &stack[from..];
        make_datetime(args.len(), |i| args[i as usize].obj())?
    } else {
        let ty: TypePtr = callable.ptr().cast();
        if !instance::is_heap_type(ty) {
            return Ok(false);
        }
        match &classes.of(callable).how {
            How::NamedTuple(fields) if op == Op::Newobj && stack.len() - from == *fields => {
                Some(sequence::take_tuple_of(callable, stack, from)?)
            }
            How::Path(path) if op == Op::Reduce => path.make(ty, stack, from)?,
            _ => None,
        }
    };
    let Some(made) = made else { return Ok(false) };
    stack.truncate(from - 1);
    stack.push(made);
    Ok(true)
}

/// Notes the type if it is `datetime.datetime`.
#[inline(always)]
fn learn(class: Obj) {
    if !DATETIME.load(Ordering::Relaxed).is_null() {
        return;
    }
    // SAFETY: a live type has a NUL-terminated name; a static one lives for ever.
    unsafe {
        let ty = class.ptr().cast::<ffi::PyTypeObject>();
        let is_static = ffi::PyType_HasFeature(ty, ffi::Py_TPFLAGS_HEAPTYPE) == 0;
        if is_static && core::ffi::CStr::from_ptr((*ty).tp_name) == c"datetime.datetime" {
            ffi::PyDateTime_IMPORT();
            if ffi::PyDateTimeAPI().is_null() {
                ffi::PyErr_Clear();
            } else {
                DATETIME.store(ty, Ordering::Relaxed);
            }
        }
    }
}

/// `datetime(state)` or `datetime(state, tzinfo)` with a ten-byte state.
#[inline(always)]
fn make_datetime(len: usize, arg: impl Fn(isize) -> Obj) -> Result<Option<Own>, Raised> {
    if !(1..=2).contains(&len) || !fast::is_bytes(arg(0).ty()) {
        return Ok(None);
    }
    let Ok(state) = <&[u8; 10]>::try_from(fast::bytes_data(arg(0))) else { return Ok(None) };
    datetime(state, (len == 2).then(|| arg(1)))
}

/// A datetime from its state (`datetime_new` in `Modules/_datetimemodule.c`);
/// nothing if a field is out of range or the zone is none.
#[inline(always)]
pub fn datetime(state: &[u8; 10], zone: Option<Obj>) -> Result<Option<Own>, Raised> {
    let zone = zone.filter(|zone| !zone.is_none());
    if !is_moment(state) || zone.is_some_and(|zone| !is_timezone(zone)) {
        return Ok(None);
    }
    // The type that was noted, static and so never changed.
    fast::datetime::new_datetime(DATETIME.load(Ordering::Relaxed), *state, zone).map(Some)
}

/// Whether the fields are a day of the calendar and a time of day.
#[inline(always)]
fn is_moment(state: &[u8; 10]) -> bool {
    const DAYS: [u8; 13] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let &[century, rest, month, day, hour, minute, second, ..] = state;
    let year = u16::from_be_bytes([century, rest]);
    let month = month & 0x7f; // the top bit is `fold`
    let micro = u32::from_be_bytes([0, state[7], state[8], state[9]]);
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    (1..=9999).contains(&year)
        && DAYS.get(usize::from(month)).is_some_and(|days| (1..=*days).contains(&day))
        && (month != 2 || day < 29 || leap)
        && hour < 24
        && minute < 60
        && second < 60
        && micro < 1_000_000
}

/// Whether an object is a `tzinfo`: others make the type raise.
fn is_timezone(zone: Obj) -> bool {
    // SAFETY: the API was imported; a live object.
    unsafe { ffi::PyObject_TypeCheck(zone.ptr(), (*ffi::PyDateTimeAPI()).TZInfoType) != 0 }
}

/// How many fields a class has that is made by the `__new__` which
/// `collections.namedtuple` writes: a lambda that has `tuple.__new__` and nothing
/// else to call (`Lib/collections/__init__.py`).
pub fn named_tuple_fields(ty: TypePtr) -> Option<usize> {
    if !classify::has_flag(ty, ffi::Py_TPFLAGS_TUPLE_SUBCLASS) {
        return None;
    }
    let names = types::get();
    let function = classify::bare_function(ty, names.new.obj())?;
    let fields = fast::function::fields(function.obj());
    let global = |name| fast::dict_get(fields.globals, fast::intern(name).or_none()?.obj());
    let in_code = |name| classify::attribute(fields.code, name);
    let number = |name| in_code(name).and_then(|found| fast::long::as_i64(found.obj()));
    let tuple_new = fast::type_lookup(&raw mut ffi::PyTuple_Type, names.new.obj())?;
    let called = in_code(c"co_names")?;
    let is_written = fast::is_dict(fields.globals.ty())
        && fast::dict_len(fields.globals) == 3
        && global(c"_tuple_new") == Some(tuple_new)
        && global(c"__builtins__")
            .is_some_and(|found| fast::is_dict(found.ty()) && fast::dict_len(found) == 0)
        && classify::is_text(in_code(c"co_name")?.obj(), b"<lambda>")
        && classify::is_text(in_code(c"co_filename")?.obj(), b"<string>")
        && fast::tuple_len(called.obj()) == 1
        && classify::is_text(fast::tuple_get(called.obj(), 0), b"_tuple_new")
        && number(c"co_kwonlyargcount") == Some(0)
        && number(c"co_flags")? & TAKES_MORE == 0;
    let fields = usize::try_from(number(c"co_argcount")? - 1).ok()?;
    is_written.then_some(fields)
}

/// Flags of code that takes `*args` or `**kwargs` (`Include/cpython/code.h`).
const TAKES_MORE: i64 = 0x04 | 0x08;

/// `uuid.UUID`, whose `__setstate__` gives it two slots (`Lib/uuid.py`).
pub struct Uuid {
    int: isize,
    is_safe: isize,
    /// `SafeUUID.unknown`: what is not in the state.
    unknown: Own,
}

impl Uuid {
    /// Where the slots of the class are, if it is as the standard library has it.
    pub fn of(ty: TypePtr) -> Option<Uuid> {
        let setstate = types::get().setstate.obj();
        if !classify::is_named(ty, b"UUID", b"uuid")
            || !classify::is_from_module(ty, setstate, c"uuid")
            || !instance::reads_plainly(ty)
        {
            return None;
        }
        let (int, is_safe) = classify::uuid_slots(ty)?;
        let module = types::loaded_module(fast::intern(c"uuid").or_none()?.obj())?;
        let known =
            fast::dict_get(fast::module_dict(module)?, fast::intern(c"SafeUUID").or_none()?.obj());
        let unknown = classify::attribute(known?, c"unknown")?;
        Some(Uuid { int, is_safe, unknown })
    }
}

/// The state of a UUID: the stack reads instance, empty dict, pairs. Says whether the
/// slots were set and the pairs taken off; else nothing was done.
pub fn set_uuid(uuid: &Uuid, stack: &mut Vec<Own>, from: usize) -> bool {
    let object = stack[from - 2].obj();
    let is_new = || {
        instance::slot(object, uuid.int).is_none() && instance::slot(object, uuid.is_safe).is_none()
    };
    let [name, _] = &stack[from..] else { return false };
    if !fast::is_str(name.ty()) || !classify::is_text(name.obj(), b"int") || !is_new() {
        return false;
    }
    if let Some(value) = stack.pop() {
        instance::put_slot(object, uuid.int, value);
    }
    instance::put_slot(object, uuid.is_safe, uuid.unknown.clone());
    stack.truncate(from);
    true
}

/// A path class of the POSIX kind as of 3.10 and 3.11, whose `__new__` takes the
/// parts as they are where they need no cutting (`parse_parts` in `Lib/pathlib.py`).
pub struct Path {
    drive: isize,
    root: isize,
    parts: isize,
    empty: Own,
}

impl Path {
    /// Where the slots of the class are, if it is as the standard library has it.
    pub fn of(ty: TypePtr) -> Option<Path> {
        let is_posix = classify::is_named(ty, b"PurePosixPath", b"pathlib")
            || cfg!(unix) && classify::is_named(ty, b"PosixPath", b"pathlib");
        if cfg!(Py_3_12) || !is_posix {
            return None;
        }
        let is_stock = |name| {
            let function = classify::bare_function(ty, fast::intern(name).or_none()?.obj())?;
            Some(classify::is_of_module(function.obj(), c"pathlib"))
        };
        for name in [c"__new__", c"_from_parts", c"_parse_args"] {
            if is_stock(name) != Some(true) {
                return None;
            }
        }
        let offset = |name| {
            let name = fast::intern(name).or_none()?;
            fast::type_lookup(ty, name.obj()).and_then(|found| instance::settable_offset(ty, found))
        };
        Some(Path {
            drive: offset(c"_drv")?,
            root: offset(c"_root")?,
            parts: offset(c"_parts")?,
            empty: fast::intern(c"").or_none()?,
        })
    }

    /// The path of the parts from `from` on, which leave the stack; nothing if they
    /// are not such as a path has.
    fn make(&self, ty: TypePtr, stack: &mut Vec<Own>, from: usize) -> Result<Option<Own>, Raised> {
        let mut scratch = Vec::new();
        let mut root = None;
        for (i, part) in stack[from..].iter().enumerate() {
            if !fast::is_str(part.ty()) {
                return Ok(None);
            }
            match fast::text::utf8(part.obj(), &mut scratch) {
                b"/" if i == 0 => root = Some(part.clone()),
                b"" | b"." => return Ok(None),
                text if text.contains(&b'/') => return Ok(None),
                _ => {}
            }
        }
        for part in &mut stack[from..] {
            if !fast::text::is_interned(part.obj()) {
                *part = fast::text::interned(part.clone());
            }
        }
        let path = instance::new(ty)?;
        let parts = sequence::take_list(stack, from)?;
        let root = root.unwrap_or_else(|| self.empty.clone());
        instance::put_slot(path.obj(), self.drive, self.empty.clone());
        instance::put_slot(path.obj(), self.root, root);
        instance::put_slot(path.obj(), self.parts, parts);
        Ok(Some(path))
    }
}
