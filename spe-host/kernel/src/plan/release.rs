//! How the sums of a plan become an answer.

use serde::{Deserialize, Serialize};

use super::{Plan, PlanError, RawPlan, reject};
use crate::{
    disclosure::Mechanism,
    exact::PEOPLE_MIN,
    federation::mechanism,
    manifest::{Kind, Unit},
};

/// How the sums of a plan become an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// With noise that the loss pays for: differentially private.
    #[default]
    Noisy,
    /// As one exact table of people, small cells suppressed, after persons have reviewed it: NOT differentially private ([`crate::exact`]).
    ExactTables,
}

impl Release {
    pub(super) const fn is_noisy(&self) -> bool {
        matches!(self, Self::Noisy)
    }
}

/// Whether a plan that asks for an exact table asks for nothing that cannot be one.
pub(super) fn check(raw: &RawPlan) -> Result<(), PlanError> {
    if raw.release.is_noisy() {
        return Ok(());
    }
    if raw.rounds.is_some() || raw.unit != Unit::Subject {
        return reject("an exact table is of people, counted once: it has no rounds and no blocks");
    }
    if raw.overlap != 1 {
        return reject(format!(
            "an exact table is of a dataset whose people are at one node only, and these may be at {}: what one node suppresses, another would show",
            raw.overlap
        ));
    }
    for planned in &raw.outputs {
        if let Kind::Histogram(axes) = &planned.output.kind
            && axes.per_subject() != 1
        {
            let name = &planned.output.name;
            return reject(format!(
                "output {name:?} counts a person in up to {} cells: in an exact table nobody is in two, or one cell less another tells of a few",
                axes.per_subject()
            ));
        }
        if !matches!(planned.output.kind, Kind::Count | Kind::Histogram(_)) {
            let (name, kind) = (&planned.output.name, planned.output.kind.name());
            return reject(format!("output {name:?} is a {kind}: exact tables count people; ask for it with noise"));
        }
    }
    if raw.outputs.len() != 1 {
        return reject(format!(
            "{} outputs: an exact answer is one table, or one table would give away what is suppressed in another; use a module for each",
            raw.outputs.len()
        ));
    }
    if raw.suppress_below < PEOPLE_MIN {
        return reject(format!(
            "an exact table shows no cell about fewer than {PEOPLE_MIN} people: ask with --suppress-below {PEOPLE_MIN} or more"
        ));
    }
    Ok(())
}

impl Plan {
    /// How its sums become an answer.
    pub const fn release(&self) -> Release {
        self.raw.release
    }

    /// The distribution of the noise in its answers.
    pub const fn mechanism(&self) -> Mechanism {
        match self.raw.release {
            Release::Noisy => mechanism(self.measure()),
            Release::ExactTables => Mechanism::Exact,
        }
    }
}
