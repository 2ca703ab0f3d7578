//! The noise of every kind, drawn through the whole corridor, beside the best mechanism known for it.

use std::path::Path;

use serde_json::{Value, json};
use spe_benches::Error;
use spe_kernel::{
    conversion::noise_sd,
    plan::Choices,
    statistic::moments,
    units::{Loss, Measure, grid_one},
};

use crate::{
    EPSILONS,
    ask::{Module, pure, rho},
    data::Derived,
    gaussian::analytic_sd,
    place::{Node, Place},
    score::root_mean_square,
};

const EPSILON: f64 = 1.0;
const DELTA: f64 = 1e-6;
/// Each δ as 10⁻¹⁸.
const DELTA_ATTO: u64 = 1_000_000_000_000;
/// Draws of each kind: a standard deviation to one percent.
const DRAWS: usize = 8_000;
/// Enough for every key to be above its threshold.
const PEOPLE: u32 = 2_000;
const COPIES: usize = 16;
const KEYS: u32 = 64;
const COORDINATES: u32 = 40;

/// A kind, what one person can change its sums by in L2, and the best that is known under ε: by what, and the standard deviation of one
/// at ε = 1.
struct Kind {
    name: &'static str,
    output: Value,
    change: f64,
    best: (&'static str, f64),
}

fn kinds() -> Vec<Kind> {
    let (staircase, laplace) = (staircase_sd(EPSILON), std::f64::consts::SQRT_2 / EPSILON);
    let kind = |name, output, change: f64, best| Kind { name, output, change, best };
    let edges: Vec<u32> = (0..=64).collect();
    let coordinates: Vec<Value> =
        (0..COORDINATES).map(|i| json!({ "name": format!("c{i}"), "lower": -1, "upper": 1 })).collect();
    let (keys, d) = (f64::from(KEYS), f64::from(COORDINATES));
    vec![
        kind("count", json!({}), 1.0, ("staircase", staircase)),
        kind("sum", json!({ "lower": -3, "upper": 5 }), 5.0, ("staircase", 5.0 * staircase)),
        // What counts is how far people are from both ends: (1 + y)/2 and (1 − y)/2 add up to 1.
        kind("mean", json!({ "lower": 0, "upper": 1 }), 2_f64.sqrt(), ("Laplace on two shares", 2.0 / EPSILON)),
        kind(
            "variance",
            json!({ "lower": 0, "upper": 1 }),
            1.5,
            ("Laplace on three shares", (15.5_f64 / 3.0).sqrt() / EPSILON),
        ),
        kind("histogram", json!({ "edges": edges }), 1.0, ("staircase", staircase)),
        kind(
            "grouped_mean",
            json!({ "edges": edges, "lower": 0, "upper": 1 }),
            2_f64.sqrt(),
            ("Laplace on two shares", 2.0 / EPSILON),
        ),
        kind(
            "quantiles",
            json!({ "edges": edges, "quantiles": [0.5] }),
            7_f64.sqrt(),
            ("Laplace on the same tree", 7.0 * laplace),
        ),
        kind("vector_sum", json!({ "labels": COORDINATES, "norm": 1 }), 1.0, ("Laplace", laplace)),
        kind("survival", json!({ "edges": edges }), 1.0, ("staircase", staircase)),
        kind("keys", json!({ "per_subject": KEYS, "released_max": KEYS }), keys.sqrt(), ("Laplace", keys * laplace)),
        kind(
            "block_mean",
            json!({ "coordinates": coordinates }),
            2.0 * d.sqrt(),
            ("K-norm of a cube", 2.0 * ((d + 1.0) * (d + 2.0) / 3.0).sqrt() / EPSILON),
        ),
    ]
}

pub(crate) fn run(place: &Place) -> Result<(), Error> {
    println!("\n## Noise beside the best mechanism known, at the same loss\n");
    conversions();
    println!("\nStandard deviation of one sum, in units, of {DRAWS} draws and more; ε = {EPSILON}, δ = {DELTA:e}:\n");
    println!(
        "| kind | in ρ | analytic Gaussian | ratio | in ε | best known | | ratio |\n|---|---|---|---|---|---|---|---|"
    );
    let folder = tempfile::tempdir()?;
    let data = everyone(folder.path())?;
    let node = |measure: Measure| place.node(&format!("noise-{}", measure.parameter()), &data, measure, None);
    let (in_rho, in_epsilon) = (node(Measure::Zcdp)?, node(Measure::Pure)?);
    let gaussian = analytic_sd(EPSILON, DELTA);
    for kind in kinds() {
        let of_rho = measured(place, &in_rho, &kind, rho(EPSILON, DELTA)?)?;
        let of_epsilon = measured(place, &in_epsilon, &kind, pure(EPSILON)?)?;
        let (best, (by, pure_best)) = (kind.change * gaussian, kind.best);
        println!(
            "| {} | {of_rho:.3} | {best:.3} | {:.3} | {of_epsilon:.3} | {by} | {pure_best:.3} | {:.3} |",
            kind.name,
            of_rho / best,
            of_epsilon / pure_best
        );
    }
    Ok(())
}

/// What accounting in ρ costs a job that is judged by its (ε, δ): the same Gaussian, by ρ and by the exact curve.
fn conversions() {
    println!("| σ at a sensitivity of 1 | ρ-ledger | analytic Gaussian | ratio |\n|---|---|---|---|");
    for delta in [1e-6, 1e-5] {
        for epsilon in EPSILONS {
            let ([_, (_, ours)], best) = (noise_sd(1, epsilon, delta), analytic_sd(epsilon, delta));
            println!("| ε = {epsilon}, δ = {delta:e} | {ours:.3} | {best:.3} | {:.3} |", ours / best);
        }
    }
}

/// The least standard deviation of any additive noise for one number that changes by 1 (Geng & Viswanath 2016, theorem 7).
fn staircase_sd(epsilon: f64) -> f64 {
    let b = (-epsilon).exp();
    let variance =
        (b.powf(2.0 / 3.0) * (1.0 + b).powf(2.0 / 3.0) / 2_f64.powf(2.0 / 3.0) + b) / ((1.0 - b) * (1.0 - b));
    variance.sqrt()
}

/// A dataset of people of whom nothing is read.
fn everyone(folder: &Path) -> Result<Derived, Error> {
    let declaration = format!(
        "name = \"everyone\"\ntitle = \"People\"\nsubjects_max = {PEOPLE}\npartitions = 1\n[[tables]]\nname = \"rows\"\n\
         key = [\"id\"]\norder_by = []\ndrop = []\n[[tables.columns]]\nname = \"x\"\ntype = \"integer\"\nmin = 0\nmax = 0\n"
    );
    let rows: String = (0..PEOPLE).map(|id| format!("{id},0\n")).collect();
    Derived::make("everyone", "rows", folder, &declaration, &format!("id,x\n{rows}"))
}

/// A module that asks for so many outputs of that kind and writes nothing: nobody contributes, and the answer is noise. For
/// keys it writes the first ones for everybody, because only keys that somebody has are noised.
fn module(kind: &Kind, copies: usize) -> Result<Module, Error> {
    let output = |i: usize| {
        let mut output = kind.output.clone();
        if let Some(fields) = output.as_object_mut() {
            fields.insert("name".into(), json!(format!("o{i}")));
            fields.insert("kind".into(), json!(kind.name));
        }
        output
    };
    let unit = if kind.name == "block_mean" { json!({ "blocks": 2 }) } else { json!("subject") };
    let manifest = json!({
        "name": "noise", "version": "1.0.0", "abi": 1, "unit": unit,
        "inputs": [{ "table": "rows", "columns": ["x"], "max_rows": 1 }],
        "outputs": (0..copies).map(output).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().replace('\\', "\\5c").replace('"', "\\22");
    let keys = if kind.name == "keys" { KEYS } else { 0 };
    let store = |i: u32| format!("local.get 1 f64.const {i} f64.store offset={}\n", 8 * i);
    let stores: String = (0..keys).map(store).collect();
    Module::of(wat::parse_str(format!(
        "(module (memory (export \"memory\") 16)
           (func (export \"spe_input\") (param i32) (result i32) i32.const 1024)
           (func (export \"spe_start\") (param i32 i32) (result i32) i32.const 0)
           (func (export \"spe_map\") (param i32 i32) {stores})
           (@custom \"spe.manifest\" \"{manifest}\"))"
    ))?)
}

/// Standard deviation of the noise on one of a kind's sums, in units.
fn measured(place: &Place, node: &Node, kind: &Kind, loss: Loss) -> Result<f64, Error> {
    // As many copies as it takes for a job to be worth its time, each bought for the whole loss.
    let (alone, keyed) = (["count", "sum", "mean", "variance"].contains(&kind.name), kind.name == "keys");
    let copies = if alone { COPIES } else { 1 };
    let module = module(kind, copies)?;
    let loss = if keyed { loss.with_delta_atto(DELTA_ATTO) } else { loss };
    let losses = (0..copies).map(|i| (format!("o{i}"), loss)).collect();
    let choices = Choices { losses, ..Choices::new(loss.times(u32::try_from(copies)?)?) };
    let mut draws = Vec::new();
    while draws.len() < DRAWS {
        let (plan, answer) = place.answer(node, &module, &choices)?;
        for (planned, output) in plan.outputs().iter().zip(&answer.outputs) {
            #[expect(clippy::cast_precision_loss, reason = "noise is far below 2^53")]
            let units = |cell: i128| cell as f64 / f64::from(grid_one(planned.grid_bits));
            let cells = &output.cells.0;
            if keyed {
                draws.extend(cells.as_chunks::<2>().0.iter().map(|[_, noisy]| units(*noisy) - f64::from(PEOPLE)));
            } else {
                let cells: Vec<f64> = cells.iter().map(|cell| units(*cell)).collect();
                draws.extend(moments(planned, &cells));
            }
        }
    }
    Ok(root_mean_square(&draws))
}
