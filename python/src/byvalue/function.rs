//! Functions: `types.FunctionType(code, globals, ...)`, memoized before
//! anything is filled in, so that functions may refer to themselves.
//!
//! The stream's own dict of globals stands for the namespace of a module: one
//! for each module in a dump, filled with what is used, when it is used.

use super::code;
use super::named::{BUILTINS, CELL_TYPE, FUNCTION_TYPE, IMPORT_MODULE, MODULE_TYPE};
use super::script::{Label, Plan, Step};
use super::text_is;
use crate::error::Raised;
use crate::fast::{self, Obj, Own, function};
use crate::policy::{Captured, Main, Sources};
use crate::types;
use crate::walk::{Flow, PUSHED, Stop, WRITTEN, Walker};
use ferropickle_core::memo::Entry;
use ferropickle_core::opcode::Op;
use pyo3::ffi;
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

fn same_text(a: Obj, b: Obj) -> bool {
    if a == b {
        return true;
    }
    fast::is_str(a.ty())
        && fast::is_str(b.ty())
        && fast::text::utf8(a, &mut Vec::new()) == fast::text::utf8(b, &mut Vec::new())
}

/// The arguments of FunctionType after code and globals: the name if it has to
/// be given (None: the code's own), and the tuple of cells if there are any.
fn head_arguments(fields: &function::Fields, texts: &code::Texts) -> (Option<Own>, Option<Obj>) {
    let cells = fields.closure.filter(|cells| fast::tuple_len(*cells) > 0);
    let name = match same_text(texts.name, fields.name) {
        true => cells.map(|_| none().own()),
        false => Some(fields.name.own()),
    };
    (name, cells)
}

/// The function itself, as yet without what may lead back to it.
fn plan_head(plan: &mut Plan, obj: Obj, fields: &function::Fields, texts: &code::Texts) {
    plan.named(&FUNCTION_TYPE).op(Op::Mark);
    plan.push(Step::Code(fields.code.own()));
    plan.push(Step::Namespace(fields.globals.own()));
    let (name, cells) = head_arguments(fields, texts);
    if let Some(name) = name {
        plan.push(Step::Key(name));
    }
    if let Some(cells) = cells {
        plan.save(none(), Label::None).op(Op::Mark);
        for cell in fast::tuple_items(cells) {
            plan.push(Step::Cell(cell.own()));
        }
        plan.op(Op::Tuple);
    }
    plan.op(Op::Tuple).op(Op::Reduce).push(Step::Made(obj.own()));
}

impl Walker {
    /// A function by value. It must not have been met.
    pub(super) fn save_function_by_value(&mut self, obj: Obj) -> Flow {
        self.ready_to_scan()?;
        let fields = function::fields(obj);
        let known = code::known(fields.code)?;
        let cells = || fields.closure.into_iter().flat_map(fast::tuple_items);
        let mut plan = self.by_value.new_plan();
        let known_head = self.knows_head(&fields);
        if !known_head {
            plan_head(&mut plan, obj, &fields, &known.texts);
        }
        // What they hold may lead back to the function.
        for (i, cell) in cells().enumerate() {
            if self.memo.get(cell.addr()).is_none()
                && let Some(value) = function::cell_contents(cell)
                && !self.is_leaf(value.obj())
            {
                let free = known.texts.free.get(i);
                plan.save(cell, Label::None);
                plan_contents(&mut plan, value, free.map_or(Label::None, |n| Label::Free(n.own())));
                plan.op(Op::Pop);
            }
        }
        self.plan_attributes(&mut plan, obj, &fields, &known.texts)?;
        let mut begun = false;
        let mut modules: Vec<Own> = Vec::new();
        for name in &known.names.globals {
            let Some(value) = fast::dict_get(fields.globals, *name) else { continue };
            modules.extend(fast::is_module(value.ty()).then(|| value.own()));
            if known_head && self.is_global_written(fields.globals, *name) {
                continue;
            }
            if !core::mem::replace(&mut begun, true) {
                plan.push(Step::Namespace(fields.globals.own()));
            }
            let (globals, name) = (fields.globals.own(), name.own());
            plan.push(Step::Global { globals, name });
        }
        if begun {
            plan.op(Op::Pop);
        }
        for cell in cells() {
            modules.extend(function::cell_contents(cell).filter(|held| fast::is_module(held.ty())));
        }
        self.plan_imports(&mut plan, modules, &known.names.attributes)?;
        if known_head {
            self.save_head(obj, &fields, &known.texts)?;
            if plan.steps.is_empty() {
                self.by_value.spare = plan;
                return WRITTEN;
            }
        }
        self.play(obj, plan)?;
        PUSHED
    }

