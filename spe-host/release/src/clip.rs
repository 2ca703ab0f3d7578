//! The one place that bounds what a data subject can change.

use spe_kernel::units::Measure;

/// `values`, shrunk where their norm exceeds `sensitivity`: L2 for [`Measure::Zcdp`], L1 for [`Measure::Pure`].
///
/// # Privacy
/// Assumption: none; any two integers may come in. Claim: the norm of the result is at most `sensitivity`, exactly. With n
/// at least the norm of `values`, |trunc(v·C/n)| ≤ |v|·C/n for each value, so the norm becomes at most C·norm/n ≤ C.
/// Watched by `sensitivity::clip_bounds_any_integers`.
#[inline]
pub fn clip(values: [i64; 2], sensitivity: u64, measure: Measure) -> [i64; 2] {
    let [a, b] = values.map(|v| u128::from(v.unsigned_abs()));
    let c = u128::from(sensitivity);
    let excess = match measure {
        // Squares of 64-bit integers are below 2¹²⁸, and both values' together at most 2¹²⁷.
        Measure::Zcdp => (a * a + b * b > c * c).then(|| (a * a + b * b).isqrt() + 1),
        Measure::Pure => (a + b > c).then_some(a + b),
    };
    excess.map_or(values, |norm| values.map(|v| shrink(v, sensitivity, norm)))
}

/// trunc(v·C/n) for n > C, so it fits; were it not to, 0 would be within any bound. |v·C| < 2⁶³·2⁶⁴.
#[cold]
fn shrink(v: i64, sensitivity: u64, n: u128) -> i64 {
    let n = i128::try_from(n).unwrap_or(i128::MAX);
    i64::try_from(i128::from(v) * i128::from(sensitivity) / n).unwrap_or(0)
}
