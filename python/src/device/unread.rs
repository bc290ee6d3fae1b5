//! What a process has sent to devices' memory and nobody has read: after a while it makes room there, and its bytes wait on the
//! host.

use ferropickle_core::buffer::Buffer;
use ferropickle_gpu::DeviceArena;
use ferropickle_gpu::wire::SlotNote;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long a message may be on its way, where others want its room.
const PATIENCE: Duration = Duration::from_secs(5);

/// When so many messages are remembered, those that were read are forgotten.
const FORGET: usize = 256;

/// Names a message: arena, slot and use of it.
type Name = (u64, u32, u32);

fn name_of(note: &SlotNote) -> Name {
    (note.arena, note.index, note.generation)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Messages on their way. `arena_of` gives the arena of a number, as long as it is kept.
#[derive(Default)]
pub struct Unread {
    sent: Mutex<Vec<(SlotNote, Instant)>>,
    on_host: Mutex<HashMap<Name, Buffer>>,
}

impl Unread {
    /// A message was put into an arena.
    pub fn add(&self, note: SlotNote, arena_of: impl Fn(u64) -> Option<DeviceArena>) {
        let mut sent = core::mem::take(&mut *locked(&self.sent));
        if sent.len() >= FORGET {
            sent.retain(|(note, _)| arena_of(note.arena).is_some_and(|a| a.is_unread(note)));
        }
        sent.push((note, Instant::now()));
        locked(&self.sent).append(&mut sent);
    }

    /// Brings messages to the host that have waited for long. Waits for the device.
    pub fn make_room(&self, arena_of: impl Fn(u64) -> Option<DeviceArena>) {
        let sent = core::mem::take(&mut *locked(&self.sent));
        for (note, since) in sent {
            let Some(arena) = arena_of(note.arena).filter(|arena| arena.is_unread(&note)) else {
                continue;
            };
            if since.elapsed() >= PATIENCE
                && let Ok(bytes) = arena.take_bytes(&note)
            {
                locked(&self.on_host).insert(name_of(&note), bytes.into());
            } else {
                // One that was read meanwhile is seen to next time.
                locked(&self.sent).push((note, since));
            }
        }
    }

    /// A message that waits on the host, which does not any more.
    pub fn take(&self, note: &SlotNote) -> Option<Buffer> {
        let mut on_host = locked(&self.on_host);
        let known = on_host.get(&name_of(note)).is_some_and(|b| b.len() as u64 == note.len);
        if known { on_host.remove(&name_of(note)) } else { None }
    }

    /// How many messages wait on the host.
    pub fn len(&self) -> usize {
        locked(&self.on_host).len()
    }

    /// Forgets all.
    pub fn clear(&self) {
        let sent = core::mem::take(&mut *locked(&self.sent));
        let on_host = core::mem::take(&mut *locked(&self.on_host));
        drop((sent, on_host));
    }
}
