//! What the host adds up of an answer in a module with rounds, before noise: `docs/guest-abi.md` in the clear.

use std::iter::successors;
use std::vec::Vec;

use spe_abi::OutputKind;

use crate::json::{first_element, is_array, length, member, next_element, value_end};
use crate::math::norm;
use crate::shape::Shape;
use crate::Manifest;

/// Adds what the host makes of `answer` to `sums`, the sums of all outputs.
pub(super) fn add(manifest: Manifest, answer: &[f64], sums: &mut [f64]) {
    let json = manifest.bytes();
    let (mut answer, mut sums) = (answer, sums);
    for output in elements(json, member(json, 0, "outputs")) {
        let shape = Shape::read(json, output);
        let (numbers, answers) = answer.split_at(shape.numbers());
        let (own, others) = sums.split_at_mut(shape.sums);
        (answer, sums) = (answers, others);
        let declared = Declared { json, output, shape };
        if declared.is_whole(numbers) {
            declared.add(numbers, own);
        } else if let Some(default) = declared.default() {
            declared.add(&default, own);
        }
    }
}

/// An output as the manifest declares it.
struct Declared {
    json: &'static [u8],
    output: usize,
    shape: Shape,
}

impl Declared {
    /// Whether an answer is used: some tuple has no NaN.
    fn is_whole(&self, numbers: &[f64]) -> bool {
        numbers.chunks(self.shape.width).any(has_no_nan)
    }

    fn add(&self, numbers: &[f64], sums: &mut [f64]) {
        let y = numbers[0];
        match self.shape.kind {
            OutputKind::Count => sums[0] += f64::from(u8::from(y != 0.0)),
            OutputKind::Sum => sums[0] += y.clamp(self.field("lower"), self.field("upper")),
            OutputKind::Mean => add_all(sums, &[1.0, self.centred(y)]),
            OutputKind::Variance => {
                let z = self.centred(y);
                add_all(sums, &[1.0, z, z * z - 0.5]);
            }
            OutputKind::Histogram | OutputKind::GroupedCount => {
                for (group, _) in self.groups(numbers) {
                    sums[group] += 1.0;
                }
            }
            OutputKind::GroupedMean => {
                for (group, tuple) in self.groups(numbers) {
                    add_all(&mut sums[2 * group..], &[1.0, self.centred(tuple[self.shape.width - 1])]);
                }
            }
            OutputKind::VectorSum => {
                let shrink = (self.field("norm") / norm(numbers)).min(1.0);
                let shrunk: Vec<f64> = numbers.iter().map(|number| number * shrink).collect();
                add_all(sums, &shrunk);
            }
            OutputKind::Quantiles | OutputKind::Survival | OutputKind::Keys | OutputKind::BlockMean => {
                panic!("the manifest has an output that cannot be used with rounds")
            }
        }
    }

