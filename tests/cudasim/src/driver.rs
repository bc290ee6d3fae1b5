//! The state of the driver in this process, and the checks before each call.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::config::{Config, Fault};
use crate::context::Context;
use crate::device::Device;
use crate::event::Event;
use crate::module::{Function, Module};
use crate::pool::Pool;
use crate::space::Space;
use crate::status::{Outcome, Status};
use crate::stream::Stream;
use crate::sys;
use crate::virtual_memory::Allocation;

/// Handles are numbers of no address, of a kind and never given twice.
#[derive(Clone, Copy)]
pub enum Tag {
    Context = 1,
    Stream = 2,
    Event = 3,
    Pool = 4,
    Memory = 5,
    Module = 6,
    Function = 7,
    Graph = 9,
}

/// Everything that the driver keeps, under one lock.
pub struct State {
    pub space: Space,
    pub devices: Vec<Device>,
    pub contexts: HashMap<u64, Context>,
    pub streams: HashMap<u64, Stream>,
    pub events: HashMap<u64, Event>,
    pub pools: HashMap<u64, Pool>,
    /// Memory without an address, by handle, and addresses without memory.
    pub allocations: HashMap<u64, Allocation>,
    pub reservations: BTreeMap<u64, u64>,
    pub modules: HashMap<u64, Module>,
    pub functions: HashMap<u64, Function>,
    pub graphs: u64,
    next: u64,
    /// For the jitter of streams.
    pub random: u64,
}

impl State {
    /// A new handle of this kind.
    pub fn handle(&mut self, tag: Tag) -> u64 {
        self.next += 1;
        0x00c5_0000_0000_0000 | (tag as u64) << 40 | self.next << 4
    }
}

/// What tests ask for.
#[derive(Default)]
pub struct Record {
    pub counts: BTreeMap<&'static str, u64>,
    /// The last calls, in order.
    pub log: VecDeque<&'static str>,
    pub faults: Vec<(Fault, u64)>,
    pub violations: Vec<String>,
    /// Copies done, by direction: how many, and how many bytes.
    pub copies: BTreeMap<&'static str, (u64, u64)>,
}

/// So many calls are kept in the log.
const LOG: usize = 20_000;

pub struct Driver {
    pub config: Config,
    state: Mutex<Option<State>>,
    /// Told whenever work is done, asked for or queued.
    pub wake: Condvar,
    pub record: Mutex<Record>,
    started_by: AtomicU32,
    pub hold_us: AtomicU64,
    /// How long a copy stands still when half of it is done.
    pub pause_us: AtomicU64,
    pub memory: AtomicU64,
    next_buffer: AtomicU64,
}

static FINISHED: AtomicBool = AtomicBool::new(false);

/// Functions that need no started driver. CUDA Driver API, "Initialization": "No function except cuInit can be
/// called before"; in practice these can.
const EARLY: &[&str] = &[
    "cuInit",
    "cuDriverGetVersion",
    "cuGetProcAddress",
    "cuGetProcAddress_v2",
    "cuGetErrorName",
    "cuGetErrorString",
];

thread_local! {
    /// The contexts that this thread has pushed; the last is current.
    static CONTEXTS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static OWN_STREAM: Cell<bool> = const { Cell::new(false) };
}

/// The driver of this process, started or not.
pub fn running() -> Outcome<&'static Driver> {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    Ok(DRIVER.get_or_init(|| {
        let config = Config::from_environment();
        let record = Record {
            faults: config.faults.iter().map(|fault| (fault.clone(), 0)).collect(),
            ..Record::default()
        };
        Driver {
            hold_us: AtomicU64::new(config.hold.as_micros() as u64),
            pause_us: AtomicU64::new(0),
            memory: AtomicU64::new(config.memory),
            config,
            state: Mutex::new(None),
            wake: Condvar::new(),
            record: Mutex::new(record),
            started_by: AtomicU32::new(0),
            next_buffer: AtomicU64::new(1),
        }
    }))
}

/// Runs a call; with `own`, its null stream is the thread's own default stream.
pub fn with_own_stream<R>(own: bool, body: impl FnOnce() -> R) -> R {
    OWN_STREAM.set(own);
    let result = body();
    OWN_STREAM.set(false);
    result
}

/// Whether the null stream of the running call is the thread's own.
pub fn own_stream() -> bool {
    OWN_STREAM.get()
}

