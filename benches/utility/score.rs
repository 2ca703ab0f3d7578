//! How good an answer is.

use spe_benches::Error;

/// The mean.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The root of the mean of squares.
pub(crate) fn root_mean_square(values: &[f64]) -> f64 {
    mean(&values.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt()
}

/// The `share` quantile of sorted values, by linear interpolation.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index of a list"
)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Result<f64, Error> {
    let last = sorted.len().saturating_sub(1);
    let at = last as f64 * share;
    let value = |i: usize| sorted.get(i.min(last)).copied().ok_or("a quantile of nothing");
    let (low, high) = (value(at as usize)?, value(at as usize + 1)?);
    Ok(low + (high - low) * at.fract())
}

/// The share of cases whose score has the sign of the outcome.
pub(crate) fn accuracy(scored: &[(f64, bool)]) -> f64 {
    mean(&scored.iter().map(|(score, yes)| f64::from(u8::from((*score > 0.0) == *yes))).collect::<Vec<_>>())
}

/// The chance that a case scores higher than a control (Mann & Whitney 1947); half for equal scores.
pub(crate) fn area_under_curve(scored: &[(f64, bool)]) -> f64 {
    let of = |outcome: bool| scored.iter().filter(move |(_, yes)| *yes == outcome).map(|(score, _)| *score);
    let (mut wins, mut pairs) = (0.0, 0.0);
    for case in of(true) {
        for control in of(false) {
            wins += if case > control { 1.0 } else { 0.5 * f64::from(u8::from(case == control)) };
            pairs += 1.0;
        }
    }
    wins / pairs
}
