//! One instruction of PTX. PTX ISA, "Instruction Set".

use std::sync::Arc;

use super::ir::{Action, Address, Exchange, Instruction, Source, Space, Special, Type};
use super::lex::number;
use super::parse::{Meaning, Reader};
use super::{Refusal, alu, convert};

/// Where shared memory and a thread's own lie among generic addresses: where no memory of the host's or of a device's is.
pub const SHARED: u64 = 0xf1 << 56;
pub const LOCAL: u64 = 0xf2 << 56;

type Read<T> = Result<T, Refusal>;

fn special(name: &str) -> Option<Special> {
    let axis = |name: &str| match name {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        _ => None,
    };
    let (register, of) = name.strip_prefix('%')?.split_once('.').unwrap_or((&name[1..], ""));
    Some(match register {
        "tid" => Special::Thread(axis(of)?),
        "ntid" => Special::Threads(axis(of)?),
        "ctaid" => Special::Block(axis(of)?),
        "nctaid" => Special::Blocks(axis(of)?),
        "laneid" => Special::Lane,
        "warpid" => Special::Warp,
        "WARP_SZ" => Special::WarpSize,
        "dynamic_smem_size" => Special::DynamicShared,
        "clock" | "clock64" | "globaltimer" => Special::Clock,
        "lanemask_lt" => Special::MaskLess,
        "lanemask_le" => Special::MaskLessEqual,
        "lanemask_gt" => Special::MaskGreater,
        "lanemask_ge" => Special::MaskGreaterEqual,
        "lanemask_eq" => Special::MaskEqual,
        "smid" | "nsmid" | "gridid" => Special::Zero,
        _ => return None,
    })
}

/// The suffixes that say who sees an access, or how it is cached: interpretation has one order for all.
fn is_order(suffix: &str) -> bool {
    matches!(
        suffix,
        "volatile"
            | "relaxed"
            | "acquire"
            | "release"
            | "acq_rel"
            | "weak"
            | "cta"
            | "gpu"
            | "sys"
            | "cluster"
            | "ca"
            | "cg"
            | "cs"
            | "lu"
            | "cv"
            | "wb"
            | "wt"
            | "nc"
            | "L1::evict_last"
            | "L1::no_allocate"
            | "L2::128B"
            | "L2::64B"
            | "L2::256B"
    )
}

fn space(suffix: &str) -> Option<Space> {
    Some(match suffix {
        "global" | "const" => Space::Global,
        "shared" | "shared::cta" => Space::Shared,
        "local" => Space::Local,
        "param" => Space::Param,
        _ => return None,
    })
}

impl Reader<'_> {
    fn register(&mut self) -> Read<u32> {
        let name = self.next();
        match self.meaning(name) {
            Some(Meaning::Register(register)) => Ok(register),
            _ => self.refuse(format!("{name} is no register")),
        }
    }

    /// A register to write, or `_`.
    fn sink(&mut self) -> Read<Option<u32>> {
        if self.take("_") { Ok(None) } else { self.register().map(Some) }
    }

    fn source(&mut self) -> Read<Source> {
        if self.take("-") {
            let Some(value) = number(self.next()) else {
                return self.refuse("a number is expected");
            };
            return Ok(Source::Number(value.wrapping_neg()));
        }
        let name = self.next();
        if let Some(value) = number(name) {
            return Ok(Source::Number(value));
        }
        if let Some(special) = special(name) {
            return Ok(Source::Special(special));
        }
        if name == "WARP_SZ" {
            return Ok(Source::Special(Special::WarpSize));
        }
        match self.meaning(name) {
            Some(Meaning::Register(register)) => Ok(Source::Register(register)),
            Some(Meaning::Shared(at) | Meaning::Local(at) | Meaning::Parameter(at)) => {
                Ok(Source::Number(at))
            }
            Some(Meaning::Variable(at)) => Ok(Source::Variable(at)),
            None if self.is_dynamic_shared(name) => Ok(Source::Special(Special::DynamicStart)),
            None => self.refuse(format!("{name} is not known")),
        }
    }

    fn comma_source(&mut self) -> Read<Source> {
        self.expect(",")?;
        self.source()
    }

    fn address(&mut self, space: Space) -> Read<Address> {
        self.expect("[")?;
        let base = self.source()?;
        let mut offset = 0;
        if self.take("+") {
            let negative = self.take("-");
            let value = number(self.next()).map(|n| n as i64);
            let Some(value) = value else { return self.refuse("a number is expected") };
            offset = if negative { -value } else { value };
        }
        self.expect("]")?;
        Ok(Address { space, base, offset })
    }

    /// One item, or several in braces.
    fn group<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        if !self.take("{") {
            return Ok(vec![item(self)?]);
        }
        let mut items = vec![item(self)?];
        while self.take(",") {
            items.push(item(self)?);
        }
        self.expect("}")?;
        Ok(items)
    }
}

