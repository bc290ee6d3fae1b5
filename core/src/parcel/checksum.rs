//! Checksums of stored bytes: against accidents, not against forgers.

use crate::threads;
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

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
        self.of_pieces(core::iter::once(data))
    }

    /// The sum of bytes that lie in pieces, one after the other.
    pub fn of_pieces<'a>(self, mut pieces: impl Iterator<Item = &'a [u8]> + Clone) -> u64 {
        match self {
            Checksum::Nothing => 0,
            Checksum::Xxh3 => match (pieces.next(), pieces.next()) {
                (one, None) => xxh3(one.unwrap_or_default()),
                (first, second) => {
                    let mut hasher = Xxh3::new();
                    let all = first.into_iter().chain(second).chain(pieces);
                    all.for_each(|piece| hasher.update(piece));
                    hasher.digest()
                }
            },
            Checksum::Crc32 => u64::from(crc32_of(pieces)),
        }
    }
}

/// xxh3 with 64 bits.
pub fn xxh3(data: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(data)
}

/// CRC-32, of large data by several threads.
pub fn crc32(data: &[u8]) -> u32 {
    crc32_of(core::iter::once(data))
}

/// [`crc32`] of data in pieces.
pub fn crc32_of<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone) -> u32 {
    let sum = |piece: &[u8]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(piece);
        hasher
    };
    let len: usize = pieces.clone().map(<[u8]>::len).sum();
    let mut whole = crc32fast::Hasher::new();
    match threads::pool().filter(|_| len >= 2 * PIECE_BYTES) {
        None => pieces.for_each(|piece| whole.update(piece)),
        Some(pool) => {
            let shares: Vec<&[u8]> = pieces.flat_map(|piece| piece.chunks(PIECE_BYTES)).collect();
            let sums: Vec<_> = pool.install(|| shares.par_iter().map(|share| sum(share)).collect());
            sums.iter().for_each(|sum| whole.combine(sum));
        }
    }
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
        assert_eq!(Checksum::Crc32.of(&data), u64::from(crc32fast::hash(&data)));
    }

    #[test]
    fn pieces_sum_as_the_whole() {
        let data: Vec<u8> = (0..2 * PIECE_BYTES + 17).map(|n| (n * n / 7) as u8).collect();
        for known in [Checksum::Nothing, Checksum::Xxh3, Checksum::Crc32] {
            for step in [100_003, PIECE_BYTES + 1, data.len()] {
                assert_eq!(known.of_pieces(data.chunks(step)), known.of(&data));
            }
            assert_eq!(known.of_pieces(core::iter::empty()), known.of(b""));
        }
    }

    #[test]
    fn every_checksum_has_a_number() {
        for known in [Checksum::Nothing, Checksum::Xxh3, Checksum::Crc32] {
            assert_eq!(Checksum::from_u16(known as u16), Some(known));
        }
        assert_eq!(Checksum::from_u16(3), None);
    }
}
