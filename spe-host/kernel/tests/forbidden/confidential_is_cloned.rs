//~ E0599
//! A copy of a `Confidential` could be noised twice.
use spe_kernel::disclosure::Confidential;

fn main() {
    let secret = Confidential::seal(vec![vec![1_i128]]);
    let _ = secret.clone();
}
