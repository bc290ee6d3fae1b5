//! The decoder with a builder that makes something: what it accepts, the verifier accepts.
//! Run it with `ASAN_OPTIONS=detect_leaks=0`, as `make fuzz` does: the values count references, and cycles stay.
#![no_main]

use ferropickle_core::decode::verify;
use ferropickle_core::testing::decode_value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    // A value is dropped by recursion, so its depth is kept within a stack.
    if stream.len() > 4096 {
        return;
    }
    if decode_value(stream).is_ok() {
        assert!(verify(stream).is_ok());
    }
});
