//! A value tree with its builder and its walker: the decoder and the encoder
//! with no interpreter, for tests, fuzzing and benches.

use crate::decode::{Build, Cause, DecodeError, Decoder, SliceReader, Step, TextContext};
use crate::encode::Encoder;
use crate::error::Error;
use crate::opcode::Op;
use crate::out::HeapStorage;
use std::cell::RefCell;
use std::rc::Rc;

/// What a stream can hold, as plain data. Containers are shared by `Rc`, so
/// identity and cycles survive.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "names are pickle's")]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    BigInt(Vec<u8>),
    Float(f64),
    Str(Rc<str>),
    Bytes(Rc<[u8]>),
    ByteArray(Rc<RefCell<Vec<u8>>>),
    Tuple(Rc<[Value]>),
    List(Rc<RefCell<Vec<Value>>>),
    Dict(Rc<RefCell<Vec<(Value, Value)>>>),
    Set(Rc<RefCell<Vec<Value>>>),
    FrozenSet(Rc<[Value]>),
    Global(Rc<(String, String)>),
    /// Anything that a call makes: what was called, with what, and its state.
    Call(Rc<Call>),
    /// An out-of-band buffer, persistent id or extension.
    Foreign(&'static str, Rc<[Value]>),
}

/// A call in a stream.
#[derive(Debug)]
#[allow(missing_docs, reason = "plain fields")]
pub struct Call {
    pub callable: Value,
    pub args: Value,
    pub state: RefCell<Vec<Value>>,
}

/// Builds a [`Value`].
#[derive(Debug, Default)]
pub struct ValueBuilder;

type V = Step<Value, Error>;

