#![doc = include_str!("proof/keys.md")]

use std::collections::BTreeMap;

use spe_kernel::{federation::KEY_END, manifest::Keys, units::grid_one};

/// Adds one unit for each distinct key that the numbers name, at most as many as one data subject may have; without any key the
/// declared default's.
///
/// # Privacy
/// Claim: at most `per_subject` keys are touched, each by one unit. Watched by
/// `sensitivity::keys_touch_few_and_by_one`.
pub(crate) fn share(sums: &mut BTreeMap<u64, i128>, declared: &Keys, numbers: &[f64], default: &[f64], bits: u8) {
    let mut keys = distinct(declared, numbers);
    if keys.is_empty() {
        keys = distinct(declared, default);
    }
    keys.into_iter().for_each(|key| add(sums, key, grid_one(bits).into()));
}

/// Adds to the sum of one key.
pub(crate) fn add(sums: &mut BTreeMap<u64, i128>, key: u64, more: i128) {
    let sum = sums.entry(key).or_default();
    *sum = sum.saturating_add(more);
}

/// The keys that the numbers name: whole numbers from 0 to 2⁵³ − 1.
fn distinct(declared: &Keys, numbers: &[f64]) -> Vec<u64> {
    let most = usize::try_from(declared.per_subject).unwrap_or(usize::MAX);
    let mut keys = Vec::new();
    for y in numbers.iter().take(most) {
        if !(*y >= 0.0 && y.trunc() == *y) {
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative; `as` saturates"
        )]
        let key = *y as u64;
        if i128::from(key) < KEY_END && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is no clip after it: a third key would be one that nobody paid for.
    #[test]
    fn a_person_has_no_more_keys_than_declared_however_many_numbers_come() {
        let declared = Keys { per_subject: 2, released_max: 9, text: false };
        let mut sums = BTreeMap::new();
        share(&mut sums, &declared, &[7.0, 8.0, 9.0], &[], 0);
        share(&mut sums, &declared, &[f64::NAN; 3], &[1.0, 2.0, 3.0], 0);
        assert_eq!(sums, BTreeMap::from([(1, 1), (2, 1), (7, 1), (8, 1)]));
    }
}
