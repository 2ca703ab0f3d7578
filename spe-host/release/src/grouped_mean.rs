#![doc = include_str!("proof/grouped_mean.md")]

use crate::histogram;

/// The first of the two cells of `code`: people, then values.
///
/// # Privacy
/// Assumption: `code` is not NaN. Claim: the first cell of one pair, and pairs do not overlap. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn cell(code: f64, categories: usize) -> usize {
    2 * histogram::cell(code, categories)
}
