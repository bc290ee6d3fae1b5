"""Is a pickle stream well formed? Asked of ``pickletools``, which knows nothing of us."""

import io
import pickletools

PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
GETS = ("GET", "BINGET", "LONG_BINGET")


def check_stream(data, protocol=None, *, known=0):
    """Raise AssertionError unless `data` is one well-formed pickle; return its opcode names.

    `known` is how many memo entries earlier pickles of the same pickler have made.
    """
    data = bytes(data)
    operations = list(pickletools.genops(data))
    names = [op.name for op, _, _ in operations]
    assert names[-1] == "STOP"
    assert names.count("STOP") == 1
    assert operations[-1][2] == len(data) - 1, "bytes after STOP"
    check_memo(operations, known)
    check_frames(operations, len(data))
    if protocol is not None:
        highest = max(op.proto for op, _, _ in operations)
        assert highest <= protocol, f"an opcode of protocol {highest} in protocol {protocol}"
        if protocol >= 2:
            assert operations[0][0].name == "PROTO"
            assert operations[0][1] == protocol
        else:
            assert "PROTO" not in names
    memo = dict.fromkeys(range(known), pickletools.StackObject("any", object, "known before"))
    pickletools.dis(data, out=io.StringIO(), memo=memo)
    return names


def check_memo(operations, known):
    """Indices are dense and in order; nothing is fetched that was not stored."""
    stored = known
    for op, argument, position in operations:
        if op.name in PUTS:
            index = stored if op.name == "MEMOIZE" else argument
            assert index == stored, f"{op.name} {index} at {position}: expected index {stored}"
            stored += 1
        elif op.name in GETS:
            assert argument < stored, f"{op.name} {argument} at {position}: never stored"


def check_frames(operations, length):
    """A frame ends where an opcode ends, inside the stream, and none begins within another."""
    end = 0
    starts = {position for _, _, position in operations} | {length}
    for op, argument, position in operations:
        if op.name == "FRAME":
            assert position >= end, f"frame at {position} begins inside the one before"
            end = position + 9 + argument
            assert end in starts, f"frame at {position} ends within an opcode"


def opcodes(data):
    """The names of the stream's opcodes, in order."""
    return [op.name for op, _, _ in pickletools.genops(data)]
