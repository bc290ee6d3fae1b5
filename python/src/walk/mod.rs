//! The walker: visits objects, keeps identity, calls the encoder.
//!
//! It has its own stack ([`frame::Frame`]), so depth is bounded by memory.
//!
//! # States, and who holds references
//!
//! * **Pure**: no Python code has run and none can (the GIL is held, the
//!   collector is off, nothing that runs code is called). Objects cannot die
//!   or change, so frames and memo hold borrowed references, and a container
//!   with one reference needs no memo entry: it can be met once only, by the
//!   one edge that holds it. Such containers are logged in `elided`.
//!   Tuples and frozensets get their entry after their items; one with several
//!   references is marked IN_PROGRESS meanwhile, and meeting the mark restarts
//!   in Full. The root is never elided: its references say nothing.
//!   What is counted are edges, and every edge that a walk follows (an item, a
//!   key, a value, a slot, a `__dict__`) owns a reference, in every version.
//!   References that the interpreter does not count are none of them: from 3.14
//!   on a frame borrows from its variables what it puts on its stack
//!   (LOAD_FAST_BORROW), and a free-threaded build defers the counting of
//!   functions and classes. So a count of one may hide a frame that knows the
//!   object, but no second edge; and what the frame does then, it does in the
//!   foreign state. The root comes borrowed: the entry points take a reference
//!   of their own. The count of an immortal object is never one.
//! * **Foreign**: Python code has run. Frames, memo and pins own references
//!   (`Walker::leave_pure` takes them all at once), everything is memoized
//!   from here on, and the elided containers are in the memo as ELIDED: meeting
//!   one means that user code produced an edge that did not exist, and restarts
//!   in Full. Results of reducers are kept, so that none is called twice.
//! * **Full**: everything is memoized, as stock does. The state of `Pickler`
//!   objects (their memo outlives the dump) and after a restart.
//!
//! Strings and bytes with one reference are left out of the memo in every
//! state but a Pickler's: they are immutable, only `is` could tell.

pub mod ask;
pub mod buffer;
pub mod described;
pub mod device;
pub mod elements;
pub mod frame;
pub mod global;
pub mod instance;
pub mod items;
pub mod known;
pub mod linked;
pub mod mapping;
pub mod memo;
pub mod notes;
pub mod numpy;
pub mod path;
pub mod persistent;
pub mod reduce;
pub mod replay;
pub mod scalar;
pub mod sequence;
pub mod set;
pub mod split;
pub mod text;
pub mod versions;
pub mod worker;

use crate::byvalue::ByValue;
use crate::classify::TypeCache;
use crate::error::{Raised, raise_encode};
use crate::fast::storage::BytesStorage;
use crate::fast::{self, Obj, Own};
use crate::hooks::Hooks;
use crate::policy::Choices;
use crate::sink::Sink;
use ferropickle_core::Error;
use ferropickle_core::encode::Encoder;
use ferropickle_core::memo::Memo;

use device::Devices;
use ferropickle_core::regions::Regions;
use frame::Frame;
pub use memo::Enter;
use replay::Replay;
use split::Split;
use std::collections::{BTreeMap, HashMap};
use versions::Versions;

/// Why a walk stopped before its end.
pub enum Stop {
    /// An exception is set.
    Raised(Raised),
    /// One is to be set.
    Failed(Error),
    /// Begin again in the Full state.
    Restart,
    /// Begin again in the Pure state, once the class has an id: what keeps ids
    /// is Python code, and no code runs while the walk holds borrowed references.
    Identify(Own),
    /// The same, once NumPy was looked up.
    LookUpNumpy,
    /// Begin again, as arrays were found to share memory that must come first:
    /// in the Pure state if the walk was in it.
    Regions,
}

impl From<Raised> for Stop {
    fn from(raised: Raised) -> Self {
        Stop::Raised(raised)
    }
}

