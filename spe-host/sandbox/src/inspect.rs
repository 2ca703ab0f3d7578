//! Static checks of a module, without compiling or running it.

use spe_abi::{
    EXPORT_INPUT, EXPORT_MAP, EXPORT_MEMORY, EXPORT_START, EXPORT_UPDATE, MANIFEST_SECTION, MODULE_MAX_BYTES,
};
use spe_kernel::{ids::Digest, manifest::Manifest};
use wasmparser::{
    CompositeInnerType, Export, ExternalKind, Import, Parser, Payload, TypeRef, ValType, Validator,
    types::{CoreTypeId, Types},
};

use crate::{engine::FEATURES, wasi};

/// Functions of a module at most.
pub const FUNCTIONS_MAX: u32 = 50_000;
/// Globals of a module at most.
pub const GLOBALS_MAX: u32 = 10_000;
/// Tables of a module at most.
pub const TABLES_MAX: usize = 4;
/// Elements of one table at most, from the start or grown.
pub const TABLE_ELEMENTS_MAX: usize = 16_384;
/// Bytes in a page of WebAssembly memory.
const PAGE_BYTES: u64 = 65_536;
/// Longest reason, in characters: a module's names may be in it, which may be long.
const WHY_CHARS_MAX: usize = 600;

/// A module that cannot be accepted: what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModuleError(String);

impl ModuleError {
    /// An error for this reason, of which no part that the module chose can fill or steer a terminal.
    fn new(why: &str) -> Self {
        Self(why.chars().take(WHY_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect())
    }
}

fn reject<T>(why: impl AsRef<str>) -> Result<T, ModuleError> {
    Err(ModuleError::new(why.as_ref()))
}

/// What can be said of a module without running it.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// What the module says of itself.
    pub manifest: Manifest,
    /// Its digest, by which plans and permits name it.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The memory it starts with, in bytes.
    pub memory_bytes: u64,
    /// Names of the functions it imports, all from `wasi_snapshot_preview1`.
    pub imports: Vec<String>,
    /// Names of everything it exports; those that the ABI does not know are ignored.
    pub exports: Vec<String>,
}

/// Checks a module against the guest ABI and this host's limits.
///
/// # Privacy
/// A function of the bytes alone (**data-blind refusal**).
///
/// # Errors
/// What is wrong, where, and what to do about it.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, ModuleError> {
    if bytes.len() > MODULE_MAX_BYTES {
        return reject(format!("it has {} bytes; at most {MODULE_MAX_BYTES} are allowed: strip it", bytes.len()));
    }
    if !bytes.starts_with(b"\0asm\x01\0\0\0") {
        return reject("it is not a core WebAssembly module (components and text are not): build for wasm32");
    }
    let types = Validator::new_with_features(FEATURES).validate_all(bytes).map_err(invalid)?;
    within_limits(&types)?;
    let found = Found::read(bytes, &types)?;
    let manifest = found.manifest()?;
    if manifest.rounds.is_some() {
        found.update()?;
    }
    Ok(Inspection {
        manifest,
        digest: Digest::of(bytes),
        size_bytes: bytes.len().try_into().unwrap_or(u64::MAX),
        memory_bytes: types.as_ref().memory_at(0).initial.saturating_mul(PAGE_BYTES),
        imports: found.imports,
        exports: found.exports,
    })
}

fn invalid(error: wasmparser::BinaryReaderError) -> ModuleError {
    let (what, offset) = (error.message(), error.offset());
    ModuleError::new(&format!(
        "it is not valid WebAssembly for this host (allowed are MVP, SIMD, bulk memory, multi-value, sign extension, \
         saturating conversions, mutable globals and reference types): at offset {offset:#x}, {what}"
    ))
}

fn within_limits(types: &Types) -> Result<(), ModuleError> {
    let types = types.as_ref();
    let counts = [
        ("functions", types.function_count(), FUNCTIONS_MAX),
        ("globals", types.global_count(), GLOBALS_MAX),
        ("tables", types.table_count(), u32::try_from(TABLES_MAX).unwrap_or(u32::MAX)),
    ];
    for (what, count, most) in counts {
        if count > most {
            return reject(format!("it has {count} {what}; at most {most} are allowed"));
        }
    }
    for table in 0..types.table_count() {
        let initial = types.table_at(table).initial;
        if usize::try_from(initial).is_ok_and(|elements| elements <= TABLE_ELEMENTS_MAX) {
            continue;
        }
        return reject(format!(
            "table {table} starts with {initial} elements; at most {TABLE_ELEMENTS_MAX} are allowed"
        ));
    }
    if types.memory_count() == 0 {
        return reject("it has no memory: records are written into the one it exports as \"memory\"");
    }
    Ok(())
}

