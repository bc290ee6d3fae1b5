//! A message on its way in.
//!
//! Nothing is allocated on the sender's word alone where it would cost memory: a message grows as it arrives, the
//! table of a message of parts likewise; the memory of large parts is the system's zero pages until it is filled.

use super::frame::{ASIDE, FRAME, Frame, FrameError, PARTS};
use crate::buffer::plan::{ROW, Row, parts_from};
use crate::buffer::{ALIGN, Block, Buffer};
use crate::limits::READ_STEP_BYTES;

/// A part of at least this size has memory of its own; smaller ones share it, up to this much.
const SHARE: u64 = 1 << 20;

/// What belongs to a message is in so many pieces at most.
const MOST_ASIDES: usize = 2;

/// A message, and what came before it and belongs to it.
pub struct Delivery {
    /// The message.
    pub received: Received,
    /// What belongs to it, in the order in which it came.
    pub asides: Vec<Vec<u8>>,
}

/// A message that has arrived.
pub enum Received {
    /// As it was sent.
    Whole(Vec<u8>),
    /// Its parts, and whether each is read-only.
    Parts(Vec<(Buffer, bool)>),
}

enum State {
    Head([u8; FRAME]),
    /// Bytes that grow until all are there: a message, or the table of one.
    Growing {
        bytes: Vec<u8>,
        len: u64,
    },
    /// Parts, group by group.
    Filling {
        rows: Vec<Row>,
        parts: Vec<(Buffer, bool)>,
        block: Block,
        next: usize,
    },
    Done(Received),
}

/// Receives one message after the other.
pub struct Incoming {
    state: State,
    /// Bytes of the current piece of memory that are there.
    filled: usize,
    frame: Option<Frame>,
    /// The sender's stamp in the head that came last.
    sender: u64,
    asides: Vec<Vec<u8>>,
}

impl Default for Incoming {
    fn default() -> Self {
        Incoming {
            state: State::Head([0; FRAME]),
            filled: 0,
            frame: None,
            sender: 0,
            asides: Vec::new(),
        }
    }
}

impl Incoming {
    /// Whether a part of a message is there.
    pub fn has_begun(&self) -> bool {
        !self.is_between() || !self.asides.is_empty()
    }

    /// Whether the next byte is the first of a head: descriptors come with such.
    pub fn is_between(&self) -> bool {
        self.filled == 0 && self.frame.is_none()
    }

    /// The stamp of the process that is sending, if it gave one.
    pub fn sender(&self) -> u64 {
        self.sender
    }

    /// Where the next bytes go; empty when the message is complete.
    pub fn space(&mut self) -> &mut [u8] {
        let filled = self.filled;
        match &mut self.state {
            State::Head(bytes) => &mut bytes[filled..],
            State::Growing { bytes, .. } => &mut bytes[filled..],
            State::Filling { block, .. } => &mut block.as_mut_slice()[filled..],
            State::Done(_) => &mut [],
        }
    }

    /// So many bytes of the space were filled.
    pub fn advance(&mut self, count: usize) -> Result<(), FrameError> {
        self.filled += count;
        while self.space().is_empty() && !matches!(self.state, State::Done(_)) {
            self.step()?;
        }
        Ok(())
    }

    /// The message, when it is complete.
    pub fn take(&mut self) -> Option<Delivery> {
        if !matches!(self.state, State::Done(_)) {
            return None;
        }
        match core::mem::take(self) {
            Incoming { state: State::Done(received), asides, .. } => {
                Some(Delivery { received, asides })
            }
            _ => None,
        }
    }

    /// From a piece of memory that is full to the next.
    fn step(&mut self) -> Result<(), FrameError> {
        let state = core::mem::replace(&mut self.state, State::Head([0; FRAME]));
        self.state = match state {
            State::Head(bytes) => {
                let frame = Frame::read(bytes)?;
                if frame.kind == ASIDE && self.asides.len() == MOST_ASIDES {
                    return Err(FrameError::Damaged("too much belongs to one message"));
                }
                (self.frame, self.sender) = (Some(frame), frame.sender);
                self.filled = 0;
                let len = match frame.kind {
                    PARTS => parts_from(frame.rows as usize) as u64,
                    _ => frame.len,
                };
                State::Growing { bytes: Vec::new(), len }
            }
            State::Growing { mut bytes, len } if (bytes.len() as u64) < len => {
                let more = (len - bytes.len() as u64).min(READ_STEP_BYTES.max(bytes.len()) as u64);
                bytes.try_reserve(more as usize).map_err(|_| FrameError::OutOfMemory)?;
                bytes.resize(bytes.len() + more as usize, 0);
                State::Growing { bytes, len }
            }
            State::Growing { bytes, .. } => match self.frame {
                Some(frame) if frame.kind == PARTS => {
                    let rows = table(&bytes, frame)?;
                    let parts = Vec::with_capacity(rows.len());
                    self.next_group(rows, parts, 0)?
                }
                Some(frame) if frame.kind == ASIDE => {
                    self.asides.push(bytes);
                    (self.frame, self.filled) = (None, 0);
                    State::Head([0; FRAME])
                }
                _ => State::Done(Received::Whole(bytes)),
            },
            State::Filling { rows, mut parts, block, next } => {
                let group = Buffer::from(block);
                let mut at = 0;
                for row in &rows[parts.len()..next] {
                    let outside = FrameError::Damaged("a part lies outside its message");
                    let part = group.part(at, row.len as usize).ok_or(outside)?;
                    parts.push((part, row.read_only));
                    at = (at + row.len as usize).next_multiple_of(ALIGN);
                }
                self.next_group(rows, parts, next)?
            }
            State::Done(received) => State::Done(received),
        };
        Ok(())
    }

    /// Memory for the next parts: one that is large, or a run of small ones.
    fn next_group(
        &mut self,
        rows: Vec<Row>,
        parts: Vec<(Buffer, bool)>,
        from: usize,
    ) -> Result<State, FrameError> {
        self.filled = 0;
        if from == rows.len() {
            return Ok(State::Done(Received::Parts(parts)));
        }
        let (mut len, mut next) = (0u64, from);
        while let Some(row) = rows.get(next) {
            let longer = len + row.len.next_multiple_of(ALIGN as u64);
            if next > from && longer > SHARE {
                break;
            }
            (len, next) = (longer, next + 1);
        }
        let len = usize::try_from(len).map_err(|_| FrameError::OutOfMemory)?;
        let block = Block::zeroed(len).ok_or(FrameError::OutOfMemory)?;
        Ok(State::Filling { rows, parts, block, next })
    }
}

/// The rows of a table, which must sum up to what the frame said.
fn table(bytes: &[u8], frame: Frame) -> Result<Vec<Row>, FrameError> {
    let (rows, _) = bytes[..frame.rows as usize * ROW].as_chunks::<ROW>();
    let rows: Vec<Row> = rows.iter().map(|row| Row::read(*row)).collect();
    let mut sum = Some(bytes.len() as u64);
    for row in &rows {
        let padded = row.len.checked_next_multiple_of(ALIGN as u64);
        sum = sum.zip(padded).and_then(|(sum, len)| sum.checked_add(len));
    }
    if sum != Some(frame.len) {
        return Err(FrameError::Damaged("the lengths of a message's parts do not sum up"));
    }
    Ok(rows)
}