impl From<Error> for Stop {
    #[cold]
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Whether a frame was pushed for the object, or it is written already.
pub type Flow = Result<bool, Stop>;
/// The object is written.
pub const WRITTEN: Flow = Ok(false);
/// A frame was pushed that will write it.
pub const PUSHED: Flow = Ok(true);

const KEY_CACHE: usize = 64;

/// A key or class met lately: valid in the epoch that it was met in.
#[derive(Clone, Copy, Default)]
pub struct CachedKey {
    addr: usize,
    index: u32,
    epoch: u32,
}

/// How a dump is to be done.
#[derive(Clone, Default)]
pub struct Options {
    pub proto: u8,
    pub fix_imports: bool,
    /// No memo at all (`Pickler.fast`).
    pub fast: bool,
    /// The memo outlives the dump: leave nothing out.
    pub keep_memo: bool,
    /// Begin in the Full state.
    pub full: bool,
    pub choices: Choices,
}

/// One dump; between dumps the memory that the next one uses again.
pub struct Walker {
    pub enc: Encoder<BytesStorage>,
    pub memo: Memo,
    pub frames: Vec<Frame>,
    pub pins: Vec<Obj>,
    pub types: TypeCache,
    /// Functions, classes and modules by value.
    pub by_value: Box<ByValue>,
    pub hooks: Hooks,
    pub sink: Sink,
    pub options: Options,
    /// Scratch for strings that are not ASCII.
    pub text: Vec<u8>,
    /// Identifies this dump, and what was verified in it.
    pub stamp: u64,
    pub pure: bool,
    /// This walker encodes parts for another, without the GIL: see `worker.rs`.
    pub worker: bool,
    pub split: Split,
    /// Strings with one reference go without memo entry.
    elide_text: bool,
    pub elided: Vec<Obj>,
    /// More of them, as the parts of waves have left them.
    pub elided_in_parts: Vec<Vec<Obj>>,
    /// Reduce results of the Foreign state, by object.
    pub replay: Replay,
    /// Memory of arrays that the stream holds.
    pub regions: Regions,
    /// Arrays on devices, and their bytes that are still to come.
    devices: Devices,
    dtype: numpy::KnownDtype,
    form: numpy::KnownForm,
    versions: Versions,
    /// Where object arrays of the pure state have their elements: from, to.
    object_memory: BTreeMap<usize, usize>,
    keys: [CachedKey; KEY_CACHE],
    /// Changes with each dump and each restart: what is cached is of one memo.
    epoch: u32,
    since_signals: u32,
    /// Memory ran out where nothing could be returned.
    out_of_memory: bool,
    /// The object of the dump that runs or has failed.
    root: Option<Obj>,
}

impl Walker {
    /// A walker with nothing to do.
    pub fn idle() -> Walker {
        Walker {
            enc: Encoder::new(BytesStorage::default(), 0),
            memo: Memo::new(),
            frames: Vec::new(),
            pins: Vec::new(),
            types: TypeCache::default(),
            by_value: Box::default(),
            hooks: Hooks::default(),
            sink: Sink::memory(),
            options: Options::default(),
            text: Vec::new(),
            stamp: 0,
            pure: false,
            worker: false,
            split: Split::default(),
            elide_text: false,
            elided: Vec::new(),
            elided_in_parts: Vec::new(),
            replay: Replay::default(),
            regions: Regions::default(),
            devices: Devices::default(),
            dtype: numpy::KnownDtype::default(),
            form: numpy::KnownForm::default(),
            versions: Versions::default(),
            object_memory: BTreeMap::new(),
            keys: [CachedKey::default(); KEY_CACHE],
            epoch: 0,
            since_signals: 0,
            out_of_memory: false,
            root: None,
        }
    }

    /// Sets an idle walker up for a dump, which [`Walker::end`] ends.
    pub fn begin(&mut self, options: Options, hooks: Hooks, sink: Sink) {
        // Streams of the first protocols are stock's to the byte: those who
        // write them feed readers of other times.
        let legacy = options.proto < 3;
        self.by_value.begin(&options.choices);
        let full =
            options.full || options.keep_memo || options.fast || legacy || hooks.needs_full();
        self.hooks = hooks;
        self.sink = sink;
        self.enc.set_proto(options.proto);
        self.stamp += 1;
        self.pure = !full;
        self.elide_text = !options.keep_memo && !legacy;
        self.options = options;
        self.epoch = self.epoch.wrapping_add(1);
        self.since_signals = 0;
        self.out_of_memory = false;
        self.split.reset(self.may_split());
    }

    /// Writes one whole stream. `root` must have a reference of its own for the
    /// time of the call, besides the caller's.
    pub fn dump(&mut self, root: Obj, first_index: u32) -> Result<(), Raised> {
        self.enc.restart(first_index);
        self.root = Some(root);
        loop {
            match self.attempt(root) {
                Ok(()) => return Ok(()),
                Err(Stop::Raised(raised)) => return Err(raised),
                Err(Stop::Failed(error)) => return Err(raise_encode(error)),
                Err(Stop::Restart) => self.restart(),
                Err(Stop::Identify(class)) => {
                    self.restart_pure();
                    self.identify(class.obj())?;
                }
                Err(Stop::LookUpNumpy) => {
                    self.restart_pure();
                    crate::arrays::prepare()?;
                }
                Err(Stop::Regions) if self.pure => self.restart_pure(),
                Err(Stop::Regions) => self.restart(),
            }
        }
    }

    fn attempt(&mut self, root: Obj) -> Result<(), Stop> {
        self.enc.begin();
        self.save(root)?;
        self.run(0)?;
        if self.wants_again() {
            return Err(Stop::Regions);
        }
        self.settle_devices()?;
        self.enc.finish()?;
        self.check_memory()?;
        Ok(self.observe(root, usize::MAX)?)
    }

