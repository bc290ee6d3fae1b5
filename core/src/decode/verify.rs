//! The stack machine with nothing built: is a stream well-formed?

use super::{Build, DecodeError, Decoder, SliceReader, Step, TextContext};
use crate::error::Error;
use crate::opcode::Op;

/// Builds nothing: an object is `()`.
struct Nothing;

type U = Step<(), Error>;

impl Build for Nothing {
    type Obj = ();
    type Error = Error;

    fn none(&mut self) -> U {
        Ok(())
    }
    fn bool(&mut self, _: bool) -> U {
        Ok(())
    }
    fn int(&mut self, _: i64) -> U {
        Ok(())
    }
    fn int_bytes(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn int_text(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn float(&mut self, _: f64) -> U {
        Ok(())
    }
    fn float_text(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn str(&mut self, _: &[u8], _: TextContext<'_, ()>) -> U {
        Ok(())
    }
    fn str_escaped(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn string(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn string_literal(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn bytes(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn bytearray(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn next_buffer(&mut self) -> U {
        Ok(())
    }
    fn readonly_buffer(&mut self, (): ()) -> U {
        Ok(())
    }
    fn empty_tuple(&mut self) -> U {
        Ok(())
    }
    fn tuple(&mut self, stack: &mut Vec<()>, from: usize) -> U {
        stack.truncate(from);
        stack.push(());
        Ok(())
    }
    fn empty_list(&mut self) -> U {
        Ok(())
    }
    fn list(&mut self, stack: &mut Vec<()>, from: usize) -> U {
        self.tuple(stack, from)
    }
    fn append(&mut self, stack: &mut Vec<()>, from: usize) -> U {
        stack.truncate(from);
        Ok(())
    }
    fn empty_dict(&mut self) -> U {
        Ok(())
    }
    fn dict(&mut self, stack: &mut Vec<()>, from: usize) -> U {
        self.tuple(stack, from)
    }
    fn set_items(&mut self, stack: &mut Vec<()>, from: usize, _: Option<Op>) -> Step<bool, Error> {
        stack.truncate(from);
        Ok(false)
    }
    fn empty_set(&mut self) -> U {
        Ok(())
    }
    fn add_items(&mut self, stack: &mut Vec<()>, from: usize) -> U {
        self.append(stack, from)
    }
    fn frozenset(&mut self, stack: &mut Vec<()>, from: usize) -> U {
        self.tuple(stack, from)
    }
    fn global(&mut self, _: &[u8], _: &[u8]) -> U {
        Ok(())
    }
    fn stack_global(&mut self, (): (), (): ()) -> U {
        Ok(())
    }
    fn extension(&mut self, _: i64) -> U {
        Ok(())
    }
    fn persistent(&mut self, (): ()) -> U {
        Ok(())
    }
    fn persistent_text(&mut self, _: &[u8]) -> U {
        Ok(())
    }
    fn reduce(&mut self, (): (), (): ()) -> U {
        Ok(())
    }
    fn instance(&mut self, (): (), _: &mut Vec<()>, _: usize) -> U {
        Ok(())
    }
    fn newobj(&mut self, (): (), (): ()) -> U {
        Ok(())
    }
    fn newobj_ex(&mut self, (): (), (): (), (): ()) -> U {
        Ok(())
    }
    fn build(&mut self, (): &(), (): ()) -> U {
        Ok(())
    }
    fn share(&mut self, (): &()) {}
    fn tick(&mut self) -> U {
        Ok(())
    }
}

/// Checks opcodes, arguments, stack, marks, memo and frames of a stream up to
/// STOP. Builds nothing and runs nothing; memory is bounded by the stream's
/// length.
pub fn verify(stream: &[u8]) -> Result<(), DecodeError<Error>> {
    Decoder::default().decode(&mut SliceReader::new(stream), &mut Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Cause;

    fn fault(stream: &[u8]) -> (u64, Error) {
        let error = verify(stream).expect_err("must be refused");
        match error.cause {
            Cause::Format(cause) | Cause::Build(cause) => (error.at, cause),
        }
    }

    #[test]
    fn well_formed_streams_pass() {
        for stream in [
            b"N.".as_slice(),
            b"\x80\x05]\x94(K\x01h\x00e.",
            b"(K\x01K\x02d.",
            b"cos\npath\n.",
            b"(lp0\nI1\na.",
            b"(K\x01K\x02N1K\x05.",
        ] {
            verify(stream).expect("well-formed");
        }
    }

    #[test]
    fn faults_are_named_with_their_offset() {
        assert_eq!(fault(b""), (0, Error::Empty));
        assert_eq!(fault(b"N"), (1, Error::Empty));
        assert_eq!(fault(b"."), (0, Error::StackUnderflow));
        assert_eq!(fault(b"(."), (1, Error::UnexpectedMark));
        assert_eq!(fault(b"Ne."), (1, Error::NoMark));
        assert_eq!(fault(b"}(Nu."), (3, Error::OddItems));
        assert_eq!(fault(b"h\x07."), (0, Error::MemoMissing(7)));
        assert_eq!(fault(b"\x80\x06."), (0, Error::UnsupportedProtocol(6)));
        assert_eq!(fault(b"\x8b\xff\xff\xff\xff."), (0, Error::NegativeSize));
        assert_eq!(fault(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff."), (0, Error::TooLarge));
        assert_eq!(fault(b"\x95\xff\xff\xff\xff\xff\xff\xff\x00N."), (0, Error::Truncated));
        assert_eq!(fault(b"\x82\x00."), (0, Error::BadExtensionCode(0)));
        assert_eq!(fault(b"(e."), (1, Error::StackUnderflow));
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_ends() {
        let stream = b"\x80\x05\x95\x1a\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01}\x94\x8c\x01a\x94]\x94s\x85\x94h\x02h\x01e.";
        for n in 0..stream.len() {
            assert!(verify(&stream[..n]).is_err());
            for bit in 0..8 {
                let mut flipped = stream.to_vec();
                flipped[n] ^= 1 << bit;
                let _ = verify(&flipped);
            }
        }
    }
}
