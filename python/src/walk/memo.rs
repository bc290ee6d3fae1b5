//! Which objects are in the memo, and who holds them: the rules are at the head
//! of `mod.rs`.

use super::frame::Late;
use super::{CachedKey, KEY_CACHE, Stop, Walker};
use crate::fast::{self, Obj, Own};
use ferropickle_core::Error;
use ferropickle_core::memo::{Entry, Found, Vacant};

/// How many containers may have been elided for a restart to be cheaper than
/// entering them all into the memo.
const CHEAP_RESTART: usize = 256;

/// Added to the address in the memo key of a str that is written as a name:
/// see [`Walker::save_identifier`], which keeps the str alive.
pub const AS_NAME: usize = 1;

/// How a container that is met enters the stream.
pub enum Enter {
    /// A GET was written.
    Met,
    /// Without memo entry.
    Elided,
    /// With one, at this free place.
    Memo(Vacant),
}

impl Walker {
    /// As [`Walker::write_if_met`] in `fast` mode too: functions and classes are
    /// in the memo there as well, as they refer to themselves.
    pub fn write_if_made(&mut self, obj: Obj) -> Result<bool, Stop> {
        match self.memo.find(obj.addr()) {
            Found::No(_) => Ok(false),
            Found::Yes(entry) => {
                let index = entry.as_index().ok_or(Stop::Restart)?;
                self.enc.get(index);
                Ok(true)
            }
        }
    }

    /// A GET if the object has an entry.
    pub fn write_if_met(&mut self, obj: Obj) -> Result<bool, Stop> {
        if self.options.fast {
            return Ok(false);
        }
        self.write_if_made(obj)
    }

    /// Asks for the memory that a look-up of an object will read.
    #[inline(always)]
    pub fn expect(&self, obj: Obj) {
        fast::prefetch(self.memo.place(obj.addr()));
    }

    /// Decides how a container enters the stream; writes the GET if it was met.
    #[inline(always)]
    pub fn enter(&mut self, obj: Obj) -> Result<Enter, Stop> {
        if self.pure && obj.refcnt() == 1 {
            self.log_elided(obj)?;
            return Ok(Enter::Elided);
        }
        if self.options.fast {
            return Ok(Enter::Elided);
        }
        match self.memo.find(obj.addr()) {
            Found::No(vacant) => Ok(Enter::Memo(vacant)),
            Found::Yes(entry) => self.met(entry),
        }
    }

    #[inline(always)]
    fn met(&mut self, entry: Entry) -> Result<Enter, Stop> {
        match entry.as_index() {
            Some(index) => {
                self.enc.get(index);
                Ok(Enter::Met)
            }
            None => Err(Stop::Restart),
        }
    }

    /// Enters an object that gets its memo entry after its items; `None` if it
    /// was met before.
    #[inline(always)]
    pub(super) fn enter_late(&mut self, obj: Obj) -> Result<Option<Late>, Stop> {
        match self.enter(obj)? {
            Enter::Met => Ok(None),
            Enter::Elided => Ok(Some(Late::Never)),
            Enter::Memo(vacant) => {
                if self.pure {
                    self.memo.insert_at(vacant, obj.addr(), Entry::IN_PROGRESS);
                }
                Ok(Some(Late::After))
            }
        }
    }

    /// After the items of a late object: if it is in the memo by now, it
    /// contains itself, and what was written is thrown away for a GET.
    pub(super) fn recursed(&self, obj: Obj) -> Option<u32> {
        self.memo.get(obj.addr()).and_then(Entry::as_index)
    }

    /// Gives the object on top of the unpickler's stack a memo entry.
    #[inline(always)]
    pub fn memoize_at(&mut self, vacant: Vacant, obj: Obj) {
        let index = self.enc.memoize();
        self.memo.insert_at(vacant, obj.addr(), Entry::index(index));
        if !self.pure {
            self.keep(obj);
        }
    }

    /// As [`Walker::memoize_at`] where the table may have changed since the
    /// look-up, or the object has a mark.
    pub fn memoize(&mut self, obj: Obj) {
        if self.options.fast {
            return;
        }
        let index = self.enc.memoize();
        self.memo.set(obj.addr(), Entry::index(index));
        if !self.pure {
            self.keep(obj);
        }
    }

