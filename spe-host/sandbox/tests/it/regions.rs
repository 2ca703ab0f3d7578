//! How many bytes a guest sets aside: the plan decides, and nothing that is known later.

use spe_kernel::{
    dataset::ColumnType,
    ids::Digest,
    plan::{Plan, record_bytes_max},
    rounds::update_input,
};
use spe_sandbox::inspect;

use crate::fixture::{Guest, SANDBOX, approve, choices, plan, refusal, run, schema, singles};

/// A guest with that many states that answers, whoever asks, how many bytes it was told to set aside.
fn telling(states: usize) -> Guest {
    let names: Vec<_> = (0..states).map(|i| format!("\"s{i}\"")).collect();
    Guest {
        fields: format!(r#""rounds": {{"default": 1, "max": 1, "state": [{}]}},"#, names.join(",")),
        items: "(global $told (mut i32) (i32.const 0))".to_owned(),
        input: "(global.set $told (local.get $bytes)) (i32.const 65536)",
        map: "(f64.store (local.get $out) (f64.convert_i32_u (global.get $told)))".to_owned(),
        update: Some(
            "(memory.fill (local.get $out) (i32.const 0) (local.get $cap))
             (f64.store (local.get $out) (f64.convert_i32_u (global.get $told))) (local.get $cap)",
        ),
        ..Guest::default()
    }
}

const ONE_ROW: &str = r#"{"table": "t", "columns": ["whole"], "max_rows": 1}"#;

fn of_a_record() -> Guest {
    telling(1)
}

/// 64 parameters and one number of state.
fn of_the_start() -> Guest {
    let params: Vec<_> = (0..64).map(|i| format!(r#"{{"name": "p{i}", "min": 0, "max": 1, "default": 0}}"#)).collect();
    Guest { inputs: ONE_ROW.to_owned(), params: params.join(",").leak(), ..telling(1) }
}

/// Round, nodes, 500 numbers of state, 1,000 sums, and the next 500.
fn of_an_update() -> Guest {
    let output = r#""kind": "vector_sum", "labels": 1000, "norm": 1"#;
    Guest { inputs: ONE_ROW.to_owned(), output, ..telling(500) }
}

/// The bytes that all three sizes need are asked for in every call, so that the same module stands at the same snapshot
/// whatever it is about to do. Too few, and the host would find no place for a round's sums.
#[test]
fn the_largest_need_decides() {
    let record = record_bytes_max(&plan(&of_a_record().wasm(), &choices()), &schema()).next_multiple_of(8) as f64;
    for (guest, bytes) in [(of_a_record(), record), (of_the_start(), 65.0 * 8.0), (of_an_update(), 2_002.0 * 8.0)] {
        let (module, plan) = (guest.approve(), plan(&guest.wasm(), &choices()));
        let zeros = vec![0.0; plan.state().len()];
        let input = update_input(&plan, 0, &zeros, None);
        for module in [module.with_state(&zeros).unwrap(), module] {
            let mut chunk = singles(&[1]);
            chunk.tables[0].columns.truncate(plan.inputs()[0].columns.len());
            assert_eq!(run(&module, &chunk)[0].as_ref().unwrap()[0], bytes);
            assert_eq!(module.update(&input).unwrap().unwrap()[0], bytes);
        }
    }
}

/// A module that has no room for a round's sums learns it before anything is charged.
#[test]
fn a_round_that_does_not_fit_is_refused() {
    let tight = Guest { memory: r#"(memory (export "memory") 0)"#, ..of_an_update() }.wasm();
    let limited = |bytes| {
        let mut choices = choices();
        choices.memory_bytes_max = bytes;
        refusal(approve(&SANDBOX, &tight, choices))
    };
    assert!(limited(2_002 * 8 - 1).starts_with("one record, or the sums of one round, may not fit"));
    assert!(
        limited(2_002 * 8).contains("do not lie within its memory"),
        "the plan allows it, the module has no memory"
    );
    let late = Guest { input: "(i32.const 115064)", ..of_an_update() };
    assert!(late.refusal().contains("do not lie within its memory"));
    Guest { input: "(i32.const 115056)", ..of_an_update() }.approve();
}

/// Sizes far beyond 32 bits are refused in words: a panic, or a size that wrapped around, would be a bug.
#[test]
fn absurd_sizes_are_refused() {
    let mut schema = schema();
    for column in schema.tables.iter_mut().flat_map(|table| &mut table.columns) {
        column.kind = ColumnType::Text { max_bytes: u32::MAX };
    }
    let inputs = crate::fixture::INPUT.replace("20", "65536");
    let wasm = Guest { inputs, ..Guest::default() }.wasm();
    let plan = Plan::new(&inspect(&wasm).unwrap().manifest, Digest::of(&wasm), &schema, &choices()).unwrap();
    assert!(refusal(SANDBOX.approve(&wasm, &plan, &schema)).starts_with("one record"));
}
