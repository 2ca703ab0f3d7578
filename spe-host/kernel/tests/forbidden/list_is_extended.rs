//~ E0277
//! Another crate cannot put its types on the list of what may leave.
use spe_kernel::disclosure::MayLeave;

struct Mine;

impl MayLeave for Mine {
    const KIND: &'static str = "mine";
    fn leave(&self) -> Vec<u8> {
        Vec::new()
    }
}

fn main() {}
