//! The address space of the devices: which range is whose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::bytes::{Bytes, Field};
use crate::status::{Outcome, Status};
use crate::sys::{self, PAGE};

/// What an allocation is; the number stands in the header of its memory file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `cuMemAlloc`.
    Plain = 1,
    /// `cuMemAllocAsync` and its like.
    Pooled = 2,
    /// `cuMemAllocManaged`.
    Managed = 3,
    /// `cuMemHostAlloc`.
    Pinned = 4,
    /// `cuMemHostRegister`.
    Registered = 5,
    /// `cuMemMap`.
    Mapped = 6,
    /// An event between processes: no memory, but its file has a header too.
    Event = 7,
    /// A pool between processes, likewise.
    Pool = 8,
    /// The variables of a module.
    Static = 9,
}

impl Kind {
    /// Whether the host may use the addresses.
    pub fn is_host(self) -> bool {
        matches!(self, Self::Pinned | Self::Registered)
    }
}

/// The life of stream-ordered memory; other memory is always live while it has a range.
pub const PENDING: u8 = 0;
pub const LIVE: u8 = 1;
pub const FREED: u8 = 2;

/// A range of addresses that means something.
pub struct Range {
    pub base: u64,
    pub size: u64,
    pub kind: Kind,
    /// The ordinal of the device that the memory is on.
    pub device: usize,
    pub context: u64,
    pub bytes: Arc<Bytes>,
    /// Where the range starts in `bytes`.
    pub offset: u64,
    pub id: u64,
    /// The pool it is of, or 0.
    pub pool: u64,
    /// What it may be exported as: a set of `CUmemAllocationHandleType`.
    pub handle_types: u32,
    /// Flags of `cuMemHostAlloc` or `cuMemHostRegister`.
    pub host_flags: u32,
    /// Whether another process has allocated it.
    pub imported: bool,
    /// Whether a free has been queued or done.
    pub free_asked: AtomicBool,
    pub state: AtomicU8,
    /// How often imported memory was opened.
    pub opens: AtomicU32,
    pub sync_memops: AtomicBool,
    /// Of mapped memory: bit `2 * device` allows reads, the next one writes.
    pub access: AtomicU64,
}

impl Range {
    pub fn new(base: u64, size: u64, kind: Kind, device: usize, bytes: Arc<Bytes>) -> Self {
        Self {
            base,
            size,
            kind,
            device,
            context: 0,
            offset: 0,
            id: bytes.get(Field::Id),
            bytes,
            pool: 0,
            handle_types: 0,
            host_flags: 0,
            imported: false,
            free_asked: AtomicBool::new(false),
            state: AtomicU8::new(LIVE),
            opens: AtomicU32::new(1),
            sync_memops: AtomicBool::new(false),
            access: AtomicU64::new(0),
        }
    }

    pub fn end(&self) -> u64 {
        self.base + self.size
    }

    /// Whether the memory may be used now; the reason if not.
    pub fn usable(&self) -> Result<(), &'static str> {
        match self.state.load(Ordering::SeqCst) {
            PENDING => Err("memory is used before the stream that allocates it has got there"),
            FREED => Err("memory is used after it was freed or unmapped"),
            _ if self.imported && self.bytes.get(Field::Freed) != 0 => {
                Err("memory is used after the process that exported it has freed it")
            }
            _ => Ok(()),
        }
    }
}

/// All ranges, and the addresses that are left.
pub struct Space {
    start: u64,
    next: u64,
    end: u64,
    ranges: BTreeMap<u64, Arc<Range>>,
}

impl Space {
    /// Reserves the addresses of all devices: the host faults on them, and none is given out twice.
    pub fn new() -> Outcome<Self> {
        let sizes = [1u64 << 42, 1 << 40, 1 << 38, 1 << 36];
        let (start, size) = sizes
            .iter()
            .find_map(|&size| sys::reserve(size).ok().map(|start| (start, size)))
            .ok_or(Status::OUT_OF_MEMORY)?;
        Ok(Self { start, next: start, end: start + size, ranges: BTreeMap::new() })
    }

    /// Whether the address is one of a device's.
    pub fn is_device(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// Takes addresses that were never given out, with a hole behind them.
    pub fn take(&mut self, size: u64, align: u64) -> Outcome<u64> {
        let align = align.max(PAGE);
        let base = self.next.next_multiple_of(align);
        let end = base.checked_add(size).filter(|&end| end < self.end - PAGE);
        self.next = end.ok_or(Status::OUT_OF_MEMORY)?.next_multiple_of(PAGE) + PAGE;
        Ok(base)
    }

    pub fn insert(&mut self, range: Range) -> Arc<Range> {
        let range = Arc::new(range);
        self.ranges.insert(range.base, range.clone());
        range
    }

    pub fn remove(&mut self, base: u64) -> Option<Arc<Range>> {
        self.ranges.remove(&base)
    }

    /// The range that holds the address.
    pub fn find(&self, address: u64) -> Option<&Arc<Range>> {
        let (_, range) = self.ranges.range(..=address).next_back()?;
        (address < range.end()).then_some(range)
    }

    /// The range that starts here.
    pub fn starting(&self, base: u64) -> Option<&Arc<Range>> {
        self.ranges.get(&base)
    }

    /// Whether any range overlaps these addresses.
    pub fn overlaps(&self, base: u64, size: u64) -> bool {
        let last = self.ranges.range(..base.saturating_add(size)).next_back();
        last.is_some_and(|(_, range)| range.end() > base)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Range>> {
        self.ranges.values()
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&Range) -> bool) {
        self.ranges.retain(|_, range| keep(range));
    }

    /// The pieces that hold `length` bytes from `address` on: one, or several where mapped memory is joined.
    pub fn pieces(&self, address: u64, length: u64) -> Outcome<Vec<Piece>> {
        let mut pieces = Vec::new();
        let (mut at, mut left) = (address, length);
        loop {
            let range = self.find(at).ok_or(Status::INVALID_VALUE)?;
            let here = left.min(range.end() - at);
            pieces.push(Piece { range: range.clone(), offset: at - range.base, length: here });
            at += here;
            left -= here;
            if left == 0 {
                return Ok(pieces);
            }
            if range.kind != Kind::Mapped {
                return Err(Status::INVALID_VALUE);
            }
        }
    }
}

/// Part of a range.
#[derive(Clone)]
pub struct Piece {
    pub range: Arc<Range>,
    /// From the range's start.
    pub offset: u64,
    pub length: u64,
}
