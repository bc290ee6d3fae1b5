//! Write a stream with the encoder, list its opcodes, run the stack machine over it: no Python.

use ferropickle_core::encode::Encoder;
use ferropickle_core::opcode::{Op, dis::dis};
use ferropickle_core::out::HeapStorage;
use ferropickle_core::testing::{Value, check, decode_value};

/// The stream of `{'name': 'iron', 'weights': [55.845, 56]}`.
fn element() -> Result<Vec<u8>, ferropickle_core::Error> {
    let mut enc = Encoder::new(HeapStorage::default(), 5);
    enc.begin();
    enc.op(Op::EmptyDict);
    enc.memoize(); // the root is always memoized
    enc.op(Op::Mark);
    enc.str(b"name")?;
    enc.str(b"iron")?;
    enc.str(b"weights")?;
    enc.op(Op::EmptyList);
    enc.op(Op::Mark);
    enc.float(55.845);
    enc.int(56);
    enc.op(Op::Appends);
    enc.op(Op::Setitems);
    enc.finish()?;
    Ok(enc.into_vec())
}

fn main() -> Result<(), ferropickle_core::Error> {
    let stream = element()?;
    print!("{}", dis(&stream));

    assert!(check(&stream).is_ok());
    let Ok(Value::Dict(items)) = decode_value(&stream) else { panic!("a dict was written") };
    assert_eq!(items.borrow().len(), 2);

    // Cut anywhere, the stream is refused, never read past its end.
    assert!((0..stream.len()).all(|n| check(&stream[..n]).is_err()));
    println!("{} bytes; every shorter piece of it is refused", stream.len());
    Ok(())
}

#[test]
fn runs() {
    main().expect("the example checks itself");
}
