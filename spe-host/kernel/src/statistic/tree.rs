//! Quantiles from a noisy binary tree of counts.

use super::{Estimate, Scale};
use crate::manifest::Edges;

/// A complete binary tree over bins, as noisy counts: node 1 is the root, node i has children 2i and 2i + 1.
struct Tree<'a> {
    nodes: &'a [f64],
    leaves: usize,
}

impl Tree<'_> {
    fn node(&self, i: usize) -> f64 {
        self.nodes.get(i.wrapping_sub(1)).copied().unwrap_or_default()
    }

    /// People below leaf `end`, from as few nodes as possible, and how many nodes those are.
    fn below(&self, end: usize) -> (f64, f64) {
        let (mut sum, mut nodes) = (0.0, 0.0);
        // The half-open range of leaves 0..end is the union of the left siblings on the way up from leaf `end`.
        let mut at = self.leaves + end;
        if end == self.leaves {
            return (self.node(1), 1.0);
        }
        while at > 1 {
            if at % 2 == 1 {
                sum += self.node(at - 1);
                nodes += 1.0;
            }
            at /= 2;
        }
        (sum, nodes)
    }

    /// Leaves that agree with all counts above them: the least-squares estimate of Hay, Rastogi, Miklau & Suciu (VLDB 2010).
    fn consistent_leaves(&self) -> Vec<f64> {
        let mut up: Vec<f64> = std::iter::once(0.0).chain(self.nodes.iter().copied()).collect();
        let get = |v: &[f64], i: usize| v.get(i).copied().unwrap_or_default();
        // Bottom up: a node's own count, weighted against the sum of its children's.
        let mut span = 2.0;
        let mut level = self.leaves / 2;
        while level >= 1 {
            for i in level..2 * level {
                let own = (2.0 * span - span) / (2.0 * span - 1.0) * get(&up, i);
                let children = (span - 1.0) / (2.0 * span - 1.0) * (get(&up, 2 * i) + get(&up, 2 * i + 1));
                if let Some(slot) = up.get_mut(i) {
                    *slot = own + children;
                }
            }
            (level, span) = (level / 2, span * 2.0);
        }
        // Top down: what a node and its children disagree about is shared by the children.
        let mut down = up.clone();
        for i in 1..self.leaves {
            let apart = (get(&down, i) - get(&up, 2 * i) - get(&up, 2 * i + 1)) / 2.0;
            for child in [2 * i, 2 * i + 1] {
                let value = get(&up, child) + apart;
                if let Some(slot) = down.get_mut(child) {
                    *slot = value;
                }
            }
        }
        down.split_off(self.leaves)
    }
}

/// The quantiles `at`, each with an interval that covers it with probability 95 % or more, to whole bins.
///
/// The interval inverts a test: a bin may hold the quantile q unless the noisy number of people below it is too large, or below
/// its end too small, for q of the noisy total; each bin is wrongly left out with probability at most 5 %.
pub(super) fn quantiles(scale: &Scale, cells: &[f64], bins: &Edges, at: &[f64]) -> Vec<Estimate> {
    let tree = Tree { nodes: cells, leaves: bins.bins().next_power_of_two() };
    let leaves = tree.consistent_leaves();
    let leaves = rising(leaves.get(..bins.bins()).unwrap_or(&leaves));
    let total: f64 = leaves.iter().sum();
    let people = tree.node(1);
    at.iter()
        .map(|q| {
            let accepted = |bin: usize| {
                let apart = |end: usize| {
                    let (below, nodes) = tree.below(end);
                    let margin = scale.half_width() * (nodes + q * q).sqrt();
                    (below - q * people, margin)
                };
                let (left, right) = (apart(bin), apart(bin + 1));
                left.0 <= left.1 && right.0 >= -right.1
            };
            let value = invert(bins, &leaves, q * total);
            let own = bins.bin(value).unwrap_or_default();
            let first = (0..bins.bins()).find(|bin| accepted(*bin)).unwrap_or(own).min(own);
            let last = (0..bins.bins()).rev().find(|bin| accepted(*bin)).unwrap_or(own).max(own);
            let edge = |i: usize| bins.as_slice().get(i).copied().unwrap_or_default();
            let (low, high) = (edge(first), edge(last + 1));
            let indistinct = people <= scale.half_width();
            let label = format!("{} %", (q * 1e6).round() / 1e4);
            Estimate { label, value, low, high, people: Some(people), indistinct, suppressed: false }
        })
        .collect()
}

