//! Messages over a stream of bytes: a socket of this machine, or of another.
//!
//! | to change | open |
//! |---|---|
//! | what stands before a message | [`frame`] |
//! | how a message is sent | [`outgoing`] |
//! | how one is received | [`incoming`] |
//!
//! Sending and receiving are state machines that know no socket: they offer slices to be sent, or space to be
//! filled, and are told how much was. So the same code serves sockets of the system and those of a
//! library that encrypts, and a call that runs out of time goes on where it stopped.

pub mod frame;
pub mod incoming;
pub mod outgoing;

pub use frame::FrameError;
pub use incoming::{Delivery, Incoming, Received};
pub use outgoing::Outgoing;

#[cfg(test)]
mod tests {
    use super::frame::{ASIDE, FRAME, Frame, PARTS, WHOLE};
    use super::*;
    use crate::buffer::Plan;
    use crate::buffer::plan::Row;

    /// All that a message sends, taken in steps of various sizes.
    fn sent(mut outgoing: Outgoing<'_>, most: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut step = 1;
        while !outgoing.is_done() {
            let slices = outgoing.slices(most);
            assert!(slices.len() <= most && !slices[0].is_empty());
            step = (step * 7 + 3) % 100_003;
            let mut left = step + 1;
            for slice in &slices {
                let taken = slice.len().min(left);
                wire.extend_from_slice(&slice[..taken]);
                left -= taken;
            }
            let taken = step + 1 - left;
            drop(slices);
            outgoing.advance(taken);
            assert!(outgoing.has_begun());
        }
        assert!(outgoing.slices(most).is_empty());
        wire
    }

    /// What comes of the bytes, given in steps of a size: messages, and whether one has begun.
    fn received(wire: &[u8], step: usize) -> Result<(Vec<Received>, bool), FrameError> {
        let (mut incoming, mut at, mut all) = (Incoming::default(), 0, Vec::new());
        while at < wire.len() {
            let space = incoming.space();
            let count = space.len().min(step).min(wire.len() - at);
            space[..count].copy_from_slice(&wire[at..at + count]);
            at += count;
            incoming.advance(count)?;
            all.extend(incoming.take().map(|delivery| delivery.received));
        }
        Ok((all, incoming.has_begun()))
    }

    #[test]
    fn what_belongs_to_a_message_comes_with_it() {
        let asides = [b"first".to_vec(), vec![7; 300_000]];
        let mut wire = sent(Outgoing::whole(b"one", 7).with_asides(&asides, 7), 3);
        let length_of_one = wire.len();
        wire.extend(sent(Outgoing::whole(b"two", 7).with_asides(&[], 7), 3));
        for step in [1, 1000, usize::MAX] {
            let (mut incoming, mut at, mut all) = (Incoming::default(), 0, Vec::new());
            while at < wire.len() {
                assert_eq!(incoming.has_begun(), at != 0 && at != length_of_one);
                let space = incoming.space();
                let count = space.len().min(step).min(wire.len() - at);
                space[..count].copy_from_slice(&wire[at..at + count]);
                at += count;
                incoming.advance(count).expect("sound messages");
                all.extend(incoming.take());
            }
            let [one, two] = &all[..] else { panic!("two messages") };
            assert_eq!(one.asides, asides);
            assert!(two.asides.is_empty());
            assert!(matches!(&two.received, Received::Whole(bytes) if bytes == b"two"));
        }
        let many = [const { Vec::new() }; 3];
        let wire = sent(Outgoing::whole(b"one", 7).with_asides(&many, 7), 3);
        assert!(matches!(received(&wire, 9), Err(FrameError::Damaged(_))));
    }

    fn parts() -> (Plan, Vec<Vec<u8>>) {
        let lens = [10, 0, 64, 3_000_000, 1, 700_000, 700_000, 0];
        let parts: Vec<Vec<u8>> = lens.iter().map(|len| vec![*len as u8 ^ 5; *len]).collect();
        let rows = lens.iter().map(|len| Row { len: *len as u64, read_only: len % 2 == 1 });
        (Plan::new(rows).expect("short parts"), parts)
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let (plan, parts) = parts();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut wire = sent(Outgoing::whole(b"a message", 7), 1024);
        wire.extend(sent(Outgoing::parts(&plan, &slices, 7), 3));
        wire.extend(sent(Outgoing::whole(b"", 0), 1));
        for step in [1000, 65_536, usize::MAX] {
            let (all, begun) = received(&wire, step).expect("sound messages");
            assert!(!begun);
            let [Received::Whole(first), Received::Parts(second), Received::Whole(third)] =
                &all[..]
            else {
                panic!("three messages of these kinds");
            };
            assert_eq!((first.as_slice(), third.as_slice()), (&b"a message"[..], &b""[..]));
            assert_eq!(second.len(), parts.len());
            for ((buffer, read_only), part) in second.iter().zip(&parts) {
                assert_eq!(buffer.as_slice(), part);
                assert_eq!(*read_only, part.len() % 2 == 1);
                assert_eq!(buffer.as_ptr() as usize % 64, 0);
            }
        }
    }

    #[test]
    fn a_message_that_stops_in_the_middle_has_begun() {
        let wire = sent(Outgoing::whole(&[1; 100], 9), 1024);
        for cut in 1..wire.len() {
            let (all, begun) = received(&wire[..cut], 10).expect("sound so far");
            assert!(all.is_empty() && begun);
        }
    }

    #[test]
    fn what_is_no_message_is_refused_before_it_costs_memory() {
        let crafted = [
            Frame::bytes(3, 10, 0, 0),
            Frame::bytes(WHOLE, 10, 1, 0),
            Frame::bytes(ASIDE, 10, 1, 0),
            Frame::bytes(PARTS, 10, 0, 0),
            Frame::bytes(PARTS, 15, 2, 0),
            Frame::bytes(WHOLE, u64::MAX, 0, 0),
            Frame::bytes(PARTS, u64::MAX, u64::MAX / 8, 0),
            [0; FRAME],
        ];
        for head in crafted {
            assert!(received(&head, 100).is_err());
        }
        // A table whose lengths do not sum up to what the head says.
        let mut wire = Frame::bytes(PARTS, 128, 1, 0).to_vec();
        wire.extend([200u64.to_le_bytes().as_slice(), &[0; 56]].concat());
        assert!(matches!(received(&wire, 100), Err(FrameError::Damaged(_))));
        // Long by its own word only: nothing is there yet, and next to nothing is allocated.
        let mut incoming = Incoming::default();
        incoming.space().copy_from_slice(&Frame::bytes(WHOLE, 1 << 50, 0, 0));
        incoming.advance(FRAME).expect("it may be that long");
        assert!(incoming.space().len() <= crate::limits::READ_STEP_BYTES);
    }
}
