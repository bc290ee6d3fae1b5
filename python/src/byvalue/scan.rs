//! Which globals a code object uses, and which attributes it reads: found in
//! its bytecode, nested functions and class bodies included.

use crate::error::Raised;
use crate::fast::{self, Obj, Own, function};
use crate::types;
use std::sync::OnceLock;

/// What the bytecode names, in order of appearance. The strings belong to the
/// `co_names` of the code objects and live as long as they do.
#[derive(Default)]
pub struct Names {
    pub globals: Vec<Obj>,
    pub attributes: Vec<Obj>,
}

/// Opcode numbers of the running version.
struct Opcodes {
    extended_arg: u8,
    /// Opcode, and by how much its argument is shifted to index `co_names`.
    globals: Vec<(u8, u32)>,
    attributes: Vec<(u8, u32)>,
}

static OPCODES: OnceLock<Opcodes> = OnceLock::new();

/// Whether [`names`] can do without importing anything.
pub fn is_ready() -> bool {
    OPCODES.get().is_some()
}

/// Reads the opcode numbers. Imports a module of the standard library, so code
/// may run.
pub fn make_ready() -> Result<(), Raised> {
    if is_ready() {
        return Ok(());
    }
    let module = types::import(fast::intern(c"opcode")?.obj())?;
    let table = module.getattr(fast::intern(c"opmap")?.obj())?;
    let number = |name: &core::ffi::CStr| -> Result<Option<u8>, Raised> {
        let name = fast::intern(name)?;
        let found = fast::dict_get(table.obj(), name.obj()).and_then(fast::long::as_i64);
        Ok(found.and_then(|n| u8::try_from(n).ok()))
    };
    // The low bit of these arguments says something else: 3.11 began it with
    // LOAD_GLOBAL (push a null), 3.12 with LOAD_ATTR (it is a method).
    let global_shift = u32::from(cfg!(Py_3_11));
    let attr_shift = u32::from(cfg!(Py_3_12));
    let all = |list: &[(&core::ffi::CStr, u32)]| -> Result<Vec<(u8, u32)>, Raised> {
        let mut found = Vec::new();
        for (name, shift) in list {
            found.extend(number(name)?.map(|op| (op, *shift)));
        }
        Ok(found)
    };
    let opcodes = Opcodes {
        extended_arg: number(c"EXTENDED_ARG")?.unwrap_or(0),
        globals: all(&[
            (c"LOAD_GLOBAL", global_shift),
            (c"STORE_GLOBAL", 0),
            (c"DELETE_GLOBAL", 0),
            // Class bodies look names up in three places, globals among them.
            (c"LOAD_NAME", 0),
            (c"LOAD_FROM_DICT_OR_GLOBALS", 0),
        ])?,
        attributes: all(&[(c"LOAD_ATTR", attr_shift), (c"LOAD_METHOD", 0)])?,
    };
    let _ = OPCODES.set(opcodes);
    Ok(())
}

/// The names that a code object and those nested in it use.
pub fn names(code: Obj) -> Result<Names, Raised> {
    let Some(opcodes) = OPCODES.get() else { return Ok(Names::default()) };
    let mut found = Names::default();
    let mut waiting: Vec<Own> = vec![code.own()];
    while let Some(code) = waiting.pop() {
        scan_one(code.obj(), opcodes, &mut found)?;
        let constants = code.getattr(types::get().co_consts.obj())?;
        for i in (0..fast::tuple_len(constants.obj())).rev() {
            let constant = fast::tuple_get(constants.obj(), i);
            if function::is_code(constant) {
                waiting.push(constant.own());
            }
        }
    }
    Ok(found)
}

fn scan_one(code: Obj, opcodes: &Opcodes, found: &mut Names) -> Result<(), Raised> {
    let instructions = function::instructions(code)?;
    let names = code.getattr(types::get().co_names.obj())?;
    let len = fast::tuple_len(names.obj());
    let mut extended: u32 = 0;
    for pair in fast::bytes_data(instructions.obj()).chunks_exact(2) {
        let (op, argument) = (pair[0], extended | u32::from(pair[1]));
        if op == opcodes.extended_arg {
            extended = argument << 8;
            continue;
        }
        extended = 0;
        for (ops, list) in
            [(&opcodes.globals, &mut found.globals), (&opcodes.attributes, &mut found.attributes)]
        {
            let Some((_, shift)) = ops.iter().find(|(known, _)| *known == op) else { continue };
            let index = (argument >> shift) as isize;
            if index < len {
                let name = fast::tuple_get(names.obj(), index);
                if !list.contains(&name) {
                    list.push(name);
                }
            }
        }
    }
    Ok(())
}
