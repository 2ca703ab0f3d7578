//! Noise, drawn for a plan before any sum is known.

use dashu::{integer::IBig, rational::RBig};
use opendp::{
    core::{Measure, Measurement, Metric, MetricSpace},
    domains::{AtomDomain, VectorDomain},
    error::Fallible,
};
use spe_kernel::{
    disclosure::{Draw, DrawnOutput, Fresh, Waiting},
    fault::Fault,
    federation::{key_threshold, mechanism, nominal_scale},
    manifest::Kind,
    plan::{Plan, Planned},
    units::{self, Loss, PICO_PER_UNIT},
};

use crate::{gaussian::gaussian, laplace::laplace};

/// Vectors of big integers, which cannot overflow or saturate.
pub(crate) type Integers = VectorDomain<AtomDomain<IBig>>;
/// A mechanism of opendp that adds noise to such a vector.
pub(crate) type Noise<MI, MO> = Measurement<Integers, MI, MO, Vec<IBig>>;

/// How often the scale may be raised by one step of `f64` before something must be wrong; 3 steps are enough.
const STEPS_MAX: usize = 16;

/// Noise for every cell of `plan`.
///
/// # Privacy
/// Assumption: opendp's samplers are exact and its generator (ChaCha20, seeded and reseeded by the operating system) is
/// indistinguishable from random. Claim: independent noise at the smallest scale that each output's loss buys. Reads no
/// record: neither values nor time taken depend on one; zeroed when dropped. Watched by `path`, `scale`, `goodness`, `zeroed` and
/// `audit`.
///
/// # Errors
/// A fault in opendp. It depends on plan and noise only.
pub fn draw(plan: &Plan) -> Result<Draw, Fault> {
    let outputs = plan.outputs().iter().map(noise).collect::<Result<_, _>>()?;
    Ok(Draw::new(plan.digest(), outputs))
}

/// Noise for every cell of one output; [`draw`] is made of these.
///
/// # Privacy
/// As [`draw`]. Open to all because noise that no sum will meet tells nothing: an analyst may see how large it would be.
///
/// # Errors
/// As [`draw`].
pub fn noise(planned: &Planned) -> Result<DrawnOutput, Fault> {
    match planned.loss.measure() {
        units::Measure::Zcdp => buy(planned, gaussian as fn(f64) -> _),
        units::Measure::Pure => buy(planned, laplace as fn(f64) -> _),
    }
}

/// # Privacy
/// Claim: the scale is the first `f64` at or above the nominal one for which opendp's own map of the sensitivity is at most
/// the loss. What is charged is thus what opendp proves, not what a formula says. Watched by
/// `scale::no_scale_buys_more_than_its_loss`.
fn buy<MI, MO>(planned: &Planned, make: fn(f64) -> Fallible<Noise<MI, MO>>) -> Result<DrawnOutput, Fault>
where
    MI: Metric<Distance = RBig> + 'static,
    MO: Measure<Distance = f64> + 'static,
    (Integers, MI): MetricSpace,
{
    let sensitivity = RBig::from(planned.sensitivity());
    let mut scale = nominal_scale(planned);
    for _ in 0..STEPS_MAX {
        let measurement = make(scale).map_err(Fault::while_("making a noise mechanism"))?;
        let loss = measurement.map(&sensitivity).map_err(Fault::while_("asking what noise is worth"))?;
        if within(loss, planned.loss) {
            return drawn(planned, scale, make);
        }
        scale = scale.next_up();
    }
    Err(Fault::new("choosing a noise scale", "no scale near the nominal one is private enough"))
}

/// Whether `amount` is at most `loss`.
///
/// # Privacy
/// Claim: exact; an infinite or undefined amount is not within any loss. Watched by
/// `scale::no_scale_buys_more_than_its_loss`.
fn within(amount: f64, loss: Loss) -> bool {
    RBig::try_from(amount).is_ok_and(|amount| amount * RBig::from(PICO_PER_UNIT) <= RBig::from(loss.pico()))
}

/// Draws that are taken at once where it is not known how many are needed.
const KEYS_AT_ONCE: usize = 1_024;

fn drawn<MI, MO>(planned: &Planned, scale: f64, make: fn(f64) -> Fallible<Noise<MI, MO>>) -> Result<DrawnOutput, Fault>
where
    MI: Metric + 'static,
    MO: Measure + 'static,
    (Integers, MI): MetricSpace,
{
    let noise = match &planned.output.kind {
        Kind::Keys(keys) => {
            let mut waiting = Waiting::default();
            let next = move || {
                if waiting.is_empty() {
                    waiting = Waiting::new(sample(KEYS_AT_ONCE, scale, make)?);
                }
                waiting.pop().ok_or_else(|| Fault::new("drawing noise", "the sampler gave nothing"))
            };
            let released_max = usize::try_from(keys.released_max).map_err(Fault::while_("drawing noise"))?;
            Fresh::Keys { threshold: key_threshold(planned, scale), released_max, next: Box::new(next) }
        }
        kind => Fresh::Cells(sample(kind.cells(), scale, make)?),
    };
    Ok(DrawnOutput { mechanism: mechanism(planned.loss.measure()), scale, sensitivity: planned.sensitivity(), noise })
}

/// # Privacy
/// Claim: what the measurement adds to zeros, unchanged. Watched by `goodness`.
fn sample<MI, MO>(cells: usize, scale: f64, make: fn(f64) -> Fallible<Noise<MI, MO>>) -> Result<Vec<i128>, Fault>
where
    MI: Metric + 'static,
    MO: Measure + 'static,
    (Integers, MI): MetricSpace,
{
    let zeros = vec![IBig::ZERO; cells];
    let measurement = make(scale).map_err(Fault::while_("making a noise mechanism"))?;
    let drawn = measurement.invoke(&zeros).map_err(Fault::while_("drawing noise"))?;
    let noise = drawn.into_iter().map(i128::try_from).collect::<Result<_, _>>();
    noise.map_err(Fault::while_("drawing noise"))
}

#[cfg(test)]
mod tests {
    use spe_kernel::units::Measure;

    use super::*;

    #[test]
    fn no_loss_covers_what_is_not_finite() {
        let largest = Loss::from_pico(Measure::Zcdp, u64::MAX);
        assert!(within(1.0, largest) && !within(f64::INFINITY, largest) && !within(f64::NAN, largest));
    }
}
