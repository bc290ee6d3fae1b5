//! What goes beside a message some of whose buffers lie in arenas: the [`Offer`] of an arena that may be used from then on,
//! and the [`Places`] of the buffers. No driver. What comes from another process is checked before it is used.

use crate::api::GpuError;
use crate::wire::{ArenaNote, SlotNote};

const OFFER: &[u8; 8] = b"fpdo\x01\0\0\0";
const PLACES: &[u8; 8] = b"fpdp\x01\0\0\0";
const DAMAGED: GpuError = GpuError::Damaged("what goes beside a message makes no sense");

/// Bytes of a [`Place`].
const PLACE: usize = 32;

/// An arena that the receiver may import; its two descriptors travel along: the memory, and the table of slots.
///
/// Two messages are in it, with nothing in them. Who has imported it takes that of `trial`: by that the sender learns that it can be
/// used. Who cannot takes that of `refusal`, for which the table of slots is enough. Who does neither is waited for by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The arena.
    pub arena: ArenaNote,
    /// What is taken from it by those who can.
    pub trial: SlotNote,
    /// What is taken by those who cannot.
    pub refusal: SlotNote,
    /// The arena in whose place it comes: no message of that one follows; 0 if there is none.
    pub replaces: u64,
}

/// Where buffers of a message lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Slots, of any arenas.
    pub slots: Vec<SlotNote>,
    /// The buffers that lie in these, in their order.
    pub rows: Vec<Place>,
}

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the message's buffers it is, counted from 0.
    pub buffer: u64,
    /// Which of the slots.
    pub slot: u32,
    /// Where it begins in the slot.
    pub from: u64,
    /// How many bytes it has.
    pub len: u64,
}

/// Either, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// An arena.
    Offer(Box<Offer>),
    /// Places of buffers.
    Places(Places),
}

impl Offer {
    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let replaces = self.replaces.to_le_bytes();
        let notes = [self.trial.bytes(), self.refusal.bytes()].concat();
        [&OFFER[..], &self.arena.bytes(), &notes, &replaces].concat()
    }

    fn read(bytes: &[u8]) -> Result<Self, GpuError> {
        let (arena, rest) = bytes.split_at_checked(ArenaNote::LEN).ok_or(DAMAGED)?;
        let (trial, rest) = rest.split_at_checked(SlotNote::LEN).ok_or(DAMAGED)?;
        let (refusal, replaces) = rest.split_at_checked(SlotNote::LEN).ok_or(DAMAGED)?;
        let replaces = replaces.try_into().map_err(|_| DAMAGED)?;
        Ok(Self {
            arena: ArenaNote::read(arena)?,
            trial: SlotNote::read(trial)?,
            refusal: SlotNote::read(refusal)?,
            replaces: u64::from_le_bytes(replaces),
        })
    }
}

impl Places {
    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let len = 16 + self.slots.len() * SlotNote::LEN + self.rows.len() * PLACE;
        let mut bytes = Vec::with_capacity(len);
        bytes.extend(PLACES);
        bytes.extend((self.slots.len() as u64).to_le_bytes());
        for slot in &self.slots {
            bytes.extend(slot.bytes());
        }
        for row in &self.rows {
            for number in [row.buffer, u64::from(row.slot), row.from, row.len] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads the bytes: buffers in ascending order, each within its slot as the slot's note has it.
    fn read(bytes: &[u8]) -> Result<Self, GpuError> {
        let (count, rest) = bytes.split_first_chunk().ok_or(DAMAGED)?;
        let len = usize::try_from(u64::from_le_bytes(*count)).ok();
        let len = len.and_then(|count| count.checked_mul(SlotNote::LEN)).ok_or(DAMAGED)?;
        let (slots, rows) = rest.split_at_checked(len).ok_or(DAMAGED)?;
        let (rows, rest) = rows.as_chunks::<PLACE>();
        if !rest.is_empty() {
            return Err(DAMAGED);
        }
        let slots = slots.chunks_exact(SlotNote::LEN).map(SlotNote::read);
        let slots: Vec<SlotNote> = slots.collect::<Result<_, _>>()?;
        let mut least = Some(0);
        let row = |row: &[u8; PLACE]| {
            let number = |at: usize| row[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
            let (buffer, from, len) = (number(0), number(16), number(24));
            let slot = u32::try_from(number(8)).map_err(|_| DAMAGED)?;
            let room = slots.get(slot as usize).ok_or(DAMAGED)?.len;
            let within = from.checked_add(len).is_some_and(|end| end <= room);
            if !within || least.is_none_or(|least| buffer < least) {
                return Err(DAMAGED);
            }
            least = buffer.checked_add(1);
            Ok(Place { buffer, slot, from, len })
        };
        let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self { slots, rows })
    }
}

impl Beside {
    /// Reads and checks either.
    ///
    /// # Errors
    ///
    /// [`GpuError::Damaged`] if it is none of this version, or its numbers make no sense.
    pub fn read(bytes: &[u8]) -> Result<Self, GpuError> {
        let (kind, rest) = bytes.split_first_chunk().ok_or(DAMAGED)?;
        match kind {
            OFFER => Offer::read(rest).map(|offer| Self::Offer(Box::new(offer))),
            PLACES => Places::read(rest).map(Self::Places),
            _ => Err(DAMAGED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DeviceId;

    const SLOT: SlotNote = SlotNote { arena: 1, index: 2, generation: 3, len: 100, event: None };

    fn offer() -> Offer {
        let device = DeviceId::from_bytes([7; 16]);
        let arena = ArenaNote { device, id: 1, size: 4 << 20, granule: 2 << 20, maker: 9 };
        Offer { arena, trial: SLOT, refusal: SlotNote { index: 6, ..SLOT }, replaces: 4 }
    }

    fn places() -> Places {
        let row = |buffer, slot, from, len| Place { buffer, slot, from, len };
        let rows = vec![row(0, 1, 0, 100), row(3, 0, 99, 1), row(4, 0, 100, 0)];
        Places { slots: vec![SLOT, SlotNote { arena: 5, ..SLOT }], rows }
    }

    #[test]
    fn what_goes_beside_is_read_as_written() {
        assert_eq!(Beside::read(&offer().bytes()), Ok(Beside::Offer(Box::new(offer()))));
        for places in [places(), Places::default()] {
            assert_eq!(Beside::read(&places.bytes()), Ok(Beside::Places(places)));
        }
    }

    #[test]
    fn what_is_cut_or_lies_is_refused() {
        for whole in [offer().bytes(), places().bytes()] {
            // Rows that are missing altogether are other places.
            let rows = if whole.starts_with(PLACES) { PLACE } else { 1 };
            for cut in (0..whole.len()).filter(|cut| (whole.len() - cut) % rows != 0) {
                assert!(Beside::read(&whole[..cut]).is_err(), "cut at {cut}");
            }
            assert!(Beside::read(&[&whole[..], &[0]].concat()).is_err());
            for wrong in 0..8 {
                let mut other = whole.clone();
                other[wrong] ^= 1;
                assert!(Beside::read(&other).is_err(), "kind or version");
            }
        }
        let row = places().rows[1];
        for wrong in [
            Place { len: 2, ..row },
            Place { from: u64::MAX, ..row },
            Place { slot: 2, ..row },
            Place { buffer: 4, ..row },
            Place { buffer: u64::MAX, ..row },
        ] {
            let mut places = places();
            places.rows[1] = wrong;
            assert!(Beside::read(&places.bytes()).is_err(), "{wrong:?}");
        }
        let many = [&PLACES[..], &u64::MAX.to_le_bytes()].concat();
        assert!(Beside::read(&many).is_err());
    }
}
