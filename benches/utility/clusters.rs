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
const BLOCK_FUEL: u64 = 60_000_000;
/// A prototype on GUPT's own data: 26,733 rows of 10 columns, 267 blocks, at these ε. Rounds; blocks in ρ; blocks in ε.
const PROTOTYPE: [[&str; 5]; 3] = [
    ["1.033", "1.023", "1.022", "1.017", "–"],
    ["–", "1.43", "1.19", "1.12", "1.11"],
    ["–", "2.17", "1.39", "1.18", "1.11"],
];

type Points = Vec<Vec<f64>>;

pub(crate) fn run(place: &Place, oracle: &Oracle) -> Result<(), Error> {
    let Some(data) = Derived::find("nafld-people", "rows")? else { return Ok(()) };
    let points: Points = data.rows()?.iter().map(|row| numbers(row, 1)).collect::<Result<_, _>>()?;
    let (best, one) = oracle.clusters()?;
    println!("\n## k-means on nafld-people, {} people, {AXES} columns, {CLUSTERS} clusters\n", points.len());
    println!(
        "Intra-cluster variance over that of the best clusters known ({best:.4}), mean of {REPETITIONS}, δ = {DELTA:e}; a single \
         cluster has {:.3}. In brackets a prototype on GUPT's own data, which are others.\n",
        one / best
    );
    println!("| ε | {ROUNDS} rounds, ρ | 256 blocks, ρ | 256 blocks, ε |\n|---|---|---|---|");
    let node = |measure: Measure| place.node(&format!("people-{}", measure.parameter()), &data, measure, None);
    let (in_rho, in_epsilon) = (node(Measure::Zcdp)?, node(Measure::Pure)?);
    for (at, epsilon) in EPSILONS.into_iter().enumerate() {
        let loss = rho(epsilon, DELTA)?;
        let measured = [
            rounds(place, &in_rho, loss, &points)?,
            blocks(place, &in_rho, loss, &points)?,
            blocks(place, &in_epsilon, pure(epsilon)?, &points)?,
        ];
        let cells = measured.iter().zip(PROTOTYPE).map(|(variance, prototype)| {
            format!("{:.3} ({})", variance / best, prototype.get(at).copied().unwrap_or_default())
        });
        println!("| {epsilon} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}

fn rounds(place: &Place, node: &Node, loss: Loss, points: &Points) -> Result<f64, Error> {
    let module = Module::example("bench-lloyd")?;
    let params = [("radius".to_owned(), RADIUS)].into();
    let choices = Choices { params, rounds: Some(ROUNDS), ..Choices::new(loss) };
    let fit = |_| Ok(variance(points, &place.fit(&[node], &module, &choices)?));
    Ok(mean(&(0..REPETITIONS).map(fit).collect::<Result<Vec<_>, Error>>()?))
}

fn blocks(place: &Place, node: &Node, loss: Loss, points: &Points) -> Result<f64, Error> {
    let module = Module::example("bench-block-kmeans")?;
    let choices = Choices { fuel_per_subject: BLOCK_FUEL, ..Choices::new(loss) };
    let fit = |_| {
        let statistics = place.ask(node, &module, &choices)?;
        let centres: Vec<f64> = statistics.iter().flat_map(|s| &s.estimates).map(|e| e.value).collect();
        Ok(variance(points, &centres))
    };
    Ok(mean(&(0..REPETITIONS).map(fit).collect::<Result<Vec<_>, Error>>()?))
}

/// Mean squared distance of a point from the nearest of the centres at the beginning of `state`.
fn variance(points: &Points, state: &[f64]) -> f64 {
    let centres: Vec<&[f64]> = state.chunks_exact(AXES).take(CLUSTERS).collect();
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let nearest = |point: &Vec<f64>| centres.iter().map(|centre| apart(point, centre)).fold(f64::INFINITY, f64::min);
    mean(&points.iter().map(nearest).collect::<Vec<_>>())
}
