//! The claimed loss, measured from outside, and proof that the measure sees what it must.

use std::collections::BTreeMap;

use serde_json::json;
use spe_kernel::{disclosure::NO_KEY, plan::Plan, record::Contribution};
use spe_release::Accumulator;

mod canaries;
pub(crate) mod threshold;

use threshold::{ALPHA, Case, Claim, cases};

use crate::{
    path::answer,
    plans::{cells, drawn, histogram, plan},
    statistics::clopper_pearson,
};

const TRIALS: usize = 200_000;
const UNIT: f64 = (1 << 20) as f64;

/// Repeatable numbers (Steele et al., SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1), to 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// More than claimed would be a leak; far less, an audit that sees nothing or noise for nothing.
fn loses_what_it_is_charged(claim: Claim, least: &[f64]) {
    for (case, least) in cases().iter().zip(least) {
        let loss = case.audited_at_one(claim, case.trials(TRIALS));
        eprintln!("audit, {} at {}: loses at least {loss:.3} of a claimed 1", case.name, claim.of_one());
        assert!(loss <= 1.0, "{}: it is charged 1 and loses at least {loss}", case.name);
        assert!(loss >= *least, "{}: the audit sees only {loss} of a loss of 1: no test", case.name);
    }
}

/// μ = 1 is ρ = 1/2. The audit sees as much of many cells as of one: their projection.
#[test]
fn gaussian_loses_what_it_is_charged() {
    loses_what_it_is_charged(Claim::Mu, &[0.85; 10]);
}

/// All cells of one data subject must lean its way for the whole loss to show, which is the rarer the more there are.
#[test]
fn laplace_loses_what_it_is_charged() {
    loses_what_it_is_charged(Claim::Epsilon, &[0.9, 0.6, 0.88, 0.88, 0.6, 0.6, 0.85, 0.9, 0.9, 0.9]);
}

fn one(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).expect("a case")
}

#[test]
fn noise_ten_percent_too_small_is_noticed() {
    for (claim, name) in [
        (Claim::Mu, "one cell of a histogram"),
        (Claim::Mu, "vector"),
        (Claim::Mu, "variance"),
        (Claim::Epsilon, "one cell of a histogram"),
    ] {
        let case = one(name);
        let plan = case.plan(&claim.with_noise(0.9));
        let loss = case.audited(claim, &plan, &case.share(&plan), case.trials(TRIALS));
        eprintln!("audit, {name} with noise 10 % too small: loses at least {loss:.3}");
        assert!(loss > 1.0, "{name}, {claim:?}: noise 10 % too small passes with {loss}");
    }
}

/// Without the clip a vector has its norm in each of its coordinates: it is only scaled down until its largest has.
#[test]
fn a_clip_that_is_missing_is_noticed() {
    for claim in [Claim::Mu, Claim::Epsilon] {
        let case = one("vector");
        let plan = case.plan(claim.of_one());
        let loss = case.audited(claim, &plan, &[1 << 20; 4], TRIALS / 4);
        assert!(loss > 1.0, "{claim:?}: a vector without a clip passes with {loss}");
    }
    let case = one("vector");
    let plan = case.plan(Claim::Mu.of_one());
    let wider: Vec<i128> = case.share(&plan).iter().map(|x| x * 11 / 10).collect();
    let loss = case.audited(Claim::Mu, &plan, &wider, case.trials(TRIALS));
    assert!(loss > 1.0, "a clip 10 % too wide passes with {loss}");
}

#[test]
fn a_person_counted_twice_is_noticed() {
    for claim in [Claim::Mu, Claim::Epsilon] {
        let case = one("one cell of a histogram");
        let plan = case.plan(claim.of_one());
        let people: Vec<Vec<f64>> = (0..10_000).flat_map(|i| [vec![f64::from(i)], vec![f64::from(i)]]).collect();
        let loss = case.audited(claim, &plan, &cells(&plan, &people), TRIALS / 4);
        assert!(loss > 1.0, "{claim:?}: one person counted twice passes with {loss}");
    }
}

