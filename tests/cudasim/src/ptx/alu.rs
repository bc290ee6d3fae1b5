//! Arithmetic on the bits of registers. PTX ISA, "Integer Arithmetic Instructions", "Floating-Point Instructions",
//! "Comparison and Selection Instructions", "Logic and Shift Instructions".
//!
//! A register is 64 bits, of which an instruction uses as many as its type has; results have zeros above.

use super::ir::{Function, Type};

/// A function for each type that an instruction takes; `None` for a type that it does not take.
macro_rules! by_type {
    ($kind:expr, [$($name:ident: $type:ty as $bits:ty),* $(,)?], $t:ident |$a:ident, $b:ident, $c:ident| $result:expr) => {
        match $kind {
            $(Type::$name => {
                #[allow(dead_code, unused_variables, reason = "not each uses its type or all its arguments")]
                fn function(a: u64, b: u64, c: u64) -> u64 {
                    type $t = $type;
                    let ($a, $b, $c) = (a as $bits as $type, b as $bits as $type, c as $bits as $type);
                    ($result) as $bits as u64
                }
                Some(function as Function)
            })*
            _ => None,
        }
    };
}

macro_rules! integers {
    ($kind:expr, $($rest:tt)*) => {
        by_type!($kind, [
            U16: u16 as u16, S16: i16 as u16, B16: u16 as u16,
            U32: u32 as u32, S32: i32 as u32, B32: u32 as u32,
            U64: u64 as u64, S64: i64 as u64, B64: u64 as u64,
        ], $($rest)*)
    };
}

macro_rules! floats {
    ($kind:expr, |$a:ident, $b:ident, $c:ident| $result:expr) => {
        match $kind {
            Type::F32 => {
                #[allow(unused_variables, reason = "not each uses all its arguments")]
                fn function(a: u64, b: u64, c: u64) -> u64 {
                    let [$a, $b, $c] = [a, b, c].map(|bits| f32::from_bits(bits as u32));
                    u64::from(f32::to_bits($result))
                }
                Some(function as Function)
            }
            Type::F64 => {
                #[allow(unused_variables, reason = "not each uses all its arguments")]
                fn function(a: u64, b: u64, c: u64) -> u64 {
                    let [$a, $b, $c] = [a, b, c].map(f64::from_bits);
                    f64::to_bits($result)
                }
                Some(function as Function)
            }
            _ => None,
        }
    };
}

macro_rules! twice_as_wide {
    ($kind:expr, $($rest:tt)*) => {
        match $kind {
            Type::U16 => wide!(u16, u32, u32, $($rest)*),
            Type::S16 => wide!(i16, i32, u32, $($rest)*),
            Type::U32 => wide!(u32, u64, u64, $($rest)*),
            Type::S32 => wide!(i32, i64, u64, $($rest)*),
            _ => None,
        }
    };
}

macro_rules! wide {
    ($type:ty, $wide:ty, $bits:ty, |$a:ident, $b:ident, $c:ident| $result:expr) => {{
        #[allow(unused_variables, reason = "not each uses all its arguments")]
        fn function(a: u64, b: u64, c: u64) -> u64 {
            let ($a, $b, $c) = (a as $type as $wide, b as $type as $wide, c as $bits as $wide);
            ($result) as $bits as u64
        }
        Some(function as Function)
    }};
}

/// The high half of a product.
fn high(kind: Type) -> Option<Function> {
    Some(match kind {
        Type::U16 => |a, b, _| ((a & 0xffff) * (b & 0xffff)) >> 16,
        Type::S16 => |a, b, _| u64::from(((a as i16 as i32 * b as i16 as i32) >> 16) as u16),
        Type::U32 => |a, b, _| ((a & 0xffff_ffff) * (b & 0xffff_ffff)) >> 32,
        Type::S32 => |a, b, _| u64::from(((a as i32 as i64 * b as i32 as i64) >> 32) as u32),
        Type::U64 => |a, b, _| ((u128::from(a) * u128::from(b)) >> 64) as u64,
        Type::S64 => |a, b, _| ((a as i64 as i128 * b as i64 as i128) >> 64) as u64,
        _ => return None,
    })
}

