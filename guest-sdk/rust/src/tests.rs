use crate::testing::{answer, booleans, categories, dates, integers, numbers, texts, timestamps, Cells};
use crate::{Manifest, Outputs, Params, Subject};

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

fn run(map: crate::Map) -> std::vec::Vec<f64> {
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
