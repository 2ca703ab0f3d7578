//~ E0451
//! A `Released` made by hand would leave the node without noise, charge or audit.
use spe_kernel::disclosure::Released;

fn main() {
    let _ = Released { envelope: b"42".to_vec() };
}