fn high_and_add(kind: Type) -> Option<Function> {
    Some(match kind {
        Type::U32 => |a, b, c| {
            u64::from((((a & 0xffff_ffff) * (b & 0xffff_ffff)) >> 32) as u32).wrapping_add(c)
                & 0xffff_ffff
        },
        Type::S32 => |a, b, c| {
            u64::from((((a as i32 as i64 * b as i32 as i64) >> 32) as u32).wrapping_add(c as u32))
        },
        Type::U64 => |a, b, c| (((u128::from(a) * u128::from(b)) >> 64) as u64).wrapping_add(c),
        Type::S64 => {
            |a, b, c| (((a as i64 as i128 * b as i64 as i128) >> 64) as u64).wrapping_add(c)
        }
        _ => return None,
    })
}

/// Bytes picked from two registers. PTX ISA, `prmt`.
fn permute(a: u64, b: u64, selector: u64) -> u64 {
    let bytes = (b << 32 | (a & 0xffff_ffff)).to_le_bytes();
    let pick = |i: u32| {
        let nibble = selector >> (4 * i) & 0xf;
        let byte = bytes[(nibble & 7) as usize];
        if nibble & 8 != 0 { if byte & 0x80 != 0 { 0xff } else { 0 } } else { byte }
    };
    u64::from(u32::from_le_bytes([pick(0), pick(1), pick(2), pick(3)]))
}

fn extract(kind: Type, value: u64, start: u64, length: u64) -> u64 {
    let bits = 8 * kind.size() as u64;
    let (start, length) = (start & 0xff, length & 0xff);
    let value = kind.extend(value);
    let last = (start + length).min(bits).saturating_sub(1);
    let sign = kind.is_signed() && length > 0 && value >> last.min(63) & 1 != 0;
    let field = if start >= bits { 0 } else { kind.cut(value) >> start };
    let mask = if length >= 64 { u64::MAX } else { (1 << length) - 1 };
    kind.cut(if sign { field | !mask | !(u64::MAX >> start.min(63)) } else { field & mask })
}

/// Shifts of two joined registers by at most 32, or by the number's low five bits.
fn funnel(left: bool, wrap: bool) -> Function {
    fn joined(a: u64, b: u64) -> u64 {
        b << 32 | (a & 0xffff_ffff)
    }
    match (left, wrap) {
        (true, true) => |a, b, c| joined(a, b) << (c & 31) >> 32,
        (true, false) => |a, b, c| {
            let by = (c as u32).min(32);
            (u128::from(joined(a, b)) << by >> 32) as u64 & 0xffff_ffff
        },
        (false, true) => |a, b, c| joined(a, b) >> (c & 31) & 0xffff_ffff,
        (false, false) => |a, b, c| joined(a, b) >> (c as u32).min(32) & 0xffff_ffff,
    }
}

/// The smaller or larger number; not-a-number only if both are.
macro_rules! pick {
    ($a:ident, $b:ident, $better:tt) => {
        if $a.is_nan() || $b $better $a || ($a == $b && $b.is_sign_negative() == (1 $better 2)) { $b } else { $a }
    };
}

