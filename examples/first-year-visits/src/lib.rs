//! Which numbers of visits do people have in their first year, and how many people have them?
//!
//! The numbers are keys, as codes of diagnoses would be: no list of them is public, and those that hardly anyone has
//! are not released.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Column, Integer, Keys, Output, Outputs, Params, Subject};

analysis! { manifest: "../manifest.json", map: first_year_visits }

const DOCTOR_VISITS: Column<Integer> = MANIFEST.table("years").integer("mdvis");
const VISITS: Output<Keys> = MANIFEST.keys("visits");

fn first_year_visits(subject: &Subject, _: &Params, out: &mut Outputs) {
    let visits = subject.column(DOCTOR_VISITS).first();
    out.keys(VISITS, visits.and_then(|visits| u64::try_from(visits).ok()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, integers};

    #[test]
    fn the_number_is_the_key() {
        assert_eq!(answer(MANIFEST, first_year_visits, &[], &[&[integers([7])]]), [7.0]);
    }

    #[test]
    fn without_a_number_there_is_no_key() {
        assert!(answer(MANIFEST, first_year_visits, &[], &[&[integers([None])]])[0].is_nan());
    }
}
