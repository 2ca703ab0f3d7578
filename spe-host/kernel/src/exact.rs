//! Exact tables of people under disclosure rules: the second way in which numbers leave, off unless a node's policy opens it.
//!
//! It is NOT differentially private. A table has one output, whose cells count people; small cells are suppressed by code before anybody
//! can read them; an officer approves the module before the run, and two release the answer ([`crate::gate::ByTwo`]). It is the corridor
//! of noisy answers, with the same ledger and log: `docs/exact-tables.md`.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::{Cells, Mechanism, NoisyOutput, OutputSums, Sums},
    fault::Fault,
    permit::{Environment, Modules, Review},
    plan::{FUEL_DEFAULT, MEMORY_DEFAULT_BYTES, Plan, Planned, Release},
    refusal::{Clause, Refusal},
    units::{Loss, grid_one},
};

/// No plan shows a cell about fewer people, whatever a policy says.
pub const PEOPLE_MIN: u32 = 3;
/// `people_min` of [`ExactRules`] where a policy does not say it.
pub const PEOPLE_DEFAULT: u32 = 10;
/// What stands in the place of a suppressed cell, in an answer; a count is never negative.
pub const SUPPRESSED: i128 = -1;

/// The operator's rules for exact tables. A policy without them allows none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRules", into = "RawRules")]
pub struct ExactRules {
    people_min: u32,
    price: Vec<Loss>,
    fuel_per_subject: u64,
    memory_bytes_max: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    #[serde(default = "people_default")]
    people_min: u32,
    price: Vec<Loss>,
    #[serde(default = "fuel_default")]
    fuel_per_subject: u64,
    #[serde(default = "memory_default")]
    memory_bytes_max: u64,
}

const fn people_default() -> u32 {
    PEOPLE_DEFAULT
}

const fn fuel_default() -> u64 {
    FUEL_DEFAULT
}

const fn memory_default() -> u64 {
    MEMORY_DEFAULT_BYTES
}

impl TryFrom<RawRules> for ExactRules {
    type Error = String;
    fn try_from(RawRules { people_min, price, fuel_per_subject, memory_bytes_max }: RawRules) -> Result<Self, String> {
        Ok(Self { fuel_per_subject, memory_bytes_max, ..Self::new(people_min, price)? })
    }
}

impl From<ExactRules> for RawRules {
    fn from(ExactRules { people_min, price, fuel_per_subject, memory_bytes_max }: ExactRules) -> Self {
        Self { people_min, price, fuel_per_subject, memory_bytes_max }
    }
}

impl ExactRules {
    /// No cell about fewer than `people_min` people, at least [`PEOPLE_MIN`]; each table for `price`, an entry for each measure in use; each
    /// person with the fuel and memory that a plan has by default.
    ///
    /// # Errors
    /// A number of people that is too small, or a price of nothing.
    pub fn new(people_min: u32, price: Vec<Loss>) -> Result<Self, String> {
        if people_min < PEOPLE_MIN {
            return Err(format!("exact_tables.people_min is {people_min}; it must be at least {PEOPLE_MIN}"));
        }
        if price.is_empty() || price.iter().any(|price| price.pico() == 0) {
            return Err("exact_tables.price is a loss above 0 for each measure in use, such as [\"rho=0.1\"]".into());
        }
        Ok(Self { people_min, price, fuel_per_subject: FUEL_DEFAULT, memory_bytes_max: MEMORY_DEFAULT_BYTES })
    }

    fn allow(&self, plan: &Plan) -> Result<(), Refusal> {
        let forbid = |rule: String| Err(Refusal::PolicyForbids { rule });
        let least = self.people_min;
        if plan.suppress_below() < least {
            return forbid(format!(
                "an exact table shows no cell about fewer than {least} people (--suppress-below {least})"
            ));
        }
        let (fuel, memory) = (self.fuel_per_subject, self.memory_bytes_max);
        if (plan.fuel_per_subject(), plan.memory_bytes_max()) != (fuel, memory) {
            // Who runs out leaves a cell: two tables that differ by fuel alone would be subtracted, and tell of those few.
            return forbid(format!(
                "an exact table is made with the same fuel and memory for everybody who asks (--fuel {fuel} --memory {memory})"
            ));
        }
        let Some(price) = self.price.iter().find(|price| price.measure() == plan.measure()) else {
            return forbid(format!("exact tables have no price in {} here", plan.measure().parameter()));
        };
        if price.fits(plan.loss()) {
            return Ok(());
        }
        forbid(format!("an exact table costs {price}, and the job offers {} (--loss {price})", plan.loss()))
    }
}

