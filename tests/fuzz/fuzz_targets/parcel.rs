//! A parcel of any bytes, its checksums put right as a forger does: it is read or refused, and what it holds
//! is not more than compression can explain.
#![no_main]

use ferropickle_core::parcel::unpack::Layout;
use ferropickle_tests::parcel_parts::{read, seal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    seal(&mut bytes);
    if let Ok(layout) = Layout::of(&bytes) {
        assert!(layout.total <= bytes.len() as u64);
        assert!(layout.slots.iter().all(|slot| slot.at + slot.stored <= layout.total));
        // Compressed data of a few bytes may hold megabytes, which is slow to fuzz.
        if layout.slots.iter().map(|slot| slot.desc.len).sum::<u64>() < 1 << 22 {
            let _ = read(&bytes);
        }
    }
});
