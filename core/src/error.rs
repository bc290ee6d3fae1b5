//! What can be wrong with a stream: one enum, one text for each case.

use core::fmt;

/// Result with the crate's [`Error`].
pub type Result<T> = core::result::Result<T, Error>;

/// A fault of the stream, or of writing one. Holds no strings: building an
/// error costs nothing until it is displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The stream ended inside an opcode.
    Truncated,
    /// The stream ended between two opcodes, before STOP.
    Empty,
    /// A byte that is no opcode.
    UnknownOpcode(u8),
    /// PROTO names a protocol above [`crate::limits::HIGHEST_PROTOCOL`].
    UnsupportedProtocol(u8),
    /// An opcode needs more objects than the stack holds above the last mark.
    StackUnderflow,
    /// An opcode met a MARK where it needs an object.
    UnexpectedMark,
    /// An opcode needs a MARK and there is none.
    NoMark,
    /// GET of an index that nothing was put under.
    MemoMissing(u64),
    /// A length argument is negative.
    NegativeSize,
    /// A length argument does not fit this machine's address space.
    TooLarge,
    /// An opcode reaches over the end of the frame that it began in.
    FrameBounds,
    /// A frame begins inside another.
    NestedFrame,
    /// PUT with a negative index.
    NegativeIndex,
    /// A text argument is not what its opcode allows.
    BadText,
    /// SETITEMS with a key and no value.
    OddItems,
    /// A string is not valid UTF-8 (surrogates allowed).
    BadUtf8,
    /// PERSID with a byte that is not ASCII.
    PersidNotAscii,
    /// STACK_GLOBAL with something that is not a string.
    GlobalNotStr,
    /// An extension code of 0 or below.
    BadExtensionCode(i64),
    /// The memo holds more than `u32::MAX` objects.
    MemoFull,
    /// Memory could not be had: for the output, the stack, the memo.
    OutOfMemory,
    /// The protocol cannot hold a value of that size.
    ProtocolLimit(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Truncated => f.write_str("pickle data was truncated"),
            Error::Empty => f.write_str("Ran out of input"),
            Error::UnknownOpcode(b) => {
                if b.is_ascii_graphic() {
                    write!(f, "invalid load key, '{}'.", b as char)
                } else {
                    write!(f, "invalid load key, '\\x{b:02x}'.")
                }
            }
            Error::UnsupportedProtocol(p) => write!(f, "unsupported pickle protocol: {p}"),
            Error::StackUnderflow => f.write_str("unpickling stack underflow"),
            Error::UnexpectedMark => f.write_str("unexpected MARK found"),
            Error::NoMark => f.write_str("could not find MARK"),
            Error::MemoMissing(i) => write!(f, "Memo value not found at index {i}"),
            Error::NegativeSize => f.write_str("a size in the stream is negative"),
            Error::TooLarge => f.write_str("a size in the stream exceeds this machine's memory"),
            Error::FrameBounds => f.write_str("pickle exhausted before end of frame"),
            Error::NestedFrame => {
                f.write_str("beginning of a new frame before end of current frame")
            }
            Error::NegativeIndex => f.write_str("negative PUT argument"),
            Error::BadText => f.write_str("a text argument is malformed"),
            Error::OddItems => f.write_str("odd number of items for SETITEMS"),
            Error::BadUtf8 => f.write_str("a string is not valid UTF-8"),
            Error::PersidNotAscii => {
                f.write_str("persistent IDs in protocol 0 must be ASCII strings")
            }
            Error::GlobalNotStr => f.write_str("STACK_GLOBAL requires str"),
            Error::BadExtensionCode(_) => f.write_str("EXT specifies code <= 0"),
            Error::MemoFull => f.write_str("more than 4294967290 objects in one memo"),
            Error::OutOfMemory => f.write_str("out of memory"),
            Error::ProtocolLimit(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_two_words_at_most_three() {
        assert!(size_of::<Error>() <= 24);
    }

    #[test]
    fn unknown_opcodes_are_shown_readably() {
        assert_eq!(Error::UnknownOpcode(b'!').to_string(), "invalid load key, '!'.");
        assert_eq!(Error::UnknownOpcode(0).to_string(), "invalid load key, '\\x00'.");
    }
}
