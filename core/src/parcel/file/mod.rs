//! Files: a zip archive that any zip program, and a stock Python, can read.
//!
//! | entry | |
//! |---|---|
//! | `stream.pkl` | the pickle stream |
//! | `buffers/0000`, ... | its out-of-band buffers in order; `.zst` or `.lz4` after the name if compressed |
//! | `meta.json` | about the file, for people; no reader needs it |
//!
//! All entries are stored as they are, at multiples of [`ALIGN`], large ones of
//! [`PAGE_BYTES`], by an extra field in front of their data; sizes and offsets
//! from 4 GiB on are zip64's. The CRC-32 of each is the archive's own.
//!
//! | to change | open |
//! |---|---|
//! | the records of zip | [`zip`] |
//! | how entries are written | [`write`] |
//! | how a file is put in the place of another | [`replace`] |
//! | how a file is read | [`read`], its memory: [`map`] |
//! | one value of a dict alone | [`pick`], [`outline`] |

#[allow(unsafe_code, reason = "a file's bytes as memory")]
pub mod map;
pub mod outline;
pub mod pick;
pub mod read;
pub mod replace;
pub mod write;
pub mod zip;

use super::Codec;
use crate::buffer::ALIGN;

/// Data of at least this length begins at a page.
const LARGE_BYTES: u64 = 64 << 10;

/// A page, as far as alignment in files goes.
pub const PAGE_BYTES: u64 = 4096;

/// The entry of the stream.
pub const STREAM: &str = "stream.pkl";

/// The entry about the file.
pub const META: &str = "meta.json";

/// The folder of the buffers.
const BUFFERS: &str = "buffers/";

/// Digits of a buffer's name at least.
const LEAST_DIGITS: usize = 4;

/// What the data of that length is aligned to.
fn alignment(len: u64) -> u64 {
    if len >= LARGE_BYTES { PAGE_BYTES } else { ALIGN as u64 }
}

/// The ending of a name that tells the codec.
fn ending(codec: Codec) -> &'static str {
    match codec {
        Codec::Raw => "",
        Codec::Zstd => ".zst",
        Codec::Lz4 => ".lz4",
    }
}

/// The name of a buffer, of so many that names sort in their order.
fn buffer_name(number: usize, count: usize, codec: Codec) -> String {
    let digits = count.saturating_sub(1).to_string().len().max(LEAST_DIGITS);
    format!("{BUFFERS}{number:0digits$}{}", ending(codec))
}

/// The number and codec that a name tells; `None` for other entries.
fn parse_name(name: &[u8]) -> Option<(usize, Codec)> {
    let rest = core::str::from_utf8(name.strip_prefix(BUFFERS.as_bytes())?).ok()?;
    let codecs = [Codec::Zstd, Codec::Lz4];
    let found = codecs.into_iter().find_map(|c| Some((rest.strip_suffix(ending(c))?, c)));
    let (digits, codec) = found.unwrap_or((rest, Codec::Raw));
    let plain = digits.len() >= LEAST_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    Some((plain.then(|| digits.parse().ok())??, codec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_and_are_read_back() {
        assert_eq!(buffer_name(7, 8, Codec::Raw), "buffers/0007");
        assert_eq!(buffer_name(7, 10_001, Codec::Zstd), "buffers/00007.zst");
        for codec in [Codec::Raw, Codec::Zstd, Codec::Lz4] {
            let name = buffer_name(1234, 2000, codec);
            assert_eq!(parse_name(name.as_bytes()), Some((1234, codec)));
        }
        for other in ["stream.pkl", "buffers/", "buffers/12", "buffers/+0001", "buffers/0001.gz"] {
            assert_eq!(parse_name(other.as_bytes()), None, "{other}");
        }
    }
}
