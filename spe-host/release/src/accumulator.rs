//! Exact sums over data subjects.

use spe_kernel::{
    disclosure::Sums,
    ids::Digest,
    plan::{Plan, Planned},
    record::Contribution,
};

use crate::share::{Share, share};

/// Sums of clipped contributions in grid units, one vector for each output of a plan.
///
/// Addition of integers: the same for any order, partition, thread count and machine (**exact**). It lives inside a
/// `Confidential` and, like it, cannot be printed, copied or compared.
pub struct Accumulator {
    plan: Digest,
    numbers: usize,
    tallies: Vec<Tally>,
}

struct Tally {
    planned: Planned,
    sensitivity: u64,
    default: Option<Share>,
    sums: Vec<i128>,
}

impl Accumulator {
    /// Sums over nobody.
    ///
    /// # Privacy
    /// Claim: a function of the plan only. Watched by `sums::nobody_is_zero`.
    pub fn new(plan: &Plan) -> Self {
        let tallies = plan.outputs().iter().map(Tally::new).collect();
        Self { plan: plan.digest(), numbers: plan.numbers(), tallies }
    }

    /// Adds one data subject, to be called once for each.
    ///
    /// # Privacy
    /// Assumption: every data subject is added at most once. Claim: adds one share within the sensitivity to each output;
    /// [`Contribution::Failed`], NaN and a wrong number of numbers all give the declared default (**guest-blind**). Watched
    /// by `sums::one_subject_changes_the_sums_by_its_share` and `sums::failure_is_the_default`.
    #[inline]
    pub fn add(&mut self, contribution: Contribution<'_>) {
        let mut rest: &[f64] = match contribution {
            Contribution::Numbers(numbers) if numbers.len() == self.numbers => numbers,
            _ => &[],
        };
        for tally in &mut self.tallies {
            let (own, others) = rest.split_at_checked(tally.planned.output.kind.numbers()).unwrap_or_default();
            rest = others;
            tally.add(own);
        }
    }

    /// The sums over both sets of data subjects.
    ///
    /// # Privacy
    /// Assumption: the two sets are disjoint. Claim: the sums over their union. Accumulators of two plans do not merge: the
    /// result is empty, for which no noise fits, so nothing is released. Watched by `sums::order_and_partition_do_not_matter`
    /// and `sums::two_plans_do_not_merge`.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        if self.plan != other.plan {
            self.tallies.clear();
        }
        for (tally, other) in self.tallies.iter_mut().zip(other.tallies) {
            tally.sums.iter_mut().zip(other.sums).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        }
        self
    }

    /// The sums, still confidential.
    ///
    /// # Privacy
    /// Claim: the L2 (ρ) or L1 (ε) distance between the sums with and without one data subject is at most each output's
    /// [`Planned::sensitivity`]. Watched by `sums::one_subject_changes_the_sums_by_its_share`.
    pub fn finish(self) -> Sums {
        self.tallies.into_iter().map(|tally| tally.sums).collect()
    }
}

impl Tally {
    /// # Privacy
    /// Claim: a function of the plan only; the default is clipped like any contribution. Watched by
    /// `sums::failure_is_the_default`.
    fn new(planned: &Planned) -> Self {
        let sensitivity = planned.sensitivity();
        let default = planned.output.default.as_deref().and_then(|numbers| share(planned, sensitivity, numbers));
        Self { planned: planned.clone(), sensitivity, default, sums: vec![0; planned.output.kind.cells()] }
    }

    /// # Privacy
    /// Claim: adds one share. A sum overflows after 2⁶⁴ data subjects at the earliest; it would saturate, which moves no two
    /// sums further apart, and never panics. Watched by `sums::huge_numbers_do_not_panic`.
    #[inline]
    fn add(&mut self, numbers: &[f64]) {
        let Some(Share { cell, values }) = share(&self.planned, self.sensitivity, numbers).or(self.default) else {
            return;
        };
        let Some(sums) = self.sums.get_mut(cell..) else { return };
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(i128::from(value)));
    }
}
