//! NumPy arrays for ferropickle: between `ferropickle-core`, which knows buffers and no Python, and the
//! extension, which knows Python and no array layout.
//!
//! An array is *viewed* on dump (its memory becomes a buffer, without a copy where [`Route`] allows it) and
//! *rebuilt* on load (a buffer becomes the memory of a new array, which keeps the buffer's owner alive).
//! This crate holds, so far, the types in which both directions speak: [`Order`], [`Route`], [`ArrayShape`].
//!
//! NumPy itself is never imported from here: an array can only come from a process that has imported it.

use std::fmt;

/// The order in which the elements of an array lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// The last index runs fastest.
    #[default]
    C,
    /// The first index runs fastest.
    F,
}

/// How the elements of an array travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// The memory is contiguous and goes as one buffer, without a copy.
    Buffer(Order),
    /// The memory is strided, so its elements are first gathered into a new buffer in this order.
    Gather(Order),
    /// The elements are Python objects, and each is walked like any other.
    Objects(Order),
    /// An element type that only its own `__reduce_ex__` knows how to send.
    Reduce,
}

impl Route {
    /// Whether the elements are copied before they are sent.
    pub const fn copies(self) -> bool {
        matches!(self, Self::Gather(_))
    }
}

/// The shape of an array, with what follows from it checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArrayShape {
    dims: Vec<usize>,
    len_bytes: usize,
}

impl ArrayShape {
    /// An array of `dims` with elements of `item_bytes`, or `None` if its size is more than memory can be.
    ///
    /// A shape with a 0 in it has no elements, whatever its other lengths are.
    pub fn new(dims: &[usize], item_bytes: usize) -> Option<Self> {
        let len_bytes = if dims.contains(&0) {
            0
        } else {
            dims.iter()
                .try_fold(item_bytes, |size, &n| size.checked_mul(n))
                .filter(|&n| n <= isize::MAX as usize)?
        };
        Some(Self { dims: dims.to_vec(), len_bytes })
    }

    /// The lengths, one for each index.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// How many bytes the elements take.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

/// Writes the shape as Python does: `()`, `(3,)`, `(3, 4)`.
impl fmt::Display for ArrayShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dims.as_slice() {
            [one] => write!(f, "({one},)"),
            dims => {
                f.write_str("(")?;
                for (i, n) in dims.iter().enumerate() {
                    write!(f, "{}{n}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_knows_its_bytes() {
        let shape = |dims: &[usize], item| ArrayShape::new(dims, item).map(|s| s.len_bytes());
        assert_eq!(shape(&[], 8), Some(8));
        assert_eq!(shape(&[3, 4], 8), Some(96));
        assert_eq!(shape(&[usize::MAX, 0, usize::MAX], 8), Some(0));
        assert_eq!(shape(&[1 << 32, 1 << 32], 1), None);
        assert_eq!(shape(&[isize::MAX as usize + 1], 1), None);
    }

    #[test]
    fn a_shape_is_written_as_python_writes_it() {
        let text = |dims: &[usize]| ArrayShape::new(dims, 1).unwrap().to_string();
        assert_eq!([text(&[]), text(&[3]), text(&[3, 4])], ["()", "(3,)", "(3, 4)"]);
    }

    #[test]
    fn only_gathering_copies() {
        assert!(Route::Gather(Order::C).copies());
        assert!(
            !Route::Buffer(Order::F).copies()
                && !Route::Objects(Order::C).copies()
                && !Route::Reduce.copies()
        );
    }
}
