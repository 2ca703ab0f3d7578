//! k-means: rounds over everybody, beside blocks whose answers are averaged.

use spe_benches::Error;
use spe_kernel::{
    plan::Choices,
    units::{Loss, Measure},
};

use crate::{
    ask::{Module, pure, rho},
    data::{Derived, numbers},
    oracle::Oracle,
    place::{Node, Place},
    score::mean,
};

const EPSILONS: [f64; 5] = [0.1, 1.0, 2.0, 4.0, 10.0];
const DELTA: f64 = 1e-6;
const REPETITIONS: usize = 10;
const AXES: usize = 10;
const CLUSTERS: usize = 4;
const ROUNDS: u32 = 7;
/// Nearly everyone is within it; noise grows with it.
const RADIUS: f64 = 2.0;
/// Seven iterations over some fifty rows; a block may have 400.
const BLOCK_FUEL: u64 = 20_000_000;
/// A prototype on GUPT's own data: 26,733 rows of 10 columns, 267 blocks, at these ε. Rounds; blocks in ρ; blocks in ε.
const PROTOTYPE: [[&str; 5]; 3] =
    [["1.033", "1.023", "1.022", "1.017", "–"], ["–", "1.43", "1.19", "1.12", "1.11"], ["–", "2.17", "1.39", "1.18", "1.11"]];

type Points = Vec<Vec<f64>>;

pub(crate) fn run(place: &Place, oracle: &Oracle) -> Result<(), Error> {
    let Some(data) = Derived::find("nafld-people", "rows")? else { return Ok(()) };
    let points: Points = data.rows()?.iter().map(|row| numbers(row, 1)).collect::<Result<_, _>>()?;
    let best = oracle.clusters()?;
    let middle = vec![0.0; AXES];
    println!("\n## k-means on nafld-people, {} people, {AXES} columns, {CLUSTERS} clusters\n", points.len());
    println!(
        "Intra-cluster variance over that of the best clusters known ({best:.4}), mean of {REPETITIONS}; δ = {DELTA}; with one \
         cluster {:.3}. In brackets: a prototype on GUPT's own data, which are not these.\n",
        variance(&points, &mean_point(&points)) / best
    );
    debug_assert_eq!(middle.len(), AXES);
    println!("| ε | {ROUNDS} rounds, ρ | 256 blocks, ρ | 256 blocks, ε |\n|---|---|---|---|");
    let with = |measure: Measure| place.node(&format!("people-{}", measure.parameter()), &data, measure, None);
    let (zcdp, epsilon_node) = (with(Measure::Zcdp)?, with(Measure::Pure)?);
    for (at, epsilon) in EPSILONS.into_iter().enumerate() {
        let loss = rho(epsilon, DELTA)?;
        let measured = [
            rounds(place, &zcdp, loss, &points)?,
            blocks(place, &zcdp, loss, &points)?,
            blocks(place, &epsilon_node, pure(epsilon)?, &points)?,
        ];
        let cells = measured.iter().zip(PROTOTYPE).map(|(variance, prototype)| {
            format!("{:.3} ({})", variance / best, prototype.get(at).copied().unwrap_or_default())
        });
        println!("| {epsilon} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}
