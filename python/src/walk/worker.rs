//! A walker for a thread that does not hold the GIL, while the thread that
//! holds it waits: it reads objects and nothing else.
//!
//! # Safety
//!
//! The thread that holds the GIL runs no Python code and changes no object
//! until the workers are done, so objects neither change nor die. A worker is
//! always in the pure state, in which a walk takes no references; on top of
//! that it makes no object, sets no exception and calls no function of the
//! interpreter but pure readers. Whatever would need more ends its part
//! ([`Stop::Restart`]): the serial walk then does that part itself. The guards
//! ask [`Walker::worker`].

use super::split::{Items, Job, Met};
use super::{Flow, Options, Stop, WRITTEN, Walker};
use crate::classify::{Kind, TypeCache};
use crate::fast::storage::BytesStorage;
use crate::fast::{self, Obj};
use crate::policy::Choices;
use core::sync::atomic::Ordering;
use ferropickle_core::limits::BATCH_ITEMS;
use ferropickle_core::memo::{Entry, Memo};
use ferropickle_core::opcode::Op;
use ferropickle_core::parts::{Part, Placement};
use std::sync::Arc;

/// The walker of one thread, for the parts of one container.
pub struct Worker(Box<Walker>);

// SAFETY: what it refers to is only read, by the head of this file.
unsafe impl Send for Worker {}

impl Worker {
    /// A worker with the choices of a walk, which must outlive it and must not
    /// classify types meanwhile: the worker looks at what it knows of them.
    pub fn of(walk: &Walker) -> Worker {
        let mut own = Box::new(Walker::idle());
        own.enc.take_output(|storage, _| *storage = BytesStorage::heap());
        own.enc.set_proto(walk.options.proto);
        let choices = Choices { face: walk.options.choices.face, ..Choices::default() };
        own.by_value.begin(&choices);
        let Options { proto, fix_imports, .. } = walk.options;
        own.options = Options { proto, fix_imports, choices, ..Options::default() };
        own.stamp = walk.stamp;
        own.elide_text = walk.elide_text;
        own.pure = true;
        own.worker = true;
        // SAFETY: read only, and forgotten when the worker is dropped.
        own.types = unsafe { core::ptr::read(&raw const walk.types) };
        Worker(own)
    }

    /// What is known besides, while parts are encoded.
    pub fn set_base(&mut self, base: Option<Arc<Memo>>) {
        self.0.memo.set_base(base);
    }

