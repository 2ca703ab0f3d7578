//! What a loss is called elsewhere, against opendp's own conversion.

use dashu::{integer::IBig, rational::RBig};
use opendp::{
    combinators::make_zCDP_to_approxDP,
    domains::{AtomDomain, VectorDomain},
    measurements::make_gaussian,
    measures::ZeroConcentratedDivergence,
    metrics::L2Distance,
};
use spe_kernel::{
    conversion::{epsilon_at, noise_sd},
    statistic::cells_of_people,
    units::{Loss, Measure},
};

use crate::plans::{every_kind, plan, wide_kinds};

/// An ε that is smaller than opendp's would be a promise that nobody proved; a larger one would make the product look worse than it
/// is.
#[test]
fn epsilon_is_opendps() {
    let space = VectorDomain::new(AtomDomain::<IBig>::default());
    for pico in [1_u64, 1_000, 1_000_000_000, 10_000_000_000, 243_000_000_000, 500_000_000_000, 5 << 40, 100 << 40] {
        let rho = Loss::from_pico(Measure::Zcdp, pico);
        // Of sensitivity 1, at the scale that loses ρ: opendp's map rounds up.
        let scale = (0.5 / rho.approx()).sqrt();
        let gaussian = make_gaussian::<_, _, ZeroConcentratedDivergence>(
            space.clone(),
            L2Distance::<RBig>::default(),
            scale,
            None,
        );
        let profile = make_zCDP_to_approxDP(gaussian.unwrap()).unwrap().map(&RBig::ONE).unwrap();
        for delta in [0.1, 1e-3, 1e-5, 1e-6, 1e-7, 1e-9, 1e-12] {
            let (ours, theirs) = (epsilon_at(rho, delta).epsilon, profile.epsilon(delta).unwrap());
            assert!(ours >= theirs * (1.0 - 1e-8), "ρ = {rho}, δ = {delta}: {ours} < {theirs}");
            assert!((ours - theirs).abs() <= 1e-6 * theirs, "ρ = {rho}, δ = {delta}: {ours} for {theirs}");
        }
    }
}

/// Up to how many counts a ledger in ε has the smaller noise, at δ = 10⁻⁶: what `docs/privacy.md` says of choosing one.
#[test]
fn laplace_and_gaussian_cross_where_the_documents_say() {
    for (epsilon, expected) in [(0.1, 7.8), (0.5, 9.4), (1.0, 10.3), (2.0, 11.3), (4.0, 12.9)] {
        let [(_, laplace), (_, gaussian)] = noise_sd(1, epsilon, 1e-6);
        let crossover = (gaussian / laplace).powi(2);
        eprintln!("conversion: at ε = {epsilon} the ledger in ε is better below {crossover:.1} counts");
        assert!((crossover / expected - 1.0).abs() < 0.01, "{crossover} for {expected}");
        let cheaper = |counts: u32| {
            let [(_, laplace), (_, gaussian)] = noise_sd(counts, epsilon, 1e-6);
            laplace < gaussian
        };
        assert!(cheaper(crossover as u32) && !cheaper(crossover as u32 + 1), "it does not cross at {crossover}");
    }
}

/// Within a ledger in ρ, Laplace noise of standard deviation s costs at least twice the Gaussian's ρ: b = s/√2 loses ε = C₁/b, which is
/// ρ = ε²/2 = C₁²/s² (Bun & Steinke, TCC 2016, proposition 1.4), against C₂²/(2s²) — and C₁ ≥ C₂ for every vector. Where the cells differ,
/// what counts is s on a number of people. A kind of which this were not true would need another choice of mechanism.
#[test]
fn within_a_ledger_in_rho_the_gaussian_is_cheaper_for_every_kind() {
    for output in every_kind((-3.7, 2.2)).iter().chain(&wide_kinds()) {
        // On the grid of whole units a variance's 3/2 is rounded up to 2.
        for (bits, times) in [(0, 1.0), (1, 2.0), (10, 2.0), (20, 2.0), (22, 2.0)] {
            // What all noise is worth if that on a number of people is to be 1.
            let sensitivity = |loss| {
                let plan = plan(output, bits, loss);
                let planned = &plan.outputs()[0];
                let cells = cells_of_people(&planned.output.kind, planned.loss.measure());
                planned.sensitivity() as f64 * f64::from(cells).sqrt()
            };
            let (l2, l1) = (sensitivity("rho=0.5"), sensitivity("epsilon=1"));
            for sd in [1e-3, 1.0, 1e3, 1e9] {
                let (gaussian, laplace) = ((l2 / sd).powi(2) / 2.0, (l1 * std::f64::consts::SQRT_2 / sd).powi(2) / 2.0);
                assert!(
                    laplace >= times * gaussian * (1.0 - 1e-12),
                    "{output} on grid {bits}: ρ = {laplace} against {gaussian}"
                );
            }
        }
    }
}
