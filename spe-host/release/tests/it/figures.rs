//! The figures of `docs/privacy.md`: `cargo test --release --workspace --test release -- --nocapture figures`.

use std::time::Instant;

use serde_json::{Value, json};
use spe_kernel::record::Contribution;
use spe_release::{Accumulator, noise};

use crate::plans::{categories, every_kind, plan};

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Far slower than this would be a regression that a node's users feel; the limits leave room for a busy machine.
#[test]
fn figures() {
    let wide =
        |kind: &str, n: usize| json!({"name": "o", "kind": kind, "categories": categories(n), "lower": -1, "upper": 1});
    let mut outputs: Vec<(String, Value)> =
        every_kind((-3.7, 2.2)).into_iter().map(|o| (o["kind"].as_str().unwrap().to_owned(), o)).collect();
    outputs.push(("grouped_mean over 10,000 categories".into(), wide("grouped_mean", 10_000)));
    for (name, output) in outputs {
        let plan = plan(&output, 20, "rho=0.5");
        let rows: Vec<[f64; 2]> = (0..1_024).map(|i| [f64::from(i) * 9.0, f64::from(i % 7) / 3.0]).collect();
        let people = 2_048_000.0;
        let mut sums = Accumulator::new(&plan);
        let time = seconds(|| {
            for row in (0..2_000).flat_map(|_| &rows) {
                sums.add(Contribution::Numbers(&row[2 - plan.numbers()..]));
            }
        });
        eprintln!("add, {name}: {:.1} million data subjects a second", people / time / 1e6);
        assert!(people / time > 1e6, "{name}: {time} s for 2 million data subjects");
        std::hint::black_box(sums.finish());
    }
    let histogram = json!({"name": "o", "kind": "histogram", "categories": categories(9_999)});
    for loss in ["rho=0.5", "rho=0.000001", "epsilon=1", "epsilon=0.001"] {
        let plan = plan(&histogram, 20, loss);
        let time = seconds(|| drop(noise(&plan.outputs()[0]).unwrap()));
        eprintln!("noise for 10,000 cells, {loss}: {:.0} ms", time * 1e3);
        assert!(time < 2.0, "{loss}: {time} s");
    }
}
