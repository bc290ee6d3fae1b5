//! How many arrays become few copies: pure reckoning, no driver.
//!
//! The packed bytes of all arrays are cut into [`Chunk`]s that fit a buffer. What is small or strided goes side by side
//! at a chunk's head and is moved by one launch of a kernel and one copy; what is large and lies together has a copy of its
//! own. [`Chunk::write_table`] makes the kernel's tables: `kernels/pack.cu` says what is in them.

use ferropickle_core::strided::{Axis, Layout};

/// What is packed begins at multiples of this: the widest access of the kernels, and a cache line of the host.
pub const ALIGN: usize = 64;

/// Where buffers in device memory begin: as the driver's own allocations do.
pub const DEVICE_ALIGN: usize = 256;

/// Bytes that one block of a kernel moves, if there are not too many of them.
pub const UNIT: usize = 4096;

/// A launch has about so many blocks at most: larger units then.
const MOST_UNITS: usize = 1 << 14;

/// Bytes that lie together and are so many have a copy of their own: it takes longer than its start, and saves a pass.
pub const LARGE: usize = 512 << 10;

/// So many arrays that lie together are as quickly copied one by one as by a kernel.
const FEW: usize = 2;

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
    /// The shape of a layout whose element with all indices 0 is at `address`. It has fewer axes than bits in an address, as
    /// each is at least two long; the kernels have room for so many.
    pub fn new(address: u64, layout: &Layout) -> Shape {
        let bytes = layout.len_bytes();
        if bytes == 0 || lies_together(layout) {
            return Shape::together(address, bytes);
        }
        let (axes, block) = layout.blocks();
        Shape { address, axes, block, bytes }
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

/// Whether elements lie one after another in the order of the axes: what most arrays do, and quickly seen.
fn lies_together(layout: &Layout) -> bool {
    let mut block = layout.item_bytes();
    layout.axes().iter().rev().filter(|axis| axis.len != 1).all(|axis| {
        let next = axis.stride == block as isize;
        block *= axis.len;
        next
    })
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

/// Where buffers of these lengths begin one after another, and where the last ends; `None` if that is too far.
pub fn places(lens: &[usize], align: usize) -> Option<(Vec<usize>, usize)> {
    let mut end = 0usize;
    let place = |&len: &usize| {
        let at = end.checked_next_multiple_of(align)?;
        end = at.checked_add(len)?;
        Some(at)
    };
    let places = lens.iter().map(place).collect::<Option<_>>()?;
    Some((places, end))
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
        let (axes, rest) = rest.split_at_mut_checked(self.axes * AXIS)?;
        let (pieces, _) = pieces.as_chunks_mut::<PIECE>();
        let (axes, _) = axes.as_chunks_mut::<AXIS>();
        let (numbers, _) = rest.as_chunks_mut::<NUMBER>();
        let (mut axes, mut numbers) = (axes.iter_mut(), numbers.iter_mut());
        let (mut axis, mut units) = (0u32, 0u32);
        for (number, (part, piece)) in self.gathered.iter().zip(pieces).enumerate() {
            let shape = &shapes[part.array];
            let (to, count) = (packed(part), shape.axes.len() as u32);
            let (from, bytes, block) = (part.from as u64, part.bytes as u64, shape.block as u64);
            let (which, how) = (pair(axis, count), pair(shape.width(to), 0));
            put(piece, [shape.address, to, from, bytes, block, u64::from(units), which, how]);
            // In this order: the end of the shape's axes is seen before a row is taken.
            for (from, row) in shape.axes.iter().zip(axes.by_ref()) {
                put(row, [from.len as u64, from.stride as u64]);
            }
            axis += count;
            for _ in 0..part.units(unit) {
                *numbers.next()? = (number as u32).to_ne_bytes();
                units += 1;
            }
        }
        Some(Table { axes_at, units_at, units, unit: unit as u64 })
    }
}

/// Two fields of four bytes as one of eight.
fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn put<const BYTES: usize, const WORDS: usize>(row: &mut [u8; BYTES], words: [u64; WORDS]) {
    const { assert!(BYTES == 8 * WORDS) };
    let (places, _) = row.as_chunks_mut::<8>();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { bytes: 1 << 20, table: 1 << 16 };

    fn shape(address: u64, axes: &[(usize, isize)], item: usize) -> Shape {
        let axes = axes.iter().map(|&(len, stride)| Axis { len, stride });
        Shape::new(address, &Layout::new(axes, item).expect("fits"))
    }

    /// Every byte of every array is in one part, in order, and no two parts of a chunk have a byte in common.
    fn check(shapes: &[Shape], chunks: &[Chunk], room: Room) {
        let mut ends = vec![0; shapes.len()];
        for chunk in chunks {
            let mut end = 0;
            for part in chunk.parts() {
                assert!(part.at >= end && part.at.is_multiple_of(ALIGN) && part.bytes > 0);
                assert_eq!(part.from, ends[part.array]);
                ends[part.array] += part.bytes;
                end = part.at + part.bytes;
            }
            assert!(end == chunk.bytes && end <= room.bytes);
            assert!(
                chunk
                    .gathered
                    .last()
                    .is_none_or(|part| part.at + part.bytes == chunk.gathered_bytes)
            );
            let mut table = vec![0; room.table];
            assert!(chunk.write_table(shapes, |part| part.at as u64, &mut table).is_some());
        }
        assert!(ends.iter().zip(shapes).all(|(end, shape)| *end == shape.bytes()));
    }

    #[test]
    fn many_small_arrays_share_a_chunk() {
        let shapes: Vec<Shape> = (0..200).map(|i| Shape::together(i << 20, 4096)).collect();
        let chunks = plan(&shapes, ROOM);
        check(&shapes, &chunks, ROOM);
        assert_eq!((chunks.len(), chunks[0].gathered.len(), chunks[0].direct.len()), (1, 200, 0));
        assert_eq!(chunks[0].gathered_bytes, 200 * 4096);
    }

    #[test]
    fn few_arrays_that_lie_together_need_no_kernel() {
        let shapes = [Shape::together(0, 10), Shape::together(100, 0), Shape::together(64, 5)];
        let chunks = plan(&shapes, ROOM);
        check(&shapes, &chunks, ROOM);
        assert!(chunks.len() == 1 && chunks[0].gathered.is_empty() && chunks[0].direct.len() == 2);
        assert!(plan(&shapes[1..2], ROOM).is_empty() && plan(&[], ROOM).is_empty());
    }

    #[test]
    fn large_ones_are_cut_and_come_behind_the_small() {
        let mut shapes: Vec<Shape> = (0..9).map(|i| Shape::together(i, 1000)).collect();
        shapes.insert(4, Shape::together(7, 3 * LARGE + 1));
        shapes.push(shape(0, &[(70_000, 32)], 16));
        let chunks = plan(&shapes, ROOM);
        check(&shapes, &chunks, ROOM);
        assert_eq!(chunks[0].gathered.len(), 10);
        assert!(chunks[0].direct.is_empty() && chunks[0].bytes > ROOM.bytes - UNIT);
        let direct: usize =
            chunks.iter().flat_map(|chunk| &chunk.direct).map(|part| part.bytes).sum();
        assert_eq!(direct, 3 * LARGE + 1);
        assert!(chunks.iter().any(|chunk| !chunk.gathered.is_empty() && !chunk.direct.is_empty()));
    }

    #[test]
    fn tables_are_bounded_too() {
        let shapes: Vec<Shape> = (0..5000).map(|i| shape(i, &[(2, 8)], 1)).collect();
        let chunks = plan(&shapes, ROOM);
        check(&shapes, &chunks, ROOM);
        let most = ROOM.table / (PIECE + AXIS + NUMBER);
        assert_eq!(chunks[0].gathered.len(), most);
        let mut small = vec![0; most * (PIECE + AXIS + NUMBER) - 1];
        assert_eq!(chunks[0].write_table(&shapes, |_| 0, &mut small), None);
    }

    #[test]
    fn what_a_table_says() {
        let shapes = [
            shape(0x1000, &[(3, 64), (5, -8)], 4),
            Shape::together(0x2004, 9001),
            shape(0x3000, &[(4, 32)], 16),
            shape(0x4002, &[(6, 6)], 2),
        ];
        let chunk = &plan(&shapes, ROOM)[0];
        let mut bytes = vec![0; 1 << 12];
        let table =
            chunk.write_table(&shapes, |part| 0x8000 + part.at as u64, &mut bytes).expect("room");
        // The one that lies together is copied by itself.
        let axes = 3 * PIECE;
        assert_eq!(
            table,
            Table { axes_at: axes, units_at: axes + 4 * AXIS, units: 3, unit: UNIT as u64 }
        );
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight"));
        let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four"));
        let piece = |n: usize| [0, 8, 16, 24, 32, 40].map(|at| word(n * PIECE + at));
        assert_eq!(piece(0), [0x1000, 0x8000, 0, 60, 4, 0]);
        assert_eq!(piece(1), [0x3000, 0x8040, 0, 64, 16, 1]);
        assert_eq!(piece(2), [0x4002, 0x8080, 0, 12, 2, 2]);
        let small = |n: usize| [48, 52, 56, 60].map(|at| half(n * PIECE + at));
        assert_eq!([small(0), small(1), small(2)], [[0, 2, 4, 0], [2, 1, 16, 0], [3, 1, 2, 0]]);
        let axis = |n: usize| (word(axes + n * AXIS), word(axes + n * AXIS + 8) as i64);
        assert_eq!([axis(0), axis(1), axis(2), axis(3)], [(3, 64), (5, -8), (4, 32), (6, 6)]);
        assert_eq!([0, 1, 2].map(|n| half(table.units_at + n * NUMBER)), [0, 1, 2]);
    }

    #[test]
    fn a_launch_has_not_too_many_units() {
        let shapes = [shape(0, &[(1 << 24, 32)], 16)];
        let chunk = &plan(&shapes, Room { bytes: 1 << 28, table: 1 << 20 })[0];
        let table = chunk.write_table(&shapes, |_| 0, &mut vec![0; 1 << 20]).expect("room");
        assert_eq!(
            (u64::from(table.units) * table.unit, table.units as usize),
            (1 << 28, MOST_UNITS)
        );
    }

    #[test]
    fn rows_are_as_many_as_lie_at_one_distance() {
        let rows = |shape: &Shape, from, len| -> Vec<(u64, usize, usize, usize)> {
            shape.rows(from, len).map(|r| (r.address, r.width, r.height, r.pitch)).collect()
        };
        let plane = shape(100, &[(2, 1000), (3, 64), (4, 8)], 8);
        assert_eq!(rows(&plane, 0, 192), [(100, 32, 3, 64), (1100, 32, 3, 64)]);
        // From within a row to within another.
        assert_eq!(rows(&plane, 40, 80), [(172, 24, 1, 24), (228, 32, 1, 32), (1100, 24, 1, 24),]);
        assert_eq!(
            rows(&shape(100, &[(3, -8)], 8), 0, 24),
            [(100, 8, 1, 8), (92, 8, 1, 8), (84, 8, 1, 8)]
        );
        assert_eq!(rows(&Shape::together(5, 10), 2, 7), [(7, 7, 1, 7)]);
        assert_eq!(rows(&shape(5, &[(0, 4)], 4), 0, 0), []);
    }

    #[test]
    fn axes_are_fewer_than_the_kernels_have_room_for() {
        let deep = |count: usize| Layout::new((0..count).map(|_| Axis { len: 2, stride: 3 }), 1);
        assert_eq!(Shape::new(0, &deep(62).expect("fits")).axes.len(), 62);
        assert_eq!(deep(63), None);
    }
}