/// The sections that matter beyond validity.
#[derive(Default)]
struct Found<'a> {
    imports: Vec<String>,
    exports: Vec<String>,
    /// What is exported as `spe_update`, if anything is: of interest with rounds only.
    update: Option<String>,
    manifests: Vec<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn read(bytes: &'a [u8], types: &Types) -> Result<Self, ModuleError> {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            found.section(payload.map_err(invalid)?, types)?;
        }
        for name in [EXPORT_MEMORY, EXPORT_INPUT, EXPORT_START, EXPORT_MAP] {
            if !found.exports.iter().any(|e| e == name) {
                return unexported(name);
            }
        }
        Ok(found)
    }

    fn export(&mut self, export: Export<'_>, types: &Types) -> Result<(), ModuleError> {
        let Export { name, .. } = export;
        match name {
            EXPORT_MEMORY => typed(name, &exported(export, types), MEMORY)?,
            EXPORT_INPUT => typed(name, &exported(export, types), "(i32) -> (i32)")?,
            EXPORT_START => typed(name, &exported(export, types), "(i32, i32) -> (i32)")?,
            EXPORT_MAP => typed(name, &exported(export, types), "(i32, i32) -> ()")?,
            EXPORT_UPDATE => self.update = Some(exported(export, types)),
            _ => {}
        }
        self.exports.push(name.to_owned());
        Ok(())
    }

    /// Checks what only a module with rounds exports.
    fn update(&self) -> Result<(), ModuleError> {
        let wanted = "(i32, i32, i32, i32) -> (i32)";
        self.update.as_ref().map_or_else(|| unexported(EXPORT_UPDATE), |is| typed(EXPORT_UPDATE, is, wanted))
    }

    fn section(&mut self, payload: Payload<'a>, types: &Types) -> Result<(), ModuleError> {
        match payload {
            Payload::StartSection { .. } => {
                return reject(
                    "it has a start section, which would run before the ABI allows it: link it as a library",
                );
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.imports.push(checked_import(import.map_err(invalid)?, types)?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.export(export.map_err(invalid)?, types)?;
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                self.manifests.push(section.data())
            }
            _ => {}
        }
        Ok(())
    }

    fn manifest(&self) -> Result<Manifest, ModuleError> {
        match self.manifests.as_slice() {
            [one] => Manifest::parse(one).map_err(|e| ModuleError::new(&e.to_string())),
            [] => reject(format!("it has no custom section {MANIFEST_SECTION:?}: see docs/guest-abi.md")),
            many => {
                reject(format!("it has {} custom sections {MANIFEST_SECTION:?}; exactly one is needed", many.len()))
            }
        }
    }
}

fn checked_import(import: Import<'_>, types: &Types) -> Result<String, ModuleError> {
    let Import { module, name, ty } = import;
    let shown = format!("{:?} from {:?}", clipped(name), clipped(module));
    let TypeRef::Func(index) = ty else {
        return reject(format!(
            "it imports {shown}, which is not a function: only functions of {:?} may be imported",
            wasi::MODULE
        ));
    };
    let Some(wanted) = (module == wasi::MODULE).then(|| wasi::signature(name)).flatten() else {
        return reject(format!(
            "it imports {shown}: only functions of {:?} may be imported, and none is needed",
            wasi::MODULE
        ));
    };
    let is = signature(types, types.as_ref().core_type_at_in_module(index));
    if is == wanted { Ok(name.to_owned()) } else { reject(format!("it imports {shown} as {is}; its type is {wanted}")) }
}

const MEMORY: &str = "memory";

/// What an export is, in words.
fn exported(export: Export<'_>, types: &Types) -> String {
    match export.kind {
        ExternalKind::Memory => MEMORY.to_owned(),
        ExternalKind::Func => signature(types, types.as_ref().core_function_at(export.index)),
        _ => "something else".to_owned(),
    }
}

fn typed(name: &str, is: &str, wanted: &str) -> Result<(), ModuleError> {
    if is == wanted { Ok(()) } else { reject(format!("it exports {name:?} as {is}; the ABI wants {wanted}")) }
}

fn unexported<T>(name: &str) -> Result<T, ModuleError> {
    reject(format!("it does not export {name:?}: see docs/guest-abi.md for the exports and their types"))
}

/// A function's type in words, `(i32, i32) -> (i32)`.
fn signature(types: &Types, id: CoreTypeId) -> String {
    match types.as_ref().get(id).map(|t| &t.composite_type.inner) {
        Some(CompositeInnerType::Func(func)) => format!("({}) -> ({})", listed(func.params()), listed(func.results())),
        _ => "no function".to_owned(),
    }
}

fn listed(types: &[ValType]) -> String {
    types.iter().map(ValType::to_string).collect::<Vec<_>>().join(", ")
}

/// A name that somebody else chose, short enough for a message.
fn clipped(name: &str) -> String {
    name.chars().take(64).collect()
}
