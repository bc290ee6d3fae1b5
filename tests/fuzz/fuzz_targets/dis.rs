//! The listing of any bytes: a line for each opcode, and what the verifier accepts has no fault.
#![no_main]

use ferropickle_core::decode::verify;
use ferropickle_core::opcode::dis::{dis, steps};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let mut count = 0;
    let outcome = steps(stream, |_, _| count += 1);
    let lines = dis(stream).lines().count();
    assert_eq!(lines, count + usize::from(outcome.is_err()));
    if verify(stream).is_ok() {
        assert!(outcome.is_ok());
    }
});
