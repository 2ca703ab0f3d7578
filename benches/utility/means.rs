//! A mean and quantiles over people of many measurements each: HDL of the NAFLD cohort.

use std::collections::BTreeMap;

use spe_benches::Error;
use spe_kernel::{
    plan::Choices,
    statistic::Statistic,
    units::{Loss, Measure},
};

use crate::{
    EPSILONS,
    ask::{Module, pure, rho},
    data::Derived,
    place::{Node, Place},
    score::{mean, quantile, root_mean_square},
};

const REPETITIONS: usize = 200;
const DELTA: f64 = 1e-6;
const BOUNDS: (f64, f64) = (10.0, 120.0);
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// A numpy prototype of the same statistic: RMSE of the mean at each ε, in ρ and in ε; of the quantiles, at ε = 1, 0.04 to 0.16.
const PROTOTYPE: [[f64; 4]; 2] = [[0.206, 0.045, 0.023, 0.0125], [0.106, 0.022, 0.010, 0.005]];
/// Candidates of the exponential mechanism, in mg/dL.
const STEP: f64 = 0.1;

pub(crate) fn run(place: &Place) -> Result<(), Error> {
    let Some(data) = Derived::find("nafld", "labs")? else { return Ok(()) };
    let module = Module::example("bench-hdl")?;
    let people = means_of_people(&data)?;
    let truth = truth(&people)?;
    let [exact, quantiles @ ..] = &truth[..] else { return Err("no truth".into()) };
    println!(
        "\n## Mean and quantiles of HDL, {} people, RMSE in mg/dL of {REPETITIONS} releases, δ = {DELTA:e}\n",
        people.len()
    );
    println!("exact mean {exact:.4}; quantiles 5, 25, 50, 75, 95 %: {}\n", listed(quantiles));
    println!(
        "| ledger | ε | mean | prototype | quantiles 5, 25, 50, 75, 95 % | exponential mechanism, one node, not additive |"
    );
    println!("|---|---|---|---|---|---|");
    for (measure, prototype) in [Measure::Zcdp, Measure::Pure].into_iter().zip(PROTOTYPE) {
        let node = place.node(&format!("hdl-{}", measure.parameter()), &data, measure, None)?;
        for (epsilon, prototype) in EPSILONS.into_iter().zip(prototype) {
            let loss = if measure == Measure::Zcdp { rho(epsilon, DELTA)? } else { pure(epsilon)? };
            let errors = errors(place, &node, &module, loss, &truth)?;
            let [mean, quantiles @ ..] = &errors[..] else { return Err("no answer".into()) };
            let best = exponential(&people, loss)?;
            println!(
                "| {} | {epsilon} | {mean:.4} | {prototype} | {} | {} |",
                measure.parameter(),
                listed(quantiles),
                listed(&best)
            );
        }
    }
    Ok(())
}

fn listed(errors: &[f64]) -> String {
    errors.iter().map(|e| format!("{e:.3}")).collect::<Vec<_>>().join(" ")
}

/// The clamped mean of each person's measurements of HDL, sorted.
fn means_of_people(data: &Derived) -> Result<Vec<f64>, Error> {
    let mut measured: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in data.rows()? {
        let [person, _, test, value] = &row[..] else { return Err("a row of another width".into()) };
        if test == "hdl" {
            measured.entry(person.clone()).or_default().push(value.parse()?);
        }
    }
    let mut people: Vec<f64> = measured.values().map(|values| mean(values).clamp(BOUNDS.0, BOUNDS.1)).collect();
    people.sort_by(f64::total_cmp);
    Ok(people)
}

/// The exact mean and quantiles.
fn truth(people: &[f64]) -> Result<Vec<f64>, Error> {
    let quantiles = QUANTILES.into_iter().map(|share| quantile(people, share));
    std::iter::once(Ok(mean(people))).chain(quantiles).collect()
}

/// RMSE of the mean and of each quantile, each bought for the whole of `loss`: two questions in one job.
fn errors(place: &Place, node: &Node, module: &Module, loss: Loss, truth: &[f64]) -> Result<Vec<f64>, Error> {
    let losses = ["hdl", "hdl_quantiles"].map(|output| (output.to_owned(), loss)).into();
    let choices = Choices { losses, ..Choices::new(loss.times(2)?) };
    let mut errors = vec![Vec::new(); truth.len()];
    for _ in 0..REPETITIONS {
        let statistics: Vec<Statistic> = place.ask(node, module, &choices)?;
        let estimates = statistics.iter().flat_map(|s| &s.estimates);
        for ((errors, estimate), exact) in errors.iter_mut().zip(estimates).zip(truth) {
            errors.push(estimate.value - exact);
        }
    }
    Ok(errors.iter().map(|errors| root_mean_square(errors)).collect())
}

/// RMSE of the exponential mechanism (McSherry & Talwar, FOCS 2007) with the same loss, split over the quantiles: exact, from
/// its distribution. Adding a person moves a rank by at most max(q, 1 − q); it is ε²/8-zCDP (Cesar & Rogers, ALT 2021).
fn exponential(people: &[f64], loss: Loss) -> Result<Vec<f64>, Error> {
    #[expect(clippy::cast_precision_loss, reason = "five")]
    let each = loss.approx() / QUANTILES.len() as f64;
    let epsilon = if loss.measure() == Measure::Zcdp { (8.0 * each).sqrt() } else { each };
    QUANTILES.into_iter().map(|share| error_of_exponential(people, share, epsilon)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of people")]
fn error_of_exponential(people: &[f64], share: f64, epsilon: f64) -> Result<f64, Error> {
    let exact = quantile(people, share)?;
    let candidates = std::iter::successors(Some(BOUNDS.0), |at| (at + STEP < BOUNDS.1).then_some(at + STEP));
    let off = |at: f64| (people.partition_point(|p| *p <= at) as f64 - share * people.len() as f64).abs();
    let scored: Vec<(f64, f64)> = candidates.map(|at| (at, off(at))).collect();
    let least = scored.iter().map(|(_, off)| *off).fold(f64::INFINITY, f64::min);
    let weight = |off: f64| (-epsilon * (off - least) / (2.0 * share.max(1.0 - share))).exp();
    let (squares, all) = scored.iter().fold((0.0, 0.0), |(squares, all), (at, off)| {
        (squares + weight(*off) * (at - exact) * (at - exact), all + weight(*off))
    });
    Ok((squares / all).sqrt())
}
