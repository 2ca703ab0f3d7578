//! Logistic regression in rounds, on people held out.

use spe_benches::Error;
use spe_kernel::{plan::Choices, units::Measure};

use crate::{
    EPSILONS,
    ask::{Module, rho},
    data::{Derived, numbers},
    oracle::Oracle,
    place::{Node, Place},
    score::{accuracy, area_under_curve, mean},
};

const DELTA: f64 = 1e-5;
const FOLDS: u32 = 5;
/// Fits for each fold.
const REPETITIONS: u32 = 4;
const SITES: u32 = 10;

/// A dataset, the module that fits it, and how.
struct Subject {
    name: &'static str,
    module: &'static str,
    rounds: u32,
    rate: f64,
    /// Accuracy and area under the curve at each ε of a numpy prototype of the same method, on a random fifth.
    prototype: [(f64, f64); 4],
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        name: "breast-cancer",
        module: "bench-logistic-30",
        rounds: 20,
        rate: 2.0,
        prototype: [(0.747, 0.826), (0.890, 0.955), (0.940, 0.983), (0.948, 0.986)],
    },
    Subject {
        name: "flchain",
        module: "bench-logistic-6",
        rounds: 30,
        rate: 4.0,
        prototype: [(0.804, 0.833), (0.808, 0.839), (0.808, 0.839), (0.808, 0.839)],
    },
];

/// People whose outcome is known, and their inputs.
struct Case {
    fold: u32,
    outcome: bool,
    inputs: Vec<f64>,
}

impl Subject {
    fn choices(&self, epsilon: f64) -> Result<Choices, Error> {
        let params = [("rate".to_owned(), self.rate)].into();
        Ok(Choices { params, rounds: Some(self.rounds), ..Choices::new(rho(epsilon, DELTA)?) })
    }
}

pub(crate) fn run(place: &Place, oracle: &Oracle) -> Result<(), Error> {
    for subject in &SUBJECTS {
        let Some(data) = Derived::find(subject.name, "rows")? else { continue };
        let (module, cases) = (Module::example(subject.module)?, cases(&data)?);
        println!(
            "\n## Logistic regression on {}, {} people: accuracy (AUC) on the fifth held out, mean over 5 fifths × {REPETITIONS}\n",
            subject.name,
            cases.len()
        );
        let (exact, area) = oracle.regression(subject.name)?;
        println!("{} rounds, δ = {DELTA:e}, not private {exact:.3} ({area:.3})\n", subject.rounds);
        println!("| ε | spe | prototype |\n|---|---|---|");
        let node = |fold| place.node(&format!("{}-{fold}", subject.name), &data, Measure::Zcdp, Some(&without(fold)));
        let nodes: Vec<Node> = (0..FOLDS).map(node).collect::<Result<_, _>>()?;
        for (epsilon, (accuracy, area)) in EPSILONS.into_iter().zip(subject.prototype) {
            let mut scores = Vec::new();
            for (fold, node) in (0..).zip(&nodes) {
                for _ in 0..REPETITIONS {
                    scores.push(score(&place.fit(&[node], &module, &subject.choices(epsilon)?)?, &cases, fold)?);
                }
            }
            println!("| {epsilon} | {} | {accuracy:.3} ({area:.3}) |", shown(&scores));
        }
        if subject.name == "flchain" {
            many_sites(place, subject, &data, &module, &cases)?;
        }
    }
    Ok(())
}

/// The same people at ten nodes, each of which noises its own sums.
fn many_sites(place: &Place, subject: &Subject, data: &Derived, module: &Module, cases: &[Case]) -> Result<(), Error> {
    let rows = |site: u32| format!("{} and site = {site}", without(0));
    let node = |site| place.node(&format!("{}-site-{site}", subject.name), data, Measure::Zcdp, Some(&rows(site)));
    let nodes: Vec<Node> = (0..SITES).map(node).collect::<Result<_, _>>()?;
    let nodes: Vec<&Node> = nodes.iter().collect();
    println!("\nThe same people at {SITES} nodes, each with noise of its own; first fifth, mean of 5:\n");
    println!("| ε | {SITES} nodes |\n|---|---|");
    for epsilon in EPSILONS {
        let choices = subject.choices(epsilon)?;
        let scores: Result<Vec<_>, Error> =
            (0..5).map(|_| score(&place.fit(&nodes, module, &choices)?, cases, 0)).collect();
        println!("| {epsilon} | {} |", shown(&scores?));
    }
    Ok(())
}

fn without(fold: u32) -> String {
    format!("fold != {fold}")
}

fn shown(scores: &[(f64, f64)]) -> String {
    let (accuracies, areas): (Vec<_>, Vec<_>) = scores.iter().copied().unzip();
    format!("{:.3} ({:.3})", mean(&accuracies), mean(&areas))
}

fn cases(data: &Derived) -> Result<Vec<Case>, Error> {
    let case = |row: &Vec<String>| {
        let [_, fold, _, outcome, ..] = &row[..] else { return Err("a row of another width".into()) };
        Ok(Case { fold: fold.parse()?, outcome: outcome == "1", inputs: numbers(row, 4)? })
    };
    data.rows()?.iter().map(case).collect()
}

/// Accuracy and area under the curve on `fold` of the coefficients at the end of `state`.
fn score(state: &[f64], cases: &[Case], fold: u32) -> Result<(f64, f64), Error> {
    let width = cases.first().map_or(0, |case| case.inputs.len() + 1);
    let [intercept, coefficients @ ..] = state.get(state.len().saturating_sub(width)..).unwrap_or_default() else {
        return Err("no coefficients".into());
    };
    let predictor = |case: &Case| intercept + case.inputs.iter().zip(coefficients).map(|(x, b)| x * b).sum::<f64>();
    let held_out = cases.iter().filter(|case| case.fold == fold);
    let scored: Vec<(f64, bool)> = held_out.map(|case| (predictor(case), case.outcome)).collect();
    Ok((accuracy(&scored), area_under_curve(&scored)))
}
