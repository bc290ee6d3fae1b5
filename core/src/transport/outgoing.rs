//! A message on its way out.

use super::frame::{ASIDE, FRAME, Frame, PARTS, WHOLE};
use crate::buffer::{ALIGN, Plan};
use std::io::IoSlice;

static PADDING: [u8; ALIGN] = [0; ALIGN];

/// What is left of a message to be sent.
pub struct Outgoing<'a> {
    /// What belongs to the message and goes before it, with heads.
    lead: Vec<u8>,
    head: [u8; FRAME],
    pieces: Vec<&'a [u8]>,
    /// Pieces that were sent whole, lead and head being the first; and bytes of the next.
    sent: (usize, usize),
    begun: bool,
}

impl<'a> Outgoing<'a> {
    /// A message as it is.
    pub fn whole(message: &'a [u8], sender: u64) -> Outgoing<'a> {
        let head = Frame::bytes(WHOLE, message.len() as u64, 0, sender);
        let pieces = if message.is_empty() { Vec::new() } else { vec![message] };
        Outgoing::new(head, pieces)
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
        Outgoing::new(head, pieces)
    }

    fn new(head: [u8; FRAME], pieces: Vec<&'a [u8]>) -> Outgoing<'a> {
        // There is no lead: it counts as sent.
        Outgoing { lead: Vec::new(), head, pieces, sent: (1, 0), begun: false }
    }

    /// The message with bytes that belong to it before it; the first piece goes first.
    pub fn with_asides(mut self, asides: &[Vec<u8>], sender: u64) -> Outgoing<'a> {
        for aside in asides {
            self.lead.extend(Frame::bytes(ASIDE, aside.len() as u64, 0, sender));
            self.lead.extend(aside);
        }
        self.sent = (usize::from(self.lead.is_empty()), 0);
        self
    }

    /// The next slices to be sent, `most` at the most; none when all were.
    pub fn slices(&self, most: usize) -> Vec<IoSlice<'_>> {
        let (first, skip) = self.sent;
        let first_two = [&self.lead[..], &self.head[..]];
        let all = first_two.into_iter().chain(self.pieces.iter().copied());
        let mut slices: Vec<_> = all.skip(first).take(most).map(IoSlice::new).collect();
        if let Some(slice) = slices.first_mut() {
            slice.advance(skip);
        }
        slices
    }

    /// So many bytes of the slices were sent.
    pub fn advance(&mut self, mut sent: usize) {
        self.begun |= sent > 0;
        let (piece, skip) = &mut self.sent;
        while sent > 0 {
            let len = match *piece {
                0 => self.lead.len(),
                1 => self.head.len(),
                n => self.pieces[n - 2].len(),
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
        self.begun
    }

    /// Whether all of it was sent.
    pub fn is_done(&self) -> bool {
        self.sent.0 > self.pieces.len() + 1
    }
}
