//! Lloyd's algorithm for k-means over points whose `d` coordinates lie in [-1, 1].
//!
//! Centres are `k × d` numbers, one centre after the other. The vector of `k × (1 + d)` numbers is 0 but for the
//! nearest centre's part: the person, and their point.

use crate::math::{dot, sqrt};

/// What a person adds to the number of people of a cluster, and the most that their point is long: together, length 1.
const PERSON: f64 = 0.5;
const POINT: f64 = 0.866;

/// A cluster is empty with fewer people than this part of a fair share.
const EMPTY: f64 = 0.05;
/// How far along each axis the halves of a divided cluster move.
const APART: f64 = 0.1;

/// Puts `centres` where they cover the inner half of the space evenly, wherever people are: half way to the corners.
pub fn spread(centres: &mut [f64], dimensions: usize) {
    let bits = (centres.len() / dimensions).next_power_of_two().trailing_zeros() as usize;
    let masks = (1_usize << bits) - 1;
    for (index, centre) in centres.chunks_exact_mut(dimensions).enumerate() {
        // More centres than corners: the others lie further in.
        let reach = 0.5 / (1 + index.checked_shr(dimensions as u32).unwrap_or(0)) as f64;
        for (axis, coordinate) in centre.iter_mut().enumerate() {
            // Different axes divide the centres into halves differently.
            let mask = if axis < bits { 1 << axis } else { 1 + axis % masks.max(1) };
            *coordinate = if (index & mask).count_ones() % 2 == 0 { reach } else { -reach };
        }
    }
}

/// The index of the centre that is nearest to `point`; the first of several.
#[must_use]
pub fn nearest(centres: &[f64], point: &[f64]) -> usize {
    let mut best = (f64::INFINITY, 0);
    for (index, centre) in centres.chunks_exact(point.len()).enumerate() {
        let distance = centre.iter().zip(point).fold(0.0, |sum, (a, b)| sum + (a - b) * (a - b));
        if distance < best.0 {
            best = (distance, index);
        }
    }
    best.1
}

/// Writes what a person at `point` contributes; points further from the middle than `radius` are moved to it.
pub fn contribute(centres: &[f64], radius: f64, point: &[f64], vector: &mut [f64]) {
    let length = sqrt(dot(point, point));
    let scale = POINT / length.max(radius);
    let part = &mut vector[nearest(centres, point) * (1 + point.len())..];
    part[0] = PERSON;
    for (number, coordinate) in part[1..].iter_mut().zip(point) {
        *number = scale * coordinate;
    }
}

/// Moves `centres` to the means of their people, whose noisy sums are `sums`, and writes how many `people` each has. An
/// empty cluster takes one half of the largest.
pub fn advance(radius: f64, sums: &[f64], centres: &mut [f64], people: &mut [f64]) {
    move_to_means(PERSON, POINT / radius, sums, centres, people);
}

/// Moves `centres` to the means of those of the `points` to which each is the nearest, all of which are known: the
/// points of a block, one after the other. `sums` is room for as many numbers as [`contribute`] would write.
pub fn advance_exactly(points: &[f64], sums: &mut [f64], centres: &mut [f64], people: &mut [f64]) {
    let dimensions = centres.len() / people.len();
    sums.fill(0.0);
    for point in points.chunks_exact(dimensions) {
        let part = &mut sums[nearest(centres, point) * (1 + dimensions)..];
        part[0] += 1.0;
        for (sum, coordinate) in part[1..].iter_mut().zip(point) {
            *sum += coordinate;
        }
    }
    move_to_means(1.0, 1.0, sums, centres, people);
}

