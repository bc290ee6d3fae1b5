//! Who is asked how an object goes: hooks in stock's order.
//!
//! Order (`save` in `Modules/_pickle.c`): memo, `reducer_override`, classes and
//! functions by name, the dispatch table, `__reduce_ex__`, `__reduce__`.

use super::frame::Shape;
use super::replay::{Asked, thaw_iterators};
use super::{Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::classify::{self, Kind};
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use crate::hooks::Table;
use crate::types;
use crate::wording;
use ferropickle_core::memo::Found;
use pyo3::ffi;

impl Walker {
    /// Everything that the walker's first questions did not settle.
    #[inline(never)]
    pub(super) fn save_other(&mut self, obj: Obj) -> Flow {
        if self.worker {
            return self.save_other_as_worker(obj);
        }
        let ty = obj.ty();
        // The way below for instances of one class, one after another.
        if let Some(number) = self.types.plan_of_instance(ty)
            && !self.hooks.asks_for_everything()
            && !self.by_value.may_have_reducer(ty)
            && self.verify(number)
        {
            return self.save_instance(obj, number);
        }
        // What the stream has already, as members of enums: before any question.
        if obj.refcnt() > 1
            && !self.options.fast
            && let Found::Yes(entry) = self.memo.find(obj.addr())
            && let Some(index) = entry.as_index()
        {
            self.enc.get(index);
            return WRITTEN;
        }
        if fast::is_set(ty) {
            return self.save_set(obj, false);
        }
        if fast::is_frozenset(ty) {
            return self.save_set(obj, true);
        }
        if fast::is_bytearray(ty) {
            return self.save_bytearray(obj);
        }
        if super::buffer::is_pickle_buffer(ty) {
            return self.save_buffer(obj);
        }
        if self.hooks.asks_for_everything() || self.by_value.may_have_reducer(ty) {
            return self.save_foreign(obj);
        }
        if fast::is_type(ty) {
            return self.save_class(obj);
        }
        if fast::is_function(ty) {
            return self.save_function(obj);
        }
        let number = self.types.plan(ty);
        if self.by_value.on()
            && !self.types.plans[number as usize].ordinary
            && let Some(flow) = self.save_part(obj)
        {
            return flow;
        }
        if obj.is_class() && fast::instance::is_plain_class(obj) && goes_by_name(obj) {
            return self.save_class(obj);
        }
        let kind = self.types.plans[number as usize].kind;
        if kind == Kind::Foreign || !self.verify(number) {
            return self.save_foreign(obj);
        }
        self.save_known(obj, number, kind)
    }

    /// By the general protocol.
    #[inline(never)]
    pub fn save_foreign(&mut self, obj: Obj) -> Flow {
        if self.write_if_met(obj)? {
            return WRITTEN;
        }
        if Self::is_region(obj) {
            return self.save_region(obj);
        }
        self.leave_pure()?;
        // Held over everything that runs: the container may let go of it.
        let keep = obj.own();
        let ty = obj.ty();
        if self.hooks.reducer_override.is_some()
            && let Some(value) = self.ask_override(keep.obj())?
        {
            return self.save_reduced(obj, value);
        }
        if fast::is_type(ty) {
            return self.save_class(obj);
        }
        if fast::is_function(ty) {
            return self.save_function(obj);
        }
        if let Some(Some(value)) = self.replayed(obj, Asked::Reduce) {
            return self.save_reduced(obj, thaw_iterators(value)?);
        }
        let mut value = self.ask_table(obj)?;
        if value.is_none() {
            if obj.is_class() {
                return self.save_class(obj);
            }
            if self.by_value.on() {
                if !self.is_ordinary(obj)
                    && let Some(flow) = self.save_part(obj)
                {
                    return flow;
                }
                value = match self.ask_by_value(obj)? {
                    Ok(value) => value,
                    Err(pushed) => return Ok(pushed),
                };
            }
        }
        let (value, shape) = match value {
            Some(value) => (value, None),
            None => self.ask_object(obj)?,
        };
        let value = self.record(obj, Asked::Reduce, value)?;
        if shape.is_some() {
            self.begin_shaped(value, Some(obj), shape)?;
            return PUSHED;
        }
        self.save_reduced(obj, value)
    }

    /// Whether the by-value room has nothing for instances of the object's type
    /// but what `ferropickle.reducers` may have.
    fn is_ordinary(&mut self, obj: Obj) -> bool {
        let number = self.types.plan(obj.ty());
        self.types.plans[number as usize].ordinary
    }

    fn ask_override(&mut self, obj: Obj) -> Result<Option<Own>, Stop> {
        if let Some(found) = self.replayed(obj, Asked::Override) {
            return match found {
                Some(value) => Ok(Some(thaw_iterators(value)?)),
                None => Ok(None),
            };
        }
        let Some(hook) = &self.hooks.reducer_override else { return Ok(None) };
        let hook = hook.clone();
        let value = hook.call(&[obj])?;
        // SAFETY: reads the address of a singleton.
        if value.ptr() == unsafe { ffi::Py_NotImplemented() } {
            if self.replay.recording {
                self.keep(obj);
                self.replay.results.insert((obj.addr(), Asked::Override), None);
            }
            return Ok(None);
        }
        Ok(Some(self.record(obj, Asked::Override, value)?))
    }

    /// Asks the policy's reducers and the dispatch table.
    fn ask_table(&mut self, obj: Obj) -> Result<Option<Own>, Stop> {
        let reducer = match self.by_value.reducer(obj.ty_obj())? {
            Some(reducer) => Some(reducer),
            None => match &self.hooks.table {
                Table::Copyreg => lookup_exact(types::get().copyreg_dispatch.obj(), obj.ty_obj())?,
                Table::Own(table) => lookup_mapping(table.clone(), obj.ty_obj())?,
            },
        };
        match reducer {
            Some(reducer) => Ok(Some(reducer.call(&[obj])?)),
            None => Ok(None),
        }
    }

    /// Asks the object itself; with the shape of the reduce value where that is
    /// known.
    fn ask_object(&mut self, obj: Obj) -> Result<(Own, Option<Shape>), Stop> {
        let names = types::get();
        let number = self.types.plan(obj.ty());
        let by = self.types.plans[number as usize].asked;
        if by != classify::Asked::ReduceEx
            && (by == classify::Asked::Reduce || self.options.proto >= 2)
            && self.is_asked_by_type(obj)
        {
            let name = if by == classify::Asked::Reduce { &names.reduce } else { &names.getstate };
            if let Some(method) = fast::type_lookup(obj.ty(), name.obj()).map(Obj::own) {
                let given = method.call(&[obj])?;
                if by == classify::Asked::Reduce {
                    return Ok((given, None));
                }
                let class = fast::new_tuple(&[obj.ty_obj()])?;
                let value = [names.newobj.obj(), class.obj(), given.obj()];
                return Ok((fast::new_tuple(&value)?, Some(Shape::NewObj)));
            }
        }
        if let Some(method) = obj.getattr_opt(names.reduce_ex.obj())? {
            let proto = fast::long::from_i64(self.options.proto.into())?;
            return Ok((method.call(&[proto.obj()])?, None));
        }
        if let Some(method) = obj.getattr_opt(names.reduce.obj())? {
            return Ok((method.call(&[])?, None));
        }
        Err(Raised::pickling(&wording::not_reducible(obj)).into())
    }

    /// `__reduce_ex__` of a type whose method is C code that runs no Python.
    pub(super) fn save_c_reduced(&mut self, obj: Obj) -> Flow {
        if self.write_if_met(obj)? {
            return WRITTEN;
        }
        let value = self.c_reduce(obj)?;
        self.save_reduced(obj, value)
    }

    /// `obj.__reduce_ex__(protocol)`.
    pub(super) fn c_reduce(&self, obj: Obj) -> Result<Own, Raised> {
        let method = obj.getattr(types::get().reduce_ex.obj())?;
        let proto = fast::long::from_i64(self.options.proto.into())?;
        method.call(&[proto.obj()])
    }
}

/// Whether `copyreg` leaves the class to its name: it has no reducer for the
/// metaclass, or only NumPy's own, which gives the name of NumPy's dtypes.
fn goes_by_name(class: Obj) -> bool {
    let names = types::get();
    let Some(reducer) = fast::dict_get(names.copyreg_dispatch.obj(), class.ty_obj()) else {
        return true;
    };
    let is_text = |name: &Own, obj: Obj, expected: &[u8]| match obj.getattr_opt(name.obj()) {
        Ok(Some(text)) if fast::is_str(text.ty()) => fast::text::ascii(text.obj()) == expected,
        Ok(_) => false,
        Err(raised) => {
            raised.discard();
            false
        }
    };
    fast::is_function(reducer.ty())
        && is_text(&names.name, reducer, b"_DType_reduce")
        && is_text(&names.module, class, b"numpy")
}

/// `dict[key]` or nothing.
fn lookup_exact(dict: Obj, key: Obj) -> Result<Option<Own>, Raised> {
    // SAFETY: a dict and a live key; a borrowed reference, or null with or
    // without an error set.
    unsafe {
        let found = ffi::PyDict_GetItemWithError(dict.ptr(), key.ptr());
        if found.is_null() && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised::set());
        }
        Ok(Obj::borrowed(found).map(Obj::own))
    }
}

/// `mapping[key]`, or nothing on KeyError.
pub fn lookup_mapping(mapping: Own, key: Obj) -> Result<Option<Own>, Raised> {
    // SAFETY: live objects; a new reference or null with an error set.
    match unsafe { Own::from_new(ffi::PyObject_GetItem(mapping.ptr(), key.ptr())) } {
        Ok(found) => Ok(Some(found)),
        Err(raised) => {
            if raised.clear_if(|| fast::unsafe_exc(fast::Exc::KeyError)) {
                Ok(None)
            } else {
                Err(raised)
            }
        }
    }
}