    /// Whether all that [`plan_head`] plans is leaves or in the stream already:
    /// so it is for all closures over one code object but the first.
    fn knows_head(&self, fields: &function::Fields) -> bool {
        self.memo.get(fields.code.addr()).and_then(Entry::as_index).is_some()
            && self.by_value.namespaces.contains_key(&fields.globals.addr())
            && !self.hooks.has_persistent_id
    }

    /// Whether a global has its place in the stream's namespace.
    fn is_global_written(&self, globals: Obj, name: Obj) -> bool {
        let namespace = self.by_value.namespaces.get(&globals.addr());
        namespace.is_some_and(|namespace| match &namespace.written {
            Some(written) => written.contains(&name.addr()),
            None => true,
        })
    }

    /// As [`plan_head`], written at once.
    fn save_head(
        &mut self,
        obj: Obj,
        fields: &function::Fields,
        texts: &code::Texts,
    ) -> Result<(), Stop> {
        self.by_value.dirty = true;
        self.save_named(&FUNCTION_TYPE)?;
        self.enc.op(Op::Mark);
        self.save_code(fields.code)?;
        self.save_namespace(fields.globals.own())?;
        let (name, cells) = head_arguments(fields, texts);
        match name {
            Some(name) if name.is_none() => self.enc.none(),
            Some(name) => self.save_identifier(name)?,
            None => {}
        }
        if let Some(cells) = cells {
            self.enc.none();
            self.enc.op(Op::Mark);
            for cell in fast::tuple_items(cells) {
                self.save_function_cell(cell)?;
            }
            self.enc.op(Op::Tuple);
        }
        self.enc.op(Op::Tuple);
        self.enc.op(Op::Reduce);
        let held = self.pin(obj.own());
        self.enter_made(held);
        Ok(())
    }

