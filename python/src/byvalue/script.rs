//! Scripts: what has to be written for one function, class or module, planned
//! as a list of steps and then played by the walker, which comes back to it
//! after each object that takes frames of its own.

use super::named::Named;
use crate::fast::{self, Obj, Own};
use crate::walk::frame::Frame;
use crate::walk::{Stop, Walker};
use ferropickle_core::memo::Entry;
use ferropickle_core::opcode::Op;

/// One step of a script. Steps own what they refer to.
pub enum Step {
    /// An object, on the way that the label tells.
    Save(Own, Label),
    /// A plain opcode.
    Op(Op),
    /// An object of the standard library by a fixed name.
    Named(&'static Named),
    /// A str that is a key or a name of the format itself.
    Text(&'static str),
    /// A code object.
    Code(Own),
    /// A cell of the function that the script is about.
    Cell(Own),
    /// The memo entry of the object that the script is about, now on top of the
    /// unpickler's stack.
    Made(Own),
    /// The next memo index, kept in a place of the script's own.
    Mark(Place),
    /// A GET of the index kept there.
    Get(Place),
    /// The globals that functions of one module share in this stream.
    Namespace(Own),
    /// A global of such a namespace, its dict being on top; nothing if it was
    /// written before.
    Global { globals: Own, name: Own },
    /// The import of a module, for its effect.
    Import(Own),
    /// A name: an attribute's, a function's, a module's.
    Key(Own),
    /// The receiver's registry of classes.
    Registry,
    /// The second place gets the index of the first.
    SameAsMade(Place),
    /// Throws away what lies above the last mark; if the object has been
    /// written meanwhile, the script ends with a GET of it.
    Recheck(Own),
    /// What a cell holds; then SETITEM.
    Free(Own, Label),
    /// A captured variable is written, which began there: SETITEM follows.
    Captured { from: usize },
    /// An instance of the class just written: see `walk/instance.rs`.
    Instance { obj: Own, plan: u32 },
}

/// Where a memo index is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The object that the script makes.
    Made,
    /// What it was made as, before the receiver's own took its place.
    Candidate,
}

/// What the path of an error calls a step.
#[derive(Clone)]
pub enum Label {
    /// Nothing.
    None,
    /// A fixed text.
    Text(&'static str),
    /// An attribute.
    Attribute(Own),
    /// A global variable that a function uses.
    Global(Own),
    /// A variable of an enclosing function.
    Free(Own),
}

/// The steps of a script that is being planned.
#[derive(Default)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn op(&mut self, op: Op) -> &mut Self {
        self.steps.push(Step::Op(op));
        self
    }
    pub fn named(&mut self, named: &'static Named) -> &mut Self {
        self.steps.push(Step::Named(named));
        self
    }
    pub fn text(&mut self, text: &'static str) -> &mut Self {
        self.steps.push(Step::Text(text));
        self
    }
    pub fn save(&mut self, obj: Obj, label: Label) -> &mut Self {
        self.steps.push(Step::Save(obj.own(), label));
        self
    }
    pub fn push(&mut self, step: Step) -> &mut Self {
        self.steps.push(step);
        self
    }
    /// `callable(*args)` with the arguments that `args` plans.
    pub fn call(&mut self, callable: &'static Named, args: impl FnOnce(&mut Plan)) -> &mut Self {
        self.named(callable).op(Op::Mark);
        args(self);
        self.op(Op::Tuple).op(Op::Reduce)
    }
    /// Pairs of a dict on top of the stack.
    pub fn set_items(&mut self, pairs: impl FnOnce(&mut Plan)) -> &mut Self {
        self.op(Op::Mark);
        pairs(self);
        self.op(Op::Setitems)
    }
}

impl Walker {
    /// Plays a script: pushes the frame that will.
    pub fn play(&mut self, subject: Obj, mut plan: Plan) -> Result<(), Stop> {
        self.by_value.dirty = true;
        let first = self.by_value.steps.len();
        self.by_value.steps.extend(plan.steps.drain(..).map(Some));
        self.by_value.spare = plan;
        self.by_value.scripts.push(Running {
            first,
            next: first,
            end: self.by_value.steps.len(),
            places: [0; 2],
            label: Label::None,
            _subject: subject.own(),
        });
        self.push(Frame::Script { subject })
    }

