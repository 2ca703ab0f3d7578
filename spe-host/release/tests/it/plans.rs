//! Plans for tests, written as a researcher's tool would.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spe_kernel::{
    disclosure::{DrawnOutput, Fresh, OutputSums},
    plan::{Plan, Planned},
    record::Contribution,
};
use spe_release::{Accumulator, noise};

/// Every kind over `bounds` and two categories, with one number or two a person.
pub(crate) fn every_kind((lower, upper): (f64, f64)) -> Vec<Value> {
    let categories = ["a", "b"];
    vec![
        json!({"name": "o", "kind": "count"}),
        json!({"name": "o", "kind": "sum", "lower": lower, "upper": upper}),
        json!({"name": "o", "kind": "mean", "lower": lower, "upper": upper}),
        json!({"name": "o", "kind": "histogram", "categories": categories}),
        json!({"name": "o", "kind": "grouped_mean", "categories": categories, "lower": lower, "upper": upper}),
        json!({"name": "o", "kind": "variance", "lower": lower, "upper": upper}),
        json!({"name": "o", "kind": "histogram", "edges": [-1, 0.5, 2]}),
        json!({"name": "o", "kind": "quantiles", "edges": [-1, 0, 0.5, 1, 2, 1e9], "quantiles": [0.5]}),
        json!({"name": "o", "kind": "survival", "edges": [0, 0.5, 2, 1e9]}),
        json!({"name": "o", "kind": "vector_sum", "labels": 2, "norm": (upper - lower).clamp(1e-9, 1e9)}),
        json!({"name": "o", "kind": "keys", "released_max": 5}),
        json!({"name": "o", "kind": "block_mean", "coordinates": [
            {"name": "u", "lower": lower, "upper": upper}, {"name": "v", "lower": -1, "upper": 1}]}),
    ]
}

/// Kinds of which a person may give several groups or keys, or a longer vector.
pub(crate) fn wide_kinds() -> Vec<Value> {
    let sex = json!({"name": "sex", "categories": ["f", "m"]});
    let age = json!({"name": "age", "edges": [0, 0.7, 2]});
    let cross = |kind: &str, m: u32| json!({"name": "o", "kind": kind, "groups": [sex, age], "per_subject": m});
    let mean = |mut output: Value| {
        (output["lower"], output["upper"]) = (json!(-3.7), json!(2.2));
        output
    };
    vec![
        json!({"name": "o", "kind": "histogram", "categories": ["a", "b", "c"], "per_subject": 2}),
        json!({"name": "o", "kind": "histogram", "categories": ["a", "b", "c"], "per_subject": 3}),
        json!({"name": "o", "kind": "histogram", "edges": [-1, 0, 0.7, 2], "per_subject": 3}),
        cross("grouped_count", 1),
        cross("grouped_count", 2),
        mean(cross("grouped_mean", 1)),
        mean(json!({"name": "o", "kind": "grouped_mean", "categories": ["a", "b"], "per_subject": 2})),
        mean(json!({"name": "o", "kind": "grouped_mean", "edges": [-1, 0, 0.7, 2], "per_subject": 2})),
        mean(cross("grouped_mean", 2)),
        json!({"name": "o", "kind": "quantiles", "edges": [0, 1], "quantiles": [0.5]}),
        json!({"name": "o", "kind": "vector_sum", "labels": 4, "norm": 1.5}),
        json!({"name": "o", "kind": "keys", "released_max": 5, "per_subject": 3}),
        json!({"name": "o", "kind": "block_mean", "coordinates": [
            {"name": "u", "lower": -1, "upper": 1}, {"name": "v", "lower": 0, "upper": 1}, {"name": "w", "lower": 5, "upper": 9}]}),
    ]
}

/// Category names, `n` of them.
pub(crate) fn categories(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}

/// A histogram with so many cells, of which one data subject may be in `m`.
pub(crate) fn histogram(cells: usize, m: u32) -> Value {
    json!({"name": "o", "kind": "histogram", "categories": categories(cells - 1), "per_subject": m})
}

/// A plan of one output; keys are given a δ of 10⁻⁶, and a mean over blocks 100 blocks.
pub(crate) fn plan(output: &Value, grid_bits: u8, loss: &str) -> Plan {
    let delta = if output["kind"] == "keys" && !loss.contains("delta") { ",delta=0.000001" } else { "" };
    plan_of(&[json!({"output": output, "grid_bits": grid_bits, "loss": format!("{loss}{delta}")})])
}

/// A plan of several planned outputs.
pub(crate) fn plan_of(outputs: &[Value]) -> Plan {
    try_plan_of(outputs).expect("a plan")
}

/// The same, or why there is none.
pub(crate) fn try_plan_of(outputs: &[Value]) -> Result<Plan, serde_json::Error> {
    let module = format!("blake3:{}", "0".repeat(64));
    let blocks = outputs.iter().any(|o| o["output"]["kind"] == "block_mean");
    serde_json::from_value(json!({
        "abi": 1, "dataset": "d", "module": module, "params": [], "outputs": outputs, "overlap": 1,
        "unit": if blocks { json!({"blocks": 100}) } else { json!("subject") },
        "inputs": [{"table": "t", "columns": ["c"], "max_rows": 1}],
        "fuel_per_subject": 1, "memory_bytes_max": 1, "attempt": 0,
    }))
}

/// Exact sums of one output by cell or key, without those that are 0.
pub(crate) type Sparse = BTreeMap<u64, i128>;

/// The sums of every output.
pub(crate) fn sparse(sums: Vec<OutputSums>) -> Vec<Sparse> {
    let one = |sums| match sums {
        OutputSums::Cells(cells) => (0..).zip(cells).filter(|(_, sum)| *sum != 0).collect(),
        OutputSums::Keys(keys) => keys,
    };
    sums.into_iter().map(one).collect()
}

/// The sums over these data subjects.
pub(crate) fn sums<'a>(plan: &Plan, subjects: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<Sparse> {
    let mut accumulator = Accumulator::new(plan);
    subjects.into_iter().for_each(|numbers| accumulator.add(Contribution::Numbers(numbers)));
    sparse(accumulator.finish())
}

/// The sums over these data subjects of a plan's only output, cell by cell.
pub(crate) fn cells<'a>(plan: &Plan, subjects: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<i128> {
    let sums = &sums(plan, subjects)[0];
    let cells = plan.outputs()[0].output.kind.cells();
    (0..cells as u64).map(|cell| sums.get(&cell).copied().unwrap_or(0)).collect()
}

/// a − b.
pub(crate) fn minus(a: &Sparse, b: &Sparse) -> Sparse {
    let mut apart = a.clone();
    for (cell, sum) in b {
        *apart.entry(*cell).or_default() -= sum;
    }
    apart.retain(|_, sum| *sum != 0);
    apart
}

/// Noise for the cells of one output, and its scale.
pub(crate) fn drawn(planned: &Planned) -> (f64, Vec<i128>) {
    let DrawnOutput { scale, noise: Fresh::Cells(cells), .. } = noise(planned).unwrap() else { panic!("keys") };
    (scale, cells)
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
