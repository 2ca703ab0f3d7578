//! From a module's bytes to the evidence that it may run.

use std::{path::PathBuf, sync::Arc};

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
    guest::Program,
    inspect::{Inspection, inspect},
    interrupt::Interrupt,
    refused::Refused,
    seats::Seats,
    terms::Terms,
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
    refused: Refused,
    memory_bytes_max: u64,
    seats: Arc<Seats>,
}

impl Sandbox {
    /// Sets up the engine and the cache.
    ///
    /// # Errors
    /// The directory cannot be made, or the system grants no address space.
    pub fn new(config: Config) -> Result<Self, Fault> {
        let memory = usize::try_from(config.memory_bytes_max).map_err(Fault::while_("setting up the sandbox"))?;
        Ok(Self {
            engine: engine::running(Seats::guests(config.workers_max), memory)?,
            cache: Cache::open(&config.cache_dir, config.cache_key)?,
            compiler: config.compiler,
            refused: Refused::default(),
            memory_bytes_max: config.memory_bytes_max,
            seats: Seats::new(config.workers_max),
        })
    }

    /// Checks, compiles (or takes from the cache) and starts a module for a plan; with rounds, on a state of zeros.
    ///
    /// A module that compiling refused once is refused at once until the program ends.
    ///
    /// # Privacy
    /// No record is read: whether and how a module is refused depends on module, plan, schema and this node's limits only
    /// (**data-blind refusal**).
    ///
    /// # Errors
    /// Refuses a module that is not the plan's, fails [`inspect`], costs too much to compile, or does not start.
    pub fn approve(&self, bytes: &[u8], plan: &Plan, schema: &DatasetSchema) -> Result<ApprovedModule, Stop> {
        let inspection = named(bytes, plan)?;
        plan.fits_manifest(&inspection.manifest).and_then(|()| plan.fits_schema(schema)).map_err(unfit)?;
        let terms = self.terms(plan, schema, &inspection)?;
        let module = self.module(bytes, inspection.digest).map_err(|uncompiled| match uncompiled {
            Uncompiled::Refused(why) | Uncompiled::Late(why) => {
                Refusal::ModuleRefused { module: inspection.digest, why: why.to_owned() }.into()
            }
            Uncompiled::Failed(fault) => Stop::from(fault),
        })?;
        let program = Program::new(&self.engine, &module)?;
        ApprovedModule::started(Arc::new(inspection), Arc::new(program), terms, Arc::clone(&self.seats))
    }

    /// Deletes what was compiled of the module of that digest, if anything was.
    ///
    /// # Errors
    /// The file cannot be deleted.
    pub fn forget(&self, module: Digest) -> Result<(), Fault> {
        self.cache.remove(cache::name(module, &self.engine))
    }

    /// A new interrupt for one run on this sandbox, given to its workers with [`crate::Worker::until`].
    pub fn interrupt(&self) -> Interrupt {
        Interrupt::new(&self.engine)
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
        let fits = |terms: &Terms| u64::from(terms.input_bytes) <= memory;
        Terms::of(plan, schema).filter(fits).ok_or_else(|| {
            unfit(format!(
                "one record, or the sums of one round, may not fit into the plan's {memory} bytes of memory: ask for more, \
                 or lower max_rows"
            ))
        })
    }

    /// The compiled module, from the cache if it is there.
    fn module(&self, bytes: &[u8], digest: Digest) -> Result<Module, Uncompiled> {
        let name = cache::name(digest, &self.engine);
        if let Some(module) = self.cache.get(name).and_then(|artifact| artifact.load(&self.engine).ok()) {
            return Ok(module);
        }
        if let Some(why) = self.refused.why(digest) {
            return Err(Uncompiled::Refused(why));
        }
        self.compiled(bytes, name).inspect_err(|uncompiled| {
            if let Uncompiled::Refused(why) = uncompiled {
                self.refused.remember(digest, why);
            }
        })
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
