//! Text disassembly of a stream, one opcode a line.

use super::{Arg, Op};
use crate::decode::{Cause, Read, SliceReader};
use crate::error::Error;
use core::convert::Infallible;
use core::fmt::Write;

/// One opcode as it stands in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Offset of the opcode byte.
    pub at: u64,
    /// The opcode.
    pub op: Op,
    /// Bytes of its argument, length prefixes and newlines included.
    pub arg_bytes: u64,
}

/// Calls `visit` with each opcode up to STOP; the error tells the offset of the
/// opcode that is at fault. Arguments are skipped, not decoded.
pub fn steps(stream: &[u8], mut visit: impl FnMut(Step, &[u8])) -> Result<(), (u64, Error)> {
    let mut reader = SliceReader::new(stream);
    loop {
        let at = reader.position();
        let fault = |cause: Cause<Infallible>| match cause {
            Cause::Format(error) => (at, error),
            Cause::Build(never) => match never {},
        };
        let byte = reader.byte().map_err(fault)?;
        let op = Op::from_byte(byte).ok_or((at, Error::UnknownOpcode(byte)))?;
        skip(&mut reader, op.info().arg).map_err(fault)?;
        let end = reader.position();
        visit(Step { at, op, arg_bytes: end - at - 1 }, &stream[at as usize + 1..end as usize]);
        if op == Op::Stop {
            return Ok(());
        }
    }
}

fn skip(reader: &mut SliceReader<'_>, arg: Arg) -> Result<(), Cause<Infallible>> {
    let fixed = match arg {
        Arg::None => 0,
        Arg::U8 => 1,
        Arg::U16 => 2,
        Arg::I32 | Arg::U32 => 4,
        Arg::U64 | Arg::F64 => 8,
        Arg::Line => return Read::<Infallible>::line(reader).map(drop),
        Arg::TwoLines => {
            Read::<Infallible>::line(reader)?;
            return Read::<Infallible>::line(reader).map(drop);
        }
        Arg::Bytes1 => reader.byte()? as u64,
        Arg::Bytes4 => crate::decode::u32_le(reader)? as u64,
        Arg::Bytes4Signed => {
            let n = crate::decode::u32_le(reader)? as i32;
            u64::try_from(n).map_err(|_| Cause::Format(Error::NegativeSize))?
        }
        Arg::Bytes8 => crate::decode::u64_le(reader)?,
    };
    let n = usize::try_from(fixed).map_err(|_| Cause::Format(Error::TooLarge))?;
    reader.take(n).map(drop)
}

/// The disassembly as text: offset, opcode, and its argument in short. A fault
/// is the last line.
pub fn dis(stream: &[u8]) -> String {
    let mut text = String::new();
    let outcome = steps(stream, |step, arg| {
        let _ = write!(text, "{:6}: {}", step.at, step.op.name());
        if !arg.is_empty() {
            let shown = &arg[..arg.len().min(48)];
            let dots = if arg.len() > shown.len() { "..." } else { "" };
            let _ = write!(text, " {}{dots}", shown.escape_ascii());
        }
        text.push('\n');
    });
    if let Err((at, error)) = outcome {
        let _ = writeln!(text, "{at:6}: {error}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_listed_and_a_fault_is_named() {
        let text = dis(b"\x80\x04]\x94(K\x01\x8c\x01aU\x02xye.");
        assert_eq!(text.lines().count(), 9);
        assert!(text.contains("     7: SHORT_BINUNICODE \\x01a"), "{text}");
        assert!(dis(b"K").ends_with("     0: pickle data was truncated\n"));
        assert!(dis(b"\x80\x04\xff").contains("invalid load key"));
    }
}
