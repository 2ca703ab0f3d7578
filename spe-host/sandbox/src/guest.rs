//! A guest that was started and stands at its snapshot: the state every data subject's run begins with.

use std::borrow::Cow;

use spe_abi::{
    EXPORT_INPUT, EXPORT_MAP, EXPORT_MEMORY, EXPORT_START, EXPORT_UPDATE, INPUT_NO_ROOM, OUTPUT_BYTES, START_FUEL,
    START_READY,
};
use spe_kernel::{
    fault::Fault,
    record::{Chunk, Contribution},
};
use wasmtime::{
    Engine, Extern, Instance, InstancePre, Linker, Memory, Module, ModuleExport, ResourceLimiter, Store, Trap,
    TypedFunc, WasmParams, WasmResults,
};

use crate::{inspect::TABLE_ELEMENTS_MAX, interrupt::Interrupt, terms::Terms, wasi};

/// What one guest may take of the host. Growing beyond it fails, as the guest's own affair.
pub(crate) struct Limits {
    memory_bytes: usize,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.memory_bytes)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

/// `spe_update`.
pub(crate) type Update = TypedFunc<(u32, u32, u32, u32), i32>;

/// Compiled code, linked, and where its exports are.
pub(crate) struct Program {
    instances: InstancePre<Limits>,
    memory: ModuleExport,
    input: ModuleExport,
    start: ModuleExport,
    map: ModuleExport,
    /// Of the ABI's type in modules with rounds only; elsewhere nobody looked at it, and nobody calls it.
    update: Option<ModuleExport>,
}

/// Why a guest does not reach its snapshot, or from there the next state.
pub(crate) enum Unready {
    /// The module is to blame. No record was read: the reason may be told.
    Guest(Cow<'static, str>),
    /// The host is.
    Host(Fault),
}

impl Unready {
    pub(crate) fn guest(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Guest(why.into())
    }
}

impl From<Fault> for Unready {
    fn from(fault: Fault) -> Self {
        Self::Host(fault)
    }
}

fn unknown_export() -> Fault {
    Fault::new("starting a guest", "an inspected module lacks an export")
}

impl Program {
    pub(crate) fn new(engine: &Engine, module: &Module) -> Result<Self, Fault> {
        let mut linker = Linker::new(engine);
        wasi::link(&mut linker).map_err(Fault::while_("linking"))?;
        let export = |name| module.get_export_index(name).ok_or_else(unknown_export);
        Ok(Self {
            memory: export(EXPORT_MEMORY)?,
            input: export(EXPORT_INPUT)?,
            start: export(EXPORT_START)?,
            map: export(EXPORT_MAP)?,
            update: module.get_export_index(EXPORT_UPDATE),
            instances: linker.instantiate_pre(module).map_err(Fault::while_("linking"))?,
        })
    }

    /// A fresh instance, brought to its snapshot, which ends once `interrupt` is raised.
    pub(crate) fn start(&self, terms: &Terms, interrupt: Option<&Interrupt>) -> Result<Guest, Unready> {
        let mut store = Store::new(self.instances.module().engine(), Limits { memory_bytes: terms.memory_bytes });
        store.limiter(|limits| limits);
        Interrupt::arm(interrupt, &mut store);
        store.set_fuel(START_FUEL).map_err(Fault::while_("giving fuel"))?;
        let instance = self.instances.instantiate(&mut store).map_err(|error| match error.downcast_ref::<Trap>() {
            Some(_) => Unready::guest("its data or element segments lie outside of its memory or tables"),
            None => Unready::Host(Fault::new("making an instance", error)),
        })?;
        let mut export = |at| instance.get_module_export(&mut store, at).ok_or_else(unknown_export);
        let memory = export(&self.memory)?.into_memory().ok_or_else(unknown_export)?;
        let (input, start, map) = (export(&self.input)?, export(&self.start)?, export(&self.map)?);
        let map = typed(map, &store)?;
        let address = typed(input, &store)?
            .call(&mut store, terms.input_bytes)
            .map_err(|_| Unready::guest("spe_input traps or runs out of fuel; it may only find room in memory"))?;
        let mut guest = Guest { store, instance, memory, map, address };
        guest.input(terms)?.get_mut(..terms.params.len()).ok_or_else(unknown_export)?.copy_from_slice(&terms.params);
        guest.start(start, terms)?;
        Ok(guest)
    }

