//! Dicts with keys that were met before in the same order, as records have
//! them: one dict of each such shape is kept, copied whole and given other
//! values, so that no key is looked up again.

use crate::error::Raised;
use crate::fast::{self, Own};

/// Shapes remembered, by their first key and how many there are.
const SHAPES: usize = 16;
/// Pairs from which on a copy is quicker, and up to which it is tried.
const LEAST_PAIRS: usize = 3;
const MOST_PAIRS: usize = 64;
/// Dicts with the same first key and other keys after it, until the shape is
/// given up.
const MOST_MISSES: u8 = 8;

/// The shapes met in a load.
#[derive(Default)]
pub struct Shapes([Shape; SHAPES]);

#[derive(Default)]
struct Shape {
    first: usize,
    pairs: usize,
    /// A dict with these keys, which nobody else sees.
    model: Option<Own>,
    misses: u8,
}

impl Shapes {
    /// Takes the pairs from `from` on off the stack as a dict, if their keys
    /// were met before.
    #[inline(always)]
    pub fn dict(&mut self, stack: &mut Vec<Own>, from: usize) -> Result<Option<Own>, Raised> {
        let pairs = (stack.len() - from) / 2;
        if !(LEAST_PAIRS..=MOST_PAIRS).contains(&pairs) {
            return Ok(None);
        }
        let first = stack[from].obj().addr();
        let shape = &mut self.0[(first >> 4 ^ first >> 9 ^ pairs) % SHAPES];
        if shape.first == first
            && shape.pairs == pairs
            && let Some(model) = &shape.model
            && fast::dict_has_keys(model.obj(), &stack[from..])
        {
            return fast::dict_like(model.obj(), stack, from);
        }
        shape.note(first, &stack[from..])?;
        Ok(None)
    }
}

impl Shape {
    /// A dict that is not of this shape, or whose shape is not made yet.
    fn note(&mut self, first: usize, pairs: &[Own]) -> Result<(), Raised> {
        if self.first != first || self.pairs != pairs.len() / 2 {
            *self = Shape { first, pairs: pairs.len() / 2, ..Shape::default() };
        } else if self.misses == MOST_MISSES {
            self.model = None;
        } else if self.model.is_some() {
            self.misses += 1;
        } else {
            self.model = fast::dict_model(pairs)?;
            self.misses += u8::from(self.model.is_none());
        }
        Ok(())
    }
}
