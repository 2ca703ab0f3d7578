//! Statistics for judging noise.

use statrs::function::{beta::beta_reg, erf, gamma::gamma_ur};

/// Φ⁻¹.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erf::erfc_inv(2.0 * p)
}

/// Exact one-sided Clopper–Pearson bounds (Biometrika 1934) of a probability of which `k` of `n` trials were successes: it
/// lies below the first, or above the second, with probability at most `alpha` each.
pub(crate) fn clopper_pearson(k: u64, n: u64, alpha: f64) -> (f64, f64) {
    let (k, n) = (k as f64, n as f64);
    let lower = if k == 0.0 { 0.0 } else { root(|p| beta_reg(k, n - k + 1.0, p) < alpha) };
    let upper = if k == n { 1.0 } else { root(|p| beta_reg(k + 1.0, n - k, p) < 1.0 - alpha) };
    (lower, upper)
}

/// Where `below` turns false in (0, 1).
fn root(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// p-value of Pearson's χ² test of draws against `weight` (not normalised) on the integers; values that are expected
/// fewer than 25 times are one bin.
pub(crate) fn chi_square(draws: &[i128], weight: impl Fn(f64) -> f64) -> f64 {
    let reach = 200_i128;
    let total: f64 = (-reach..=reach).map(|x| weight(x as f64)).sum();
    let n = draws.len() as f64;
    let (mut statistic, mut bins, mut rest_seen, mut rest_expected) = (0.0, 0_u32, n, n);
    for x in -reach..=reach {
        let expected = n * weight(x as f64) / total;
        if expected >= 25.0 {
            let seen = draws.iter().filter(|d| **d == x).count() as f64;
            statistic += (seen - expected).powi(2) / expected;
            bins += 1;
            rest_seen -= seen;
            rest_expected -= expected;
        }
    }
    statistic += (rest_seen - rest_expected).powi(2) / rest_expected.max(1.0);
    gamma_ur(f64::from(bins) / 2.0, statistic / 2.0)
}

#[test]
fn textbook_values() {
    assert!((normal_quantile(0.975) - 1.959_963_985).abs() < 1e-6);
    // R: binom.test(7, 20, alternative = "greater" and "less", conf.level = 0.975)
    let (lower, upper) = clopper_pearson(7, 20, 0.025);
    assert!((lower - 0.153_909_2).abs() < 1e-6 && (upper - 0.592_189_2).abs() < 1e-6, "{lower} {upper}");
}
