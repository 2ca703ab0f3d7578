//! From a module's bytes to the evidence that it may run.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use spe_abi::MODULE_MAX_BYTES;
use spe_kernel::{
    dataset::DatasetSchema,
    fault::Fault,
    ids::Digest,
    plan::{Plan, PlanError},
    refusal::{Refusal, Stop},
};
use wasmtime::{Engine, Module};

use crate::{
    approved::ApprovedModule,
    cache::{self, Cache},
    compile::{Compiler, Uncompiled},
    engine,
    guest::{Program, Terms, Unready},
    inspect::{Inspection, inspect},
    seats::Seats,
    trusted::Artifact,
};

/// What a node decides about its sandbox.
#[derive(Clone)]
pub struct Config {
    /// Where compiled modules are kept.
    pub cache_dir: PathBuf,
    /// This node's secret, 32 random bytes: what the cache holds is believed only beneath a seal made with it.
    pub cache_key: [u8; 32],
    /// How modules are compiled.
    pub compiler: Compiler,
    /// Workers at once, over all jobs. Each needs up to `memory_bytes_max` of memory, and 4 GiB of address space.
    pub workers_max: u32,
    /// Most memory of one guest in bytes, whatever its plan asks for; at most 4 GiB.
    pub memory_bytes_max: u64,
}

/// The sandbox of one node.
pub struct Sandbox {
    engine: Engine,
    cache: Cache,
    compiler: Compiler,
    memory_bytes_max: u64,
    seats: Arc<Seats>,
    /// Modules start one at a time on approval: the engine has one instance more than there are workers.
    start: Mutex<()>,
}

impl Sandbox {
    /// Sets up the engine and the cache.
    ///
    /// # Errors
    /// The directory cannot be made, or the system grants no address space.
    pub fn new(config: Config) -> Result<Self, Fault> {
        let memory = usize::try_from(config.memory_bytes_max).map_err(Fault::while_("setting up the sandbox"))?;
        Ok(Self {
            engine: engine::running(config.workers_max.saturating_add(1), memory)?,
            cache: Cache::open(&config.cache_dir, config.cache_key)?,
            compiler: config.compiler,
            memory_bytes_max: config.memory_bytes_max,
            seats: Seats::new(config.workers_max),
            start: Mutex::new(()),
        })
    }

    /// Checks, compiles (or takes from the cache) and starts a module for a plan.
    ///
    /// # Privacy
    /// No record is read: whether and how a module is refused depends on module, plan, schema and this node's limits only
    /// (**data-blind refusal**).
    ///
    /// # Errors
    /// Refuses a module that is not the plan's, fails [`inspect`], costs too much to compile, or does not start.
    pub fn approve(&self, bytes: &[u8], plan: &Plan, schema: &DatasetSchema) -> Result<ApprovedModule, Stop> {
        let refused = |why: String| Stop::from(Refusal::ModuleRefused { module: plan.module(), why });
        let inspection = named(bytes, plan)?;
        plan.fits_manifest(&inspection.manifest).and_then(|()| plan.fits_schema(schema)).map_err(unfit)?;
        let terms = self.terms(plan, schema, &inspection)?;
        let module = self.module(bytes, inspection.digest).map_err(|uncompiled| match uncompiled {
            Uncompiled::Refused(why) => refused(why.to_owned()),
            Uncompiled::Failed(fault) => fault.into(),
        })?;
        let program = Program::new(&self.engine, &module)?;
        self.try_start(&program, &terms).map_err(|unready| match unready {
            Unready::Guest(why) => refused(why.to_owned()),
            Unready::Host(fault) => fault.into(),
        })?;
        Ok(ApprovedModule {
            inspection: Arc::new(inspection),
            program: Arc::new(program),
            terms: Arc::new(terms),
            seats: Arc::clone(&self.seats),
        })
    }

    /// Starts a guest that never sees a record: it only shows that the next one will start.
    fn try_start(&self, program: &Program, terms: &Terms) -> Result<(), Unready> {
        let _turn = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        program.start(terms).map(drop)
    }

    fn terms(&self, plan: &Plan, schema: &DatasetSchema, inspection: &Inspection) -> Result<Terms, Stop> {
        let memory = plan.memory_bytes_max();
        let unfit = |why| Stop::from(Refusal::PlanUnfit { why });
        if memory > self.memory_bytes_max {
            return Err(unfit(format!(
                "it asks for {memory} bytes of memory; this node gives at most {}",
                self.memory_bytes_max
            )));
        }
        if inspection.memory_bytes > memory {
            return Err(unfit(format!(
                "the module starts with {} bytes of memory; the plan allows {memory}",
                inspection.memory_bytes
            )));
        }
        let fits = |terms: &Terms| u64::from(terms.input_bytes()) <= memory;
        Terms::of(plan, schema).filter(fits).ok_or_else(|| {
            unfit(format!(
                "one record may not fit into the plan's {memory} bytes of memory: ask for more, or lower max_rows"
            ))
        })
    }

    /// The compiled module, from the cache if it is there.
    fn module(&self, bytes: &[u8], digest: Digest) -> Result<Module, Uncompiled> {
        let name = cache::name(digest, &self.engine);
        let cached = self.cache.get(name).and_then(|artifact| artifact.load(&self.engine).ok());
        cached.map_or_else(|| self.compiled(bytes, name), Ok)
    }

    fn compiled(&self, bytes: &[u8], name: Digest) -> Result<Module, Uncompiled> {
        let artifact: Artifact = self.compiler.compile(bytes, &self.cache.scratch()?)?;
        let module = artifact.load(&self.engine).map_err(Fault::while_("loading a compiled module"))?;
        self.cache.put(name, &artifact)?;
        Ok(module)
    }
}

fn unfit(error: PlanError) -> Stop {
    Refusal::PlanUnfit { why: error.0 }.into()
}

/// Inspects bytes that must be the plan's module.
fn named(bytes: &[u8], plan: &Plan) -> Result<Inspection, Stop> {
    let (module, most) = (plan.module(), MODULE_MAX_BYTES);
    if bytes.len() > most {
        let (size, limit) = (bytes.len().try_into().unwrap_or(u64::MAX), most.try_into().unwrap_or(u64::MAX));
        return Err(Refusal::TooLarge { what: "the module".to_owned(), size, limit }.into());
    }
    let digest = Digest::of(bytes);
    if digest != module {
        return Err(
            Refusal::ModuleRefused { module, why: format!("the plan names it, but the bytes are {digest}") }.into()
        );
    }
    inspect(bytes).map_err(|error| Refusal::ModuleRefused { module, why: error.to_string() }.into())
}