    /// `spe_update` of a guest of this program.
    pub(crate) fn update(&self, guest: &mut Guest) -> Result<Update, Fault> {
        let Guest { store, instance, .. } = guest;
        let export = self.update.as_ref().and_then(|at| instance.get_module_export(&mut *store, at));
        typed(export.ok_or_else(unknown_export)?, store)
    }
}

fn typed<P: WasmParams, R: WasmResults>(export: Extern, store: &Store<Limits>) -> Result<TypedFunc<P, R>, Fault> {
    export.into_func().and_then(|func| func.typed(store).ok()).ok_or_else(unknown_export)
}

/// A guest at its snapshot, good for one data subject, or for one update.
pub(crate) struct Guest {
    pub(crate) store: Store<Limits>,
    instance: Instance,
    memory: Memory,
    map: TypedFunc<(u32, u32), ()>,
    pub(crate) address: u32,
}

/// The bytes that a guest set aside, in two parts.
pub(crate) struct Areas<'g> {
    /// What it reads.
    pub(crate) read: &'g mut [u8],
    /// Where it writes: the address of numbers that are NaN so far.
    pub(crate) out: u32,
}

impl Guest {
    /// The bytes that the guest set aside, after checking that they are its own.
    fn input(&mut self, terms: &Terms) -> Result<&mut [u8], Unready> {
        if self.address == INPUT_NO_ROOM {
            return Err(Unready::guest("spe_input finds no room for a record: ask for more memory, or lower max_rows"));
        }
        if !self.address.is_multiple_of(spe_abi::ALIGN) {
            return Err(Unready::guest("spe_input returns an address that is not a multiple of 8"));
        }
        let start = self.address as usize;
        let memory = self.memory.data_mut(&mut self.store);
        memory
            .get_mut(start..start.saturating_add(terms.input_bytes as usize))
            .ok_or_else(|| Unready::guest("spe_input returns an address whose bytes do not lie within its memory"))
    }

    fn start(&mut self, start: Extern, terms: &Terms) -> Result<(), Unready> {
        let start: TypedFunc<(u32, u32), i32> = typed(start, &self.store)?;
        match start.call(&mut self.store, (self.address, terms.params_bytes)) {
            Ok(START_READY) => Ok(()),
            Ok(_) => Err(Unready::guest("spe_start refuses the parameters")),
            Err(_) => Err(Unready::guest("spe_start traps or runs out of fuel")),
        }
    }

    /// The guest's bytes, the last of which are for `numbers` numbers that it is to write.
    pub(crate) fn areas(&mut self, terms: &Terms, numbers: usize) -> Result<Areas<'_>, Fault> {
        let address = self.address;
        let input =
            self.input(terms).map_err(|_| Fault::new("running a guest", "its input lies outside of its memory"))?;
        let out_bytes = numbers * OUTPUT_BYTES as usize;
        let (read, out) =
            input.split_at_mut_checked(input.len().saturating_sub(out_bytes)).ok_or_else(unknown_export)?;
        for slot in out.as_chunks_mut().0 {
            *slot = f64::NAN.to_le_bytes();
        }
        let out = address + u32::try_from(read.len()).map_err(Fault::while_("addressing outputs"))?;
        Ok(Areas { read, out })
    }

    /// The `numbers` numbers at `out`.
    pub(crate) fn written(&self, out: u32, numbers: usize) -> impl Iterator<Item = f64> {
        let bytes = self.memory.data(&self.store).get(out as usize..).unwrap_or_default();
        bytes.as_chunks().0.iter().take(numbers).map(|number| canonical(f64::from_le_bytes(*number)))
    }

    /// Runs the guest for one data subject; `numbers` holds what it writes.
    ///
    /// # Privacy
    /// **guest-blind**: the outputs' address, number and initial content (NaN, nothing to contribute) are the plan's. All
    /// that goes wrong inside of the guest is [`Contribution::Failed`].
    ///
    /// # Errors
    /// The host's own failures only.
    pub(crate) fn run<'n>(
        mut self,
        terms: &Terms,
        chunk: &Chunk,
        subject: usize,
        numbers: &'n mut Vec<f64>,
    ) -> Result<Contribution<'n>, Fault> {
        let address = self.address;
        let Areas { read, out } = self.areas(terms, terms.numbers)?;
        terms.shape.write(read, address, chunk, subject)?;
        self.store.set_fuel(terms.fuel).map_err(Fault::while_("giving fuel"))?;
        if self.map.call(&mut self.store, (address, out)).is_err() {
            return Ok(Contribution::Failed);
        }
        numbers.clear();
        numbers.extend(self.written(out, terms.numbers));
        Ok(Contribution::Numbers(numbers))
    }
}

/// One NaN for all: its other bits are a message.
const fn canonical(number: f64) -> f64 {
    if number.is_nan() { f64::NAN } else { number }
}
