//! Parcels with no interpreter: packing and reading them, checksums, compression.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferropickle_benches::Rng;
use ferropickle_core::buffer::BufferDesc;
use ferropickle_core::parcel::codec::{compressed, decompress};
use ferropickle_core::parcel::pack::pack;
use ferropickle_core::parcel::unpack::Layout;
use ferropickle_core::parcel::{Checksum, Compression, Spec};
use std::hint::black_box;

const MIB: usize = 1 << 20;

/// Bytes that compress to about a third: measurements, not noise.
fn measurements(len: usize) -> Vec<u8> {
    let mut rng = Rng::default();
    let mut value = 0_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        value = value.wrapping_add(rng.bits() % 1000);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn packing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parcel");
    for (name, count, len) in
        [("one buffer of 16 MiB", 1, 16 * MIB), ("4,096 of 1 KiB", 4096, 1024)]
    {
        let buffers: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; len]).collect();
        for (kind, checksum) in [("", Checksum::Nothing), (", checksums", Checksum::Xxh3)] {
            let spec = Spec { checksum, compression: None };
            let rows = || buffers.iter().map(|b| (BufferDesc::host(b.len(), 64, false), &b[..]));
            let packed = pack(b"a stream", rows(), spec).expect("a small parcel");
            let bytes = packed.segments().fold(Vec::new(), |mut all, part| {
                all.extend_from_slice(part.as_slice());
                all
            });
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(format!("pack {name}{kind}"), |b| {
                b.iter(|| pack(black_box(b"a stream"), rows(), spec).map(|p| p.segments().count()));
            });
            group.bench_function(format!("read {name}{kind}"), |b| {
                b.iter(|| {
                    let layout = Layout::of(black_box(&bytes)).expect("a good parcel");
                    for number in 0..=count {
                        let stored = layout.stored(&bytes, number);
                        layout.check(stored, number).expect("nothing was changed");
                    }
                });
            });
        }
    }
    group.finish();
}

fn checksums(c: &mut Criterion) {
    let bytes = measurements(16 * MIB);
    let mut group = c.benchmark_group("checksum of 16 MiB");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for (name, checksum) in [("xxh3", Checksum::Xxh3), ("crc32", Checksum::Crc32)] {
        group.bench_function(name, |b| b.iter(|| checksum.of(black_box(&bytes))));
    }
    group.finish();
}

fn compression(c: &mut Criterion) {
    let bytes = measurements(4 * MIB);
    let mut group = c.benchmark_group("compression of 4 MiB");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for (name, chosen) in [("zstd", Compression::Zstd(3)), ("lz4", Compression::Lz4)] {
        let stored = compressed(&bytes, chosen).expect("memory").expect("it pays").parts().concat();
        group.bench_function(format!("{name}, compressed"), |b| {
            b.iter(|| compressed(black_box(&bytes), chosen));
        });
        group.bench_function(format!("{name}, decompressed"), |b| {
            b.iter(|| {
                let block = decompress(black_box(&stored), chosen.codec(), bytes.len() as u64);
                block.map_or(0, |block| block.as_slice().len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packing, checksums, compression);
criterion_main!(benches);
