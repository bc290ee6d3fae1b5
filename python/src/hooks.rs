//! What a pickler's user can hook into, looked up once when a dump begins.

use crate::error::Raised;
use crate::fast::{self, Obj, Own, sequence};
use crate::types;
use ferropickle_core::buffer::BufferTable;

/// Where reducers are looked up by class.
pub enum Table {
    /// `copyreg.dispatch_table`.
    Copyreg,
    /// A pickler's own mapping.
    Own(Own),
}

/// Whether a callback has a true attribute of that name. One that fails to say takes none.
fn says_it_takes_devices(callback: &Own) -> bool {
    match callback.obj().getattr_opt(types::get().takes_device_buffers.obj()) {
        Ok(Some(answer)) => fast::is_bool(answer.ty()) && fast::is_true(answer.obj()),
        Ok(None) => false,
        Err(raised) => {
            raised.discard();
            false
        }
    }
}

/// PickleBuffers for a list.
pub struct Appended {
    list: Own,
    pub buffers: Vec<Own>,
}

impl Appended {
    fn deliver(mut self) -> Result<(), Raised> {
        if self.buffers.is_empty() {
            return Ok(());
        }
        let all = sequence::take_list(&mut self.buffers, 0)?;
        fast::extend(self.list.obj(), all.obj())
    }
}

/// The hooks of one dump.
pub struct Hooks {
    /// Whether something is to be asked of, or told about, every object.
    pub has_persistent_id: bool,
    /// Told of each object before it is written: see `Walker::observe`.
    pub observer: Option<Own>,
    pub persistent_id: Option<Own>,
    pub reducer_override: Option<Own>,
    pub buffer_callback: Option<Own>,
    /// Takes the buffers that leave the stream, in place of a callback.
    pub collected: Option<BufferTable>,
    /// Whether what is collected may be memory of a device.
    pub takes_devices: bool,
    /// Then it is an array's own, a `DeviceRegion`, which is copied by who packs.
    pub takes_regions: bool,
    /// The same of what a callback is given: it says so by an attribute.
    pub callback_takes_devices: bool,
    /// As `collected`, where the callback is `append` of a list: it cannot say
    /// no, so the list gets all of them at the end, and no code runs meanwhile.
    pub appended: Option<Appended>,
    pub table: Table,
    /// Answers of the buffer callback so far, which a restart uses again: a
    /// buffer must not be handed out twice.
    buffer_answers: Vec<bool>,
    next_answer: usize,
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks {
            has_persistent_id: false,
            observer: None,
            persistent_id: None,
            reducer_override: None,
            buffer_callback: None,
            collected: None,
            takes_devices: false,
            takes_regions: false,
            callback_takes_devices: false,
            appended: None,
            table: Table::Copyreg,
            buffer_answers: Vec::new(),
            next_answer: 0,
        }
    }
}

impl Hooks {
    /// The hooks of a plain `dumps`.
    pub fn plain(buffer_callback: Option<Own>) -> Hooks {
        let mut hooks = Hooks::default();
        hooks.call_back(buffer_callback);
        hooks
    }

    fn call_back(&mut self, buffer_callback: Option<Own>) {
        let list =
            buffer_callback.as_ref().and_then(|callback| sequence::list_append(callback.obj()));
        self.callback_takes_devices = buffer_callback.as_ref().is_some_and(says_it_takes_devices);
        match list {
            Some(list) => self.appended = Some(Appended { list, buffers: Vec::new() }),
            None => self.buffer_callback = buffer_callback,
        }
    }

    /// Gives a list the buffers that its `append` was to take.
    pub fn deliver(&mut self) -> Result<(), Raised> {
        match self.appended.take() {
            Some(appended) => appended.deliver(),
            None => Ok(()),
        }
    }

    /// The hooks of a dump whose buffers are collected.
    pub fn collecting() -> Hooks {
        Hooks { collected: Some(BufferTable::default()), ..Hooks::default() }
    }

    /// Whether buffers may leave the stream.
    pub fn out_of_band(&self) -> bool {
        self.collected.is_some() || self.appended.is_some() || self.buffer_callback.is_some()
    }

    /// The hooks that a pickler object or its class defines. A base method of
    /// that name (3.13 has `persistent_id`) is no hook: `is_base` tells it.
    pub fn of_pickler(
        pickler: Obj,
        buffer_callback: Option<Own>,
        is_base: impl Fn(Obj) -> bool,
    ) -> Result<Hooks, Raised> {
        let names = types::get();
        let persistent_id =
            pickler.getattr_opt(names.persistent_id.obj())?.filter(|found| !is_base(found.obj()));
        let table = match pickler.getattr_opt(names.dispatch_table.obj())? {
            Some(table) => Table::Own(table),
            None => Table::Copyreg,
        };
        let observer = pickler.getattr_opt(names.observe.obj())?;
        let mut hooks = Hooks {
            has_persistent_id: persistent_id.is_some() || observer.is_some(),
            observer,
            persistent_id,
            reducer_override: pickler.getattr_opt(names.reducer_override.obj())?,
            table,
            ..Hooks::default()
        };
        hooks.call_back(buffer_callback);
        Ok(hooks)
    }

    /// Whether the hooks run for nearly every object, so that nothing can be
    /// left out of the memo.
    pub fn needs_full(&self) -> bool {
        self.has_persistent_id
    }

    /// Whether every object that is not of an exact built-in type must go the
    /// general way.
    pub fn asks_for_everything(&self) -> bool {
        self.has_persistent_id
            || self.reducer_override.is_some()
            || matches!(self.table, Table::Own(_))
    }

    /// Begins the dump again.
    pub fn restart(&mut self) {
        self.next_answer = 0;
        if let Some(collected) = &mut self.collected {
            collected.clear();
        }
        if let Some(appended) = &mut self.appended {
            appended.buffers.clear();
        }
    }

    /// The answer that the callback gave for the next buffer before a restart.
    pub fn replayed_buffer(&mut self) -> Option<bool> {
        let answer = self.buffer_answers.get(self.next_answer).copied();
        self.next_answer += usize::from(answer.is_some());
        answer
    }

    /// Keeps an answer of the callback.
    pub fn record_buffer(&mut self, in_band: bool) {
        self.buffer_answers.push(in_band);
        self.next_answer += 1;
    }
}