    /// Forgets the script of a frame that goes.
    pub fn end_script(&mut self) {
        if let Some(running) = self.by_value.scripts.pop() {
            self.by_value.steps.truncate(running.first);
        }
    }

    pub(crate) fn step_script(&mut self) -> Result<(), Stop> {
        let depth = self.frames.len();
        loop {
            self.boundary()?;
            let at = self.by_value.scripts.len() - 1;
            let running = &mut self.by_value.scripts[at];
            if running.next == running.end {
                self.pop();
                return Ok(());
            }
            let number = running.next;
            running.next += 1;
            let Some(step) = self.by_value.steps[number].take() else { continue };
            self.play_step(at, step)?;
            if self.frames.len() > depth {
                return Ok(());
            }
        }
    }

    fn play_step(&mut self, at: usize, step: Step) -> Result<(), Stop> {
        match step {
            Step::Save(obj, label) => {
                self.by_value.scripts[at].label = label;
                let held = self.pin(obj);
                self.save(held)?;
            }
            Step::Op(op) => self.enc.op(op),
            Step::Named(named) => self.save_named(named)?,
            Step::Text(text) => self.write_literal(text)?,
            Step::Code(code) => {
                self.by_value.scripts[at].label = Label::Text(".__code__");
                let held = self.pin(code);
                self.save_code(held)?;
            }
            Step::Cell(cell) => {
                let held = self.pin(cell);
                self.save_function_cell(held)?;
            }
            Step::Made(obj) => {
                let held = self.pin(obj);
                let index = self.enter_made(held);
                self.by_value.scripts[at].places[Place::Made as usize] = index;
            }
            Step::Mark(place) => {
                let index = self.enc.memoize();
                self.by_value.scripts[at].places[place as usize] = index;
            }
            Step::Get(place) => {
                let index = self.by_value.scripts[at].places[place as usize];
                self.enc.get(index);
            }
            Step::Namespace(globals) => self.save_namespace(globals)?,
            Step::Global { globals, name } => {
                self.by_value.scripts[at].label = Label::Global(name.clone());
                self.save_global_variable(at, globals, name)?;
            }
            Step::Import(name) => self.save_import(name)?,
            Step::Key(name) => self.save_key(name)?,
            Step::Registry => self.save_registry()?,
            Step::SameAsMade(place) => {
                let places = &mut self.by_value.scripts[at].places;
                places[place as usize] = places[Place::Made as usize];
            }
            Step::Recheck(obj) => {
                self.enc.op(Op::PopMark);
                if let Some(index) = self.memo.get(obj.addr()).and_then(Entry::as_index) {
                    self.enc.get(index);
                    let running = &mut self.by_value.scripts[at];
                    self.by_value.steps[running.next..running.end].fill_with(|| None);
                    running.next = running.end;
                }
            }
            Step::Free(value, label) => {
                self.by_value.scripts[at].label = label;
                let held = self.pin(value);
                self.save_captured(at, held)?;
            }
            Step::Captured { from } => self.check_captured(from)?,
            Step::Instance { obj, plan } => {
                // Its parts are the object's own, not its class's.
                self.by_value.scripts[at].label = Label::None;
                let held = self.pin(obj);
                self.save_instance_of_class_above(held, plan)?;
            }
        }
        Ok(())
    }

    /// Puts a step before the next one of a script that is being played: in the
    /// place of the one that is taken.
    pub(super) fn come_back(&mut self, script: usize, step: Step) {
        let running = &mut self.by_value.scripts[script];
        running.next -= 1;
        self.by_value.steps[running.next] = Some(step);
    }

    /// A name, or what stands in the place of one.
    pub(super) fn save_key(&mut self, key: Own) -> Result<(), Stop> {
        if self.hooks.has_persistent_id || !fast::is_str(key.ty()) {
            let held = self.pin(key);
            return self.save_whole(held);
        }
        self.save_identifier(key)
    }

    /// Gives the object on top its memo entry, in `fast` mode too: functions
    /// and classes refer to themselves.
    pub(super) fn enter_made(&mut self, held: Obj) -> u32 {
        let index = self.enc.next_index();
        if self.options.fast {
            self.enc.memoize();
            self.memo.set(held.addr(), Entry::index(index));
        } else {
            self.memoize(held);
        }
        index
    }
}

/// A script that is being played.
pub struct Running {
    first: usize,
    next: usize,
    end: usize,
    places: [u32; 2],
    /// Of the step last begun.
    pub label: Label,
    _subject: Own,
}
