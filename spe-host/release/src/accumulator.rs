//! Exact sums over data subjects.

use std::collections::BTreeMap;

use spe_kernel::{
    disclosure::{OutputSums, Sums},
    ids::Digest,
    manifest::Kind,
    plan::{Plan, Planned},
    record::Contribution,
};

use crate::{clip::Entry, keys, share::share};

/// Sums of clipped contributions in grid units, one entry for each output of a plan.
///
/// Addition of integers: the same for any order, partition, thread count and machine (**exact**). It lives inside a
/// `Confidential` and, like it, cannot be printed, copied or compared.
pub struct Accumulator {
    plan: Digest,
    numbers: usize,
    tallies: Vec<Tally>,
    /// One data subject's share of one output; kept for its memory only.
    entries: Vec<Entry>,
}

struct Tally {
    planned: Planned,
    /// How many numbers the guest writes for it.
    numbers: usize,
    norm_max: u64,
    default: Option<Vec<Entry>>,
    sums: OutputSums,
}

impl Accumulator {
    /// Sums over nobody.
    ///
    /// # Privacy
    /// Claim: a function of the plan only. Watched by `sums::nobody_is_zero`.
    pub fn new(plan: &Plan) -> Self {
        let tallies = plan.outputs().iter().map(Tally::new).collect();
        Self { plan: plan.digest(), numbers: plan.numbers(), tallies, entries: Vec::new() }
    }

    /// Adds one data subject, or one block of them, to be called once for each.
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
            let (own, others) = rest.split_at_checked(tally.numbers).unwrap_or_default();
            rest = others;
            tally.add(own, &mut self.entries);
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
            match (&mut tally.sums, other.sums) {
                (OutputSums::Cells(sums), OutputSums::Cells(more)) => {
                    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
                }
                (OutputSums::Keys(sums), OutputSums::Keys(more)) => {
                    more.into_iter().for_each(|(key, more)| keys::add(sums, key, more));
                }
                _ => {}
            }
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
        let (norm_max, kind) = (planned.norm_max(), &planned.output.kind);
        let sums = match kind {
            Kind::Keys(_) => OutputSums::Keys(BTreeMap::new()),
            _ => OutputSums::Cells(vec![0; kind.cells()]),
        };
        let mut entries = Vec::new();
        let given = |numbers: &&[f64]| share(planned, norm_max, numbers, &mut entries);
        let default = planned.output.default.as_deref().filter(given).is_some().then_some(entries);
        Self { planned: planned.clone(), numbers: kind.numbers(), norm_max, default, sums }
    }

    /// # Privacy
    /// Claim: adds one share. A sum overflows after 2⁶⁴ data subjects at the earliest; it would saturate, which moves no two
    /// sums further apart, and never panics. Watched by `sums::huge_numbers_do_not_panic`.
    #[inline]
    fn add(&mut self, numbers: &[f64], entries: &mut Vec<Entry>) {
        match (&mut self.sums, &self.planned.output.kind) {
            (OutputSums::Keys(sums), Kind::Keys(declared)) => {
                let default = self.planned.output.default.as_deref().unwrap_or_default();
                keys::share(sums, declared, numbers, default, self.planned.grid_bits);
            }
            (OutputSums::Cells(sums), _) => {
                let given = share(&self.planned, self.norm_max, numbers, entries);
                let entries = if given { Some(&*entries) } else { self.default.as_ref() };
                for Entry { cell, value } in entries.into_iter().flatten() {
                    if let Some(sum) = sums.get_mut(*cell) {
                        *sum = sum.saturating_add(i128::from(*value));
                    }
                }
            }
            (OutputSums::Keys(_), _) => {}
        }
    }
}
