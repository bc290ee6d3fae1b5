//! What a process has sent to devices' memory and nobody has read: after a while it makes room there, and its bytes wait on the
//! host.

use ferropickle_core::buffer::Buffer;
use ferropickle_gpu::DeviceArena;
use ferropickle_gpu::wire::SlotNote;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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
    /// `None` is of one on its way to the host: it may lie neither there nor in its arena.
    on_host: Mutex<HashMap<Name, Option<Buffer>>>,
    moved: Condvar,
}

/// A message on its way to the host; dropped, it is no more.
struct Moving<'a> {
    unread: &'a Unread,
    name: Name,
}

impl Moving<'_> {
    fn has_come(self, bytes: Buffer) {
        locked(&self.unread.on_host).insert(self.name, Some(bytes));
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        let mut on_host = locked(&self.unread.on_host);
        if on_host.get(&self.name).is_some_and(Option::is_none) {
            on_host.remove(&self.name);
        }
        self.unread.moved.notify_all();
    }
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
            if since.elapsed() >= PATIENCE {
                let moving = self.moving(&note);
                if let Ok(bytes) = arena.take_bytes(&note) {
                    moving.has_come(bytes.into());
                    continue;
                }
            }
            // One that was read meanwhile is seen to next time.
            locked(&self.sent).push((note, since));
        }
    }

    fn moving(&self, note: &SlotNote) -> Moving<'_> {
        let name = name_of(note);
        locked(&self.on_host).insert(name, None);
        Moving { unread: self, name }
    }

    /// Whether a message waits on the host, or is on its way there.
    pub fn has(&self, note: &SlotNote) -> bool {
        locked(&self.on_host).contains_key(&name_of(note))
    }

    /// A message that waits on the host, which does not any more. Waits for one that is on its way there: not with the GIL held.
    pub fn take(&self, note: &SlotNote) -> Option<Buffer> {
        let name = name_of(note);
        let mut on_host = locked(&self.on_host);
        while on_host.get(&name).is_some_and(Option::is_none) {
            on_host = self.moved.wait(on_host).unwrap_or_else(PoisonError::into_inner);
        }
        let known = on_host.get(&name).and_then(Option::as_ref);
        known.filter(|bytes| bytes.len() as u64 == note.len)?;
        on_host.remove(&name).flatten()
    }

    /// How many messages wait on the host, or are on their way there.
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
