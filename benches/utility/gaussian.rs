//! The least Gaussian noise that is (ε, δ)-differentially private (Balle & Wang, ICML 2018), for a sensitivity of 1.

/// Its standard deviation, to 10⁻⁹: δ falls as it grows.
pub(crate) fn analytic_sd(epsilon: f64, delta: f64) -> f64 {
    let (mut low, mut high) = (1e-3_f64, 1e6_f64);
    for _ in 0..100 {
        let middle = (low * high).sqrt();
        if delta_of(1.0 / middle, epsilon) > delta { low = middle } else { high = middle }
    }
    high
}

/// δ(ε) of two normals of standard deviation 1 that are `mu` apart: the integral of how far one density exceeds e^ε times the
/// other, by Simpson's rule.
fn delta_of(mu: f64, epsilon: f64) -> f64 {
    const STEPS: u32 = 2_000;
    let excess = |x: f64| {
        let density = (-(x - mu) * (x - mu) / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        density * -(epsilon - mu * x + mu * mu / 2.0).exp_m1()
    };
    let from = epsilon / mu + mu / 2.0;
    let step = (from.max(mu) + 12.0 - from) / f64::from(STEPS);
    let weight = |i: u32| if i == 0 || i == STEPS { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
    let sum: f64 = (0..=STEPS).map(|i| weight(i) * excess(from + f64::from(i) * step)).sum();
    sum * step / 3.0
}