/// Two questions at half the loss each; the data subject is in the first answer only. With the same noise in both, their difference
/// tells who is there.
#[test]
fn noise_that_is_used_twice_is_noticed() {
    for (claim, half) in [(Claim::Mu, "rho=0.25"), (Claim::Epsilon, "epsilon=0.5")] {
        let plan = plan(&histogram(10_000, 1), 20, half);
        let draw = || drawn(&plan.outputs()[0]).1;
        let scores = |reuse: bool, person: f64| {
            let pairs = || {
                let first = draw();
                let second = if reuse { first.clone() } else { draw() };
                first.into_iter().zip(second)
            };
            let score = |(first, second): (i128, i128)| person + (first - second) as f64 / UNIT;
            (0..TRIALS / 40_000).flat_map(|_| pairs().map(score)).collect::<Vec<f64>>()
        };
        let loss = |reuse| claim.audited(&scores(reuse, 1.0), &scores(reuse, 0.0));
        let honest = loss(false);
        assert!(honest <= 1.0, "{claim:?}: two draws lose {honest}");
        assert!(loss(true) > 1.0, "{claim:?}: one draw for two questions passes");
    }
}

/// The textbook's sampler, −b·sign·ln(1 − 2|u|) in `f64`, can be read off low mantissa bits (Mironov, CCS 2012): near 0 it gives
/// numbers that 1 plus noise cannot.
#[test]
fn a_textbook_laplace_is_noticed() {
    let mut random = Random(2);
    let mut noise = || {
        let u = random.uniform() - 0.5;
        -u.signum() * (1.0 - 2.0 * u.abs()).ln()
    };
    let is_fine = |x: f64| f64::from(u8::from((x * 2.0_f64.powi(53)).fract() != 0.0));
    let textbook = |truth: f64, noise: &mut dyn FnMut() -> f64| -> Vec<f64> {
        (0..TRIALS).map(|_| is_fine(truth + noise())).collect()
    };
    let (with, without) = (textbook(1.0, &mut noise), textbook(0.0, &mut noise));
    assert!(Claim::Epsilon.audited(&without, &with) > 1.0, "no power: a textbook sampler passes");
    let (plan, mut waiting) = (plan(&histogram(10_000, 1), 20, "epsilon=1"), Vec::new());
    let mut ours = || loop {
        match waiting.pop() {
            Some(z) => break z as f64 / UNIT,
            None => waiting = drawn(&plan.outputs()[0]).1,
        }
    };
    let odd = |x: f64| f64::from(u8::from((x * UNIT / 2.0).fract() != 0.0));
    let mut bits = |truth: f64| (0..TRIALS).map(|_| odd(truth + ours())).collect::<Vec<f64>>();
    let (with, without) = (bits(1.0), bits(0.0));
    let loss = Claim::Epsilon.audited(&with, &without).max(Claim::Epsilon.audited(&without, &with));
    assert!(loss < 0.1, "the lowest bit of our noise tells {loss}");
}

/// Noise for a sum, divided by the true number of people: that number shows in how wide it is.
#[test]
fn a_mean_with_the_true_number_is_noticed() {
    let plan = plan(&histogram(10_000, 1), 20, "epsilon=1");
    let width = |people: f64| -> Vec<f64> {
        let draws = (0..TRIALS / 10_000).flat_map(|_| drawn(&plan.outputs()[0]).1);
        draws.map(|z| (z as f64 / UNIT / people).abs()).collect()
    };
    // Everybody's number is 0, so that the sum is too.
    let loss = Claim::Epsilon.audited(&width(1.0), &width(2.0));
    assert!(loss > 1.0, "no power: a mean that is divided by the true number of people passes with {loss}");
}

