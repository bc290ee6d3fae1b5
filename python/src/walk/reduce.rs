//! Objects by the general protocol: hooks in stock's order, reduce values.
//!
//! Order (`save` in `Modules/_pickle.c`): memo, `reducer_override`, classes and
//! functions by name, the dispatch table, `__reduce_ex__`, `__reduce__`.

use super::frame::{Frame, Phase, Shape};
use super::replay::{Asked, thaw_iterators};
use super::{Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::classify::{self, Kind};
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use crate::hooks::Table;
use crate::types;
use crate::wording;
use ferropickle_core::memo::Found;
use ferropickle_core::opcode::Op;
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

    /// A reduce value: a name, or a tuple.
    pub fn save_reduced(&mut self, obj: Obj, value: Own) -> Flow {
        // SAFETY: a live type.
        if unsafe { ffi::PyUnicode_Check(value.ptr()) } != 0 {
            return self.save_global(obj, Some(value.obj()));
        }
        if Self::is_described(value.obj()) {
            return self.save_described(obj, value);
        }
        self.begin_reduce(value, Some(obj))?;
        PUSHED
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

    /// Pushes the frame of a reduce value, and checks the value as stock does.
    pub fn begin_reduce(&mut self, value: Own, obj: Option<Obj>) -> Result<(), Stop> {
        self.begin_shaped(value, obj, None)
    }

    /// As [`Walker::begin_reduce`]; a value whose shape is known was made here
    /// and needs no check.
    fn begin_shaped(
        &mut self,
        value: Own,
        obj: Option<Obj>,
        known: Option<Shape>,
    ) -> Result<(), Stop> {
        let value_obj = value.obj();
        self.push(Frame::Reduce {
            value: value_obj,
            obj,
            shape: Shape::Call,
            phase: Phase::Check,
        })?;
        if self.pure {
            self.pin(value);
        }
        // The frame is there already: notes name the object.
        let checked = match known {
            Some(shape) => shape,
            None => self.check_reduce(value_obj, obj)?,
        };
        if let Some(state) = part(value_obj, 2) {
            // Looked up once what makes the object is written.
            self.expect(state);
        }
        if let Some(Frame::Reduce { shape, phase, .. }) = self.frames.last_mut() {
            (*shape, *phase) = (checked, Phase::Callable);
        }
        Ok(())
    }

    fn check_reduce(&mut self, value: Obj, obj: Option<Obj>) -> Result<Shape, Stop> {
        // SAFETY: a live object.
        if unsafe { ffi::PyTuple_Check(value.ptr()) } == 0 {
            return Err(Raised::pickling(&wording::reduce_result(value)).into());
        }
        let len = fast::tuple_len(value);
        if !(2..=6).contains(&len) {
            let text = "tuple returned by __reduce__ must contain 2 through 6 elements";
            return Err(Raised::pickling(text).into());
        }
        let (callable, args) = (fast::tuple_get(value, 0), fast::tuple_get(value, 1));
        // SAFETY: all live objects.
        unsafe {
            if ffi::PyCallable_Check(callable.ptr()) == 0 {
                let text = wording::reduce_item("first", "callable", callable);
                return Err(Raised::pickling(&text).into());
            }
            if ffi::PyTuple_Check(args.ptr()) == 0 {
                let text = wording::reduce_item("second", "a tuple", args);
                return Err(Raised::pickling(&text).into());
            }
            for (i, which) in [(3, "fourth"), (4, "fifth")] {
                if let Some(items) = part(value, i)
                    && ffi::PyIter_Check(items.ptr()) == 0
                {
                    return Err(Raised::pickling(&wording::reduce_iterator(which, items)).into());
                }
            }
            if let Some(setter) = part(value, 5)
                && ffi::PyCallable_Check(setter.ptr()) == 0
            {
                return Err(Raised::pickling(&wording::reduce_setter(setter)).into());
            }
        }
        self.shape(callable, args, obj)
    }

    fn shape(&mut self, callable: Obj, args: Obj, obj: Option<Obj>) -> Result<Shape, Stop> {
        if self.options.proto < 2 || fast::is_type(callable.ty()) {
            return Ok(Shape::Call);
        }
        let names = types::get();
        let Some(name) = callable.getattr_opt(names.name.obj())? else { return Ok(Shape::Call) };
        if !fast::is_str(name.ty()) {
            return Ok(Shape::Call);
        }
        let mut scratch = Vec::new();
        let text = fast::text::utf8(name.obj(), &mut scratch);
        let shape = match text {
            b"__newobj__" => Shape::NewObj,
            b"__newobj_ex__" if self.options.proto >= 4 => Shape::NewObjEx,
            b"__newobj_ex__" => Shape::Partial,
            _ => return Ok(Shape::Call),
        };
        let ex = shape != Shape::NewObj;
        let label = if ex { "__newobj_ex__" } else { "__newobj__" };
        let len = fast::tuple_len(args);
        if ex && len != 3 {
            return Err(Raised::pickling(&wording::newobj_ex_len(len)).into());
        }
        if !ex && len < 1 {
            return Err(Raised::pickling(wording::newobj_empty()).into());
        }
        let class = fast::tuple_get(args, 0);
        if ex && !class.is_class() {
            let text = wording::newobj_ex_argument("first", "a class", class);
            return Err(Raised::pickling(&text).into());
        }
        if ex && !fast::is_tuple(fast::tuple_get(args, 1).ty()) {
            let found = fast::tuple_get(args, 1);
            let text = wording::newobj_ex_argument("second", "a tuple", found);
            return Err(Raised::pickling(&text).into());
        }
        if ex && !fast::is_dict(fast::tuple_get(args, 2).ty()) {
            let found = fast::tuple_get(args, 2);
            let text = wording::newobj_ex_argument("third", "a dict", found);
            return Err(Raised::pickling(&text).into());
        }
        // From 3.14 on the class of NEWOBJ must be one as well.
        let is_class = cfg!(not(Py_3_14)) || class.is_class();
        if !is_class || class.getattr_opt(names.new.obj())?.is_none() {
            return Err(Raised::pickling(&wording::no_new(label, class)).into());
        }
        if let Some(obj) = obj {
            let own_class = obj.getattr(names.class.obj())?;
            if own_class.obj() != class {
                let text = wording::wrong_class(label, own_class.obj(), class);
                return Err(Raised::pickling(&text).into());
            }
        }
        Ok(shape)
    }

    fn set_phase(&mut self, depth: usize, new: Phase) {
        if let Some(Frame::Reduce { phase, .. }) = self.frames.get_mut(depth) {
            *phase = new;
        }
    }

    pub(super) fn step_reduce(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Reduce { value, obj, shape, mut phase } = self.frames[depth] else {
            unreachable!("the caller looked at the frame")
        };
        loop {
            let pushed = match phase {
                Phase::Check | Phase::Callable => {
                    phase = Phase::Arguments;
                    self.set_phase(depth, phase);
                    self.save_callable(value, shape)?
                }
                Phase::Arguments => {
                    let last = shape != Shape::NewObjEx;
                    phase = if last { Phase::Make } else { Phase::Keywords };
                    self.set_phase(depth, phase);
                    self.save_arguments(value, shape)?
                }
                Phase::Keywords => {
                    phase = Phase::Make;
                    self.set_phase(depth, phase);
                    self.save(fast::tuple_get(fast::tuple_get(value, 1), 2))?
                }
                Phase::Make => {
                    self.op(match shape {
                        Shape::Call | Shape::Partial => Op::Reduce,
                        Shape::NewObj => Op::Newobj,
                        Shape::NewObjEx => Op::NewobjEx,
                    });
                    phase = Phase::ListItems;
                    self.set_phase(depth, phase);
                    if let Some(obj) = obj {
                        self.memoize_made(obj);
                    }
                    false
                }
                Phase::ListItems => {
                    phase = Phase::DictItems;
                    self.set_phase(depth, phase);
                    match part(value, 3) {
                        Some(items) => {
                            self.push_items(items)?;
                            true
                        }
                        None => false,
                    }
                }
                Phase::DictItems => {
                    phase = Phase::State;
                    self.set_phase(depth, phase);
                    match part(value, 4) {
                        Some(items) => {
                            self.push_pairs(items)?;
                            true
                        }
                        None => false,
                    }
                }
                Phase::State => {
                    let Some(state) = part(value, 2) else { break };
                    match part(value, 5) {
                        None => {
                            phase = Phase::Build;
                            self.set_phase(depth, phase);
                            self.save(state)?
                        }
                        Some(setter) => {
                            phase = Phase::SetterObject;
                            self.set_phase(depth, phase);
                            self.save(setter)?
                        }
                    }
                }
                Phase::SetterObject => {
                    phase = Phase::SetterState;
                    self.set_phase(depth, phase);
                    match obj {
                        Some(obj) => self.save(obj)?,
                        None => false,
                    }
                }
                Phase::SetterState => {
                    phase = Phase::SetterCall;
                    self.set_phase(depth, phase);
                    match part(value, 2) {
                        Some(state) => self.save(state)?,
                        None => false,
                    }
                }
                Phase::SetterCall => {
                    // The setter's result is of no use: the object is below.
                    self.op(Op::Tuple2);
                    self.op(Op::Reduce);
                    self.op(Op::Pop);
                    break;
                }
                Phase::Build => {
                    self.op(Op::Build);
                    break;
                }
            };
            if pushed {
                return Ok(());
            }
        }
        self.pop();
        Ok(())
    }

    /// The memo entry of an object just made; if it has one by now, it was
    /// reached from its own arguments, and that one is taken.
    fn memoize_made(&mut self, obj: Obj) {
        if self.options.fast {
            return;
        }
        match self.recursed(obj) {
            Some(index) => {
                self.op(Op::Pop);
                self.enc.get(index);
            }
            None => self.memoize(obj),
        }
    }

    fn save_callable(&mut self, value: Obj, shape: Shape) -> Flow {
        let (callable, args) = (fast::tuple_get(value, 0), fast::tuple_get(value, 1));
        match shape {
            Shape::Call => self.save(callable),
            Shape::NewObj | Shape::NewObjEx => self.save(fast::tuple_get(args, 0)),
            Shape::Partial => {
                let partial = self.partial(args)?;
                let obj = partial.obj();
                self.pin(partial);
                self.save(obj)
            }
        }
    }

    /// `functools.partial(cls.__new__, cls, *args, **kwargs)`.
    fn partial(&mut self, args: Obj) -> Result<Own, Raised> {
        let names = types::get();
        let class = fast::tuple_get(args, 0);
        let make = class.getattr(names.new.obj())?;
        let given = fast::tuple_get(args, 1);
        let mut all = vec![make.obj(), class];
        all.extend((0..fast::tuple_len(given)).map(|i| fast::tuple_get(given, i)));
        let all = fast::new_tuple(&all)?;
        // SAFETY: live objects; a new reference or null with an error set.
        unsafe {
            Own::from_new(ffi::PyObject_Call(
                names.partial.ptr(),
                all.ptr(),
                fast::tuple_get(args, 2).ptr(),
            ))
        }
    }

    fn save_arguments(&mut self, value: Obj, shape: Shape) -> Flow {
        let args = fast::tuple_get(value, 1);
        match shape {
            Shape::Call => self.save(args),
            Shape::NewObjEx => self.save(fast::tuple_get(args, 1)),
            Shape::Partial => {
                self.write_empty_tuple();
                WRITTEN
            }
            Shape::NewObj if fast::tuple_len(args) == 1 && !self.hooks.has_persistent_id => {
                self.write_empty_tuple();
                WRITTEN
            }
            Shape::NewObj => {
                let rest: Vec<Obj> =
                    (1..fast::tuple_len(args)).map(|i| fast::tuple_get(args, i)).collect();
                let rest = fast::new_tuple(&rest)?;
                let depth = self.frames.len();
                self.save_fetched(rest)?;
                Ok(self.frames.len() > depth)
            }
        }
    }

    /// Writes what follows an object that was written by a frame above.
    pub(super) fn step_then(&mut self) -> Result<(), Stop> {
        let Some(Frame::Then { ops, memoize, .. }) = self.frames.last() else {
            unreachable!("the caller looked at the frame")
        };
        let (ops, memoize) = (*ops, *memoize);
        for op in ops.into_iter().flatten() {
            self.op(op);
        }
        if let Some(obj) = memoize {
            self.memoize_made(obj);
        }
        self.pop();
        Ok(())
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

/// Part `i` of a reduce value, unless it is absent or None.
fn part(value: Obj, i: isize) -> Option<Obj> {
    (i < fast::tuple_len(value)).then(|| fast::tuple_get(value, i)).filter(|part| !part.is_none())
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
