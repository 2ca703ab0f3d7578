//! Quantiles of sums of Laplace variables.

/// What the sum of `n` independent Laplace variables of scale 1 exceeds with probability `tail` below ½, by bisection.
pub(super) fn laplace_sum_quantile(n: u32, tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0 * f64::from(n));
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if laplace_sum_tail(n, middle) > tail { low = middle } else { high = middle }
    }
    high
}

/// P(X > t) for X the sum of `n` Laplace variables, t ≥ 0. The density is e⁻ˣ times a polynomial (the difference of two
/// Gamma(n) variables); each power's tail integral is m!·e⁻ᵗ·Σ tⁱ/i!.
fn laplace_sum_tail(n: u32, t: f64) -> f64 {
    let ln_factorial = |k: u32| (2..=k).map(|i| f64::from(i).ln()).sum::<f64>();
    let poisson =
        |m: u32| (0..=m).map(|i| (f64::from(i) * t.max(1e-300).ln() - ln_factorial(i) - t).exp()).sum::<f64>();
    let ln_2 = std::f64::consts::LN_2;
    let term = |k: u32| {
        let m = n - 1 - k;
        let ln = ln_factorial(n - 1 + k) - ln_factorial(k) - ln_factorial(n - 1) - f64::from(n + k) * ln_2;
        ln.exp() * poisson(m)
    };
    (0..n).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_laplace_has_its_textbook_quantile() {
        assert!((laplace_sum_quantile(1, 0.025) - 20.0_f64.ln()).abs() < 1e-9);
        assert!((laplace_sum_tail(3, 0.0) - 0.5).abs() < 1e-12, "the distribution is symmetric");
    }
}
