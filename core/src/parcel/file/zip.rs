//! The records of a zip archive that our files need, as APPNOTE.TXT of PKWARE
//! has them: stored entries, zip64, no encryption, one disk.

use super::super::fault::Kind;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
/// Length of the end record, without a comment.
pub const END_BYTES: usize = 22;
const END64_BYTES: usize = 56;
const LOCATOR64_BYTES: usize = 20;

/// Bytes from the end of a file in which all end records lie, a comment of any
/// length included.
pub const TAIL_BYTES: usize = END_BYTES + u16::MAX as usize + END64_BYTES + LOCATOR64_BYTES;

/// The extra field of zip64.
const EXTRA_64: u16 = 1;
/// The extra field that aligns data, as Android's tools have it.
const EXTRA_ALIGN: u16 = 0xd935;
const EXTRA_HEAD: usize = 4;
/// Head of the field and the alignment in it.
const EXTRA_ALIGN_LEAST: usize = EXTRA_HEAD + 2;

/// In the place of a number that zip64's extra field has.
const IN_64: u32 = u32::MAX;

/// 1980-01-01, the first day that zip knows: files of equal content are equal.
const DATE: u16 = 0x21;
/// Made on Unix: a file that its owner may write to and all may read.
const MADE_BY: u16 = 3 << 8 | 45;
const MODE: u32 = 0o100_644 << 16;

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// CRC-32 of its data.
    pub crc: u32,
    /// Length of its data.
    pub len: u64,
    /// Offset of its local header.
    pub header: u64,
}

fn push16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn push32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn push64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(IN_64)
}

fn version(wide: bool) -> u16 {
    if wide { 45 } else { 20 }
}

/// Writes a local header for data that begins at a multiple of `align`; `wide`
/// leaves room for lengths from 4 GiB on.
pub fn local_header(out: &mut Vec<u8>, entry: &Entry, align: u64, wide: bool) {
    let wide_extra = if wide { EXTRA_HEAD + 16 } else { 0 };
    let plain = (LOCAL_BYTES + entry.name.len() + wide_extra) as u64;
    let free = (entry.header + plain).wrapping_neg() % align;
    let padding = match usize::try_from(free).unwrap_or(0) {
        0 => 0,
        free if free < EXTRA_ALIGN_LEAST => free + align as usize,
        free => free,
    };
    push32(out, LOCAL);
    push16(out, version(wide));
    push16(out, 0);
    push16(out, 0);
    push16(out, 0);
    push16(out, DATE);
    push32(out, entry.crc);
    let len = if wide { IN_64 } else { narrow(entry.len) };
    push32(out, len);
    push32(out, len);
    push16(out, entry.name.len() as u16);
    push16(out, (wide_extra + padding) as u16);
    out.extend_from_slice(&entry.name);
    if wide {
        push16(out, EXTRA_64);
        push16(out, 16);
        push64(out, entry.len);
        push64(out, entry.len);
    }
    if padding > 0 {
        push16(out, EXTRA_ALIGN);
        push16(out, (padding - EXTRA_HEAD) as u16);
        push16(out, align as u16);
        out.resize(out.len() + padding - EXTRA_ALIGN_LEAST, 0);
    }
}

/// Writes the directory's record of an entry.
fn central_record(out: &mut Vec<u8>, entry: &Entry) {
    let mut extra = Vec::new();
    if entry.len >= u64::from(IN_64) {
        push64(&mut extra, entry.len);
        push64(&mut extra, entry.len);
    }
    if entry.header >= u64::from(IN_64) {
        push64(&mut extra, entry.header);
    }
    let wide = !extra.is_empty();
    push32(out, CENTRAL);
    push16(out, MADE_BY);
    push16(out, version(wide));
    push16(out, 0);
    push16(out, 0);
    push16(out, 0);
    push16(out, DATE);
    push32(out, entry.crc);
    push32(out, narrow(entry.len));
    push32(out, narrow(entry.len));
    push16(out, entry.name.len() as u16);
    push16(out, if wide { (EXTRA_HEAD + extra.len()) as u16 } else { 0 });
    push16(out, 0);
    push16(out, 0);
    push16(out, 0);
    push32(out, MODE);
    push32(out, narrow(entry.header));
    out.extend_from_slice(&entry.name);
    if wide {
        push16(out, EXTRA_64);
        push16(out, extra.len() as u16);
        out.append(&mut extra);
    }
}

