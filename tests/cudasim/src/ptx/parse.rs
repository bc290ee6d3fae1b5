//! A module of PTX: its variables, its kernels, their registers and labels. PTX ISA, "Directives".

use std::collections::HashMap;
use std::sync::Arc;

use super::Refusal;
use super::decode::decode;
use super::ir::{Action, Kernel, Module, Type, Variable};
use super::lex::{Word, number, words};

/// What a name in a kernel stands for.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    Register(u32),
    /// An address in shared memory.
    Shared(u64),
    /// An address in a thread's own memory.
    Local(u64),
    /// An offset in the parameters.
    Parameter(u64),
    /// An offset among the module's variables.
    Variable(u64),
}

/// The words that are left, and what is known so far.
pub struct Reader<'a> {
    words: Vec<Word<'a>>,
    at: usize,
    module: Module,
    /// Names outside of kernels.
    outer: HashMap<String, Meaning>,
    /// Names in the kernel that is read, by block.
    scopes: Vec<HashMap<String, Meaning>>,
    /// Shared variables that the launch gives their size.
    dynamic: Vec<&'a str>,
}

/// A declaration: `.align 4 .b8 name[16]`.
struct Declared<'a> {
    name: &'a str,
    kind: Type,
    align: u64,
    /// Elements, if it is an array; `None` where the brackets are empty.
    count: Option<u64>,
}

impl Declared<'_> {
    fn size(&self) -> u64 {
        self.kind.size() as u64 * self.count.unwrap_or(0)
    }
}

impl<'a> Reader<'a> {
    pub fn line(&self) -> u32 {
        let last = self.words.len().saturating_sub(1);
        self.words.get(self.at.min(last)).map_or(0, |word| word.line)
    }

