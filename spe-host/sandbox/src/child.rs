//! The compiling process: one module, its own limits, then the end.

use std::{
    fs,
    io::{self, BufRead, Read},
    path::PathBuf,
    process,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use spe_abi::MODULE_MAX_BYTES;

use crate::engine;

/// Exit code: compiled.
pub(crate) const DONE: i32 = 0;
/// Exit code: the compiler refuses the module.
pub(crate) const INVALID: i32 = 65;
/// Exit code: the process could not do its work, whatever the module.
const BROKEN: i32 = 70;

/// The first line on standard input; the module's bytes follow.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// An existing file to write the artifact to.
    pub(crate) artifact: PathBuf,
    /// Processor time.
    pub(crate) seconds_max: u64,
    /// Memory.
    pub(crate) memory_bytes_max: u64,
}

/// Compiles the module on standard input, within the limits that the first line sets, and ends the process.
///
/// A program that uses the sandbox calls this from a hidden subcommand, which [`crate::Compiler`] names. A module that
/// makes the compiler run away takes only this process with it.
pub fn compile_child() -> ! {
    process::exit(match compile() {
        Ok(()) => DONE,
        Err(code) => code,
    })
}

fn compile() -> Result<(), i32> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line).map_err(|_| BROKEN)?;
    let order: Order = serde_json::from_slice(&line).map_err(|_| BROKEN)?;
    let engine = engine::compiling().map_err(|_| BROKEN)?;
    limit(&order).map_err(|_| BROKEN)?;
    let mut module = Vec::new();
    let most = u64::try_from(MODULE_MAX_BYTES).unwrap_or(u64::MAX);
    input.take(most).read_to_end(&mut module).map_err(|_| BROKEN)?;
    let artifact = engine.precompile_module(&module).map_err(|_| INVALID)?;
    fs::write(&order.artifact, artifact).map_err(|_| BROKEN)
}

/// Limits this process, for good.
fn limit(order: &Order) -> io::Result<()> {
    let exactly = |most| Rlimit { current: Some(most), maximum: Some(most) };
    // A core file would be written with the limits long spent.
    setrlimit(Resource::Core, exactly(0))?;
    // Writable private memory, which is what compiling takes; address space alone costs nothing.
    setrlimit(Resource::Data, exactly(order.memory_bytes_max))?;
    let seconds = order.seconds_max;
    // The soft limit's signal says why the process died; the hard one's does not.
    let cpu = Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(1)) };
    Ok(setrlimit(Resource::Cpu, cpu)?)
}
