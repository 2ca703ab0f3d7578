//! Do people see the doctor less when they pay a share?
//!
//! Each person contributes the mean over their years of their visits to a doctor, to the group of the share that they
//! pay (coinsurance, in percent, the same in all of a person's years).

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Category, Column, GroupedMean, Integer, Output, Outputs, Params, Subject, Table};

analysis! { manifest: "../manifest.json", map: visits_by_coinsurance }

const YEARS: Table = MANIFEST.table("years");
const COINSURANCE: Column<Category> = YEARS.category("coins");
const DOCTOR_VISITS: Column<Integer> = YEARS.integer("mdvis");
const VISITS: Output<GroupedMean> = MANIFEST.grouped_mean("visits");

fn visits_by_coinsurance(subject: &Subject, _params: &Params, out: &mut Outputs) {
    // The output lists the categories as the dataset does, so that a code needs no translation.
    let group = subject.column(COINSURANCE).first();
    out.grouped_mean(VISITS, group, subject.column(DOCTOR_VISITS).mean());
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, categories, integers};

    #[test]
    fn a_person_contributes_the_mean_of_their_years_to_their_group() {
        let years = [categories([3, 3]), integers([4, 1])];
        assert_eq!(answer(MANIFEST, visits_by_coinsurance, &[], &[&years]), [3.0, 2.5]);
    }

    #[test]
    fn a_person_without_rows_contributes_nothing() {
        let years = [categories([None; 0]), integers([None; 0])];
        assert!(answer(MANIFEST, visits_by_coinsurance, &[], &[&years]).iter().all(|number| number.is_nan()));
    }
}
