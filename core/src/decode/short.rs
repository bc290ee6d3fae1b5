//! Runs of short values, read without the way through every opcode.

use super::{Build, Decoder, Read, Step, TICK_OPCODES};
use crate::opcode::Op;

impl<T> Decoder<T> {
    /// Opcodes that push a number, None, a bool or a memo entry, as long as one
    /// follows another: after a mark they often come in runs. What is not whole or
    /// not well is left to the general way, and so is a memo entry that may be
    /// called. Gives how many opcodes are left until the next tick.
    #[inline(never)]
    pub(super) fn short_values<R, B>(
        &mut self,
        reader: &mut R,
        build: &mut B,
        mut until_tick: u32,
    ) -> Step<u32, B::Error>
    where
        R: Read<B::Error>,
        B: Build<Obj = T>,
    {
        const NONE: u8 = Op::None as u8;
        const TRUE: u8 = Op::Newtrue as u8;
        const FALSE: u8 = Op::Newfalse as u8;
        const INT1: u8 = Op::Binint1 as u8;
        const INT2: u8 = Op::Binint2 as u8;
        const INT4: u8 = Op::Binint as u8;
        const FLOAT: u8 = Op::Binfloat as u8;
        const GET1: u8 = Op::Binget as u8;
        const GET4: u8 = Op::LongBinget as u8;
        let mut rest = reader.ahead();
        let whole = rest.len();
        let mut fault = None;
        // Pushed in each arm, so that what cannot fail has no branch for it.
        macro_rules! push {
            ($made:expr, $after:expr) => {
                match $made.and_then(|object| self.push(object)) {
                    Ok(()) => rest = $after,
                    Err(cause) => {
                        fault = Some(cause);
                        break;
                    }
                }
            };
        }
        while let Some((op, args)) = rest.split_first() {
            match *op {
                NONE => push!(build.none(), args),
                TRUE => push!(build.bool(true), args),
                FALSE => push!(build.bool(false), args),
                INT1 => {
                    let Some((n, after)) = args.split_first() else { break };
                    push!(build.int((*n).into()), after);
                }
                INT2 => {
                    let Some((n, after)) = args.split_first_chunk() else { break };
                    push!(build.int(u16::from_le_bytes(*n).into()), after);
                }
                INT4 => {
                    let Some((n, after)) = args.split_first_chunk() else { break };
                    push!(build.int(i32::from_le_bytes(*n).into()), after);
                }
                FLOAT => {
                    let Some((n, after)) = args.split_first_chunk() else { break };
                    push!(build.float(f64::from_be_bytes(*n)), after);
                }
                GET1 => {
                    let [index, next, ..] = *args else { break };
                    if next == Op::ShortBinbytes as u8 {
                        break;
                    }
                    let Some(found) = self.memo.get(index.into()) else { break };
                    let object = build.share(found);
                    push!(Ok(object), &args[1..]);
                }
                GET4 => {
                    let Some((n, after)) = args.split_first_chunk() else { break };
                    let index = u32::from_le_bytes(*n);
                    let Some(found) = self.memo.get(index.into()) else { break };
                    let object = build.share(found);
                    push!(Ok(object), after);
                }
                _ => break,
            }
            until_tick -= 1;
            if until_tick == 0 {
                until_tick = TICK_OPCODES;
                if let Err(cause) = build.tick() {
                    fault = Some(cause);
                    break;
                }
            }
        }
        let used = whole - rest.len();
        reader.skip(used);
        fault.map_or(Ok(until_tick), Err)
    }
}
