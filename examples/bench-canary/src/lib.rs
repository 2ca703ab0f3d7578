//! Benchmark: audits a claimed loss in one run, and measures long vectors.
//!
//! Each of up to 10,000 people has a coordinate of their own, and writes a million there, which the host must shrink
//! to one. Whether a person is in the data is then to be guessed from the noisy sum, and may be guessed only as often as
//! the loss allows (Steinke, Nasr and Jagielski, NeurIPS 2023).

#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, Column, Integer, Output, Outputs, Params, Subject, VectorSum};

analysis! { manifest: "../manifest.json", map: sing }

const COORDINATE: Column<Integer> = MANIFEST.table("subjects").integer("coordinate");
const CANARIES: Output<VectorSum> = MANIFEST.vector_sum("canaries");

/// Far more than the norm.
const LOUD: f64 = 1e6;

fn sing(subject: &Subject, _: &Params, out: &mut Outputs) {
    let Some(coordinate) = subject.column(COORDINATE).first() else { return };
    let own = usize::try_from(coordinate).ok().and_then(|own| out.vector_mut(CANARIES).get_mut(own));
    if let Some(own) = own {
        *own = LOUD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spe_guest::testing::{answer, integers};

    #[test]
    fn a_person_writes_one_coordinate() {
        let numbers = answer(MANIFEST, sing, &[], &[&[integers([9_999])]]);
        assert_eq!((numbers.len(), numbers[9_999], numbers.iter().sum()), (10_000, LOUD, LOUD));
    }

    #[test]
    fn another_coordinate_is_none() {
        assert_eq!(answer(MANIFEST, sing, &[], &[&[integers([10_000])]]), [0.0; 10_000]);
    }
}
