//! What a loss means in the words of others: (ε, δ) from ρ, and which ledger is cheaper. For display; no charge rests on it.

use serde::{Deserialize, Serialize};

use crate::units::{Loss, Measure};

/// ε at a δ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpsilonAt {
    /// The probability with which ε may be exceeded.
    pub delta: f64,
    /// The bound.
    pub epsilon: f64,
}

/// The two δ at which losses are reported: min(10⁻⁶, 1/(10·n)) for at most n people, and a thousandth of that.
pub fn deltas(subjects_max: u32) -> [f64; 2] {
    let delta = (0.1 / f64::from(subjects_max.max(1))).min(1e-6);
    [delta, delta / 1000.0]
}

/// `loss` as ε at two δ: [`deltas`] on top of the δ that the loss has of its own, below which no ε bounds it.
pub fn epsilons_of(loss: Loss, subjects_max: u32) -> [EpsilonAt; 2] {
    deltas(subjects_max).map(|delta| epsilon_at(loss, loss.delta_approx() + delta))
}

/// `loss` as (ε, δ)-differential privacy at `delta`; infinite where the loss has a larger δ of its own.
///
/// From ρ by the best known conversion, that of Canonne, Kamath & Steinke (NeurIPS 2020, proposition 12): for every α > 1,
/// δ = exp((α − 1)(αρ − ε))/(α − 1) · (1 − 1/α)^α. A δ of the loss's own is taken off first (Bun & Steinke, TCC 2016, lemma 8.8).
pub fn epsilon_at(loss: Loss, delta: f64) -> EpsilonAt {
    let own = loss.delta_approx();
    let left = delta - own;
    let epsilon = match loss.measure() {
        _ if (loss.pico() == 0 && own == 0.0) || left >= 1.0 => 0.0,
        _ if left < 0.0 => f64::INFINITY,
        Measure::Pure => loss.approx(),
        Measure::Zcdp if left == 0.0 => f64::INFINITY,
        Measure::Zcdp => epsilon_of(loss.approx(), left),
    };
    EpsilonAt { delta, epsilon: epsilon.min(f64::MAX) }
}

/// The smallest ε of any α: with x = α − 1 and solved for ε it is αρ + ln x − (α·ln α + ln δ)/x, which falls as long as
/// x²ρ < −ln(αδ) and rises from there on.
fn epsilon_of(rho: f64, delta: f64) -> f64 {
    let (mut low, mut high) = (0.0, (-delta.ln() / rho).sqrt());
    for _ in 0..100 {
        let x = f64::midpoint(low, high);
        if x * x * rho < -delta.ln() - x.ln_1p() { low = x } else { high = x }
    }
    let (x, alpha) = (high, 1.0 + high);
    (alpha * rho + x.ln() - (alpha * x.ln_1p() + delta.ln()) / x).max(0.0)
}

/// Standard deviation of the noise on each of `questions` counts if all of them together are to cost (`epsilon`, `delta`), in
/// people: under a ledger in ε (Laplace), and under one in ρ (Gaussian).
///
/// One of the two ledgers is chosen when a dataset is registered. Laplace is cheaper for few numbers, the Gaussian for many:
/// of ε the n-th part buys each of n counts, of ρ too, but there noise falls with the root of it.
pub fn noise_sd(questions: u32, epsilon: f64, delta: f64) -> [(Measure, f64); 2] {
    let n = f64::from(questions.max(1));
    let laplace = std::f64::consts::SQRT_2 * n / epsilon;
    let gaussian = (n / (2.0 * rho_of(epsilon, delta))).sqrt();
    [(Measure::Pure, laplace), (Measure::Zcdp, gaussian)]
}

/// The largest ρ that is (`epsilon`, `delta`)-private.
fn rho_of(epsilon: f64, delta: f64) -> f64 {
    let (mut low, mut high) = (0.0, epsilon);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if epsilon_of(middle, delta) <= epsilon { low = middle } else { high = middle }
    }
    low.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the same formula minimised in 50 digits; `release` compares with opendp's conversion.
    #[test]
    fn the_conversion_is_the_best_known() {
        for (loss, delta, expected) in
            [("rho=0.5", 1e-6, 5.221_534_445), ("rho=0.01", 1e-9, 0.810_174_468), ("rho=5", 1e-6, 20.551_948_814)]
        {
            let loss: Loss = loss.parse().expect("a loss");
            let rho = loss.approx();
            let epsilon = epsilon_at(loss, delta).epsilon;
            assert!((epsilon - expected).abs() < 1e-8, "{epsilon} for {expected}: another ε than the loss has");
            let textbook = rho + 2.0 * (rho * (1.0_f64 / delta).ln()).sqrt();
            assert!(epsilon < textbook, "{epsilon} is no better than {textbook}");
        }
    }

    #[test]
    fn a_loss_of_pure_epsilon_is_itself() {
        let loss: Loss = "epsilon=0.5".parse().expect("a loss");
        assert_eq!(epsilon_at(loss, 1e-9).epsilon, 0.5);
        let keyed: Loss = "epsilon=0.5,delta=0.00001".parse().expect("a loss");
        assert_eq!(epsilon_at(keyed, 1e-9).epsilon, f64::MAX, "its own δ is larger");
    }

    /// An ε at a δ below the loss's own would be a promise that nobody can keep; none at all would hide what is known.
    #[test]
    fn a_delta_of_its_own_comes_first() {
        for (text, alone) in [("epsilon=0.5,delta=0.00001", "epsilon=0.5"), ("rho=0.1,delta=0.00001", "rho=0.1")] {
            let [keyed, free]: [Loss; 2] = [text, alone].map(|text| text.parse().expect("a loss"));
            for (at, extra) in epsilons_of(keyed, 100).into_iter().zip(deltas(100)) {
                assert!(at.delta >= 1e-5 + extra, "{at:?} leaves the loss's own δ out");
                let expected = epsilon_at(free, extra).epsilon;
                assert!((at.epsilon / expected - 1.0).abs() < 1e-6, "{at:?} for {expected}");
            }
            assert_eq!(epsilons_of(free, 100), deltas(100).map(|delta| epsilon_at(free, delta)));
        }
    }

    #[test]
    fn laplace_wins_for_few_questions_and_the_gaussian_for_many() {
        let cheaper = |questions| {
            let [(_, laplace), (_, gaussian)] = noise_sd(questions, 1.0, 1e-6);
            laplace < gaussian
        };
        assert!(cheaper(1) && cheaper(5) && !cheaper(20) && !cheaper(100));
    }
}