/// Reads one instruction, with the label that it jumps to.
pub fn decode<'a>(reader: &mut Reader<'a>) -> Read<(Instruction, Option<&'a str>)> {
    let line = reader.line();
    let mut guard = None;
    if reader.take("@") {
        let negated = reader.take("!");
        guard = Some((reader.register()?, negated));
    }
    let text = reader.next();
    let mut parts = text.split('.');
    let name = parts.next().unwrap_or_default();
    let suffixes: Vec<&str> = parts.collect();
    let mut target = None;
    let action = if name == "bra" {
        target = Some(reader.next());
        Action::Nothing
    } else {
        let action = act(reader, name, &suffixes)?;
        action.ok_or_else(|| Refusal { line, why: format!("{text} is not interpreted") })?
    };
    reader.expect(";")?;
    Ok((Instruction { guard, action, line, text: Arc::from(text) }, target))
}

/// What the instruction does; `None` if it is not interpreted.
fn act(reader: &mut Reader<'_>, name: &str, suffixes: &[&str]) -> Read<Option<Action>> {
    let kind = suffixes.iter().rev().find_map(|suffix| Type::named(suffix));
    Ok(match (name, kind) {
        ("ret" | "exit", _) => Some(Action::End),
        ("trap", _) => Some(Action::Trap),
        ("membar" | "fence", _) => Some(Action::Nothing),
        ("nanosleep", _) => {
            reader.source()?;
            Some(Action::Nothing)
        }
        ("bar" | "barrier", _) => barrier(reader, suffixes)?,
        ("mov", Some(kind)) => mov(reader, kind)?,
        ("ld" | "ldu", Some(kind)) => access(reader, suffixes, kind, true)?,
        ("st", Some(kind)) => access(reader, suffixes, kind, false)?,
        ("atom", Some(kind)) => atomic(reader, suffixes, kind, true)?,
        ("red", Some(kind)) => atomic(reader, suffixes, kind, false)?,
        ("setp", Some(kind)) => compare(reader, suffixes, kind)?,
        ("cvt", Some(_)) => conversion(reader, suffixes)?,
        ("cvta", _) => address_conversion(reader, suffixes)?,
        ("isspacep", _) => is_space(reader, suffixes)?,
        ("shfl" | "vote" | "redux" | "activemask", _) => warp(reader, name, suffixes, kind)?,
        ("lop3", _) => lop3(reader)?,
        ("bfi", Some(kind)) => insert(reader, kind)?,
        (_, Some(kind)) => {
            let rest: Vec<&str> =
                suffixes.iter().copied().filter(|s| Type::named(s).is_none()).collect();
            let Some((function, count)) = alu::find(name, &rest, kind) else { return Ok(None) };
            let to = reader.register()?;
            let mut from = [Source::Number(0); 3];
            for source in from.iter_mut().take(count) {
                *source = reader.comma_source()?;
            }
            Some(Action::Compute { function, to, from })
        }
        (_, None) => None,
    })
}

