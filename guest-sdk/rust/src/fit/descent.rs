//! Gradient descent over everybody, for models whose loss is a sum over people.
//!
//! The vector of `1 + d` numbers is the person, and their gradient by the `d` weights, shrunk to a length of almost 1.
//! The state of `1 + 2 d` numbers is the number of people, the weights, and their average over the rounds so far, in
//! which late rounds weigh most: that is the result, because noise averages out in it.

use crate::math::norm;

/// What a person adds to the number of people; what a gradient is shrunk to is the rest of length 1.
const PERSON: f64 = 0.2;
const GRADIENT: f64 = 0.979;

/// How much late rounds weigh: round t by about t³ (Shamir and Zhang, ICML 2013).
const LATE: f64 = 3.0;

/// The weights in a state.
#[must_use]
pub fn weights(state: &[f64]) -> &[f64] {
    &state[1..][..state.len() / 2]
}

/// Writes what a person contributes whose gradient is `factor` times `inputs`.
///
/// # Panics
/// If `vector` is not one longer than `inputs`.
pub fn contribute(factor: f64, inputs: &[f64], vector: &mut [f64]) {
    let length = norm(inputs) * if factor < 0.0 { -factor } else { factor };
    let scale = if length > GRADIENT { factor * (GRADIENT / length) } else { factor };
    let (person, gradient) = vector.split_at_mut(1);
    person[0] = PERSON;
    assert!(gradient.len() == inputs.len(), "one number for each input");
    for (number, input) in gradient.iter_mut().zip(inputs) {
        *number = scale * input;
    }
}

/// Moves the weights `step` times against the mean gradient of round `done`, whose noisy sums are `sums`.
pub fn descend(done: u32, step: f64, sums: &[f64], state: &mut [f64]) {
    let [people, gradient @ ..] = sums else { return };
    let [count, rest @ ..] = state else { return };
    let round = f64::from(done);
    // Everybody is in every round: the mean of their noisy number is better than the last one.
    *count += (people / PERSON - *count) / round;
    let people = count.max(1.0);
    // Nobody's gradient is longer than 1, and so neither is the mean: the rest is noise.
    let step = step / norm(gradient).max(people);
    let share = (LATE + 1.0) / (round + LATE);
    let (weights, means) = rest.split_at_mut(gradient.len());
    for ((weight, mean), slope) in weights.iter_mut().zip(means).zip(gradient) {
        *weight -= step * slope;
        *mean += (*weight - *mean) * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contribution_is_never_longer_than_one() {
        for factor in [-1e9, -0.3, 0.0, 0.2, 1e9] {
            let mut vector = [0.0; 4];
            contribute(factor, &[1.0, -1.0, 0.5], &mut vector);
            assert!(norm(&vector) <= 1.0 && vector[0] == PERSON);
            assert_eq!(vector[1], -vector[2]);
        }
    }

    #[test]
    fn the_average_forgets_early_rounds() {
        let mut state = [0.0; 3];
        for done in 1..=30 {
            // The slope of (w - 5)² / 20.
            let slope = (weights(&state)[0] - 5.0) / 10.0;
            descend(done, 5.0, &[100.0 * PERSON, 100.0 * slope], &mut state);
        }
        assert!((state[0] - 100.0).abs() < 1e-9);
        assert!((state[1] - 5.0).abs() < 1e-6 && (state[2] - 5.0).abs() < 0.05, "{state:?}");
    }

    #[test]
    fn noise_moves_the_weights_by_a_step_at_most() {
        let mut state = [0.0; 5];
        descend(1, 2.0, &[-7.0, 300.0, 400.0], &mut state);
        assert_eq!(state[1..], [-1.2, -1.6, -1.2, -1.6]);
    }
}
