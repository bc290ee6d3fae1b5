//! Encoder and decoder against each other, and both against bytes that nobody wrote: the promises of the core
//! that no single module can show.

use ferropickle_core::decode::verify;
use ferropickle_core::opcode::dis::{dis, steps};
use ferropickle_core::opcode::{Op, TABLE};
use ferropickle_core::testing::{decode_value, encode_value};
use ferropickle_tests::values::{Numbers, same, value};
use ferropickle_tests::{files, root};

/// The streams of `tests/golden`, by name.
fn golden() -> Vec<(String, Vec<u8>)> {
    let found: Vec<_> = files("tests/golden", "pkl")
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(root().join(&path)).expect("a readable file");
            (path.display().to_string(), bytes)
        })
        .collect();
    assert!(found.len() >= 12, "tests/golden is incomplete: {} streams", found.len());
    found
}

#[test]
fn values_come_back_as_they_were() {
    for proto in [4, 5] {
        for seed in 0..3000 {
            let mut numbers = Numbers(seed);
            let before = value(&mut || numbers.draw(), 6, proto);
            let stream = encode_value(&before, proto).expect("a value that can be written");
            verify(&stream).unwrap_or_else(|e| panic!("seed {seed}, protocol {proto}: {e:?}"));
            let after = decode_value(&stream).expect("verified");
            assert!(same(&before, &after), "seed {seed}, protocol {proto}:\n{}", dis(&stream));
        }
    }
}

#[test]
fn large_values_cross_frames() {
    for proto in [4, 5] {
        let mut numbers = Numbers(7);
        let parts = (0..4000).map(|_| value(&mut || numbers.draw(), 3, proto)).collect();
        let before = ferropickle_core::testing::Value::Tuple(parts);
        let stream = encode_value(&before, proto).expect("a value that can be written");
        let mut frames = 0;
        steps(&stream, |step, _| frames += u32::from(step.op == Op::Frame)).expect("well-formed");
        assert!(frames > 1, "{} bytes in {frames} frames", stream.len());
        assert!(same(&before, &decode_value(&stream).expect("well-formed")));
    }
}

#[test]
fn golden_streams_are_well_formed() {
    let mut met = [false; 256];
    for (name, stream) in golden() {
        verify(&stream).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let mut end = 0;
        steps(&stream, |step, _| {
            met[step.op as u8 as usize] = true;
            end = step.at + 1;
        })
        .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(end, stream.len() as u64, "{name}: bytes after STOP");
        for cut in (0..stream.len()).step_by(1 + stream.len() / 500) {
            assert!(verify(&stream[..cut]).is_err(), "{name} cut at {cut} is no stream");
        }
    }
    // What only a hand-written stream, Python 2, a registry or a size beyond 4 GiB leads to.
    let rare = [
        "BINBYTES8",
        "BINPERSID",
        "BINSTRING",
        "BINUNICODE8",
        "DUP",
        "EXT1",
        "EXT2",
        "EXT4",
        "INST",
        "LONG4",
        "NEWOBJ_EX",
        "OBJ",
        "PERSID",
        "POP",
        "POP_MARK",
        "SHORT_BINSTRING",
        "STRING",
    ];
    let missing: Vec<_> = TABLE
        .iter()
        .filter(|row| !met[row.op as u8 as usize] && !rare.contains(&row.name))
        .map(|row| row.name)
        .collect();
    assert!(missing.is_empty(), "no golden stream holds {missing:?}");
}

/// What must hold for any bytes: nothing panics, and the three readers agree on what is a stream.
fn hold(bytes: &[u8]) {
    let verified = verify(bytes);
    let mut last = None;
    let stepped = steps(bytes, |step, _| last = Some(step));
    let text = dis(bytes);
    assert_eq!(text.is_empty(), bytes.is_empty() && stepped.is_ok(), "{}", bytes.escape_ascii());
    match &verified {
        Ok(()) => {
            assert!(stepped.is_ok(), "{}", bytes.escape_ascii());
            assert!(last.is_some_and(|step| step.op == Op::Stop), "{}", bytes.escape_ascii());
        }
        Err(error) => {
            assert!(error.at <= bytes.len() as u64, "{}", bytes.escape_ascii());
            assert!(decode_value(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
    if decode_value(bytes).is_ok() {
        assert!(verified.is_ok(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn any_bytes_are_verified_and_listed() {
    let golden: Vec<_> = golden().into_iter().filter(|(_, s)| s.len() < 700).collect();
    let mut numbers = Numbers(2024);
    let mut passed = 0;
    for round in 0..100_000 {
        let length = numbers.below(64);
        let stream: Vec<u8> = match round % 4 {
            // Any bytes.
            0 => (0..length).map(|_| numbers.draw() as u8).collect(),
            // Opcodes one after another, with small arguments between them.
            1 | 2 => (0..length)
                .map(|_| match numbers.below(3) {
                    0 => numbers.below(4) as u8,
                    _ => TABLE[numbers.below(TABLE.len())].op as u8,
                })
                .chain([b'.'])
                .collect(),
            // A real stream with a few bytes changed.
            _ => {
                let mut stream = golden[numbers.below(golden.len())].1.clone();
                for _ in 0..1 + numbers.below(3) {
                    let at = numbers.below(stream.len());
                    stream[at] ^= 1 << numbers.below(8);
                }
                stream
            }
        };
        hold(&stream);
        passed += u32::from(verify(&stream).is_ok());
    }
    // Else the test would say nothing about what is accepted.
    assert!(passed > 1000, "only {passed} streams were well-formed");
}