    /// What FunctionType's arguments do not say, by BUILD.
    fn plan_attributes(
        &mut self,
        plan: &mut Plan,
        obj: Obj,
        fields: &function::Fields,
        texts: &code::Texts,
    ) -> Result<(), Stop> {
        let names = types::get();
        let mut slots: Vec<(&'static str, Own)> = Vec::new();
        // What another version makes of the source has a name of its own.
        let from_code = cfg!(Py_3_11) && self.by_value.choices.sources == Sources::Never;
        let given = if from_code { texts.qualname } else { fields.name };
        if !same_text(given, fields.qualname) {
            slots.push(("__qualname__", fields.qualname.own()));
        }
        let module_name = fast::dict_get(fields.globals, names.name.obj());
        match (fields.module, module_name) {
            (Some(module), Some(name)) if same_text(module, name) => {}
            (None, None) => {}
            (module, _) => slots.push(("__module__", module.unwrap_or(none()).own())),
        }
        for (name, value) in [
            ("__defaults__", fields.defaults),
            ("__kwdefaults__", fields.kwdefaults),
            ("__type_params__", fields.type_params),
        ] {
            if let Some(value) = value
                && !value.is_none()
                && !(fast::is_tuple(value.ty()) && fast::tuple_len(value) == 0)
            {
                slots.push((name, value.own()));
            }
        }
        let annotations = match fields.annotate {
            Some(annotate) if !annotate.is_none() => {
                self.leave_pure()?;
                Some(super::annotations::computed(obj)?)
            }
            _ => function::annotations(obj),
        };
        if let Some(annotations) = annotations
            && fast::is_dict(annotations.ty())
            && fast::dict_len(annotations.obj()) > 0
        {
            slots.push(("__annotations__", annotations));
        }
        let doc = fields.doc.unwrap_or(none());
        if !same_text(doc, texts.doc) {
            slots.push(("__doc__", doc.own()));
        }
        let dict = fields.dict.filter(|dict| fast::dict_len(*dict) > 0);
        if slots.is_empty() && dict.is_none() {
            return Ok(());
        }
        plan.save(dict.unwrap_or(none()), Label::Text(".__dict__"));
        if !slots.is_empty() {
            plan.op(Op::EmptyDict).set_items(|plan| {
                for (name, value) in slots {
                    plan.text(name);
                    plan.push(match name {
                        "__qualname__" | "__module__" => Step::Key(value),
                        _ => Step::Save(value, Label::Text(dotted(name))),
                    });
                }
            });
            plan.op(Op::Tuple2);
        }
        plan.op(Op::Build);
        Ok(())
    }

    /// Submodules that the function reaches by attribute (`xml.etree`): to be
    /// imported, as the package alone would not have them.
    fn plan_imports(
        &mut self,
        plan: &mut Plan,
        mut packages: Vec<Own>,
        attributes: &[Obj],
    ) -> Result<(), Stop> {
        let mut next = 0;
        while next < packages.len() {
            let package = packages[next].obj();
            next += 1;
            let Some(dict) = fast::module_dict(package) else { continue };
            if fast::dict_get(dict, types::get().path.obj()).is_none() {
                continue;
            }
            let Some(package_name) = fast::dict_get(dict, types::get().name.obj()) else {
                continue;
            };
            for attribute in attributes {
                let Some(child) = fast::dict_get(dict, *attribute) else { continue };
                if !fast::is_module(child.ty()) {
                    continue;
                }
                let full = format!(
                    "{}.{}",
                    crate::error::display(package_name),
                    crate::error::display(*attribute)
                );
                let full = fast::new_str(&full)?;
                if types::loaded_module(full.obj()) == Some(child)
                    && !packages.iter().any(|known| known.obj() == child)
                {
                    plan.push(Step::Import(full));
                    packages.push(child.own());
                }
            }
        }
        Ok(())
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
            self.save_named(&super::named::VARS)?;
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
            self.save_named(&super::named::VARS)?;
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

    pub(super) fn save_import(&mut self, name: Own) -> Result<(), Stop> {
        if !self.by_value.imported.insert(crate::error::display(name.obj())) {
            return Ok(());
        }
        self.name_module(name.obj(), name.obj())?;
        self.save_named(&IMPORT_MODULE)?;
        let name = self.pin(name);
        self.save_whole(name)?;
        self.enc.op(Op::Tuple1);
        self.enc.op(Op::Reduce);
        self.enc.op(Op::Pop);
        Ok(())
    }

    /// Whether a value is written at once, so that it can lead back to nothing:
    /// before protocol 3 bytes are a call, and a persistent id may be anything.
    fn is_leaf(&self, value: Obj) -> bool {
        let ty = value.ty();
        let plain = value.is_none()
            || fast::is_bool(ty)
            || fast::is_int(ty)
            || fast::is_float(ty)
            || fast::is_str(ty)
            || fast::is_bytes(ty) && self.options.proto >= 3;
        plain && !self.hooks.has_persistent_id
    }

    /// A cell of a function: with its value if that leads nowhere, else empty,
    /// for the function to fill.
    pub(super) fn save_function_cell(&mut self, cell: Obj) -> Result<(), Stop> {
        if self.write_if_made(cell)? {
            return Ok(());
        }
        self.save_named(&CELL_TYPE)?;
        match function::cell_contents(cell) {
            Some(value) if self.is_leaf(value.obj()) => {
                let value = self.pin(value);
                self.save(value)?;
                self.enc.op(Op::Tuple1);
            }
            _ => self.enc.op(Op::EmptyTuple),
        }
        self.enc.op(Op::Reduce);
        self.memoize_kept(cell);
        Ok(())
    }

    /// A cell by itself: made empty, and filled once it has its memo entry.
    pub(super) fn save_cell(&mut self, cell: Obj) -> Flow {
        if self.write_if_made(cell)? {
            return WRITTEN;
        }
        let mut plan = Plan::default();
        plan.named(&CELL_TYPE).op(Op::EmptyTuple).op(Op::Reduce).push(Step::Made(cell.own()));
        if let Some(value) = function::cell_contents(cell) {
            plan_contents(&mut plan, value, Label::None);
        }
        self.play(cell, plan)?;
        PUSHED
    }

    fn memoize_kept(&mut self, obj: Obj) {
        let held = self.pin(obj.own());
        self.enter_made(held);
    }

    /// A module: by import, or by value if it cannot be imported.
    pub(super) fn save_module(&mut self, module: Obj) -> Flow {
        if self.write_if_made(module)? {
            return WRITTEN;
        }
        let Some(dict) = fast::module_dict(module) else { return self.save_foreign(module) };
        let name = fast::dict_get(dict, types::get().name.obj());
        let Some(name) = name.filter(|name| fast::is_str(name.ty())) else {
            return self.save_foreign(module);
        };
        let by_name = types::loaded_module(name) == Some(module);
        if by_name && (text_is(name, b"__main__") || !self.module_by_value(name)?) {
            self.name_module(name, module)?;
            self.save_named(&IMPORT_MODULE)?;
            self.save_whole(name)?;
            self.enc.op(Op::Tuple1);
            self.enc.op(Op::Reduce);
            self.memoize_kept(module);
            return WRITTEN;
        }
        let names = types::get();
        let mut plan = Plan::default();
        plan.named(&MODULE_TYPE).push(Step::Key(name.own()));
        plan.op(Op::Tuple1).op(Op::Reduce).push(Step::Made(module.own()));
        plan.op(Op::EmptyDict).set_items(|plan| {
            let mut position = 0;
            while let Some((key, value)) = fast::dict_next(dict, &mut position) {
                if same_text(names.builtins.obj(), key) {
                    plan.push(Step::Key(key.own())).named(&BUILTINS);
                    continue;
                }
                let skipped = [&names.loader, &names.spec, &names.name];
                if !fast::is_str(key.ty()) || skipped.iter().any(|skip| same_text(skip.obj(), key))
                {
                    continue;
                }
                plan.push(Step::Key(key.own())).save(value, Label::Attribute(key.own()));
            }
        });
        plan.op(Op::Build);
        self.by_value.modules.insert(dict.addr(), module.addr());
        self.play(module, plan)?;
        PUSHED
    }

    fn module_by_value(&mut self, name: Obj) -> Result<bool, Stop> {
        if let Some(known) = self.by_value.takes_module(name) {
            return Ok(known);
        }
        self.leave_pure()?;
        Ok(self.goes_by_value(name)?)
    }

    /// The memo index of the module whose dict this is, if it is being written
    /// by value in this stream.
    fn module_of_namespace(&self, globals: Obj) -> Option<u32> {
        let module = self.by_value.modules.get(&globals.addr())?;
        self.memo.get(*module)?.as_index()
    }

    /// Opcode numbers come from a module that may have to be imported first.
    fn ready_to_scan(&mut self) -> Result<(), Stop> {
        if super::scan::is_ready() {
            return Ok(());
        }
        self.leave_pure()?;
        super::scan::make_ready()?;
        Ok(())
    }
}

/// Fills the cell on top of the stack: the half of BUILD that sets attributes.
fn plan_contents(plan: &mut Plan, value: Own, label: Label) {
    plan.save(none(), Label::None).op(Op::EmptyDict).text("cell_contents");
    plan.push(Step::Free(value, label)).op(Op::Tuple2).op(Op::Build);
}

pub(super) fn none() -> Obj {
    // SAFETY: a singleton that lives as long as the interpreter.
    unsafe { Obj::new(ffi::Py_None()) }
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

fn dotted(name: &str) -> &'static str {
    match name {
        "__defaults__" => ".__defaults__",
        "__kwdefaults__" => ".__kwdefaults__",
        "__annotations__" => ".__annotations__",
        "__type_params__" => ".__type_params__",
        _ => "",
    }
}
