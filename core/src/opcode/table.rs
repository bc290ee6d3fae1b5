//! The table itself: one row an opcode, in the order of `pickletools`.

use super::{Arg, OpInfo};

macro_rules! opcodes {
    ($($variant:ident $name:literal $code:literal $arg:ident $proto:literal $doc:literal;)*) => {
        /// An opcode of pickle; its value is its code byte.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Op {
            $(#[doc = $doc] $variant = $code,)*
        }

        /// Every opcode, documented.
        pub const TABLE: &[OpInfo] = &[
            $(OpInfo { op: Op::$variant, name: $name, arg: Arg::$arg, proto: $proto, doc: $doc },)*
        ];
    };
}

opcodes! {
    Int "INT" b'I' Line 0
        "Pushes an int or bool written as decimal text; `00` and `01` are the bools.";
    Binint "BININT" b'J' I32 1
        "Pushes a 4-byte signed int.";
    Binint1 "BININT1" b'K' U8 1
        "Pushes a 1-byte unsigned int.";
    Binint2 "BININT2" b'M' U16 1
        "Pushes a 2-byte unsigned int.";
    Long "LONG" b'L' Line 0
        "Pushes an int written as decimal text, with an optional trailing `L`.";
    Long1 "LONG1" 0x8a Bytes1 2
        "Pushes an int of up to 255 bytes, little-endian two's complement.";
    Long4 "LONG4" 0x8b Bytes4Signed 2
        "Pushes an int of up to 2^31-1 bytes, little-endian two's complement.";
    String "STRING" b'S' Line 0
        "Pushes a Python 2 string written as a quoted literal; `encoding` says as what.";
    Binstring "BINSTRING" b'T' Bytes4Signed 1
        "Pushes a Python 2 string of up to 2^31-1 bytes; `encoding` says as what.";
    ShortBinstring "SHORT_BINSTRING" b'U' Bytes1 1
        "Pushes a Python 2 string of up to 255 bytes; `encoding` says as what.";
    Binbytes "BINBYTES" b'B' Bytes4 3
        "Pushes bytes, length in 4 bytes.";
    ShortBinbytes "SHORT_BINBYTES" b'C' Bytes1 3
        "Pushes bytes, length in 1 byte.";
    Binbytes8 "BINBYTES8" 0x8e Bytes8 4
        "Pushes bytes, length in 8 bytes.";
    Bytearray8 "BYTEARRAY8" 0x96 Bytes8 5
        "Pushes a bytearray, length in 8 bytes.";
    NextBuffer "NEXT_BUFFER" 0x97 None 5
        "Pushes the next out-of-band buffer.";
    ReadonlyBuffer "READONLY_BUFFER" 0x98 None 5
        "Makes the buffer on top of the stack read-only.";
    None "NONE" b'N' None 0
        "Pushes None.";
    Newtrue "NEWTRUE" 0x88 None 2
        "Pushes True.";
    Newfalse "NEWFALSE" 0x89 None 2
        "Pushes False.";
    Unicode "UNICODE" b'V' Line 0
        "Pushes a str written as raw-unicode-escape text.";
    ShortBinunicode "SHORT_BINUNICODE" 0x8c Bytes1 4
        "Pushes a str, UTF-8 (surrogates passed), length in 1 byte.";
    Binunicode "BINUNICODE" b'X' Bytes4 1
        "Pushes a str, UTF-8 (surrogates passed), length in 4 bytes.";
    Binunicode8 "BINUNICODE8" 0x8d Bytes8 4
        "Pushes a str, UTF-8 (surrogates passed), length in 8 bytes.";
    Float "FLOAT" b'F' Line 0
        "Pushes a float written as text.";
    Binfloat "BINFLOAT" b'G' F64 1
        "Pushes a float, 8 bytes big-endian.";
    EmptyList "EMPTY_LIST" b']' None 1
        "Pushes a new empty list.";
    Append "APPEND" b'a' None 0
        "Pops an item and appends it to the list below it.";
    Appends "APPENDS" b'e' None 1
        "Pops all down to the mark and extends the list below it.";
    List "LIST" b'l' None 0
        "Pops all down to the mark and pushes them as a list.";
    EmptyTuple "EMPTY_TUPLE" b')' None 1
        "Pushes the empty tuple.";
    Tuple "TUPLE" b't' None 0
        "Pops all down to the mark and pushes them as a tuple.";
    Tuple1 "TUPLE1" 0x85 None 2
        "Pops one object and pushes the 1-tuple of it.";
    Tuple2 "TUPLE2" 0x86 None 2
        "Pops two objects and pushes the pair of them.";
    Tuple3 "TUPLE3" 0x87 None 2
        "Pops three objects and pushes the triple of them.";
    EmptyDict "EMPTY_DICT" b'}' None 1
        "Pushes a new empty dict.";
    Dict "DICT" b'd' None 0
        "Pops keys and values down to the mark and pushes them as a dict.";
    Setitem "SETITEM" b's' None 0
        "Pops a value and a key and sets them in the dict below.";
    Setitems "SETITEMS" b'u' None 1
        "Pops keys and values down to the mark and sets them in the dict below.";
    EmptySet "EMPTY_SET" 0x8f None 4
        "Pushes a new empty set.";
    Additems "ADDITEMS" 0x90 None 4
        "Pops all down to the mark and adds them to the set below.";
    Frozenset "FROZENSET" 0x91 None 4
        "Pops all down to the mark and pushes them as a frozenset.";
    Pop "POP" b'0' None 0
        "Discards the top of the stack, or the mark if that is on top.";
    Dup "DUP" b'2' None 0
        "Pushes the top of the stack once more.";
    Mark "MARK" b'(' None 0
        "Puts a mark on the stack.";
    PopMark "POP_MARK" b'1' None 1
        "Discards all down to the mark, and the mark.";
    Get "GET" b'g' Line 0
        "Pushes the memo entry whose index is written as decimal text.";
    Binget "BINGET" b'h' U8 1
        "Pushes the memo entry of a 1-byte index.";
    LongBinget "LONG_BINGET" b'j' U32 1
        "Pushes the memo entry of a 4-byte index.";
    Put "PUT" b'p' Line 0
        "Stores the top of the stack in the memo, index as decimal text.";
    Binput "BINPUT" b'q' U8 1
        "Stores the top of the stack in the memo under a 1-byte index.";
    LongBinput "LONG_BINPUT" b'r' U32 1
        "Stores the top of the stack in the memo under a 4-byte index.";
    Memoize "MEMOIZE" 0x94 None 4
        "Stores the top of the stack in the memo under the number of entries so far.";
    Ext1 "EXT1" 0x82 U8 2
        "Pushes the object registered under a 1-byte `copyreg` extension code.";
    Ext2 "EXT2" 0x83 U16 2
        "Pushes the object registered under a 2-byte `copyreg` extension code.";
    Ext4 "EXT4" 0x84 I32 2
        "Pushes the object registered under a 4-byte `copyreg` extension code.";
    Global "GLOBAL" b'c' TwoLines 0
        "Pushes `module.name`, both given as text.";
    StackGlobal "STACK_GLOBAL" 0x93 None 4
        "Pops a name and a module name and pushes `module.name`.";
    Reduce "REDUCE" b'R' None 0
        "Pops an argument tuple and a callable and pushes the result of the call.";
    Build "BUILD" b'b' None 0
        "Pops a state and gives it to the object below: `__setstate__`, or its `__dict__` and slots.";
    Inst "INST" b'i' TwoLines 0
        "Pops arguments down to the mark and pushes an instance of the class named by two texts.";
    Obj "OBJ" b'o' None 1
        "Pops a class and arguments down to the mark and pushes the instance.";
    Newobj "NEWOBJ" 0x81 None 2
        "Pops an argument tuple and a class and pushes `cls.__new__(cls, *args)`.";
    NewobjEx "NEWOBJ_EX" 0x92 None 4
        "Pops a keyword dict, an argument tuple and a class and pushes `cls.__new__(cls, *args, **kwargs)`.";
    Proto "PROTO" 0x80 U8 2
        "Names the protocol of the stream.";
    Stop "STOP" b'.' None 0
        "Ends the stream; the top of the stack is the result.";
    Frame "FRAME" 0x95 U64 4
        "Announces the length of the frame that follows.";
    Persid "PERSID" b'P' Line 0
        "Pushes the object of a persistent id given as text.";
    Binpersid "BINPERSID" b'Q' None 1
        "Pops a persistent id and pushes its object.";
}