    /// Encodes parts of the job until there are no more.
    pub fn work(&mut self, job: &Job, placement: &Placement) {
        let mut spare = Part::default();
        loop {
            let number = job.next.fetch_add(1, Ordering::Relaxed);
            if number >= job.parts.min(job.stop.load(Ordering::Relaxed)) {
                return;
            }
            match self.encode(job, number, spare.bytes) {
                Ok(part) => {
                    job.note(number, self.met());
                    spare = placement.finish(number, part);
                }
                Err(_) => {
                    self.0.frames.clear();
                    job.stop.fetch_min(number, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    fn encode(&mut self, job: &Job, number: usize, memory: Vec<u8>) -> Result<Part, Stop> {
        let walk = &mut *self.0;
        walk.memo.clear();
        walk.elided.clear();
        walk.epoch = walk.epoch.wrapping_add(1);
        walk.enc.take_output(|storage, _| storage.swap_heap(memory, 0));
        walk.split.most_bytes = job.most_bytes;
        walk.enc.begin_part();
        let (from, to) = job.range(number);
        match job.items {
            Items::List(list) => walk.list_part(list, from, to)?,
            Items::Tuple(tuple) => walk.tuple_part(tuple, from, to)?,
            Items::Dict(dict) => walk.dict_part(dict, from, to)?,
            Items::Set(set) => walk.set_part(set, from, to, true)?,
            Items::FrozenSet(set) => walk.set_part(set, from, to, false)?,
        }
        walk.check_memory()?;
        if walk.enc.out().len() > job.most_bytes {
            return Err(Stop::Restart);
        }
        Ok(walk.enc.end_part(|storage, len| storage.swap_heap(Vec::new(), len)))
    }

    /// What the part has met, for the memo of the stream.
    fn met(&mut self) -> Met {
        let own = |(addr, entry): (usize, Entry)| {
            let index = entry.as_index().and_then(Part::own);
            index.map(|index| (addr, index))
        };
        let mut entries: Vec<(usize, u32)> = self.0.memo.iter().filter_map(own).collect();
        entries.sort_unstable_by_key(|(_, index)| *index);
        // The next part has about as many.
        let room = Vec::with_capacity(self.0.elided.len());
        Met { entries, elided: core::mem::replace(&mut self.0.elided, room) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The plans are the walk's.
        core::mem::forget(core::mem::take::<TypeCache>(&mut self.0.types));
    }
}

impl Walker {
    /// An object with all that is under it.
    fn save_fully(&mut self, obj: Obj) -> Result<(), Stop> {
        if self.save(obj)? {
            self.run(0)?;
        }
        self.boundary()
    }

    fn list_part(&mut self, list: Obj, from: isize, to: isize) -> Result<(), Stop> {
        let mut at = from;
        while at < to {
            let end = to.min(at + BATCH_ITEMS as isize);
            self.op(Op::Mark);
            while at < end {
                self.save_fully(fast::list_get(list, at))?;
                at += 1;
            }
            self.op(Op::Appends);
        }
        Ok(())
    }

    fn tuple_part(&mut self, tuple: Obj, from: isize, to: isize) -> Result<(), Stop> {
        (from..to).try_for_each(|at| self.save_fully(fast::tuple_get(tuple, at)))
    }

    /// The entries at positions from `from` up to `to`.
    fn dict_part(&mut self, dict: Obj, from: isize, to: isize) -> Result<(), Stop> {
        let (mut pos, mut in_batch) = (from, 0);
        while let Some((key, value)) = fast::dict_next(dict, &mut pos)
            && pos <= to
        {
            if in_batch == BATCH_ITEMS {
                self.op(Op::Setitems);
                in_batch = 0;
            }
            if in_batch == 0 {
                self.op(Op::Mark);
            }
            in_batch += 1;
            if fast::is_str(key.ty()) {
                self.save_key_str(key)?;
            } else {
                self.refuse_key_of_user(key)?;
                self.save_fully(key)?;
            }
            self.save_fully(value)?;
        }
        if in_batch > 0 {
            self.op(Op::Setitems);
        }
        Ok(())
    }

    /// The elements at places from `from` up to `to`.
    fn set_part(&mut self, set: Obj, from: isize, to: isize, batches: bool) -> Result<(), Stop> {
        let (mut pos, mut in_batch) = (from, 0);
        while let Some(item) = fast::set_next(set, &mut pos)
            && pos <= to
        {
            if batches && in_batch == BATCH_ITEMS {
                self.op(Op::Additems);
                in_batch = 0;
            }
            if batches && in_batch == 0 {
                self.op(Op::Mark);
            }
            in_batch += 1;
            self.refuse_key_of_user(item)?;
            self.save_fully(item)?;
        }
        if batches && in_batch > 0 {
            self.op(Op::Additems);
        }
        Ok(())
    }

    /// What is hashed on load before the load is over: parts may write objects
    /// in another order than a serial walk, which only leaves cannot tell.
    #[inline(always)]
    pub(super) fn refuse_key_of_user(&self, key: Obj) -> Result<(), Stop> {
        if self.worker && !fast::is_leaf_key(key) { Err(Stop::Restart) } else { Ok(()) }
    }

    /// As [`Walker::save_other`]: kinds that are only read.
    pub(super) fn save_other_as_worker(&mut self, obj: Obj) -> Flow {
        let ty = obj.ty();
        // As there: instances of one class, one after another.
        if let Some(number) = self.types.plan_of_instance(ty) {
            let plan = &self.types.plans[number as usize];
            if plan.verified_in == self.stamp && !plan.by_value {
                return self.save_instance(obj, number);
            }
        }
        if fast::is_set(ty) || fast::is_frozenset(ty) {
            return self.save_set(obj, fast::is_frozenset(ty));
        }
        if fast::is_bytearray(ty) && self.options.proto >= 5 {
            return self.save_bytearray(obj);
        }
        if let Some(number) = self.types.known(ty) {
            let plan = &self.types.plans[number as usize];
            let (kind, verified) = (plan.kind, plan.verified_in == self.stamp);
            let new_by_value = plan.by_value && self.class_is_new(number);
            match kind {
                Kind::Instance if verified && !new_by_value => {
                    return self.save_instance(obj, number);
                }
                Kind::NamedTuple | Kind::Date | Kind::TimeDelta | Kind::Time | Kind::DateTime
                    if verified =>
                {
                    return self.save_known(obj, number, kind);
                }
                _ => {}
            }
        }
        // Classes, functions, enum members: where the stream has them already.
        if self.write_if_made(obj)? { WRITTEN } else { Err(Stop::Restart) }
    }
}
