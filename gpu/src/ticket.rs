//! A [`Ticket`]: what stands before a message whose buffers lie in arenas, in part or all, where the message carries no
//! descriptors and its sender does not know who will read it. No driver. What comes from another process is checked before it
//! is used.

use crate::api::GpuError;
use crate::beside::{Beside, Offer, Places};

/// The first byte is no opcode, so that no pickle stream begins with it.
const MAGIC: &[u8; 4] = b"\xfbFT\x01";
const DAMAGED: GpuError = GpuError::Damaged("what stands before a message makes no sense");

/// No address is longer: those of sockets are not.
const LONGEST_ADDRESS: u32 = 107;

/// What a reader needs to come by the buffers of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// Where the sender is to be asked for its arenas.
    pub address: Vec<u8>,
    /// Arenas that the reader may ask for, to be ready when messages lie in them.
    pub offers: Vec<Offer>,
    /// Where buffers lie, if any do.
    pub places: Option<Places>,
}

impl Ticket {
    /// As bytes, behind which the message goes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut asides: Vec<Vec<u8>> = self.offers.iter().map(Offer::bytes).collect();
        asides.extend(self.places.iter().map(Places::bytes));
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.address.len() as u32).to_le_bytes());
        bytes.extend((asides.len() as u64).to_le_bytes());
        bytes.extend(&self.address);
        for aside in asides {
            bytes.extend((aside.len() as u64).to_le_bytes());
            bytes.extend(aside);
        }
        bytes
    }

    /// Reads one, and says where the message begins.
    ///
    /// # Errors
    ///
    /// [`GpuError::Damaged`] if it is none of this version, is cut, or its numbers make no sense.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), GpuError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(DAMAGED)?;
        let (len, rest) = rest.split_first_chunk().ok_or(DAMAGED)?;
        let (count, rest) = rest.split_first_chunk().ok_or(DAMAGED)?;
        let len = u32::from_le_bytes(*len);
        if len > LONGEST_ADDRESS {
            return Err(DAMAGED);
        }
        let (address, mut rest) = rest.split_at_checked(len as usize).ok_or(DAMAGED)?;
        let mut ticket = Self { address: address.to_vec(), ..Self::default() };
        for _ in 0..u64::from_le_bytes(*count) {
            let (len, behind) = rest.split_first_chunk().ok_or(DAMAGED)?;
            let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| DAMAGED)?;
            let (aside, behind) = behind.split_at_checked(len).ok_or(DAMAGED)?;
            match Beside::read(aside)? {
                Beside::Offer(offer) => ticket.offers.push(*offer),
                Beside::Places(places) if ticket.places.is_none() => ticket.places = Some(places),
                Beside::Places(_) => return Err(DAMAGED),
            }
            rest = behind;
        }
        Ok((ticket, bytes.len() - rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DeviceId;
    use crate::beside::Place;
    use crate::wire::{ArenaNote, SlotNote};

    fn ticket() -> Ticket {
        let slot = SlotNote { arena: 1, index: 2, generation: 3, len: 100, event: None };
        let device = DeviceId::from_bytes([7; 16]);
        let arena = ArenaNote { device, id: 1, size: 4 << 20, granule: 2 << 20, maker: 9 };
        let offer = Offer { arena, trial: slot, refusal: slot, replaces: 0 };
        let rows = vec![Place { buffer: 0, slot: 0, from: 0, len: 100 }];
        let places = Some(Places { slots: vec![slot], rows });
        Ticket { address: b"\0somewhere".to_vec(), offers: vec![offer, offer], places }
    }

    #[test]
    fn a_ticket_is_read_as_written_with_what_is_behind_it() {
        for ticket in [ticket(), Ticket::default(), Ticket { places: None, ..ticket() }] {
            let bytes = ticket.bytes();
            let whole = [&bytes[..], b"the message"].concat();
            assert_eq!(Ticket::read(&whole), Ok((ticket, bytes.len())));
        }
    }

    #[test]
    fn what_is_cut_or_lies_is_refused() {
        let whole = ticket().bytes();
        for cut in 0..whole.len() {
            assert!(Ticket::read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for wrong in 0..4 {
            let mut other = whole.clone();
            other[wrong] ^= 1;
            assert!(Ticket::read(&other).is_err(), "kind or version");
        }
        let long = Ticket { address: vec![0; LONGEST_ADDRESS as usize + 1], ..ticket() };
        assert!(Ticket::read(&long.bytes()).is_err(), "an address that no socket has");
        let mut many = whole.clone();
        many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Ticket::read(&many).is_err(), "more than there is");
        let mut twice = Ticket { offers: Vec::new(), ..ticket() }.bytes();
        let places = twice[16 + ticket().address.len()..].to_vec();
        twice.extend(places);
        twice[8] = 2;
        assert!(Ticket::read(&twice).is_err(), "places that contradict each other");
    }
}
