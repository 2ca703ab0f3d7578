//! How many people are there, by the share that they pay and how often they see the doctor?
//!
//! One table of people, so that it can be asked as an exact table (`docs/exact-tables.md`): each person is in the cell of the share of
//! the bill that they pay and of the mean over their years of their visits to a doctor. Who has 10 visits a year or more is `other`.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Category, Column, GroupedCount, Integer, Output, Outputs, Params, Subject, Table};

analysis! { manifest: "../manifest.json", map: visits_table }

const YEARS: Table = MANIFEST.table("years");
const COINSURANCE: Column<Category> = YEARS.category("coins");
const DOCTOR_VISITS: Column<Integer> = YEARS.integer("mdvis");
const PEOPLE: Output<GroupedCount> = MANIFEST.grouped_count("people");

fn visits_table(subject: &Subject, _params: &Params, out: &mut Outputs) {
    // The output lists the categories as the dataset does, so that a code needs no translation.
    let share = subject.column(COINSURANCE).first();
    out.grouped_count(PEOPLE, (share, subject.column(DOCTOR_VISITS).mean()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, categories, integers};

    #[test]
    fn a_person_is_in_the_cell_of_their_share_and_their_mean_visits() {
        let years = [categories([3, 3]), integers([4, 1])];
        assert_eq!(answer(MANIFEST, visits_table, &[], &[&years]), [3.0, 2.5]);
    }

    #[test]
    fn a_person_without_rows_is_in_no_cell() {
        let years = [categories([None; 0]), integers([None; 0])];
        assert!(answer(MANIFEST, visits_table, &[], &[&years]).iter().all(|number| number.is_nan()));
    }
}
