//! Code objects: `types.CodeType(...)` with the fields of the running version.
//!
//! A code object never changes, so what it looks like in a stream is encoded
//! once and kept with it; a dump copies it. That needs constants of the types
//! that the compiler makes. Others go field by field.

use super::named::{CACHE_TAG, CODE_TYPE, CONCAT, EXEC, GETITEM, Named};
use super::scan::{self, Names};
use super::script::{Label, Plan, Step};
use crate::error::{Raised, display};
use crate::fast::{self, Obj, Own, function, none};
use crate::policy::{Paths, Sources};
use crate::types;
use crate::walk::{Stop, Walker};
use ferropickle_core::encode::Encoder;
use ferropickle_core::opcode::Op;
use ferropickle_core::out::HeapStorage;
use pyo3::ffi;

/// What is known of a code object; kept with it.
pub struct Known {
    pub names: Names,
    pub texts: Texts,
    /// The arguments of CodeType, tuple included; none where they hold more
    /// than the compiler's constants.
    arguments: Option<Vec<u8>>,
}

// Its strings are borrowed from the code object, and not dropped.
impl function::CodeExtra for Known {}

/// What a function is called by its code, and what documents it, unless it says
/// otherwise. Borrowed from the code object.
pub struct Texts {
    pub name: Obj,
    pub qualname: Obj,
    /// None without a docstring.
    pub doc: Obj,
    /// The free variables, in the order of the function's cells.
    pub free: Vec<Obj>,
}

impl Texts {
    fn of(code: Obj) -> Result<Texts, Raised> {
        let names = types::get();
        let name = code.getattr(names.co_name.obj())?;
        // FunctionType takes the qualified name of the code (3.10: the name).
        let qualname =
            if cfg!(Py_3_11) { code.getattr(names.co_qualname.obj())? } else { name.clone() };
        let free = code.getattr(names.co_freevars.obj())?;
        Ok(Texts {
            name: name.obj(),
            qualname: qualname.obj(),
            doc: docstring(code)?.obj(),
            free: fast::tuple_items(free.obj()).collect(),
        })
    }
}

/// The docstring that FunctionType takes from a code object, or None
/// (`PyFunction_NewWithQualName` in `Objects/funcobject.c`).
fn docstring(code: Obj) -> Result<Own, Raised> {
    const CO_HAS_DOCSTRING: i64 = 0x400_0000;
    let names = types::get();
    if cfg!(Py_3_13) {
        let flags = code.getattr(names.co_flags.obj())?;
        if fast::long::as_i64(flags.obj()).unwrap_or(0) & CO_HAS_DOCSTRING == 0 {
            return Ok(none().own());
        }
    }
    let constants = code.getattr(names.co_consts.obj())?;
    if fast::tuple_len(constants.obj()) > 0 {
        let first = fast::tuple_get(constants.obj(), 0);
        if fast::is_str(first.ty()) {
            return Ok(first.own());
        }
    }
    Ok(none().own())
}

/// From this size on the encoder writes a text outside of frames, which only
/// the encoder of the stream itself can do.
const LARGE: usize = ferropickle_core::limits::FRAME_TARGET_BYTES;
/// How deep constants may nest to be encoded by themselves.
const DEEPEST: usize = 60;

/// The arguments that make a code object, in CodeType's order
/// (`code_new` in `Objects/codeobject.c`).
const FIELDS: &[&core::ffi::CStr] = &[
    c"co_argcount",
    c"co_posonlyargcount",
    c"co_kwonlyargcount",
    c"co_nlocals",
    c"co_stacksize",
    c"co_flags",
    c"co_code",
    c"co_consts",
    c"co_names",
    c"co_varnames",
    c"co_filename",
    c"co_name",
    #[cfg(Py_3_11)]
    c"co_qualname",
    c"co_firstlineno",
    c"co_linetable",
    #[cfg(Py_3_11)]
    c"co_exceptiontable",
    c"co_freevars",
    c"co_cellvars",
];

/// The values of [`FIELDS`].
fn fields(code: Obj) -> Result<Vec<Own>, Raised> {
    FIELDS
        .iter()
        .map(|name| match name.to_bytes() {
            b"co_code" => function::instructions(code),
            _ => code.getattr(fast::intern(name)?.obj()),
        })
        .collect()
}

