//~ E0614 E0616
//! A `Confidential` that can be read has no single exit.
use spe_kernel::disclosure::Confidential;

fn main() {
    let secret = Confidential::seal(7);
    let _: i32 = secret.0;
    let _: i32 = *secret;
}
