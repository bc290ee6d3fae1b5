//! What goes wrong with shared memory.

use core::fmt;
use std::io;

/// A fault of an arena, or of what was said about it.
#[derive(Debug)]
pub enum ShmError {
    /// The slot is not there to be taken: it was taken before, withdrawn, or freed because its sender
    /// died long ago.
    Lost,
    /// The reference belongs to another arena.
    Foreign,
    /// Bytes that should refer to a slot, or describe what is in one, do not.
    Damaged(&'static str),
    /// The file is not an arena of this version.
    NotAnArena,
    /// The arena was made in another namespace of process ids, so nobody could tell who is alive.
    Namespace,
    /// Too many processes take part.
    Crowded,
    /// The system refused.
    System(io::Error),
}

impl From<io::Error> for ShmError {
    fn from(error: io::Error) -> ShmError {
        ShmError::System(error)
    }
}

impl fmt::Display for ShmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShmError::Lost => f.write_str(
                "the shared memory of this message is gone: it was taken before, withdrawn, or \
                 reclaimed after its sender died",
            ),
            ShmError::Foreign => f.write_str("the message lies in another arena"),
            ShmError::Damaged(what) => write!(f, "a damaged message: {what}"),
            ShmError::NotAnArena => f.write_str("the file is not an arena of this version"),
            ShmError::Namespace => {
                f.write_str("the arena was made in another namespace of process ids")
            }
            ShmError::Crowded => f.write_str("too many processes share this arena"),
            ShmError::System(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ShmError {}
