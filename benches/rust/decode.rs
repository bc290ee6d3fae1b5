//! Decoding with no interpreter: walking the opcodes, the stack machine alone, and building values.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferropickle_benches::{payloads, stream};
use ferropickle_core::opcode::dis::steps;
use ferropickle_core::testing::{check, decode_value};
use std::hint::black_box;

fn decode(c: &mut Criterion) {
    let streams: Vec<_> = payloads()
        .into_iter()
        .map(|(name, elements, value)| (name, elements, stream(&value)))
        .collect();
    for (title, kind) in [("opcodes", 0), ("stack machine", 1), ("values", 2)] {
        let mut group = c.benchmark_group(format!("decode: {title}"));
        for (name, elements, bytes) in &streams {
            group.throughput(Throughput::Elements(*elements as u64));
            group.bench_function(*name, |b| {
                b.iter(|| match kind {
                    0 => {
                        let mut count = 0_usize;
                        steps(black_box(bytes), |_, _| count += 1).expect("a good stream");
                        count
                    }
                    1 => check(black_box(bytes)).map_or(0, |()| 1),
                    _ => decode_value(black_box(bytes)).map_or(0, |value| {
                        drop(black_box(value));
                        1
                    }),
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
