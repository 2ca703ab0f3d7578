use proptest::prelude::*;

use super::*;
use crate::dataset::{ColumnSchema, ColumnType};

fn table() -> TableSchema {
    let column = |name: &str, kind| ColumnSchema { name: name.parse().unwrap(), kind, description: String::new() };
    TableSchema {
        name: "years".parse().unwrap(),
        rows_max: None,
        category: None,
        time: None,
        columns: vec![
            column("xage", ColumnType::Number { min: 0.0, max: 100.0 }),
            column("mdvis", ColumnType::Integer { min: 0, max: 100 }),
            column("coins", ColumnType::Category { values: vec!["0".into(), "25".into(), "a \"b\"".into()] }),
            column("female", ColumnType::Boolean),
            column("date", ColumnType::Date),
            column("seen", ColumnType::Timestamp),
            column("note", ColumnType::Text { max_bytes: 100 }),
        ],
    }
}

fn parse(text: &str) -> Result<Filter, FilterError> {
    Filter::parse(text, &table())
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn reads_every_form() {
    let forms = [
        "xage >= 18 and coins in (\"0\",'25') and not (mdvis between 3 and 5) and xage is not null",
        "FEMALE = true".to_lowercase().leak(),
        "female != FALSE OR mdvis NOT IN (1, -2)",
        "date >= date \"2020-01-31\" and seen < timestamp '2020-01-31T08:00:00.5+02:00'",
        "note = 'it''s' or note = \"a \"\"b\"\"\" or coins = 'a \"b\"'",
        "xage > -1.5e-3 and xage not between 1e3 and 2",
        "((mdvis=1))and(mdvis!=2)",
    ];
    for text in forms {
        let filter = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parse(&filter.to_string()), Ok(filter.clone()), "{filter}");
    }
}

#[test]
fn knows_its_columns_and_shape() {
    let filter = parse("mdvis >= 1 and coins = '25' or not mdvis is null").unwrap();
    let names: Vec<_> = filter.columns().iter().map(ColumnName::as_str).collect();
    assert_eq!(names, ["coins", "mdvis"]);
    let test = |name: &str, test| Predicate::Test(name.parse().unwrap(), test);
    let both = Predicate::All(vec![
        test("mdvis", Test::Compare(Comparison::AtLeast, Literal::Integer(1))),
        test("coins", Test::Compare(Comparison::Equal, Literal::Category(1, "25".into()))),
    ]);
    let known = Predicate::Not(Box::new(test("mdvis", Test::Null)));
    assert_eq!(filter.predicate(), &Predicate::Any(vec![both, known]));
    assert_eq!(filter.to_string(), "(mdvis >= 1 and coins = \"25\") or not mdvis is null");
}

#[test]
fn negative_zero_is_zero() {
    let filter = parse("xage = -0.0").unwrap();
    assert_eq!(filter.to_string(), "xage = 0.0");
}

