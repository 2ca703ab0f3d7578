//~ E0277
//! Only the types on the kernel's list may leave.
use spe_kernel::disclosure::{Confidential, MayLeave};

fn leave(_: &impl MayLeave) {}

fn main() {
    leave(&Confidential::seal(7));
    leave(&String::from("a message of the guest's"));
}
