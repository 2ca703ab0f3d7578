use std::vec::Vec;

use crate::testing::{
    answer, answer_in_round, booleans, categories, dates, integers, next_state, numbers, person, rounds, texts,
    timestamps, Cells,
};
use crate::{Manifest, Next, Outputs, Params, Round, Subject};

const MANIFEST: Manifest = Manifest::new(
    r#"{
    "inputs": [
        { "table": "persons", "columns": ["female", "born", "note"], "max_rows": 1 },
        { "columns": ["at", "value", "code", "count"], "table": "labs", "max_rows": 9, "filter": "count >= 0" }
    ],
    "params": [ { "name": "low" }, { "name": "high" } ],
    "outputs": [
        { "name": "g", "kind": "grouped_mean", "categories": ["a", "b"], "lower": 0, "upper": 1 },
        { "name": "s", "kind": "sum", "lower": 0, "upper": 1 },
        { "name": "h", "kind": "histogram", "categories": ["name", "kind"] },
        { "name": "m", "kind": "mean", "lower": 0, "upper": 1 },
        { "name": "c", "kind": "count" }
    ]
}"#,
);

fn persons() -> [Cells; 3] {
    [booleans([true]), dates([-1]), texts(["é"])]
}

fn labs() -> [Cells; 4] {
    [
        timestamps([1, 2, 3]),
        numbers([Some(0.5), None, Some(2.0)]),
        categories([None, Some(1), Some(0)]),
        integers([i64::MIN, 0, i64::MAX]),
    ]
}

fn run(map: crate::Map) -> Vec<f64> {
    answer(MANIFEST, map, &[1.5, 2.5], &[&persons(), &labs()])
}

#[test]
fn every_output_has_its_place() {
    fn map(_: &Subject, params: &Params, out: &mut Outputs) {
        out.count(MANIFEST.count("c"), true);
        out.histogram(MANIFEST.histogram("h"), 7);
        out.grouped_mean(MANIFEST.grouped_mean("g"), 1, params.get(MANIFEST.param("high")));
        out.sum(MANIFEST.sum("s"), params.get(MANIFEST.param("low")));
        out.mean(MANIFEST.mean("m"), 0.25);
    }
    assert_eq!(run(map), [1.0, 2.5, 1.5, 7.0, 0.25, 1.0]);
}

#[test]
fn what_is_not_set_is_missing() {
    fn map(_: &Subject, _: &Params, out: &mut Outputs) {
        out.mean(MANIFEST.mean("m"), None);
    }
    assert!(run(map).iter().all(|number| number.is_nan()));
}

#[test]
fn every_kind_is_read() {
    fn map(subject: &Subject, _: &Params, _: &mut Outputs) {
        let (persons, labs) = (MANIFEST.table("persons"), MANIFEST.table("labs"));
        assert_eq!((subject.rows(persons), subject.rows(labs)), (1, 3));
        assert!(subject.column(persons.boolean("female")).any());
        assert_eq!(subject.column(persons.date("born")).get(0), Some(-1));
        assert_eq!(subject.column(persons.text("note")).first(), Some("é"));
        assert!(subject.column(labs.timestamp("at")).present().eq([1, 2, 3]));
        assert!(subject.column(labs.number("value")).iter().eq([Some(0.5), None, Some(2.0)]));
        assert!(subject.column(labs.category("code")).iter().eq([None, Some(1), Some(0)]));
        assert!(subject.column(labs.integer("count")).present().eq([i64::MIN, 0, i64::MAX]));
    }
    run(map);
}

#[test]
fn missing_values_are_left_out_of_summaries() {
    fn map(subject: &Subject, _: &Params, _: &mut Outputs) {
        let labs = MANIFEST.table("labs");
        let values = subject.column(labs.number("value"));
        assert_eq!((values.sum(), values.mean()), (2.5, Some(1.25)));
        assert_eq!((values.min(), values.max(), values.last()), (Some(0.5), Some(2.0), Some(2.0)));
        assert_eq!(subject.column(labs.category("code")).first(), Some(1));
        assert_eq!((values.get(1), values.get(3), values.len()), (None, None, 3));
    }
    run(map);
}

#[test]
fn a_person_may_have_no_rows() {
    fn map(subject: &Subject, _: &Params, _: &mut Outputs) {
        let note = subject.column(MANIFEST.table("persons").text("note"));
        let count = subject.column(MANIFEST.table("labs").integer("count"));
        assert!(note.is_empty() && note.first().is_none());
        assert!(count.mean().is_none() && count.min().is_none() && count.sum() == 0.0);
    }
    let persons = [booleans([None; 0]), dates([None; 0]), texts([None; 0])];
    let labs = [timestamps([None; 0]), numbers([None; 0]), categories([None; 0]), integers([None; 0])];
    let _ = answer(MANIFEST, map, &[0.0, 0.0], &[&persons, &labs]);
}

