//! Modules that the compiler refused: handing in the same one again costs its author nothing, so it must cost the node nothing.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use spe_kernel::ids::Digest;

/// Modules remembered at most; the oldest is forgotten first, after as many compilations.
const MODULES_MAX: usize = 1_024;

/// Which modules cannot be compiled here, and why, since the program started.
#[derive(Default)]
pub(crate) struct Refused(Mutex<VecDeque<(Digest, &'static str)>>);

impl Refused {
    /// Why a module was refused, if it was.
    pub(crate) fn why(&self, module: Digest) -> Option<&'static str> {
        let modules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        modules.iter().find(|(refused, _)| *refused == module).map(|(_, why)| *why)
    }

    /// Remembers a refusal that would come out the same again.
    pub(crate) fn remember(&self, module: Digest, why: &'static str) {
        let mut modules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        modules.retain(|(refused, _)| *refused != module);
        if modules.len() == MODULES_MAX {
            modules.pop_front();
        }
        modules.push_back((module, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list without an end would be memory that an author of modules takes from the node; one that forgot the newest, or held
    /// a module twice, would compile the same bomb again.
    #[test]
    fn the_newest_are_remembered() {
        let refused = Refused::default();
        let module = |number: usize| Digest::of(&number.to_le_bytes());
        for number in (0..=MODULES_MAX).chain([MODULES_MAX]) {
            refused.remember(module(number), "why");
        }
        assert_eq!(refused.why(module(0)), None);
        assert!((1..=MODULES_MAX).all(|number| refused.why(module(number)) == Some("why")));
        assert_eq!(refused.0.lock().expect("a lock").len(), MODULES_MAX);
    }
}