/// Nothing between contribution and merged answer adds to what the noise pays for.
#[test]
fn canaries_cannot_be_told_by_more_than_the_loss() {
    let mu = canaries::guessed(&canaries::vector("rho=0.5"), 8, 1);
    eprintln!("audit in one run, 8 × 10,000 canaries: loses at least {mu:.3} of a claimed 1");
    assert!((0.9..=1.0).contains(&mu), "canaries lose at least {mu} of a claimed 1");
    let less = canaries::guessed(&canaries::vector(&Claim::Mu.with_noise(0.9)), 8, 1);
    assert!(less > 1.0, "no power: noise 10 % too small passes with {less}");
    let twice = canaries::guessed(&canaries::vector("rho=0.5"), 1, 2);
    assert!(twice > 1.0, "no power: a canary that is counted twice passes with {twice}");
}

/// Keys that one person each has, in one release: every one is a trial, of the whole path.
fn lone_keys(loss: &str, m: u32) -> u64 {
    let plan = plan(&json!({"name": "o", "kind": "keys", "released_max": 8_192, "per_subject": m}), 20, loss);
    let mut sums = Accumulator::new(&plan);
    for person in 0..LONE_KEYS / m {
        let keys: Vec<f64> = (0..m).map(|key| f64::from(person * m + key)).collect();
        sums.add(Contribution::Numbers(&keys));
    }
    let shown = answer(&plan, "north", sums);
    let shown = shown.outputs[0].cells.0.as_chunks::<2>().0.iter().map(|[key, _]| *key).filter(|key| *key != NO_KEY);
    // A person is betrayed by any key.
    let betrayed: BTreeMap<i128, ()> = shown.map(|key| (key / i128::from(m), ())).collect();
    betrayed.len() as u64
}

const LONE_KEYS: u32 = 200_000;

/// A key that one person has shows that the person is there. That it happens more often than with the δ that was paid would be a
/// leak; that it hardly ever happens, keys that are withheld for nothing.
#[test]
fn keys_are_released_with_probability_delta() {
    for (loss, m) in [("rho=0.5", 1), ("rho=0.5", 4), ("epsilon=1", 1), ("epsilon=1", 4)] {
        let (shown, people) = (lone_keys(&format!("{loss},delta=0.002"), m), u64::from(LONE_KEYS / m));
        let (least, most) = clopper_pearson(shown, people, ALPHA / 2.0);
        eprintln!(
            "audit, {loss}, {m} keys a person: {shown} of {people} shown, δ at least {least:.6} of a claimed 0.002"
        );
        assert!(least <= 0.002, "{loss}, {m} keys: shown with probability {least} or more, for a δ of 0.002");
        assert!(most >= 0.0017, "{loss}, {m} keys: shown with probability {most} at most; a δ of 0.002 was paid");
    }
}

/// The same count of lone keys that pass, with thresholds that are wrong.
#[test]
fn a_threshold_that_is_too_low_is_noticed() {
    let leaks = |plan: &Plan, one: i128, threshold: i128, delta: f64| {
        let draws = (0..20).flat_map(|_| drawn(&plan.outputs()[0]).1);
        let shown = draws.filter(|z| one + z >= threshold).count() as u64;
        clopper_pearson(shown, 200_000, ALPHA).0 > delta
    };
    // One person less than needed, on the fine grid.
    let keys = plan(&json!({"name": "o", "kind": "keys", "released_max": 1}), 20, "rho=0.5,delta=0.002");
    let counts = plan(&histogram(10_000, 1), 20, "rho=0.5");
    let threshold = spe_kernel::federation::key_threshold(&keys.outputs()[0], UNIT);
    assert!(!leaks(&counts, 1 << 20, threshold, 0.002));
    assert!(leaks(&counts, 1 << 20, threshold - (1 << 20), 0.002), "no power: one person less passes");
    // The tail of `>` for what is shown at `>=`, on the grid of whole people, where b = 1: opendp 0.16 (opendp/opendp#2922).
    let tail = |k: f64| (-k).exp() / (1.0 + (-1.0_f64).exp());
    let counts = plan(&histogram(10_000, 1), 0, "epsilon=1");
    let strictly_above = (1_i32..).find(|t| tail(f64::from(*t)) <= 0.002).unwrap();
    assert!(leaks(&counts, 1, i128::from(strictly_above), 0.002), "no power: `>` for `>=` passes");
    assert!(!leaks(&counts, 1, i128::from(strictly_above) + 1, 0.002));
}