/// What is known of the code object, found out now if it is new.
/// [`scan::make_ready`] must have run.
pub fn known<'a>(code: Obj) -> Result<KnownRef<'a>, Raised> {
    if let Some(known) = function::extra::<Known>(code) {
        return Ok(KnownRef::Kept(known));
    }
    let known = Box::new(Known {
        names: scan::names(code)?,
        texts: Texts::of(code)?,
        arguments: encode(code, None)?,
    });
    Ok(match function::set_extra(code, known) {
        Ok(kept) => KnownRef::Kept(kept),
        Err(own) => KnownRef::Own(own),
    })
}

/// Kept with the code object, or not.
pub enum KnownRef<'a> {
    Kept(&'a Known),
    Own(Box<Known>),
}

impl core::ops::Deref for KnownRef<'_> {
    type Target = Known;
    fn deref(&self) -> &Known {
        match self {
            KnownRef::Kept(known) => known,
            KnownRef::Own(known) => known,
        }
    }
}

type Blob = Encoder<HeapStorage>;

/// The arguments as opcodes of protocol 4, without memo; with another file name
/// than the code's own if one is given.
fn encode(code: Obj, file: Option<&str>) -> Result<Option<Vec<u8>>, Raised> {
    let mut blob: Blob = Encoder::new(HeapStorage::default(), 4);
    if !encode_arguments(&mut blob, code, &Nesting { depth: 0, file })? || blob.check().is_err() {
        return Ok(None);
    }
    Ok(Some(blob.into_vec()))
}

/// Where in a code object a constant is.
#[derive(Clone, Copy)]
struct Nesting<'a> {
    depth: usize,
    /// The file name to put in the place of the code's own.
    file: Option<&'a str>,
}

impl Nesting<'_> {
    const NONE: Nesting<'static> = Nesting { depth: 0, file: None };

    fn deeper(&self) -> Self {
        Nesting { depth: self.depth + 1, ..*self }
    }
}

fn encode_arguments(blob: &mut Blob, code: Obj, at: &Nesting<'_>) -> Result<bool, Raised> {
    blob.op(Op::Mark);
    for (field, name) in fields(code)?.into_iter().zip(FIELDS) {
        if let Some(file) = at.file
            && name.to_bytes() == b"co_filename"
        {
            if blob.str(file.as_bytes()).is_err() {
                return Ok(false);
            }
            continue;
        }
        if !encode_constant(blob, field.obj(), at)? {
            return Ok(false);
        }
    }
    blob.op(Op::Tuple);
    Ok(true)
}

/// What a code object does, without where it was written.
pub fn fingerprint(code: Obj, bytes: &mut Vec<u8>) -> Result<(), Raised> {
    let mut waiting = vec![code.own()];
    while let Some(code) = waiting.pop() {
        for name in FIELDS {
            let text = name.to_bytes();
            if matches!(text, b"co_filename" | b"co_firstlineno" | b"co_linetable") {
                continue;
            }
            if text == b"co_code" {
                bytes
                    .extend_from_slice(fast::bytes_data(function::instructions(code.obj())?.obj()));
                continue;
            }
            let value = code.getattr(fast::intern(name)?.obj())?;
            if text == b"co_consts" {
                constants_fingerprint(value.obj(), bytes, &mut waiting)?;
                continue;
            }
            let mut blob: Blob = Encoder::new(HeapStorage::default(), 4);
            encode_constant(&mut blob, value.obj(), &Nesting::NONE)?;
            bytes.extend(blob.into_vec());
        }
    }
    Ok(())
}

fn constants_fingerprint(
    constants: Obj,
    bytes: &mut Vec<u8>,
    nested: &mut Vec<Own>,
) -> Result<(), Raised> {
    for i in 0..fast::tuple_len(constants) {
        let constant = fast::tuple_get(constants, i);
        if function::is_code(constant) {
            nested.push(constant.own());
        } else if fast::is_frozenset(constant.ty()) {
            // Its order is not the same in every process.
            bytes.extend((fast::set_len(constant) as u64).to_le_bytes());
        } else {
            let mut blob: Blob = Encoder::new(HeapStorage::default(), 4);
            encode_constant(&mut blob, constant, &Nesting::NONE)?;
            bytes.extend(blob.into_vec());
        }
    }
    Ok(())
}

fn encode_name(blob: &mut Blob, named: &Named) -> bool {
    blob.stack_global(named.module.as_bytes(), named.name.as_bytes()).is_ok()
}

