//! Evil: answers for a block with its number of rows, a hash of them in their order, and the place of the target among
//! them.
//!
//! Expected: one block changes when a person comes or goes, the person's own; all others answer the same bytes, and so
//! does every block when people are stored in another order.
//!
//! Bugs would be: a block that depends on people in other blocks, or on how many there are; an order that depends on
//! anything but pseudonyms and the dataset's declared order.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::{analysis, BlockMean, Boolean, Column, Number, Output, Outputs, Params, Subject, Table};

analysis! { manifest: "../manifest.json", map: tell_order }

const VISITS: Table = MANIFEST.table("visits");
const TARGET: Column<Boolean> = VISITS.boolean("target");
const AMOUNT: Column<Number> = VISITS.number("amount");
const ORDER: Output<BlockMean> = MANIFEST.block_mean("order");

fn tell_order(block: &Subject, _: &Params, out: &mut Outputs) {
    let rows = block.rows(VISITS);
    let hash = block.column(AMOUNT).iter().fold(0xcbf2_9ce4_8422_2325, |hash, amount| mix(hash, amount));
    let place = block.column(TARGET).iter().position(|target| target == Some(true)).unwrap_or(rows);
    out.block_mean(ORDER, &[rows as f64, (hash >> 11) as f64 / (1_u64 << 53) as f64, place as f64]);
}

/// FNV-1a over amounts.
fn mix(hash: u64, amount: Option<f64>) -> u64 {
    (hash ^ amount.unwrap_or(-1.0).to_bits()).wrapping_mul(0x0100_0000_01b3)
}
