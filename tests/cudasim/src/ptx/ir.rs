//! Kernels as they are run.

use std::collections::HashMap;
use std::sync::Arc;

use super::convert::Conversion;

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Pred,
    B8,
    B16,
    B32,
    B64,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Type {
    /// The type of this suffix.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pred" => Self::Pred,
            "b8" => Self::B8,
            "b16" => Self::B16,
            "b32" => Self::B32,
            "b64" => Self::B64,
            "u8" => Self::U8,
            "u16" => Self::U16,
            "u32" => Self::U32,
            "u64" => Self::U64,
            "s8" => Self::S8,
            "s16" => Self::S16,
            "s32" => Self::S32,
            "s64" => Self::S64,
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => return None,
        })
    }

    /// Its size in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Pred | Self::B8 | Self::U8 | Self::S8 => 1,
            Self::B16 | Self::U16 | Self::S16 | Self::F16 | Self::Bf16 => 2,
            Self::B32 | Self::U32 | Self::S32 | Self::F32 => 4,
            Self::B64 | Self::U64 | Self::S64 | Self::F64 => 8,
        }
    }

    pub fn is_signed(self) -> bool {
        matches!(self, Self::S8 | Self::S16 | Self::S32 | Self::S64)
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The low bits of a value, as many as the type has.
    pub fn cut(self, value: u64) -> u64 {
        match self.size() {
            8 => value,
            size => value & ((1 << (8 * size)) - 1),
        }
    }

    /// The value with its sign carried to 64 bits, if the type has one.
    pub fn extend(self, value: u64) -> u64 {
        if !self.is_signed() {
            return self.cut(value);
        }
        let shift = 64 - 8 * self.size() as u32;
        ((value << shift) as i64 >> shift) as u64
    }
}

/// Which kind of memory an access is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Any: the address says.
    Generic,
    Global,
    Shared,
    Local,
    Param,
}

/// Registers that tell a thread where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Thread(usize),
    Threads(usize),
    Block(usize),
    Blocks(usize),
    Lane,
    Warp,
    WarpSize,
    /// The size of the shared memory that the launch adds, and where it starts.
    DynamicShared,
    DynamicStart,
    Clock,
    MaskLess,
    MaskLessEqual,
    MaskGreater,
    MaskGreaterEqual,
    MaskEqual,
    Zero,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Register(u32),
    Number(u64),
    Special(Special),
    /// The address of a variable of the module: so far from the start of them.
    Variable(u64),
}

/// An address: a source and a distance from it.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub space: Space,
    pub base: Source,
    pub offset: i64,
}

/// A function of up to three numbers.
pub type Function = fn(u64, u64, u64) -> u64;

/// What is done among the lanes of a warp.
#[derive(Clone, Copy, Debug)]
pub enum Exchange {
    Up,
    Down,
    Butterfly,
    Index,
    Ballot,
    Any,
    All,
    Uniform,
    Reduce(Function, Type),
    Sync,
}

#[derive(Clone, Debug)]
pub enum Action {
    Convert {
        conversion: Conversion,
        to: u32,
        from: Source,
    },
    Compute {
        function: Function,
        to: u32,
        from: [Source; 3],
    },
    /// The first register gets the result, the second, if there is one, its negation.
    Compare {
        function: Function,
        join: Function,
        to: [Option<u32>; 2],
        from: [Source; 3],
        negated: bool,
    },
    /// Each bit by a table of eight.
    Table {
        table: u8,
        to: u32,
        from: [Source; 3],
    },
    /// Bits of the first put into the second.
    Insert {
        kind: Type,
        to: u32,
        from: [Source; 2],
        start: Source,
        length: Source,
    },
    /// The low half first.
    Split {
        to: Vec<u32>,
        from: Source,
        bits: u32,
    },
    Join {
        to: u32,
        from: Vec<Source>,
        bits: u32,
    },
    Load {
        to: Vec<Option<u32>>,
        kind: Type,
        address: Address,
    },
    Store {
        from: Vec<Source>,
        kind: Type,
        address: Address,
    },
    Atomic {
        function: Function,
        kind: Type,
        to: Option<u32>,
        address: Address,
        from: [Source; 2],
    },
    Jump(usize),
    Barrier {
        id: Source,
        count: Option<Source>,
    },
    Warp {
        exchange: Exchange,
        to: [Option<u32>; 2],
        from: [Source; 3],
        mask: Source,
        negated: bool,
    },
    ActiveMask {
        to: u32,
    },
    /// Whether a generic address is of a space.
    IsSpace {
        to: u32,
        from: Source,
        space: Space,
    },
    Nothing,
    Trap,
    End,
}

#[derive(Clone, Debug)]
pub struct Instruction {
    /// A register that has to be true, or with the flag false.
    pub guard: Option<(u32, bool)>,
    pub action: Action,
    pub line: u32,
    pub text: Arc<str>,
}

/// A function that the host can launch.
#[derive(Debug, Default)]
pub struct Kernel {
    pub name: String,
    /// Offset and size of each parameter.
    pub parameters: Vec<(u64, u64)>,
    pub parameter_bytes: u64,
    pub registers: u32,
    /// Shared memory that it declares; what the launch adds comes after it.
    pub shared_bytes: u64,
    pub local_bytes: u64,
    /// Threads that a block may have.
    pub max_threads: u64,
    pub code: Vec<Instruction>,
}

/// A variable of the module.
#[derive(Debug)]
pub struct Variable {
    pub offset: u64,
    pub size: u64,
    pub initial: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Module {
    /// 80 for 8.0.
    pub version: u32,
    /// 75 for sm_75.
    pub target: u32,
    pub kernels: HashMap<String, Arc<Kernel>>,
    pub variables: HashMap<String, Variable>,
    /// Bytes that the variables take together.
    pub variable_bytes: u64,
}
