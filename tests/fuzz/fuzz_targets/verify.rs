//! The stack machine over any bytes: it ends, and where it finds fault it says where.
#![no_main]

use ferropickle_core::decode::verify;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    if let Err(error) = verify(stream) {
        assert!(error.at <= stream.len() as u64);
    }
});
