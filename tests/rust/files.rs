//! Files against whatever bytes come, and parts of streams against the whole.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::PathBuf;

use ferropickle_core::decode::verify;
use ferropickle_core::opcode::dis::dis;
use ferropickle_core::parcel::file::map::map;
use ferropickle_core::parcel::file::outline::outline;
use ferropickle_core::parcel::file::pick::pick;
use ferropickle_core::parcel::file::read::{Archive, ReadError, Which};
use ferropickle_core::parcel::file::write::write;
use ferropickle_core::parcel::{Checksum, Codec, Compression, Fault, Kind, Spec};
use ferropickle_core::testing::{Value, decode_value};
use ferropickle_tests::values::{Numbers, same};

/// Writes streams whose objects share one another, by opcodes.
struct Author {
    numbers: Numbers,
    out: Vec<u8>,
    memo: u8,
    /// Entries of the memo that are complete, and those of them that are lists.
    complete: Vec<u8>,
    lists: Vec<u8>,
}

impl Author {
    fn memoize(&mut self) -> u8 {
        self.out.push(b'\x94');
        self.memo += 1;
        self.memo - 1
    }

    fn value(&mut self, depth: u32) {
        if self.numbers.below(12) == 0 {
            self.value(depth.saturating_sub(1));
            self.out.push(b'0');
        }
        // The memo's indices are kept to one byte.
        let kinds = if depth == 0 || self.memo > 200 { 4 } else { 8 };
        match self.numbers.below(kinds) {
            0 => self.out.push(b'N'),
            1 if !self.complete.is_empty() => {
                let index = self.complete[self.numbers.below(self.complete.len())];
                self.out.extend_from_slice(&[b'h', index]);
            }
            2 if !self.lists.is_empty() && self.numbers.below(4) == 0 => {
                let index = self.lists[self.numbers.below(self.lists.len())];
                self.out.extend_from_slice(&[b'h', index, b'K', 99, b'a']);
            }
            3 if self.memo < 200 => {
                let letter = b'a' + self.numbers.below(26) as u8;
                self.out.extend_from_slice(&[0x8c, 1, letter]);
                let index = self.memoize();
                self.complete.push(index);
            }
            4 => {
                self.out.push(b'(');
                (0..self.numbers.below(4)).for_each(|_| self.value(depth - 1));
                self.out.push(b't');
                let index = self.memoize();
                self.complete.push(index);
            }
            5 => {
                self.out.push(b'}');
                let index = self.memoize();
                for _ in 0..self.numbers.below(3) {
                    self.value(0);
                    self.value(depth - 1);
                    self.out.push(b's');
                }
                self.complete.push(index);
            }
            6 | 7 => {
                self.out.push(b']');
                let index = self.memoize();
                self.out.push(b'(');
                (0..self.numbers.below(4)).for_each(|_| self.value(depth - 1));
                self.out.push(b'e');
                self.complete.push(index);
                self.lists.push(index);
            }
            _ => {
                let number = self.numbers.below(256) as u8;
                self.out.extend_from_slice(&[b'K', number]);
            }
        }
    }

    /// A dict of a few values.
    fn dict(seed: u64) -> Vec<u8> {
        let out = b"\x80\x05}\x94(".to_vec();
        let (numbers, memo) = (Numbers(seed), 1);
        let mut author = Author { numbers, out, memo, complete: Vec::new(), lists: Vec::new() };
        for key in 0..1 + author.numbers.below(5) as u8 {
            author.out.extend_from_slice(&[b'K', key]);
            author.value(4);
        }
        author.out.extend_from_slice(b"u.");
        author.out
    }
}

fn tuple(stream: &[u8]) -> Vec<Value> {
    match decode_value(stream).expect("a stream of its own") {
        Value::Tuple(items) => items.to_vec(),
        other => panic!("no tuple: {other:?}"),
    }
}

#[test]
fn parts_of_a_stream_are_those_of_the_whole() {
    let (mut picked, mut whole) = (0, 0);
    for seed in 0..4000 {
        let stream = Author::dict(seed);
        let Value::Dict(dict) = decode_value(&stream).expect("well-formed") else {
            panic!("no dict")
        };
        let dict = dict.borrow();
        let outline = outline(&stream).expect("the outline of a dict");
        assert_eq!(outline.pairs.len(), dict.len());
        let keys: Vec<_> = outline.pairs.iter().map(|(key, _)| key.clone()).collect();
        let keys = pick(&stream, &outline, &keys).expect("numbers stand alone");
        assert!(tuple(&keys.stream).iter().zip(dict.iter()).all(|(a, (b, _))| same(a, b)));
        for (range, (_, value)) in outline.pairs.iter().zip(dict.iter()) {
            let Some(part) = pick(&stream, &outline, std::slice::from_ref(&range.1)) else {
                whole += 1;
                continue;
            };
            picked += 1;
            verify(&part.stream).expect("well-formed");
            let found = tuple(&part.stream);
            assert!(
                found.len() == 1 && same(&found[0], value),
                "seed {seed}:\n{}\n{}",
                dis(&stream),
                dis(&part.stream)
            );
        }
    }
    assert!(picked > 5000 && whole > 50, "{picked} picked, {whole} not");
}

