//! Checksums of stored bytes: against accidents, not against forgers.

use crate::threads;
use rayon::prelude::*;

/// What is noted of stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u16)]
pub enum Checksum {
    /// Nothing.
    #[default]
    Nothing = 0,
    /// xxh3, 64 bits.
    Xxh3 = 1,
    /// CRC-32 as zip files have it.
    Crc32 = 2,
}

/// Bytes that one thread sums at a time.
const PIECE_BYTES: usize = 4 << 20;

impl Checksum {
    /// The checksum of a number in a head, if it names one.
    pub fn from_u16(value: u16) -> Option<Checksum> {
        [Checksum::Nothing, Checksum::Xxh3, Checksum::Crc32]
            .into_iter()
            .find(|known| *known as u16 == value)
    }

    /// The sum of some bytes; 0 for [`Checksum::Nothing`].
    pub fn of(self, data: &[u8]) -> u64 {
        match self {
            Checksum::Nothing => 0,
            Checksum::Xxh3 => xxh3(data),
            Checksum::Crc32 => u64::from(crc32(data)),
        }
    }
}

/// xxh3 with 64 bits.
pub fn xxh3(data: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(data)
}

/// CRC-32, of large data by several threads.
pub fn crc32(data: &[u8]) -> u32 {
    let Some(pool) = threads::pool().filter(|_| data.len() >= 2 * PIECE_BYTES) else {
        return crc32fast::hash(data);
    };
    let sum = |piece: &[u8]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(piece);
        hasher
    };
    let pieces: Vec<_> = pool.install(|| data.par_chunks(PIECE_BYTES).map(sum).collect());
    let mut whole = crc32fast::Hasher::new();
    pieces.iter().for_each(|piece| whole.combine(piece));
    whole.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_known_ones() {
        assert_eq!(Checksum::Crc32.of(b"123456789"), 0xcbf4_3926);
        assert_eq!(Checksum::Xxh3.of(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(Checksum::Nothing.of(b"123456789"), 0);
    }

    #[test]
    fn several_threads_sum_as_one() {
        let data: Vec<u8> = (0..3 * PIECE_BYTES + 17).map(|n| (n * n / 7) as u8).collect();
        assert_eq!(crc32(&data), crc32fast::hash(&data));
    }

    #[test]
    fn every_checksum_has_a_number() {
        for known in [Checksum::Nothing, Checksum::Xxh3, Checksum::Crc32] {
            assert_eq!(Checksum::from_u16(known as u16), Some(known));
        }
        assert_eq!(Checksum::from_u16(3), None);
    }
}