    fn check_memory(&self) -> Result<(), Stop> {
        if self.out_of_memory || self.memo.failed() {
            return Err(Error::OutOfMemory.into());
        }
        Ok(self.enc.check()?)
    }

    fn restart(&mut self) {
        self.restart_pure();
        self.replay.begin_again(self.pure);
        self.pure = false;
        // Parts hold no references, and leave out what has one.
        self.split.reset(false);
    }

    /// Forgets the output and all that was met; results of reducers are kept.
    fn restart_pure(&mut self) {
        self.drop_frames();
        self.replay.recording = false;
        self.memo.clear();
        self.elided.clear();
        self.elided_in_parts.clear();
        self.regions.begin_again();
        self.devices.begin_again();
        self.object_memory.clear();
        self.stamp += 1;
        self.epoch = self.epoch.wrapping_add(1);
        self.sink.restart();
        self.hooks.restart();
        self.enc.restart(0);
        self.by_value.reset();
        self.split.reset(self.split.on);
    }

    /// Works until as many frames as `depth` are left.
    fn run(&mut self, depth: usize) -> Result<(), Stop> {
        while self.frames.len() > depth
            && let Some(frame) = self.frames.last()
        {
            match frame {
                Frame::List { .. } => self.step_list()?,
                Frame::Dict { .. } => self.step_dict()?,
                Frame::Tuple { .. } => self.step_tuple()?,
                Frame::Inline { .. } => self.step_inline()?,
                Frame::Slots { .. } => self.step_slots()?,
                Frame::Set { .. } => self.step_set()?,
                Frame::Items { .. } => self.step_items()?,
                Frame::Pairs { .. } => self.step_pairs()?,
                Frame::Reduce { .. } => self.step_reduce()?,
                Frame::Then { .. } => self.step_then()?,
                Frame::Dtype { .. } => self.step_dtype()?,
                Frame::Elements(_) => self.step_elements()?,
                Frame::Script { .. } => self.step_script()?,
            }
        }
        Ok(())
    }

    /// Writes an object to its end where a frame cannot wait for it: parts of
    /// names, for which hooks may have answers of any shape.
    #[cold]
    pub fn save_whole(&mut self, obj: Obj) -> Result<(), Stop> {
        let depth = self.frames.len();
        self.save(obj)?;
        self.run(depth)
    }

    /// Writes an object, or pushes a frame that will.
    #[inline(always)]
    pub fn save(&mut self, obj: Obj) -> Flow {
        if self.hooks.has_persistent_id
            && let Some(pushed) = self.save_persistent(obj)?
        {
            return Ok(pushed);
        }
        self.save_plain(obj)
    }

    /// As [`Walker::save`], not asking for a persistent id.
    #[inline(always)]
    pub fn save_plain(&mut self, obj: Obj) -> Flow {
        let ty = obj.ty();
        if fast::is_str(ty) {
            self.save_str(obj)
        } else if fast::is_int(ty) {
            self.save_int(obj)
        } else if fast::is_float(ty) {
            self.save_float(obj)
        } else if fast::is_dict(ty) {
            self.save_dict(obj)
        } else if fast::is_list(ty) {
            self.save_list(obj)
        } else if fast::is_tuple(ty) {
            self.save_tuple(obj)
        } else if obj.is_none() {
            self.enc.none();
            WRITTEN
        } else if fast::is_bool(ty) {
            self.enc.bool(fast::is_true(obj));
            WRITTEN
        } else if fast::is_bytes(ty) {
            self.save_bytes(obj)
        } else {
            self.save_other(obj)
        }
    }

