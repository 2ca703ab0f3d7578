use core::marker::PhantomData;

use spe_abi::OutputKind;

use crate::json::{first_element, is_text, length, member, next_element};
use crate::output::{
    BlockMean, Count, GroupedCount, GroupedMean, Histogram, Keys, Mean, Output, Quantiles, Sum, Survival, Variance,
    VectorSum,
};
use crate::shape::Shape;
use crate::subject::Table;

/// The manifest of a module, from which the compiler takes names: see [`analysis!`](crate::analysis).
///
/// Every method is meant for a `const`, where a name that the manifest does not have is a compile error.
#[derive(Clone, Copy)]
pub struct Manifest {
    json: &'static str,
}

/// A parameter of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    pub(crate) index: usize,
}

/// A number that one round hands to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub(crate) index: usize,
}

impl State {
    /// Its place in the state.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }
}

impl Manifest {
    /// The manifest that is written as `json`.
    #[must_use]
    pub const fn new(json: &'static str) -> Manifest {
        Manifest { json }
    }

    /// The table that the manifest lists as an input.
    #[must_use]
    pub const fn table(self, name: &str) -> Table {
        match self.find("inputs", "table", name) {
            Some(index) => Table { manifest: self, index },
            None => panic!("the manifest's inputs have no such table"),
        }
    }

    /// The parameter of this name.
    #[must_use]
    pub const fn param(self, name: &str) -> Param {
        match self.find("params", "name", name) {
            Some(index) => Param { index },
            None => panic!("the manifest has no such parameter"),
        }
    }

    /// The number of this name that one round hands to the next.
    #[must_use]
    pub const fn state(self, name: &str) -> State {
        let Some(list) = self.state_list() else { panic!("the manifest has no rounds") };
        match self.position(list, name) {
            Some(index) => State { index },
            None => panic!("the state of the manifest's rounds has no such name"),
        }
    }

    /// The output of this name, which must be a `count`.
    #[must_use]
    pub const fn count(self, name: &str) -> Output<Count> {
        self.output(name, OutputKind::Count)
    }

    /// The output of this name, which must be a `sum`.
    #[must_use]
    pub const fn sum(self, name: &str) -> Output<Sum> {
        self.output(name, OutputKind::Sum)
    }

    /// The output of this name, which must be a `mean`.
    #[must_use]
    pub const fn mean(self, name: &str) -> Output<Mean> {
        self.output(name, OutputKind::Mean)
    }

    /// The output of this name, which must be a `variance`.
    #[must_use]
    pub const fn variance(self, name: &str) -> Output<Variance> {
        self.output(name, OutputKind::Variance)
    }

    /// The output of this name, which must be a `histogram`.
    #[must_use]
    pub const fn histogram(self, name: &str) -> Output<Histogram> {
        self.output(name, OutputKind::Histogram)
    }

    /// The output of this name, which must be a `grouped_count`.
    #[must_use]
    pub const fn grouped_count(self, name: &str) -> Output<GroupedCount> {
        self.output(name, OutputKind::GroupedCount)
    }

    /// The output of this name, which must be a `grouped_mean`.
    #[must_use]
    pub const fn grouped_mean(self, name: &str) -> Output<GroupedMean> {
        self.output(name, OutputKind::GroupedMean)
    }

    /// The output of this name, which must be `quantiles`.
    #[must_use]
    pub const fn quantiles(self, name: &str) -> Output<Quantiles> {
        self.output(name, OutputKind::Quantiles)
    }

    /// The output of this name, which must be a `vector_sum`.
    #[must_use]
    pub const fn vector_sum(self, name: &str) -> Output<VectorSum> {
        self.output(name, OutputKind::VectorSum)
    }

    /// The output of this name, which must be `survival`.
    #[must_use]
    pub const fn survival(self, name: &str) -> Output<Survival> {
        self.output(name, OutputKind::Survival)
    }

    /// The output of this name, which must be `keys`.
    #[must_use]
    pub const fn keys(self, name: &str) -> Output<Keys> {
        self.output(name, OutputKind::Keys)
    }

    /// The output of this name, which must be a `block_mean`.
    #[must_use]
    pub const fn block_mean(self, name: &str) -> Output<BlockMean> {
        self.output(name, OutputKind::BlockMean)
    }