    /// The groups that are named, each once, with the tuples that name them first.
    fn groups<'n>(&self, numbers: &'n [f64]) -> Vec<(usize, &'n [f64])> {
        let axes: Vec<usize> = match member(self.json, self.output, "groups") {
            Some(list) => elements(self.json, Some(list)).collect(),
            None => [self.output].into(),
        };
        let mut groups: Vec<(usize, &[f64])> = Vec::new();
        for tuple in numbers.chunks(self.shape.width).filter(|tuple| has_no_nan(tuple)) {
            let group = axes.iter().zip(tuple).fold(0, |group, (axis, y)| {
                let (place, places) = self.place(*axis, *y);
                group * places + place
            });
            if groups.iter().all(|(named, _)| *named != group) {
                groups.push((group, tuple));
            }
        }
        groups
    }

    /// Where `y` is on an axis, and how many places that has; the last is `other`.
    fn place(&self, axis: usize, y: f64) -> (usize, usize) {
        if let Some(categories) = member(self.json, axis, "categories") {
            let named = length(self.json, categories);
            let code = if y <= -1.0 { named } else { (y as usize).min(named) };
            return (code, named + 1);
        }
        let edges: Vec<f64> = elements(self.json, member(self.json, axis, "edges")).map(|at| self.number(at)).collect();
        let bins = edges.len() - 1;
        let bin = match edges.iter().filter(|edge| **edge <= y).count() {
            0 => bins,
            _ if y > edges[bins] => bins,
            below => (below - 1).min(bins - 1),
        };
        (bin, edges.len())
    }

    /// `y`, clamped, as a part of the half width of the bounds from their middle.
    fn centred(&self, y: f64) -> f64 {
        let (lower, upper) = (self.field("lower"), self.field("upper"));
        (y.clamp(lower, upper) - 0.5 * (lower + upper)) / (0.5 * (upper - lower))
    }

    fn default(&self) -> Option<Vec<f64>> {
        let at = member(self.json, self.output, "default").filter(|at| is_array(self.json, *at))?;
        Some(elements(self.json, Some(at)).map(|at| self.number(at)).collect())
    }

    fn field(&self, name: &str) -> f64 {
        self.number(member(self.json, self.output, name).expect("a field that the output's kind needs"))
    }

    fn number(&self, at: usize) -> f64 {
        let text = std::str::from_utf8(&self.json[at..value_end(self.json, at)]).unwrap_or_default();
        text.trim().parse().expect("a number in the manifest")
    }
}

fn has_no_nan(numbers: &[f64]) -> bool {
    !numbers.iter().any(|number| number.is_nan())
}

fn elements(json: &'static [u8], array: Option<usize>) -> impl Iterator<Item = usize> {
    successors(array.and_then(|array| first_element(json, array)), move |at| next_element(json, *at))
}

fn add_all(sums: &mut [f64], numbers: &[f64]) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum += number;
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn sums(outputs: &str, answer: &[f64]) -> Vec<f64> {
        let manifest =
            Manifest::new(std::boxed::Box::leak(std::format!(r#"{{ "outputs": [{outputs}] }}"#).into_boxed_str()));
        let mut sums = vec![0.0; manifest.sums()];
        add(manifest, answer, &mut sums);
        sums
    }

    #[test]
    fn numbers_are_clamped_and_centred() {
        let outputs = r#"{ "kind": "count" }, { "kind": "sum", "lower": -1, "upper": 1 },
            { "kind": "mean", "lower": 0, "upper": 20 }, { "kind": "variance", "lower": 0, "upper": 2 }"#;
        assert_eq!(sums(outputs, &[7.0, 5.0, 15.0, 0.5]), [1.0, 1.0, 1.0, 0.5, 1.0, -0.5, -0.25]);
    }

    #[test]
    fn what_is_missing_takes_the_default() {
        let outputs = r#"{ "kind": "count", "default": [1] }, { "kind": "sum", "lower": 0, "upper": 1, "default": null },
            { "kind": "sum", "lower": 0, "upper": 1 }"#;
        assert_eq!(sums(outputs, &[f64::NAN; 3]), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_group_counts_once_and_what_is_in_none_is_another() {
        let outputs = r#"{ "kind": "histogram", "per_subject": 4, "edges": [0, 1, 2] }"#;
        assert_eq!(sums(outputs, &[2.0, 1.0, f64::NAN, 2.5]), [0.0, 1.0, 1.0]);
        let outputs = r#"{ "kind": "grouped_mean", "lower": -1, "upper": 1, "per_subject": 2, "groups": [
            { "name": "a", "categories": ["x"] }, { "name": "b", "edges": [0, 1] }] }"#;
        assert_eq!(sums(outputs, &[0.0, 3.0, 0.5, 0.9, 4.0, 1.0]), [0.0, 0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(sums(outputs, &[-1.0, 1.0, 0.5, -0.9, f64::NAN, 1.0]), [0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn long_vectors_are_shrunk() {
        let outputs = r#"{ "kind": "vector_sum", "labels": ["a", "b"], "norm": 5 }"#;
        assert_eq!((sums(outputs, &[6.0, 8.0]), sums(outputs, &[0.0, 0.0])), (vec![3.0, 4.0], vec![0.0, 0.0]));
    }
}
