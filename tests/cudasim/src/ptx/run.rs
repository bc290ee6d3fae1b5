//! Runs a kernel: blocks one after another, the threads of a block in turns, each until it waits, ends or has had its turn.

use std::sync::{Arc, Mutex, PoisonError};

use super::decode::{LOCAL, SHARED};
use super::ir::{Action, Address, Instruction, Kernel, Source, Space, Special, Type};
use super::memory::View;
use super::warp::LANES;
use crate::status::Status;

/// A kernel with all that it is launched with.
pub struct Launch {
    pub kernel: Arc<Kernel>,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Shared memory beyond what the kernel declares.
    pub dynamic: u64,
    pub parameters: Vec<u8>,
    /// Where the module's variables are.
    pub variables: u64,
}

/// How a kernel ended that did not end well.
#[derive(Debug)]
pub struct Fault {
    pub status: Status,
    pub text: String,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    No,
    /// For so many threads, or for all, at the barrier of this number.
    Barrier(u64, Option<u64>),
    /// For the other lanes, at the same instruction.
    Warp,
    Done,
}

pub struct Thread {
    pub registers: Vec<u64>,
    /// The instruction that is next.
    pub at: usize,
    pub waiting: Waiting,
    index: usize,
    local: Vec<u8>,
}

/// A block of threads while it runs.
pub struct Block<'a> {
    pub launch: &'a Launch,
    pub threads: Vec<Thread>,
    view: &'a View,
    position: [u32; 3],
    shared: Vec<u8>,
    steps: u64,
}

/// A thread's turn: others come to run although one spins on what they will write.
const TURN: u32 = 10_000;

/// A kernel that has taken so many instructions will not end.
const LIMIT: u64 = 1 << 33;

/// Atomic instructions of all kernels, one at a time.
static ATOMIC: Mutex<()> = Mutex::new(());

/// Runs a kernel to its end.
pub fn launch(launch: &Launch, view: &View) -> Result<(), Fault> {
    let [x, y, z] = launch.grid;
    let mut steps = 0;
    for position in (0..z).flat_map(|z| (0..y).flat_map(move |y| (0..x).map(move |x| [x, y, z]))) {
        steps = Block::new(launch, view, position, steps).run()?;
    }
    Ok(())
}

/// The coordinates of an index, the first counting fastest.
fn coordinates(index: usize, size: [u32; 3]) -> [u32; 3] {
    let index = index as u32;
    [index % size[0], index / size[0] % size[1], index / size[0] / size[1]]
}

impl<'a> Block<'a> {
    fn new(launch: &'a Launch, view: &'a View, position: [u32; 3], steps: u64) -> Self {
        let kernel = &launch.kernel;
        let count = launch.block.iter().product::<u32>() as usize;
        let thread = |index| Thread {
            registers: vec![0; kernel.registers as usize],
            at: 0,
            waiting: Waiting::No,
            index,
            local: vec![0xcd; kernel.local_bytes as usize],
        };
        let shared = kernel.shared_bytes.next_multiple_of(16) + launch.dynamic;
        Self {
            launch,
            view,
            position,
            threads: (0..count).map(thread).collect(),
            shared: vec![0xcd; shared as usize],
            steps,
        }
    }

    fn run(mut self) -> Result<u64, Fault> {
        loop {
            let mut moved = false;
            for index in 0..self.threads.len() {
                if self.threads[index].waiting == Waiting::No {
                    moved = true;
                    self.turn(index)?;
                }
            }
            if self.threads.iter().all(|t| t.waiting == Waiting::Done) {
                return Ok(self.steps);
            }
            for warp in 0..self.threads.len().div_ceil(LANES) {
                while self.meet(warp)? {
                    moved = true;
                }
            }
            moved |= self.open_barrier();
            if !moved {
                return Err(self.dead_lock());
            }
            if self.steps > LIMIT {
                return Err(self.fault(
                    0,
                    Status::LAUNCH_TIMEOUT,
                    "is still running and seems to go on for ever",
                ));
            }
        }
    }

