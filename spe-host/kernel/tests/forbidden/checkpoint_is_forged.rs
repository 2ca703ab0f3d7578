//~ E0451
//! A `SignedCheckpoint` made by hand would have a receipt hold against a log that no node signed.
use spe_kernel::tlog::{Checkpoint, SignedCheckpoint, TreeHash};

fn main() {
    let checkpoint = Checkpoint { origin: "spe.node/north".into(), size: 1, root: TreeHash::of_entry(b"forged") };
    let _ = SignedCheckpoint { checkpoint, note: String::new() };
}
