//~ E0277
//! A `Confidential` that prints would end in a log.
use spe_kernel::disclosure::Confidential;

fn main() {
    println!("{:?}", Confidential::seal(7));
}
