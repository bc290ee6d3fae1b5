//! Parcels taken apart whole, and forged: for the tests of parcels and for the fuzz target.

use ferropickle_core::parcel::unpack::Layout;
use ferropickle_core::parcel::{Checksum, Fault, HEAD_BYTES, ROW_BYTES};

/// Everything that a reader does with a parcel: for each part whether it is read-only, and its bytes.
pub fn read(bytes: &[u8]) -> Result<Vec<(bool, Vec<u8>)>, Fault> {
    let layout = Layout::of(bytes)?;
    (0..layout.slots.len())
        .map(|number| {
            let stored = layout.stored(bytes, number);
            layout.check(stored, number)?;
            let read_only = layout.slots[number].desc.read_only();
            Ok((read_only, layout.read(stored, number)?.as_slice().to_vec()))
        })
        .collect()
}

/// Puts the checksum of a header right, as a forger does.
pub fn seal(bytes: &mut [u8]) {
    let Some(count) = bytes.get(12..16) else { return };
    let count = u32::from_le_bytes(count.try_into().expect("four bytes")) as usize;
    let end = count.checked_mul(ROW_BYTES).map(|rows| rows + HEAD_BYTES);
    let Some(rows) = end.and_then(|end| bytes.get(HEAD_BYTES..end)) else { return };
    let mut sum = bytes[..24].to_vec();
    sum.extend_from_slice(&[0; 8]);
    sum.extend_from_slice(&Checksum::Xxh3.of(rows).to_le_bytes());
    let check = Checksum::Xxh3.of(&sum);
    bytes[24..32].copy_from_slice(&check.to_le_bytes());
}