/// Plan, permit and policy agree on an exact table. Made only by [`crate::admission::admit`].
///
/// # Security
/// Without it no draw is exact. Watched by `exact_draw_is_forged.rs` in `kernel/tests/forbidden`.
#[derive(Debug, Clone)]
pub struct ExactGrant {
    plan: Plan,
}

impl ExactGrant {
    /// Nothing for a plan that asks for noise.
    pub(crate) fn of(plan: &Plan, permit: &Environment, policy: Option<&ExactRules>) -> Result<Option<Self>, Refusal> {
        if plan.release() == Release::Noisy {
            return Ok(None);
        }
        let forbid = |rule: &str| Refusal::PermitForbids { clause: Clause::Environment, rule: rule.into() };
        if permit.release != Review::ExactTables {
            return Err(forbid("exact tables are not in it: environment.release is not \"exact_tables\""));
        }
        if !matches!(permit.modules, Modules::Only(_)) {
            return Err(forbid(
                "exact tables are of modules that environment.modules names by digest, { only = [\"blake3:…\"] }: without noise, only who \
                 has read a module knows what its cells tell",
            ));
        }
        let closed = "exact tables are not released here: its policy has no section [exact_tables]";
        policy.ok_or_else(|| Refusal::PolicyForbids { rule: closed.into() })?.allow(plan)?;
        Ok(Some(Self { plan: plan.clone() }))
    }

    pub(crate) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The answer's outputs: counts of the cells that are shown, and [`SUPPRESSED`] for all others.
    ///
    /// # Privacy
    /// Assumption: the sums are of clipped contributions, which for these kinds are whole people. Claim: what comes out is a function of the
    /// counts that [`shown`] leaves. Watched by `exact` in `kernel/tests/it`.
    pub(crate) fn tables(&self, sums: Sums) -> Result<Vec<NoisyOutput>, Fault> {
        let wrong = |what: &str| Fault::new("making an exact table", what);
        if sums.len() != self.plan.outputs().len() {
            return Err(wrong("the sums are of another plan"));
        }
        let table = |(planned, sums): (&Planned, OutputSums)| {
            let one = i128::from(grid_one(planned.grid_bits));
            let OutputSums::Cells(sums) = sums else { return Err(wrong("keys are no exact table")) };
            if sums.len() != planned.output.kind.cells() || sums.iter().any(|sum| *sum < 0 || sum % one != 0) {
                return Err(wrong("the sums are not numbers of people"));
            }
            let counts: Vec<i128> = sums.iter().map(|sum| sum / one).collect();
            let cells = shown(&counts, self.plan.suppress_below());
            let cells = cells.into_iter().map(|count| count.map_or(SUPPRESSED, |count| count.saturating_mul(one)));
            let (scale, sensitivity) = (0.0, planned.sensitivity());
            Ok(NoisyOutput { mechanism: Mechanism::Exact, scale, sensitivity, cells: Cells(cells.collect()) })
        };
        self.plan.outputs().iter().zip(sums).map(table).collect()
    }
}

/// The counts of a table that may be shown, by cell.
///
/// # Privacy
/// Suppressed is every cell about fewer than `least` people, 0 included. If there is one, the smallest of the rest follow until there are
/// two and they are about at least `least` people together, or nothing is left. Claim: who knows the total besides what is shown, and of each
/// suppressed cell that it is not negative, cannot exclude any number from 0 to at least `least` for it, unless nothing is shown at all. Who knows
/// this rule too may be able to narrow that (`docs/exact-tables.md`). Watched by `what_is_suppressed_cannot_be_subtracted` beside this.
fn shown(counts: &[i128], least: u32) -> Vec<Option<i128>> {
    let least = i128::from(least);
    let mut order: Vec<(i128, usize)> = counts.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let mut cells: Vec<Option<i128>> = counts.iter().copied().map(Some).collect();
    let (mut hidden, mut together) = (0, 0_i128);
    for (count, cell) in order {
        let given_away = hidden > 0 && (hidden < 2 || together < least);
        if count >= least && !given_away {
            break;
        }
        hidden += 1;
        together = together.saturating_add(count);
        if let Some(cell) = cells.get_mut(cell) {
            *cell = None;
        }
    }
    cells
}

