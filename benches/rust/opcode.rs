//! Encoding with no interpreter: single opcodes, the memo, whole value trees.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferropickle_benches::{Rng, payloads};
use ferropickle_core::encode::Encoder;
use ferropickle_core::memo::{Entry, Found, Memo};
use ferropickle_core::out::HeapStorage;
use ferropickle_core::testing::encode_value;
use std::hint::black_box;

const N: usize = 10_000;

/// A stream around `body`; returns its length.
fn encoded(body: impl Fn(&mut Encoder<HeapStorage>)) -> usize {
    let mut enc = Encoder::new(HeapStorage::default(), 5);
    enc.begin();
    body(&mut enc);
    enc.finish().expect("nothing here can fail");
    enc.into_vec().len()
}

fn atoms(c: &mut Criterion) {
    let mut rng = Rng::default();
    let ints: Vec<i64> = (0..N).map(|_| rng.int()).collect();
    let floats: Vec<f64> = (0..N).map(|_| rng.float()).collect();
    let words: Vec<String> = (0..N).map(|_| rng.word(16)).collect();

    let mut group = c.benchmark_group("encode atoms");
    group.throughput(Throughput::Elements(N as u64));
    group.bench_function("int", |b| {
        b.iter(|| encoded(|enc| black_box(&ints).iter().for_each(|i| enc.int(*i))));
    });
    group.bench_function("float", |b| {
        b.iter(|| encoded(|enc| black_box(&floats).iter().for_each(|f| enc.float(*f))));
    });
    group.bench_function("str", |b| {
        b.iter(|| {
            encoded(|enc| {
                for word in black_box(&words) {
                    enc.str(word.as_bytes()).expect("short");
                }
            })
        });
    });
    group.bench_function("str, memoized", |b| {
        b.iter(|| {
            encoded(|enc| {
                for word in black_box(&words) {
                    enc.str(word.as_bytes()).expect("short");
                    enc.memoize();
                }
            })
        });
    });
    group.finish();
}

/// Keys as object addresses are: 16-byte steps, in no order.
fn memo(c: &mut Criterion) {
    let mut rng = Rng::default();
    let base = 0x7f00_0000_0000_usize;
    let keys: Vec<usize> = (0..N).map(|_| base + (rng.bits() as usize % (1 << 28)) * 16).collect();
    let mut full = Memo::new();
    for (index, key) in (0_u32..).zip(&keys) {
        full.set(*key, Entry::index(index));
    }

    let mut group = c.benchmark_group("memo");
    group.throughput(Throughput::Elements(N as u64));
    group.bench_function("find, then insert", |b| {
        let mut memo = Memo::new();
        b.iter(|| {
            memo.clear();
            for (index, key) in (0_u32..).zip(black_box(&keys)) {
                if let Found::No(vacant) = memo.find(*key) {
                    memo.insert_at(vacant, *key, Entry::index(index));
                }
            }
            memo.len()
        });
    });
    group.bench_function("find", |b| {
        b.iter(|| black_box(&keys).iter().filter(|key| full.get(**key).is_some()).count());
    });
    group.finish();
}

fn trees(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode value tree");
    for (name, elements, value) in payloads() {
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function(name, |b| b.iter(|| encode_value(black_box(&value), 5)));
    }
    group.finish();
}

criterion_group!(benches, atoms, memo, trees);
criterion_main!(benches);