    /// Opens a barrier that all have reached. Threads that have ended are not waited for.
    fn open_barrier(&mut self) -> bool {
        let waiting = self.threads.iter().map(|t| t.waiting);
        let alive = waiting.clone().filter(|w| *w != Waiting::Done).count() as u64;
        let barriers: Vec<_> = waiting
            .filter_map(
                |w| if let Waiting::Barrier(id, count) = w { Some((id, count)) } else { None },
            )
            .collect();
        for (id, count) in &barriers {
            let here = barriers.iter().filter(|(other, _)| other == id).count() as u64;
            if here >= count.unwrap_or(alive) {
                for thread in &mut self.threads {
                    if matches!(thread.waiting, Waiting::Barrier(other, _) if other == *id) {
                        thread.waiting = Waiting::No;
                    }
                }
                return true;
            }
        }
        false
    }

    fn dead_lock(&self) -> Fault {
        let stuck = self.threads.iter().position(|t| t.waiting != Waiting::Done).unwrap_or(0);
        let waits = self.threads.iter().filter(|t| t.waiting != Waiting::Done).count();
        let why = format!(
            "waits for ever, with {waits} threads of its block, for others that wait elsewhere"
        );
        self.fault(stuck, Status::LAUNCH_TIMEOUT, &why)
    }

    /// An end that names the kernel, the instruction and the thread.
    pub fn fault(&self, thread: usize, status: Status, why: &str) -> Fault {
        let kernel = &self.launch.kernel;
        let thread = &self.threads[thread];
        let last = kernel.code.len().saturating_sub(1);
        // A thread at a barrier has already passed it.
        let at =
            thread.at.saturating_sub(usize::from(matches!(thread.waiting, Waiting::Barrier(..))));
        let (line, text) = kernel.code.get(at.min(last)).map_or((0, ""), |i| (i.line, &*i.text));
        let place = coordinates(thread.index, self.launch.block);
        Fault {
            status,
            text: format!(
                "kernel {}, PTX line {line} ({text}), block {:?}, thread {place:?} {why}",
                kernel.name, self.position
            ),
        }
    }

    /// The value of a source in a thread.
    pub fn value(&self, thread: &Thread, source: Source) -> u64 {
        match source {
            Source::Register(register) => thread.registers[register as usize],
            Source::Number(value) => value,
            Source::Variable(offset) => self.launch.variables + offset,
            Source::Special(special) => self.special(thread, special),
        }
    }

    fn special(&self, thread: &Thread, special: Special) -> u64 {
        let lane = (thread.index % LANES) as u64;
        match special {
            Special::Thread(axis) => coordinates(thread.index, self.launch.block)[axis].into(),
            Special::Threads(axis) => self.launch.block[axis].into(),
            Special::Block(axis) => self.position[axis].into(),
            Special::Blocks(axis) => self.launch.grid[axis].into(),
            Special::Lane => lane,
            Special::Warp => (thread.index / LANES) as u64,
            Special::WarpSize => LANES as u64,
            Special::DynamicShared => self.launch.dynamic,
            Special::DynamicStart => self.launch.kernel.shared_bytes.next_multiple_of(16),
            Special::Clock => self.steps,
            Special::MaskLess => (1 << lane) - 1,
            Special::MaskLessEqual => (2 << lane) - 1,
            Special::MaskGreater => 0xffff_ffff & !((2 << lane) - 1),
            Special::MaskGreaterEqual => 0xffff_ffff & !((1 << lane) - 1),
            Special::MaskEqual => 1 << lane,
            Special::Zero => 0,
        }
    }

    /// Runs a thread until it waits, ends or has had its turn.
    fn turn(&mut self, index: usize) -> Result<(), Fault> {
        let launch = self.launch;
        let code = &launch.kernel.code;
        for _ in 0..TURN {
            let thread = &self.threads[index];
            let Some(instruction) = code.get(thread.at) else {
                self.threads[index].waiting = Waiting::Done;
                return Ok(());
            };
            self.steps += 1;
            let guarded = instruction.guard.is_some_and(|(register, negated)| {
                (thread.registers[register as usize] != 0) == negated
            });
            if guarded {
                self.threads[index].at += 1;
                continue;
            }
            self.step(index, instruction)
                .map_err(|(status, why)| self.fault(index, status, &why))?;
            if self.threads[index].waiting != Waiting::No {
                return Ok(());
            }
        }
        Ok(())
    }

