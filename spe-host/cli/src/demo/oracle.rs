//! The exact answers, computed in the clear from the public file. Only a demonstration may do this.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The outputs' categories, as in the modules' manifests; `other` comes last and is not known here.
const COINSURANCE: [&str; 5] = ["0", "25", "50", "95", "100"];

type Row = BTreeMap<String, f64>;

/// Rows by person.
fn people(data: &[u8]) -> Result<BTreeMap<u64, Vec<Row>>> {
    let mut reader = csv::Reader::from_reader(data);
    let header = reader.headers()?.clone();
    let mut people: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
    for record in reader.records() {
        let record = record?;
        let cell = |(name, text): (&str, &str)| text.parse().ok().map(|x| (name.to_owned(), x));
        let row: Row = header.iter().zip(record.iter()).filter_map(cell).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an identifier of six digits")]
        let person = row.get("zper").context("a row has no zper")?.round() as u64;
        people.entry(person).or_default().push(row);
    }
    Ok(people)
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(s, n), x| (s + x, n + 1.0));
    sum / count
}

fn get(row: &Row, column: &str) -> Option<f64> {
    row.get(column).copied()
}

/// Mean over people of their mean yearly doctor visits, each clamped to at most `upper`, by the coinsurance of their first
/// year.
pub(super) fn visits_by_coinsurance(data: &[u8], upper: f64) -> Result<Vec<f64>> {
    let people = people(data)?;
    let of = |coins: &str| {
        let coins: f64 = coins.parse().unwrap_or(f64::NAN);
        let inside = people.values().filter(|rows| rows.first().and_then(|r| get(r, "coins")) == Some(coins));
        mean(inside.map(|rows| mean(rows.iter().filter_map(|r| get(r, "mdvis"))).min(upper)))
    };
    Ok(COINSURANCE.map(of).to_vec())
}

/// Of people who are at least `min_age` in their first year, the outputs of the hospital-use module in its order.
pub(super) fn hospital_use(data: &[u8], min_age: f64) -> Result<Vec<Option<Vec<f64>>>> {
    let all = people(data)?;
    let first = |rows: &[Row], column: &str| rows.first().and_then(|r| get(r, column));
    let old: Vec<&Vec<Row>> = all.values().filter(|rows| first(rows, "xage").is_some_and(|a| a >= min_age)).collect();
    let admissions = |rows: &[Row]| mean(rows.iter().filter_map(|r| get(r, "totadm"))).clamp(0.0, 3.0);
    let count = |test: &dyn Fn(&[Row]) -> bool| {
        f64::from(u32::try_from(old.iter().filter(|r| test(r)).count()).unwrap_or(u32::MAX))
    };
    let years = |n: usize| count(&|rows| rows.len() == n);
    let band = |low: f64, high: f64| count(&|rows| first(rows, "disea").is_some_and(|d| d > low && d <= high));
    let health = |rows: &[Row]| {
        let said = |column| first(rows, column) == Some(1.0);
        if said("hlthp") {
            3
        } else if said("hlthf") {
            2
        } else {
            i32::from(said("hlthg"))
        }
    };
    let by_health = |code: i32| mean(old.iter().filter(|r| health(r) == code).map(|r| admissions(r)));
    let bands = [band(f64::NEG_INFINITY, 0.0), band(0.0, 10.0), band(10.0, 20.0), band(20.0, f64::INFINITY)];
    Ok(vec![
        Some(vec![count(&|_| true)]),
        Some(vec![count(&|rows| rows.iter().filter_map(|r| get(r, "totadm")).sum::<f64>() > 0.0)]),
        Some(vec![mean(old.iter().map(|r| admissions(r)))]),
        Some((1..=5).map(years).collect()),
        Some(bands.to_vec()),
        Some((0..4).map(by_health).collect()),
    ])
}
