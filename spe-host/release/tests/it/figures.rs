//! The figures of `docs/privacy.md`: `cargo test --release --workspace --test release -- --nocapture figures`.

use std::time::Instant;

use serde_json::{Value, json};
use spe_kernel::record::Contribution;
use spe_release::{Accumulator, noise};

use crate::plans::{categories, every_kind, histogram, plan};

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Every kind as small as in the tests, and those whose size matters as large as they are used.
fn outputs() -> Vec<(String, Value)> {
    let bins: Vec<f64> = (0..=1_024).map(f64::from).collect();
    let groups =
        json!({"name": "o", "kind": "grouped_mean", "categories": categories(10_000), "lower": -1, "upper": 1});
    let large = [
        ("grouped_mean over 10,000 categories".to_owned(), groups),
        ("histogram, 4 of 10,000 cells".to_owned(), histogram(10_000, 4)),
        (
            "quantiles over 1,024 bins".to_owned(),
            json!({"name": "o", "kind": "quantiles", "edges": bins, "quantiles": [0.5]}),
        ),
        (
            "vector_sum of 100 coordinates".to_owned(),
            json!({"name": "o", "kind": "vector_sum", "labels": 100, "norm": 1}),
        ),
    ];
    let small = every_kind((-3.7, 2.2)).into_iter().map(|o| (o["kind"].as_str().unwrap().to_owned(), o));
    small.chain(large).collect()
}

/// Far slower than this would be a regression that a node's users feel; the limits leave room for a busy machine.
#[test]
fn figures() {
    for (name, output) in outputs() {
        let plan = plan(&output, 20, "rho=0.5");
        let number = |i: u32, j: usize| if j == 0 { f64::from(i) * 9.0 } else { f64::from((i + j as u32) % 7) / 3.0 };
        let rows: Vec<Vec<f64>> = (0..1_024).map(|i| (0..plan.numbers()).map(|j| number(i, j)).collect()).collect();
        let rounds = if plan.numbers() > 10 { 100 } else { 2_000 };
        let mut sums = Accumulator::new(&plan);
        let time = seconds(|| {
            for row in (0..rounds).flat_map(|_| &rows) {
                sums.add(Contribution::Numbers(row));
            }
        });
        let per_second = f64::from(rounds) * 1_024.0 / time / 1e6;
        eprintln!("add, {name}: {per_second:.2} million data subjects a second");
        assert!(per_second * (plan.numbers().max(4) as f64) > 4.0, "{name}: {per_second} million a second");
        std::hint::black_box(sums.finish());
    }
    for loss in ["rho=0.5", "rho=0.000001", "epsilon=1", "epsilon=0.001"] {
        let plan = plan(&histogram(10_000, 1), 20, loss);
        let time = seconds(|| drop(noise(&plan.outputs()[0]).unwrap()));
        eprintln!("noise for 10,000 cells, {loss}: {:.0} ms", time * 1e3);
        assert!(time < 2.0, "{loss}: {time} s");
    }
}
