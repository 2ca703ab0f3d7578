use spe_abi::update::{NODES, ROUND, STATE};

use crate::output::Output;

/// What an [`Update`](crate::Update) knows of the rounds so far: public numbers only.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    done: u32,
    nodes: u32,
    sums: &'a [f64],
}

/// Whether there is to be another round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another one, if the job has one left, with the state that was written.
    GoOn,
    /// None: the state of before the update is the result.
    Stop,
}

impl<'a> Round<'a> {
    /// The round and the state that `spe_update` is given, if there are as many numbers as there should be.
    pub(crate) fn read(numbers: &'a [f64], states: usize, sums: usize) -> Option<(Round<'a>, &'a [f64])> {
        let (head, rest) = numbers.split_at_checked(STATE)?;
        let (state, merged) = rest.split_at_checked(states)?;
        let expected = if head[ROUND] == 0.0 { 0 } else { sums };
        let round = Round { done: head[ROUND] as u32, nodes: head[NODES] as u32, sums: merged };
        (merged.len() == expected).then_some((round, state))
    }

    /// How many rounds are done.
    #[must_use]
    pub fn done(&self) -> u32 {
        self.done
    }

    /// Whether no round is done yet: there are no sums, and the state is all zeros.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.done == 0
    }

    /// How many nodes' sums are added up.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// The noisy sums of `output` in the last round, in the order that `docs/guest-abi.md` says; empty before the
    /// first.
    #[must_use]
    pub fn sums<K>(&self, output: Output<K>) -> &'a [f64] {
        if self.sums.is_empty() {
            return &[];
        }
        &self.sums[output.sum..][..output.shape.sums]
    }
}
