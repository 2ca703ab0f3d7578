//! Counts of keys that are not public.

use std::collections::BTreeMap;

use super::{Estimate, Noise, Scale, Statistic, statistic};
use crate::{
    disclosure::NO_KEY,
    manifest::Keys,
    plan::{Plan, Planned},
};

/// A key's noisy sum over the nodes that released it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCount {
    /// In grid units.
    pub sum: i128,
    /// How many nodes released it.
    pub nodes: u32,
}

/// Decodes the keys that the nodes released; each of `answers` holds one node's pairs of key and noisy count.
///
/// A node that did not release a key may still have people with it, up to the threshold: the interval says so.
pub fn decode_keys<'a>(
    plan: &Plan,
    planned: &Planned,
    keys: &Keys,
    answers: impl Iterator<Item = &'a [i128]>,
    noise: Noise,
    threshold: i128,
) -> Statistic {
    let mut counts: BTreeMap<i128, KeyCount> = BTreeMap::new();
    for pair in answers.flat_map(|cells| cells.as_chunks::<2>().0) {
        let [key, noisy] = *pair;
        if key != NO_KEY {
            let count = counts.entry(key).or_insert(KeyCount { sum: 0, nodes: 0 });
            *count = KeyCount { sum: count.sum.saturating_add(noisy), nodes: count.nodes + 1 };
        }
    }
    let scale = Scale::new(planned.grid_bits, noise);
    let estimate = |(key, KeyCount { sum, nodes }): (i128, KeyCount)| {
        let here = Scale::new(planned.grid_bits, Noise { nodes, ..noise });
        let alone = Scale::new(planned.grid_bits, Noise { nodes: 1, ..noise });
        let missing = f64::from(noise.nodes.saturating_sub(nodes)) * (scale.units(threshold) + alone.half_width());
        let label = if keys.text { key_text(key) } else { key.to_string() };
        let plain = here.plain(label, scale.units(sum));
        Estimate { high: plain.high + missing, ..plain }
    };
    let mut estimates: Vec<_> = counts.into_iter().map(estimate).collect();
    estimates.sort_by(|a, b| b.value.total_cmp(&a.value));
    statistic(plan, planned, &scale, estimates)
}

/// The characters of a key that stands for text, as `docs/guest-abi.md` packs them.
const ALPHABET: &[u8; 38] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-.";

/// The text that a key stands for; the number itself where it stands for none.
pub fn key_text(key: i128) -> String {
    let (mut rest, mut text) = (key, Vec::new());
    while rest > 0 && text.len() < 11 {
        let digit = usize::try_from(rest % 39).unwrap_or(0);
        match digit.checked_sub(1).and_then(|i| ALPHABET.get(i)) {
            Some(letter) => text.push(*letter),
            None => return key.to_string(),
        }
        rest /= 39;
    }
    text.reverse();
    match String::from_utf8(text) {
        Ok(text) if rest == 0 && !text.is_empty() => text,
        _ => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_text() {
        let pack = |text: &str| {
            let digit = |c: u8| 1 + ALPHABET.iter().position(|a| *a == c).expect("a letter");
            text.bytes().fold(0_i128, |key, c| key * 39 + digit(c) as i128)
        };
        for text in ["E11.9", "A", "0", "Z-9.ZZZZZZ"] {
            assert_eq!(key_text(pack(text)), text);
        }
        assert_eq!(key_text(0), "0");
        assert_eq!(key_text(39), "39", "a zero digit is no character");
    }
}
