//! What can be told from what is seen, and how surely.

use std::{collections::BTreeMap, time::Duration};

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

/// How well two samples are told apart, and how often samples of one distribution are told apart so well.
#[derive(Debug, Clone, Copy)]
pub struct Compared {
    pub distance: f64,
    pub distance_p: f64,
    pub advantage: f64,
    pub advantage_p: f64,
}

/// Compares two samples, neither of them empty. Where all times are equal, both chances are 1.
pub fn compare(a: &[Duration], b: &[Duration]) -> Compared {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (distance, advantage) = (distance(a, b), advantage(a, b));
    let root = (n * m / (n + m)).sqrt();
    // The correction for samples that are not endless is Stephens' (1970).
    let distance_p = kolmogorov((root + 0.12 + 0.11 / root) * distance);
    let spread = rank_variance(a, b).sqrt();
    let advantage_p = if spread > 0.0 { normal_two_sided((advantage - 0.5) / spread) } else { 1.0 };
    Compared { distance, distance_p, advantage, advantage_p }
}

/// The variance of the advantage under the null, with its correction for ties.
fn rank_variance(a: &[Duration], b: &[Duration]) -> f64 {
    let (n, m, mut ties) = (a.len() as f64, b.len() as f64, BTreeMap::new());
    a.iter().chain(b).for_each(|at| *ties.entry(at).or_insert(0.0_f64) += 1.0);
    let tied: f64 = ties.values().map(|t| t.powi(3) - t).sum();
    (n + m + 1.0 - tied / ((n + m) * (n + m - 1.0))) / (12.0 * n * m)
}

/// The chance that Kolmogorov's statistic exceeds `lambda`.
fn kolmogorov(lambda: f64) -> f64 {
    if lambda < 0.3 {
        return 1.0;
    }
    let term = |k: i32| f64::from(k % 2 * 2 - 1) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (2.0 * (1..=30).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

/// The chance that a standard normal number is farther from 0 than `z` (Abramowitz & Stegun 7.1.26, within 1.5·10⁻⁷).
pub fn normal_two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let of_t = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    of_t.iter().fold(0.0, |sum, a| (sum + a) * t) * (-x * x).exp()
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

/// Random times below a second: linear congruences.
fn random_times() -> impl FnMut(usize) -> Vec<Duration> {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 1_000
    };
    move |count| milliseconds((0..count).map(|_| random()))
}

/// A bug of the tests would be: alarms where there is nothing, more often than declared. 2,000 pairs of samples of one
/// distribution give none; with the probability that is declared there would be one in 250 such tests.
#[test]
fn the_statistics_raise_no_false_alarms() {
    let mut random = random_times();
    for _ in 0..2_000 {
        indistinguishable("nothing", &random(20), &random(20)).unwrap();
    }
}

/// Bugs of the tests would be: chances that are not those of the tables; fewer small ones under the null than they say, or more; a
/// third of all times that come half a second later, and 200 of each do not show it.
#[test]
fn the_chances_are_what_they_say() {
    assert!((normal_two_sided(1.959_964) - 0.05).abs() < 1e-6 && (kolmogorov(1.358_1) - 0.05).abs() < 1e-4);
    let (mut random, mut small) = (random_times(), [0; 2]);
    for _ in 0..1_000 {
        let compared = compare(&random(200), &random(200));
        small[0] += i32::from(compared.distance_p <= 0.05);
        small[1] += i32::from(compared.advantage_p <= 0.05);
    }
    // Of 1,000, 50 ± 7; distances go in steps, so that theirs are a few less.
    assert!(small.iter().all(|count| (20..85).contains(count)), "{small:?}");
    let (a, mut b) = (random(200), random(200));
    b.iter_mut().take(60).for_each(|at| *at += Duration::from_millis(500));
    let seen = compare(&a, &b);
    assert!(seen.distance_p < 1e-2 && seen.advantage_p < 1e-2, "{seen:?}");
    let same = vec![Duration::from_millis(50); 200];
    let same = compare(&same, &same);
    assert_eq!((same.distance_p, same.advantage, same.advantage_p), (1.0, 0.5, 1.0));
}