/// The directory of an archive, which begins at `at`, and all that follows it.
pub fn directory(entries: &[Entry], at: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * (CENTRAL_BYTES + 24) + END_BYTES);
    entries.iter().for_each(|entry| central_record(&mut out, entry));
    let (count, len) = (entries.len() as u64, out.len() as u64);
    let wide = count >= u64::from(u16::MAX) || len.max(at) >= u64::from(IN_64);
    if wide {
        let end64 = at + len;
        push32(&mut out, END64);
        push64(&mut out, (END64_BYTES - 12) as u64);
        push16(&mut out, MADE_BY);
        push16(&mut out, version(true));
        push32(&mut out, 0);
        push32(&mut out, 0);
        push64(&mut out, count);
        push64(&mut out, count);
        push64(&mut out, len);
        push64(&mut out, at);
        push32(&mut out, LOCATOR64);
        push32(&mut out, 0);
        push64(&mut out, end64);
        push32(&mut out, 1);
    }
    push32(&mut out, END);
    push32(&mut out, 0);
    let short = u16::try_from(count).unwrap_or(u16::MAX);
    push16(&mut out, short);
    push16(&mut out, short);
    push32(&mut out, narrow(len));
    push32(&mut out, narrow(at));
    push16(&mut out, 0);
    out
}

/// Numbers of a record, read in order; zeros beyond its end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some((here, rest)) = self.0.split_at_checked(N) {
            bytes.copy_from_slice(here);
            self.0 = rest;
        }
        bytes
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn skip(&mut self, n: usize) {
        self.0 = self.0.get(n..).unwrap_or_default();
    }
}

/// Where the directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Number of entries.
    pub count: u64,
    /// Length of the directory.
    pub len: u64,
    /// Offset of the directory.
    pub at: u64,
}

/// Finds the directory by the last bytes of a file that is `file` bytes long:
/// all of them, or the last [`TAIL_BYTES`].
pub fn find_end(tail: &[u8], file: u64) -> Result<End, Kind> {
    let missing = Kind::Field("its end is missing: the file was cut short, or is none of ours");
    let signature = END.to_le_bytes();
    let last = tail.len().checked_sub(END_BYTES).ok_or(missing.clone())?;
    // A comment may follow the record, whose length the record tells.
    let place = (0..=last).rev().find(|place| {
        let comment = u16::from_le_bytes([tail[place + 20], tail[place + 21]]);
        tail[*place..].starts_with(&signature) && place + END_BYTES + comment as usize == tail.len()
    });
    let place = place.ok_or(missing)?;
    let mut fields = Fields(&tail[place + 8..]);
    let (here, count) = (fields.u16(), fields.u16());
    let (len, at) = (fields.u32(), fields.u32());
    if here != count {
        return Err(Kind::Field("it is a part of an archive on several disks"));
    }
    let mut end = End { count: count.into(), len: len.into(), at: at.into() };
    let before = file - (tail.len() - place) as u64;
    let mut limit = before;
    let wide = count == u16::MAX || len == IN_64 || at == IN_64;
    if wide && let Some(locator) = place.checked_sub(LOCATOR64_BYTES) {
        let mut fields = Fields(&tail[locator..place]);
        if fields.u32() == LOCATOR64 {
            fields.skip(4);
            let at = fields.u64();
            // The record stands right before its locator, unless it is a
            // version with more fields, which nobody writes.
            let record = locator.checked_sub(END64_BYTES).map(|record| &tail[record..locator]);
            let stands_at = before.checked_sub((LOCATOR64_BYTES + END64_BYTES) as u64);
            let mut fields = Fields(record.unwrap_or_default());
            if fields.u32() != END64 || stands_at != Some(at) {
                return Err(Kind::Field("its zip64 records contradict one another"));
            }
            fields.skip(20);
            let (here, count) = (fields.u64(), fields.u64());
            if here != count {
                return Err(Kind::Field("it is a part of an archive on several disks"));
            }
            end = End { count, len: fields.u64(), at: fields.u64() };
            limit = at;
        }
    }
    let fits = end.at.checked_add(end.len).is_some_and(|to| to <= limit);
    let room = end.count.checked_mul(CENTRAL_BYTES as u64).is_some_and(|least| least <= end.len);
    if !fits || !room {
        return Err(Kind::Field("its directory is larger than the file"));
    }
    Ok(end)
}

/// The entries of a directory that begins at `at`.
pub fn entries(directory: &[u8], count: u64, at: u64) -> Result<Vec<Entry>, Kind> {
    let damaged = || Kind::Field("a record of the directory is damaged");
    let mut found = Vec::new();
    let memory = Kind::OutOfMemory(directory.len() as u64);
    found.try_reserve_exact(usize::try_from(count).unwrap_or(0)).map_err(|_| memory)?;
    let mut rest = directory;
    for _ in 0..count {
        let (head, after) = rest.split_at_checked(CENTRAL_BYTES).ok_or_else(damaged)?;
        let mut fields = Fields(head);
        if fields.u32() != CENTRAL {
            return Err(damaged());
        }
        fields.skip(4);
        let (flags, method) = (fields.u16(), fields.u16());
        fields.skip(4);
        let crc = fields.u32();
        let (packed, len) = (fields.u32(), fields.u32());
        let [name, extra, comment] = [fields.u16(), fields.u16(), fields.u16()].map(usize::from);
        fields.skip(8);
        let header = fields.u32();
        let (name, after) = after.split_at_checked(name).ok_or_else(damaged)?;
        let (extra, after) = after.split_at_checked(extra).ok_or_else(damaged)?;
        rest = after.get(comment..).ok_or_else(damaged)?;
        let mut wide = Fields(extra_of(extra, EXTRA_64).unwrap_or_default());
        let mut widened = |value: u32| if value == IN_64 { wide.u64() } else { value.into() };
        let (len, packed, header) = (widened(len), widened(packed), widened(header));
        if method != 0 || packed != len || flags & 1 != 0 {
            return Err(Kind::Field(
                "an entry is compressed or encrypted by the archive; ours never are",
            ));
        }
        let within = header.checked_add(LOCAL_BYTES as u64).and_then(|data| data.checked_add(len));
        if within.is_none_or(|to| to > at) {
            return Err(Kind::Field("an entry lies outside of the file"));
        }
        found.push(Entry { name: name.to_vec(), crc, len, header });
    }
    Ok(found)
}

