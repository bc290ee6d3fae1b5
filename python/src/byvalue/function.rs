//! Functions: `types.FunctionType(code, globals, ...)`, memoized before
//! anything is filled in, so that functions may refer to themselves.

use super::code;
use super::named::{CELL_TYPE, FUNCTION_TYPE};
use super::script::{Label, Plan, Step};
use crate::fast::{self, Obj, Own, function, none};
use crate::policy::Sources;
use crate::types;
use crate::walk::{Flow, PUSHED, Stop, WRITTEN, Walker};
use ferropickle_core::memo::Entry;
use ferropickle_core::opcode::Op;

pub(super) fn same_text(a: Obj, b: Obj) -> bool {
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

    pub(super) fn memoize_kept(&mut self, obj: Obj) {
        let held = self.pin(obj.own());
        self.enter_made(held);
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

fn dotted(name: &str) -> &'static str {
    match name {
        "__defaults__" => ".__defaults__",
        "__kwdefaults__" => ".__kwdefaults__",
        "__annotations__" => ".__annotations__",
        "__type_params__" => ".__type_params__",
        _ => "",
    }
}
