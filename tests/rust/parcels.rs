//! Parcels against whatever bytes come: what was packed comes back, and what nobody packed is refused.

use ferropickle_core::buffer::BufferDesc;
use ferropickle_core::parcel::pack::pack;
use ferropickle_core::parcel::unpack::Layout;
use ferropickle_core::parcel::{Checksum, Compression, HEAD_BYTES, Kind, Part, ROW_BYTES, Spec};
use ferropickle_tests::parcel_parts::{read, seal};
use ferropickle_tests::values::Numbers;

const CHECKSUMS: [Checksum; 3] = [Checksum::Nothing, Checksum::Xxh3, Checksum::Crc32];
const COMPRESSIONS: [Option<Compression>; 3] =
    [None, Some(Compression::Zstd(1)), Some(Compression::Lz4)];

fn specs() -> impl Iterator<Item = Spec> {
    CHECKSUMS.into_iter().flat_map(|checksum| {
        COMPRESSIONS.into_iter().map(move |compression| Spec { checksum, compression })
    })
}

/// Buffers of many lengths, some of which compress.
fn buffers(numbers: &mut Numbers) -> Vec<(bool, Vec<u8>)> {
    let count = numbers.draw() % 6;
    (0..count)
        .map(|_| {
            let len = (numbers.draw() % 3000) as usize;
            let kinds = 1 + numbers.draw() % 200;
            let data = (0..len).map(|_| (numbers.draw() % kinds) as u8).collect();
            (numbers.draw().is_multiple_of(2), data)
        })
        .collect()
}

fn bytes_of(stream: &[u8], buffers: &[(bool, Vec<u8>)], spec: Spec) -> Vec<u8> {
    let rows = buffers
        .iter()
        .map(|(read_only, data)| (BufferDesc::host(data.len(), 64, *read_only), data.as_slice()));
    let packed = pack(stream, rows, spec).expect("a parcel");
    let mut bytes = vec![0; packed.total as usize];
    packed.copy_to(&mut bytes);
    let segments: Vec<u8> =
        packed.segments().flat_map(|segment| segment.as_slice()).copied().collect();
    assert_eq!(segments, bytes);
    bytes
}

#[test]
fn what_was_packed_comes_back() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let (stream, buffers) = (vec![b'N'; seed as usize * 3], buffers(&mut numbers));
        for spec in specs() {
            let bytes = bytes_of(&stream, &buffers, spec);
            let layout = Layout::of(&bytes).expect("what was packed");
            assert!(layout.slots.iter().all(|slot| slot.at.is_multiple_of(64)));
            assert_eq!(layout.total, bytes.len() as u64);
            let mut wanted = vec![(true, stream.clone())];
            wanted.extend(buffers.iter().cloned());
            assert_eq!(read(&bytes).expect("what was packed"), wanted, "seed {seed}, {spec:?}");
            let more = [&bytes[..], b"what comes after"].concat();
            assert_eq!(read(&more).expect("what was packed"), wanted);
        }
    }
}

#[test]
fn a_parcel_cut_anywhere_is_refused() {
    let mut numbers = Numbers(3);
    let buffers = buffers(&mut numbers);
    assert!(buffers.len() > 1);
    for spec in specs() {
        let bytes = bytes_of(b"stream.", &buffers, spec);
        for len in 0..bytes.len() {
            let fault = Layout::of(&bytes[..len]).expect_err("a part is missing");
            assert!(matches!(fault.kind, Kind::Truncated { .. }), "{len}: {fault}");
        }
    }
}

#[test]
fn with_checksums_no_bit_can_change_unseen() {
    let mut numbers = Numbers(5);
    let buffers = buffers(&mut numbers);
    for spec in specs().filter(|spec| spec.checksum != Checksum::Nothing) {
        let bytes = bytes_of(b"stream.", &buffers, spec);
        let wanted = read(&bytes).expect("what was packed");
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            // Zeros between the parts say nothing.
            assert!(read(&other).map_or(true, |found| found == wanted), "byte {at}");
        }
        let last = bytes.len() - 1;
        let mut other = bytes.clone();
        other[last] ^= 1;
        let fault = read(&other).expect_err("it was changed");
        assert_eq!(fault.part, Part::Buffer(buffers.len() - 1));
    }
}

/// Heads and rows with any numbers in them, their checksum right.
#[test]
fn crafted_headers_raise_and_allocate_nothing() {
    let base =
        bytes_of(b"stream.", &[(true, vec![1; 600]), (false, vec![2; 700])], Spec::default());
    let rows = HEAD_BYTES..HEAD_BYTES + 3 * ROW_BYTES;
    let edges = [0, 1, 63, 64, 255, 1 << 20, u32::MAX as u64, 1 << 40, i64::MAX as u64, u64::MAX];
    for at in (8..rows.end).step_by(4) {
        for edge in edges {
            for width in [4, 8] {
                let mut other = base.clone();
                if at + width > rows.end {
                    continue;
                }
                other[at..at + width].copy_from_slice(&edge.to_le_bytes()[..width]);
                seal(&mut other);
                if let Ok(found) = read(&other) {
                    let bytes: usize = found.iter().map(|(_, data)| data.len()).sum();
                    assert!(bytes <= base.len(), "{at} {edge} {width}");
                }
            }
        }
    }
}

#[test]
fn other_bytes_are_no_parcels() {
    let fault = Layout::of(b"PK\x03\x04").expect_err("a zip file");
    assert_eq!(fault.to_string(), "header (at byte 0): these bytes are no parcel");
    let mut bytes = bytes_of(b"stream.", &[], Spec::default());
    bytes[8] = 9;
    assert_eq!(Layout::of(&bytes).expect_err("version 9").kind, Kind::Version(9));
}
