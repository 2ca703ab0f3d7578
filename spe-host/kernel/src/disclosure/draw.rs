//! Noise, from the time it is drawn to the time it is added.

use serde::{Deserialize, Serialize};

use crate::{exact::ExactGrant, fault::Fault, ids::Digest};

/// Noise drawn for one plan, before any sum was known. Zeroed when dropped.
///
/// # Privacy
/// Made by `release` from opendp's exact samplers only; `ci/doors` fails when another crate calls [`Draw::new`].
pub struct Draw {
    pub(super) plan: Digest,
    pub(super) drawn: Drawn,
}

/// What is done to the sums.
pub(super) enum Drawn {
    /// Noise is added, output by output.
    Noise(Vec<DrawnOutput>),
    /// None is: small cells are suppressed.
    Exact(Box<ExactGrant>),
}

/// Noise for one output.
pub struct DrawnOutput {
    /// The distribution.
    pub mechanism: Mechanism,
    /// σ of the Gaussian or b of the Laplace, in grid units.
    pub scale: f64,
    /// What one data subject may change, in grid units: the scale was bought for it.
    pub sensitivity: u64,
    /// The noise.
    pub noise: Fresh,
}

/// Draws in grid units that wait to be used. Zeroed when dropped.
pub type Waiting = zeroize::Zeroizing<Vec<i128>>;

/// Noise that was not used yet.
pub enum Fresh {
    /// One draw for each cell, in grid units.
    Cells(Vec<i128>),
    /// How many keys there are is not known before the records are read, so these are drawn one by one.
    Keys {
        /// Keys whose noisy count is below are not released, in grid units; see [`crate::federation::key_threshold`].
        threshold: i128,
        /// Keys released at most.
        released_max: usize,
        /// The next draw, in grid units; what it keeps for later is [`Waiting`].
        next: Box<dyn FnMut() -> Result<i128, Fault> + Send>,
    },
}

impl Draw {
    /// Noise for the plan of that digest.
    pub const fn new(plan: Digest, outputs: Vec<DrawnOutput>) -> Self {
        Self { plan, drawn: Drawn::Noise(outputs) }
    }

    /// No noise, for an exact table.
    ///
    /// # Privacy
    /// NOT differentially private. Only for what permit, policy and plan open it for, which the grant proves; used in `run.rs` of `node` only,
    /// or `ci/doors` fails.
    pub fn exact(granted: &ExactGrant) -> Self {
        Self { plan: granted.plan().digest(), drawn: Drawn::Exact(Box::new(granted.clone())) }
    }
}

impl Drop for Draw {
    fn drop(&mut self) {
        let Drawn::Noise(outputs) = &mut self.drawn else { return };
        for output in outputs {
            if let Fresh::Cells(noise) = &mut output.noise {
                zeroize::Zeroize::zeroize(noise);
            }
        }
    }
}

/// The noise distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Discrete Gaussian (Canonne, Kamath, Steinke, NeurIPS 2020); loss in ρ.
    DiscreteGaussian,
    /// Discrete Laplace; loss in ε.
    DiscreteLaplace,
    /// No noise: exact counts, small cells suppressed ([`crate::exact`]). Its name says it wherever an answer goes.
    #[serde(rename = "exact-not-differentially-private")]
    Exact,
}
