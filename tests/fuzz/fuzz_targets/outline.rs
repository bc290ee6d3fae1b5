//! Parts of any stream: what is picked of a well-formed one is a well-formed stream.
#![no_main]

use ferropickle_core::decode::verify;
use ferropickle_core::parcel::file::outline::outline;
use ferropickle_core::parcel::file::pick::pick;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let Some(outline) = outline(stream) else { return };
    let good = verify(stream).is_ok();
    for (key, value) in &outline.pairs {
        for range in [key, value] {
            if let Some(picked) = pick(stream, &outline, std::slice::from_ref(range)) {
                assert!(!good || verify(&picked.stream).is_ok());
            }
        }
    }
});
