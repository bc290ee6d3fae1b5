//! PTX as words.

use super::Refusal;

/// A word: a name, an opcode with its suffixes, a number, a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    pub text: &'a str,
    pub line: u32,
}

fn continues(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

/// Cuts a text into words; comments and blanks go.
pub fn words(text: &str) -> Result<Vec<Word<'_>>, Refusal> {
    let bytes = text.as_bytes();
    let (mut words, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = match bytes[at] {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            c if c.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            // The text may end in zero bytes, as C strings do.
            0 => break,
            b'/' if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            b'/' if rest.starts_with("/*") => {
                let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
                line += rest[..end].matches('\n').count() as u32;
                at += end;
                continue;
            }
            b'"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            c if continues(c) => {
                let mut end = 1;
                while let Some(&c) = bytes.get(at + end) {
                    // Two colons are part of a suffix: `shared::cta`.
                    let colons = c == b':' && bytes.get(at + end + 1) == Some(&b':');
                    let second = c == b':' && bytes[at + end - 1] == b':';
                    if !(continues(c) || colons || second) {
                        break;
                    }
                    end += 1;
                }
                end
            }
            c if c.is_ascii_punctuation() => 1,
            _ => return Err(Refusal { line, why: "this is no PTX".into() }),
        };
        words.push(Word { text: &rest[..length], line });
        at += length;
    }
    Ok(words)
}

/// The bits of a number: decimal, hexadecimal, octal, or a float by its bits. `0f3F800000` is a float of 32 bits.
pub fn number(text: &str) -> Option<u64> {
    let digits = |rest: &str, radix| u64::from_str_radix(rest, radix).ok();
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("0f").filter(|rest| rest.len() == 8) {
        return digits(rest, 16);
    }
    if let Some(rest) = lower.strip_prefix("0d").filter(|rest| rest.len() == 16) {
        return digits(rest, 16);
    }
    let bare = lower.trim_end_matches('u');
    if let Some(rest) = bare.strip_prefix("0x") {
        digits(rest, 16)
    } else if bare.len() > 1 && bare.starts_with('0') {
        digits(bare, 8)
    } else {
        digits(bare, 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut() {
        let text = "@%p1 ld.global.u32 %r1, [%rd2+4]; // note\n/* a\nb */ L_1: fence.acq_rel.gpu;";
        let found = words(text).unwrap();
        let texts: Vec<_> = found.iter().map(|word| word.text).collect();
        assert_eq!(
            texts,
            [
                "@",
                "%p1",
                "ld.global.u32",
                "%r1",
                ",",
                "[",
                "%rd2",
                "+",
                "4",
                "]",
                ";",
                "L_1",
                ":",
                "fence.acq_rel.gpu",
                ";"
            ]
        );
        assert_eq!((found[0].line, found[11].line), (1, 3));
        assert_eq!(words("a.shared::cta x").unwrap()[0].text, "a.shared::cta");
    }

    #[test]
    fn numbers_are_read() {
        assert_eq!(number("0f3F800000"), Some(0x3f80_0000));
        assert_eq!(number("0d3FF0000000000000"), Some(0x3ff0_0000_0000_0000));
        assert_eq!(number("0xFFU"), Some(255));
        assert_eq!(number("017"), Some(15));
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("%r1"), None);
    }
}
