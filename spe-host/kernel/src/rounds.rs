//! Rounds: the same corridor several times, with public numbers handed from one to the next.
//!
//! Round r runs on state r. State 0 is what `spe_update` makes of zeros; state r is what it makes of state r − 1 and of the merged,
//! noisy sums of round r − 1. All of these are public: whoever chooses them, even a hub that lies, chooses a question, and any
//! choice of the next question is covered by the ledger (Feldman & Zrnic, NeurIPS 2021).

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::{Answer, Cells},
    ids::Digest,
    plan::Plan,
    statistic::moments,
    units::grid_one,
};

/// The noisy sums of one round, added up over the nodes that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// How many nodes answered.
    pub nodes: u32,
    /// The cells of each output of the plan, in grid units.
    pub sums: Vec<Cells>,
}

impl Merged {
    /// Adds up answers that [`crate::federation::open_answer`] gave for this plan.
    pub fn of(plan: &Plan, answers: &[Answer]) -> Self {
        let output = |i: usize, cells: usize| {
            let mut sums = vec![0_i128; cells];
            for part in answers.iter().filter_map(|a| a.outputs.get(i)) {
                sums.iter_mut().zip(&part.cells.0).for_each(|(sum, cell)| *sum = sum.saturating_add(*cell));
            }
            Cells(sums)
        };
        let sums = plan.outputs().iter().enumerate().map(|(i, p)| output(i, p.output.kind.cells())).collect();
        Self { nodes: u32::try_from(answers.len()).unwrap_or(u32::MAX), sums }
    }

    /// Whether it has the plan's shape.
    pub fn fits(&self, plan: &Plan) -> bool {
        let cells = plan.outputs().iter().map(|p| p.output.kind.cells());
        self.sums.len() == plan.outputs().len() && self.sums.iter().map(|c| c.0.len()).eq(cells)
    }
}

/// Which round a node is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextRound {
    /// Its number; at least 1. The number of rounds itself asks for the last state.
    pub round: u32,
    /// The merged sums of the round before.
    pub merged: Merged,
}

/// The numbers that `spe_update` reads before round `round`: see `docs/guest-abi.md`.
pub fn update_input(plan: &Plan, round: u32, state: &[f64], merged: Option<&Merged>) -> Vec<f64> {
    let mut input = vec![f64::from(round), f64::from(merged.map_or(0, |m| m.nodes))];
    input.extend_from_slice(state);
    for (planned, cells) in plan.outputs().iter().zip(merged.into_iter().flat_map(|m| &m.sums)) {
        let one = f64::from(grid_one(planned.grid_bits));
        #[expect(clippy::cast_precision_loss, reason = "after noise; the same at every node")]
        let cells: Vec<f64> = cells.0.iter().map(|sum| *sum as f64 / one).collect();
        input.extend(moments(planned, &cells));
    }
    input
}

/// How many numbers [`update_input`] gives at most.
pub fn update_input_len(plan: &Plan) -> usize {
    let cells: usize = plan.outputs().iter().map(|p| p.output.kind.cells()).sum();
    2 + plan.state().len() + cells
}

/// The digest of a state, as answers carry it.
pub fn state_digest(state: &[f64]) -> Digest {
    let bytes: Vec<u8> = state.iter().flat_map(|x| x.to_le_bytes()).collect();
    Digest::of(&bytes)
}

/// The last state of a job with rounds. Public numbers, computed from released ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// The plan.
    pub plan: Digest,
    /// How many rounds were run: fewer than planned where the module stopped early.
    pub rounds: u32,
    /// The state, in the order of the plan's names.
    pub state: Vec<f64>,
}
