//! What can be wrong with a parcel or a file: where, and what.

use super::Checksum;
use core::fmt;

/// Result with a [`Fault`].
pub type Result<T> = core::result::Result<T, Fault>;

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The head, or the table after it.
    Header,
    /// The pickle stream.
    Stream,
    /// The buffer of that number.
    Buffer(usize),
    /// An entry of a file.
    Entry(String),
    /// The directory at a file's end.
    Directory,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The first bytes are not those of a parcel.
    NoParcel,
    /// Not a version that is known.
    Version(u16),
    /// Fewer bytes than there should be.
    Truncated {
        /// Bytes that are needed from the parcel's start.
        needed: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// The bytes are not those that were written.
    Altered {
        /// Which checksum says so.
        by: Checksum,
        /// What it is.
        found: u64,
        /// What it was.
        wanted: u64,
    },
    /// A field has a value that it cannot have.
    Field(&'static str),
    /// Compressed data that cannot be decompressed.
    Compressed(String),
    /// Memory could not be had, of that many bytes.
    OutOfMemory(u64),
    /// A view was asked for, and there is none of compressed data.
    NoView,
}

/// A fault of a parcel or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub part: Part,
    /// Offset of the part's first byte.
    pub at: u64,
    /// What.
    pub kind: Kind,
}

impl Fault {
    /// A fault of the head.
    pub fn header(kind: Kind) -> Fault {
        Fault { part: Part::Header, at: 0, kind }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Header => f.write_str("header"),
            Part::Stream => f.write_str("stream"),
            Part::Buffer(number) => write!(f, "buffer {number}"),
            Part::Entry(name) => f.write_str(name),
            Part::Directory => f.write_str("directory"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::NoParcel => f.write_str("these bytes are no parcel"),
            Kind::Version(version) => write!(f, "version {version} is not known"),
            Kind::Truncated { needed, have } => {
                write!(f, "truncated: {needed} bytes are needed, there are {have}")
            }
            Kind::Altered { by, found, wanted } => {
                let (name, width) = match by {
                    Checksum::Crc32 => ("crc32", 8),
                    _ => ("xxh3", 16),
                };
                write!(f, "altered: {name} is {found:0width$x}, it was {wanted:0width$x}")
            }
            Kind::Field(what) => f.write_str(what),
            Kind::Compressed(what) => write!(f, "compressed data is faulty: {what}"),
            Kind::OutOfMemory(bytes) => write!(f, "no memory for {bytes} bytes"),
            Kind::NoView => f.write_str("compressed data must be copied, and copy is 'never'"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {}): {}", self.part, self.at, self.kind)
    }
}

impl core::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_what_and_where() {
        let kind = Kind::Altered { by: Checksum::Crc32, found: 0xab, wanted: 1 };
        let fault = Fault { part: Part::Buffer(3), at: 4096, kind };
        let text = "buffer 3 (at byte 4096): altered: crc32 is 000000ab, it was 00000001";
        assert_eq!(fault.to_string(), text);
    }
}