fn barrier(reader: &mut Reader<'_>, suffixes: &[&str]) -> Read<Option<Action>> {
    if suffixes.contains(&"warp") {
        let mask = reader.source()?;
        let from = [Source::Number(0); 3];
        return Ok(Some(Action::Warp {
            exchange: Exchange::Sync,
            to: [None; 2],
            from,
            mask,
            negated: false,
        }));
    }
    if !suffixes.contains(&"sync") {
        return Ok(None);
    }
    let id = reader.source()?;
    let count = if reader.take(",") { Some(reader.source()?) } else { None };
    Ok(Some(Action::Barrier { id, count }))
}

fn mov(reader: &mut Reader<'_>, kind: Type) -> Read<Option<Action>> {
    let bits = |parts: usize| 8 * kind.size() as u32 / parts as u32;
    if reader.peek() == "{" {
        let to = reader.group(Reader::register)?;
        let bits = bits(to.len());
        return Ok(Some(Action::Split { to, from: reader.comma_source()?, bits }));
    }
    let to = reader.register()?;
    reader.expect(",")?;
    if reader.peek() == "{" {
        let from = reader.group(Reader::source)?;
        let bits = bits(from.len());
        return Ok(Some(Action::Join { to, from, bits }));
    }
    Ok(Some(Action::Compute {
        function: |a, _, _| a,
        to,
        from: [reader.source()?, Source::Number(0), Source::Number(0)],
    }))
}

fn access(
    reader: &mut Reader<'_>,
    suffixes: &[&str],
    kind: Type,
    load: bool,
) -> Read<Option<Action>> {
    let mut found = Space::Generic;
    for suffix in suffixes {
        match space(suffix) {
            Some(space) => found = space,
            None if is_order(suffix)
                || Type::named(suffix).is_some()
                || matches!(*suffix, "v2" | "v4") => {}
            None => return Ok(None),
        }
    }
    if load {
        let to = reader.group(Reader::sink)?;
        reader.expect(",")?;
        return Ok(Some(Action::Load { to, kind, address: reader.address(found)? }));
    }
    let address = reader.address(found)?;
    reader.expect(",")?;
    Ok(Some(Action::Store { from: reader.group(Reader::source)?, kind, address }))
}

fn atomic(
    reader: &mut Reader<'_>,
    suffixes: &[&str],
    kind: Type,
    result: bool,
) -> Read<Option<Action>> {
    let mut found = Space::Generic;
    let mut operation = "";
    for suffix in suffixes {
        match space(suffix) {
            Some(space) => found = space,
            None if is_order(suffix) || Type::named(suffix).is_some() => {}
            None if operation.is_empty() => operation = suffix,
            None => return Ok(None),
        }
    }
    let Some(function) = alu::atomic(operation, kind) else { return Ok(None) };
    let mut to = None;
    if result {
        to = reader.sink()?;
        reader.expect(",")?;
    }
    let address = reader.address(found)?;
    let first = reader.comma_source()?;
    let second = if operation == "cas" { reader.comma_source()? } else { Source::Number(0) };
    Ok(Some(Action::Atomic { function, kind, to, address, from: [first, second] }))
}

fn compare(reader: &mut Reader<'_>, suffixes: &[&str], kind: Type) -> Read<Option<Action>> {
    let (how, join): (&str, super::ir::Function) = match suffixes[..suffixes.len() - 1] {
        [how] => (how, |test, _, _| test),
        [how, "and"] => (how, |test, c, _| test & c),
        [how, "or"] => (how, |test, c, _| test | c),
        [how, "xor"] => (how, |test, c, _| test ^ c),
        _ => return Ok(None),
    };
    let Some(function) = alu::compare(how, kind) else { return Ok(None) };
    let first = reader.sink()?;
    let second = if reader.take("|") { reader.sink()? } else { None };
    let mut from = [reader.comma_source()?, reader.comma_source()?, Source::Number(1)];
    let mut negated = false;
    if reader.take(",") {
        negated = reader.take("!");
        from[2] = reader.source()?;
    }
    Ok(Some(Action::Compare { function, join, to: [first, second], from, negated }))
}