    /// Whether an immutable leaf can do without an entry; writes the GET if it
    /// has one.
    #[inline(always)]
    pub fn enter_leaf(&mut self, obj: Obj) -> Result<Enter, Stop> {
        if (self.elide_text && obj.refcnt() == 1) || self.options.fast {
            return Ok(Enter::Elided);
        }
        match self.memo.find(obj.addr()) {
            Found::No(vacant) => Ok(Enter::Memo(vacant)),
            Found::Yes(entry) => self.met(entry),
        }
    }

    /// The memo index of a recently met key or class, without the table.
    #[inline(always)]
    pub fn cached_key(&self, key: Obj) -> Option<u32> {
        let cached = &self.keys[(key.addr() >> 4) % KEY_CACHE];
        let valid = cached.addr == key.addr() && cached.epoch == self.epoch;
        valid.then_some(cached.index)
    }

    /// Remembers a key's or class's index. It has a memo entry, so it cannot die
    /// before the dump ends.
    #[inline(always)]
    pub fn cache_key(&mut self, key: Obj, index: u32) {
        self.keys[(key.addr() >> 4) % KEY_CACHE] =
            CachedKey { addr: key.addr(), index, epoch: self.epoch };
    }

    /// Keeps a temporary alive until the dump ends.
    pub fn pin(&mut self, temporary: Own) -> Obj {
        let obj = temporary.obj();
        core::mem::forget(temporary);
        self.keep_taken(obj);
        obj
    }

    /// Notes a container that is written without memo entry.
    #[inline(always)]
    pub fn log_elided(&mut self, obj: Obj) -> Result<(), Stop> {
        if self.elided.len() == self.elided.capacity() {
            self.elided.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        }
        self.elided.push(obj);
        Ok(())
    }

    /// Whether so many containers were written without memo entry, or less.
    pub fn has_elided_at_most(&self, count: usize) -> bool {
        self.elided.len() <= count && self.elided_in_parts.is_empty()
    }

    /// Keeps an object alive until the dump ends; without memory for the note
    /// it is kept for ever, and the dump fails.
    #[inline(always)]
    pub fn keep(&mut self, obj: Obj) {
        obj.incref();
        self.keep_taken(obj);
    }

    /// Takes over a reference, until the dump ends.
    #[inline(always)]
    fn keep_taken(&mut self, obj: Obj) {
        if self.pins.len() == self.pins.capacity() && self.pins.try_reserve(1).is_err() {
            self.out_of_memory = true;
            return;
        }
        self.pins.push(obj);
    }

    // ---- states ---------------------------------------------------------

    /// To be called before anything that may run Python code.
    #[inline]
    pub fn leave_pure(&mut self) -> Result<(), Stop> {
        // Code may have changed classes, modules and copyreg's table.
        self.stamp += 1;
        if self.pure { self.leave_pure_cold() } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn leave_pure_cold(&mut self) -> Result<(), Stop> {
        if self.worker || self.has_elided_at_most(CHEAP_RESTART) {
            return Err(Stop::Restart);
        }
        self.split.reset(false);
        self.make_inline_dicts()?;
        let mut unpinned = Vec::new();
        unpinned.try_reserve(self.memo.len()).map_err(|_| Error::OutOfMemory)?;
        for (addr, _) in self.memo.iter().filter(|(addr, _)| addr & AS_NAME == 0) {
            // SAFETY: keys are addresses of objects that could not die while
            // the state was pure.
            #[allow(unsafe_code, reason = "memo keys are live objects in the pure state")]
            let obj = unsafe { Obj::new(addr as *mut pyo3::ffi::PyObject) };
            unpinned.push(obj);
        }
        let in_parts = core::mem::take(&mut self.elided_in_parts).into_iter().flatten();
        for obj in core::mem::take(&mut self.elided).into_iter().chain(in_parts) {
            // A tuple marked IN_PROGRESS is not elided, so nothing is lost.
            self.memo.set(obj.addr(), Entry::ELIDED);
            self.keep(obj);
        }
        unpinned.into_iter().for_each(|obj| self.keep(obj));
        for frame in &self.frames {
            frame.each_ref(|obj| obj.incref());
        }
        self.pure = false;
        self.replay.recording = true;
        Ok(())
    }
}
