//! Allocations of other processes, opened once and kept: to open one takes longer than to copy most of what is in it, and to
//! close one waits for the device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferropickle_core::sys::process::Stamp;

use super::device::{Current, Device};
use super::ipc::{ForeignBlock, export_block};
use super::pointer::ask;
use crate::api::{Export, GpuError, Memory};
use crate::wire::BlockNote;

/// So many are kept; beyond that, those that nobody uses are closed, the longest unused first.
const KEPT: usize = 64;

/// The allocations of other processes that a device's users have opened.
#[derive(Default)]
pub(super) struct Blocks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the process that has it, and where it begins there.
    open: HashMap<(u64, u64), Entry>,
    uses: u64,
}

struct Entry {
    /// An address is used again, this number is not.
    buffer: u64,
    size: u64,
    block: Arc<ForeignBlock>,
    used: u64,
}

impl Blocks {
    /// The allocation that a note names, opened if it is not, or if another is there by now.
    pub fn open(
        &self,
        device: &Arc<Device>,
        current: &Current<'_>,
        note: &BlockNote,
    ) -> Result<Arc<ForeignBlock>, GpuError> {
        let mut closed = Vec::new();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.uses += 1;
        let (key, used) = ((note.maker, note.base), state.uses);
        if let Some(entry) = state.open.get_mut(&key) {
            if entry.buffer == note.buffer && entry.size == note.size {
                entry.used = used;
                return Ok(entry.block.clone());
            }
            closed.extend(state.open.remove(&key));
        }
        closed.extend(state.shrink());
        let block = Arc::new(ForeignBlock::open(device, current, note.handle)?);
        // What the driver knows about it has the last word; if it knows nothing, the handle has.
        let end = block.address.saturating_add(note.size);
        if ask(current, block.address)?
            .is_some_and(|found| found.base.saturating_add(found.size) < end)
        {
            return Err(GpuError::Damaged("shared memory is smaller than its note says"));
        }
        let entry = Entry { buffer: note.buffer, size: note.size, block: block.clone(), used };
        state.open.insert(key, entry);
        // What is closed is closed without the lock.
        drop(state);
        drop(closed);
        Ok(block)
    }
}

impl State {
    /// Takes out what there is no room for.
    fn shrink(&mut self) -> Vec<Entry> {
        let mut taken = Vec::new();
        while self.open.len() >= KEPT {
            let idle = self.open.iter().filter(|(_, entry)| Arc::strong_count(&entry.block) == 1);
            let Some(key) = idle.min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key) else {
                break;
            };
            taken.extend(self.open.remove(&key));
        }
        taken
    }
}

/// The note for `len` bytes at an address, and of whom the whole allocation is.
///
/// # Errors
///
/// [`GpuError::Unshareable`] if the allocation cannot be opened by others; [`GpuError::NotThere`].
pub(super) fn note_of(
    device: &Device,
    current: &Current<'_>,
    address: u64,
    len: u64,
) -> Result<BlockNote, GpuError> {
    let missing = GpuError::NotThere { address, bytes: len, device: device.id() };
    let found = ask(current, address)?.filter(|found| {
        found.memory == Memory::Device && found.ordinal as usize == device.ordinal()
    });
    let found = found.ok_or(missing.clone())?;
    let (offset, end) = (address.checked_sub(found.base), address.checked_add(len));
    let fits = end.is_some_and(|end| end <= found.base.saturating_add(found.size));
    let offset = offset.filter(|_| fits).ok_or(missing)?;
    if found.export != Export::Legacy {
        return Err(GpuError::Unshareable("the memory was not allocated to be shared"));
    }
    let handle = export_block(current, found.base)?;
    Ok(BlockNote {
        device: device.id(),
        maker: Stamp::own().word(),
        base: found.base,
        size: found.size,
        buffer: found.buffer,
        offset,
        len,
        handle,
    })
}