fn conversion(reader: &mut Reader<'_>, suffixes: &[&str]) -> Read<Option<Action>> {
    let [how @ .., to, from] = suffixes else { return Ok(None) };
    let (Some(to), Some(from)) = (Type::named(to), Type::named(from)) else { return Ok(None) };
    let Some(conversion) = convert::find(how, to, from) else { return Ok(None) };
    let register = reader.register()?;
    Ok(Some(Action::Convert { conversion, to: register, from: reader.comma_source()? }))
}

/// Between addresses of a space and generic ones.
fn address_conversion(reader: &mut Reader<'_>, suffixes: &[&str]) -> Read<Option<Action>> {
    let (into_space, rest) = match suffixes {
        ["to", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let [of, "u64"] = rest else { return Ok(None) };
    let function: super::ir::Function = match (space(of), into_space) {
        (Some(Space::Global), _) => |a, _, _| a,
        (Some(Space::Shared), true) => |a, _, _| a.wrapping_sub(SHARED),
        (Some(Space::Shared), false) => |a, _, _| a.wrapping_add(SHARED),
        (Some(Space::Local), true) => |a, _, _| a.wrapping_sub(LOCAL),
        (Some(Space::Local), false) => |a, _, _| a.wrapping_add(LOCAL),
        _ => return Ok(None),
    };
    let to = reader.register()?;
    Ok(Some(Action::Compute {
        function,
        to,
        from: [reader.comma_source()?, Source::Number(0), Source::Number(0)],
    }))
}

fn is_space(reader: &mut Reader<'_>, suffixes: &[&str]) -> Read<Option<Action>> {
    let Some(space) = suffixes.first().and_then(|suffix| space(suffix)) else { return Ok(None) };
    let to = reader.register()?;
    Ok(Some(Action::IsSpace { to, from: reader.comma_source()?, space }))
}

fn warp(
    reader: &mut Reader<'_>,
    name: &str,
    suffixes: &[&str],
    kind: Option<Type>,
) -> Read<Option<Action>> {
    if name == "activemask" {
        return Ok(Some(Action::ActiveMask { to: reader.register()? }));
    }
    let Some(("sync", rest)) = suffixes.split_first().map(|(first, rest)| (*first, rest)) else {
        return Ok(None);
    };
    let exchange = match (name, rest.first().copied(), kind) {
        ("shfl", Some("up"), _) => Exchange::Up,
        ("shfl", Some("down"), _) => Exchange::Down,
        ("shfl", Some("bfly"), _) => Exchange::Butterfly,
        ("shfl", Some("idx"), _) => Exchange::Index,
        ("vote", Some("ballot"), _) => Exchange::Ballot,
        ("vote", Some("any"), _) => Exchange::Any,
        ("vote", Some("all"), _) => Exchange::All,
        ("vote", Some("uni"), _) => Exchange::Uniform,
        ("redux", Some(operation), Some(kind)) => match alu::atomic(operation, kind) {
            Some(function) => Exchange::Reduce(function, kind),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let first = reader.sink()?;
    let second = if reader.take("|") { reader.sink()? } else { None };
    reader.expect(",")?;
    let negated = reader.take("!");
    let mut from = [reader.source()?, Source::Number(0), Source::Number(0)];
    if name == "shfl" {
        from[1] = reader.comma_source()?;
        from[2] = reader.comma_source()?;
    }
    let mask = reader.comma_source()?;
    Ok(Some(Action::Warp { exchange, to: [first, second], from, mask, negated }))
}

/// Any function of three bits, by its table.
fn lop3(reader: &mut Reader<'_>) -> Read<Option<Action>> {
    let to = reader.register()?;
    let from = [reader.comma_source()?, reader.comma_source()?, reader.comma_source()?];
    let Source::Number(table) = reader.comma_source()? else { return Ok(None) };
    Ok(Some(Action::Table { table: table as u8, to, from }))
}

fn insert(reader: &mut Reader<'_>, kind: Type) -> Read<Option<Action>> {
    let to = reader.register()?;
    let from = [reader.comma_source()?, reader.comma_source()?];
    let [start, length] = [reader.comma_source()?, reader.comma_source()?];
    Ok(Some(Action::Insert { kind, to, from, start, length }))
}