    fn step(&mut self, index: usize, instruction: &Instruction) -> Result<(), (Status, String)> {
        let thread = &self.threads[index];
        let value = |source: Source| self.value(thread, source);
        let set = match &instruction.action {
            Action::Compute { function, to, from } => {
                (*to, function(value(from[0]), value(from[1]), value(from[2])))
            }
            Action::Convert { conversion, to, from } => (*to, conversion.apply(value(*from))),
            Action::Compare { function, join, to, from, negated } => {
                let test = function(value(from[0]), value(from[1]), 0);
                let other = value(from[2]) ^ u64::from(*negated);
                let pair = [join(test, other, 0), join(test ^ 1, other, 0)];
                self.write(index, to.iter().copied().zip(pair));
                return Ok(());
            }
            Action::Table { table, to, from } => {
                let [a, b, c] = from.map(value);
                let pick = |i: u8| {
                    let side = |bits: u64, wanted: bool| if wanted { bits } else { !bits };
                    side(a, i & 4 != 0) & side(b, i & 2 != 0) & side(c, i & 1 != 0)
                };
                let all =
                    (0..8).filter(|i| table >> i & 1 != 0).map(pick).fold(0, |all, one| all | one);
                (*to, all & 0xffff_ffff)
            }
            Action::Insert { kind, to, from, start, length } => {
                let (start, length) = (value(*start) & 0xff, value(*length) & 0xff);
                let ones = if length >= 64 { u64::MAX } else { (1 << length) - 1 };
                let mask = if start >= 64 { 0 } else { ones << start };
                let field = if start >= 64 { 0 } else { value(from[0]) << start };
                (*to, kind.cut(field & mask | value(from[1]) & !mask))
            }
            Action::Split { to, from, bits } => {
                let whole = value(*from);
                let parts = (0u32..).map(|i| whole >> (i * bits) & (u64::MAX >> (64 - bits)));
                self.write(index, to.iter().map(|r| Some(*r)).zip(parts));
                return Ok(());
            }
            Action::Join { to, from, bits } => {
                let cut = |part: u64| part & (u64::MAX >> (64 - bits));
                let parts = (0u32..).zip(from).map(|(i, part)| cut(value(*part)) << (i * bits));
                (*to, parts.fold(0, |all, part| all | part))
            }
            Action::Load { to, kind, address } => {
                let at = value(address.base).wrapping_add_signed(address.offset);
                let values = self.load(thread, *address, at, *kind, to.len())?;
                self.write(index, to.iter().copied().zip(values));
                return Ok(());
            }
            Action::Store { from, kind, address } => {
                let at = value(address.base).wrapping_add_signed(address.offset);
                let values: Vec<u64> = from.iter().map(|source| kind.cut(value(*source))).collect();
                self.store(index, *address, at, *kind, &values)?;
                self.threads[index].at += 1;
                return Ok(());
            }
            Action::Atomic { function, kind, to, address, from } => {
                let at = value(address.base).wrapping_add_signed(address.offset);
                let (b, c) = (kind.cut(value(from[0])), kind.cut(value(from[1])));
                let _alone = ATOMIC.lock().unwrap_or_else(PoisonError::into_inner);
                let old = self.load(thread, *address, at, *kind, 1)?[0];
                let new = kind.cut(function(kind.cut(old), b, c));
                self.store(index, *address, at, *kind, &[new])?;
                self.write(index, [(*to, old)]);
                return Ok(());
            }
            Action::Jump(target) => {
                self.threads[index].at = *target;
                return Ok(());
            }
            Action::Barrier { id, count } => {
                let waiting = Waiting::Barrier(value(*id), count.map(value));
                self.threads[index].waiting = waiting;
                self.threads[index].at += 1;
                return Ok(());
            }
            Action::Warp { .. } => {
                self.threads[index].waiting = Waiting::Warp;
                return Ok(());
            }
            Action::ActiveMask { to } => {
                let first = index / LANES * LANES;
                let warp = self.threads[first..].iter().take(LANES).enumerate();
                let alive = warp.filter(|(_, t)| t.waiting != Waiting::Done);
                (*to, alive.fold(0, |mask, (lane, _)| mask | 1 << lane))
            }
            Action::IsSpace { to, from, space } => {
                let of = match value(*from) >> 56 {
                    0xf1 => Space::Shared,
                    0xf2 => Space::Local,
                    _ => Space::Global,
                };
                (*to, u64::from(of == *space))
            }
            Action::Nothing => {
                self.threads[index].at += 1;
                return Ok(());
            }
            Action::Trap => return Err((Status::ILLEGAL_INSTRUCTION, "has come to a trap".into())),
            Action::End => {
                self.threads[index].waiting = Waiting::Done;
                return Ok(());
            }
        };
        self.write(index, [(Some(set.0), set.1)]);
        Ok(())
    }

