//! The engine's settings: one list for the process that compiles and the one that runs.

use spe_kernel::fault::Fault;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig, WasmFeatures,
};

use crate::inspect::{TABLE_ELEMENTS_MAX, TABLES_MAX};

/// What a module may use; everything else is refused, by `inspect` and by the engine alike.
///
/// Threads, relaxed SIMD and garbage collection are not deterministic or widen the attack surface; the rest of the list
/// is what today's toolchains emit without being asked.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD);

/// Most stack of a guest. Half of the least that a host's thread has; deeper recursion traps.
const STACK_BYTES_MAX: usize = 512 * 1024;
/// Memory of a slot that is put back by copying instead of by giving pages back to the system: faster up to here.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;
/// Most bookkeeping of one instance: room for `inspect`'s limits on functions, globals and tables.
const INSTANCE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The settings that decide what machine code means. Both processes must agree on each.
fn settings() -> Config {
    let mut config = Config::new();
    config.wasm_features(WasmFeatures::all().difference(FEATURES), false);
    config.wasm_features(FEATURES, true);
    config.concurrency_support(false);
    // Deterministic: fuel instead of time, one NaN.
    config.consume_fuel(true);
    config.operator_cost(prices());
    config.cranelift_nan_canonicalization(true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.max_wasm_stack(STACK_BYTES_MAX);
    // Nobody ever sees a backtrace of a guest, and every trap would pay for one.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config
}

/// What an instruction costs: 1, but growing, which asks the host even when it fails, takes as long as a few hundred others.
///
/// Fuel bounds the time that one data subject can add (docs/threat-model.md), so nothing slow may be cheap.
fn prices() -> OperatorCost {
    let mut prices = OperatorCost::new();
    prices.MemoryGrow = u8::MAX;
    prices.TableGrow = u8::MAX;
    prices.variable.memory_grow_per_page = u8::MAX;
    prices
}

/// An engine that only compiles.
pub(crate) fn compiling() -> Result<Engine, Fault> {
    Engine::new(&settings()).map_err(Fault::while_("setting up the compiler"))
}

/// An engine with room for `slots` guests at once, each with at most `memory_bytes_max` of memory.
pub(crate) fn running(slots: u32, memory_bytes_max: usize) -> Result<Engine, Fault> {
    let tables = u32::try_from(TABLES_MAX).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots.saturating_mul(tables))
        .max_memories_per_module(1)
        .max_tables_per_module(tables)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_memory_size(memory_bytes_max)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).map_err(Fault::while_("setting up the sandbox"))
}
