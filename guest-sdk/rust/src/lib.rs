//! Write an analysis module for `spe`: a function that sees one data subject at a time and answers with a few numbers.
//!
//! ```ignore
//! #![no_std]
//! #![forbid(unsafe_code)]
//! use spe_guest::{analysis, Category, Column, GroupedMean, Integer, Output, Outputs, Params, Subject, Table};
//!
//! analysis! { manifest: "../manifest.json", map: visits_by_coinsurance }
//!
//! const YEARS: Table = MANIFEST.table("years");
//! const COINSURANCE: Column<Category> = YEARS.category("coins");
//! const DOCTOR_VISITS: Column<Integer> = YEARS.integer("mdvis");
//! const VISITS: Output<GroupedMean> = MANIFEST.grouped_mean("visits");
//!
//! fn visits_by_coinsurance(subject: &Subject, _params: &Params, out: &mut Outputs) {
//!     let group = subject.column(COINSURANCE).first();
//!     out.grouped_mean(VISITS, group, subject.column(DOCTOR_VISITS).mean());
//! }
//! ```
//!
//! Names are looked up in the manifest by the compiler. What a module computes for one person cannot reach the next:
//! the host restores the module's memory in between, clamps every number to the manifest's bounds and adds noise. An
//! output that is not set, and every output of a person for whom the module panics, takes the manifest's default.
//!
//! A manifest with `rounds` needs an [`Update`] besides: what becomes of the noisy sums of a round. [`fit`] has some.

#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(not(target_arch = "wasm32"))]
extern crate std;

mod cell;
pub mod fit;
mod json;
mod kinds;
mod manifest;
pub mod math;
mod output;
mod outputs;
mod params;
#[allow(unsafe_code, reason = "the one place for it")]
mod raw;
mod round;
mod shape;
mod subject;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod values;

pub use cell::{Cell, Place};
pub use kinds::{Boolean, Category, ColumnKind, Date, Integer, Number, Numeric, Text, Timestamp};
pub use manifest::{Manifest, Param, State};
pub use output::{
    BlockMean, Count, GroupedCount, GroupedMean, Histogram, Keys, Mean, Output, Quantiles, Sum, Survival, Variance,
    VectorSum,
};
pub use outputs::Outputs;
pub use params::Params;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use raw::export;
pub use round::{Next, Round};
pub use spe_abi as abi;
pub use subject::{Column, Subject, Table};
pub use values::Values;

/// An analysis: what one data subject contributes; with blocks, what one block of them does.
pub type Map = fn(&Subject, &Params, &mut Outputs);

/// What happens between rounds: reads the sums of the last one and changes the state, which is as it was at first.
///
/// It runs before each round and after the last, at every node and at the researcher's, on public numbers only.
pub type Update = fn(&Round, &Params, &mut [f64]) -> Next;

/// Makes a crate of type `cdylib` an analysis module.
///
/// `manifest` is the manifest's path from this source file: it becomes the custom section `spe.manifest`, and the
/// constant `MANIFEST` from which names are taken. `map` is the [`Map`] to run for each data subject, and `update`, for
/// a manifest with `rounds`, the [`Update`] to run between them.
#[macro_export]
macro_rules! analysis {
    (manifest: $manifest:literal, map: $map:path $(,)?) => {
        $crate::analysis! { @map $manifest, $map }

        const _: () = assert!(MANIFEST.states() == 0, "a manifest with rounds needs an `update`");
    };
    (manifest: $manifest:literal, map: $map:path, update: $update:path $(,)?) => {
        $crate::analysis! { @map $manifest, $map }

        const _: () = assert!(MANIFEST.states() > 0, "an `update` needs a manifest with rounds");
        const _: $crate::Update = $update;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[no_mangle]
            extern "C" fn spe_update(state: u32, len: u32, out: u32, cap: u32) -> i32 {
                // SAFETY: only the host calls this, as the ABI says.
                unsafe {
                    $crate::export::update::<{ MANIFEST.params() }, SPE_NUMBERS_IN, { MANIFEST.sums() }>(
                        state,
                        len,
                        out,
                        cap,
                        &SPE_PARAMS,
                        $update,
                    )
                }
            }
        };
    };
    (@map $manifest:literal, $map:path) => {
        /// The module's manifest.
        const MANIFEST: $crate::Manifest = $crate::Manifest::new(::core::include_str!($manifest));

        const _: $crate::Map = $map;

        #[cfg(target_arch = "wasm32")]
        const SPE_NUMBERS_IN: usize = MANIFEST.params() + MANIFEST.states();
        #[cfg(target_arch = "wasm32")]
        static SPE_PARAMS: $crate::export::ParamStore<SPE_NUMBERS_IN> = $crate::export::ParamStore::new();

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[link_section = "spe.manifest"]
            static SECTION: [u8; MANIFEST.bytes().len()] = MANIFEST.section();

            #[no_mangle]
            extern "C" fn spe_input(bytes: u32) -> u32 {
                $crate::export::input(bytes)
            }

            #[no_mangle]
            extern "C" fn spe_start(params: u32, len: u32) -> i32 {
                // SAFETY: only the host calls this, as the ABI says.
                unsafe { $crate::export::start(params, len, &SPE_PARAMS) }
            }

            #[no_mangle]
            extern "C" fn spe_map(record: u32, out: u32) {
                // SAFETY: only the host calls this, as the ABI says.
                unsafe {
                    $crate::export::map::<{ MANIFEST.params() }, SPE_NUMBERS_IN, { MANIFEST.numbers() }>(
                        record,
                        out,
                        &SPE_PARAMS,
                        $map,
                    )
                }
            }
        };
    };
}
