//! What can be told from what is seen, and how surely.

use std::time::Duration;

/// How often a sound node may fail a test of times, at each test.
const FALSE_ALARM: f64 = 1e-6;

/// The largest distance of two empirical distributions (Kolmogorov and Smirnov).
pub fn distance(a: &[Duration], b: &[Duration]) -> f64 {
    let share = |of: &[Duration], at: &Duration| of.iter().filter(|x| *x <= at).count() as f64 / of.len() as f64;
    a.iter().chain(b).map(|at| (share(a, at) - share(b, at)).abs()).fold(0.0, f64::max)
}

/// A distance that samples of one distribution exceed with probability [`FALSE_ALARM`] at most: with 2·e^(−2λ²) (Smirnov), which
/// is an upper bound for samples of equal size from five on.
pub fn distance_max(a: &[Duration], b: &[Duration]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    ((2.0 / FALSE_ALARM).ln() / 2.0 * (n + m) / (n * m)).sqrt()
}

/// How well a clock tells `a` from `b`: the chance that a time of `b` is longer than one of `a` (area under the curve); 1/2 is not
/// at all.
pub fn advantage(a: &[Duration], b: &[Duration]) -> f64 {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    let wins = pairs.map(|(a, b)| if b > a { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 });
    wins.sum::<f64>() / (a.len() * b.len()) as f64
}

/// How far the advantage may be from 1/2 by chance, with probability [`FALSE_ALARM`]: 4.9 standard deviations of the rank sum
/// (Mann and Whitney).
pub fn advantage_slack(a: &[Duration], b: &[Duration]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    4.9 * ((n + m + 1.0) / (12.0 * n * m)).sqrt()
}

/// Whether times tell nothing.
pub fn indistinguishable(what: &str, a: &[Duration], b: &[Duration]) -> Result<(), String> {
    if a.is_empty() && b.is_empty() {
        return Ok(());
    }
    let (distance, most) = (distance(a, b), distance_max(a, b));
    if distance > most {
        return Err(format!("{what}: {distance:.2} apart, at most {most:.2} by chance\n{a:?}\n{b:?}"));
    }
    let (advantage, slack) = (advantage(a, b), advantage_slack(a, b));
    if (advantage - 0.5).abs() > slack {
        return Err(format!("{what}: advantage {advantage:.2}, by chance within {slack:.2} of 1/2\n{a:?}\n{b:?}"));
    }
    Ok(())
}

fn milliseconds(times: impl IntoIterator<Item = u64>) -> Vec<Duration> {
    times.into_iter().map(Duration::from_millis).collect()
}

/// Equal samples are equal, and a shift of everything is seen with 20 of each.
#[test]
fn the_statistics_see_what_is_there() {
    let a = milliseconds((0..20).map(|i| 100 + i % 7));
    assert_eq!((distance(&a, &a), advantage(&a, &a)), (0.0, 0.5));
    let later = milliseconds((0..20).map(|i| 150 + i % 7));
    assert!(distance(&a, &later) > distance_max(&a, &later), "a shift by a slot would not be seen");
    assert!(
        advantage(&a, &later) - 0.5 > advantage_slack(&a, &later),
        "a classifier that is always right would not be seen"
    );
}

/// A bug of the tests would be: alarms where there is nothing, more often than declared. 2,000 pairs of samples of one
/// distribution give none; with the probability that is declared there would be one in 250 such tests.
#[test]
fn the_statistics_raise_no_false_alarms() {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 1_000
    };
    for _ in 0..2_000 {
        let (a, b) = (milliseconds((0..20).map(|_| random())), milliseconds((0..20).map(|_| random())));
        indistinguishable("nothing", &a, &b).unwrap();
    }
}
