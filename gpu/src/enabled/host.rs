//! The host's part of a transfer: bytes between a locked buffer and where they belong.

use ferropickle_core::buffer::Copies;

use crate::plan::Chunk;

/// From so many bytes on several threads copy between a locked buffer and the caller's memory.
const PARALLEL_FROM: usize = 1 << 20;

/// Told of bytes that have arrived: which array, where in its packed bytes, the bytes. Those of an array come in order. It is called
/// in the midst of a transfer: it takes no lock that one who waits to transfer may hold.
pub type Seen<'s> = &'s mut dyn FnMut(usize, usize, &[u8]);

/// A copy within the host.
pub(super) type Pair<'p> = (&'p mut [u8], &'p [u8]);

/// Copies, on several threads if it is much.
pub(super) fn copy_all(pairs: Vec<Pair<'_>>) {
    let total = pairs.iter().map(|(to, _)| to.len()).sum();
    let mut copies = Copies::of_bytes_from(total, PARALLEL_FROM);
    pairs.into_iter().for_each(|(to, from)| copies.add(from, to));
    copies.finish();
}

/// Brings a chunk that has arrived to where it belongs, and tells of it.
pub(super) fn unload(
    chunk: &Chunk,
    slot: &[u8],
    into: &mut [&mut [u8]],
    seen: &mut Option<Seen<'_>>,
) {
    for parts in [&chunk.gathered, &chunk.direct] {
        let mut pairs = Vec::with_capacity(parts.len());
        let (mut rest, mut first) = (&mut *into, 0);
        for part in parts {
            // Parts are in the order of their arrays, of which each has one in a chunk.
            let (head, tail) = rest.split_at_mut(part.array + 1 - first);
            (rest, first) = (tail, part.array + 1);
            if let Some(to) = head.last_mut() {
                pairs.push((&mut to[part.from..][..part.bytes], &slot[part.at..][..part.bytes]));
            }
        }
        copy_all(pairs);
    }
    if let Some(seen) = seen {
        for part in chunk.parts() {
            seen(part.array, part.from, &slot[part.at..][..part.bytes]);
        }
    }
}

/// Puts what a chunk has into its slot.
pub(super) fn load(chunk: &Chunk, from: &[&[u8]], slot: &mut [u8]) {
    let mut pairs = Vec::with_capacity(chunk.gathered.len() + chunk.direct.len());
    let (mut rest, mut first) = (slot, 0);
    for part in chunk.parts() {
        let (_, tail) = rest.split_at_mut(part.at - first);
        let (to, tail) = tail.split_at_mut(part.bytes);
        (rest, first) = (tail, part.at + part.bytes);
        pairs.push((to, &from[part.array][part.from..][..part.bytes]));
    }
    copy_all(pairs);
}

/// The copies that make a part, from `start` on, of buffers that lie at these places; what is between them is set to 0.
pub(super) fn image<'p>(
    from: &[&'p [u8]],
    places: &[usize],
    start: usize,
    part: &'p mut [u8],
) -> Vec<Pair<'p>> {
    let end = start + part.len();
    let mut pairs = Vec::new();
    let (mut rest, mut at) = (part, start);
    let first = places.partition_point(|&place| place <= start).saturating_sub(1);
    for (bytes, &place) in from.iter().zip(places).skip(first) {
        let (low, high) = (place.max(start), (place + bytes.len()).min(end));
        if low >= high {
            continue;
        }
        let (gap, tail) = rest.split_at_mut(low - at);
        gap.fill(0);
        let (to, tail) = tail.split_at_mut(high - low);
        pairs.push((to, &bytes[low - place..high - place]));
        (rest, at) = (tail, high);
    }
    rest.fill(0);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_copied_as_little_is() {
        for len in [0, 1, PARALLEL_FROM - 1, 3 * PARALLEL_FROM + 7] {
            let from: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut to = vec![0; len];
            let (mut rest, mut pairs) = (&mut to[..], Vec::new());
            for (i, part) in from.chunks(len / 5 + 1).enumerate() {
                let (now, later) = rest.split_at_mut(part.len());
                pairs.push((now, part));
                rest = later;
                if i == 2 {
                    pairs.push((&mut [], &[]));
                }
            }
            copy_all(pairs);
            assert!(to == from, "{len}");
        }
    }

    #[test]
    fn an_image_has_zeros_between_its_buffers() {
        let from: [&[u8]; 4] = [b"one", b"", b"three", b"4"];
        let places = [0, 8, 8, 16];
        let whole = *b"one\0\0\0\0\0three\0\0\x004\0\0";
        for (start, end) in [(0, 19), (1, 2), (2, 9), (3, 8), (9, 17), (13, 16), (17, 19)] {
            let mut part = vec![0xff; end - start];
            copy_all(image(&from, &places, start, &mut part));
            assert_eq!(part, &whole[start..end], "{start}..{end}");
        }
    }
}
