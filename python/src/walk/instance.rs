//! Plain instances: class, `__dict__`, slots, with no call of a reducer.

use super::frame::{Batch, Frame};
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::classify::Kind;
use crate::fast::instance::{self, Attributes, Inline};
use crate::fast::{self, Obj, Own};
use crate::types;
use ferropickle_core::memo::Found;
use ferropickle_core::opcode::Op;

/// The attributes of an instance, as they are to be written.
enum State {
    Empty,
    /// The dict, and our own reference to it if we have one.
    Dict(Obj, Option<Own>),
    Inline(Inline),
}

impl Walker {
    /// What a type's version cannot tell, once per dump and after any user
    /// code: `copyreg` has no reducer for it, and its name leads to it.
    #[inline(always)]
    pub(super) fn verify(&mut self, number: u32) -> bool {
        self.types.plans[number as usize].verified_in == self.stamp || self.verify_cold(number)
    }

    #[inline(never)]
    fn verify_cold(&mut self, number: u32) -> bool {
        let plan = &mut self.types.plans[number as usize];
        // SAFETY: an instance of the type is being written, so it is alive.
        #[allow(unsafe_code, reason = "a plan's type is alive while an instance is walked")]
        let class = unsafe { Obj::new(plan.ty.cast()) };
        let table = types::get().copyreg_dispatch.obj();
        let (Some(module), Some(qualname)) = (&plan.module, &plan.qualname) else { return false };
        // Up to 3.12 the name of a nested class is a call before protocol 4,
        // which takes a frame of its own.
        let dots =
            cfg!(not(Py_3_13)) && fast::text::utf8(qualname.obj(), &mut Vec::new()).contains(&b'.');
        let ok = (self.options.proto >= 4 || self.options.proto >= 2 && !dots)
            && fast::dict_get(table, class).is_none();
        if !ok {
            return false;
        }
        let by_name = super::global::leads_to(class, module, qualname);
        let ok = if self.by_value.on() {
            let by_value = self.is_class_by_value(class);
            self.types.plans[number as usize].by_value = by_value;
            let is_instance = self.types.plans[number as usize].kind == Kind::Instance;
            if by_value { is_instance } else { by_name }
        } else {
            by_name
        };
        let plan = &mut self.types.plans[number as usize];
        if ok {
            plan.verified_in = self.stamp;
        }
        ok
    }

    /// An instance whose class by value is written by now.
    pub fn save_instance_of_class_above(&mut self, obj: Obj, number: u32) -> Result<(), Stop> {
        if let Some(index) = self.recursed(obj) {
            // Its class led to it.
            self.op(Op::Pop);
            self.enc.get(index);
            return Ok(());
        }
        let state = self.state_of(obj, number)?;
        self.op(Op::EmptyTuple);
        self.op(Op::Newobj);
        self.memoize(obj);
        self.save_instance_state(obj, number, state)?;
        Ok(())
    }

    /// Where the attributes are. In the pure state an instance without a dict
    /// is left without one.
    #[inline(always)]
    fn state_of(&self, obj: Obj, number: u32) -> Result<State, Stop> {
        if !self.types.plans[number as usize].has_dict {
            return Ok(State::Empty);
        }
        if self.pure {
            match instance::attributes(obj) {
                Some(Attributes::Empty) => return Ok(State::Empty),
                Some(Attributes::Dict(dict)) => return Ok(State::Dict(dict, None)),
                Some(Attributes::Inline(inline)) => return Ok(State::Inline(inline)),
                None if self.worker => return Err(Stop::Restart),
                None => {}
            }
        }
        let dict = instance::dict(obj)?;
        Ok(State::Dict(dict.obj(), Some(dict)))
    }