    /// How many parameters the manifest has.
    #[must_use]
    pub const fn params(self) -> usize {
        match member(self.bytes(), 0, "params") {
            Some(list) => length(self.bytes(), list),
            None => 0,
        }
    }

    /// How many numbers one round hands to the next; 0 without rounds.
    #[must_use]
    pub const fn states(self) -> usize {
        match self.state_list() {
            Some(list) => length(self.bytes(), list),
            None => 0,
        }
    }

    /// How many numbers a data subject writes for all outputs.
    #[must_use]
    pub const fn numbers(self) -> usize {
        let mut numbers = 0;
        let mut output = self.first("outputs");
        while let Some(at) = output {
            numbers += Shape::read(self.bytes(), at).numbers();
            output = next_element(self.bytes(), at);
        }
        numbers
    }

    /// How many sums of all outputs an update is given.
    #[must_use]
    pub const fn sums(self) -> usize {
        let mut sums = 0;
        let mut output = self.first("outputs");
        while let Some(at) = output {
            sums += Shape::read(self.bytes(), at).sums;
            output = next_element(self.bytes(), at);
        }
        sums
    }

    /// The index of the column `name` in input `table`.
    pub(crate) const fn column(self, table: usize, name: &str) -> usize {
        let Some(columns) = self.columns(table) else { panic!("an input of the manifest has no columns") };
        match self.position(columns, name) {
            Some(column) => column,
            None => panic!("the table's columns in the manifest have no such name"),
        }
    }

    /// Where the list of the columns of input `table` is.
    const fn columns(self, mut table: usize) -> Option<usize> {
        let mut input = self.first("inputs");
        while let Some(at) = input {
            if table == 0 {
                return member(self.bytes(), at, "columns");
            }
            table -= 1;
            input = next_element(self.bytes(), at);
        }
        None
    }

    const fn output<K>(self, name: &str, kind: OutputKind) -> Output<K> {
        let (mut slot, mut sum) = (0, 0);
        let mut output = self.first("outputs");
        while let Some(at) = output {
            let shape = Shape::read(self.bytes(), at);
            if self.field_is(at, "name", name) {
                assert!(shape.kind as u32 == kind as u32, "the manifest's output of this name is of another kind");
                return Output { slot, sum, shape, kind: PhantomData };
            }
            slot += shape.numbers();
            sum += shape.sums;
            output = next_element(self.bytes(), at);
        }
        panic!("the manifest has no such output")
    }

    /// The index of the object of list `list` whose `field` is `name`.
    const fn find(self, list: &str, field: &str, name: &str) -> Option<usize> {
        let mut index = 0;
        let mut item = self.first(list);
        while let Some(at) = item {
            if self.field_is(at, field, name) {
                return Some(index);
            }
            index += 1;
            item = next_element(self.bytes(), at);
        }
        None
    }

    /// The index of the text `name` in the array at `array`.
    const fn position(self, array: usize, name: &str) -> Option<usize> {
        let mut index = 0;
        let mut item = first_element(self.bytes(), array);
        while let Some(at) = item {
            if is_text(self.bytes(), at, name) {
                return Some(index);
            }
            index += 1;
            item = next_element(self.bytes(), at);
        }
        None
    }

    /// Where the names of the numbers are that one round hands to the next.
    const fn state_list(self) -> Option<usize> {
        match member(self.bytes(), 0, "rounds") {
            Some(rounds) => member(self.bytes(), rounds, "state"),
            None => None,
        }
    }

    /// Where the first object of list `list` is.
    const fn first(self, list: &str) -> Option<usize> {
        match member(self.bytes(), 0, list) {
            Some(array) => first_element(self.bytes(), array),
            None => None,
        }
    }

    const fn field_is(self, object: usize, field: &str, text: &str) -> bool {
        match member(self.bytes(), object, field) {
            Some(at) => is_text(self.bytes(), at, text),
            None => false,
        }
    }

    /// The manifest as it is written.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        self.json.as_bytes()
    }

    /// The contents of the custom section: a copy, because a reference would leave the manifest in memory as well.
    #[doc(hidden)]
    #[must_use]
    pub const fn section<const N: usize>(self) -> [u8; N] {
        let mut section = [0; N];
        let mut at = 0;
        while at < N {
            section[at] = self.bytes()[at];
            at += 1;
        }
        section
    }
}