fn text(bytes: &[u8]) -> Result<String, Cause<Error>> {
    // Surrogates are legal in a stream and not in a Rust string: shown as '?'.
    match core::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Ok(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn pairs(stack: &mut Vec<Value>, from: usize) -> Vec<(Value, Value)> {
    let mut items = stack.drain(from..);
    let mut pairs = Vec::new();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

impl Build for ValueBuilder {
    type Obj = Value;
    type Error = Error;

    fn none(&mut self) -> V {
        Ok(Value::None)
    }
    fn bool(&mut self, value: bool) -> V {
        Ok(Value::Bool(value))
    }
    fn int(&mut self, value: i64) -> V {
        Ok(Value::Int(value))
    }
    fn int_bytes(&mut self, bytes: &[u8]) -> V {
        Ok(Value::BigInt(bytes.to_vec()))
    }
    fn int_text(&mut self, digits: &[u8]) -> V {
        if digits.is_empty() {
            Err(Error::BadText.into())
        } else {
            Ok(Value::BigInt(digits.to_vec()))
        }
    }
    fn float(&mut self, value: f64) -> V {
        Ok(Value::Float(value))
    }
    fn float_text(&mut self, digits: &[u8]) -> V {
        let parsed = core::str::from_utf8(digits).ok().and_then(|t| t.trim().parse().ok());
        parsed.map(Value::Float).ok_or(Cause::Format(Error::BadText))
    }
    fn str(&mut self, utf8: &[u8], _: TextContext<'_, Value>) -> V {
        Ok(Value::Str(text(utf8)?.into()))
    }
    fn str_escaped(&mut self, escaped: &[u8]) -> V {
        Ok(Value::Str(text(escaped)?.into()))
    }
    fn string(&mut self, bytes: &[u8]) -> V {
        Ok(Value::Bytes(bytes.into()))
    }
    fn string_literal(&mut self, literal: &[u8]) -> V {
        match literal {
            [open, inner @ .., close] if open == close && matches!(*open, b'\'' | b'"') => {
                Ok(Value::Bytes(inner.into()))
            }
            _ => Err(Error::BadText.into()),
        }
    }
    fn bytes(&mut self, bytes: &[u8]) -> V {
        Ok(Value::Bytes(bytes.into()))
    }
    fn bytearray(&mut self, bytes: &[u8]) -> V {
        Ok(Value::ByteArray(Rc::new(RefCell::new(bytes.to_vec()))))
    }
    fn next_buffer(&mut self) -> V {
        Ok(Value::Foreign("buffer", Rc::new([])))
    }
    fn readonly_buffer(&mut self, buffer: Value) -> V {
        Ok(buffer)
    }
    fn empty_tuple(&mut self) -> V {
        Ok(Value::Tuple(Rc::new([])))
    }
    fn tuple(&mut self, stack: &mut Vec<Value>, from: usize) -> Step<(), Error> {
        let items: Rc<[Value]> = stack.drain(from..).collect();
        stack.push(Value::Tuple(items));
        Ok(())
    }
    fn empty_list(&mut self) -> V {
        Ok(Value::List(Rc::default()))
    }
    fn list(&mut self, stack: &mut Vec<Value>, from: usize) -> Step<(), Error> {
        let items: Vec<Value> = stack.drain(from..).collect();
        stack.push(Value::List(Rc::new(RefCell::new(items))));
        Ok(())
    }
    fn append(&mut self, stack: &mut Vec<Value>, from: usize) -> Step<(), Error> {
        let items: Vec<Value> = stack.drain(from..).collect();
        match stack.last() {
            Some(Value::List(list)) => list.borrow_mut().extend(items),
            Some(Value::Call(call)) => call.state.borrow_mut().extend(items),
            _ => return Err(Error::BadText.into()),
        }
        Ok(())
    }
    fn empty_dict(&mut self) -> V {
        Ok(Value::Dict(Rc::default()))
    }
    fn dict(&mut self, stack: &mut Vec<Value>, from: usize) -> Step<(), Error> {
        let pairs = pairs(stack, from);
        stack.push(Value::Dict(Rc::new(RefCell::new(pairs))));
        Ok(())
    }
    fn set_items(
        &mut self,
        stack: &mut Vec<Value>,
        from: usize,
        _: Option<Op>,
    ) -> Step<bool, Error> {
        let pairs = pairs(stack, from);
        match stack.last() {
            Some(Value::Dict(dict)) => dict.borrow_mut().extend(pairs),
            Some(Value::Call(call)) => {
                call.state.borrow_mut().extend(pairs.into_iter().map(|(_, value)| value));
            }
            _ => return Err(Error::BadText.into()),
        }
        Ok(false)
    }
    fn empty_set(&mut self) -> V {
        Ok(Value::Set(Rc::default()))
    }
    fn add_items(&mut self, stack: &mut Vec<Value>, from: usize) -> Step<(), Error> {
        let items: Vec<Value> = stack.drain(from..).collect();
        match stack.last() {
            Some(Value::Set(set)) => set.borrow_mut().extend(items),
            _ => return Err(Error::BadText.into()),
        }
        Ok(())
    }
    fn frozenset(&mut self, stack: &mut Vec<Value>, from: usize) -> Step<(), Error> {
        let items: Rc<[Value]> = stack.drain(from..).collect();
        stack.push(Value::FrozenSet(items));
        Ok(())
    }
    fn global(&mut self, module: &[u8], name: &[u8]) -> V {
        Ok(Value::Global(Rc::new((text(module)?, text(name)?))))
    }
    fn stack_global(&mut self, module: Value, name: Value) -> V {
        match (module, name) {
            (Value::Str(module), Value::Str(name)) => {
                Ok(Value::Global(Rc::new((module.to_string(), name.to_string()))))
            }
            _ => Err(Error::GlobalNotStr.into()),
        }
    }
    fn extension(&mut self, code: i64) -> V {
        Ok(Value::Foreign("extension", Rc::new([Value::Int(code)])))
    }
    fn persistent(&mut self, id: Value) -> V {
        Ok(Value::Foreign("persistent", Rc::new([id])))
    }
    fn persistent_text(&mut self, id: &[u8]) -> V {
        if id.is_ascii() {
            Ok(Value::Foreign("persistent", Rc::new([Value::Bytes(id.into())])))
        } else {
            Err(Error::PersidNotAscii.into())
        }
    }
    fn reduce(&mut self, callable: Value, args: Value) -> V {
        Ok(Value::Call(Rc::new(Call { callable, args, state: RefCell::default() })))
    }
    fn instance(&mut self, class: Value, stack: &mut Vec<Value>, from: usize) -> V {
        let args = Value::Tuple(stack.drain(from..).collect());
        self.reduce(class, args)
    }
    fn newobj(&mut self, class: Value, args: Value) -> V {
        self.reduce(class, args)
    }
    fn newobj_ex(&mut self, class: Value, args: Value, _: Value) -> V {
        self.reduce(class, args)
    }
    fn build(&mut self, object: &Value, state: Value) -> Step<(), Error> {
        if let Value::Call(call) = object {
            call.state.borrow_mut().push(state);
        }
        Ok(())
    }
    fn share(&mut self, object: &Value) -> Value {
        object.clone()
    }
    fn tick(&mut self) -> Step<(), Error> {
        Ok(())
    }
}

/// Decodes a stream into a [`Value`]. A deep or cyclic value is leaked on drop
/// or overflows the stack there; use [`crate::decode::Decoder`] with a builder
/// of your own for such streams, or [`check`].
pub fn decode_value(stream: &[u8]) -> Result<Value, DecodeError<Error>> {
    Decoder::default().decode(&mut SliceReader::new(stream), &mut ValueBuilder)
}

/// Runs the stack machine over a stream and builds nothing.
pub fn check(stream: &[u8]) -> Result<(), DecodeError<Error>> {
    crate::decode::verify(stream)
}

/// Encodes a tree-shaped [`Value`] (no sharing looked for) by the encoder.
pub fn encode_value(value: &Value, proto: u8) -> Result<Vec<u8>, Error> {
    let mut enc = Encoder::new(HeapStorage::default(), proto);
    enc.begin();
    write(&mut enc, value)?;
    enc.finish()?;
    Ok(enc.into_vec())
}

fn write(enc: &mut Encoder<HeapStorage>, value: &Value) -> Result<(), Error> {
    if enc.at_boundary() {
        enc.service()?;
    }
    match value {
        Value::None => enc.none(),
        Value::Bool(b) => enc.bool(*b),
        Value::Int(i) => enc.int(*i),
        Value::BigInt(bytes) => enc.int_bytes(bytes)?,
        Value::Float(f) => enc.float(*f),
        Value::Str(s) => enc.str(s.as_bytes())?,
        Value::Bytes(b) => enc.bytes(b)?,
        Value::ByteArray(b) => enc.bytearray(&b.borrow()),
        Value::Tuple(items) => {
            enc.op(Op::Mark);
            items.iter().try_for_each(|item| write(enc, item))?;
            enc.op(Op::Tuple);
        }
        Value::List(items) => {
            enc.op(Op::EmptyList);
            enc.op(Op::Mark);
            items.borrow().iter().try_for_each(|item| write(enc, item))?;
            enc.op(Op::Appends);
        }
        Value::Dict(items) => {
            enc.op(Op::EmptyDict);
            enc.op(Op::Mark);
            for (key, value) in items.borrow().iter() {
                write(enc, key)?;
                write(enc, value)?;
            }
            enc.op(Op::Setitems);
        }
        Value::Set(items) => {
            enc.op(Op::EmptySet);
            enc.op(Op::Mark);
            items.borrow().iter().try_for_each(|item| write(enc, item))?;
            enc.op(Op::Additems);
        }
        Value::FrozenSet(items) => {
            enc.op(Op::Mark);
            items.iter().try_for_each(|item| write(enc, item))?;
            enc.op(Op::Frozenset);
        }
        Value::Global(names) => {
            enc.str(names.0.as_bytes())?;
            enc.str(names.1.as_bytes())?;
            enc.op(Op::StackGlobal);
        }
        Value::Call(call) => {
            write(enc, &call.callable)?;
            write(enc, &call.args)?;
            enc.op(Op::Reduce);
        }
        Value::Foreign(..) => return Err(Error::ProtocolLimit("not a plain value")),
    }
    Ok(())
}
