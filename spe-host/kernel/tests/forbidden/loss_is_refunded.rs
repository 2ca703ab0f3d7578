//~ E0369
//! There is no subtraction of losses.
use spe_kernel::units::Loss;

fn refund(spent: Loss, back: Loss) -> Loss {
    spent - back
}

fn main() {}
