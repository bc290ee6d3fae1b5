//! Plain instances: class, `__dict__`, slots, with no call of a reducer.

use super::frame::Frame;
use super::{Enter, Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::classify::Kind;
use crate::fast::{self, Obj, Own, instance};
use crate::types;
use ferropickle_core::memo::Found;
use ferropickle_core::opcode::Op;

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
        let plan = &self.types.plans[number as usize];
        let dict = if plan.has_dict { Some(instance::dict(obj)?) } else { None };
        self.op(Op::EmptyTuple);
        self.op(Op::Newobj);
        self.memoize(obj);
        self.save_instance_state(obj, number, dict)?;
        Ok(())
    }

    pub fn save_instance(&mut self, obj: Obj, number: u32) -> Flow {
        let plan = &self.types.plans[number as usize];
        let (has_dict, plan_is_by_value) = (plan.has_dict, plan.by_value);
        let dict = if has_dict { Some(instance::dict(obj)?) } else { None };
        if !self.pure
            && let Some(dict) = &dict
            && self.has_overrides(dict.obj())
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
        self.save_instance_state(obj, number, dict)
    }

    #[inline(always)]
    fn save_instance_state(&mut self, obj: Obj, number: u32, dict: Option<Own>) -> Flow {
        let has_slots = !self.types.plans[number as usize].slots.is_empty();
        if has_slots && self.has_set_slot(obj, number) {
            self.push(Frame::Slots { obj, plan: number, next: 0, started: false })?;
            match dict {
                Some(dict) if fast::dict_len(dict.obj()) > 0 => {
                    self.save_state(dict.obj(), false)?;
                }
                _ => self.enc.none(),
            }
            return PUSHED;
        }
        match dict {
            Some(dict) if fast::dict_len(dict.obj()) > 0 => self.save_state(dict.obj(), true),
            _ => WRITTEN,
        }
    }

    /// An instance's `__dict__`. Our own reference to it is not the instance's,
    /// so a count of two means that nobody else has it.
    fn save_state(&mut self, dict: Obj, build: bool) -> Flow {
        if !(self.options.fast || self.pure && dict.refcnt() == 2) {
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

    /// Whether a name in an instance's `__dict__` replaces a method that
    /// pickling looks up on the instance.
    #[inline(always)]
    pub(super) fn overrides_reduction(&self, key: Obj) -> bool {
        let text = fast::text::ascii(key);
        text.len() > 9 && text.starts_with(b"__") && is_reduction_name(text)
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
