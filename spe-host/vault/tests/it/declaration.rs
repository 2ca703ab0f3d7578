//! Declarations that cannot be, and what is said about them.

use spe_vault::Declaration;

use super::support::CLINIC;

fn error(text: &str) -> String {
    Declaration::parse(text).expect_err(text).to_string()
}

fn with(old: &str, new: &str) -> String {
    assert!(CLINIC.contains(old), "{old}");
    error(&CLINIC.replacen(old, new, 1))
}

#[test]
fn the_demo_declaration_is_one() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/rand-hie.toml");
    let declaration = Declaration::read(&file).unwrap();
    assert_eq!(declaration.schema().name.as_str(), "rand-hie");
    assert_eq!(declaration.schema().tables[0].columns.len(), 14);
}

#[test]
fn the_documented_declaration_is_one() {
    let docs = include_str!("../../../../docs/dataset-format.md");
    let text = docs.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    // The sample's filter names a column that the sample, being short, does not declare.
    let text = text.replace("\norder_by = [\"year\"]", "\n").replace("'year <= 5'", "'visits <= 5'");
    Declaration::parse(&text).unwrap();
}

#[test]
fn errors_name_the_place_and_what_is_expected() {
    let cases = [
        (with("partitions = 3", "partitions = 0"), "\"partitions\" must be 1 to 256, not 0"),
        (with("partitions = 3", "overlap = 0"), "\"overlap\" must be at least 1: at how many nodes one person may be"),
        (
            with("key = [\"pid\"]", "key = []"),
            "table visits: \"key\" must name the source columns that identify the data subject",
        ),
        (
            with("key = [\"pid\"]", "key = [\"day\"]"),
            "table visits: column day is the subject key \"day\", which is never stored",
        ),
        (with("key = [\"pid\"]", "key = [\"ssn\"]"), "table visits: \"ssn\" is both used and dropped"),
        (
            with("order_by", "time = \"pid\"\norder_by"),
            "table visits: \"time\" names pid, which is not a declared column",
        ),
        (
            with("order_by", "time = \"ward\"\norder_by"),
            "table visits: \"time\" names ward, a category; expected a date, a timestamp, or an integer that is a year",
        ),
        (
            with("order_by = [\"day\"]", "order_by = [\"pid\"]"),
            "table visits: \"order_by\" names pid, which is not a declared column",
        ),
        (with("name = \"dose\"", "name = \"day\""), "table visits: \"day\" is twice among the columns"),
        (
            with("name = \"dose\"", "name = \"not\""),
            "table visits: column not: \"not\" is a word of the filter language; choose another name",
        ),
        (with("max = 1000", "max = -1"), "table visits: column day: an integer needs whole \"min\" <= \"max\""),
        (with("max = 1000", ""), "table visits: column day: an integer needs whole \"min\" <= \"max\""),
        (with("max = 10.5", "max = inf"), "table visits: column dose: a number needs finite \"min\" <= \"max\""),
        (
            with("type = \"boolean\"", "type = \"boolean\"\nmin = 0"),
            "table visits: column acute: integer and number need \"min\" and \"max\", category \"values\", text \"max_bytes\"; others none of them",
        ),
        (
            with("type = \"boolean\"", "type = \"boolean\"\noutside = \"missing\""),
            "table visits: column acute: a boolean has no bounds: \"outside\" cannot be given",
        ),
        (
            with("values = [", "outside = \"clamp\"\nvalues = ["),
            "table visits: column ward: a category cannot be clamped: \"outside\" must be refuse or missing",
        ),
        (with("\"north\", ", "\"south\", "), "table visits: column ward: \"south\" is twice among the categories"),
        (
            with("\"north\", ", "\" north\", "),
            "table visits: column ward: category \" north\" must have 1 to 128 bytes and no space at its ends",
        ),
        (
            with("values = [", "missing = [\"25\"]\nvalues = ["),
            "table visits: column ward: \"25\" is both a category and a spelling of a missing value",
        ),
        (with("max_bytes = 40", "max_bytes = 0"), "table visits: column note: \"max_bytes\" must be 1 to 65536"),
        (
            with("max_bytes = 40", "max_bytes = 4\ntrue = [\"y\"]"),
            "table visits: column note: \"true\" and \"false\" are for booleans, not for a text",
        ),
        (
            with("key = [\"pid\"]", "key = [\"pid\"]\ndelimiter = \"x\""),
            "table visits: \"delimiter\" must be one of , ; | and tab",
        ),
        (
            with("key = [\"pid\"]", "key = [\"pid\"]\nrows = 'pid = 3'"),
            "table visits: \"rows\" is not a filter: at character 1: expected a column of table visits (day, dose, acute, ward, born, seen, note), found pid",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

/// Nobody has decided how many people there may be, and the time of a job would be a guess, or a count of the data.
#[test]
fn a_bound_on_data_subjects_must_be_declared() {
    for bound in ["", "subjects_max = 0"] {
        assert_eq!(
            with("subjects_max = 900", bound),
            "\"subjects_max\" is needed, and at least 1: how many data subjects any one node has at most, decided before looking at the data"
        );
    }
    assert!(with("name = \"visits\"", "name = \"visits\"\nrows_max = 0").contains("\"rows_max\" must be at least 1"));
    assert!(with("subjects_max = 900", "subjects_max = 4294967296").contains("expected u32"));
    let most = CLINIC.replace("subjects_max = 900", "subjects_max = 4294967295");
    assert_eq!(Declaration::parse(&most).unwrap().schema().subjects_max, u32::MAX);
}

#[test]
fn unknown_fields_and_values_are_refused() {
    assert!(with("partitions = 3", "partition = 3").contains("unknown field `partition`"));
    assert!(with("max_bytes = 40", "max_bytes = 40\nunit = \"mg\"").contains("unknown field `unit`"));
    assert!(
        with("drop = [\"ssn\", \"name\"]", "drop = \"all\"")
            .contains("\"drop\" must be \"rest\" or a list of source columns")
    );
    assert!(with("type = \"date\"", "type = \"day\"").contains("unknown variant `day`"));
    assert!(
        Declaration::read(std::path::Path::new("/no/such.toml"))
            .unwrap_err()
            .to_string()
            .starts_with("/no/such.toml: cannot be read")
    );
}
