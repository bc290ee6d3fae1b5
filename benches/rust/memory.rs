//! Memory with no interpreter: layouts of arrays, strided copies, which arrays share memory. This is what
//! `ferropickle-numpy` leaves to the core; the rest of it reads fields of NumPy's objects.
#![allow(unsafe_code, reason = "strided memory is named by its address")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferropickle_core::buffer::gather;
use ferropickle_core::copy::Source;
use ferropickle_core::regions::Regions;
use ferropickle_core::strided::{Axis, Layout};
use std::hint::black_box;

const MIB: usize = 1 << 20;

/// The layout of float64 elements at these lengths and strides.
fn layout(axes: &[(usize, isize)]) -> Layout {
    let axes = axes.iter().map(|&(len, stride)| Axis { len, stride });
    Layout::new(axes, 8).expect("a small array")
}

fn layouts(c: &mut Criterion) {
    let mut group = c.benchmark_group("layout");
    for (name, axes) in [
        ("one axis", &[(128, 8)][..]),
        ("every second column", &[(512, 8192), (512, 16)]),
        ("four axes, turned", &[(8, 8), (16, 64), (32, 1024), (64, 32768)]),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let layout = layout(black_box(axes));
                (layout.len_bytes(), layout.is_compact(), layout.blocks().1)
            });
        });
    }
    group.finish();
}

/// Copies out of 16 MiB, by as many threads as the core takes for it.
fn copies(c: &mut Criterion) {
    let from = vec![1_u8; 16 * MIB];
    let mut group = c.benchmark_group("copy of strided memory");
    for (name, axes) in [
        ("as it lies", &[(2 * MIB, 8)][..]),
        ("every second row", &[(1024, 16_384), (1024, 8)]),
        ("every second column", &[(2048, 8192), (512, 16)]),
        ("turned", &[(1024, 8), (2048, 8192)]),
        ("backwards in small blocks", &[(1 << 16, 256), (4, 64)]),
    ] {
        let layout = layout(axes);
        let mut to = vec![0_u8; layout.len_bytes()];
        group.throughput(Throughput::Bytes(layout.len_bytes() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                assert!(layout.before() == 0 && layout.extent() <= from.len());
                // SAFETY: every element lies within the vector, as was just checked.
                let source = unsafe { Source::new(from.as_ptr(), &layout) };
                source.fill(black_box(&mut to));
            });
        });
    }
    group.finish();
}

fn gathered(c: &mut Criterion) {
    let blocks: Vec<Vec<u8>> = (0..4096).map(|n| vec![n as u8; 1024]).collect();
    let mut to = vec![0_u8; 4 * MIB];
    let mut group = c.benchmark_group("many small buffers into one");
    group.throughput(Throughput::Bytes(to.len() as u64));
    group.bench_function("4,096 of 1 KiB", |b| {
        b.iter(|| gather(blocks.iter().map(Vec::as_slice), black_box(&mut to)));
    });
    group.finish();
}

/// Every array of a stream asks whether its memory has been written before.
fn regions(c: &mut Criterion) {
    const N: usize = 10_000;
    let row = layout(&[(16, 8)]);
    let mut group = c.benchmark_group("memory that arrays share");
    group.throughput(Throughput::Elements(N as u64));
    for (name, distance) in [("apart", 4096), ("side by side", 128), ("half over each other", 64)] {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let mut regions = Regions::default();
                for n in 0..N {
                    let at = 0x7f00_0000_0000 + n * distance;
                    black_box(regions.place(at, &row, true, false));
                    regions.note(at, row.clone(), u32::try_from(n).ok(), true);
                }
                regions.wants_again()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, layouts, copies, gathered, regions);
criterion_main!(benches);
