//! Types whose reduction is known: written without calling it.
//!
//! Each gives the opcodes that the type's own `__reduce_ex__` would lead to.
//! `classify/` says when a type is what it was when this was written.

use super::frame::{Frame, Late, TupleEnd};
use super::{Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::classify::{self, Kind};
use crate::error::Raised;
use crate::fast::{self, Obj, datetime, instance};
use crate::types;
use ferropickle_core::limits::FRAME_TARGET_BYTES;
use ferropickle_core::memo::{Entry, Found};
use ferropickle_core::opcode::Op;

impl Walker {
    pub(super) fn save_known(&mut self, obj: Obj, number: u32, kind: Kind) -> Flow {
        match kind {
            Kind::Instance => return self.save_instance(obj, number),
            Kind::Marker if self.by_value.on() => return self.save_marker(obj, number),
            Kind::Marker => return self.save_instance(obj, number),
            Kind::CReduce => return self.save_c_reduced(obj),
            Kind::NamedTuple => return self.save_named_tuple(obj, number),
            Kind::NumpyScalar => return self.save_numpy_scalar(obj, number),
            Kind::NumpyArray => return self.save_numpy_array(obj),
            // Before protocol 3 their state is a str, for Python 2.
            _ if self.options.proto < 3 => return self.save_foreign(obj),
            _ => {}
        }
        // Leaves: no object of theirs can lead back to them.
        let memoize = !(self.options.fast || self.pure && obj.refcnt() == 1);
        if memoize && let Found::Yes(entry) = self.memo.find(obj.addr()) {
            let index = entry.as_index().ok_or(Stop::Restart)?;
            self.enc.get(index);
            return WRITTEN;
        }
        match kind {
            Kind::Date => self.write_date(obj, number)?,
            Kind::TimeDelta => self.write_timedelta(obj, number)?,
            Kind::Time | Kind::DateTime => return self.save_time(obj, number, kind, memoize),
            Kind::Uuid => self.write_uuid(obj, number)?,
            Kind::Enum => return self.save_enum(obj, number),
            Kind::Path => self.write_path(obj, number)?,
            Kind::Decimal => return self.save_decimal(obj, number, memoize),
            _ => return self.save_foreign(obj),
        }
        if memoize {
            self.memoize(obj);
        }
        WRITTEN
    }

    fn write_date(&mut self, obj: Obj, number: u32) -> Result<(), Stop> {
        self.save_plan_class(number)?;
        self.enc.bytes(&datetime::date(obj))?;
        self.op(Op::Tuple1);
        self.op(Op::Reduce);
        Ok(())
    }

    fn write_timedelta(&mut self, obj: Obj, number: u32) -> Result<(), Stop> {
        self.save_plan_class(number)?;
        datetime::timedelta(obj).into_iter().for_each(|part| self.enc.int(part.into()));
        self.op(Op::Tuple3);
        self.op(Op::Reduce);
        Ok(())
    }

    /// A Decimal: the class called with the text of the number, as its
    /// `__reduce__` in C says (`dec_reduce` in `Modules/_decimal/_decimal.c`).
    fn save_decimal(&mut self, obj: Obj, number: u32, memoize: bool) -> Flow {
        let text = fast::text::of(obj)?;
        if fast::text::ascii(text.obj()).len() >= FRAME_TARGET_BYTES {
            // To a file it goes by itself, and then code runs.
            return self.save_c_reduced(obj);
        }
        self.save_plan_class(number)?;
        self.write_str(text.obj())?;
        self.op(Op::Tuple1);
        self.op(Op::Reduce);
        if memoize {
            self.memoize(obj);
        }
        WRITTEN
    }

    /// A time or datetime: its bytes, `fold` in the top bit of the hour or of
    /// the month (`datetime_getstate` in `Modules/_datetimemodule.c`), and its
    /// time zone if it has one.
    fn save_time(&mut self, obj: Obj, number: u32, kind: Kind, memoize: bool) -> Flow {
        let mut buffer = [0u8; 10];
        let with_fold = self.options.proto > 3;
        let (len, zone) = if kind == Kind::Time {
            let time = datetime::time(obj);
            buffer[..6].copy_from_slice(&time.data);
            buffer[0] |= if with_fold && time.fold { 0x80 } else { 0 };
            (6, time.zone)
        } else {
            let moment = datetime::datetime(obj);
            buffer = moment.data;
            buffer[2] |= if with_fold && moment.fold { 0x80 } else { 0 };
            (10, moment.zone)
        };
        self.save_plan_class(number)?;
        self.enc.bytes(&buffer[..len])?;
        let Some(zone) = zone.filter(|zone| !zone.is_none()) else {
            self.op(Op::Tuple1);
            self.op(Op::Reduce);
            if memoize {
                self.memoize(obj);
            }
            return WRITTEN;
        };
        self.push(Frame::Then {
            keep: zone,
            ops: [Some(Op::Tuple2), Some(Op::Reduce), None],
            memoize: memoize.then_some(obj),
            label: ".tzinfo",
        })?;
        self.save(zone)?;
        PUSHED
    }

    /// `UUID`: no arguments, state `{'int': n}` and, if it is known, whether it
    /// was made safely.
    fn write_uuid(&mut self, obj: Obj, number: u32) -> Result<(), Stop> {
        let Some((int_at, safe_at)) = classify::uuid_slots(obj.ty()) else {
            return Err(Stop::Restart);
        };
        let (Some(int), Some(safe)) = (instance::slot(obj, int_at), instance::slot(obj, safe_at))
        else {
            let text = "'UUID' object has no attribute 'int'";
            return Err(Raised::new(fast::Exc::AttributeError, text).into());
        };
        let names = types::get();
        // SafeUUID members are enum members: their value is in their dict.
        let state = instance::dict(safe)?;
        let safe_value = fast::dict_get(state.obj(), names.value_slot.obj());
        self.save_plan_class(number)?;
        self.op(Op::EmptyTuple);
        self.op(Op::Newobj);
        self.op(Op::EmptyDict);
        self.op(Op::Mark);
        self.save_key_str(names.int.obj())?;
        self.save_int(int)?;
        // `SafeUUID.unknown` has the value None and is left out.
        if let Some(value) = safe_value.filter(|value| fast::is_int(value.ty())) {
            self.save_key_str(names.is_safe.obj())?;
            self.save_int(value)?;
        }
        self.op(Op::Setitems);
        self.op(Op::Build);
        Ok(())
    }

    /// An enum member: the class called with the value.
    fn save_enum(&mut self, obj: Obj, number: u32) -> Flow {
        // A member is known to its class, whatever its references.
        if !self.options.fast
            && let Found::Yes(entry) = self.memo.find(obj.addr())
        {
            let index = entry.as_index().ok_or(Stop::Restart)?;
            self.enc.get(index);
            return WRITTEN;
        }
        let names = types::get();
        let state = instance::dict(obj)?;
        let Some(value) = fast::dict_get(state.obj(), names.value_slot.obj()) else {
            return self.save_foreign(obj);
        };
        if !self.options.fast && self.pure {
            self.memo.set(obj.addr(), Entry::IN_PROGRESS);
        }
        self.save_plan_class(number)?;
        self.push(Frame::Then {
            keep: value,
            ops: [Some(Op::Tuple1), Some(Op::Reduce), None],
            memoize: Some(obj),
            label: ".value",
        })?;
        self.save(value)?;
        PUSHED
    }

    fn write_path(&mut self, obj: Obj, number: u32) -> Result<(), Stop> {
        let parts = classify::path_parts(obj.ty()).and_then(|at| instance::slot(obj, at));
        let Some(parts) = parts.filter(|parts| fast::is_list(parts.ty())) else {
            return Err(Stop::Restart);
        };
        self.save_plan_class(number)?;
        let len = fast::list_len(parts);
        if len == 0 {
            self.op(Op::EmptyTuple);
        } else {
            if len > 3 {
                self.op(Op::Mark);
            }
            for i in 0..len {
                // Parts are interned strs: they repeat from path to path.
                let part = fast::list_get(parts, i);
                if !fast::is_str(part.ty()) {
                    return Err(Stop::Restart);
                }
                self.save_str(part)?;
            }
            self.op(match len {
                1 => Op::Tuple1,
                2 => Op::Tuple2,
                3 => Op::Tuple3,
                _ => Op::Tuple,
            });
        }
        self.op(Op::Reduce);
        Ok(())
    }

    fn save_named_tuple(&mut self, obj: Obj, number: u32) -> Flow {
        let Some(late) = self.enter_late(obj)? else { return WRITTEN };
        self.save_plan_class(number)?;
        let len = fast::tuple_len(obj);
        if len == 0 {
            self.op(Op::EmptyTuple);
            self.op(Op::Newobj);
            if late == Late::After {
                self.memoize(obj);
            }
            return WRITTEN;
        }
        if len > 3 {
            self.op(Op::Mark);
        }
        self.push(Frame::Tuple { obj, next: 0, late, end: TupleEnd::NewObj })?;
        PUSHED
    }
}