/// A constant as the compiler makes them; false for anything else.
fn encode_constant(blob: &mut Blob, value: Obj, at: &Nesting<'_>) -> Result<bool, Raised> {
    if at.depth > DEEPEST {
        return Ok(false);
    }
    let ty = value.ty();
    let fine = if value.is_none() {
        blob.none();
        true
    } else if fast::is_bool(ty) {
        blob.bool(fast::is_true(value));
        true
    } else if fast::is_int(ty) {
        match fast::long::as_i64(value) {
            Some(small) => {
                blob.int(small);
                true
            }
            None => {
                let mut bytes = Vec::new();
                fast::long::to_bytes(value, &mut bytes)?;
                blob.int_bytes(&bytes).is_ok()
            }
        }
    } else if fast::is_float(ty) {
        blob.float(fast::float_value(value));
        true
    } else if fast::is_str(ty) {
        let mut scratch = Vec::new();
        let text = fast::text::utf8(value, &mut scratch);
        text.len() < LARGE && blob.str(text).is_ok()
    } else if fast::is_bytes(ty) {
        let data = fast::bytes_data(value);
        data.len() < LARGE && blob.bytes(data).is_ok()
    } else if fast::is_tuple(ty) {
        return encode_tuple(blob, value, at);
    } else if fast::is_frozenset(ty) {
        blob.op(Op::Mark);
        let mut position = 0;
        while let Some(item) = fast::set_next(value, &mut position) {
            if !encode_constant(blob, item, &at.deeper())? {
                return Ok(false);
            }
        }
        blob.op(Op::Frozenset);
        true
    } else if function::is_code(value) {
        if !encode_name(blob, &CODE_TYPE) || !encode_arguments(blob, value, &at.deeper())? {
            return Ok(false);
        }
        blob.op(Op::Reduce);
        true
    } else if ty == &raw mut ffi::PyComplex_Type {
        static COMPLEX: Named = Named::unnumbered("builtins", "complex");
        // SAFETY: an exact complex.
        let (real, imag) = unsafe {
            (ffi::PyComplex_RealAsDouble(value.ptr()), ffi::PyComplex_ImagAsDouble(value.ptr()))
        };
        let named = encode_name(blob, &COMPLEX);
        blob.float(real);
        blob.float(imag);
        blob.op(Op::Tuple2);
        blob.op(Op::Reduce);
        named
    } else if value.ptr() == ellipsis() {
        static ELLIPSIS: Named = Named::unnumbered("builtins", "Ellipsis");
        encode_name(blob, &ELLIPSIS)
    } else {
        false
    };
    Ok(fine)
}

fn ellipsis() -> *mut ffi::PyObject {
    // SAFETY: reads the address of a singleton.
    unsafe { ffi::Py_Ellipsis() }
}

fn encode_tuple(blob: &mut Blob, tuple: Obj, at: &Nesting<'_>) -> Result<bool, Raised> {
    let len = fast::tuple_len(tuple);
    if len > 3 {
        blob.op(Op::Mark);
    }
    for i in 0..len {
        if !encode_constant(blob, fast::tuple_get(tuple, i), &at.deeper())? {
            return Ok(false);
        }
    }
    blob.op(match len {
        0 => Op::EmptyTuple,
        1 => Op::Tuple1,
        2 => Op::Tuple2,
        3 => Op::Tuple3,
        _ => Op::Tuple,
    });
    Ok(true)
}

/// What a stream's bytecode needs, as the error of another version has it: the
/// text, and the text with this version at its end.
fn guard_texts() -> &'static (String, String) {
    static TEXTS: std::sync::OnceLock<(String, String)> = std::sync::OnceLock::new();
    TEXTS.get_or_init(|| {
        let (major, minor) = types::python_version();
        let text = format!(
            "functions pickled by value on CPython {major}.{minor} run on that version only; this is "
        );
        let whole = format!("{text}{}", types::cache_tag());
        (text, whole)
    })
}

