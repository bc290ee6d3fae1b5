//! Instances: made without calling their class, attributes set straight.

use super::classes::{Class, Classes, How, MOST_NAMES};
use super::known;
use crate::error::{Raised, type_name};
use crate::fast::{self, Exc, Obj, Own, TypePtr, instance};
use crate::types;
use pyo3::ffi;

/// SETITEMS and BUILD in one: the stack reads instance, empty dict, pairs from
/// `from` on, which may be taken off. False, with nothing done, where the general way must be gone.
#[inline(always)]
pub fn set_attributes(
    classes: &mut Classes,
    stack: &mut Vec<Own>,
    from: usize,
) -> Result<bool, Raised> {
    let object = stack[from - 2].obj();
    let ty = object.ty();
    let class = classes.of(object.ty_obj());
    if !class.takes_dict {
        return match &class.how {
            How::Uuid(uuid) => Ok(known::set_uuid(uuid, stack, from)),
            _ => Ok(false),
        };
    }
    if !are_attributes(class, ty, &mut stack[from..]) {
        return Ok(false);
    }
    if instance::fill(object, stack, from, &mut class.places) {
        return Ok(true);
    }
    // Last, so that no attribute of ours is there yet.
    if object.getattr_opt(types::get().setstate.obj())?.is_some() {
        return Ok(false);
    }
    for pair in stack[from..].chunks_exact(2) {
        instance::set_attr(object, pair[0].obj(), pair[1].obj())?;
    }
    Ok(true)
}

/// Whether the names of the pairs are those of attributes that BUILD may set as such:
/// it writes into `__dict__`, and a data descriptor of the class must not see it. They are
/// interned.
#[inline(always)]
fn are_attributes(class: &mut Class, ty: TypePtr, pairs: &mut [Own]) -> bool {
    for (i, pair) in pairs.chunks_exact_mut(2).enumerate() {
        if class.clear.get(i).is_some_and(|name| name.obj() == pair[0].obj()) {
            continue;
        }
        if !fast::is_str(pair[0].ty()) {
            return false;
        }
        if !fast::text::is_interned(pair[0].obj()) {
            let name = pair[0].clone();
            pair[0] = fast::text::interned(name);
        }
        if instance::shadows(ty, pair[0].obj()) {
            return false;
        }
        if class.clear.len() == i && i < MOST_NAMES {
            class.clear.push(pair[0].clone());
        }
    }
    true
}

/// A state that is a dict with a place in the memo, as plain pickle writes it, given to an
/// instance that has room for the attributes without a dict of its own. False, with nothing
/// done, where the general way must be gone.
fn fill_from(classes: &mut Classes, object: Obj, state: Obj) -> bool {
    let ty = object.ty();
    let (class, pairs) = classes.with_pairs(object.ty_obj());
    if !class.takes_dict || fast::dict_len(state) as usize > MOST_NAMES {
        return false;
    }
    let mut pos = 0;
    while let Some((name, value)) = fast::dict_next(state, &mut pos) {
        pairs.push(name.own());
        pairs.push(value.own());
    }
    let done =
        are_attributes(class, ty, pairs) && instance::fill(object, pairs, 0, &mut class.places);
    pairs.clear();
    done
}

/// The pairs from `from` on into slots, in one step with TUPLE2 and BUILD: the stack
/// reads instance, None, empty dict, pairs, and all but the instance may be taken
/// off. False, with nothing done, where the general way must be gone.
pub fn fill_slots(
    classes: &mut Classes,
    stack: &mut Vec<Own>,
    from: usize,
) -> Result<bool, Raised> {
    let (object, rest, dict) = (stack[from - 3].obj(), &stack[from - 2], &stack[from - 1]);
    let fresh = fast::is_dict(dict.ty()) && dict.refcnt() == 1 && fast::dict_len(dict.obj()) == 0;
    if !fresh || !rest.is_none() {
        return Ok(false);
    }
    let ty = object.ty();
    let class = classes.of(object.ty_obj());
    if !class.takes_slots || (stack.len() - from) / 2 > MOST_NAMES {
        return Ok(false);
    }
    if instance::has_dict(ty) && object.getattr_opt(types::get().setstate.obj())?.is_some() {
        return Ok(false);
    }
    for (i, pair) in stack[from..].chunks_exact(2).enumerate() {
        if class.slots.get(i).is_some_and(|(name, _)| name.obj() == pair[0].obj()) {
            continue;
        }
        if !fast::is_str(pair[0].ty()) {
            return Ok(false);
        }
        let name = fast::text::interned(pair[0].clone());
        let found = fast::type_lookup(ty, name.obj());
        let Some(offset) = found.and_then(|found| instance::settable_offset(ty, found)) else {
            return Ok(false);
        };
        class.slots.truncate(i);
        class.slots.push((name, offset));
    }
    let mut pairs = stack.drain(from..);
    for (_, offset) in &class.slots {
        let (Some(_), Some(value)) = (pairs.next(), pairs.next()) else { break };
        instance::put_slot(object, *offset, value);
    }
    drop(pairs);
    stack.truncate(from - 2);
    Ok(true)
}

#[inline(always)]
pub fn newobj(class: &Own, args: &Own) -> Result<Own, Raised> {
    if is_made_plainly(class, args) {
        return instance::new(class.ptr().cast());
    }
    make(class, args, None)
}

