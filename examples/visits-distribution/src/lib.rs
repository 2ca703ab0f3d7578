//! How are visits to the doctor distributed, and how soon do people go to hospital?
//!
//! Of each person's mean visits per year: mean and variance, quantiles, how many people are in which band, and means by
//! coinsurance and age in the first year. Besides: how many men and women pay which coinsurance, and for how many years
//! people stay out of hospital.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{
    analysis, Boolean, Category, Column, GroupedCount, GroupedMean, Histogram, Integer, Number, Output, Outputs,
    Params, Quantiles, Subject, Survival, Table, Variance,
};

analysis! { manifest: "../manifest.json", map: visits_distribution }

const YEARS: Table = MANIFEST.table("years");
const COINSURANCE: Column<Category> = YEARS.category("coins");
const AGE: Column<Number> = YEARS.number("xage");
const FEMALE: Column<Boolean> = YEARS.boolean("female");
const DOCTOR_VISITS: Column<Integer> = YEARS.integer("mdvis");
const ADMISSIONS: Column<Integer> = YEARS.integer("totadm");

const VISITS: Output<Variance> = MANIFEST.variance("visits");
const VISITS_QUANTILES: Output<Quantiles> = MANIFEST.quantiles("visits_quantiles");
const VISITS_BANDS: Output<Histogram> = MANIFEST.histogram("visits_bands");
const PEOPLE: Output<GroupedCount> = MANIFEST.grouped_count("people");
const VISITS_BY_GROUP: Output<GroupedMean> = MANIFEST.grouped_mean("visits_by_coinsurance_and_age");
const UNTIL_ADMISSION: Output<Survival> = MANIFEST.survival("until_admission");

fn visits_distribution(subject: &Subject, _: &Params, out: &mut Outputs) {
    let visits = subject.column(DOCTOR_VISITS).mean();
    out.variance(VISITS, visits);
    out.quantiles(VISITS_QUANTILES, visits);
    out.histogram(VISITS_BANDS, visits);
    let coinsurance = subject.column(COINSURANCE).first();
    out.grouped_count(PEOPLE, (coinsurance, subject.column(FEMALE).first()));
    out.grouped_mean(VISITS_BY_GROUP, (coinsurance, subject.column(AGE).first()), visits);
    let (time, admitted) = until_admission(subject);
    out.survival(UNTIL_ADMISSION, time, admitted);
}

/// Years until the middle of the one with the first admission, or else of the last one that the person was followed:
/// who leaves in an interval of the output counts as followed throughout it.
fn until_admission(subject: &Subject) -> (Option<f64>, bool) {
    let mut time = None;
    for (year, admissions) in subject.column(ADMISSIONS).iter().enumerate() {
        time = Some(year as f64 + 0.5);
        if admissions.is_some_and(|admissions| admissions > 0) {
            return (time, true);
        }
    }
    (time, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, booleans, categories, integers, numbers, Cells};

    fn years(admissions: [i64; 3]) -> [Cells; 5] {
        let visits = integers([4, 0, 2]);
        [categories([3; 3]), numbers([17.5, 18.5, 19.5]), booleans([true; 3]), visits, integers(admissions)]
    }

    #[test]
    fn a_person_contributes_to_every_output() {
        let numbers = answer(MANIFEST, visits_distribution, &[], &[&years([0, 0, 1])]);
        assert_eq!(numbers, [2.0, 2.0, 2.0, 3.0, 1.0, 3.0, 17.5, 2.0, 2.5, 1.0]);
    }

    #[test]
    fn who_was_never_admitted_is_followed_to_the_last_year() {
        let numbers = answer(MANIFEST, visits_distribution, &[], &[&years([0, 0, 0])]);
        assert_eq!(numbers[8..], [2.5, 0.0]);
    }
}
