use crate::{Param, State};

/// What a job says to every data subject alike: its public parameters and, in a module with rounds, the state.
#[derive(Clone, Copy)]
pub struct Params<'a> {
    params: &'a [f64],
    states: &'a [f64],
}

impl<'a> Params<'a> {
    pub(crate) fn new(params: &'a [f64], states: &'a [f64]) -> Params<'a> {
        Params { params, states }
    }

    /// The value of `param`.
    #[must_use]
    pub fn get(&self, param: Param) -> f64 {
        self.params[param.index]
    }

    /// The value of `state` at the start of this round.
    #[must_use]
    pub fn state(&self, state: State) -> f64 {
        self.states[state.index]
    }

    /// The state at the start of this round, in the manifest's order.
    #[must_use]
    pub fn states(&self) -> &'a [f64] {
        self.states
    }
}