impl Walker {
    /// A code object, or a GET.
    pub(super) fn save_code(&mut self, code: Obj) -> Result<(), Stop> {
        if self.write_if_made(code)? {
            return Ok(());
        }
        if self.by_value.choices.sources != Sources::Never && self.save_code_and_source(code)? {
            return Ok(());
        }
        self.guard_version()?;
        let known = known(code)?;
        let file = self.shown_file(code)?;
        let renamed;
        let arguments = match &file {
            None => &known.arguments,
            Some(file) => {
                renamed = encode(code, Some(file))?;
                &renamed
            }
        };
        match arguments {
            Some(arguments) if self.options.proto >= 4 && !self.hooks.has_persistent_id => {
                self.save_named(&CODE_TYPE)?;
                self.enc.raw(arguments);
                self.enc.op(Op::Reduce);
                self.enter_made(code);
            }
            _ => {
                let mut plan = Plan::default();
                plan.named(&CODE_TYPE).op(Op::Mark);
                for (field, name) in fields(code)?.into_iter().zip(FIELDS) {
                    match &file {
                        Some(file) if name.to_bytes() == b"co_filename" => {
                            plan.push(Step::Save(fast::new_str(file)?, Label::None));
                        }
                        _ => {
                            plan.push(Step::Save(field, Label::None));
                        }
                    }
                }
                plan.op(Op::Tuple).op(Op::Reduce).push(Step::Made(code.own()));
                self.play(code, plan)?;
            }
        }
        Ok(())
    }

    /// The file name that the policy puts in the place of the code's own.
    fn shown_file(&self, code: Obj) -> Result<Option<String>, Raised> {
        match self.by_value.choices.paths {
            Paths::Keep => Ok(None),
            Paths::Drop => Ok(Some("<pickled>".to_owned())),
            Paths::Relative => {
                let file = display(code.getattr(fast::intern(c"co_filename")?.obj())?.obj());
                let folder = std::env::current_dir().ok();
                let inside = folder.as_deref().and_then(|folder| {
                    let rest = std::path::Path::new(&file).strip_prefix(folder).ok()?;
                    rest.to_str().map(str::to_owned)
                });
                Ok(inside)
            }
        }
    }

    /// Bytecode and source: the receiver's version decides which of them is
    /// used, and tracebacks show the lines. False where there is no source to be
    /// had.
    fn save_code_and_source(&mut self, code: Obj) -> Result<bool, Stop> {
        self.leave_pure()?;
        let carried = types::import_attribute(c"ferropickle._sources", c"carried")?;
        let shown = self.shown_file(code)?.map(|file| fast::new_str(&file)).transpose()?;
        let arguments = carried.call(&[code, shown.as_ref().map_or(none(), Own::obj)])?;
        if arguments.is_none() {
            if self.by_value.choices.sources == Sources::Always {
                let text = "the source of this function is not known (sources='always')";
                return Err(Raised::pickling(text).into());
            }
            return Ok(false);
        }
        self.save_receiver()?;
        let arguments = self.pin(arguments);
        self.save_whole(arguments)?;
        self.enc.op(Op::Reduce);
        let held = self.pin(code.own());
        self.enter_made(held);
        Ok(true)
    }

    /// The function that makes code objects where there is source beside
    /// bytecode: executed by the receiver once in a stream.
    fn save_receiver(&mut self) -> Result<(), Stop> {
        if let Some(index) = self.by_value.receiver {
            self.enc.get(index);
            return Ok(());
        }
        let text = types::import_attribute(c"ferropickle._sources", c"RECEIVER")?;
        let text = self.pin(text);
        self.enc.op(Op::EmptyDict);
        let names = self.enc.memoize();
        self.enc.op(Op::Pop);
        self.save_named(&EXEC)?;
        self.save_whole(text)?;
        self.enc.get(names);
        for op in [Op::Tuple2, Op::Reduce, Op::Pop] {
            self.enc.op(op);
        }
        self.save_named(&GETITEM)?;
        self.enc.get(names);
        self.write_literal("code")?;
        self.enc.op(Op::Tuple2);
        self.enc.op(Op::Reduce);
        self.by_value.receiver = Some(self.enc.memoize());
        Ok(())
    }

    /// Before the first bytecode of a stream: a look-up that fails on another
    /// version, with a key that says why.
    fn guard_version(&mut self) -> Result<(), Stop> {
        if core::mem::replace(&mut self.by_value.guarded, true) {
            return Ok(());
        }
        let (text, whole) = guard_texts();
        self.save_named(&GETITEM)?;
        self.enc.op(Op::EmptyDict);
        self.write_literal(whole)?;
        self.enc.none();
        self.enc.op(Op::Setitem);
        self.save_named(&CONCAT)?;
        self.write_literal(text)?;
        self.save_named(&CACHE_TAG)?;
        self.enc.op(Op::Tuple2);
        self.enc.op(Op::Reduce);
        self.enc.op(Op::Tuple2);
        self.enc.op(Op::Reduce);
        self.enc.op(Op::Pop);
        Ok(())
    }
}
