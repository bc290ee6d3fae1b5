//! Values made from any source of numbers, and their comparison: for the round trips of the tests and of the
//! fuzz targets.

use std::cell::RefCell;
use std::rc::Rc;

use ferropickle_core::testing::{Call, Value};

/// A small generator of numbers that looks random (splitmix64), the same for the same seed everywhere.
#[derive(Debug, Clone)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }
}

/// A value, at most `depth` containers deep, that `encode_value` takes at protocol `proto` (4 or 5). Each choice
/// is a number of `next`; where that gives only zeros the value is None.
pub fn value(next: &mut impl FnMut() -> u64, depth: u32, proto: u8) -> Value {
    let kinds = if depth == 0 { 9 } else { 15 };
    match next() % kinds {
        0 => Value::None,
        1 => Value::Bool(next().is_multiple_of(2)),
        // Shifted, so that each width of argument is met.
        2 => {
            let number = next() as i64;
            Value::Int(number >> (next() % 64))
        }
        // Nine bytes and more: what is shorter comes back as an Int.
        3 => Value::BigInt(bytes(next, 9, 300)),
        4 => Value::Float(f64::from_bits(next())),
        5 => Value::Str(text(next).into()),
        6 => Value::Bytes(bytes(next, 0, 600).into()),
        7 if proto >= 5 => Value::ByteArray(Rc::new(RefCell::new(bytes(next, 0, 600)))),
        7 => Value::Bool(true),
        8 => Value::Global(Rc::new((text(next), text(next)))),
        9 => Value::Tuple(items(next, depth, proto).into()),
        10 => Value::List(Rc::new(RefCell::new(items(next, depth, proto)))),
        11 => {
            let keys = items(next, depth, proto);
            let pairs = keys.into_iter().map(|key| (key, value(next, depth - 1, proto))).collect();
            Value::Dict(Rc::new(RefCell::new(pairs)))
        }
        12 => Value::Set(Rc::new(RefCell::new(items(next, depth, proto)))),
        13 => Value::FrozenSet(items(next, depth, proto).into()),
        _ => Value::Call(Rc::new(Call {
            callable: value(next, depth - 1, proto),
            args: value(next, depth - 1, proto),
            state: RefCell::default(),
        })),
    }
}

fn items(next: &mut impl FnMut() -> u64, depth: u32, proto: u8) -> Vec<Value> {
    (0..next() % 6).map(|_| value(next, depth - 1, proto)).collect()
}

/// Mostly short; now and then of a length that no one-byte length can hold.
fn bytes(next: &mut impl FnMut() -> u64, least: u64, most: u64) -> Vec<u8> {
    let most = if next().is_multiple_of(8) { most } else { least + 12 };
    (0..least + next() % (most - least)).map(|_| next() as u8).collect()
}

fn text(next: &mut impl FnMut() -> u64) -> String {
    let long = next().is_multiple_of(16);
    let most = if long { 300 } else { 8 };
    (0..next() % most)
        .map(|_| {
            let drawn = next() as u32;
            char::from_u32(drawn % 0x11_0000).unwrap_or('a')
        })
        .collect()
}

/// Whether two trees hold the same; floats are compared by their bits.
pub fn same(a: &Value, b: &Value) -> bool {
    let all = |a: &[Value], b: &[Value]| {
        a.len() == b.len() && a.iter().zip(b).all(|(one, other)| same(one, other))
    };
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::BigInt(a), Value::BigInt(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::ByteArray(a), Value::ByteArray(b)) => a == b,
        (Value::Global(a), Value::Global(b)) => a == b,
        (Value::Tuple(a), Value::Tuple(b)) | (Value::FrozenSet(a), Value::FrozenSet(b)) => {
            all(a, b)
        }
        (Value::List(a), Value::List(b)) | (Value::Set(a), Value::Set(b)) => {
            all(&a.borrow(), &b.borrow())
        }
        (Value::Dict(a), Value::Dict(b)) => {
            let (a, b) = (a.borrow(), b.borrow());
            a.len() == b.len()
                && a.iter().zip(b.iter()).all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        (Value::Call(a), Value::Call(b)) => {
            same(&a.callable, &b.callable)
                && same(&a.args, &b.args)
                && all(&a.state.borrow(), &b.state.borrow())
        }
        (Value::Foreign(a, from), Value::Foreign(b, to)) => a == b && all(from, to),
        _ => false,
    }
}