/// The content of an extra field.
fn extra_of(mut extra: &[u8], wanted: u16) -> Option<&[u8]> {
    while extra.len() >= EXTRA_HEAD {
        let mut fields = Fields(extra);
        let (id, len) = (fields.u16(), fields.u16() as usize);
        let content = fields.0.get(..len)?;
        if id == wanted {
            return Some(content);
        }
        extra = &fields.0[len..];
    }
    None
}

/// Bytes of a local header that [`data_offset`] needs.
pub fn local_len(entry: &Entry) -> usize {
    LOCAL_BYTES + entry.name.len()
}

/// The offset of an entry's data, by the first bytes of its local header.
/// `limit` is where the directory begins.
pub fn data_offset(header: &[u8], entry: &Entry, limit: u64) -> Result<u64, Kind> {
    let damaged = Kind::Field("its header in front of the data is damaged");
    let mut fields = Fields(header);
    let known = fields.u32() == LOCAL;
    fields.skip(22);
    let (name, extra) = (fields.u16(), fields.u16());
    if !known || header.get(LOCAL_BYTES..LOCAL_BYTES + usize::from(name)) != Some(&entry.name[..]) {
        return Err(damaged);
    }
    let at = entry.header + (LOCAL_BYTES as u64) + u64::from(name) + u64::from(extra);
    if at.checked_add(entry.len).is_none_or(|to| to > limit) {
        return Err(Kind::Field("it lies outside of the file"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, len: u64, header: u64) -> Entry {
        Entry { name: name.into(), crc: 7, len, header }
    }

    #[test]
    fn headers_align_their_data() {
        for header in 0..200 {
            for (name, align, wide) in [("a", 64, false), ("name", 64, true), ("b", 4096, false)] {
                let entry = entry(name, 10, header);
                let mut out = Vec::new();
                local_header(&mut out, &entry, align, wide);
                assert_eq!((header + out.len() as u64) % align, 0);
                let data = data_offset(&out, &entry, u64::MAX);
                assert_eq!(data, Ok(header + out.len() as u64));
                assert_eq!(
                    data_offset(&out[..out.len().min(local_len(&entry))], &entry, u64::MAX),
                    data
                );
            }
        }
    }

    #[test]
    fn directories_come_back_in_both_widths() {
        let big = 1 << 33;
        for list in [
            vec![],
            vec![entry("a", 1, 0), entry("b", 2, 100)],
            vec![entry("a", big, 0), entry("b", 2, big + 100), entry("c", big, big + 200)],
            (0..70_000).map(|n| entry("same", 0, n)).collect(),
        ] {
            let at = 1 << 35;
            let bytes = directory(&list, at);
            let tail = &bytes[bytes.len() - bytes.len().min(TAIL_BYTES)..];
            let end = find_end(tail, at + bytes.len() as u64).expect("an end");
            assert_eq!((end.count, end.at), (list.len() as u64, at));
            let found = entries(&bytes[..end.len as usize], end.count, at).expect("entries");
            assert!(found == list);
        }
    }

    #[test]
    fn a_comment_is_passed_over() {
        let mut bytes = directory(&[entry("a", 1, 0)], 50);
        let len = bytes.len();
        bytes[len - 2] = 3;
        bytes.extend_from_slice(b"PK\x05");
        assert_eq!(find_end(&bytes, 50 + bytes.len() as u64).expect("an end").count, 1);
    }

    #[test]
    fn ends_that_promise_too_much_are_refused() {
        let list = [entry("a", 1, 0)];
        let bytes = directory(&list, 50);
        let file = 50 + bytes.len() as u64;
        assert!(find_end(&bytes, file).is_ok());
        for at in 0..END_BYTES {
            for value in [1, 0x7f, 0xff] {
                let mut other = bytes.clone();
                let place = other.len() - END_BYTES + at;
                other[place] ^= value;
                if let Ok(end) = find_end(&other, file) {
                    assert!(
                        end.count * CENTRAL_BYTES as u64 <= end.len && end.at + end.len <= file
                    );
                }
            }
        }
        for len in 0..bytes.len() {
            assert!(find_end(&bytes[..len], 50 + len as u64).is_err());
        }
        assert!(entries(&bytes, 2, 50).is_err());
        assert!(entries(&bytes, 1, 20).is_err());
    }
}
