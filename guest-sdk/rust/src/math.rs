//! The functions that `core` lacks without an operating system. They give the same bits on every machine.
//!
//! Their relative error is below 10⁻¹⁵ where results are normal numbers.

const LN_2: f64 = core::f64::consts::LN_2;
/// ln 2 in two parts, the first of which can be multiplied by an exponent without rounding.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

const MANTISSA_BITS: u32 = 52;
const EXPONENT_BIAS: i64 = 1023;

/// The square root; NaN below 0.
#[must_use]
pub fn sqrt(x: f64) -> f64 {
    if x == 0.0 || x == f64::INFINITY || x.is_nan() {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    if x < f64::MIN_POSITIVE {
        // 2¹⁰⁸ makes it a normal number.
        return sqrt(x * power_of_two(108)) * power_of_two(-54);
    }
    // Half the exponent is right to a factor of √2, and each step of Newton's doubles the digits.
    let mut root = f64::from_bits((x.to_bits() >> 1) + (1023 << 51));
    for _ in 0..5 {
        root = 0.5 * (root + x / root);
    }
    root
}

/// e to the power of `x`.
#[must_use]
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 709.79 {
        return f64::INFINITY;
    }
    if x < -745.2 {
        return 0.0;
    }
    let half = if x < 0.0 { -0.5 } else { 0.5 };
    let exponent = (x / LN_2 + half) as i64;
    let rest = (x - exponent as f64 * LN_2_HIGH) - exponent as f64 * LN_2_LOW;
    // Taylor's series: |rest| is at most ½ ln 2, and 0.35¹⁴ / 14! is below 10⁻¹⁷.
    let mut power = 1.0;
    for n in (1..=13).rev() {
        power = 1.0 + power * rest / f64::from(n);
    }
    // In two steps, because 2¹⁰²⁴ and 2⁻¹⁰⁷⁵ are no numbers while their products with the power may be.
    let first = exponent / 2;
    power * power_of_two(first) * power_of_two(exponent - first)
}

/// The natural logarithm; −∞ at 0, NaN below.
#[must_use]
pub fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == f64::INFINITY {
        return x;
    }
    if x < f64::MIN_POSITIVE {
        return ln(x * power_of_two(54)) - 54.0 * LN_2;
    }
    let mut exponent = (x.to_bits() >> MANTISSA_BITS) as i64 - EXPONENT_BIAS;
    let mut mantissa = x * power_of_two(-exponent / 2) * power_of_two(-exponent - -exponent / 2);
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …) with |s| at most 0.172: 0.172²⁴ is below 10⁻¹⁸.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let mut series = 0.0;
    for n in (0..12).rev() {
        series = series * s * s + 1.0 / f64::from(2 * n + 1);
    }
    exponent as f64 * LN_2_HIGH + (2.0 * s * series + exponent as f64 * LN_2_LOW)
}

/// The logistic function 1 / (1 + e⁻ˣ): the probability whose log odds are `x`.
#[must_use]
pub fn logistic(x: f64) -> f64 {
    if x < 0.0 {
        let odds = exp(x);
        odds / (1.0 + odds)
    } else {
        1.0 / (1.0 + exp(-x))
    }
}

/// The scalar product of two vectors.
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// The Euclidean length of a vector.
#[must_use]
pub fn norm(a: &[f64]) -> f64 {
    sqrt(dot(a, a))
}

/// 2 to the power of `exponent`, which must be that of a normal number.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + EXPONENT_BIAS) as u64) << MANTISSA_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR_MAX: f64 = 1e-15;

    /// Numbers of every size, both signs.
    fn numbers(largest: f64) -> impl Iterator<Item = f64> {
        let sizes = (0..40_000).map(move |i| largest * 0.999_f64.powi(i));
        sizes.flat_map(|x| [x, -x])
    }

    fn close(is: f64, should: f64) -> bool {
        is.to_bits() == should.to_bits() || ((is - should) / should).abs() <= ERROR_MAX
    }

    #[test]
    fn exponentials_are_exact_to_an_ulp_or_two() {
        for x in numbers(708.0) {
            assert!(close(exp(x), x.exp()), "{x}: {} {}", exp(x), x.exp());
        }
        assert_eq!(
            [exp(0.0), exp(f64::NEG_INFINITY), exp(f64::INFINITY), exp(710.0)],
            [1.0, 0.0, f64::INFINITY, f64::INFINITY]
        );
        assert!(exp(-745.0) > 0.0 && exp(-746.0) == 0.0 && exp(709.7) < f64::INFINITY && exp(f64::NAN).is_nan());
    }

    #[test]
    fn logarithms_are_exact_to_an_ulp_or_two() {
        for x in numbers(f64::MAX).chain(numbers(2.0)).map(f64::abs) {
            assert!(close(ln(x), x.ln()), "{x}: {} {}", ln(x), x.ln());
        }
        for x in numbers(0.5).map(|x| 1.0 + x) {
            assert!(close(ln(x), x.ln()), "{x}: {} {}", ln(x), x.ln());
        }
        let tiny = f64::from_bits(1);
        assert!(close(ln(tiny), tiny.ln()));
        assert_eq!([ln(1.0), ln(0.0), ln(f64::INFINITY)], [0.0, f64::NEG_INFINITY, f64::INFINITY]);
        assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan());
    }

    #[test]
    fn square_roots_are_exact_to_an_ulp() {
        for x in numbers(f64::MAX).chain(numbers(2.0)).map(f64::abs) {
            assert!(close(sqrt(x), x.sqrt()), "{x}: {} {}", sqrt(x), x.sqrt());
        }
        let tiny = f64::from_bits(1);
        assert!(close(sqrt(tiny), tiny.sqrt()) && close(sqrt(f64::MAX), f64::MAX.sqrt()));
        assert_eq!([0.0, 1.0, 4.0, 9.0, f64::INFINITY].map(sqrt), [0.0, 1.0, 2.0, 3.0, f64::INFINITY]);
        assert!(sqrt(-1.0).is_nan() && sqrt(f64::NAN).is_nan());
    }

    #[test]
    fn the_logistic_function_keeps_its_small_values() {
        for x in numbers(700.0) {
            assert!(close(logistic(x), if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }));
        }
        assert_eq!([logistic(0.0), logistic(-1e9), logistic(1e9)], [0.5, 0.0, 1.0]);
    }

    #[test]
    fn lengths_are_euclidean() {
        assert_eq!((dot(&[1.0, 2.0], &[3.0, 4.0]), norm(&[3.0, 4.0])), (11.0, 5.0));
    }
}
