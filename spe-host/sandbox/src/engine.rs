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
const KEEP_RESIDENT_BYTES: usize = 2 * 1024 * 1024;
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
    // Fuel ends a guest, the same each time; this ends a run.
    config.epoch_interruption(true);
    config.cranelift_nan_canonicalization(true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.max_wasm_stack(STACK_BYTES_MAX);
    // Nobody ever sees a backtrace of a guest, and every trap would pay for one.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config
}

/// What an instruction costs: 1, and more where it may take longer than some nanoseconds: for memory that is in no near cache, for
/// a unit of the processor that is slow, for the host's own work.
///
/// Fuel bounds the time that one data subject can add (docs/threat-model.md), so nothing slow may be cheap: the deadline of every job
/// is reckoned with the slowest code that a unit of fuel buys, and a price that is true makes it earlier. `spe node selftest` measures
/// what each buys.
fn prices() -> OperatorCost {
    let mut prices = OperatorCost::new();
    macro_rules! cost {
        ($price:expr => $($operator:ident)+) => { $(prices.$operator = $price;)+ };
    }
    cost!(8 => I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U I64Load8S I64Load8U I64Load16S I64Load16U
        I64Load32S I64Load32U V128Load V128Load8x8S V128Load8x8U V128Load16x4S V128Load16x4U V128Load32x2S V128Load32x2U
        V128Load8Splat V128Load16Splat V128Load32Splat V128Load64Splat V128Load32Zero V128Load64Zero V128Load8Lane V128Load16Lane
        V128Load32Lane V128Load64Lane TableGet TableSet);
    cost!(8 => F32Sqrt F64Sqrt F32x4Sqrt F64x2Sqrt);
    cost!(24 => Call);
    cost!(4 => I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU F32Div F64Div F32x4Div F64x2Div);
    cost!(32 => CallIndirect RefFunc MemoryCopy MemoryFill MemoryInit TableCopy TableFill TableInit DataDrop ElemDrop);
    cost!(u8::MAX => MemoryGrow TableGrow);
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