/// The function of an opcode with these suffixes, and how many arguments it takes.
/// `None` is an instruction that is not interpreted.
pub fn find(name: &str, suffixes: &[&str], kind: Type) -> Option<(Function, usize)> {
    let has = |suffix: &str| suffixes.contains(&suffix);
    let plain = suffixes.is_empty();
    // Rounding to the nearest, and no flushing of small numbers, is all that is known of floats.
    let rounded = suffixes.iter().all(|&s| s == "rn");
    let float = kind.is_float();
    if float && !rounded {
        return None;
    }
    let arity = |function: Option<Function>, n| function.map(|f| (f, n));
    match name {
        "add" if float => arity(floats!(kind, |a, b, c| a + b), 2),
        "sub" if float => arity(floats!(kind, |a, b, c| a - b), 2),
        "mul" if float => arity(floats!(kind, |a, b, c| a * b), 2),
        "div" if float && has("rn") => arity(floats!(kind, |a, b, c| a / b), 2),
        "fma" | "mad" if float && has("rn") => arity(floats!(kind, |a, b, c| a.mul_add(b, c)), 3),
        "sqrt" if has("rn") => arity(floats!(kind, |a, b, c| a.sqrt()), 1),
        "rcp" if has("rn") => arity(floats!(kind, |a, b, c| a.recip()), 1),
        "neg" if float => arity(floats!(kind, |a, b, c| -a), 1),
        "abs" if float => arity(floats!(kind, |a, b, c| a.abs()), 1),
        "min" if float => arity(floats!(kind, |a, b, c| pick!(a, b, <)), 2),
        "max" if float => arity(floats!(kind, |a, b, c| pick!(a, b, >)), 2),
        "copysign" => arity(floats!(kind, |a, b, c| b.copysign(a)), 2),
        "add" if plain => arity(integers!(kind, T | a, b, c | a.wrapping_add(b)), 2),
        "sub" if plain => arity(integers!(kind, T | a, b, c | a.wrapping_sub(b)), 2),
        "mul" if has("lo") => arity(integers!(kind, T | a, b, c | a.wrapping_mul(b)), 2),
        "mad" if has("lo") => {
            arity(integers!(kind, T | a, b, c | a.wrapping_mul(b).wrapping_add(c)), 3)
        }
        "mul" if has("wide") => arity(twice_as_wide!(kind, |a, b, c| a * b), 2),
        "mad" if has("wide") => arity(twice_as_wide!(kind, |a, b, c| (a * b).wrapping_add(c)), 3),
        "mul" if has("hi") => arity(high(kind), 2),
        "mad" if has("hi") => arity(high_and_add(kind), 3),
        // Division by zero is not defined; devices give all ones.
        "div" if plain => {
            arity(integers!(kind, T | a, b, c | if b == 0 { !0 } else { a.wrapping_div(b) }), 2)
        }
        "rem" if plain => {
            arity(integers!(kind, T | a, b, c | if b == 0 { a } else { a.wrapping_rem(b) }), 2)
        }
        "min" if plain => arity(integers!(kind, T | a, b, c | a.min(b)), 2),
        "max" if plain => arity(integers!(kind, T | a, b, c | a.max(b)), 2),
        "neg" if plain => arity(integers!(kind, T | a, b, c | (0 as T).wrapping_sub(a)), 1),
        "abs" if plain => {
            let signed = by_type!(kind, [S16: i16 as u16, S32: i32 as u32, S64: i64 as u64], T |a, b, c| a.wrapping_abs());
            arity(signed, 1)
        }
        "and" if kind == Type::Pred => Some((|a, b, _| a & b, 2)),
        "or" if kind == Type::Pred => Some((|a, b, _| a | b, 2)),
        "xor" if kind == Type::Pred => Some((|a, b, _| a ^ b, 2)),
        "not" if kind == Type::Pred => Some((|a, _, _| a ^ 1, 1)),
        "and" => arity(integers!(kind, T | a, b, c | a & b), 2),
        "or" => arity(integers!(kind, T | a, b, c | a | b), 2),
        "xor" => arity(integers!(kind, T | a, b, c | a ^ b), 2),
        "not" => arity(integers!(kind, T | a, b, c | !a), 1),
        "cnot" => arity(integers!(kind, T | a, b, c | T::from(a == 0)), 1),
        "selp" => Some((|a, b, c| if c != 0 { a } else { b }, 3)),
        "shl" => shift_left(kind),
        "shr" => shift_right(kind),
        "shf" if kind == Type::B32 => Some((funnel(has("l"), has("wrap")), 3)),
        "popc" => arity(integers!(kind, T | a, b, c | a.count_ones()), 1),
        "clz" => arity(integers!(kind, T | a, b, c | a.leading_zeros()), 1),
        "brev" => arity(integers!(kind, T | a, b, c | a.reverse_bits()), 1),
        "prmt" if plain && kind == Type::B32 => Some((permute, 3)),
        "bfe" => Some((
            match kind {
                Type::U32 => |a, b, c| extract(Type::U32, a, b, c),
                Type::S32 => |a, b, c| extract(Type::S32, a, b, c),
                Type::U64 => |a, b, c| extract(Type::U64, a, b, c),
                Type::S64 => |a, b, c| extract(Type::S64, a, b, c),
                _ => return None,
            },
            3,
        )),
        _ => None,
    }
}

/// Shifts by more than the width give zeros, or signs.
fn shift_left(kind: Type) -> Option<(Function, usize)> {
    let function: Function = match kind.size() {
        2 => |a, b, _| if b as u32 > 15 { 0 } else { a << (b & 15) & 0xffff },
        4 => |a, b, _| if b as u32 > 31 { 0 } else { a << (b & 31) & 0xffff_ffff },
        8 => |a, b, _| if b as u32 > 63 { 0 } else { a << (b & 63) },
        _ => return None,
    };
    Some((function, 2))
}