/// Moves centres to means, where a person added `person` and `point` times their point to the sums.
fn move_to_means(person: f64, point: f64, sums: &[f64], centres: &mut [f64], people: &mut [f64]) {
    let dimensions = centres.len() / people.len();
    let parts = sums.chunks_exact(1 + dimensions);
    for ((centre, count), part) in centres.chunks_exact_mut(dimensions).zip(people.iter_mut()).zip(parts) {
        *count = part[0] / person;
        for (coordinate, sum) in centre.iter_mut().zip(&part[1..]) {
            *coordinate = (sum / (point * count.max(1.0))).clamp(-1.0, 1.0);
        }
    }
    let fair = people.iter().fold(0.0, |sum, count| sum + count.max(0.0)) / people.len() as f64;
    for cluster in 0..people.len() {
        if people[cluster] < EMPTY * fair {
            let largest = (0..people.len()).fold(0, |most, next| if people[next] > people[most] { next } else { most });
            people[largest] *= 0.5;
            people[cluster] = people[largest];
            divide(largest, cluster, dimensions, centres);
        }
    }
}

/// Puts the centres of `one` and `other` on both sides of that of `one`.
fn divide(one: usize, other: usize, dimensions: usize, centres: &mut [f64]) {
    for axis in 0..dimensions {
        let middle = centres[one * dimensions + axis];
        let side = if (other + axis) % 2 == 0 { APART } else { -APART };
        centres[other * dimensions + axis] = (middle + side).clamp(-1.0, 1.0);
        centres[one * dimensions + axis] = (middle - side).clamp(-1.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_centres_are_apart_and_inside() {
        for (count, dimensions) in [(1, 2), (2, 1), (3, 2), (4, 1), (4, 2), (4, 10), (7, 3), (8, 2), (8, 5)] {
            let mut centres = [0.0; 40];
            let centres = &mut centres[..count * dimensions];
            spread(centres, dimensions);
            assert!(centres.iter().all(|coordinate| coordinate.abs() <= 0.5));
            for (index, centre) in centres.chunks(dimensions).enumerate() {
                assert_eq!(nearest(centres, centre), index);
            }
        }
    }

    #[test]
    fn a_contribution_is_never_longer_than_one() {
        let centres = [-0.5, 0.0, 0.5, 0.0];
        for point in [[1.0, 1.0], [0.2, -0.1], [0.0, 0.0]] {
            let mut vector = [0.0; 6];
            contribute(&centres, 0.8, &point, &mut vector);
            assert!(dot(&vector, &vector) <= 1.0);
            assert_eq!(vector[nearest(&centres, &point) * 3], PERSON);
        }
    }

    #[test]
    fn centres_move_to_the_means_of_their_people() {
        let (mut centres, mut people) = ([-0.5, 0.0, 0.5, 0.0], [0.0; 2]);
        let mut sums = [0.0; 6];
        for point in [[-0.6, 0.2], [-0.4, 0.4], [0.9, -0.1]] {
            let mut vector = [0.0; 6];
            contribute(&centres, 2.0, &point, &mut vector);
            for (sum, number) in sums.iter_mut().zip(vector) {
                *sum += number;
            }
        }
        advance(2.0, &sums, &mut centres, &mut people);
        assert_eq!(people, [2.0, 1.0]);
        for (is, should) in centres.iter().zip([-0.5, 0.3, 0.9, -0.1]) {
            assert!((is - should).abs() < 1e-12, "{centres:?}");
        }
    }

    #[test]
    fn known_points_are_not_scaled() {
        let (mut centres, mut people) = ([-0.5, 0.5], [0.0; 2]);
        advance_exactly(&[-0.9, -0.5, 0.25], &mut [0.0; 4], &mut centres, &mut people);
        assert_eq!((centres, people), ([-0.7, 0.25], [2.0, 1.0]));
    }

    #[test]
    fn an_empty_cluster_takes_one_half_of_the_largest() {
        let (mut centres, mut people) = ([0.0; 4], [0.0; 2]);
        advance(1.0, &[100.0 * PERSON, 0.0, 20.0 * POINT, -3.0, 5.0, 5.0], &mut centres, &mut people);
        assert_eq!(people, [50.0; 2]);
        for (is, should) in centres.iter().zip([APART, 0.2 - APART, -APART, 0.2 + APART]) {
            assert!((is - should).abs() < 1e-12, "{centres:?}");
        }
    }
}
