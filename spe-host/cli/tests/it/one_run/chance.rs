//! What chance explains.

/// How often an audit may blame a node that is sound.
const FALSE_ALARM: f64 = 1e-6;

/// The largest probability that is too small for `hits` of `trials`, but for chance (Clopper and Pearson, one-sided).
pub fn at_least(hits: usize, trials: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if tail(hits, trials, middle) < FALSE_ALARM { low = middle } else { high = middle }
    }
    low
}

/// P[Bin(trials, p) ≥ hits], term by term; 1 where it is about a half or more.
fn tail(hits: usize, trials: usize, p: f64) -> f64 {
    if hits as f64 <= trials as f64 * p {
        return 1.0;
    }
    let ln_choose: f64 = (0..hits).map(|i| ((trials - i) as f64 / (i + 1) as f64).ln()).sum();
    let mut term = (ln_choose + hits as f64 * p.ln() + (trials - hits) as f64 * (1.0 - p).ln()).exp();
    let mut sum = 0.0;
    for k in hits..=trials {
        sum += term;
        term *= (trials - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    sum
}

/// The numbers that [`super`] plans with. What would be a bug: an audit that blames a sound node more often than it says, or later.
#[test]
fn a_node_is_blamed_from_15_703_right_guesses_on() {
    assert!(at_least(15_702, 16_665) <= super::RIGHT_MAX && at_least(15_703, 16_665) > super::RIGHT_MAX);
    // All right: p^n = 10⁻⁶.
    assert!((at_least(3_333, 3_333) - 1e-6_f64.powf(1.0 / 3_333.0)).abs() < 1e-9);
}
