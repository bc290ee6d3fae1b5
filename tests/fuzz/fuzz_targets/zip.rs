//! The records of an archive of any bytes: what they tell lies within it.
#![no_main]

use ferropickle_core::parcel::file::zip::{TAIL_BYTES, data_offset, entries, find_end};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let len = data.len() as u64;
    let tail = &data[data.len() - data.len().min(TAIL_BYTES)..];
    let Ok(end) = find_end(tail, len) else { return };
    assert!(end.at + end.len <= len);
    let directory = &data[end.at as usize..][..end.len as usize];
    let Ok(found) = entries(directory, end.count, end.at) else { return };
    for entry in found {
        assert!(entry.header <= end.at);
        let header = &data[entry.header as usize..];
        if let Ok(at) = data_offset(header, &entry, end.at) {
            assert!(at + entry.len <= end.at);
        }
    }
});
