//! How the elements of an array lie in memory: arithmetic of lengths and
//! strides, on no memory at all.

/// One axis of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Elements along the axis.
    pub len: usize,
    /// Bytes from one element to the next; negative or 0 too.
    pub stride: isize,
}

/// Most arrays have few axes: those need no memory of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Axes {
    Few([Axis; FEW], usize),
    Many(Vec<Axis>),
}

const FEW: usize = 3;

impl Axes {
    fn new(axes: impl IntoIterator<Item = Axis>) -> Axes {
        let mut axes = axes.into_iter();
        let (mut few, mut count) = ([Axis { len: 0, stride: 0 }; FEW], 0);
        for axis in axes.by_ref().take(FEW) {
            few[count] = axis;
            count += 1;
        }
        match axes.next() {
            None => Axes::Few(few, count),
            Some(next) => Axes::Many(few.into_iter().chain([next]).chain(axes).collect()),
        }
    }

    fn as_slice(&self) -> &[Axis] {
        match self {
            Axes::Few(axes, count) => &axes[..*count],
            Axes::Many(axes) => axes,
        }
    }
}

/// Elements of one size, at places that the axes give, outermost axis first.
/// Offsets are counted from the element whose indices are all 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    axes: Axes,
    item_bytes: usize,
    len_bytes: usize,
    /// Bytes before the first element, and from it to the end of the last.
    before: usize,
    after: usize,
}

impl Layout {
    /// The layout of an array; `None` if it reaches further than memory can.
    pub fn new(axes: impl IntoIterator<Item = Axis>, item_bytes: usize) -> Option<Layout> {
        let axes = Axes::new(axes);
        let all = axes.as_slice();
        let whole = |size: &usize| *size <= isize::MAX as usize;
        if all.iter().any(|axis| axis.len == 0) {
            return Some(Layout { axes, item_bytes, len_bytes: 0, before: 0, after: 0 });
        }
        let len_bytes =
            all.iter().try_fold(item_bytes, |n, axis| n.checked_mul(axis.len)).filter(whole)?;
        let (mut before, mut after) = (0usize, item_bytes);
        for axis in all {
            let reach = axis.stride.unsigned_abs().checked_mul(axis.len - 1)?;
            let side = if axis.stride < 0 { &mut before } else { &mut after };
            *side = side.checked_add(reach).filter(whole)?;
        }
        Some(Layout { axes, item_bytes, len_bytes, before, after })
    }

    /// The axes, outermost first.
    pub fn axes(&self) -> &[Axis] {
        self.axes.as_slice()
    }

    /// Bytes of one element.
    pub fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    /// Bytes of all elements together.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Bytes of memory that lie before the first element.
    pub fn before(&self) -> usize {
        self.before
    }

    /// Bytes from the lowest to the highest that an element has.
    pub fn extent(&self) -> usize {
        self.before + self.after
    }

    /// Whether the memory from the lowest byte to the highest is less than the
    /// elements are, or as much with no axis running backwards: sent whole, it
    /// costs nothing.
    pub fn is_compact(&self) -> bool {
        let extent = self.extent();
        extent < self.len_bytes || extent == self.len_bytes && self.before == 0
    }

    /// The elements that are not the same by a stride of 0, and the strides that
    /// give all of them once these are packed, the last index fastest; `None` if
    /// no stride is 0.
    pub fn distinct(&self) -> Option<(Layout, Vec<isize>)> {
        let repeats = |axis: &Axis| axis.stride == 0 && axis.len > 1;
        if !self.axes().iter().any(repeats) {
            return None;
        }
        let once = |axis: &Axis| if repeats(axis) { Axis { len: 1, stride: 0 } } else { *axis };
        let distinct = Layout::new(self.axes().iter().map(once), self.item_bytes)?;
        let mut next = self.item_bytes as isize;
        let mut strides: Vec<isize> = (self.axes().iter().rev())
            .map(|axis| {
                if repeats(axis) {
                    return 0;
                }
                let stride = next;
                next *= axis.len as isize;
                stride
            })
            .collect();
        strides.reverse();
        Some((distinct, strides))
    }

    /// Whether each axis steps over all that the closer ones reach: then no two
    /// elements have a byte in common.
    pub fn is_nested(&self) -> bool {
        let mut axes: Vec<Axis> = self.axes().iter().copied().filter(|axis| axis.len > 1).collect();
        axes.sort_by_key(|axis| axis.stride.unsigned_abs());
        let mut reach = self.item_bytes;
        self.len_bytes == 0
            || axes.iter().all(|axis| {
                let step = axis.stride.unsigned_abs();
                let clear = step >= reach;
                reach = reach.saturating_add(step.saturating_mul(axis.len - 1));
                clear
            })
    }

    /// The fewest axes that give the same elements in the same order, and the
    /// bytes of the blocks that they step over.
    pub fn blocks(&self) -> (Vec<Axis>, usize) {
        let mut axes: Vec<Axis> = Vec::with_capacity(self.axes().len());
        for &axis in self.axes().iter().filter(|axis| axis.len != 1) {
            match axes.last_mut() {
                Some(outer) if outer.stride == axis.stride.wrapping_mul(axis.len as isize) => {
                    *outer = Axis { len: outer.len * axis.len, stride: axis.stride };
                }
                _ => axes.push(axis),
            }
        }
        let mut block = self.item_bytes;
        while let Some(inner) = axes.last()
            && inner.stride == block as isize
        {
            block *= inner.len;
            axes.pop();
        }
        (axes, block)
    }