#[test]
fn outlines_of_any_bytes() {
    for seed in 0..3000 {
        let mut stream = Author::dict(seed);
        let mut numbers = Numbers(seed);
        for _ in 0..1 + numbers.below(4) {
            let at = numbers.below(stream.len());
            stream[at] = numbers.draw() as u8;
        }
        if let Some(outline) = outline(&stream) {
            for (key, value) in &outline.pairs {
                pick(&stream, &outline, &[key.clone(), value.clone()]);
            }
        }
    }
}

/// A file with a name of its own, which goes with the value.
struct Made(PathBuf);

impl Made {
    fn new(name: &str) -> Made {
        Made(std::env::temp_dir().join(format!("ferropickle-{name}-{}", std::process::id())))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn save(made: &Made, stream: &[u8], buffers: &[Vec<u8>], spec: Spec) {
    let file = File::create(&made.0).expect("a writable folder");
    let slices = buffers.iter().map(Vec::as_slice);
    let mut last = 0;
    let mut tick = |done| {
        assert!(done >= last);
        last = done;
        ControlFlow::Continue(())
    };
    let len = write(&file, stream, slices, spec, "{}", &mut tick).expect("written");
    assert_eq!(len, fs::metadata(&made.0).expect("a file").len());
}

/// Stream and buffers of a file, both as they are mapped and as they are read.
fn load(made: &Made) -> Result<Vec<Vec<u8>>, ReadError> {
    let archive = Archive::open(File::open(&made.0)?)?;
    let memory = map(archive.file(), archive.len() as usize)?;
    archive.check_all(&memory, |_| ControlFlow::Continue(()))?;
    let parts = (0..archive.buffers()).map(Which::Buffer);
    std::iter::once(Which::Stream)
        .chain(parts)
        .map(|which| {
            let mapped = archive.part(&memory, which)?;
            let own = archive.read(which, true, |_| ControlFlow::<()>::Continue(()))?;
            let ControlFlow::Continue(own) = own else { panic!("nobody broke off") };
            assert!(own.as_slice() == mapped.as_slice());
            match archive.stored(which) {
                Some((_, Codec::Raw)) => Ok(own.as_slice().to_vec()),
                _ => Ok(archive.decompress(mapped.as_slice(), which)?.as_slice().to_vec()),
            }
        })
        .collect()
}

#[test]
fn files_come_back_and_damage_is_found() {
    let made = Made::new("files");
    let compressions = [None, Some(Compression::Zstd(1)), Some(Compression::Lz4)];
    for (seed, compression) in (0..12).zip(compressions.into_iter().cycle()) {
        let mut numbers = Numbers(seed);
        let buffers: Vec<Vec<u8>> = (0..numbers.below(6))
            .map(|_| {
                let most = 1 << (4 + numbers.below(14));
                let len = numbers.below(most);
                (0..len).map(|n| (n / 7) as u8).collect()
            })
            .collect();
        let spec = Spec { checksum: Checksum::Nothing, compression };
        save(&made, b"N.", &buffers, spec);
        let mut wanted = vec![b"N.".to_vec()];
        wanted.extend(buffers);
        assert!(load(&made).expect("what was written") == wanted);
        let whole = fs::read(&made.0).expect("a file");
        for _ in 0..60 {
            let mut other = whole.clone();
            let at = numbers.below(other.len());
            other[at] ^= 1 << numbers.below(8);
            fs::write(&made.0, &other).expect("written");
            match load(&made) {
                Ok(found) => assert!(found == wanted || found.len() < wanted.len(), "byte {at}"),
                Err(ReadError::Fault(_)) => {}
                Err(ReadError::System(error)) => panic!("byte {at}: {error}"),
            }
        }
        for _ in 0..20 {
            fs::write(&made.0, &whole[..numbers.below(whole.len())]).expect("written");
            let fault = load(&made).expect_err("it was cut short");
            assert!(matches!(fault, ReadError::Fault(Fault { kind: Kind::Field(_), .. })));
        }
    }
}

#[test]
fn large_compressed_files_come_back() {
    let made = Made::new("large");
    let buffers: Vec<Vec<u8>> = [9 << 20, 100, 3 << 20, 0, 70_000]
        .iter()
        .map(|len| (0..*len).map(|n| ((n >> 9) ^ n) as u8 & 15).collect())
        .collect();
    for compression in [Compression::Zstd(1), Compression::Lz4] {
        let spec = Spec { checksum: Checksum::Nothing, compression: Some(compression) };
        save(&made, b"stream.", &buffers, spec);
        let found = load(&made).expect("what was written");
        assert!(found[1..] == buffers);
    }
}
