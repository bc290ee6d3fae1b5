//! The opcodes of pickle protocols 0 to 5: code, argument, documentation.
//!
//! The single source for the writer, the decoder, the disassembler and the
//! documentation. Codes and meanings are CPython's (`Lib/pickle.py`,
//! `Lib/pickletools.py`, PEP 307, 3154 and 574).

pub mod dis;
mod table;

pub use table::{Op, TABLE};

/// How an opcode's argument follows its code byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// No argument.
    None,
    /// One unsigned byte.
    U8,
    /// Two bytes, little-endian.
    U16,
    /// Four bytes, little-endian, signed.
    I32,
    /// Four bytes, little-endian, unsigned.
    U32,
    /// Eight bytes, little-endian, unsigned.
    U64,
    /// Eight bytes, big-endian IEEE double.
    F64,
    /// Text up to a newline.
    Line,
    /// Two texts, each up to a newline: module and name.
    TwoLines,
    /// One length byte, then that many bytes.
    Bytes1,
    /// Four length bytes (unsigned), then that many bytes.
    Bytes4,
    /// Four length bytes (signed; negative is an error), then that many bytes.
    Bytes4Signed,
    /// Eight length bytes, then that many bytes.
    Bytes8,
}

/// One row of the opcode table.
#[derive(Debug, Clone, Copy)]
pub struct OpInfo {
    /// The opcode.
    pub op: Op,
    /// Its name in `pickletools`.
    pub name: &'static str,
    /// Its argument.
    pub arg: Arg,
    /// The protocol that introduced it.
    pub proto: u8,
    /// What it does to the stack and to the memo.
    pub doc: &'static str,
}

impl Op {
    /// The opcode of a byte, if it is one.
    #[inline]
    pub const fn from_byte(byte: u8) -> Option<Op> {
        BY_BYTE[byte as usize]
    }

    /// The opcode's row in [`TABLE`].
    pub fn info(self) -> &'static OpInfo {
        TABLE.iter().find(|row| row.op == self).expect("every opcode has a row")
    }

    /// The opcode's name in `pickletools`.
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

/// The name of a byte taken as an opcode, for error texts.
pub fn name_of_byte(byte: u8) -> &'static str {
    match Op::from_byte(byte) {
        Some(op) => op.name(),
        None => "unknown opcode",
    }
}

const BY_BYTE: [Option<Op>; 256] = {
    let mut map = [None; 256];
    let mut i = 0;
    while i < TABLE.len() {
        map[TABLE[i].op as usize] = Some(TABLE[i].op);
        i += 1;
    }
    map
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_byte_and_is_documented() {
        for row in TABLE {
            assert_eq!(Op::from_byte(row.op as u8), Some(row.op));
            assert_eq!(row.op.name(), row.name);
            assert!(!row.doc.is_empty(), "{} has no documentation", row.name);
            assert!(row.proto <= crate::limits::HIGHEST_PROTOCOL);
        }
    }

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<u8> = TABLE.iter().map(|row| row.op as u8).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        assert_eq!(TABLE.len(), 68);
    }
}
