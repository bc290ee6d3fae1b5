//! How many arrays become few copies: pure reckoning, no driver.
//!
//! The packed bytes of all arrays are cut into [`Chunk`]s that fit a buffer. What is small or strided goes side by side
//! at a chunk's head and is moved by one launch of a kernel and one copy; what is large and lies together has a copy of its
//! own. [`Chunk::write_table`] makes the kernel's tables: `kernels/pack.cu` says what is in them.

use ferropickle_core::strided::{Axis, Layout};

/// What is packed begins at multiples of this: the widest access of the kernels, and a cache line of the host.
pub const ALIGN: usize = 64;

/// Bytes that one block of a kernel moves, if there are not too many of them.
pub const UNIT: usize = 4096;

/// A launch has about so many blocks at most: larger units then.
const MOST_UNITS: usize = 1 << 14;

/// Bytes that lie together and are so many have a copy of their own: it takes longer than its start, and saves a pass.
pub const LARGE: usize = 512 << 10;

/// So many arrays that lie together are as quickly copied one by one as by a kernel.
const FEW: usize = 2;

/// Layouts with more axes than this, where none can be joined, are not taken: no library has them.
pub const MOST_AXES: usize = 64;

const PIECE: usize = 64;
const AXIS: usize = 16;
const NUMBER: usize = 4;

/// An array in as few axes as give the same elements in the same order.
#[derive(Clone, Debug)]
pub struct Shape {
    address: u64,
    axes: Vec<Axis>,
    block: usize,
    bytes: usize,
}

impl Shape {
    /// The shape of a layout whose element with all indices 0 is at `address`; `None` if it has too many axes.
    pub fn new(address: u64, layout: &Layout) -> Option<Shape> {
        let (mut axes, block) = layout.blocks();
        if layout.len_bytes() == 0 {
            axes.clear();
        }
        let bytes = layout.len_bytes();
        (axes.len() <= MOST_AXES).then_some(Shape { address, axes, block, bytes })
    }

    /// Bytes that lie together.
    pub fn together(address: u64, bytes: usize) -> Shape {
        Shape { address, axes: Vec::new(), block: bytes, bytes }
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether they lie together.
    pub fn is_together(&self) -> bool {
        self.axes.is_empty()
    }

    /// Where it begins.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The bytes from `from` on, `len` of them, as rows that lie at a distance: as few as there can be.
    pub fn rows(&self, from: usize, len: usize) -> impl Iterator<Item = Rows> + '_ {
        let (mut at, end) = (from, from + len);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (mut number, column) = (at / self.block, at % self.block);
            let mut address = self.address.wrapping_add(column as u64);
            let mut inner = None;
            for axis in self.axes.iter().rev() {
                let index = number % axis.len;
                number /= axis.len;
                address = address.wrapping_add_signed((index as isize * axis.stride) as i64);
                inner = inner.or(Some((axis.len - index, axis.stride)));
            }
            // Whole blocks that lie at one distance are rows of one copy; else what is left of a block is.
            let (left, pitch) = inner.unwrap_or((1, 0));
            let height = if column == 0 && pitch >= self.block as isize {
                left.min((end - at) / self.block)
            } else {
                0
            };
            let rows = if height > 1 {
                Rows {
                    address,
                    width: self.block,
                    height,
                    pitch: pitch as usize,
                    packed: at - from,
                }
            } else {
                let width = (self.block - column).min(end - at);
                Rows { address, width, height: 1, pitch: width, packed: at - from }
            };
            at += rows.width * rows.height;
            Some(rows)
        })
    }

    /// The widest access that fits wherever a block begins; where all lies together, the last bytes are moved one by one.
    fn width(&self, packed: u64) -> u32 {
        let block = if self.is_together() { 0 } else { self.block as u64 };
        let steps = self.axes.iter().fold(block, |low, axis| low | axis.stride as u64);
        1 << (steps | self.address | packed | 16).trailing_zeros()
    }
}

/// Rows of bytes at one distance from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Of the first.
    pub address: u64,
    /// Bytes of a row.
    pub width: usize,
    /// How many rows.
    pub height: usize,
    /// Bytes from one row to the next.
    pub pitch: usize,
    /// Where they go in the packed bytes, one after another.
    pub packed: usize,
}

/// Part of an array's packed bytes, and its place in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which array.
    pub array: usize,
    /// Where the part begins in the array's packed bytes.
    pub from: usize,
    /// How long it is.
    pub bytes: usize,
    /// Where it begins in the chunk.
    pub at: usize,
}

impl Part {
    fn units(&self, unit: usize) -> usize {
        self.bytes.div_ceil(unit)
    }
}

/// What is moved at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// At its head: moved by a kernel, in the order of arrays.
    pub gathered: Vec<Part>,
    /// Behind them: each moved by a copy of its own.
    pub direct: Vec<Part>,
    /// Where the gathered ones end.
    pub gathered_bytes: usize,
    /// Where all ends.
    pub bytes: usize,
    axes: usize,
    units: usize,
}

/// How much a chunk may have.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes of packed memory.
    pub bytes: usize,
    /// Bytes of the kernel's tables.
    pub table: usize,
}

