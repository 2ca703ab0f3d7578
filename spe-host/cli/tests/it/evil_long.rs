//! Row 1, at length: 200 runs of every attack with the target and without, and the table that says how well they are told apart.
//!
//! What would be a bug: one of the leaks that [`Series::leak`] looks for; times that a sample of 200 tells apart more surely than chance
//! would, given how many comparisons there are; a clock that on average over all attacks is right in more than 55 cases of 100.
//!
//! No comparison decides alone: of 40 sound ones, each with one chance in 100, some one fails in every third run, and the area under the curve
//! of 200 times on each side lies outside [0.45, 0.55] by chance in 8 cases of 100. So all are shown, and counted beside what chance would
//! give. What decides is the smallest of all chances times their number (Bonferroni; Holm's method rejects something exactly where this
//! does), and the mean of the areas, whose spread is a quarter of each one's.

use std::time::Duration;

use spe_node::selftest::watch::Times;

use crate::{
    evil::{Series, try_all},
    observable::{Compared, compare, normal_two_sided},
};

const RUNS: usize = 200;
/// Row 1: a chance above this, and an area under the curve within so much of 1/2.
const CHANCE: f64 = 0.01;
const AREA: f64 = 0.05;

/// One attack's times, compared.
struct Row {
    /// To the microsecond: what the clock of whoever waits shows.
    clock: Compared,
    /// In slots, as answers are held.
    slots: Compared,
    /// How many times were compared on each side.
    times: [usize; 2],
    /// After how many slots they left.
    left_after: Vec<u128>,
}

impl Row {
    /// None where nothing was charged.
    fn of(series: &Series, kept: &[usize]) -> Option<Self> {
        let pace = series.pace;
        let in_slots = |times: &Times| Duration::from_millis(times.slots(&pace).unsigned_abs());
        let of = |time: &dyn Fn(&Times) -> Duration| ["with", "without"].map(|world| series.times(world, kept, time));
        let [with, without] = of(&Times::since_charge);
        let [slots_with, slots_without] = of(&in_slots);
        if with.is_empty() {
            return None;
        }
        let mut left_after: Vec<_> = slots_with.iter().chain(&slots_without).map(Duration::as_millis).collect();
        left_after.sort_unstable();
        left_after.dedup();
        let times = [with.len(), without.len()];
        let (clock, slots) = (compare(&with, &without), compare(&slots_with, &slots_without));
        Some(Self { clock, slots, times, left_after })
    }

    /// How often the area of a sound node's times is farther from 1/2 than [`AREA`].
    fn outside_by_chance(&self) -> f64 {
        let [n, m] = self.times.map(|count| count as f64);
        normal_two_sided(AREA / self.spread(n, m))
    }

    /// The standard deviation of the area under the curve, without ties.
    fn spread(&self, n: f64, m: f64) -> f64 {
        ((n + m + 1.0) / (12.0 * n * m)).sqrt()
    }
}

/// What else is the same: messages, charges, and rows of the ledger with their bytes.
fn same(series: &Series, kept: &[usize]) -> String {
    let of = |world: &str| {
        let shown = &series.worlds[world];
        let (first, rest) = kept.first().map_or((0, 0), |i| {
            let run = &shown.runs[*i];
            (run.len(), run.iter().map(|seen| seen.bytes.len()).sum::<usize>())
        });
        let (rows, bytes) = shown.ledger.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        format!("{first} | {rest} | {} | {rows} | {bytes}", shown.books.0)
    };
    let (with, without) = (of("with"), of("without"));
    if with == without { with } else { format!("{with} ({without})") }
}

#[test]
#[ignore = "takes three quarters of an hour: run by hand, with --ignored"]
fn two_hundred_runs_of_every_attack_tell_nothing() {
    println!("| attack | runs | KS | p | area | p | slots | p, p | messages | bytes | pico | rows | bytes |");
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let (all, mut rows, mut leaks) = (try_all(RUNS), Vec::new(), Vec::new());
    for (name, series) in &all {
        let kept = series.kept().unwrap();
        let head = format!("| `{name}` | {}", kept.len());
        let same = same(series, &kept);
        match Row::of(series, &kept) {
            None => println!("{head} | | | | | none: not charged | | {same} |"),
            Some(row) => {
                let Row { clock, slots, left_after, .. } = &row;
                println!(
                    "{head} | {:.3} | {:.3} | {:.3} | {:.3} | {left_after:?} | {:.3}, {:.3} | {same} |",
                    clock.distance,
                    clock.distance_p,
                    clock.advantage,
                    clock.advantage_p,
                    slots.distance_p,
                    slots.advantage_p
                );
                rows.push(row);
            }
        }
        leaks.extend(series.leak().err());
    }
    verdict(&rows, all.len());
    assert!(leaks.is_empty(), "{leaks:#?}");
}

fn verdict(rows: &[Row], attacks: usize) {
    let count = rows.len() as f64;
    let chances = rows.iter().flat_map(|row| [row.clock.distance_p, row.clock.advantage_p]);
    let (smallest, tests) = (chances.clone().fold(1.0, f64::min), chances.count());
    let adjusted = (smallest * tests as f64).min(1.0);
    let areas = rows.iter().map(|row| row.clock.advantage);
    let (least, most) = (areas.clone().fold(1.0, f64::min), areas.clone().fold(0.0, f64::max));
    let mean = areas.sum::<f64>() / count;
    let variance: f64 = rows.iter().map(|row| row.spread(row.times[0] as f64, row.times[1] as f64).powi(2)).sum();
    let spread = variance.sqrt() / count;
    let near = rows.iter().filter(|row| row.clock.distance_p <= CHANCE).count();
    let outside = rows.iter().filter(|row| (row.clock.advantage - 0.5).abs() > AREA).count();
    let by_chance: f64 = rows.iter().map(Row::outside_by_chance).sum();
    let alike = rows.iter().filter(|row| row.left_after.len() == 1).count();
    println!("{attacks} attacks, {} of them charged, {RUNS} runs in each world", rows.len());
    println!(
        "in slots: {alike} of {} left after the same number every time, where there is nothing to compare",
        rows.len()
    );
    println!(
        "each alone: KS p <= {CHANCE} in {near}, by chance {:.1}; area beyond {AREA} in {outside}, by chance {by_chance:.1}",
        CHANCE * count
    );
    println!(
        "together: smallest p of {tests} is {smallest:.4}, times {tests} {adjusted:.2}; areas {least:.3} to {most:.3}, mean {mean:.4}, by chance within {:.4}",
        2.0 * spread
    );
    assert!(adjusted > CHANCE, "times tell the worlds apart");
    assert!((mean - 0.5).abs() <= AREA && (mean - 0.5).abs() <= 4.9 * spread, "a clock is right too often");
}
