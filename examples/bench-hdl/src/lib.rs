//! Benchmark: mean and quantiles of HDL cholesterol, of the dataset `nafld`.
//!
//! Each person contributes the mean of their measurements, of which many have dozens: what is bounded is the person.

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Column, Mean, Number, Output, Outputs, Params, Quantiles, Subject};

analysis! { manifest: "../manifest.json", map: hdl }

const VALUE: Column<Number> = MANIFEST.table("labs").number("value");
const HDL: Output<Mean> = MANIFEST.mean("hdl");
const HDL_QUANTILES: Output<Quantiles> = MANIFEST.quantiles("hdl_quantiles");

fn hdl(subject: &Subject, _: &Params, out: &mut Outputs) {
    // The manifest's filter leaves measurements of HDL only.
    let mean = subject.column(VALUE).mean();
    out.mean(HDL, mean);
    out.quantiles(HDL_QUANTILES, mean);
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, numbers};

    #[test]
    fn a_person_contributes_their_mean() {
        assert_eq!(answer(MANIFEST, hdl, &[], &[&[numbers([40.0, 60.0, 65.0])]]), [55.0, 55.0]);
    }

    #[test]
    fn who_was_never_measured_is_missing() {
        assert!(answer(MANIFEST, hdl, &[], &[&[numbers([None; 0])]]).iter().all(|number| number.is_nan()));
    }
}
