//! Benchmark: audits a claimed loss in one run, and measures long vectors.
//!
//! Each of up to 10,000 people has up to three coordinates of their own, and writes a million into each, which the host must shrink
//! to a vector of length one. Whether a person is in the data is then to be guessed from the noisy sum, and may be guessed only as
//! often as the loss allows (Steinke, Nasr and Jagielski, NeurIPS 2023).

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Column, Integer, Output, Outputs, Params, Subject, VectorSum};

analysis! { manifest: "../manifest.json", map: sing }

const COORDINATE: Column<Integer> = MANIFEST.table("subjects").integer("coordinate");
const CANARIES: Output<VectorSum> = MANIFEST.vector_sum("canaries");

/// Far more than the norm.
const LOUD: f64 = 1e6;

fn sing(subject: &Subject, _: &Params, out: &mut Outputs) {
    let choir = out.vector_mut(CANARIES);
    for coordinate in subject.column(COORDINATE).iter().flatten() {
        let own = usize::try_from(coordinate).ok().and_then(|own| choir.get_mut(own));
        if let Some(own) = own {
            *own = LOUD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, integers};

    #[test]
    fn a_person_writes_into_each_coordinate() {
        let numbers = answer(MANIFEST, sing, &[], &[&[integers([9_999, 0, 7])]]);
        assert_eq!((numbers.len(), numbers[9_999], numbers[0], numbers[7]), (10_000, LOUD, LOUD, LOUD));
        assert_eq!(numbers.iter().sum::<f64>(), 3.0 * LOUD);
    }

    #[test]
    fn another_coordinate_is_none() {
        assert_eq!(answer(MANIFEST, sing, &[], &[&[integers([10_000])]]), [0.0; 10_000]);
    }
}