#[test]
#[should_panic(expected = "another type")]
fn a_column_of_another_type_panics() {
    fn map(subject: &Subject, _: &Params, _: &mut Outputs) {
        let _ = subject.column(MANIFEST.table("labs").integer("value"));
    }
    run(map);
}

#[test]
#[should_panic(expected = "no such column")]
fn a_record_with_fewer_columns_than_the_manifest_panics() {
    fn map(subject: &Subject, _: &Params, _: &mut Outputs) {
        let _ = subject.column(MANIFEST.table("labs").integer("count"));
    }
    let _ = answer(MANIFEST, map, &[0.0, 0.0], &[&persons(), &labs()[..2]]);
}

#[test]
#[should_panic(expected = "no such output")]
fn an_unknown_output_panics_where_it_is_not_a_constant() {
    let _ = MANIFEST.mean("x");
}

#[test]
#[should_panic(expected = "another kind")]
fn an_output_of_another_kind_panics_where_it_is_not_a_constant() {
    let _ = MANIFEST.mean("s");
}

#[test]
#[should_panic(expected = "no such name")]
fn an_unknown_column_panics_where_it_is_not_a_constant() {
    let _ = MANIFEST.table("labs").number("female");
}

const KINDS: Manifest = Manifest::new(
    r#"{
    "inputs": [],
    "outputs": [
        { "name": "v", "kind": "variance", "lower": 0, "upper": 1 },
        { "name": "h", "kind": "histogram", "edges": [0, 1, 2], "per_subject": 3 },
        { "name": "c", "kind": "grouped_count", "groups": [
            { "name": "sex", "categories": ["m", "f"] }, { "name": "age", "edges": [0, 40, 120] }] },
        { "name": "g", "kind": "grouped_mean", "categories": ["a", "b"], "per_subject": 2, "lower": 0, "upper": 1 },
        { "name": "q", "kind": "quantiles", "edges": [0, 1, 2], "quantiles": [0.5] },
        { "name": "w", "kind": "vector_sum", "labels": 3, "norm": 1 },
        { "name": "s", "kind": "survival", "edges": [0, 1, 2] },
        { "name": "k", "kind": "keys", "released_max": 10, "per_subject": 2 },
        { "name": "b", "kind": "block_mean", "coordinates": [{ "name": "x", "lower": 0, "upper": 1 }] }
    ]
}"#,
);

/// What `map` writes, with -1 for NaN.
fn kinds(map: crate::Map) -> Vec<f64> {
    answer(KINDS, map, &[], &[]).into_iter().map(|number| if number.is_nan() { -1.0 } else { number }).collect()
}

#[test]
fn every_kind_has_its_place() {
    fn map(_: &Subject, _: &Params, out: &mut Outputs) {
        out.block_mean(KINDS.block_mean("b"), &[0.5]);
        out.keys(KINDS.keys("k"), [7, u64::MAX, 8, 9]);
        out.survival(KINDS.survival("s"), 1.5, true);
        out.vector_mut(KINDS.vector_sum("w"))[1] = 4.0;
        out.quantiles(KINDS.quantiles("q"), 0.75);
        out.grouped_mean(KINDS.grouped_mean("g"), 1, 0.25);
        out.grouped_count(KINDS.grouped_count("c"), (true, 39.5));
        out.histogram(KINDS.histogram("h"), 0.5);
        out.variance(KINDS.variance("v"), 0.125);
    }
    let groups = [0.125, 0.5, -1.0, -1.0, 1.0, 39.5, 1.0, 0.25, -1.0, -1.0];
    assert_eq!(kinds(map), [&groups[..], &[0.75, 0.0, 4.0, 0.0, 1.5, 1.0, 7.0, 8.0, 0.5]].concat());
}

#[test]
fn several_cells_leave_out_what_is_missing_and_what_is_too_much() {
    fn map(_: &Subject, _: &Params, out: &mut Outputs) {
        out.histogram_each(KINDS.histogram("h"), [Some(1.0), None, Some(2.0), Some(3.0), Some(4.0)]);
        out.grouped_mean_each(KINDS.grouped_mean("g"), [(Some(0), None), (None, Some(1.0)), (Some(1), Some(0.5))]);
        out.grouped_count_each(KINDS.grouped_count("c"), [[5.0, 6.0], [7.0, 8.0]]);
    }
    assert_eq!(kinds(map)[1..10], [1.0, 2.0, 3.0, 5.0, 6.0, 1.0, 0.5, -1.0, -1.0]);
}