    pub fn refuse<T>(&self, why: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal { line: self.line(), why: why.into() })
    }

    pub fn peek(&self) -> &'a str {
        self.words.get(self.at).map_or("", |word| word.text)
    }

    pub fn next(&mut self) -> &'a str {
        let text = self.peek();
        self.at += 1;
        text
    }

    /// Takes the word if it is the next one.
    pub fn take(&mut self, text: &str) -> bool {
        let here = self.peek() == text;
        self.at += usize::from(here);
        here
    }

    pub fn expect(&mut self, text: &str) -> Result<(), Refusal> {
        if self.take(text) {
            return Ok(());
        }
        self.refuse(format!("{text:?} is expected and {:?} is there", self.peek()))
    }

    fn count(&mut self) -> Result<u64, Refusal> {
        let text = self.peek();
        let Some(value) = number(text) else {
            return self.refuse(format!("{text:?} is no number"));
        };
        self.at += 1;
        Ok(value)
    }

    fn skip_line(&mut self) {
        let line = self.line();
        while self.at < self.words.len() && self.words[self.at].line == line {
            self.at += 1;
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 0;
        while self.at < self.words.len() {
            match self.next() {
                "{" => depth += 1,
                "}" if depth == 1 => return,
                "}" => depth -= 1,
                ";" if depth == 0 => return,
                _ => {}
            }
        }
    }

    /// What a name stands for.
    pub fn meaning(&self, name: &str) -> Option<Meaning> {
        let inner = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        inner.or_else(|| self.outer.get(name)).copied()
    }

    fn declare(&mut self, name: impl Into<String>, meaning: Meaning) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.into(), meaning);
        }
    }

    fn declaration(&mut self) -> Result<Declared<'a>, Refusal> {
        let (mut align, mut kind) = (0, None);
        loop {
            match self.peek() {
                ".align" => {
                    self.at += 1;
                    align = self.count()?;
                }
                // What a pointer parameter points to is not checked.
                ".ptr" | ".global" | ".const" | ".shared" | ".local" if kind.is_some() => {
                    self.at += 1
                }
                text if text.starts_with('.') => {
                    kind = Type::named(&text[1..]);
                    if kind.is_none() {
                        return self.refuse(format!("{text} is not interpreted"));
                    }
                    self.at += 1;
                }
                _ => break,
            }
        }
        let Some(kind) = kind else { return self.refuse("a type is expected") };
        let name = self.next();
        let mut count = Some(1);
        while self.take("[") {
            if self.take("]") {
                count = None;
            } else {
                let more = self.count()?;
                count = count.and_then(|n: u64| n.checked_mul(more));
                self.expect("]")?;
            }
        }
        Ok(Declared { name, kind, align: align.max(kind.size() as u64), count })
    }

    /// The bytes after `=`: numbers, also in braces.
    fn initial(&mut self, kind: Type) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        if !self.take("=") {
            return Ok(bytes);
        }
        let mut depth = 0;
        loop {
            match self.peek() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth > 0 => {}
                _ => {
                    let negative = self.take("-");
                    let Some(value) = number(self.peek()) else {
                        return self.refuse("variables with addresses in them are not interpreted");
                    };
                    let value = if negative { value.wrapping_neg() } else { value };
                    bytes.extend(&value.to_le_bytes()[..kind.size()]);
                }
            }
            self.at += 1;
            if depth == 0 {
                return Ok(bytes);
            }
        }
    }

    /// A `.global` or `.const` variable of the module.
    fn variable(&mut self) -> Result<(), Refusal> {
        let declared = self.declaration()?;
        let initial = self.initial(declared.kind)?;
        self.expect(";")?;
        if declared.count.is_none() {
            return self.refuse(format!("{} is of no known size", declared.name));
        }
        let offset = self.module.variable_bytes.next_multiple_of(declared.align.max(1));
        let size = declared.size();
        self.module.variable_bytes = offset + size;
        self.outer.insert(declared.name.into(), Meaning::Variable(offset));
        self.module.variables.insert(declared.name.into(), Variable { offset, size, initial });
        Ok(())
    }

    /// `.reg .b32 %r<19>;` or `.reg .pred p, q;`
    fn registers(&mut self, kernel: &mut Kernel) -> Result<(), Refusal> {
        let kind = self.next();
        if Type::named(kind.trim_start_matches('.')).is_none() {
            return self.refuse(format!("registers of type {kind} are not interpreted"));
        }
        loop {
            let name = self.next();
            if self.take("<") {
                let count = self.count()?;
                self.expect(">")?;
                for i in 0..count {
                    self.declare(format!("{name}{i}"), Meaning::Register(kernel.registers));
                    kernel.registers += 1;
                }
            } else {
                self.declare(name, Meaning::Register(kernel.registers));
                kernel.registers += 1;
            }
            if !self.take(",") {
                return self.expect(";");
            }
        }
    }

    fn parameters(&mut self, kernel: &mut Kernel) -> Result<(), Refusal> {
        if !self.take("(") {
            return Ok(());
        }
        while !self.take(")") {
            self.expect(".param")?;
            let declared = self.declaration()?;
            let offset = kernel.parameter_bytes.next_multiple_of(declared.align);
            kernel.parameters.push((offset, declared.size()));
            kernel.parameter_bytes = offset + declared.size();
            self.declare(declared.name, Meaning::Parameter(offset));
            self.take(",");
        }
        Ok(())
    }

    fn kernel(&mut self) -> Result<(), Refusal> {
        let mut kernel =
            Kernel { name: self.next().into(), max_threads: 1024, ..Kernel::default() };
        self.scopes.push(HashMap::new());
        self.parameters(&mut kernel)?;
        while self.peek() != "{" {
            match self.next() {
                ".maxntid" | ".reqntid" => {
                    kernel.max_threads = self.count()?;
                    while self.take(",") {
                        kernel.max_threads *= self.count()?;
                    }
                }
                ".minnctapersm" | ".maxnreg" | ".maxnctapersm" => drop(self.count()?),
                ";" => {
                    self.scopes.pop();
                    return Ok(());
                }
                other => return self.refuse(format!("{other} is not interpreted")),
            }
        }
        self.body(&mut kernel)?;
        self.scopes.pop();
        self.module.kernels.insert(kernel.name.clone(), Arc::new(kernel));
        Ok(())
    }

    fn body(&mut self, kernel: &mut Kernel) -> Result<(), Refusal> {
        self.expect("{")?;
        let mut labels: HashMap<&str, usize> = HashMap::new();
        // Jumps to fill in when all labels are known: by instruction.
        let mut jumps: Vec<(usize, &str, u32)> = Vec::new();
        let mut depth = 1;
        while depth > 0 {
            match self.peek() {
                "" => return self.refuse("the text ends inside a kernel"),
                "{" => {
                    self.at += 1;
                    depth += 1;
                    self.scopes.push(HashMap::new());
                }
                "}" => {
                    self.at += 1;
                    depth -= 1;
                    if depth > 0 {
                        self.scopes.pop();
                    }
                }
                ".reg" => {
                    self.at += 1;
                    self.registers(kernel)?;
                }
                ".local" | ".shared" => {
                    let shared = self.next() == ".shared";
                    let declared = self.declaration()?;
                    self.expect(";")?;
                    let used =
                        if shared { &mut kernel.shared_bytes } else { &mut kernel.local_bytes };
                    let offset = used.next_multiple_of(declared.align);
                    *used = offset + declared.size();
                    let meaning =
                        if shared { Meaning::Shared(offset) } else { Meaning::Local(offset) };
                    self.declare(declared.name, meaning);
                }
                ".loc" => self.skip_line(),
                ".pragma" => self.skip_block(),
                label if self.words.get(self.at + 1).is_some_and(|word| word.text == ":") => {
                    self.at += 2;
                    labels.insert(label, kernel.code.len());
                }
                text if text.starts_with('.') => {
                    return self.refuse(format!("{text} is not interpreted"));
                }
                _ => {
                    let (instruction, target) = decode(self)?;
                    if let Some(label) = target {
                        jumps.push((kernel.code.len(), label, instruction.line));
                    }
                    kernel.code.push(instruction);
                }
            }
        }
        for (at, label, line) in jumps {
            let Some(target) = labels.get(label) else {
                return Err(Refusal { line, why: format!("there is no label {label}") });
            };
            kernel.code[at].action = Action::Jump(*target);
        }
        Ok(())
    }

    /// Shared variables outside of kernels: the size of the one without a size comes with the launch.
    fn outer_shared(&mut self) -> Result<(), Refusal> {
        let declared = self.declaration()?;
        self.expect(";")?;
        if declared.count.is_some_and(|n| n > 0) {
            return self
                .refuse("shared variables of a size outside of kernels are not interpreted");
        }
        self.dynamic.push(declared.name);
        Ok(())
    }

    /// Whether the name is that of the shared memory that the launch adds.
    pub fn is_dynamic_shared(&self, name: &str) -> bool {
        self.dynamic.contains(&name)
    }

    fn read(&mut self) -> Result<(), Refusal> {
        while self.at < self.words.len() {
            match self.next() {
                ".version" => self.module.version = version(self.next()),
                ".target" => {
                    let digits: String = self.next().chars().filter(char::is_ascii_digit).collect();
                    self.module.target = digits.parse().unwrap_or(0);
                    while self.take(",") {
                        self.at += 1;
                    }
                }
                ".address_size" => {
                    if self.count()? != 64 {
                        return self.refuse("addresses are of 64 bits");
                    }
                }
                ".visible" | ".weak" | ".common" | ".extern" => {}
                ".file" => {
                    self.at -= 1;
                    self.skip_line();
                }
                ".section" | ".func" | ".alias" | ".pragma" => self.skip_block(),
                ".global" | ".const" => self.variable()?,
                ".shared" => self.outer_shared()?,
                ".entry" => self.kernel()?,
                other => {
                    self.at -= 1;
                    return self.refuse(format!("{other:?} is not interpreted"));
                }
            }
        }
        Ok(())
    }
}

fn version(text: &str) -> u32 {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    major.parse().unwrap_or(0) * 10 + minor.parse().unwrap_or(0)
}

/// Reads a module.
pub fn parse(text: &str) -> Result<Module, Refusal> {
    let mut reader = Reader {
        words: words(text)?,
        at: 0,
        module: Module::default(),
        outer: HashMap::new(),
        scopes: Vec::new(),
        dynamic: Vec::new(),
    };
    reader.read()?;
    if reader.module.version == 0 {
        return Err(Refusal { line: 1, why: "this is no PTX: it names no version".into() });
    }
    Ok(reader.module)
}