/// Where the tables are from their beginning, and what the launch is told besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where the axes begin; the pieces begin at 0.
    pub axes_at: usize,
    /// Where the numbers of pieces begin.
    pub units_at: usize,
    /// Blocks to launch.
    pub units: u32,
    /// Bytes of each.
    pub unit: u64,
}

/// The chunks for arrays, each of which is in one or in several that follow each other.
pub fn plan(shapes: &[Shape], room: Room) -> Vec<Chunk> {
    let together = shapes.iter().filter(|shape| shape.is_together() && shape.bytes < LARGE);
    let small = together.filter(|shape| shape.bytes > 0).count() > FEW;
    let direct = |shape: &Shape| shape.is_together() && (shape.bytes >= LARGE || !small);
    let mut plan = Planner { chunks: Vec::new(), room };
    for (array, shape) in shapes.iter().enumerate().filter(|(_, shape)| !direct(shape)) {
        plan.add(array, shape, true);
    }
    for (array, shape) in shapes.iter().enumerate().filter(|(_, shape)| direct(shape)) {
        plan.add(array, shape, false);
    }
    plan.chunks
}

struct Planner {
    chunks: Vec<Chunk>,
    room: Room,
}

impl Planner {
    fn add(&mut self, array: usize, shape: &Shape, gathered: bool) {
        let mut from = 0;
        while from < shape.bytes {
            let left = shape.bytes - from;
            let part = self.chunks.last().and_then(|chunk| {
                let at = chunk.bytes.next_multiple_of(ALIGN);
                let space = self.room.bytes.checked_sub(at)?;
                // A cut is a multiple of the unit, so that what comes after it is aligned as well.
                let bytes = if left <= space { left } else { space / UNIT * UNIT };
                let part = Part { array, from, bytes, at };
                let fits = bytes > 0
                    && (!gathered || chunk.table(&part, shape.axes.len()) <= self.room.table);
                fits.then_some(part)
            });
            match (part, self.chunks.last_mut()) {
                (Some(part), Some(chunk)) => {
                    chunk.push(part, shape.axes.len(), gathered);
                    from += part.bytes;
                }
                _ => self.chunks.push(Chunk::default()),
            }
        }
    }
}

impl Chunk {
    fn push(&mut self, part: Part, axes: usize, gathered: bool) {
        self.bytes = part.at + part.bytes;
        if gathered {
            self.gathered_bytes = self.bytes;
            self.axes += axes;
            self.units += part.units(UNIT);
            self.gathered.push(part);
        } else {
            self.direct.push(part);
        }
    }

    /// Bytes of the tables with one more part.
    fn table(&self, part: &Part, axes: usize) -> usize {
        (self.gathered.len() + 1) * PIECE
            + (self.axes + axes) * AXIS
            + (self.units + part.units(UNIT)) * NUMBER
    }

    /// All parts.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.gathered.iter().chain(&self.direct)
    }

    /// Writes the tables of the gathered parts, for each of which `packed` says where on the device its packed side is; `None`
    /// if there is no room.
    pub fn write_table(
        &self,
        shapes: &[Shape],
        packed: impl Fn(&Part) -> u64,
        into: &mut [u8],
    ) -> Option<Table> {
        let unit = (self.gathered_bytes / MOST_UNITS).next_power_of_two().max(UNIT);
        let axes_at = self.gathered.len() * PIECE;
        let units_at = axes_at + self.axes * AXIS;
        let (pieces, rest) = into.split_at_mut_checked(axes_at)?;
        let (axes, numbers) = rest.split_at_mut_checked(self.axes * AXIS)?;
        let mut numbers = numbers.chunks_exact_mut(NUMBER);
        let mut axes = axes.chunks_exact_mut(AXIS);
        let (mut axis, mut units) = (0u32, 0u32);
        for (number, (part, piece)) in
            self.gathered.iter().zip(pieces.chunks_exact_mut(PIECE)).enumerate()
        {
            let shape = &shapes[part.array];
            let to = packed(part);
            let first =
                [shape.address, to, part.from as u64, part.bytes as u64, shape.block as u64];
            let count = shape.axes.len() as u32;
            put(piece, &first.map(u64::to_ne_bytes));
            put(&mut piece[40..], &[u64::from(units).to_ne_bytes()]);
            put(&mut piece[48..], &[axis, count, shape.width(to), 0].map(u32::to_ne_bytes));
            // In this order: the end of the shape's axes is seen before a row is taken.
            for (from, row) in shape.axes.iter().zip(axes.by_ref()) {
                put(row, &[(from.len as u64).to_ne_bytes(), (from.stride as i64).to_ne_bytes()]);
            }
            axis += count;
            for _ in 0..part.units(unit) {
                numbers.next()?.copy_from_slice(&(number as u32).to_ne_bytes());
                units += 1;
            }
        }
        Some(Table { axes_at, units_at, units, unit: unit as u64 })
    }
}

fn put<const N: usize>(into: &mut [u8], fields: &[[u8; N]]) {
    for (place, field) in into.chunks_exact_mut(N).zip(fields) {
        place.copy_from_slice(field);
    }
}
