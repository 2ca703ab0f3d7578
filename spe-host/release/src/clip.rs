//! The one place that bounds what a data subject can change.

use spe_kernel::units::Measure;

/// A number in grid units for one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The cell.
    pub cell: usize,
    /// The number.
    pub value: i64,
}

/// Numbers beyond it are cut first, so that no norm overflows: far above every norm.
const VALUE_MAX: i64 = 1 << 53;

/// One data subject's `entries`, each cell once, shrunk where their norm exceeds `norm_max`: L2 for [`Measure::Zcdp`], L1 for
/// [`Measure::Pure`].
///
/// # Privacy
/// Assumption: fewer than 2²⁰ entries. Claim: the norm of what is left, as a vector over cells, is at most `norm_max`,
/// exactly; entries for the same cell are added up first, because the norm of the vector is not that of the list. With n at
/// least the norm, |trunc(v·C/n)| ≤ |v|·C/n for each value, so the norm becomes at most C·norm/n ≤ C.
/// Watched by `sensitivity::clip_bounds_any_integers`.
#[inline]
pub fn clip(entries: &mut Vec<Entry>, norm_max: u64, measure: Measure) {
    if !entries.is_sorted_by(|a, b| a.cell < b.cell) {
        gather(entries);
    }
    for entry in entries.iter_mut() {
        entry.value = entry.value.clamp(-VALUE_MAX, VALUE_MAX);
    }
    let magnitude = |entry: &Entry| u128::from(entry.value.unsigned_abs());
    let c = u128::from(norm_max);
    let excess = match measure {
        // 2²⁰ squares of at most 2¹⁰⁶.
        Measure::Zcdp => {
            let square: u128 = entries.iter().map(|e| magnitude(e) * magnitude(e)).sum();
            (square > c * c).then(|| square.isqrt() + 1)
        }
        Measure::Pure => Some(entries.iter().map(magnitude).sum()).filter(|norm| *norm > c),
    };
    if let Some(norm) = excess {
        entries.iter_mut().for_each(|entry| entry.value = shrink(entry.value, norm_max, norm));
    }
}

/// Entries by cell, each once, their numbers added up.
#[cold]
fn gather(entries: &mut Vec<Entry>) {
    entries.sort_by_key(|entry| entry.cell);
    entries.dedup_by(|later, kept| {
        let same = later.cell == kept.cell;
        if same {
            kept.value = kept.value.saturating_add(later.value);
        }
        same
    });
}

/// trunc(v·C/n) for n > C, so it fits; were it not to, 0 would be within any bound. |v·C| < 2⁵³·2⁶⁴.
fn shrink(v: i64, norm_max: u64, n: u128) -> i64 {
    let n = i128::try_from(n).unwrap_or(i128::MAX);
    i64::try_from(i128::from(v) * i128::from(norm_max) / n).unwrap_or(0)
}