#[test]
fn errors_say_where_what_and_what_instead() {
    let cases = [
        ("", "at character 1: expected a column, \"not\" or a parenthesis, found the end"),
        (
            "agee = 1",
            "at character 1: expected a column of table years (xage, mdvis, coins, female, date, seen, note), found agee",
        ),
        ("mdvis = ", "at character 9: expected a whole number for the integer mdvis, found the end"),
        ("mdvis = 1.5", "at character 9: expected a whole number for the integer mdvis, found 1.5"),
        ("mdvis = xage", "at character 9: expected a whole number for the integer mdvis, found xage"),
        ("xage = inf", "at character 8: expected a number for the number xage, found inf"),
        (
            "mdvis + 1 = 2",
            "at character 7: expected a column, a literal, a comparison, a parenthesis or a comma, found +",
        ),
        (
            "coins = '50'",
            "at character 9: expected one of \"0\", \"25\", \"a \"b\"\" for the category coins, found the text \"50\"",
        ),
        ("coins < '25'", "at character 7: expected = or !=, because coins is a category and has no order, found <"),
        (
            "female between true and false",
            "at character 16: expected no range, because female is a boolean and has no order, found true",
        ),
        (
            "date = '2020-01-31'",
            "at character 8: expected date \"YYYY-MM-DD\" for the date date, found the text \"2020-01-31\"",
        ),
        (
            "date = date '2021-02-29'",
            "at character 13: expected date \"YYYY-MM-DD\" for the date date, found the text \"2021-02-29\"",
        ),
        ("mdvis = 1 mdvis = 2", "at character 11: expected \"and\", \"or\" or the end, found mdvis"),
        ("(mdvis = 1", "at character 11: expected \"and\", \"or\" or a closing parenthesis, found the end"),
        ("mdvis in ()", "at character 11: expected a whole number for the integer mdvis, found )"),
        ("mdvis in (1", "at character 12: expected a comma or a closing parenthesis, found the end"),
        ("mdvis between 1 or 2", "at character 17: expected \"and\" between the two ends of the range, found or"),
        ("mdvis is 3", "at character 10: expected \"null\" or \"not null\", found 3"),
        ("mdvis not = 3", "at character 11: expected \"between\" or \"in\", found ="),
        ("note = 'é' and note = \"x", "at character 23: expected a text that ends with \", found \"x"),
        (
            "abs(mdvis) = 3",
            "at character 1: expected a column of table years (xage, mdvis, coins, female, date, seen, note), found abs",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn limits_hold() {
    let nested = |n: usize| format!("{}mdvis = 1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(FILTER_DEPTH_MAX - 1)).is_ok());
    assert!(error(&nested(FILTER_DEPTH_MAX)).contains("at most 32 levels"));
    assert!(error(&"not ".repeat(1_000)).contains("at most 32 levels"));
    assert!(error(&format!("mdvis in ({}1)", "1,".repeat(FILTER_SET_MAX))).contains("at most 1000 literals"));
    assert!(error(&" ".repeat(5_000)).contains("at most 4096 bytes"));
    assert!(parse(&["mdvis=1"; 300].join(" or ")).is_ok(), "a long chain is not deep");
}

#[test]
fn moments_agree_with_the_calendar() {
    assert_eq!(moment::parse_date(b"1970-01-01"), Some(0));
    assert_eq!(moment::parse_date(b"0001-01-01"), Some(-719_162));
    assert_eq!(moment::parse_date(b"9999-12-31"), Some(2_932_896));
    assert_eq!(moment::parse_timestamp(b"1970-01-01 00:00:01"), Some(1_000_000));
    assert_eq!(moment::parse_timestamp(b"1970-01-01T01:00:00.000001+01:00"), Some(1));
    let never = [
        "",
        "2020-1-31",
        "2020-00-10",
        "2020-13-01",
        "2020-04-31",
        "0000-01-01",
        "20200-01-01",
        "2020-01-01T",
        "+020-01-01",
    ];
    assert!(never.iter().all(|t| moment::parse_date(t.as_bytes()).is_none()));
    let never = [
        "2020-01-01",
        "2020-01-01T24:00:00",
        "2020-01-01T00:00:00.",
        "2020-01-01T00:00:00.1234567",
        "2020-01-01T00:00:00z",
        "0001-01-01T00:00:00+01:00",
        "2020-01-01T00:00:00+24:00",
        "2020-01-01T00:00",
    ];
    assert!(never.iter().all(|t| moment::parse_timestamp(t.as_bytes()).is_none()));
}

fn literal_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|v| format!("mdvis != {v}")),
        (any::<i64>(), any::<i64>()).prop_map(|(a, b)| format!("mdvis between {a} and {b}")),
        prop::num::f64::NORMAL.prop_map(|v| format!("xage <= {v:?}")),
        prop::collection::vec("[\"']{0,2}[a-z é]{0,3}", 1..4).prop_map(|texts| {
            let quoted: Vec<_> = texts.iter().map(|t| format!("'{}'", t.replace('\'', "''"))).collect();
            format!("note in ({})", quoted.join(","))
        }),
        (-719_162..=2_932_896).prop_map(|d| format!("date > date '{}'", moment::print_date(d))),
        Just("coins not in (\"0\", '25')".to_owned()),
        Just("female is not null".to_owned()),
    ]
}

fn filter_text() -> impl Strategy<Value = String> {
    literal_text().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|p| format!("({})", p.join(" and "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|p| format!("({})", p.join(" or "))),
            inner.prop_map(|p| format!("not {p}")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_words_give_an_answer(words in prop::collection::vec(prop::sample::select(vec![
        "mdvis", "coins", "date", "and", "or", "not", "in", "between", "is", "null", "(", ")", ",", "=", "<=", "1", "'25'", "true", "'",
    ]), 0..60)) {
        let _ = parse(&words.join(" "));
    }

    #[test]
    fn printing_reads_back(text in filter_text()) {
        let filter = parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let printed = filter.to_string();
        if printed.len() <= FILTER_BYTES_MAX {
            prop_assert_eq!(parse(&printed), Ok(filter));
        }
    }

    #[test]
    fn dates_agree_with_jiff(days in -719_162..=2_932_896_i32) {
        let text = moment::print_date(days);
        prop_assert_eq!(moment::parse_date(text.as_bytes()), Some(days));
        let date: jiff::civil::Date = text.parse().unwrap();
        let since = date.since(jiff::civil::date(1970, 1, 1)).unwrap();
        prop_assert_eq!(since.get_days(), days);
    }

    #[test]
    fn timestamps_agree_with_jiff(micros in -62_135_596_800_000_000..=253_402_207_200_000_000_i64) {
        let text = moment::print_timestamp(micros);
        prop_assert_eq!(moment::parse_timestamp(text.as_bytes()), Some(micros));
        prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_microsecond(), micros);
    }
}
