//! What iterators of reduce values give: items for a list, pairs for a dict, in
//! batches.

use super::frame::{Batch, Frame, IterState};
use super::{Stop, Walker};
use crate::error::Raised;
use crate::fast::{self, Exc, Obj, Own};
use ferropickle_core::limits::BATCH_ITEMS;
use ferropickle_core::opcode::Op;

/// What comes next from an iterator.
struct Next {
    item: Own,
    /// The one after it, if it belongs to the same batch.
    following: Option<Own>,
    /// How many the batch has with this one.
    in_batch: u32,
    batch: Batch,
}

impl Walker {
    /// Appends what an iterator gives to the object written last.
    pub(super) fn push_items(&mut self, iter: Obj) -> Result<(), Stop> {
        let batch = if self.enc.binary() { Batch::Marked } else { Batch::Each };
        self.push(Frame::Items {
            iter,
            ahead: None,
            in_batch: 0,
            batch,
            count: 0,
            item: None,
            state: IterState::Begin,
        })
    }

    /// Sets the pairs that an iterator gives in the object written last.
    pub(super) fn push_pairs(&mut self, iter: Obj) -> Result<(), Stop> {
        let batch = if self.enc.binary() { Batch::Marked } else { Batch::Each };
        self.push(Frame::Pairs {
            iter,
            ahead: None,
            pair: None,
            in_batch: 0,
            batch,
            state: IterState::Begin,
        })
    }

    pub(super) fn step_items(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        let next = self.next_in_batch(depth, Op::Append, Op::Appends, fast::iter_next)?;
        let Some(Next { item, following, in_batch, batch }) = next else { return Ok(()) };
        self.set_ahead(depth, following);
        if let Frame::Items { in_batch: b, batch: how, count: c, item: i, state, .. } =
            &mut self.frames[depth]
        {
            *i = Some(item.obj());
            *b = in_batch;
            *how = batch;
            *c += 1;
            *state = IterState::After;
        }
        self.save_fetched(item)
    }

    pub(super) fn step_pairs(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len() - 1;
        if let Frame::Pairs { pair, state, .. } = &mut self.frames[depth]
            && *state == IterState::Value
        {
            let Some(pair) = *pair else { unreachable!("a key was written, so there is a pair") };
            *state = IterState::After;
            self.save(fast::tuple_get(pair, 1))?;
            return Ok(());
        }
        let next = self.next_in_batch(depth, Op::Setitem, Op::Setitems, next_pair)?;
        let Some(Next { item: next, following, in_batch, batch }) = next else { return Ok(()) };
        self.set_ahead(depth, following);
        let key = fast::tuple_get(next.obj(), 0);
        let pure = self.pure;
        let kept = next.obj();
        if pure {
            self.pin(next);
        } else {
            let _ = next.into_ptr();
        }
        if let Frame::Pairs { pair, in_batch: b, batch: how, state, .. } = &mut self.frames[depth] {
            let old = pair.replace(kept);
            *b = in_batch;
            *how = batch;
            *state = IterState::Value;
            if !pure && let Some(old) = old {
                old.decref();
            }
        }
        self.save(key)?;
        Ok(())
    }

    /// Asks for what comes next, after the opcodes that what came before wants:
    /// `one` after each by itself, `all` after a batch. Nothing where a batch
    /// ended, or all, with the frame taken off then.
    ///
    /// As `batch_list` and `batch_dict` in `Modules/_pickle.c`: a batch is opened
    /// once its second item is known.
    fn next_in_batch(
        &mut self,
        depth: usize,
        one: Op,
        all: Op,
        fetch: impl Fn(Obj) -> Result<Option<Own>, Raised>,
    ) -> Result<Option<Next>, Stop> {
        self.boundary()?;
        let (Frame::Items { iter, ahead, in_batch, batch, state, .. }
        | Frame::Pairs { iter, ahead, in_batch, batch, state, .. }) = &mut self.frames[depth]
        else {
            unreachable!("the caller looked at the frame")
        };
        let before = core::mem::replace(state, IterState::Begin);
        let (iter, ahead, count, batch) = (*iter, *ahead, *in_batch, *batch);
        let alone = |item, batch| Next { item, following: None, in_batch: 1, batch };
        if before == IterState::Begin {
            let Some(first) = fetch(iter)? else {
                self.pop();
                return Ok(None);
            };
            if batch == Batch::Each {
                return Ok(Some(alone(first, batch)));
            }
            let Some(second) = fetch(iter)? else {
                return Ok(Some(alone(first, Batch::Single)));
            };
            self.op(Op::Mark);
            let following = Some(second);
            return Ok(Some(Next { item: first, following, in_batch: 1, batch: Batch::Marked }));
        }
        match (batch, ahead) {
            (Batch::Each, _) => {
                self.op(one);
                let next = fetch(iter)?;
                if next.is_none() {
                    self.pop();
                }
                Ok(next.map(|item| alone(item, batch)))
            }
            (Batch::Single, _) => {
                self.op(one);
                self.pop();
                Ok(None)
            }
            (Batch::Marked, Some(item)) => {
                let item = item.own();
                let following = if count + 1 == BATCH_ITEMS { None } else { fetch(iter)? };
                Ok(Some(Next { item, following, in_batch: count + 1, batch }))
            }
            (Batch::Marked, None) => {
                *in_batch = 0;
                self.op(all);
                if count < BATCH_ITEMS {
                    self.pop();
                }
                Ok(None)
            }
        }
    }

    /// Saves an object that an iterator made: alive until it is written, and
    /// pinned in the pure state, where nothing else would keep it.
    pub(super) fn save_fetched(&mut self, item: Own) -> Result<(), Stop> {
        let obj = item.obj();
        if self.pure {
            self.pin(item);
            self.save(obj)?;
        } else {
            self.save(obj)?;
            drop(item);
        }
        Ok(())
    }

    /// Stores the item that comes after the one being written.
    fn set_ahead(&mut self, depth: usize, following: Option<Own>) {
        let pure = self.pure;
        let following = following.map(|own| {
            let obj = own.obj();
            if pure {
                self.pin(own);
            } else {
                let _ = own.into_ptr();
            }
            obj
        });
        if let Frame::Items { ahead, .. } | Frame::Pairs { ahead, .. } = &mut self.frames[depth] {
            let old = core::mem::replace(ahead, following);
            if let Some(old) = old
                && !pure
            {
                old.decref();
            }
        }
    }
}

/// A pair of an iterator over the items of a dict.
fn next_pair(iter: Obj) -> Result<Option<Own>, Raised> {
    let Some(pair) = fast::iter_next(iter)? else { return Ok(None) };
    if !fast::is_tuple(pair.ty()) || fast::tuple_len(pair.obj()) != 2 {
        let text = "dict items iterator must return 2-tuples";
        return Err(Raised::new(Exc::TypeError, text));
    }
    Ok(Some(pair))
}