    pub fn save_instance(&mut self, obj: Obj, number: u32) -> Flow {
        let plan_is_by_value = self.types.plans[number as usize].by_value;
        let state = self.state_of(obj, number)?;
        if !self.pure
            && let State::Dict(dict, _) = &state
            && self.has_overrides(*dict)
        {
            return self.save_foreign(obj);
        }
        let entered = self.enter(obj)?;
        if let Enter::Met = entered {
            return WRITTEN;
        }
        if plan_is_by_value && self.class_is_new(number) {
            return self.save_class_and_instance(obj, number);
        }
        let known = self.memo.len();
        self.save_plan_class(number)?;
        self.op(Op::EmptyTuple);
        self.op(Op::Newobj);
        match entered {
            Enter::Memo(vacant) if self.memo.len() == known => self.memoize_at(vacant, obj),
            // The class has entered the table meanwhile.
            Enter::Memo(_) => self.memoize(obj),
            Enter::Elided | Enter::Met => {}
        }
        self.save_instance_state(obj, number, state)
    }

    #[inline(always)]
    fn save_instance_state(&mut self, obj: Obj, number: u32, state: State) -> Flow {
        let has_slots = !self.types.plans[number as usize].slots.is_empty();
        let build = !(has_slots && self.has_set_slot(obj, number));
        if !build {
            self.push(Frame::Slots { obj, plan: number, next: 0, started: false })?;
        }
        let flow = match state {
            State::Dict(dict, own) if fast::dict_len(dict) > 0 => {
                self.save_state(dict, 1 + isize::from(own.is_some()), build)?
            }
            State::Inline(inline) => self.save_inline(obj, inline, build)?,
            _ if build => return WRITTEN,
            _ => {
                self.enc.none();
                false
            }
        };
        Ok(flow || !build)
    }

    /// An instance's `__dict__`: `sole` references are the instance's own and
    /// ours, so if there are no more nobody else has it.
    fn save_state(&mut self, dict: Obj, sole: isize, build: bool) -> Flow {
        if !(self.options.fast || self.pure && dict.refcnt() == sole) {
            match self.memo.find(dict.addr()) {
                Found::Yes(entry) => {
                    let index = entry.as_index().ok_or(Stop::Restart)?;
                    self.enc.get(index);
                    if build {
                        self.op(Op::Build);
                    }
                    return WRITTEN;
                }
                Found::No(vacant) => {
                    self.write_empty_dict();
                    self.memoize_at(vacant, dict);
                }
            }
        } else {
            if self.pure {
                self.log_elided(dict)?;
            }
            self.write_empty_dict();
        }
        self.begin_items(dict, build)
    }

    /// Attributes of an instance without a dict: as a dict that only it has.
    fn save_inline(&mut self, obj: Obj, attributes: Inline, build: bool) -> Flow {
        self.write_empty_dict();
        let batch = self.batch(attributes.len());
        if batch == Batch::Marked {
            self.op(Op::Mark);
        }
        let mut next = 0;
        while next < attributes.len() && !self.enc.at_boundary() && self.leaves_first() {
            let (key, value) = attributes.get(next);
            next += 1;
            match self.leaf_entry(key, value, build) {
                Ok(true) => {}
                Ok(false) => {
                    self.push(Frame::Inline { obj, attributes, next, due: true, build })?;
                    return PUSHED;
                }
                Err(stop) => {
                    self.push(Frame::Inline { obj, attributes, next, due: false, build })?;
                    return Err(stop);
                }
            }
        }
        if next < attributes.len() {
            self.push(Frame::Inline { obj, attributes, next, due: false, build })?;
            return PUSHED;
        }
        self.end_inline(attributes, build);
        WRITTEN
    }

    fn end_inline(&mut self, attributes: Inline, build: bool) {
        let marked = self.batch(attributes.len()) == Batch::Marked;
        self.op(if marked { Op::Setitems } else { Op::Setitem });
        if build {
            self.op(Op::Build);
        }
    }

    pub(super) fn step_inline(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Inline { attributes, mut next, due, build, .. } = self.frames[depth] else {
            unreachable!("the caller looked at the frame")
        };
        if due {
            if let Frame::Inline { due, .. } = &mut self.frames[depth] {
                *due = false;
            }
            if self.save(attributes.get(next - 1).1)? {
                return Ok(());
            }
        }
        while next < attributes.len() {
            self.boundary()?;
            if !self.pure {
                // The frame is that of the dict now.
                return Ok(());
            }
            let (key, value) = attributes.get(next);
            next += 1;
            if let Frame::Inline { next: n, .. } = &mut self.frames[depth] {
                *n = next;
            }
            if build && self.overrides_reduction(key) {
                return Err(Stop::Restart);
            }
            self.save_key_str(key)?;
            if self.save(value)? {
                return Ok(());
            }
        }
        self.end_inline(attributes, build);
        self.pop();
        Ok(())
    }

