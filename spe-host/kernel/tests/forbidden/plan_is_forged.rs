//~ E0423
//! A plan whose bounds nobody checked.
use spe_kernel::{plan::Plan, units::Loss};

fn forge(raw: Vec<u8>, loss: Loss) -> Plan {
    Plan(raw, loss)
}

fn main() {}