    /// Sets registers and goes on to the next instruction.
    fn write(&mut self, index: usize, values: impl IntoIterator<Item = (Option<u32>, u64)>) {
        let thread = &mut self.threads[index];
        for (register, value) in values {
            if let Some(register) = register {
                thread.registers[register as usize] = value;
            }
        }
        thread.at += 1;
    }

    /// The space and the address in it of an access, which must be aligned to all of its bytes.
    fn place(address: Address, at: u64, bytes: usize) -> Result<(Space, u64), (Status, String)> {
        if !at.is_multiple_of(bytes as u64) {
            return Err((
                Status::MISALIGNED,
                format!("uses {bytes} bytes at {at:#x}, which is not aligned to them"),
            ));
        }
        Ok(match (address.space, at >> 56) {
            (Space::Generic, 0xf1) => (Space::Shared, at - SHARED),
            (Space::Generic, 0xf2) => (Space::Local, at - LOCAL),
            (Space::Generic, _) => (Space::Global, at),
            (space, _) => (space, at),
        })
    }

    fn load(
        &self,
        thread: &Thread,
        address: Address,
        at: u64,
        kind: Type,
        count: usize,
    ) -> Result<[u64; 4], (Status, String)> {
        let size = kind.size();
        let (space, at) = Self::place(address, at, size * count)?;
        let mut values = [0; 4];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            let at = at + (i * size) as u64;
            let inner = |memory: &[u8]| {
                let mut bytes = [0; 8];
                let part = memory.get(at as usize..).and_then(|rest| rest.get(..size));
                bytes[..size].copy_from_slice(
                    part.ok_or_else(|| outside(space, "reads", size, at, memory.len()))?,
                );
                Ok(u64::from_le_bytes(bytes))
            };
            let raw = match space {
                Space::Shared => inner(&self.shared)?,
                Space::Local => inner(&thread.local)?,
                Space::Param => inner(&self.launch.parameters)?,
                Space::Global | Space::Generic => {
                    let found = self.view.find(at, size as u64, false);
                    let (range, offset) = found.map_err(|(status, why)| {
                        (status, format!("reads {size} bytes at {at:#x}, {why}"))
                    })?;
                    range
                        .bytes
                        .load(offset, size)
                        .map_err(|status| (status, "reads too far".to_string()))?
                }
            };
            *value = kind.extend(raw);
        }
        Ok(values)
    }

    fn store(
        &mut self,
        index: usize,
        address: Address,
        at: u64,
        kind: Type,
        values: &[u64],
    ) -> Result<(), (Status, String)> {
        let size = kind.size();
        let (space, at) = Self::place(address, at, size * values.len())?;
        for (i, value) in values.iter().enumerate() {
            let at = at + (i * size) as u64;
            let inner = |memory: &mut [u8]| {
                let length = memory.len();
                let part = memory.get_mut(at as usize..).and_then(|rest| rest.get_mut(..size));
                let part = part.ok_or_else(|| outside(space, "writes", size, at, length))?;
                part.copy_from_slice(&value.to_le_bytes()[..size]);
                Ok(())
            };
            match space {
                Space::Shared => inner(&mut self.shared)?,
                Space::Local => inner(&mut self.threads[index].local)?,
                Space::Param => {
                    return Err((Status::ILLEGAL_ADDRESS, "writes to a parameter".into()));
                }
                Space::Global | Space::Generic => {
                    let found = self.view.find(at, size as u64, true);
                    let (range, offset) = found.map_err(|(status, why)| {
                        (status, format!("writes {size} bytes at {at:#x}, {why}"))
                    })?;
                    range
                        .bytes
                        .store(offset, size, *value)
                        .map_err(|status| (status, "writes too far".to_string()))?;
                }
            }
        }
        Ok(())
    }
}

fn outside(space: Space, does: &str, size: usize, at: u64, length: usize) -> (Status, String) {
    let name = format!("{space:?}").to_lowercase();
    (
        Status::ILLEGAL_ADDRESS,
        format!("{does} {size} bytes at {at} of {length} bytes of {name} memory"),
    )
}
