//! Modules: by import, or by value, and submodules that functions reach.

use super::function::same_text;
use super::named::{BUILTINS, IMPORT_MODULE, MODULE_TYPE};
use super::script::{Label, Plan, Step};
use super::text_is;
use crate::fast::{self, Obj, Own};
use crate::types;
use crate::walk::{Flow, PUSHED, Stop, WRITTEN, Walker};
use ferropickle_core::opcode::Op;

impl Walker {
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

    /// Submodules that the function reaches by attribute (`xml.etree`): to be
    /// imported, as the package alone would not have them.
    pub(super) fn plan_imports(
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
}