/// Whether NEWOBJ runs no code: there are no arguments, and `object.__new__` makes the class.
#[inline(always)]
pub fn is_made_plainly(class: &Own, args: &Own) -> bool {
    class.is_class()
        && fast::is_tuple(args.ty())
        && fast::tuple_len(args.obj()) == 0
        && instance::is_plainly_made(class.ptr().cast())
}

pub fn newobj_ex(class: &Own, args: &Own, kwargs: &Own) -> Result<Own, Raised> {
    make(class, args, Some(kwargs))
}

fn make(class: &Own, args: &Own, kwargs: Option<&Own>) -> Result<Own, Raised> {
    let op = if kwargs.is_some() { "NEWOBJ_EX" } else { "NEWOBJ" };
    if !class.is_class() {
        let text = format!("{op} class argument must be a type, not {}", type_name(class.obj()));
        return Err(Raised::unpickling(&text));
    }
    // SAFETY: live objects, checked to be what `tp_new` takes: a tuple of
    // arguments, and a dict of keywords or null.
    unsafe {
        if ffi::PyTuple_Check(args.ptr()) == 0 {
            let text = format!("{op} args argument must be a tuple, not {}", type_name(args.obj()));
            return Err(Raised::unpickling(&text));
        }
        if let Some(kwargs) = kwargs
            && ffi::PyDict_Check(kwargs.ptr()) == 0
        {
            let text =
                format!("{op} kwargs argument must be a dict, not {}", type_name(kwargs.obj()));
            return Err(Raised::unpickling(&text));
        }
        let ty = class.ptr().cast::<ffi::PyTypeObject>();
        let Some(new) = (*ty).tp_new else {
            let text = format!("{op} class argument doesn't have __new__");
            return Err(Raised::unpickling(&text));
        };
        let kwargs = kwargs.map_or(core::ptr::null_mut(), |kwargs| kwargs.ptr());
        Own::from_new(new(ty, args.ptr(), kwargs))
    }
}

/// Whether this is a module as `sys.modules` has it: dill writes modules by
/// name and their state beside it.
#[inline(always)]
pub fn is_loaded_module(object: Obj) -> bool {
    // SAFETY: a live object.
    (unsafe { ffi::PyModule_Check(object.ptr()) }) != 0 && has_its_name(object)
}

#[cold]
fn has_its_name(module: Obj) -> bool {
    // SAFETY: a module has a dict, borrowed.
    let dict = unsafe { Obj::borrowed(ffi::PyModule_GetDict(module.ptr())) };
    dict.and_then(|dict| fast::dict_get(dict, types::get().name.obj()))
        .filter(|name| fast::is_str(name.ty()))
        .and_then(types::loaded_module)
        .is_some_and(|loaded| loaded == module)
}

/// BUILD: `__setstate__`, or the state's dict into `__dict__` and its slots by
/// `setattr` (`load_build` in `Modules/_pickle.c`).
#[inline(always)]
pub fn build(classes: &mut Classes, object: Obj, state: Obj) -> Result<(), Raised> {
    if fast::is_dict(state.ty()) && fill_from(classes, object, state) {
        return Ok(());
    }
    let names = types::get();
    if let Some(setstate) = object.getattr_opt(names.setstate.obj())? {
        setstate.call(&[state])?;
        return Ok(());
    }
    let (mut state, mut slots) = (Some(state), None);
    if let Some(pair) = state
        && fast::is_tuple(pair.ty())
        && fast::tuple_len(pair) == 2
    {
        state = Some(fast::tuple_get(pair, 0));
        slots = Some(fast::tuple_get(pair, 1));
    }
    if let Some(state) = state.filter(|state| !state.is_none()) {
        set_state(object, state)?;
    }
    if let Some(slots) = slots {
        set_slots(object, slots)?;
    }
    Ok(())
}

fn set_state(object: Obj, state: Obj) -> Result<(), Raised> {
    // SAFETY: a live object.
    if unsafe { ffi::PyDict_Check(state.ptr()) } == 0 {
        return Err(Raised::unpickling("state is not a dictionary"));
    }
    let dict = object.getattr(types::get().dict.obj())?;
    // A state with items may be changed by code that a key's hash runs: the
    // pairs are held while they are set.
    let mut pos = 0;
    while let Some((key, value)) = fast::dict_next(state, &mut pos) {
        let (mut key, value) = (key.own(), value.own());
        if fast::is_str(key.ty()) {
            key = fast::text::interned(key);
        }
        // SAFETY: live objects; -1 with an error set.
        if unsafe { ffi::PyObject_SetItem(dict.ptr(), key.ptr(), value.ptr()) } < 0 {
            return Err(Raised::set());
        }
    }
    Ok(())
}

fn set_slots(object: Obj, slots: Obj) -> Result<(), Raised> {
    // SAFETY: a live object.
    if unsafe { ffi::PyDict_Check(slots.ptr()) } == 0 {
        return Err(Raised::unpickling("slot state is not a dictionary"));
    }
    let mut pos = 0;
    while let Some((key, value)) = fast::dict_next(slots, &mut pos) {
        let (key, value) = (key.own(), value.own());
        // SAFETY: a live object.
        if unsafe { ffi::PyUnicode_Check(key.ptr()) } == 0 {
            return Err(Raised::new(Exc::TypeError, "slot state has a key that is not a str"));
        }
        // SAFETY: live objects; -1 with an error set.
        if unsafe { ffi::PyObject_SetAttr(object.ptr(), key.ptr(), value.ptr()) } < 0 {
            return Err(Raised::set());
        }
    }
    Ok(())
}
