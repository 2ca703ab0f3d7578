//~ E0599
//! A copy of a `Confidential` could be noised twice.
use spe_kernel::disclosure::{Confidential, OutputSums};

fn main() {
    let secret = Confidential::seal(vec![OutputSums::Cells(vec![1])]);
    let _ = secret.clone();
}