    /// Writes an object that never needs a frame; false, with nothing done, if
    /// it is another. Not where there is a persistent id to ask for.
    #[inline(always)]
    pub fn save_leaf(&mut self, obj: Obj) -> Flow {
        let ty = obj.ty();
        if fast::is_str(ty) {
            self.save_str(obj)?;
        } else if fast::is_int(ty) {
            self.save_int(obj)?;
        } else if fast::is_float(ty) {
            self.save_float(obj)?;
        } else if obj.is_none() {
            self.enc.none();
        } else if fast::is_bool(ty) {
            self.enc.bool(fast::is_true(obj));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether the leaves at the head of a container can be written before it
    /// has a frame: a container of leaves alone then needs none. Only where no
    /// code can run meanwhile, not even a file's: nobody holds the container.
    #[inline(always)]
    pub fn leaves_first(&self) -> bool {
        self.options.proto >= 2
            && !self.hooks.has_persistent_id
            && (self.pure || !self.sink.is_file())
    }

    // ---- frames ---------------------------------------------------------

    /// Pushes a frame, which owns its references outside the pure state.
    #[inline(always)]
    pub fn push(&mut self, frame: Frame) -> Result<(), Stop> {
        if self.frames.len() == self.frames.capacity() {
            self.grow_frames()?;
        }
        if !self.pure {
            frame.each_ref(|obj| obj.incref());
        }
        self.frames.push(frame);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn grow_frames(&mut self) -> Result<(), Stop> {
        self.refuse_endless()?;
        self.frames.try_reserve(1).map_err(|_| Error::OutOfMemory.into())
    }

    /// Depth has no limit, but an object whose own reduction leads back to it
    /// again and again has no end: stock meets its recursion limit there. Asked
    /// each time the stack doubles.
    fn refuse_endless(&self) -> Result<(), Stop> {
        const ENDLESS: u32 = 200;
        if self.frames.len() < 4096 || (self.pure && !self.options.fast) {
            return Ok(());
        }
        let mut seen: HashMap<usize, u32> = HashMap::new();
        for frame in &self.frames {
            let Some(obj) = frame.subject(self.options.fast) else { continue };
            let count = seen.entry(obj.addr()).or_default();
            *count += 1;
            if *count < ENDLESS {
                continue;
            }
            if self.options.fast {
                let text = format!(
                    "fast mode: can't pickle cyclic objects including object type {} at {:#x}",
                    crate::error::type_name(obj),
                    obj.addr()
                );
                return Err(Raised::new(fast::Exc::ValueError, &text).into());
            }
            let text = "the reduction of an object leads back to the object without end";
            return Err(Raised::new(fast::Exc::RecursionError, text).into());
        }
        Ok(())
    }

    /// Takes the last frame off.
    #[inline(always)]
    pub fn pop(&mut self) {
        if let Some(frame) = self.frames.pop() {
            if let Frame::Script { .. } = frame {
                self.end_script();
            } else if !self.pure {
                frame.each_ref(|obj| obj.decref());
            }
        }
    }

    fn drop_frames(&mut self) {
        while !self.frames.is_empty() {
            self.pop();
        }
    }

    // ---- boundaries -----------------------------------------------------

    /// Between two opcodes: closes a full frame, writes it to the file, looks
    /// for signals.
    #[inline(always)]
    pub fn boundary(&mut self) -> Result<(), Stop> {
        if self.enc.at_boundary() { self.boundary_cold() } else { Ok(()) }
    }

    /// Writes what there is to the file, if output can go there now; says
    /// whether it can.
    pub fn stream_out(&mut self) -> Result<bool, Stop> {
        if !self.sink.streams_now(self.pure, self.replay.recording) {
            return Ok(false);
        }
        self.settle_devices()?;
        self.enc.check()?;
        self.enc.close_frame();
        self.sink.write(self.enc.out().as_slice())?;
        self.enc.drain();
        self.enc.begin_frame();
        Ok(true)
    }

    #[cold]
    #[inline(never)]
    fn boundary_cold(&mut self) -> Result<(), Stop> {
        self.check_memory()?;
        if self.worker {
            return Ok(self.enc.service()?);
        }
        if self.sink.is_file() {
            self.bound_recording()?;
        }
        if self.devices.hold_back() || !self.stream_out()? {
            self.enc.service()?;
            if self.split.on {
                self.look_for_split();
            }
            if self.sink.is_file() {
                let path = path::of(self);
                self.sink.note_place(self.enc.out().len(), path);
            }
        }
        self.signals()
    }

    /// Runs signal handlers. In the pure state only Ctrl-C is looked for, which
    /// can be done without running anything; others wait for a while.
    fn signals(&mut self) -> Result<(), Stop> {
        if self.pure {
            self.since_signals += 1;
            // 4,096 boundaries are 256 MiB: about half a second.
            if !crate::signals::interrupted() && self.since_signals < 4096 {
                return Ok(());
            }
            self.since_signals = 0;
            self.leave_pure()?;
        }
        crate::signals::check()?;
        Ok(())
    }

    // ---- the end --------------------------------------------------------

    /// The output as a `bytes` object.
    pub fn take_output(&mut self) -> Result<Own, Raised> {
        self.enc.take_output(|storage, len| storage.finish(len))
    }

    /// Lets go of all that the dump held, but for memo and pins, which a
    /// Pickler takes out first. Destructors may run code.
    pub fn end(&mut self) {
        self.drop_frames();
        self.by_value.end();
        self.elided.clear();
        self.elided_in_parts.clear();
        self.regions.clear();
        self.devices.clear();
        self.object_memory.clear();
        self.types.trim();
        self.enc.take_output(BytesStorage::discard);
        self.replay.clear();
        self.options.choices.let_go();
        self.hooks = Hooks::default();
        self.sink = Sink::memory();
        self.root = None;
        self.pins.drain(..).for_each(Obj::decref);
    }
}
