//! A message on its way out.

use super::frame::{FRAME, Frame, PARTS, WHOLE};
use crate::buffer::{ALIGN, Plan};
use std::io::IoSlice;

static PADDING: [u8; ALIGN] = [0; ALIGN];

/// What is left of a message to be sent.
pub struct Outgoing<'a> {
    head: [u8; FRAME],
    pieces: Vec<&'a [u8]>,
    /// Pieces that were sent whole, the head being the first; and bytes of the next.
    sent: (usize, usize),
}

impl<'a> Outgoing<'a> {
    /// A message as it is.
    pub fn whole(message: &'a [u8], sender: u64) -> Outgoing<'a> {
        let head = Frame::bytes(WHOLE, message.len() as u64, 0, sender);
        let pieces = if message.is_empty() { Vec::new() } else { vec![message] };
        Outgoing { head, pieces, sent: (0, 0) }
    }

    /// A message of parts, sent from where they lie.
    pub fn parts(plan: &'a Plan, parts: &[&'a [u8]], sender: u64) -> Outgoing<'a> {
        let head = Frame::bytes(PARTS, plan.len(), plan.rows() as u64, sender);
        let mut pieces = Vec::with_capacity(2 * parts.len() + 2);
        for piece in core::iter::once(plan.table()).chain(parts.iter().copied()) {
            if !piece.is_empty() {
                pieces.push(piece);
                let over = piece.len() % ALIGN;
                if over > 0 {
                    pieces.push(&PADDING[over..]);
                }
            }
        }
        Outgoing { head, pieces, sent: (0, 0) }
    }

    /// The next slices to be sent, `most` at the most; none when all were.
    pub fn slices(&self, most: usize) -> Vec<IoSlice<'_>> {
        let (first, skip) = self.sent;
        let all = core::iter::once(&self.head[..]).chain(self.pieces.iter().copied());
        let mut slices: Vec<_> = all.skip(first).take(most).map(IoSlice::new).collect();
        if let Some(slice) = slices.first_mut() {
            slice.advance(skip);
        }
        slices
    }

    /// So many bytes of the slices were sent.
    pub fn advance(&mut self, mut sent: usize) {
        let (piece, skip) = &mut self.sent;
        while sent > 0 {
            let len = match *piece {
                0 => self.head.len(),
                n => self.pieces[n - 1].len(),
            };
            let left = len - *skip;
            if sent < left {
                *skip += sent;
                return;
            }
            sent -= left;
            (*piece, *skip) = (*piece + 1, 0);
        }
    }

    /// Whether any byte was sent.
    pub fn has_begun(&self) -> bool {
        self.sent != (0, 0)
    }

    /// Whether all of it was sent.
    pub fn is_done(&self) -> bool {
        self.sent.0 > self.pieces.len()
    }
}
