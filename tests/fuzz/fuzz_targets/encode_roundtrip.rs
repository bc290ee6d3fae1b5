//! A value made from the input goes through the encoder and the decoder, and comes back the same.
#![no_main]

use ferropickle_core::decode::verify;
use ferropickle_core::testing::{decode_value, encode_value};
use ferropickle_tests::values::{same, value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|choices: &[u8]| {
    let mut bytes = choices.iter().copied();
    // One byte for a small choice; wide numbers come from a byte that says so. Nothing left: zeros.
    let mut draw = || match bytes.next() {
        Some(255) => (0..8).fold(0, |n, _| n << 8 | u64::from(bytes.next().unwrap_or(0))),
        byte => u64::from(byte.unwrap_or(0)),
    };
    let proto = 4 + (draw() % 2) as u8;
    let before = value(&mut draw, 8, proto);
    let stream = encode_value(&before, proto).expect("a value that can be written");
    verify(&stream).expect("well-formed");
    assert!(same(&before, &decode_value(&stream).expect("verified")));
});
