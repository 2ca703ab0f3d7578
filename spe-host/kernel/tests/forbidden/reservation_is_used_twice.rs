//~ E0382
//! One charge, one draw.
use spe_kernel::{disclosure::{Confidential, Draw, Sums}, ledger::Reservation};

fn twice(a: Confidential<Sums>, b: Confidential<Sums>, paid: Reservation, x: Draw, y: Draw) {
    let _ = a.noise(paid, x);
    let _ = b.noise(paid, y);
}

fn main() {}
