//! The exact tables that were bought of a dataset before, as officers compare them with one that waits: two that differ in few people tell of
//! those.

use serde::{Deserialize, Serialize};
use spe_kernel::{
    disclosure::ANSWER_TYPE,
    dsse,
    federation::{merge, open_answer},
    ids::Digest,
    officer::Matter,
    plan::Plan,
    refusal::{Refusal, Stop},
    statistic::Statistic,
};

use crate::{
    journal::{BoughtTable, Earlier},
    site::Site,
};

/// The exact tables of a dataset, but not that which is decided about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierTables {
    /// How many there are.
    pub in_all: u64,
    /// The last 100 of them, the newest first.
    pub newest: Vec<EarlierTable>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierTable {
    /// When it was bought, RFC 3339.
    pub at: String,
    /// Under which line of permits.
    pub permit: String,
    /// Digest of the plan.
    pub question: Digest,
    /// About whom: another cohort is another question.
    pub cohort: Digest,
    /// What was asked; nothing where this version of the program cannot read it.
    pub plan: Option<Plan>,
    /// Digest of the signed answer; none where it was lost with the process that computed it.
    pub answer: Option<Digest>,
    /// The table as it left, or would have: nobody reads a suppressed cell, here or elsewhere.
    pub statistics: Vec<Statistic>,
}

/// What of a matter says which tables are others.
#[derive(Deserialize)]
struct About {
    plan: Plan,
    cohort: Digest,
}

impl Site {
    /// The exact tables that were bought of the dataset that `matter`, which waits, is about.
    ///
    /// # Errors
    /// Nothing like it waits; the records cannot be read.
    pub fn earlier_tables(&self, matter: Matter) -> Result<EarlierTables, Stop> {
        let missing = || Refusal::NotFound { what: format!("something about {} that waits", matter.digest().short()) };
        let about = self.records().about(matter)?.ok_or_else(missing)?;
        let About { plan, cohort } = serde_json::from_value(about).map_err(|_| missing())?;
        let Earlier { in_all, newest } = self.records().earlier_exact(plan.dataset(), (plan.digest(), cohort))?;
        Ok(EarlierTables { in_all, newest: newest.into_iter().map(|bought| self.table(bought)).collect() })
    }

    fn table(&self, bought: BoughtTable) -> EarlierTable {
        let BoughtTable { at, permit, question, cohort, plan, envelope } = bought;
        let plan: Option<Plan> = plan.and_then(|plan| serde_json::from_str(&plan).ok());
        let (answer, envelope) = (envelope.as_deref().map(Digest::of), envelope.unwrap_or_default());
        let statistics = plan.as_ref().and_then(|plan| self.shown(plan, &envelope)).unwrap_or_default();
        EarlierTable { at, permit, question, cohort, plan, answer, statistics }
    }

    fn shown(&self, plan: &Plan, envelope: &[u8]) -> Option<Vec<Statistic>> {
        // It is the node's own, signed with the key that it had then.
        let signer = dsse::verify(envelope, ANSWER_TYPE, "the answer").ok()?.signer;
        let answer = open_answer(envelope, plan, &self.name, signer).ok()?;
        Some(merge(plan, &[answer]))
    }
}
