//! What the encoder writes.

use super::*;

fn stream(proto: u8, write: impl FnOnce(&mut Encoder<HeapStorage>)) -> Vec<u8> {
    let mut enc = Encoder::new(HeapStorage::default(), proto);
    enc.begin();
    write(&mut enc);
    enc.finish().expect("memory is there");
    enc.into_vec()
}

#[test]
fn ints_take_the_shortest_form() {
    let one = |v| stream(3, |e| e.int(v));
    assert_eq!(one(7), b"\x80\x03K\x07.");
    assert_eq!(one(256), b"\x80\x03M\x00\x01.");
    assert_eq!(one(-1), b"\x80\x03J\xff\xff\xff\xff.");
    assert_eq!(one(1 << 31), b"\x80\x03\x8a\x05\x00\x00\x00\x80\x00.");
    assert_eq!(one(-(1 << 31) - 1), b"\x80\x03\x8a\x05\xff\xff\xff\x7f\xff.");
    assert_eq!(one(i64::MIN), b"\x80\x03\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.");
    assert_eq!(stream(0, |e| e.int(5)), b"I5\n.");
    assert_eq!(stream(0, |e| e.int(1 << 40)), b"L1099511627776L\n.");
}

#[test]
fn a_run_of_short_values_is_written_as_one_by_one() {
    #[derive(Clone, Copy)]
    enum Short {
        None,
        Bool(bool),
        Int(i64),
        Float(f64),
        Get(u32),
    }
    let near = |bits: u32| (-1..2).map(move |by| (1i64 << bits).wrapping_add(by));
    let ints = (0..64).flat_map(near).flat_map(|v| [v, v.wrapping_neg()]);
    let mut values: Vec<Short> = ints.map(Short::Int).collect();
    for i in 0..30_000u32 {
        values.push(match i % 6 {
            0 => Short::None,
            1 => Short::Bool(i % 4 == 1),
            2 => Short::Float(f64::from(i) / 7.0),
            3 => Short::Get(i % 1000),
            _ => Short::Int(i64::from(i) * 7),
        });
    }
    let single = |e: &mut Encoder<HeapStorage>, value: Short| match value {
        Short::None => e.none(),
        Short::Bool(value) => e.bool(value),
        Short::Int(value) => e.int(value),
        Short::Float(value) => e.float(value),
        Short::Get(index) => e.get(index),
    };
    let serve = |e: &mut Encoder<HeapStorage>| {
        if e.at_boundary() {
            e.service().expect("memory is there");
        }
    };
    let singly = stream(4, |e| {
        for v in &values {
            single(e, *v);
            serve(e);
        }
    });
    let in_runs = stream(4, |e| {
        let mut done = 0;
        while done < values.len() {
            let mut run = e.run(usize::MAX);
            while run.has_room() && done < values.len() {
                match values[done] {
                    Short::None => run.none(),
                    Short::Bool(value) => run.bool(value),
                    Short::Int(value @ 0..=255) => run.byte(value as u8),
                    Short::Int(value) => run.int(value),
                    Short::Float(value) => run.float(value),
                    Short::Get(index) => assert!(run.get(index)),
                }
                done += 1;
            }
            drop(run);
            if done < values.len() {
                single(e, values[done]);
                done += 1;
            }
            serve(e);
        }
    });
    assert_eq!(singly, in_runs);
}

#[test]
fn a_run_has_room_for_what_was_asked_and_no_entries_of_a_part() {
    assert_eq!(stream(1, |e| assert!(!e.run(9).has_room())), b".");
    let three = stream(4, |e| {
        let mut run = e.run(3);
        for _ in 0..3 {
            assert!(run.has_room());
            run.int(i64::MAX);
        }
        assert!(!run.has_room());
    });
    assert_eq!(three.len(), 2 + 9 + 3 * 10 + 1);
    assert_eq!(stream(3, |e| assert!(!e.run(1).get(parts::OWN_INDICES))), b"\x80\x03.");
}

#[test]
fn a_tiny_frame_has_no_header_and_a_larger_one_has() {
    assert_eq!(stream(4, |e| e.none()), b"\x80\x04N.");
    let framed = stream(4, |e| (0..4).for_each(|_| e.none()));
    assert_eq!(framed, b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00NNNN.");
}

#[test]
fn a_large_payload_stands_outside_frames() {
    let data = vec![1u8; FRAME_TARGET_BYTES];
    let bytes = stream(4, |e| {
        (0..4).for_each(|_| e.none());
        e.bytes(&data).expect("fits");
        e.op(Op::Pop);
    });
    assert_eq!(&bytes[2..11], b"\x95\x04\x00\x00\x00\x00\x00\x00\x00");
    assert_eq!(bytes[15], Op::Binbytes as u8);
    assert_eq!(&bytes[bytes.len() - 2..], b"0.");
}

#[test]
fn reserved_bytes_are_where_they_were_said_to_be() {
    for n in [0, 5, FRAME_TARGET_BYTES, 3 * FRAME_TARGET_BYTES] {
        let data: Vec<u8> = (0..n).map(|i| i as u8).collect();
        let written = stream(5, |e| {
            e.bytearray(&data);
            e.bytes(&data).expect("fits");
        });
        let reserved = stream(5, |e| {
            let at = e.bytearray_reserved(n);
            e.bytes(&data).expect("fits");
            e.reserved(at, n).expect("memory is there").copy_from_slice(&data);
        });
        assert_eq!(written, reserved, "{n} bytes");
    }
}

#[test]
fn frames_are_closed_at_boundaries() {
    let bytes = stream(4, |e| {
        for _ in 0..3 * FRAME_TARGET_BYTES {
            e.none();
            if e.at_boundary() {
                e.service().expect("memory is there");
            }
        }
    });
    assert_eq!(bytes.iter().filter(|b| **b == Op::Frame as u8).count(), 3);
}