#[test]
fn an_answer_replaces_the_one_before() {
    fn map(_: &Subject, _: &Params, out: &mut Outputs) {
        out.histogram_each(KINDS.histogram("h"), [1, 2, 3]);
        out.histogram(KINDS.histogram("h"), Some(4));
        out.grouped_count(KINDS.grouped_count("c"), (1, 2));
        out.grouped_count(KINDS.grouped_count("c"), (Some(1), None::<f64>));
        out.vector(KINDS.vector_sum("w"), &[1.0, 2.0, 3.0]);
        out.survival(KINDS.survival("s"), None, true);
    }
    let written = kinds(map);
    assert_eq!(written[1..6], [4.0, -1.0, -1.0, 1.0, -1.0]);
    assert_eq!(written[11..16], [1.0, 2.0, 3.0, -1.0, 1.0]);
}

#[test]
fn texts_are_keys() {
    fn map(_: &Subject, _: &Params, out: &mut Outputs) {
        out.keys(KINDS.keys("k"), ["small", "E11.9", "A"].into_iter().filter_map(crate::abi::key_of_text));
    }
    let keys: Vec<_> = kinds(map)[16..18].iter().map(|key| crate::abi::text_of_key(*key as u64)).collect();
    assert_eq!(keys.iter().flatten().map(crate::abi::KeyText::as_str).collect::<Vec<_>>(), ["E11.9", "A"]);
}

#[test]
#[should_panic(expected = "one place on each axis")]
fn a_cell_with_too_few_places_panics() {
    kinds(|_, _, out| out.grouped_count(KINDS.grouped_count("c"), 1));
}

const ROUNDS: Manifest = Manifest::new(
    r#"{
    "inputs": [{ "table": "t", "columns": ["x"], "max_rows": 1 }],
    "params": [{ "name": "rate", "min": 0, "max": 1, "default": 0.5 }],
    "rounds": { "default": 3, "max": 9, "state": ["people", "centre"] },
    "outputs": [
        { "name": "n", "kind": "count" },
        { "name": "away", "kind": "sum", "lower": -10, "upper": 10 }
    ]
}"#,
);

fn away(subject: &Subject, params: &Params, out: &mut Outputs) {
    let x = subject.column(ROUNDS.table("t").number("x")).first();
    out.count(ROUNDS.count("n"), true);
    out.sum(ROUNDS.sum("away"), x.map(|x| x - params.state(ROUNDS.state("centre"))));
}

fn approach(round: &Round, params: &Params, state: &mut [f64]) -> Next {
    let (&[people], &[away]) = (round.sums(ROUNDS.count("n")), round.sums(ROUNDS.sum("away"))) else {
        return Next::GoOn;
    };
    if away.abs() < 1e-9 {
        return Next::Stop;
    }
    state[ROUNDS.state("people").index()] = people;
    state[ROUNDS.state("centre").index()] += params.get(ROUNDS.param("rate")) * away / people;
    Next::GoOn
}

#[test]
fn a_round_sees_the_state_and_an_update_the_sums() {
    let x = [numbers([5.0])];
    assert_eq!(answer_in_round(ROUNDS, away, &[0.5], &[2.0, 3.0], &[&x]), [1.0, 2.0]);
    assert_eq!(next_state(ROUNDS, approach, &[0.5], 0, &[0.0, 0.0], &[]), Some([0.0, 0.0].into()));
    assert_eq!(next_state(ROUNDS, approach, &[0.5], 1, &[0.0, 3.0], &[4.0, 8.0]), Some([4.0, 4.0].into()));
    assert_eq!(next_state(ROUNDS, approach, &[0.5], 1, &[0.0, 3.0], &[4.0, 0.0]), None);
}

#[test]
fn rounds_run_one_after_the_other_until_the_update_stops() {
    let people = [1.0, 3.0].map(|x| person(&[&[numbers([x])]]));
    assert_eq!(rounds(ROUNDS, away, approach, &[0.5], &people, 2), [2.0, 1.5]);
    assert_eq!(rounds(ROUNDS, away, approach, &[1.0], &people, 9), [2.0, 2.0]);
}

#[test]
#[should_panic(expected = "no such name")]
fn an_unknown_state_panics_where_it_is_not_a_constant() {
    let _ = ROUNDS.state("rate");
}
