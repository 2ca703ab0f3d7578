//! What a release cost, and what that means: signed with every answer.

use serde::{Deserialize, Serialize};

use crate::{
    conversion::{EpsilonAt, epsilons_of},
    ledger::Charge,
    plan::Release,
    units::Loss,
};

/// Which datasets are told apart by at most the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Neighbours {
    /// One data subject with everything recorded about them is there, or not. Replacing one is two such steps.
    AddOrRemoveOneSubject,
}

/// The cost of one answer. A function of request, policy and ledger only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What the loss is about.
    pub neighbours: Neighbours,
    /// At how many nodes one person may be; the charge bears it.
    pub overlap: u32,
    /// The ledger before this job's charge, at this node.
    pub spent_before: Loss,
    /// The ledger with it.
    pub spent_after: Loss,
    /// All that the dataset's population will ever bear at this node.
    pub budget: Loss,
    /// The job's charge as ε, at two δ on top of its own; none of an exact table, which is NOT differentially private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<[EpsilonAt; 2]>,
    /// All that is spent as ε, at the same two on top of its own; none where exact tables were bought too, which no ε covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<[EpsilonAt; 2]>,
    /// Exact tables of the dataset that were ever bought at this node, this one included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exact_tables: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What was spent on a dataset before and after something was charged; the same twice where nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Before.
    pub before: Loss,
    /// After.
    pub after: Loss,
    /// Exact tables that were ever bought, which the losses do not cover.
    pub exact_tables: u64,
}

impl Certificate {
    /// Of `charge`, where that much is spent in all.
    pub fn of(charge: &Charge, spent: Spent) -> Self {
        let at = |loss: Loss| epsilons_of(loss, charge.subjects_max);
        Self {
            neighbours: Neighbours::AddOrRemoveOneSubject,
            overlap: charge.overlap,
            spent_before: spent.before,
            spent_after: spent.after,
            budget: charge.dataset_cap,
            charge: (charge.release == Release::Noisy).then(|| at(charge.loss)),
            spent: (spent.exact_tables == 0).then(|| at(spent.after)),
            exact_tables: spent.exact_tables,
        }
    }
}
