//! Reduce values: what they may be, and how they are written.

use super::frame::{Frame, Phase, Shape};
use super::{Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use crate::types;
use crate::wording;
use ferropickle_core::opcode::Op;
use pyo3::ffi;

impl Walker {
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

    /// Pushes the frame of a reduce value, and checks the value as stock does.
    pub fn begin_reduce(&mut self, value: Own, obj: Option<Obj>) -> Result<(), Stop> {
        self.begin_shaped(value, obj, None)
    }

    /// As [`Walker::begin_reduce`]; a value whose shape is known was made here
    /// and needs no check.
    pub(super) fn begin_shaped(
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

/// Part `i` of a reduce value, unless it is absent or None.
fn part(value: Obj, i: isize) -> Option<Obj> {
    (i < fast::tuple_len(value)).then(|| fast::tuple_get(value, i)).filter(|part| !part.is_none())
}
