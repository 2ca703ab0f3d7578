//! What a noisy count says of the true one if it is shown only for having reached a bar.

use super::Scale;
use crate::disclosure::Mechanism;

/// The smallest number of people, at least 1, for whom a count of `noisy` or more among those that reach `bar` has a probability of
/// 2.5 %: the lower end of a 95 % interval of what is shown.
///
/// Far above the bar it is that of any noisy count; near it nothing says that there is more than one person.
pub(super) fn least(scale: &Scale, noisy: f64, bar: f64) -> f64 {
    let (mut low, mut high) = (1.0_f64.min(noisy), noisy);
    let surprising = |people: f64| tail(scale, noisy - people) < 0.025 * tail(scale, bar - people);
    if !surprising(low) {
        return low;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if surprising(middle) { low = middle } else { high = middle }
    }
    low
}

/// The probability that one node's noise is at least `x`.
fn tail(scale: &Scale, x: f64) -> f64 {
    let above = |x: f64| match scale.noise.mechanism {
        Mechanism::DiscreteGaussian => normal_tail(x / scale.noise_sd()),
        Mechanism::DiscreteLaplace => (-x * std::f64::consts::SQRT_2 / scale.noise_sd()).exp() / 2.0,
        Mechanism::Exact => 0.0,
    };
    if x < 0.0 { 1.0 - above(-x) } else { above(x) }
}

/// P(N(0, 1) ≥ x) for x ≥ 0, to a relative 10⁻⁶ (Press, Teukolsky, Vetterling & Flannery, Numerical Recipes in C, section 6.2).
fn normal_tail(x: f64) -> f64 {
    const SERIES: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let z = x / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + z / 2.0);
    let exponent = SERIES.iter().fold(0.0, |sum, term| sum * t + term);
    t * (exponent - z * z).exp() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistic::Noise;

    #[test]
    fn the_normal_tail_is_the_textbooks() {
        for (x, tail) in
            [(0.0, 0.5), (1.959_963_984_540_054, 0.025), (4.753_424_308_822_899, 1e-6), (7.941_345_326_170_998, 1e-15)]
        {
            assert!((normal_tail(x) / tail - 1.0).abs() < 1e-6, "{} at {x}", normal_tail(x));
        }
    }

    #[test]
    fn what_is_just_shown_may_be_one_person_and_what_is_far_above_is_any_count() {
        for mechanism in [Mechanism::DiscreteGaussian, Mechanism::DiscreteLaplace] {
            let scale = Scale::new(0, Noise { mechanism, scale: 3.0, nodes: 1 });
            assert_eq!(least(&scale, 50.0, 50.0), 1.0);
            assert!((least(&scale, 500.0, 50.0) - (500.0 - scale.half_width())).abs() < 1e-3);
        }
    }
}
