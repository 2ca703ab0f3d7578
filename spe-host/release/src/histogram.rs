#![doc = include_str!("proof/histogram.md")]

/// The cell of `code`: rounded towards zero, and `categories` (the cell `other`) for everything that is no category.
///
/// # Privacy
/// Assumption: `code` is not NaN. Claim: one cell of the output, always. Watched by
/// `sums::codes_follow_the_abi` and `sensitivity::no_contribution_exceeds_the_sensitivity`.
#[inline]
pub(crate) fn cell(code: f64, categories: usize) -> usize {
    let code = code.trunc();
    if code < 0.0 {
        return categories;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and `as` saturates")]
    let index = code as usize;
    index.min(categories)
}
