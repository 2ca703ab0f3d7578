#![doc = include_str!("proof/survival.md")]

use spe_kernel::manifest::Edges;

/// The cell of one data subject: of the interval of `time`, as event or as censored, or that of those who are still at risk after
/// the last.
///
/// # Privacy
/// Assumption: the numbers are not NaN. Claim: one cell of the output, always. Watched by
/// `sensitivity::no_contribution_exceeds_the_sensitivity` and `sums::survival_follows_the_abi`.
#[inline]
pub(crate) fn cell(edges: &Edges, time: f64, event: f64) -> usize {
    if time >= edges.last() {
        return 2 * edges.bins();
    }
    let interval = edges.bin(time.max(edges.first())).unwrap_or_default();
    2 * interval + usize::from(event == 0.0)
}
