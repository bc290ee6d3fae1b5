//! Parcels: a stream and its buffers as bytes, and as files.
//!
//! # The bytes of a parcel
//!
//! All numbers are little-endian. A head of [`HEAD_BYTES`]:
//!
//! | bytes | |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 2 | [`VERSION`] |
//! | 2 | [`Checksum`] of the rows' stored bytes |
//! | 4 | number of rows: the stream, then each buffer |
//! | 8 | length of the whole parcel |
//! | 8 | xxh3 of the head, with zeros here, and the xxh3 of the rows |
//!
//! then a row of [`ROW_BYTES`] each: a [`BufferDesc`], the length that its bytes
//! have here, their checksum, a [`Codec`] and four zeros; then the stored bytes
//! of each row in order, each at the next multiple of [`ALIGN`] from the start,
//! zeros between. So a parcel that begins on such a multiple in memory has its
//! buffers aligned.
//!
//! Stored bytes are the bytes themselves, or their compressed form: see
//! [`codec`].
//!
//! | to change | open |
//! |---|---|
//! | how a parcel is written, read | [`pack`], [`unpack`] |
//! | compression, which data it is tried on | [`codec`] |
//! | checksums | [`checksum`] |
//! | how segments go to a descriptor | [`send`] |
//! | files | [`file`] |
//! | what can be wrong with a parcel or file | [`fault`] |

pub mod checksum;
pub mod codec;
pub mod fault;
pub mod file;
pub mod pack;
pub mod send;
pub mod unpack;

pub use checksum::Checksum;
pub use codec::{Codec, Compression};
pub use fault::{Fault, Kind, Part};

use crate::buffer::{ALIGN, BufferDesc};
use bytemuck::{Pod, Zeroable};

/// The first bytes of a parcel.
pub const MAGIC: [u8; 8] = *b"\x93PARCEL\n";

/// The version that is written, and the only one that is read.
pub const VERSION: u16 = 1;

/// Length of the head.
pub const HEAD_BYTES: usize = 32;

/// Length of a row.
pub const ROW_BYTES: usize = 48;

/// How parcels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Spec {
    /// What is noted of the stored bytes.
    pub checksum: Checksum,
    /// How buffers are compressed, if at all.
    pub compression: Option<Compression>,
}

/// The head as it is written.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    version: u16,
    checksum: u16,
    rows: u32,
    total: u64,
    check: u64,
}

/// A row as it is written.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Row {
    desc: BufferDesc,
    stored: u64,
    checksum: u64,
    codec: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<Head>() == HEAD_BYTES && size_of::<Row>() == ROW_BYTES);
const _: () = assert!(cfg!(target_endian = "little"), "parcels are little-endian");

/// The next multiple of [`ALIGN`].
fn aligned(at: u64) -> Option<u64> {
    at.checked_next_multiple_of(ALIGN as u64)
}
