use spe_abi::OutputKind;

use crate::json::{first_element, is_array, is_text, length, member, next_element, whole_number};

/// What of an output's declaration decides how many numbers it has.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) kind: OutputKind,
    /// Numbers that are written together: a code for each axis and a value, or a whole vector.
    pub(crate) width: usize,
    /// How often: `per_subject`.
    pub(crate) tuples: usize,
    /// Sums that `spe_update` is given; 0 for a kind that cannot be used with rounds.
    pub(crate) sums: usize,
}

impl Shape {
    /// The shape of the output that is declared at `output`.
    pub(crate) const fn read(json: &[u8], output: usize) -> Shape {
        let kind = kind(json, output);
        let one = Shape { kind, width: 1, tuples: 1, sums: 0 };
        match kind {
            OutputKind::Count | OutputKind::Sum => Shape { sums: 1, ..one },
            OutputKind::Mean => Shape { sums: 2, ..one },
            OutputKind::Variance => Shape { sums: 3, ..one },
            OutputKind::Quantiles => one,
            OutputKind::Histogram | OutputKind::GroupedCount => {
                let (width, groups) = axes(json, output);
                Shape { kind, width, tuples: per_subject(json, output), sums: groups }
            }
            OutputKind::GroupedMean => {
                let (axes, groups) = axes(json, output);
                Shape { kind, width: axes + 1, tuples: per_subject(json, output), sums: 2 * groups }
            }
            OutputKind::VectorSum => {
                let labels = labels(json, output);
                Shape { width: labels, sums: labels, ..one }
            }
            OutputKind::Survival => Shape { width: 2, ..one },
            OutputKind::Keys => Shape { tuples: per_subject(json, output), ..one },
            OutputKind::BlockMean => Shape { width: length(json, field(json, output, "coordinates")), ..one },
        }
    }

    /// How many numbers a data subject writes.
    pub(crate) const fn numbers(self) -> usize {
        self.width * self.tuples
    }
}

const fn kind(json: &[u8], output: usize) -> OutputKind {
    let at = field(json, output, "kind");
    let mut index = 0;
    while index < OutputKind::ALL.len() {
        if is_text(json, at, OutputKind::ALL[index].name()) {
            return OutputKind::ALL[index];
        }
        index += 1;
    }
    panic!("an output of the manifest has an unknown kind")
}

/// How many axes an output has, and how many groups their cross has, every axis' `other` included.
const fn axes(json: &[u8], output: usize) -> (usize, usize) {
    let Some(list) = member(json, output, "groups") else { return (1, groups(json, output)) };
    let (mut axes, mut cross) = (0, 1);
    let mut axis = first_element(json, list);
    while let Some(at) = axis {
        axes += 1;
        cross *= groups(json, at);
        axis = next_element(json, at);
    }
    (axes, cross)
}

/// How many groups an axis has, `other` included: one more than categories, as many as edges.
const fn groups(json: &[u8], axis: usize) -> usize {
    match member(json, axis, "categories") {
        Some(categories) => length(json, categories) + 1,
        None => length(json, field(json, axis, "edges")),
    }
}

const fn labels(json: &[u8], output: usize) -> usize {
    let at = field(json, output, "labels");
    if is_array(json, at) {
        length(json, at)
    } else {
        whole_number(json, at)
    }
}

const fn per_subject(json: &[u8], output: usize) -> usize {
    match member(json, output, "per_subject") {
        Some(at) => whole_number(json, at),
        None => 1,
    }
}

const fn field(json: &[u8], object: usize, name: &str) -> usize {
    match member(json, object, name) {
        Some(at) => at,
        None => panic!("an output of the manifest lacks a field that its kind needs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(output: &str) -> (usize, usize, usize) {
        let shape = Shape::read(output.as_bytes(), 0);
        (shape.width, shape.tuples, shape.sums)
    }

    #[test]
    fn kinds_of_one_number_differ_in_their_sums() {
        let sums = ["count", "sum", "mean", "variance", "quantiles"]
            .map(|kind| counts(&std::format!(r#"{{ "kind": "{kind}", "edges": [0, 1], "quantiles": [0.5] }}"#)));
        assert_eq!(sums, [(1, 1, 1), (1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 1, 0)]);
    }

    #[test]
    fn groups_are_crossed_and_every_axis_has_another() {
        assert_eq!(counts(r#"{ "kind": "histogram", "categories": ["a", "b"] }"#), (1, 1, 3));
        assert_eq!(counts(r#"{ "kind": "histogram", "edges": [0, 5, 10], "per_subject": 4 }"#), (1, 4, 3));
        let cross = r#""groups": [{ "name": "a", "categories": ["x", "y"] }, { "name": "b", "edges": [0, 1, 2, 3] }]"#;
        assert_eq!(counts(&std::format!(r#"{{ "kind": "grouped_count", {cross} }}"#)), (2, 1, 12));
        assert_eq!(counts(&std::format!(r#"{{ "kind": "grouped_mean", {cross}, "per_subject": 2 }}"#)), (3, 2, 24));
    }

    #[test]
    fn vectors_are_as_wide_as_their_names() {
        assert_eq!(counts(r#"{ "kind": "vector_sum", "labels": ["a", "b"], "norm": 1 }"#), (2, 1, 2));
        assert_eq!(counts(r#"{ "labels": 10000, "norm": 1, "kind": "vector_sum" }"#), (10_000, 1, 10_000));
        assert_eq!(counts(r#"{ "kind": "block_mean", "coordinates": [{ "name": "a" }, { "name": "b" }] }"#), (2, 1, 0));
        assert_eq!(counts(r#"{ "kind": "survival", "edges": [0, 1] }"#), (2, 1, 0));
        assert_eq!(counts(r#"{ "kind": "keys", "released_max": 9, "per_subject": 3 }"#), (1, 3, 0));
    }
}
