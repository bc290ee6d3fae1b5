//! Memory as a kernel sees it: every access is checked.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::driver::State;
use crate::space::{Kind, Range};
use crate::status::Status;

/// The ranges that were there when the kernel started.
pub struct View {
    ranges: Vec<Arc<Range>>,
    device: usize,
    peers: HashSet<usize>,
    /// The range that was used last: the next access is mostly there too.
    last: Cell<usize>,
}

impl View {
    /// What a kernel in this context may see.
    pub fn new(state: &State, context: u64) -> Self {
        let own = state.contexts.get(&context);
        Self {
            ranges: state.space.iter().cloned().collect(),
            device: own.map_or(0, |c| c.device),
            peers: own.map(|c| c.peers.clone()).unwrap_or_default(),
            last: Cell::new(0),
        }
    }

    /// The range with these bytes, and where in its memory they start; else the status and what is wrong.
    pub fn find(
        &self,
        address: u64,
        length: u64,
        write: bool,
    ) -> Result<(&Range, u64), (Status, String)> {
        let illegal = |why: String| Err((Status::ILLEGAL_ADDRESS, why));
        let holds =
            |i: &usize| self.ranges.get(*i).is_some_and(|r| r.base <= address && address < r.end());
        let at = Some(self.last.get())
            .filter(holds)
            .unwrap_or_else(|| self.ranges.partition_point(|r| r.base <= address).wrapping_sub(1));
        let Some(range) = self.ranges.get(at) else {
            return illegal("where nothing is".into());
        };
        if address - range.base >= range.size {
            let past = address - range.end();
            return illegal(if past < 1 << 20 {
                format!("{past} bytes after the end of {} bytes at {:#x}", range.size, range.base)
            } else {
                "where nothing is".into()
            });
        }
        if address + length > range.end() {
            return illegal(format!("across the end of {} bytes at {:#x}", range.size, range.base));
        }
        if let Err(why) = range.usable() {
            return illegal(why.into());
        }
        if !self.may(range, write) {
            return illegal(format!("in memory of device {} without access to it", range.device));
        }
        self.last.set(at);
        Ok((range, range.offset + (address - range.base)))
    }

    fn may(&self, range: &Range, write: bool) -> bool {
        match range.kind {
            Kind::Mapped => {
                let bit = 2 * self.device + usize::from(write);
                range.access.load(Ordering::SeqCst) >> bit & 1 != 0
            }
            Kind::Pinned | Kind::Registered | Kind::Managed => true,
            _ => range.device == self.device || self.peers.contains(&range.device),
        }
    }
}
