//! How far one data subject moves the sums of a kind.

use super::Kind;
use crate::units::{Measure, grid_one, to_grid};

impl Kind {
    /// Sensitivity to adding or removing one data subject, in units of 2⁻ᵇⁱᵗˢ: the L2 norm for [`Measure::Zcdp`], the L1 norm
    /// for [`Measure::Pure`].
    ///
    /// # Privacy
    /// A person's vector comes or goes: that is its norm. A block's vector becomes another one: that is twice its norm. Watched
    /// by `sensitivity` in `release/tests/it`.
    pub fn sensitivity(&self, measure: Measure, bits: u8) -> u64 {
        let norm = self.norm_max(measure, bits);
        if matches!(self, Self::BlockMean(_)) { 2 * norm } else { norm }
    }

    /// Largest norm of what one data subject, or one block, adds: as [`Self::sensitivity`], rounded up to an integer.
    ///
    /// # Privacy
    /// The bound that `release` clips every contribution to, so it holds whatever the guest writes (**guest-blind**).
    pub fn norm_max(&self, measure: Measure, bits: u8) -> u64 {
        let one = u64::from(grid_one(bits));
        // `parts` cells, or pairs of shares, of at most one unit each.
        let units = |parts: u64| match measure {
            Measure::Zcdp => root(parts, one),
            Measure::Pure => parts * one,
        };
        match self {
            // Of a mean: two shares of one person, which add up to one.
            Self::Count | Self::Mean(_) | Self::Survival(_) => one,
            Self::Sum(b) => {
                let grid = |x: f64| to_grid(x, bits).unsigned_abs();
                grid(b.lower()).max(grid(b.upper())).max(1)
            }
            // (1, y, y² − ½) with |y| ≤ 1: 1 + 1 + ¼ = (3/2)² at |y| = 1, which rounding does not pass; three shares of one person.
            Self::Variance(_) => match measure {
                Measure::Zcdp => (3 * one).div_ceil(2),
                Measure::Pure => one,
            },
            Self::Histogram(axes) | Self::GroupedMean(axes, _) => units(axes.per_subject.into()),
            Self::Quantiles { bins, .. } => units(1 + u64::from(bins.bins().next_power_of_two().trailing_zeros())),
            Self::VectorSum { norm, .. } => to_grid(*norm, bits).unsigned_abs().max(1),
            Self::Keys(keys) => units(keys.per_subject.into()),
            Self::BlockMean(coordinates) => units(u64::try_from(coordinates.len()).unwrap_or(u64::MAX >> 32)),
        }
    }
}

/// √`parts` · `one`, rounded up.
fn root(parts: u64, one: u64) -> u64 {
    let square = u128::from(parts) * u128::from(one) * u128::from(one);
    let floor = square.isqrt();
    u64::try_from(floor + u128::from(floor * floor < square)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_round_up() {
        assert_eq!([root(1, 8), root(2, 8), root(4, 8), root(9, 1)], [8, 12, 16, 3]);
    }
}
