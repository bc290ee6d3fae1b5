//! What stands before each message on the wire.

use crate::buffer::plan::ROW;
use bytemuck::{Pod, Zeroable};
use core::fmt;

/// Bytes of a [`Frame`].
pub const FRAME: usize = size_of::<Frame>();

const MAGIC: u32 = u32::from_le_bytes(*b"FPF1");

/// No message is longer: no memory could hold it.
const MAX_BYTES: u64 = 1 << 60;

/// The message follows as it is.
pub const WHOLE: u32 = 0;
/// A table of lengths and then the parts follow, laid out as in a slot.
pub const PARTS: u32 = 1;
/// Bytes that belong to the next message, and are no part of it.
pub const ASIDE: u32 = 2;

/// The head of a frame, little-endian.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Frame {
    magic: u32,
    /// [`WHOLE`], [`PARTS`] or [`ASIDE`].
    pub kind: u32,
    /// Bytes that follow.
    pub len: u64,
    /// Rows of the table.
    pub rows: u64,
    /// The sender's stamp, where the receiver can ask whether it lives; else 0.
    pub sender: u64,
}

impl Frame {
    /// The bytes of a frame's head.
    pub fn bytes(kind: u32, len: u64, rows: u64, sender: u64) -> [u8; FRAME] {
        bytemuck::cast(Frame {
            magic: MAGIC.to_le(),
            kind: kind.to_le(),
            len: len.to_le(),
            rows: rows.to_le(),
            sender: sender.to_le(),
        })
    }

    /// Reads and checks the head of a frame.
    pub fn read(bytes: [u8; FRAME]) -> Result<Frame, FrameError> {
        let frame: Frame = bytemuck::cast(bytes);
        let frame = Frame {
            magic: u32::from_le(frame.magic),
            kind: u32::from_le(frame.kind),
            len: u64::from_le(frame.len),
            rows: u64::from_le(frame.rows),
            sender: u64::from_le(frame.sender),
        };
        let sound = match frame.kind {
            WHOLE | ASIDE => frame.rows == 0,
            PARTS => frame.rows > 0 && frame.rows <= frame.len / ROW as u64,
            _ => false,
        };
        if frame.magic != MAGIC || !sound || frame.len > MAX_BYTES {
            return Err(FrameError::Damaged("what came is no message of a channel"));
        }
        Ok(frame)
    }
}

/// What arrived cannot be a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Not what a channel sends.
    Damaged(&'static str),
    /// There is no memory for it.
    OutOfMemory,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Damaged(what) => f.write_str(what),
            FrameError::OutOfMemory => f.write_str("no memory for the message"),
        }
    }
}

impl core::error::Error for FrameError {}
