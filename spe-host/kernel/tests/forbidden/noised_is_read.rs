//~ E0277 E0616
//! Noise that is not yet durable cannot be looked at: a crash would allow a second draw.
use spe_kernel::disclosure::{MayLeave, Noised};

fn leave(_: &impl MayLeave) {}

fn look(noised: Noised) {
    println!("{:?}", noised.outputs);
    leave(&noised);
}

fn main() {}
