//! Counts of keys that are not public.

use std::collections::{BTreeMap, BTreeSet};

use super::{Estimate, Noise, Scale, Statistic, selected, statistic};
use crate::{
    disclosure::NO_KEY,
    manifest::Keys,
    plan::{Plan, Planned},
};

/// One node's keys with their noisy counts, and what a noisy count had to reach to be among them: the threshold or, where the
/// list is full, its smallest. In grid units.
struct Shown {
    counts: BTreeMap<i128, i128>,
    bar: i128,
}

impl Shown {
    fn read(cells: &[i128], threshold: i128) -> Self {
        let pairs = cells.as_chunks::<2>().0;
        let named = pairs.iter().filter(|[key, _]| *key != NO_KEY);
        let counts: BTreeMap<i128, i128> = named.map(|[key, noisy]| (*key, *noisy)).collect();
        let smallest = counts.values().min().filter(|_| counts.len() == pairs.len());
        let bar = smallest.map_or(threshold, |smallest| threshold.max(*smallest));
        Self { counts, bar }
    }
}

/// Decodes the keys that the nodes released; each of `answers` holds one node's pairs of key and noisy count.
///
/// The interval of a key knows that it is shown for being large: at each node it goes down to the smallest number of people of
/// whom so large a count among those that are shown is no surprise, at least 1 (`selected::least`), and several nodes' lower ends
/// are put together as the roots of their squares (MOVER; Zou & Donner, Statistics in Medicine 2008). A node that did not release
/// the key may still have people with it, up to what it had to reach: upwards, the interval holds them too.
pub fn decode_keys<'a>(
    plan: &Plan,
    planned: &Planned,
    keys: &Keys,
    answers: impl Iterator<Item = &'a [i128]>,
    noise: Noise,
    threshold: i128,
) -> Statistic {
    let nodes: Vec<Shown> = answers.map(|cells| Shown::read(cells, threshold)).collect();
    let named: BTreeSet<i128> = nodes.iter().flat_map(|node| node.counts.keys().copied()).collect();
    let scale = Scale::new(planned.grid_bits, noise);
    let alone = Scale::new(planned.grid_bits, Noise { nodes: 1, ..noise });
    let estimate = |key: i128| {
        let (mut value, mut below, mut above, mut missing) = (0.0, 0.0, 0.0, 0.0);
        for node in &nodes {
            let bar = scale.units(node.bar);
            let Some(noisy) = node.counts.get(&key).map(|noisy| scale.units(*noisy)) else {
                missing += bar + alone.half_width();
                continue;
            };
            value += noisy;
            below += (noisy - selected::least(&alone, noisy, bar)).powi(2);
            above += alone.half_width().powi(2);
        }
        let label = if keys.text { key_text(key) } else { key.to_string() };
        let (low, high) = (value - below.sqrt(), value + above.sqrt() + missing);
        Estimate { label, value, low, high, people: None, indistinct: false, suppressed: false }
    };
    let mut estimates: Vec<_> = named.into_iter().map(estimate).collect();
    estimates.sort_by(|a, b| b.value.total_cmp(&a.value));
    statistic(plan, planned, &scale, estimates)
}

/// The text that a key stands for; the number itself where it stands for none.
fn key_text(key: i128) -> String {
    let text = u64::try_from(key).ok().and_then(spe_abi::text_of_key);
    text.map_or_else(|| key.to_string(), |text| text.as_str().to_owned())
}