fn shift_right(kind: Type) -> Option<(Function, usize)> {
    let function: Function = match kind {
        Type::S16 => |a, b, _| u64::from((a as i16 >> (b as u32).min(15)) as u16),
        Type::S32 => |a, b, _| u64::from((a as i32 >> (b as u32).min(31)) as u32),
        Type::S64 => |a, b, _| (a as i64 >> (b as u32).min(63)) as u64,
        Type::U16 | Type::B16 => |a, b, _| if b as u32 > 15 { 0 } else { (a & 0xffff) >> (b & 15) },
        Type::U32 | Type::B32 => {
            |a, b, _| if b as u32 > 31 { 0 } else { (a & 0xffff_ffff) >> (b & 31) }
        }
        Type::U64 | Type::B64 => |a, b, _| if b as u32 > 63 { 0 } else { a >> (b & 63) },
        _ => return None,
    };
    Some((function, 2))
}

/// The comparison of a `setp`: 1 or 0.
pub fn compare(how: &str, kind: Type) -> Option<Function> {
    macro_rules! compared {
        ($($test:tt)*) => {
            if kind.is_float() {
                match kind {
                    Type::F32 => Some((|a, b, _| {
                        let (a, b) = (f32::from_bits(a as u32), f32::from_bits(b as u32));
                        u64::from(a $($test)* b)
                    }) as Function),
                    Type::F64 => Some((|a, b, _| u64::from(f64::from_bits(a) $($test)* f64::from_bits(b))) as Function),
                    _ => None,
                }
            } else {
                integers!(kind, T |a, b, c| T::from(a $($test)* b))
            }
        };
    }
    // Comparisons that hold when either is not a number.
    macro_rules! unordered {
        ($($opposite:tt)*) => {
            match kind {
                Type::F32 => Some((|a, b, _| {
                    let (a, b) = (f32::from_bits(a as u32), f32::from_bits(b as u32));
                    u64::from(a.is_nan() || b.is_nan() || a $($opposite)* b)
                }) as Function),
                Type::F64 => Some((|a, b, _| {
                    let (a, b) = (f64::from_bits(a), f64::from_bits(b));
                    u64::from(a.is_nan() || b.is_nan() || a $($opposite)* b)
                }) as Function),
                _ => None,
            }
        };
    }
    match how {
        "eq" => compared!(==),
        "ne" if !kind.is_float() => compared!(!=),
        "ne" => match kind {
            Type::F32 => Some(|a, b, _| {
                let (a, b) = (f32::from_bits(a as u32), f32::from_bits(b as u32));
                u64::from(a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_ne))
            }),
            Type::F64 => Some(|a, b, _| {
                let (a, b) = (f64::from_bits(a), f64::from_bits(b));
                u64::from(a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_ne))
            }),
            _ => None,
        },
        "lt" | "lo" => compared!(<),
        "le" | "ls" => compared!(<=),
        "gt" | "hi" => compared!(>),
        "ge" | "hs" => compared!(>=),
        "equ" => unordered!(==),
        "neu" => unordered!(!=),
        "ltu" => unordered!(<),
        "leu" => unordered!(<=),
        "gtu" => unordered!(>),
        "geu" => unordered!(>=),
        "nan" | "num" => {
            let wanted = how == "nan";
            match (kind, wanted) {
                (Type::F32, true) => Some(|a, b, _| {
                    u64::from(
                        f32::from_bits(a as u32).is_nan() || f32::from_bits(b as u32).is_nan(),
                    )
                }),
                (Type::F64, true) => Some(|a, b, _| {
                    u64::from(f64::from_bits(a).is_nan() || f64::from_bits(b).is_nan())
                }),
                (Type::F32, false) => Some(|a, b, _| {
                    u64::from(
                        !(f32::from_bits(a as u32).is_nan() || f32::from_bits(b as u32).is_nan()),
                    )
                }),
                (Type::F64, false) => Some(|a, b, _| {
                    u64::from(!(f64::from_bits(a).is_nan() || f64::from_bits(b).is_nan()))
                }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What an atomic instruction makes of the old value and its arguments.
pub fn atomic(name: &str, kind: Type) -> Option<Function> {
    match name {
        "exch" => Some(|_, b, _| b),
        "cas" => match kind.size() {
            4 => Some(|a, b, c| if a as u32 == b as u32 { c & 0xffff_ffff } else { a }),
            8 => Some(|a, b, c| if a == b { c } else { a }),
            _ => None,
        },
        "inc" if kind == Type::U32 => Some(|a, b, _| if a >= b & 0xffff_ffff { 0 } else { a + 1 }),
        "dec" if kind == Type::U32 => {
            Some(|a, b, _| if a == 0 || a > b & 0xffff_ffff { b & 0xffff_ffff } else { a - 1 })
        }
        "add" | "min" | "max" | "and" | "or" | "xor" => find(name, &[], kind).map(|(f, _)| f),
        _ => None,
    }
}
