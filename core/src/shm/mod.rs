//! Memory that processes share: an arena of slots, lent and given back.
//!
//! One sparse file in memory is mapped by every process that takes part. Its head is a table of slots
//! ([`layout`]); who wants to send claims one, fills it and publishes it; a reference of a few bytes
//! travels by other means; the receiver takes the slot and reads where it lies. When its last view is gone
//! the slot is free again, its pages warm for the next message.
//!
//! | state | owner | ends by |
//! |---|---|---|
//! | free | nobody | a claim, under the lock |
//! | writing | the sender | publish; abandon |
//! | sent | the sender | a take; withdrawal |
//! | kept | the sender | withdrawal: any number may take it until then, each with a hold of its own |
//! | taken | the receiver, or nobody but holds | the last holder lets go |
//!
//! A slot's state is one word: generation, owner, kind. Every step is one exchange of that word, so a process
//! killed at any instruction leaves each slot in one of the states above, with the owner in it. Memory is
//! claimed under a lock that bears its holder's stamp; where the holder is dead the lock is taken over, and as
//! nothing but published slots counts, there is nothing to repair. Survivors free what dead processes own
//! ([`Arena::reclaim`]; a claim that finds no room does it by itself).
//!
//! What is sent and not yet taken is not freed with its sender at once: the message may still arrive. It goes when
//! somebody says that it will not, or where memory is short
//! [`limits::UNCLAIMED_MS`](crate::limits::UNCLAIMED_MS) after it was sent.
//!
//! Those who map an arena trust one another as threads do: each can write anywhere in it.

mod arena;
pub mod content;
mod error;
pub mod fork;
#[allow(unsafe_code, reason = "the head of a segment seen as a table of atomics")]
mod layout;
#[allow(unsafe_code, reason = "slots as raw memory, filled and read by their holders alone")]
mod lease;
mod lock;
mod people;
mod segment;
mod slots;
mod warm;

pub use arena::Arena;
pub use content::{HEAD, Message, Parts, Place};
pub use error::ShmError;
pub use lease::{Lease, Reservation};
pub use slots::SlotRef;

#[cfg(test)]
mod tests;