    /// Before user code runs, which may change instances: those that are being
    /// written get their dicts, as if they had had them from the start.
    pub(super) fn make_inline_dicts(&mut self) -> Result<(), Stop> {
        for depth in 0..self.frames.len() {
            let Frame::Inline { obj, attributes, next, due, build } = self.frames[depth] else {
                continue;
            };
            // Held by the instance, as nothing runs before the frame holds it too.
            let dict = instance::dict(obj)?;
            self.log_elided(dict.obj())?;
            self.frames[depth] = Frame::Dict {
                obj: dict.obj(),
                pos: next,
                at: (next - 1).max(0),
                size: attributes.len(),
                in_batch: next as u32,
                batch: self.batch(attributes.len()),
                value: due.then(|| attributes.get(next - 1).1),
                build,
            };
        }
        Ok(())
    }

    /// Whether a name in an instance's `__dict__` replaces a method that
    /// pickling looks up on the instance.
    #[inline(always)]
    pub(super) fn overrides_reduction(&self, key: Obj) -> bool {
        let text = fast::text::ascii(key);
        text.len() > 9 && text.starts_with(b"__") && is_reduction_name(text)
    }

    /// Whether the instance's own attributes, if it has any, leave the methods
    /// of its type alone that pickling looks up; false where it cannot be told.
    pub(super) fn is_asked_by_type(&self, obj: Obj) -> bool {
        if !instance::has_dict(obj.ty()) {
            return true;
        }
        match instance::attributes(obj) {
            None => false,
            Some(Attributes::Empty) => true,
            Some(Attributes::Dict(dict)) => !self.has_overrides(dict),
            Some(Attributes::Inline(inline)) => {
                !(0..inline.len()).any(|i| self.overrides_reduction(inline.get(i).0))
            }
        }
    }

    fn has_overrides(&self, dict: Obj) -> bool {
        let mut pos = 0;
        while let Some((key, _)) = fast::dict_next(dict, &mut pos) {
            if fast::is_str(key.ty()) && self.overrides_reduction(key) {
                return true;
            }
        }
        false
    }

    fn has_set_slot(&self, obj: Obj, number: u32) -> bool {
        let slots = &self.types.plans[number as usize].slots;
        slots.iter().any(|slot| instance::slot(obj, slot.offset).is_some())
    }

    /// Slot state: `(dict or None, {name: value})`, BUILD.
    pub(super) fn step_slots(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let Frame::Slots { obj, plan, mut next, started } = self.frames[depth] else {
            unreachable!("the caller looked at the frame")
        };
        if !started {
            self.op(Op::EmptyDict);
            self.op(Op::Mark);
            if let Frame::Slots { started, .. } = &mut self.frames[depth] {
                *started = true;
            }
        }
        loop {
            self.boundary()?;
            let Some(slot) = self.types.plans[plan as usize].slots.get(next) else { break };
            next += 1;
            let (name, value) = (slot.name.obj(), instance::slot(obj, slot.offset));
            let Some(value) = value else { continue };
            if let Frame::Slots { next: n, .. } = &mut self.frames[depth] {
                *n = next;
            }
            self.save_key_str(name)?;
            if self.save(value)? {
                return Ok(());
            }
        }
        self.op(Op::Setitems);
        self.op(Op::Tuple2);
        self.op(Op::Build);
        self.pop();
        Ok(())
    }
}

#[cold]
fn is_reduction_name(text: &[u8]) -> bool {
    matches!(
        text,
        b"__reduce__"
            | b"__reduce_ex__"
            | b"__getstate__"
            | b"__getnewargs__"
            | b"__getnewargs_ex__"
    )
}
