//! Objects of the standard library that streams call by name.
//!
//! Every name here is one that a plain `pickle.loads` resolves in a fresh
//! interpreter. Names with a dot need protocol 4.

use crate::walk::{Stop, Walker};
use ferropickle_core::opcode::Op;

/// A module and the name in it.
#[derive(Debug)]
pub struct Named {
    pub module: &'static str,
    pub name: &'static str,
    /// The place in the table of one dump.
    number: usize,
}

impl Named {
    /// A name that is written out each time.
    pub const fn unnumbered(module: &'static str, name: &'static str) -> Named {
        Named { module, name, number: usize::MAX }
    }
}

macro_rules! named {
    ($($ident:ident = $number:literal: $module:literal . $name:literal;)*) => {
        $(pub static $ident: Named =
            Named { module: $module, name: $name, number: $number };)*
        /// How many there are.
        pub const COUNT: usize = [$($number),*].len();
        const _: () = {
            let numbers = [$($number),*];
            let mut i = 0;
            while i < numbers.len() {
                assert!(numbers[i] == i);
                i += 1;
            }
        };
    };
}

named! {
    FUNCTION_TYPE = 0: "types"."FunctionType";
    CODE_TYPE = 1: "types"."CodeType";
    CELL_TYPE = 2: "types"."CellType";
    MODULE_TYPE = 3: "types"."ModuleType";
    IMPORT_MODULE = 4: "importlib"."import_module";
    GETITEM = 5: "operator"."getitem";
    CONCAT = 6: "operator"."concat";
    CACHE_TAG = 7: "sys"."implementation.cache_tag";
    TYPE = 8: "builtins"."type";
    TYPE_NEW = 9: "builtins"."type.__new__";
    TYPE_SETATTR = 10: "builtins"."type.__setattr__";
    DICT_SETDEFAULT = 11: "builtins"."dict.setdefault";
    COPYREG_DICT = 12: "copyreg"."__dict__";
    WEAK_VALUES = 13: "weakref"."WeakValueDictionary";
    WEAK_SETDEFAULT = 14: "weakref"."WeakValueDictionary.setdefault";
    PARTIAL = 15: "functools"."partial";
    ABC_REGISTER = 16: "abc"."ABCMeta.register";
    ABC_NEW = 17: "abc"."ABCMeta.__new__";
    ENUM_META = 18: "enum"."EnumMeta";
    ENUM_PREPARE = 19: "enum"."EnumMeta.__prepare__";
    ENUM_NEW = 20: "enum"."EnumMeta.__new__";
    DICT_TYPE = 21: "builtins"."dict";
    GETATTR = 22: "builtins"."getattr";
    VARS = 23: "builtins"."vars";
    BUILTINS = 24: "builtins"."__dict__";
    EXEC = 25: "builtins"."exec";
}

impl Walker {
    /// By name the first time, a GET after that.
    pub fn save_named(&mut self, named: &'static Named) -> Result<(), Stop> {
        if let Some(index) = self.by_value.named[named.number] {
            self.enc.get(index);
            return Ok(());
        }
        match named.name.split_once('.') {
            // Before protocol 4 a name has no dots.
            Some((first, rest)) if self.options.proto < 4 => {
                self.enc.global(b"operator", b"attrgetter");
                self.write_literal(rest)?;
                self.enc.op(Op::Tuple1);
                self.enc.op(Op::Reduce);
                self.enc.global(named.module.as_bytes(), first.as_bytes());
                self.enc.op(Op::Tuple1);
                self.enc.op(Op::Reduce);
            }
            _ if self.options.proto < 4 => {
                self.enc.global(named.module.as_bytes(), named.name.as_bytes());
            }
            _ => {
                self.enc.stack_global(named.module.as_bytes(), named.name.as_bytes())?;
            }
        }
        self.by_value.dirty = true;
        self.by_value.named[named.number] = Some(self.enc.memoize());
        Ok(())
    }

    /// A str of the format's own, ASCII, without memo entry.
    pub fn write_literal(&mut self, text: &str) -> Result<(), Stop> {
        if self.enc.binary() {
            self.enc.str(text.as_bytes())?;
        } else {
            self.enc.str_escaped(text.as_bytes());
        }
        Ok(())
    }
}
