//! What the host does for a transfer of device arrays, besides calling the driver: plans and tables.
//!
//! A thousand arrays of 4 KiB take the link about 80 microseconds; planning them has to be little beside that.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferropickle_core::strided::{Axis, Layout};
use ferropickle_gpu::DeviceId;
use ferropickle_gpu::plan::{Room, Shape, plan};
use ferropickle_gpu::wire::ArenaNote;

/// As transfers between device and host have it.
const ROOM: Room = Room { bytes: 7 << 20, table: 1 << 20 };

fn together(count: usize, size: usize) -> Vec<Layout> {
    (0..count).map(|_| Layout::new([Axis { len: size / 4, stride: 4 }], 4).expect("fits")).collect()
}

fn strided(count: usize) -> Vec<Layout> {
    let axes =
        [Axis { len: 8, stride: 4096 }, Axis { len: 32, stride: 64 }, Axis { len: 4, stride: 8 }];
    (0..count).map(|_| Layout::new(axes, 4).expect("fits")).collect()
}

/// Everything from layouts to the kernel's tables.
fn prepare(layouts: &[Layout], table: &mut [u8]) -> u32 {
    let shapes: Vec<Shape> = layouts
        .iter()
        .enumerate()
        .map(|(i, layout)| Shape::new((i as u64) << 20, layout))
        .collect();
    let chunks = plan(&shapes, ROOM);
    let tables = chunks
        .iter()
        .filter_map(|chunk| chunk.write_table(&shapes, |part| (1 << 40) + part.at as u64, table));
    tables.map(|table| table.units).sum()
}

fn transfers(c: &mut Criterion) {
    let mut group = c.benchmark_group("gpu/prepare");
    let mut table = vec![0; ROOM.table];
    for (name, layouts) in [
        ("1000 x 4 KiB", together(1000, 4096)),
        ("10000 x 256 B", together(10_000, 256)),
        ("1000 strided", strided(1000)),
        ("1 x 1 GiB", together(1, 1 << 30)),
    ] {
        group.throughput(Throughput::Elements(layouts.len() as u64));
        group.bench_function(name, |b| b.iter(|| prepare(black_box(&layouts), &mut table)));
    }
    group.finish();
}

/// One strided array by the driver's own copies of rows, without a kernel.
fn rows(c: &mut Criterion) {
    let axes = [Axis { len: 1 << 12, stride: 1 << 14 }, Axis { len: 1 << 10, stride: 8 }];
    let shape = Shape::new(1 << 20, &Layout::new(axes, 4).expect("fits"));
    c.benchmark_group("gpu/rows").bench_function("4 Mi elements", |b| {
        b.iter(|| shape.rows(0, black_box(shape.bytes())).map(|rows| rows.height).sum::<usize>());
    });
}

/// What processes tell each other of their arenas.
fn notes(c: &mut Criterion) {
    let device = DeviceId::from_bytes([7; 16]);
    let note = ArenaNote { device, id: 1, size: 1 << 30, granule: 2 << 20, maker: 2 };
    c.benchmark_group("gpu/notes").bench_function("an arena, there and back", |b| {
        b.iter(|| ArenaNote::read(&black_box(&note).bytes()).map(|read| read.size));
    });
}

criterion_group!(benches, transfers, rows, notes);
criterion_main!(benches);
