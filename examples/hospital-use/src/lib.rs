//! Who is admitted to hospital, and how often?
//!
//! Of people who are at least `min_age` years old in their first year: how many there are, how many were ever admitted,
//! mean admissions per year, how long people were followed, how much chronic disease they have, and admissions by how
//! healthy they said they were.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{
    analysis, Boolean, Column, Count, GroupedMean, Histogram, Integer, Mean, Number, Output, Outputs, Param, Params,
    Subject, Table,
};

analysis! { manifest: "../manifest.json", map: hospital_use }

const YEARS: Table = MANIFEST.table("years");
const AGE: Column<Number> = YEARS.number("xage");
const ADMITTED: Column<Integer> = YEARS.integer("totadm");
const CHRONIC_DISEASE: Column<Number> = YEARS.number("disea");
const GOOD: Column<Boolean> = YEARS.boolean("hlthg");
const FAIR: Column<Boolean> = YEARS.boolean("hlthf");
const POOR: Column<Boolean> = YEARS.boolean("hlthp");

const MIN_AGE: Param = MANIFEST.param("min_age");

const PEOPLE: Output<Count> = MANIFEST.count("people");
const EVER_ADMITTED: Output<Count> = MANIFEST.count("ever_admitted");
const ADMISSIONS: Output<Mean> = MANIFEST.mean("admissions");
const YEARS_FOLLOWED: Output<Histogram> = MANIFEST.histogram("years_followed");
const CHRONIC_BANDS: Output<Histogram> = MANIFEST.histogram("chronic_disease");
const ADMISSIONS_BY_HEALTH: Output<GroupedMean> = MANIFEST.grouped_mean("admissions_by_health");

fn hospital_use(subject: &Subject, params: &Params, out: &mut Outputs) {
    let old_enough = subject.column(AGE).first().is_some_and(|age| age >= params.get(MIN_AGE));
    out.count(PEOPLE, old_enough);
    out.count(EVER_ADMITTED, old_enough && subject.column(ADMITTED).sum() > 0.0);
    if !old_enough {
        return;
    }
    let admissions = subject.column(ADMITTED).mean();
    out.mean(ADMISSIONS, admissions);
    out.histogram(YEARS_FOLLOWED, (subject.rows(YEARS) as u32).checked_sub(1));
    out.histogram(CHRONIC_BANDS, subject.column(CHRONIC_DISEASE).first().map(chronic_band));
    out.grouped_mean(ADMISSIONS_BY_HEALTH, health(subject), admissions);
}

/// The index of a band of the chronic disease index in the manifest's list.
fn chronic_band(index: f64) -> u32 {
    match index {
        index if index <= 0.0 => 0,
        index if index <= 10.0 => 1,
        index if index <= 20.0 => 2,
        _ => 3,
    }
}

/// The index of what the person said of their health in the manifest's list; excellent is none of the three columns.
fn health(subject: &Subject) -> Option<u32> {
    let said = |column| subject.column(column).first();
    Some(match (said(GOOD)?, said(FAIR)?, said(POOR)?) {
        (_, _, true) => 3,
        (_, true, _) => 2,
        (true, _, _) => 1,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, booleans, integers, numbers, Cells};

    fn person() -> [Cells; 6] {
        let no = || booleans([false; 3]);
        [numbers([40.0, 41.0, 42.0]), integers([0, 2, 1]), numbers([10.3; 3]), no(), booleans([true; 3]), no()]
    }

    #[test]
    fn an_adult_contributes_to_every_output() {
        let numbers = answer(MANIFEST, hospital_use, &[18.0], &[&person()]);
        assert_eq!(numbers, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0]);
    }

    #[test]
    fn someone_below_the_age_is_not_counted_and_misses_the_rest() {
        let numbers = answer(MANIFEST, hospital_use, &[40.5], &[&person()]);
        assert_eq!(numbers[..2], [0.0, 0.0]);
        assert!(numbers[2..].iter().all(|number| number.is_nan()));
    }

    #[test]
    fn bands_take_their_upper_edge() {
        assert_eq!([0.0, 0.1, 10.0, 10.1, 20.0, 58.6].map(chronic_band), [0, 1, 1, 2, 2, 3]);
    }
}