/// Leaves, none below 0, whose running sums are the nearest that never fall: isotonic regression, by pooling (Ayer et al. 1955).
///
/// Cutting single leaves off at 0 would keep the noise of empty bins only where it adds people: tails would be far too heavy.
#[expect(clippy::cast_precision_loss, reason = "numbers of bins")]
fn rising(leaves: &[f64]) -> Vec<f64> {
    // Runs of equal sums, and how many sums are in each.
    let mut runs: Vec<(f64, usize)> = Vec::new();
    let mut sum = 0.0;
    for leaf in leaves {
        sum += leaf;
        let mut run = (sum, 1);
        while let Some((before, count)) = runs.pop_if(|(before, _)| *before > run.0) {
            let all = count + run.1;
            run = ((before * count as f64 + run.0 * run.1 as f64) / all as f64, all);
        }
        runs.push(run);
    }
    let mut below = 0.0;
    let mut risen = Vec::with_capacity(leaves.len());
    for (sum, count) in runs {
        let sum = sum.max(0.0);
        risen.push(sum - below);
        risen.resize(risen.len() + count - 1, 0.0);
        below = sum;
    }
    risen
}

/// Where so many people are below, by straight lines within bins.
fn invert(bins: &Edges, leaves: &[f64], target: f64) -> f64 {
    let mut below = 0.0;
    for (people, edges) in leaves.iter().zip(bins.as_slice().windows(2)) {
        if let [left, right] = edges
            && below + people >= target
            && *people > 0.0
        {
            return left + (right - left) * ((target - below) / people).clamp(0.0, 1.0);
        }
        below += people;
    }
    bins.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(leaves: &[f64]) -> Vec<f64> {
        let n = leaves.len();
        let mut nodes = vec![0.0; 2 * n];
        nodes[n..].copy_from_slice(leaves);
        for i in (1..n).rev() {
            nodes[i] = nodes[2 * i] + nodes[2 * i + 1];
        }
        nodes.split_off(1)
    }

    #[test]
    fn exact_counts_stay_as_they_are() {
        let leaves = [3.0, 0.0, 5.0, 2.0, 1.0, 1.0, 4.0, 8.0];
        let nodes = tree(&leaves);
        let tree = Tree { nodes: &nodes, leaves: 8 };
        assert!(tree.consistent_leaves().iter().zip(leaves).all(|(a, b)| (a - b).abs() < 1e-9));
        for end in 0..=8 {
            assert_eq!(tree.below(end).0, leaves[..end].iter().sum::<f64>());
        }
    }

    #[test]
    fn consistent_leaves_add_up_and_are_the_least_squares_estimate() {
        // Root 10, children 4 and 4: the two missing people are shared, and the root gives way by a third of them.
        let nodes = [10.0, 4.0, 4.0];
        let leaves = Tree { nodes: &nodes, leaves: 2 }.consistent_leaves();
        let expected = 4.0 + 2.0 / 3.0;
        assert!(leaves.iter().all(|leaf| (leaf - expected).abs() < 1e-9), "{leaves:?}");
    }

    #[test]
    fn noise_in_empty_bins_does_not_make_a_tail() {
        let noise = (0..32).map(|i| if i % 2 == 0 { 50.0 } else { -50.0 });
        let leaves: Vec<f64> = std::iter::once(1000.0).chain(noise).collect();
        let risen = rising(&leaves);
        assert_eq!((risen.len(), risen.iter().all(|leaf| *leaf >= 0.0)), (leaves.len(), true));
        assert!((1000.0..=1050.0).contains(&risen.iter().sum()), "noise became people: {risen:?}");
        assert_eq!(rising(&[3.0, 0.0, 5.0]), [3.0, 0.0, 5.0]);
        assert_eq!(rising(&[-3.0, 1.0, 5.0, -2.0]), [0.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn medians_are_between_their_neighbours() {
        let bins = Edges::new(vec![0.0, 1.0, 2.0, 3.0, 4.0]).expect("bins");
        assert_eq!(invert(&bins, &[1.0, 1.0, 1.0, 1.0], 2.0), 2.0);
        assert_eq!(invert(&bins, &[0.0, 0.0, 4.0, 0.0], 1.0), 2.25);
    }
}