/// This thread's stack of contexts.
pub fn contexts<R>(body: impl FnOnce(&mut Vec<u64>) -> R) -> R {
    CONTEXTS.with_borrow_mut(body)
}

extern "C" fn finish() {
    FINISHED.store(true, Ordering::SeqCst);
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    /// `cuInit`: makes the devices, once.
    pub fn start(&'static self) -> Outcome {
        let mut state = held(&self.state);
        if state.is_some() {
            return Ok(());
        }
        if self.config.devices.is_empty() {
            return Err(Status::NO_DEVICE);
        }
        *state = Some(State {
            space: Space::new()?,
            devices: self.config.devices.iter().map(Device::new).collect(),
            contexts: HashMap::new(),
            streams: HashMap::new(),
            events: HashMap::new(),
            pools: HashMap::new(),
            allocations: HashMap::new(),
            reservations: BTreeMap::new(),
            modules: HashMap::new(),
            functions: HashMap::new(),
            graphs: 0,
            next: 0,
            random: self.config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        });
        self.started_by.store(std::process::id(), Ordering::SeqCst);
        sys::on_exit(finish);
        Ok(())
    }

    /// Whether this process was forked from one that had started the driver.
    pub fn is_forked(&self) -> bool {
        let started_by = self.started_by.load(Ordering::SeqCst);
        started_by != 0 && started_by != std::process::id()
    }

    /// Checks, counts and logs a call, and gives the fault that a test has set for it.
    pub fn admit(&self, name: &'static str) -> Outcome {
        // No lock may be taken in a forked child: a thread that is not here may hold it.
        if self.is_forked() {
            return if name == "cuInit" || !EARLY.contains(&name) {
                Err(Status::NOT_INITIALIZED)
            } else {
                Ok(())
            };
        }
        if !EARLY.contains(&name) {
            if FINISHED.load(Ordering::SeqCst) {
                return Err(Status::DEINITIALIZED);
            }
            if self.started_by.load(Ordering::SeqCst) == 0 {
                return Err(Status::NOT_INITIALIZED);
            }
        }
        let mut record = self.record();
        *record.counts.entry(name).or_default() += 1;
        record.log.push_back(name);
        if record.log.len() > LOG {
            record.log.pop_front();
        }
        let mut injected = None;
        for (fault, seen) in &mut record.faults {
            if fault.call == "*" || fault.call == name {
                *seen += 1;
                if *seen == fault.nth {
                    injected = Some(Status(fault.code));
                }
            }
        }
        drop(record);
        let Some(status) = injected else { return Ok(()) };
        if status.is_sticky()
            && let Some(current) = contexts(|stack| stack.last().copied())
            && let Some(context) = self.state()?.contexts.get_mut(&current)
        {
            context.lost = Some(status);
        }
        Err(status)
    }

    /// The state, locked.
    pub fn state(&self) -> Outcome<Locked<'_>> {
        let guard = held(&self.state);
        if guard.is_none() { Err(Status::NOT_INITIALIZED) } else { Ok(Locked(guard)) }
    }

    /// The record, locked. Taken after the state's lock, never before it.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        held(&self.record)
    }

    /// Notes a mistake of the program's, or a use that the simulator does not know.
    pub fn violation(&self, text: String) {
        let mut record = self.record();
        if record.violations.len() < 1000 {
            record.violations.push(text);
        }
    }

    /// Notes a copy that was done.
    pub fn copied(&self, direction: &'static str, bytes: u64) {
        let mut record = self.record();
        let sum = record.copies.entry(direction).or_default();
        *sum = (sum.0 + 1, sum.1 + bytes);
    }

    /// A number for an allocation that no other has, in any process.
    pub fn buffer_id(&self) -> u64 {
        let n = self.next_buffer.fetch_add(1, Ordering::SeqCst);
        u64::from(std::process::id()) << 32 | n
    }
}

/// The state while it is locked.
pub struct Locked<'a>(MutexGuard<'a, Option<State>>);

impl<'a> Locked<'a> {
    /// Lets the lock go until something has happened, or so long.
    pub fn wait(self, driver: &Driver, at_most: std::time::Duration) -> Locked<'a> {
        let (guard, _) =
            driver.wake.wait_timeout(self.0, at_most).unwrap_or_else(PoisonError::into_inner);
        Locked(guard)
    }
}

impl std::ops::Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.0.as_ref().expect("a locked state is there")
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_mut().expect("a locked state is there")
    }
}