/// Whether an answer's cells are what [`ExactGrant::tables`] makes.
pub(crate) fn fits(planned: &Planned, cells: &[i128], least: u32) -> bool {
    let one = i128::from(grid_one(planned.grid_bits));
    let least = i128::from(least).saturating_mul(one);
    let hidden = cells.iter().filter(|cell| **cell == SUPPRESSED).count();
    let whole = |cell: &i128| *cell == SUPPRESSED || (*cell >= least && cell % one == 0);
    cells.iter().all(whole) && (hidden != 1 || cells.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(counts: &[i128]) -> Vec<usize> {
        let cells = shown(counts, 10);
        let by_cell = cells.iter().zip(counts).enumerate();
        by_cell.filter_map(|(i, (cell, count))| cell.map_or(Some(i), |shown| (shown != *count).then_some(99))).collect()
    }

    /// What would be a bug: a small cell that is shown, also one about nobody, or one that is not small and hidden for nothing.
    #[test]
    fn small_cells_are_suppressed_and_others_are_not() {
        assert!(hidden(&[10, 11, 500]).is_empty());
        assert!(hidden(&[10]).is_empty());
        assert_eq!(hidden(&[9]), [0]);
        assert_eq!(hidden(&[5, 100, 7, 200]), [0, 2], "5 and 7 hide each other");
        assert_eq!(hidden(&[0, 0, 0]), [0, 1, 2]);
    }

    /// What would be a bug: a suppressed cell that is the total less all others, or several that together are so few that it tells the same.
    #[test]
    fn what_is_suppressed_cannot_be_subtracted() {
        assert_eq!(
            hidden(&[3, 100, 50, 200]),
            [0, 2],
            "one alone is the total less the others: the smallest goes with it"
        );
        assert_eq!(hidden(&[100, 0, 200]), [0, 1], "an empty cell is subtracted like any other");
        assert_eq!(hidden(&[0, 0, 40, 50]), [0, 1, 2], "two empty cells are nobody together, which tells of both");
        assert_eq!(hidden(&[4, 5, 40, 50]), [0, 1, 2], "9 people together are fewer than 10");
        assert_eq!(hidden(&[0, 500]), [0, 1], "all in one cell: nothing is shown");
    }

    /// The claim, for all small tables: of each suppressed cell every number from 0 to `least` fits what is shown and the total.
    #[test]
    fn every_small_number_fits_what_is_shown() {
        let least = 3;
        for table in 0..9_i128.pow(4) {
            let counts: Vec<i128> = (0..4).map(|cell| table / 9_i128.pow(cell) % 9).collect();
            let cells = shown(&counts, least);
            let together: i128 =
                counts.iter().zip(&cells).filter(|(_, cell)| cell.is_none()).map(|(count, _)| count).sum();
            let hidden = cells.iter().filter(|cell| cell.is_none()).count();
            assert!(cells.iter().flatten().all(|count| *count >= i128::from(least)), "{counts:?}: {cells:?}");
            // What fits is any number up to what they are together, if another of them takes the rest.
            let most = if hidden > 1 { together } else { -1 };
            assert!(
                matches!(hidden, 0 | 4) || most >= i128::from(least),
                "{counts:?}: {cells:?} tells a suppressed cell"
            );
        }
    }

    #[test]
    fn rules_have_limits() {
        let loss = |text: &str| text.parse::<Loss>().expect("a loss");
        assert!(ExactRules::new(2, vec![loss("rho=0.1")]).expect_err("too few").contains("at least 3"));
        for price in [vec![], vec![loss("rho=0")]] {
            assert!(ExactRules::new(10, price).expect_err("free").contains("price"));
        }
        let rules: ExactRules = serde_json::from_str(r#"{"price": ["rho=0.1"]}"#).expect("rules");
        assert_eq!(rules, ExactRules::new(PEOPLE_DEFAULT, vec![loss("rho=0.1")]).expect("rules"));
    }
}
