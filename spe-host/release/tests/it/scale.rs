//! The noise scale is what the loss buys, exactly.

use dashu::rational::RBig;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use spe_kernel::{
    disclosure::Mechanism,
    federation::nominal_scale,
    plan::Planned,
    units::{Loss, Measure, PICO_PER_UNIT},
};
use spe_release::noise;

use crate::plans::{drawn, every_kind, histogram, plan};

/// Of [`spe_kernel::federation`]: a node whose scale is off by more is left out of the merge.
const SLACK: f64 = 1e-6;

/// The loss of a scale in exact rationals, from the definition and not from opendp's map.
fn exact_loss(planned: &Planned, scale: f64) -> RBig {
    let ratio = RBig::from(planned.sensitivity()) / RBig::try_from(scale).unwrap();
    match planned.loss.measure() {
        Measure::Zcdp => ratio.pow(2) / RBig::from(2),
        Measure::Pure => ratio,
    }
}

fn planned_loss(planned: &Planned) -> RBig {
    RBig::from(planned.loss.pico()) / RBig::from(PICO_PER_UNIT)
}

/// Losses over all magnitudes that the ledger can hold, and sensitivities from 1 to 4·10¹⁵.
fn any_planned() -> impl Strategy<Value = Planned> {
    let loss = (0_u32..64, any::<u64>(), any::<bool>()).prop_map(|(shift, pico, pure)| {
        let measure = if pure { Measure::Pure } else { Measure::Zcdp };
        Loss::from_pico(measure, (pico >> shift).max(1))
    });
    (loss, 0_u8..=22, 0_usize..7, -9.0..9.0_f64).prop_map(|(loss, bits, kind, magnitude)| {
        let upper = 10_f64.powf(magnitude);
        let output = every_kind((-upper, upper))[[0, 1, 2, 5, 7, 9, 11][kind]].clone();
        plan(&output, bits, &loss.to_string()).outputs()[0].clone()
    })
}

/// A scale that is smaller than the loss buys is a leak; one that is larger is noise for nothing or a node left out.
#[test]
fn no_scale_buys_more_than_its_loss() {
    let mut runner = TestRunner::deterministic();
    let (mut raised, mut same) = (0, 0);
    for _ in 0..10_000 {
        let planned = any_planned().new_tree(&mut runner).unwrap().current();
        let (scale, _) = drawn(&planned);
        let (nominal, loss) = (nominal_scale(&planned), planned_loss(&planned));
        assert!(exact_loss(&planned, scale) <= loss, "scale {} is too small for {planned:?}", scale);
        assert!((nominal..=nominal * (1.0 + SLACK)).contains(&scale), "{} for {nominal}, {planned:?}", scale);
        let below = scale.next_down();
        let smallest = below < nominal || opendp_loss(&planned, below) > loss;
        assert!(smallest, "{below} would have been enough for {planned:?}");
        if exact_loss(&planned, nominal) > loss { raised += 1 } else { same += 1 }
    }
    eprintln!("scale: the nominal one was too small {raised} times of 10,000");
    assert!(
        raised > 1_000 && same > 1_000,
        "the nominal scale was too small {raised} times and enough {same} times: no test"
    );
}

/// What opendp's map says, as a rational.
fn opendp_loss(planned: &Planned, scale: f64) -> RBig {
    use opendp::{domains::*, measurements::*, measures::*, metrics::*};
    let space = VectorDomain::new(AtomDomain::<dashu::integer::IBig>::default());
    let c = RBig::from(planned.sensitivity());
    let loss = match planned.loss.measure() {
        Measure::Zcdp => {
            make_gaussian::<_, _, ZeroConcentratedDivergence>(space, L2Distance::<RBig>::default(), scale, None)
                .unwrap()
                .map(&c)
        }
        Measure::Pure => {
            make_laplace::<_, _, MaxDivergence>(space, L1Distance::<RBig>::default(), scale, None).unwrap().map(&c)
        }
    };
    RBig::try_from(loss.unwrap()).unwrap()
}

proptest! {
    /// opendp's map answers an `f64`: it must lie at or above the exact loss, and barely.
    #[test]
    fn opendp_rounds_up(planned in any_planned()) {
        let scale = nominal_scale(&planned);
        let (exact, map) = (exact_loss(&planned, scale), opendp_loss(&planned, scale));
        prop_assert!(map >= exact, "opendp understates: {map} < {exact}");
        prop_assert!(map <= exact * (RBig::ONE + RBig::try_from(1e-15).unwrap()));
    }
}

/// Each measure has its own distribution, and each cell its own draw.
#[test]
fn every_cell_has_its_own_noise() {
    for (loss, mechanism) in [("rho=0.1", Mechanism::DiscreteGaussian), ("epsilon=0.1", Mechanism::DiscreteLaplace)] {
        let plan = plan(&histogram(1_000, 1), 20, loss);
        let planned = &plan.outputs()[0];
        assert_eq!(noise(planned).unwrap().mechanism, mechanism);
        let ((_, one), (_, other)) = (drawn(planned), drawn(planned));
        let distinct: std::collections::BTreeSet<i128> = one.iter().chain(&other).copied().collect();
        assert!(
            one.len() == 1_000 && distinct.len() > 1_990,
            "noise was used twice: {} of 2000 differ",
            distinct.len()
        );
    }
}
