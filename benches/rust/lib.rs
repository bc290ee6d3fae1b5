//! Seeded payloads for the Rust benchmarks: value trees and the streams of them.

use ferropickle_core::testing::{Value, encode_value};
use std::cell::RefCell;
use std::rc::Rc;

/// A small, seeded generator (`SplitMix64`): the same numbers on every run.
#[derive(Debug)]
pub struct Rng(u64);

impl Default for Rng {
    fn default() -> Self {
        Self(20_240_229)
    }
}

impl Rng {
    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A float in `[0, 1)`.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
    pub fn float(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An integer of 1, 2, 4 or 8 bytes, each as often as the others.
    pub fn int(&mut self) -> i64 {
        let bits = self.bits();
        let kept = [7, 15, 31, 62][(bits >> 62) as usize];
        (bits & ((1 << kept) - 1)).cast_signed()
    }

    /// `length` lower-case letters.
    pub fn word(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + (self.bits() % 26) as u8)).collect()
    }
}

/// A list of `items`.
pub fn list(items: Vec<Value>) -> Value {
    Value::List(Rc::new(RefCell::new(items)))
}

/// A dict of `items`, in this order.
pub fn dict(items: Vec<(Value, Value)>) -> Value {
    Value::Dict(Rc::new(RefCell::new(items)))
}

/// A string.
pub fn text(value: &str) -> Value {
    Value::Str(value.into())
}

/// `n` JSON-like records: two dicts and one list each.
pub fn records(n: usize) -> Value {
    let mut rng = Rng::default();
    let record = |i: usize| {
        let address = dict(vec![
            (text("street"), text(&rng.word(10))),
            (text("zip"), Value::Int(rng.int() & 0xffff)),
        ]);
        let tags = list(vec![text(&format!("tag{}", i % 97)), text(&format!("t{}", i % 89))]);
        dict(vec![
            (text("id"), Value::Int(i64::try_from(i).unwrap_or(0) + 1000)),
            (text("name"), text(&format!("user-{i}"))),
            (text("score"), Value::Float(rng.float())),
            (text("active"), Value::Bool(i.is_multiple_of(2))),
            (text("tags"), tags),
            (text("address"), address),
        ])
    };
    list((0..n).map(record).collect())
}

/// `n` floats in a list.
pub fn floats(n: usize) -> Value {
    let mut rng = Rng::default();
    list((0..n).map(|_| Value::Float(rng.float())).collect())
}

/// `n` integers of 1 to 8 bytes in a list.
pub fn ints(n: usize) -> Value {
    let mut rng = Rng::default();
    list((0..n).map(|_| Value::Int(rng.int())).collect())
}

/// `n` different ASCII strings of 16 characters in a list.
pub fn strings(n: usize) -> Value {
    let mut rng = Rng::default();
    list((0..n).map(|_| text(&rng.word(16))).collect())
}

/// A list of `n` tuples of an integer, a string and a float.
pub fn tuples(n: usize) -> Value {
    let mut rng = Rng::default();
    let tuple = |_| {
        let items = [Value::Int(rng.int()), text(&rng.word(10)), Value::Float(rng.float())];
        Value::Tuple(Rc::new(items))
    };
    list((0..n).map(tuple).collect())
}

/// Everything that is measured: name, elements, value.
pub fn payloads() -> Vec<(&'static str, usize, Value)> {
    vec![
        ("records", 10_000, records(10_000)),
        ("floats", 100_000, floats(100_000)),
        ("ints", 100_000, ints(100_000)),
        ("strings", 50_000, strings(50_000)),
        ("tuples", 30_000, tuples(30_000)),
    ]
}

/// The protocol 5 stream of a value.
///
/// # Panics
/// If the value cannot be encoded, which no payload here is.
pub fn stream(value: &Value) -> Vec<u8> {
    encode_value(value, 5).expect("payloads are plain values")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferropickle_core::testing::{check, decode_value};

    #[test]
    fn payloads_are_seeded_and_their_streams_decode() {
        for (name, _, value) in payloads() {
            let bytes = stream(&value);
            check(&bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let back = decode_value(&bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert_eq!(stream(&back), bytes, "{name}");
        }
        assert_eq!(stream(&records(100)), stream(&records(100)));
    }
}