    /// Whether an element of this array, whose first is at `at`, may share
    /// memory with one of another. False is certain; true may be too careful.
    pub fn may_meet(&self, at: usize, other: &Layout, other_at: usize) -> bool {
        if self.len_bytes == 0 || other.len_bytes == 0 {
            return false;
        }
        let (low, other_low) = (at - self.before, other_at - other.before);
        if low + self.extent() <= other_low || other_low + other.extent() <= low {
            return false;
        }
        // All blocks of both begin at multiples of this from their lowest.
        let (axes, block) = self.blocks();
        let (other_axes, other_block) = other.blocks();
        let all = axes.iter().chain(&other_axes).map(|axis| axis.stride.unsigned_abs());
        let step = all.fold(0, common_divisor);
        if step == 0 {
            return true;
        }
        let ahead = (other_low as isize).wrapping_sub(low as isize).rem_euclid(step as isize);
        let ahead = ahead as usize;
        ahead < block || ahead + other_block > step
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(axes: &[(usize, isize)], item_bytes: usize) -> Layout {
        let axes = axes.iter().map(|&(len, stride)| Axis { len, stride });
        Layout::new(axes, item_bytes).expect("fits")
    }

    #[test]
    fn extents() {
        let dense = layout(&[(3, 32), (4, 8)], 8);
        assert_eq!((dense.len_bytes(), dense.before(), dense.extent()), (96, 0, 96));
        let backwards = layout(&[(5, -8)], 8);
        assert_eq!((backwards.before(), backwards.extent()), (32, 40));
        let broadcast = layout(&[(1000, 0), (2, 8)], 8);
        assert_eq!((broadcast.len_bytes(), broadcast.extent()), (16_000, 16));
        assert!(broadcast.is_compact() && dense.is_compact() && !backwards.is_compact());
        assert!(!layout(&[(5, 16)], 8).is_compact());
        assert!(layout(&[(4, 8), (3, 32)], 8).is_compact());
        assert_eq!(layout(&[(0, 8), (usize::MAX, 8)], 8).extent(), 0);
        assert_eq!(layout(&[], 4).extent(), 4);
        let huge = [Axis { len: 2, stride: isize::MAX }; 2];
        assert!(Layout::new(huge, 8).is_none());
        assert!(Layout::new([Axis { len: usize::MAX, stride: 8 }], 8).is_none());
    }

    #[test]
    fn repeated_elements_are_packed_once() {
        let columns = layout(&[(5, 0), (3, 64), (1, 0), (2, -8)], 8);
        let (distinct, strides) = columns.distinct().expect("it repeats");
        assert_eq!(distinct.len_bytes(), 48);
        assert_eq!(strides, [0, 16, 16, 8]);
        assert_eq!(layout(&[(3, 64), (1, 0)], 8).distinct(), None);
    }

    #[test]
    fn elements_that_come_twice() {
        assert!(layout(&[(3, 32), (4, 8)], 8).is_nested());
        assert!(layout(&[(4, -8), (3, 32), (1, 0)], 8).is_nested());
        assert!(layout(&[(4, 0), (0, 8)], 8).is_nested());
        assert!(!layout(&[(4, 0), (3, 8)], 8).is_nested());
        assert!(!layout(&[(2, 16), (2, 16)], 8).is_nested());
        assert!(!layout(&[(3, 4)], 8).is_nested());
    }

    #[test]
    fn blocks_are_as_large_as_they_can_be() {
        assert_eq!(layout(&[(3, 32), (4, 8)], 8).blocks(), (vec![], 96));
        let rows = layout(&[(3, 64), (4, 8)], 8);
        assert_eq!(rows.blocks(), (vec![Axis { len: 3, stride: 64 }], 32));
        let columns = layout(&[(3, 64), (4, 16)], 8);
        assert_eq!(columns.blocks(), (vec![Axis { len: 12, stride: 16 }], 8));
        assert_eq!(layout(&[(1, 5)], 3).blocks(), (vec![], 3));
        let backwards = layout(&[(6, -8)], 8);
        assert_eq!(backwards.blocks(), (vec![Axis { len: 6, stride: -8 }], 8));
    }

    #[test]
    fn meetings() {
        let column = layout(&[(100, 64)], 8);
        assert!(column.may_meet(1000, &column, 1000));
        assert!(!column.may_meet(1000, &column, 1008));
        let pair = layout(&[(100, 64), (2, 8)], 8);
        assert!(!pair.may_meet(1000, &pair, 1016));
        assert!(pair.may_meet(1000, &pair, 1008));
        assert!(pair.may_meet(1016, &pair, 1008 + 64));
        let part = layout(&[(5, 8)], 8);
        assert!(part.may_meet(1000, &part, 1024));
        assert!(!part.may_meet(1000, &part, 1040));
        assert!(!part.may_meet(1000, &layout(&[(0, 8)], 8), 1000));
        let backwards = layout(&[(5, -8)], 8);
        assert!(backwards.may_meet(1040, &part, 1000));
        assert!(!backwards.may_meet(1040 + 32, &part, 1000));
    }
}
