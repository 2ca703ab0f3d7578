//! A sandbox of one's own, on the researcher's machine: for public numbers and made-up records, never for anybody's data.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use spe_kernel::{dataset::DatasetSchema, ids::Digest, plan::Plan, refusal::Stop};
use spe_sandbox::{ApprovedModule, Compiler, Sandbox};

use crate::{connect::make_private, key::entropy};

/// What compiling one module may take here.
const COMPILE_SECONDS_MAX: u32 = 60;
const COMPILE_MEMORY_BYTES_MAX: u64 = 1 << 30;

/// A sandbox in a folder that goes with it.
pub(crate) struct Workshop {
    sandbox: Sandbox,
    folder: PathBuf,
}

impl Workshop {
    /// Opens one for guests of at most so much memory.
    pub(crate) fn open(memory_bytes_max: u64) -> Result<Self> {
        let secret = entropy()?;
        let folder = std::env::temp_dir().join(format!("spe-workshop-{}", Digest::of(&secret).short()));
        make_private(&folder)?;
        let sandbox = Sandbox::new(spe_sandbox::Config {
            cache_dir: folder.clone(),
            cache_key: secret,
            compiler: Compiler {
                program: std::env::current_exe().context("finding this program")?,
                args: vec!["compile-module".into()],
                seconds_max: COMPILE_SECONDS_MAX,
                memory_bytes_max: COMPILE_MEMORY_BYTES_MAX,
            },
            workers_max: 1,
            memory_bytes_max,
        })?;
        Ok(Self { sandbox, folder })
    }

    /// The module as a node would run it for `plan`.
    pub(crate) fn approve(&self, wasm: &[u8], plan: &Plan, schema: &DatasetSchema) -> Result<ApprovedModule> {
        self.sandbox.approve(wasm, plan, schema).map_err(told)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Here a fault may be told: there is no record that it could be about.
pub(crate) fn told(stop: Stop) -> anyhow::Error {
    match stop {
        Stop::Refused(refusal) => refusal.into(),
        Stop::Failed(fault) => anyhow!("{fault}"),
    }
}
