//! Draws have the distribution that they are charged for.

use crate::{
    plans::{drawn, histogram, plan},
    statistics::chi_square,
};

/// Below this a fair sampler fails once in a million runs.
const P_MIN: f64 = 1e-6;

fn fits(name: &str, draws: &[i128], density: impl Fn(f64) -> f64) -> bool {
    let p = chi_square(draws, density);
    eprintln!("goodness, {} draws, {name}: p = {p:.3e}", draws.len());
    p > P_MIN
}

/// `rounds` × 10,000 draws for a count on that grid.
fn draws(grid_bits: u8, loss: &str, rounds: usize) -> (f64, Vec<i128>) {
    let plan = plan(&histogram(10_000, 1), grid_bits, loss);
    let rounds: Vec<(f64, Vec<i128>)> = (0..rounds).map(|_| drawn(&plan.outputs()[0])).collect();
    (rounds[0].0, rounds.into_iter().flat_map(|(_, cells)| cells).collect())
}

/// Any other distribution, however close, would not have the loss that opendp's proofs say. Noise 4 % too small must be
/// seen, or the test sees nothing.
#[test]
fn gaussian_draws_have_the_exact_distribution() {
    let (scale, draws) = draws(0, "rho=0.05", 20);
    assert!((scale * scale - 10.0).abs() < 1e-9);
    let density = |variance: f64| move |x: f64| (-x * x / (2.0 * variance)).exp();
    assert!(fits("Gaussian, σ² = 10", &draws, density(10.0)));
    assert!(!fits("Gaussian, taken for σ² = 10.8", &draws, density(10.8)), "no power: σ 4 % too small looks right");
}

#[test]
fn laplace_draws_have_the_exact_distribution() {
    let (scale, draws) = draws(0, "epsilon=0.5", 20);
    assert!((scale - 2.0).abs() < 1e-9);
    let density = |b: f64| move |x: f64| (-x.abs() / b).exp();
    assert!(fits("Laplace, b = 2", &draws, density(2.0)));
    assert!(!fits("Laplace, taken for b = 2.08", &draws, density(2.08)), "no power: b 4 % too small looks right");
}

/// On the fine grid that is used in earnest: centre, spread, independence of neighbours, and low bits that say nothing. A
/// float sampler that was rounded to the grid would have patterns there (Mironov, CCS 2012).
#[test]
fn fine_grid_draws_have_the_moments() {
    for (loss, sd) in [("rho=0.5", 1.0), ("epsilon=1", std::f64::consts::SQRT_2)] {
        let (_, draws) = draws(20, loss, 10);
        let n = draws.len() as f64;
        let unit = sd * f64::from(1 << 20);
        let z: Vec<f64> = draws.iter().map(|d| *d as f64 / unit).collect();
        // Six standard errors; a square's variance is 2 for the Gaussian and 5 for the Laplace.
        let near = |what: &str, value: f64, expected: f64, variance: f64| {
            let error = (value - expected).abs() / (variance / n).sqrt();
            assert!(error < 6.0, "{what} of {loss} is {value}, {error} standard errors off");
        };
        near("mean", z.iter().sum::<f64>() / n, 0.0, 1.0);
        near("variance", z.iter().map(|x| x * x).sum::<f64>() / n, 1.0, 5.0);
        near("covariance of neighbours", z.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n, 0.0, 1.0);
        for bit in 0..8 {
            let ones = draws.iter().filter(|d| **d >> bit & 1 == 1).count() as f64;
            near("a low bit", ones / n, 0.5, 0.25);
        }
    }
}
