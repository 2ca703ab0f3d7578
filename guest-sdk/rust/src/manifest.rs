use core::marker::PhantomData;

use spe_abi::OutputKind;

use crate::json::{element, is_text, member};
use crate::outputs::{Count, GroupedMean, Histogram, Mean, Output, Sum};
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

impl Manifest {
    /// The manifest that is written as `json`.
    #[must_use]
    pub const fn new(json: &'static str) -> Manifest {
        Manifest { json }
    }

    /// The table that the manifest lists as an input.
    #[must_use]
    pub const fn table(self, name: &str) -> Table {
        let index = match self.find("inputs", "table", name) {
            Some(index) => index,
            None => panic!("the manifest's inputs have no such table"),
        };
        Table { manifest: self, index }
    }

    /// The parameter of this name.
    #[must_use]
    pub const fn param(self, name: &str) -> Param {
        match self.find("params", "name", name) {
            Some(index) => Param { index },
            None => panic!("the manifest has no such parameter"),
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

    /// The output of this name, which must be a `histogram`.
    #[must_use]
    pub const fn histogram(self, name: &str) -> Output<Histogram> {
        self.output(name, OutputKind::Histogram)
    }

    /// The output of this name, which must be a `grouped_mean`.
    #[must_use]
    pub const fn grouped_mean(self, name: &str) -> Output<GroupedMean> {
        self.output(name, OutputKind::GroupedMean)
    }

    /// How many parameters the manifest has.
    #[must_use]
    pub const fn params(self) -> usize {
        let mut count = 0;
        while self.item("params", count).is_some() {
            count += 1;
        }
        count
    }

    /// How many numbers a data subject writes for all outputs.
    #[must_use]
    pub const fn numbers(self) -> usize {
        let mut numbers = 0;
        let mut index = 0;
        while let Some(item) = self.item("outputs", index) {
            numbers += self.kind_of(item).numbers();
            index += 1;
        }
        numbers
    }

    /// The index of the column `name` in input `table`.
    pub(crate) const fn column(self, table: usize, name: &str) -> usize {
        let Some(input) = self.item("inputs", table) else { panic!("the manifest has no such input") };
        let Some(columns) = member(self.bytes(), input, "columns") else {
            panic!("an input of the manifest has no columns")
        };
        let mut index = 0;
        while let Some(at) = element(self.bytes(), columns, index) {
            if is_text(self.bytes(), at, name) {
                return index;
            }
            index += 1;
        }
        panic!("the table's columns in the manifest have no such name")
    }

    const fn output<K>(self, name: &str, kind: OutputKind) -> Output<K> {
        let mut slot = 0;
        let mut index = 0;
        while let Some(item) = self.item("outputs", index) {
            let declared = self.kind_of(item);
            if self.field_is(item, "name", name) {
                assert!(declared as u32 == kind as u32, "the manifest's output of this name is of another kind");
                return Output { slot, kind: PhantomData };
            }
            slot += declared.numbers();
            index += 1;
        }
        panic!("the manifest has no such output")
    }

    const fn kind_of(self, output: usize) -> OutputKind {
        let mut index = 0;
        while index < OutputKind::ALL.len() {
            if self.field_is(output, "kind", OutputKind::ALL[index].name()) {
                return OutputKind::ALL[index];
            }
            index += 1;
        }
        panic!("an output of the manifest has an unknown kind")
    }

    /// The index of the item of list `list` whose `field` is `name`.
    const fn find(self, list: &str, field: &str, name: &str) -> Option<usize> {
        let mut index = 0;
        while let Some(item) = self.item(list, index) {
            if self.field_is(item, field, name) {
                return Some(index);
            }
            index += 1;
        }
        None
    }

    const fn item(self, list: &str, index: usize) -> Option<usize> {
        match member(self.bytes(), 0, list) {
            Some(array) => element(self.bytes(), array, index),
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
