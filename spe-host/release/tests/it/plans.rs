//! Plans for tests, written as a researcher's tool would.

use serde_json::{Value, json};
use spe_kernel::{plan::Plan, record::Contribution};
use spe_release::Accumulator;

/// Every kind over `bounds` and two categories.
pub(crate) fn every_kind((lower, upper): (f64, f64)) -> Vec<Value> {
    let categories = ["a", "b"];
    vec![
        json!({"name": "o", "kind": "count"}),
        json!({"name": "o", "kind": "sum", "lower": lower, "upper": upper}),
        json!({"name": "o", "kind": "mean", "lower": lower, "upper": upper}),
        json!({"name": "o", "kind": "histogram", "categories": categories}),
        json!({"name": "o", "kind": "grouped_mean", "categories": categories, "lower": lower, "upper": upper}),
    ]
}

/// Category names, `n` of them.
pub(crate) fn categories(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}

/// A plan of one output.
pub(crate) fn plan(output: &Value, grid_bits: u8, loss: &str) -> Plan {
    plan_of(&[json!({"output": output, "grid_bits": grid_bits, "loss": loss})])
}

/// A plan of several planned outputs.
pub(crate) fn plan_of(outputs: &[Value]) -> Plan {
    let module = format!("blake3:{}", "0".repeat(64));
    let plan = json!({
        "abi": 1, "dataset": "d", "module": module, "params": [], "outputs": outputs, "overlap": 1,
        "inputs": [{"table": "t", "columns": ["c"], "max_rows": 1}],
        "fuel_per_subject": 1, "memory_bytes_max": 1, "attempt": 0,
    });
    serde_json::from_value(plan).expect("a plan")
}

/// The sums over these data subjects.
pub(crate) fn sums<'a>(plan: &Plan, subjects: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<Vec<i128>> {
    let mut accumulator = Accumulator::new(plan);
    subjects.into_iter().for_each(|numbers| accumulator.add(Contribution::Numbers(numbers)));
    accumulator.finish()
}

/// Numbers that a hostile or unlucky guest writes.
pub(crate) const NASTY: [f64; 26] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    f64::EPSILON,
    f64::MAX,
    f64::MIN,
    1.0,
    -1.0,
    0.5,
    -0.5,
    0.999_999_999_999_999_9,
    1.000_000_000_000_000_2,
    1.5,
    2.0,
    2.5,
    3.0,
    -3.0,
    0.1,
    9_007_199_254_740_993.0,
    1e9,
    -1e9,
];
