//! Runs an analysis on the developer's machine, in a unit test, without WebAssembly or `spe`.
//!
//! ```
//! use spe_guest::{testing, Manifest, Outputs, Params, Subject};
//!
//! const MANIFEST: Manifest = Manifest::new(r#"{
//!     "inputs": [{ "table": "years", "columns": ["visits"], "max_rows": 5 }],
//!     "outputs": [{ "name": "visits", "kind": "mean", "lower": 0, "upper": 20 }]
//! }"#);
//!
//! fn map(subject: &Subject, _: &Params, out: &mut Outputs) {
//!     let visits = const { MANIFEST.table("years").integer("visits") };
//!     out.mean(const { MANIFEST.mean("visits") }, subject.column(visits).mean());
//! }
//!
//! let years = [testing::integers([Some(2), None, Some(4)])];
//! assert_eq!(testing::answer(MANIFEST, map, &[], &[&years]), [3.0]);
//! ```
//!
//! [`rounds`] runs a module with rounds over made-up people.

use std::string::String;
use std::vec;
use std::vec::Vec;

use spe_abi::{Kind, NO_ANSWER};

use crate::raw::Memory;
use crate::{Manifest, Map, Next, Outputs, Params, Round, Subject, Update};

use self::record::Record;

mod record;
mod sums;

/// A column of a made-up data subject.
pub struct Cells {
    kind: Kind,
    present: Vec<bool>,
    offsets: Vec<u8>,
    values: Vec<u8>,
}

/// A column of whole numbers.
pub fn integers<T: Into<Option<i64>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Integer, cells, i64::to_le_bytes)
}

/// A column of numbers.
pub fn numbers<T: Into<Option<f64>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Number, cells, f64::to_le_bytes)
}

/// A column of codes into the dataset's list of categories.
pub fn categories<T: Into<Option<u32>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Category, cells, u32::to_le_bytes)
}

/// A column of days since 1970-01-01.
pub fn dates<T: Into<Option<i32>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Date, cells, i32::to_le_bytes)
}

/// A column of microseconds since 1970-01-01T00:00Z.
pub fn timestamps<T: Into<Option<i64>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    array(Kind::Timestamp, cells, i64::to_le_bytes)
}

/// A column of yes or no.
pub fn booleans<T: Into<Option<bool>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    let cells: Vec<Option<bool>> = cells.into_iter().map(Into::into).collect();
    let present = cells.iter().map(Option::is_some).collect();
    Cells { kind: Kind::Boolean, present, offsets: vec![], values: bitmap(cells.iter().map(|c| c.unwrap_or(false))) }
}

/// A column of text.
pub fn texts<'t, T: Into<Option<&'t str>>>(cells: impl IntoIterator<Item = T>) -> Cells {
    let cells: Vec<Option<&str>> = cells.into_iter().map(Into::into).collect();
    let mut values = String::new();
    let mut offsets = vec![0; 4];
    for cell in &cells {
        values.push_str(cell.unwrap_or(""));
        offsets.extend((values.len() as u32).to_le_bytes());
    }
    Cells {
        kind: Kind::Text,
        present: cells.iter().map(Option::is_some).collect(),
        offsets,
        values: values.into_bytes(),
    }
}

/// A made-up data subject.
pub struct Person(Record);

/// The data subject with these tables: per input of the manifest, one column each.
#[must_use]
pub fn person(tables: &[&[Cells]]) -> Person {
    Person(Record::of(tables))
}

/// The numbers that `map` writes for a data subject with these tables: per input of the manifest, one column each.
///
/// # Panics
/// If the number of parameters or of tables is not the manifest's, or where `map` panics.
#[must_use]
pub fn answer(manifest: Manifest, map: Map, params: &[f64], tables: &[&[Cells]]) -> Vec<f64> {
    answer_in_round(manifest, map, params, &vec![0.0; manifest.states()], tables)
}

/// The numbers that `map` writes in a round that begins with `state`.
///
/// # Panics
/// If the number of parameters, states or tables is not the manifest's, or where `map` panics.
#[must_use]
pub fn answer_in_round(manifest: Manifest, map: Map, params: &[f64], state: &[f64], tables: &[&[Cells]]) -> Vec<f64> {
    assert_eq!(params.len(), manifest.params(), "the manifest's number of parameters");
    assert_eq!(state.len(), manifest.states(), "the manifest's number of states");
    run(manifest, map, &Params::new(params, state), &person(tables))
}

/// The state that `update` makes after `done` rounds of `state` and the merged `sums` of the last round, which are empty
/// before the first; `None` if it stops.
///
/// # Panics
/// If the number of parameters, states or sums is not the manifest's, or where `update` panics.
#[must_use]
pub fn next_state(
    manifest: Manifest,
    update: Update,
    params: &[f64],
    done: u32,
    state: &[f64],
    sums: &[f64],
) -> Option<Vec<f64>> {
    assert_eq!(params.len(), manifest.params(), "the manifest's number of parameters");
    let nodes = f64::from(done.min(1));
    let sent = [&[f64::from(done), nodes], state, sums].concat();
    let (round, state) =
        Round::read(&sent, manifest.states(), manifest.sums()).expect("the manifest's number of states and of sums");
    let mut next = state.to_vec();
    match update(&round, &Params::new(params, state), &mut next) {
        Next::GoOn => Some(next),
        Next::Stop => None,
    }
}

/// The state after `rounds` rounds over `people` at one node, as the host makes it, but without noise.
///
/// # Panics
/// If the number of parameters is not the manifest's, or where `map` or `update` panics.
#[must_use]
pub fn rounds(
    manifest: Manifest,
    map: Map,
    update: Update,
    params: &[f64],
    people: &[Person],
    rounds: u32,
) -> Vec<f64> {
    let mut state = vec![0.0; manifest.states()];
    let mut sums = vec![];
    for done in 0..=rounds {
        match next_state(manifest, update, params, done, &state, &sums) {
            Some(next) => state = next,
            None => break,
        }
        sums = vec![0.0; manifest.sums()];
        for person in people {
            sums::add(manifest, &run(manifest, map, &Params::new(params, &state), person), &mut sums);
        }
    }
    state
}

fn run(manifest: Manifest, map: Map, params: &Params, person: &Person) -> Vec<f64> {
    let mut numbers = vec![NO_ANSWER; manifest.numbers()];
    let subject = Subject::new(Memory::of(&person.0.words), person.0.address);
    map(&subject, params, &mut Outputs::new(&mut numbers));
    numbers
}

fn array<V, T: Into<Option<V>>, const B: usize>(
    kind: Kind,
    cells: impl IntoIterator<Item = T>,
    bytes: fn(V) -> [u8; B],
) -> Cells {
    let cells: Vec<Option<V>> = cells.into_iter().map(Into::into).collect();
    let present = cells.iter().map(Option::is_some).collect();
    let values = cells.into_iter().flat_map(|cell| cell.map_or([0; B], bytes)).collect();
    Cells { kind, present, offsets: vec![], values }
}

fn bitmap(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    for (row, bit) in bits.enumerate() {
        bytes[row / 8] |= u8::from(bit) << (row % 8);
    }
    bytes
}
