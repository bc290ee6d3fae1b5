//! The globals of functions: the stream's own dict stands for the namespace of a
//! module, one for each module in a dump, filled with what is used, when it is
//! used.

use super::named::{BUILTINS, IMPORT_MODULE, VARS};
use super::script::Step;
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use crate::policy::{Captured, Main};
use crate::types;
use crate::walk::{Stop, Walker};
use ferropickle_core::opcode::Op;
use std::collections::HashSet;

/// The globals of one module in one stream.
pub struct Namespace {
    /// The dict's memo index.
    index: u32,
    /// The names that are written, by address: names are interned. None where
    /// the receiver's own module has them.
    written: Option<HashSet<usize>>,
    /// Keeps the module's dict, and so the key, alive.
    _globals: Own,
}

impl Walker {
    /// Whether a global has its place in the stream's namespace.
    pub(super) fn is_global_written(&self, globals: Obj, name: Obj) -> bool {
        let namespace = self.by_value.namespaces.get(&globals.addr());
        namespace.is_some_and(|namespace| match &namespace.written {
            Some(written) => written.contains(&name.addr()),
            None => true,
        })
    }

    /// The stream's dict for a module's globals, on top of the stack.
    pub(super) fn save_namespace(&mut self, globals: Own) -> Result<(), Stop> {
        if let Some(namespace) = self.by_value.namespaces.get(&globals.addr()) {
            self.enc.get(namespace.index);
            return Ok(());
        }
        let names = types::get();
        if self.by_value.choices.main == Main::Ref && self.save_shared_dict(globals.obj())? {
            let index = self.enc.memoize();
            let key = globals.addr();
            let namespace = Namespace { index, written: None, _globals: globals };
            self.by_value.namespaces.insert(key, namespace);
            return Ok(());
        }
        let module = self.module_of_namespace(globals.obj());
        if let Some(module) = module {
            // The module itself is in the stream: its functions share its dict.
            self.save_named(&VARS)?;
            self.enc.get(module);
            self.enc.op(Op::Tuple1);
            self.enc.op(Op::Reduce);
        } else {
            self.enc.op(Op::EmptyDict);
        }
        let index = self.enc.memoize();
        if module.is_none() {
            // C code that imports looks for it in the globals of its caller.
            self.save_identifier(names.builtins.clone())?;
            self.save_named(&BUILTINS)?;
            self.enc.op(Op::Setitem);
        }
        for key in [&names.name, &names.package] {
            if let Some(value) = fast::dict_get(globals.obj(), key.obj())
                && (value.is_none() || fast::is_str(value.ty()))
            {
                self.save_identifier((*key).clone())?;
                self.save_key(value.own())?;
                self.enc.op(Op::Setitem);
            }
        }
        let written = Some([names.name.addr(), names.package.addr()].into_iter().collect());
        let key = globals.addr();
        self.by_value.namespaces.insert(key, Namespace { index, written, _globals: globals });
        Ok(())
    }

    /// Name and value of a global, once; the dict is on top of the stack.
    pub(super) fn save_global_variable(
        &mut self,
        script: usize,
        globals: Own,
        name: Own,
    ) -> Result<(), Stop> {
        let Some(value) = fast::dict_get(globals.obj(), name.obj()) else { return Ok(()) };
        let namespace = self.by_value.namespaces.get_mut(&globals.addr());
        let Some(written) = namespace.and_then(|namespace| namespace.written.as_mut()) else {
            return Ok(());
        };
        if !written.insert(name.addr()) {
            return Ok(());
        }
        let value = self.pin(value.own());
        self.save_identifier(name)?;
        self.save_captured(script, value)
    }

    /// The value of a captured variable, and its SETITEM.
    pub(super) fn save_captured(&mut self, script: usize, value: Obj) -> Result<(), Stop> {
        let step = match self.by_value.choices.max_captured {
            Some(_) => Step::Captured { from: self.stream_len() },
            None => Step::Op(Op::Setitem),
        };
        self.come_back(script, step);
        self.save(value)?;
        Ok(())
    }

    /// How long the stream is so far.
    fn stream_len(&self) -> usize {
        self.sink.written() + self.enc.out().len()
    }

    /// A captured variable is written: its SETITEM, and was it too large?
    pub(super) fn check_captured(&mut self, from: usize) -> Result<(), Stop> {
        let size = self.stream_len().saturating_sub(from);
        self.enc.op(Op::Setitem);
        let choices = &self.by_value.choices;
        let Some(most) = choices.max_captured.filter(|most| size > *most) else { return Ok(()) };
        let text = format!("captures {size} bytes, more than max_captured={most}");
        if choices.captured == Captured::Refuse {
            return Err(Raised::pickling(&text).into());
        }
        let path = crate::walk::path::of(self);
        self.by_value.oversized.push(format!("{path} {text}"));
        Ok(())
    }

    /// The dict that functions share with the receiver's module: what a
    /// persistent id stands for, or a module's own by name.
    fn save_shared_dict(&mut self, globals: Obj) -> Result<bool, Stop> {
        if let Some(hook) = self.hooks.persistent_id.clone() {
            let id = hook.call(&[globals])?;
            if !id.is_none() {
                self.write_persistent_whole(id)?;
                return Ok(true);
            }
        }
        let Some(name) = module_with_dict(globals) else { return Ok(false) };
        let name = self.pin(name);
        self.name_module(name, name)?;
        self.save_dict_of_module(name)?;
        Ok(true)
    }

    /// `__dict__` of a module that the receiver imports.
    fn save_dict_of_module(&mut self, name: Obj) -> Result<(), Stop> {
        if self.options.proto < 4 {
            self.save_named(&VARS)?;
            self.save_named(&IMPORT_MODULE)?;
            self.save_whole(name)?;
            for op in [Op::Tuple1, Op::Reduce, Op::Tuple1, Op::Reduce] {
                self.enc.op(op);
            }
            return Ok(());
        }
        self.save_whole(name)?;
        self.write_literal("__dict__")?;
        self.enc.op(Op::StackGlobal);
        Ok(())
    }

    /// The memo index of the module whose dict this is, if it is being written
    /// by value in this stream.
    fn module_of_namespace(&self, globals: Obj) -> Option<u32> {
        let module = self.by_value.modules.get(&globals.addr())?;
        self.memo.get(*module)?.as_index()
    }
}

/// The name of the loaded module that has this very dict.
fn module_with_dict(globals: Obj) -> Option<Own> {
    let name = fast::dict_get(globals, types::get().name.obj())?;
    if !fast::is_str(name.ty()) {
        return None;
    }
    let module = types::loaded_module(name)?;
    (fast::module_dict(module) == Some(globals)).then(|| name.own())
}
