//! Which ledger is cheaper for so many questions, and what a loss in one is in the other.

use anyhow::{Result, ensure};
use clap::Args;
use spe_kernel::{
    conversion::{epsilon_at, noise_sd},
    federation::mechanism,
    statistic::Noise,
    units::{Loss, Measure},
};

use crate::{
    output::Output,
    show::{Table, number},
};

#[derive(Args)]
pub(crate) struct AdviseArgs {
    /// All that the dataset's population is to bear at a node, as ε
    #[arg(long)]
    epsilon: f64,
    /// The probability with which that ε may be exceeded: below one in the number of people
    #[arg(long)]
    delta: f64,
    /// How many numbers are to be asked for: a histogram of ten groups is one, a mean is two
    #[arg(long)]
    questions: u32,
}

/// Numbers of questions that are compared besides the one asked for.
const COMPARED: [u32; 7] = [1, 5, 10, 20, 50, 100, 1_000];

/// 95 % half widths of each of so many counts, in people, under a ledger in ε and one in ρ.
struct Line {
    questions: u32,
    laplace: f64,
    gaussian: f64,
}

impl Line {
    fn of(questions: u32, epsilon: f64, delta: f64) -> Self {
        let half =
            |(measure, sd): (Measure, f64)| Noise { mechanism: mechanism(measure), scale: 1.0, nodes: 1 }.reach() * sd;
        let [laplace, gaussian] = noise_sd(questions, epsilon, delta).map(half);
        Self { questions, laplace, gaussian }
    }

    const fn cheaper(&self) -> Measure {
        if self.laplace < self.gaussian { Measure::Pure } else { Measure::Zcdp }
    }
}

pub(crate) fn run(args: &AdviseArgs, output: Output) -> Result<()> {
    let AdviseArgs { epsilon, delta, questions } = *args;
    ensure!((1e-6..=1e3).contains(&epsilon), "--epsilon is a number from 0.000001 to 1000");
    ensure!(0.0 < delta && delta < 0.5, "--delta is a probability above 0 and below 0.5, such as 0.000001");
    ensure!(questions > 0, "--questions is at least 1");
    let mut counts: Vec<u32> = COMPARED.into_iter().chain([questions]).collect();
    counts.sort_unstable();
    counts.dedup();
    let lines: Vec<_> = counts.into_iter().map(|n| Line::of(n, epsilon, delta)).collect();
    let budgets = [format!("epsilon={epsilon}"), format!("rho={}", rho(epsilon, delta))];
    let [pure, zcdp] = &budgets;
    let best = Line::of(questions, epsilon, delta).cheaper();
    let json: Vec<_> = lines
        .iter()
        .map(|l| {
            serde_json::json!({ "questions": l.questions, "half_width_95_epsilon": l.laplace, "half_width_95_rho": l.gaussian,
                "cheaper": l.cheaper().parameter() })
        })
        .collect();
    let said = serde_json::json!({ "epsilon": epsilon, "delta": delta, "questions": questions, "cheaper": best.parameter(),
        "budget_in_epsilon": pure, "budget_in_rho": zcdp, "lines": json });
    output.say(&said, || {
        let mut table = Table::new(["questions", "in epsilon (Laplace), ±", "in rho (Gaussian), ±", "less noise"]);
        for line in &lines {
            let mark = if line.questions == questions { " ◀" } else { "" };
            table.row([
                line.questions.to_string(),
                number(line.laplace, line.laplace),
                number(line.gaussian, line.gaussian),
                format!("{}{mark}", line.cheaper().parameter()),
            ]);
        }
        let budget = if best == Measure::Pure { pure } else { zcdp };
        format!(
            "95 % noise of one count at one node, in people, if so many together cost ε = {epsilon} (δ = {delta})\n{}\
             For {questions} questions, register the dataset with --budget {budget}\n\
             (epsilon for ever: nothing is lost with any probability; rho: ε may be exceeded with probability δ)\n",
            table.render()
        )
    })
}

/// The ρ whose ε at `delta` is `epsilon`, rounded down to six digits that count.
fn rho(epsilon: f64, delta: f64) -> f64 {
    let [_, (_, sd)] = noise_sd(1, epsilon, delta);
    let rho = 1.0 / (2.0 * sd * sd);
    let unit = 10_f64.powf(rho.log10().floor() - 5.0);
    // Twelve places are what a loss has.
    ((rho / unit).floor() * unit * 1e12).floor() / 1e12
}

/// `loss` in the other measure, for about the same ε at `delta`; a δ of its own stays. None where there is no such number.
pub(crate) fn in_other_measure(loss: Loss, delta: f64) -> Option<Loss> {
    let amount = Loss::from_pico(loss.measure(), loss.pico());
    let epsilon = epsilon_at(amount, delta).epsilon;
    let text = match loss.measure() {
        Measure::Pure => format!("rho={:.12}", rho(epsilon, delta)),
        // Rounded down, so that it is no more than what was meant.
        Measure::Zcdp => format!("epsilon={:.6}", (epsilon * 1e6).floor() / 1e6),
    };
    let other: Loss = text.parse().ok()?;
    (other.pico() > 0).then(|| other.with_delta_atto(loss.delta_atto()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: advice that costs another ε than the loss that was meant, or loses the δ of keys.
    #[test]
    fn a_loss_in_the_other_measure_costs_about_the_same() {
        let loss = |text: &str| text.parse::<Loss>().expect("a loss");
        for (given, measure) in [("epsilon=1", Measure::Zcdp), ("rho=0.1", Measure::Pure)] {
            let other = in_other_measure(loss(given), 1e-6).expect("a loss");
            let [was, is] = [loss(given), other].map(|loss| epsilon_at(loss, 1e-6).epsilon);
            assert_eq!(other.measure(), measure);
            assert!(is <= was && is > 0.99 * was, "{given} costs {was}, and {other} {is}");
        }
        let keyed = in_other_measure(loss("epsilon=1,delta=0.000001"), 1e-6).expect("a loss");
        assert_eq!(keyed.delta_text(), loss("epsilon=1,delta=0.000001").delta_text());
        assert_eq!(in_other_measure(loss("epsilon=0.000000000001"), 1e-6), None);
    }

    #[test]
    fn the_advised_budget_is_the_epsilon_that_was_named() {
        for (epsilon, delta) in [(1.0, 1e-6), (0.1, 1e-9), (10.0, 1e-6)] {
            let loss: Loss = format!("rho={}", rho(epsilon, delta)).parse().expect("a loss");
            let is = epsilon_at(loss, delta).epsilon;
            assert!(is <= epsilon && is > 0.999 * epsilon, "rho for ε = {epsilon} costs {is}");
        }
    }

    #[test]
    fn few_questions_want_epsilon_and_many_want_rho() {
        assert_eq!(Line::of(1, 1.0, 1e-6).cheaper(), Measure::Pure);
        assert_eq!(Line::of(100, 1.0, 1e-6).cheaper(), Measure::Zcdp);
    }
}
