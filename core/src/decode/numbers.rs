//! Numbers in a stream: text, lengths, short two's complement.

use super::Step;
use crate::error::Error;

/// Little-endian two's complement of at most 8 bytes.
#[inline(always)]
pub(super) fn small_int(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let negative = bytes.last().is_some_and(|b| *b >= 0x80);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

/// Decimal text of at most 18 digits with an optional minus.
pub(super) fn plain_decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // A leading zero means another base, or is an error: the builder knows.
    let other_base = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty()
        || digits.len() > 18
        || other_base
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// A number as C's `strtol` reads it, which stock uses for INT: leading space
/// and sign, then with base 0 `0x` and octal; the number ends the text, or a NUL
/// does.
pub(super) fn c_long(text: &[u8], decimal: bool) -> Option<i64> {
    if let Some(value) = plain_decimal(text) {
        return Some(value);
    }
    if text.is_empty() {
        return None;
    }
    let text = text.split(|byte| *byte == 0).next()?;
    let is_space = |byte: &u8| matches!(byte, b' ' | 0x09..=0x0d);
    let trimmed = &text[text.iter().take_while(|byte| is_space(byte)).count()..];
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (radix, digits) = match digits {
        _ if decimal => (10, digits),
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        rest => (10, rest),
    };
    let value = digits.iter().try_fold(None, |value: Option<i64>, digit| {
        let digit = i64::from(char::from(*digit).to_digit(radix)?);
        let value = value.unwrap_or(0).checked_mul(i64::from(radix))?.checked_add(digit)?;
        Some(Some(value))
    })??;
    Some(if negative { -value } else { value })
}

pub(super) fn index_text(text: &[u8]) -> Result<i64, Error> {
    let zeros = text.iter().take_while(|digit| **digit == b'0').count();
    let digits =
        if zeros == text.len() { &text[zeros.saturating_sub(1)..] } else { &text[zeros..] };
    plain_decimal(digits).ok_or(Error::BadText)
}

pub(super) fn signed_len<E>(n: u32) -> Step<usize, E> {
    usize::try_from(n as i32).map_err(|_| Error::NegativeSize.into())
}

/// A length that fits half of the address space.
pub(super) fn wide_len<E>(n: u64) -> Step<usize, E> {
    isize::try_from(n).map(|n| n as usize).map_err(|_| Error::TooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, value) in [
            (b"12".as_slice(), Some(12)),
            (b"-7", Some(-7)),
            (b" 1", Some(1)),
            (b"010", Some(8)),
            (b"0x1F", Some(31)),
            (b"1\x002", Some(1)),
            (b"\x00", Some(0)),
            (b"09", None),
            (b"1_0", None),
            (b"abc", None),
            (b"", None),
            (b"123456789012345678901234567890", None),
        ] {
            assert_eq!(c_long(text, false), value, "{}", text.escape_ascii());
        }
        for (text, value) in [
            (b"010".as_slice(), Some(10)),
            (b"-09", Some(-9)),
            (b"0", Some(0)),
            (b"0x1F", None),
            (b"0b1", None),
            (b"1\x002", Some(1)),
        ] {
            assert_eq!(c_long(text, true), value, "{}", text.escape_ascii());
        }
    }
}
