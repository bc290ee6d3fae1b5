//! `cvt`: values of one type as another. PTX ISA, "Data Movement and Conversion Instructions".

use super::ir::Type;

/// How a float becomes whole.
#[derive(Clone, Copy, Debug)]
enum Rounding {
    Nearest,
    Zero,
    Down,
    Up,
}

fn to_float(kind: Type, bits: u64) -> f64 {
    match kind {
        Type::F16 => half_to_float(bits as u16),
        Type::Bf16 => f64::from(f32::from_bits((bits as u32) << 16)),
        Type::F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits),
    }
}

fn half_to_float(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * (-24f64).exp2(),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * f64::from(exponent - 25).exp2(),
    };
    if bits & 0x8000 != 0 { -size } else { size }
}

/// The nearest value of 16 bits; ties go to the even one.
fn float_to_half(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    if size.is_nan() {
        return 0x7fff;
    }
    // Half a unit beyond the largest.
    if size >= 65520.0 {
        return sign | 0x7c00;
    }
    // The unit of the last place, never below the smallest subnormal.
    let exponent = if size > 0.0 { size.log2().floor() as i32 } else { -14 };
    let mut unit = exponent.max(-14) - 10;
    let mut count = (size / f64::from(unit).exp2()).round_ties_even() as u32;
    if count >= 2048 {
        unit += 1;
        count = (size / f64::from(unit).exp2()).round_ties_even() as u32;
    } else if count < 1024 && unit > -24 {
        unit -= 1;
        count = (size / f64::from(unit).exp2()).round_ties_even() as u32;
    }
    let exponent = if count < 1024 { 0 } else { (unit + 25) as u32 };
    sign | (exponent << 10 | count & 0x3ff) as u16
}

fn from_float(kind: Type, value: f64) -> u64 {
    match kind {
        Type::F16 => u64::from(float_to_half(value)),
        Type::Bf16 => {
            let bits = (value as f32).to_bits();
            if value.is_nan() {
                return 0x7fff;
            }
            u64::from((bits + 0x7fff + (bits >> 16 & 1)) >> 16)
        }
        Type::F32 => u64::from((value as f32).to_bits()),
        _ => value.to_bits(),
    }
}

fn rounded(value: f64, how: Rounding) -> f64 {
    match how {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

/// The nearest number of an integer type.
fn clamped(kind: Type, value: i128) -> u64 {
    let bits = 8 * kind.size() as u32;
    let (least, most) = if kind.is_signed() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    };
    kind.cut(value.clamp(least, most) as u64)
}

fn integer(kind: Type, bits: u64) -> i128 {
    let wide = kind.extend(bits);
    if kind.is_signed() { i128::from(wide as i64) } else { i128::from(wide) }
}

/// What a `cvt` does.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    to: Type,
    from: Type,
    how: Rounding,
    saturate: bool,
    /// A float is made whole, and stays a float.
    whole: bool,
}

impl Conversion {
    /// The value's bits as the other type.
    pub fn apply(self, bits: u64) -> u64 {
        let Self { to, from, how, .. } = self;
        match (to.is_float(), from.is_float()) {
            (false, false) if self.saturate => clamped(to, integer(from, bits)),
            (false, false) => to.cut(from.extend(bits)),
            // Not a number becomes 0, what is too large the largest.
            (false, true) => clamped(to, rounded(to_float(from, bits), how) as i128),
            (true, _) => self.saturated(self.float(bits)),
        }
    }

    fn float(self, bits: u64) -> u64 {
        let Self { to, from, how, .. } = self;
        match (from.is_float(), to) {
            (true, _) if self.whole => from_float(to, rounded(to_float(from, bits), how)),
            (true, _) => from_float(to, to_float(from, bits)),
            // Rounded once.
            (false, Type::F32) => u64::from((integer(from, bits) as f32).to_bits()),
            (false, _) => from_float(to, integer(from, bits) as f64),
        }
    }

    fn saturated(self, bits: u64) -> u64 {
        if !self.saturate {
            return bits;
        }
        let value = to_float(self.to, bits);
        from_float(self.to, if value > 0.0 { value.min(1.0) } else { 0.0 })
    }
}

/// What a `cvt` with these suffixes does; `None` if it is not interpreted.
pub fn find(suffixes: &[&str], to: Type, from: Type) -> Option<Conversion> {
    let saturate = suffixes.contains(&"sat");
    let rest: Vec<&str> = suffixes.iter().copied().filter(|&s| s != "sat").collect();
    let both = to.is_float() && from.is_float();
    let exact = !to.is_float() && !from.is_float() || both && from.size() < to.size();
    // From 64 to 16 bits would round twice.
    let once = !(from.size() == 8 && to.size() == 2);
    let how = match rest[..] {
        [] if exact || to == from => Rounding::Zero,
        ["rn"] if to.is_float() && once => Rounding::Nearest,
        ["rni"] if from.is_float() => Rounding::Nearest,
        ["rzi"] if from.is_float() => Rounding::Zero,
        ["rmi"] if from.is_float() => Rounding::Down,
        ["rpi"] if from.is_float() => Rounding::Up,
        _ => return None,
    };
    let whole = both && rest.first().is_some_and(|how| how.ends_with('i'));
    Some(Conversion { to, from, how, saturate, whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(suffixes: &[&str], to: Type, from: Type, bits: u64) -> u64 {
        find(suffixes, to, from).unwrap().apply(bits)
    }

    #[test]
    fn halves_there_and_back() {
        for bits in 0..=0xffffu16 {
            let value = half_to_float(bits);
            if !value.is_nan() {
                assert_eq!(float_to_half(value), bits, "{value}");
            }
        }
        let half = |value: f32| run(&["rn"], Type::F16, Type::F32, value.to_bits().into());
        assert_eq!(half(1.0 + 1.0 / 2048.0), 0x3c00, "a tie goes to the even one");
        assert_eq!(half(1.0 + 3.0 / 2048.0), 0x3c02);
        assert_eq!(half(65519.0), 0x7bff);
        assert_eq!(half(65520.0), 0x7c00, "beyond the largest is infinite");
        assert_eq!(half(3.0e-8), 1, "the smallest, rounded up");
        assert_eq!(half(2.9e-8), 0);
    }

    #[test]
    fn integers_keep_their_sign_or_not() {
        assert_eq!(run(&[], Type::S64, Type::S32, 0xffff_ffff), u64::MAX);
        assert_eq!(run(&[], Type::U64, Type::U32, 0xffff_ffff), 0xffff_ffff);
        assert_eq!(run(&[], Type::U8, Type::U32, 0x1ff), 0xff);
        assert_eq!(run(&["sat"], Type::U8, Type::S32, 0xffff_fff0), 0);
        assert_eq!(run(&["sat"], Type::S8, Type::S32, 1000), 127);
    }

    #[test]
    fn floats_become_integers_as_they_are_told() {
        let whole = |how, value: f32| {
            run(&[how], Type::S32, Type::F32, value.to_bits().into()) as u32 as i32
        };
        assert_eq!(
            (whole("rzi", -2.7), whole("rni", 2.5), whole("rmi", -2.1), whole("rpi", 2.1)),
            (-2, 2, -3, 3)
        );
        assert_eq!((whole("rzi", f32::NAN), whole("rzi", 1e20)), (0, i32::MAX));
        assert!(
            find(&["rz"], Type::F32, Type::S32).is_none(),
            "what is not interpreted is refused"
        );
    }
}
