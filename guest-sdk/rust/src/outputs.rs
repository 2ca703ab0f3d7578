use spe_abi::{KEY_MAX, NO_ANSWER};

use crate::output::{
    BlockMean, Count, GroupedCount, GroupedMean, Histogram, Keys, Mean, Output, Quantiles, Sum, Survival, Variance,
    VectorSum,
};
use crate::Cell;

/// The answer of one data subject. What is not set is missing, and takes the default that the manifest declares.
pub struct Outputs<'a> {
    numbers: &'a mut [f64],
}

impl<'a> Outputs<'a> {
    /// The answer that is written to `numbers`, which are [`NO_ANSWER`] at first: the host sees to it.
    pub(crate) fn new(numbers: &'a mut [f64]) -> Outputs<'a> {
        Outputs { numbers }
    }

    /// Counts this person, or does not.
    pub fn count(&mut self, output: Output<Count>, counted: bool) {
        self.numbers[output.slot] = u8::from(counted).into();
    }

    /// Adds this person's number, clamped to the output's bounds.
    pub fn sum(&mut self, output: Output<Sum>, number: impl Into<Option<f64>>) {
        self.number(output, number);
    }

    /// Averages this person's number in, clamped to the output's bounds.
    pub fn mean(&mut self, output: Output<Mean>, number: impl Into<Option<f64>>) {
        self.number(output, number);
    }

    /// Takes this person's number, clamped to the output's bounds, into mean and variance.
    pub fn variance(&mut self, output: Output<Variance>, number: impl Into<Option<f64>>) {
        self.number(output, number);
    }

    /// Takes this person's number into the quantiles; one outside the edges, as the edge.
    pub fn quantiles(&mut self, output: Output<Quantiles>, number: impl Into<Option<f64>>) {
        self.number(output, number);
    }

    /// Counts this person in one group. A code is an index into the *output's* list; past its end, `other`.
    pub fn histogram(&mut self, output: Output<Histogram>, cell: impl Cell) {
        self.cell(output, cell);
    }

    /// Counts this person in several groups, of which the first `per_subject` are taken.
    pub fn histogram_each(&mut self, output: Output<Histogram>, cells: impl IntoIterator<Item = impl Cell>) {
        self.cells(output, cells);
    }

    /// Counts this person in one group of a cross of axes: [`Outputs::histogram`] by its other name.
    pub fn grouped_count(&mut self, output: Output<GroupedCount>, cell: impl Cell) {
        self.cell(output, cell);
    }

    /// Counts this person in several groups of a cross of axes, of which the first `per_subject` are taken.
    pub fn grouped_count_each(&mut self, output: Output<GroupedCount>, cells: impl IntoIterator<Item = impl Cell>) {
        self.cells(output, cells);
    }

    /// Averages this person's number into one group. A code is an index into the *output's* list; past its end,
    /// `other`. If either is missing, so is this person from the output.
    pub fn grouped_mean(&mut self, output: Output<GroupedMean>, cell: impl Cell, number: impl Into<Option<f64>>) {
        write_value(self.first_tuple(output), cell, number);
    }

    /// Averages a number into each of several groups, of which the first `per_subject` are taken. If a group is named
    /// more than once, its first number counts.
    pub fn grouped_mean_each(
        &mut self,
        output: Output<GroupedMean>,
        cells: impl IntoIterator<Item = (impl Cell, impl Into<Option<f64>>)>,
    ) {
        self.tuples(output, cells, |(cell, number), tuple| write_value(tuple, cell, number));
    }

    /// Adds this person's vector, one number for each label, shrunk to the output's norm.
    ///
    /// # Panics
    /// If it has not as many numbers as the output has labels.
    pub fn vector(&mut self, output: Output<VectorSum>, vector: &[f64]) {
        self.place(output).copy_from_slice(vector);
    }

    /// This person's vector to write to, one number for each label; all are 0 at first.
    pub fn vector_mut(&mut self, output: Output<VectorSum>) -> &mut [f64] {
        let vector = self.place(output);
        vector.fill(0.0);
        vector
    }

    /// Follows this person from time 0 to `time`, when the event happened or, if it did not, when nobody looked any
    /// more.
    pub fn survival(&mut self, output: Output<Survival>, time: impl Into<Option<f64>>, event: bool) {
        let time = time.into().unwrap_or(NO_ANSWER);
        self.place(output).copy_from_slice(&[time, u8::from(event).into()]);
    }

    /// Counts this person for each of several keys, of which the first `per_subject` are taken; there is no key above
    /// [`KEY_MAX`]. For text, see [`key_of_text`](crate::abi::key_of_text).
    pub fn keys(&mut self, output: Output<Keys>, keys: impl IntoIterator<Item = u64>) {
        let keys = keys.into_iter().filter(|key| *key <= KEY_MAX);
        self.tuples(output, keys, |key, tuple| tuple[0] = key as f64);
    }

    /// Averages this block's vector in, one number for each coordinate, each clamped to its bounds.
    ///
    /// # Panics
    /// If it has not as many numbers as the output has coordinates.
    pub fn block_mean(&mut self, output: Output<BlockMean>, vector: &[f64]) {
        self.place(output).copy_from_slice(vector);
    }

    fn number<K>(&mut self, output: Output<K>, number: impl Into<Option<f64>>) {
        self.numbers[output.slot] = number.into().unwrap_or(NO_ANSWER);
    }

    fn cell<K>(&mut self, output: Output<K>, cell: impl Cell) {
        cell.write(self.first_tuple(output));
    }

    /// The first tuple of an output, to be written; the others are missing.
    fn first_tuple<K>(&mut self, output: Output<K>) -> &mut [f64] {
        let (tuple, others) = self.place(output).split_at_mut(output.shape.width);
        others.fill(NO_ANSWER);
        tuple
    }

    fn cells<K>(&mut self, output: Output<K>, cells: impl IntoIterator<Item = impl Cell>) {
        self.tuples(output, cells, |cell, tuple| cell.write(tuple));
    }

    /// Writes the first items of which nothing is missing, a tuple each, and leaves the other tuples missing.
    fn tuples<K, T>(
        &mut self,
        output: Output<K>,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(T, &mut [f64]),
    ) {
        let place = self.place(output);
        place.fill(NO_ANSWER);
        let mut tuples = place.chunks_exact_mut(output.shape.width);
        let mut free = tuples.next();
        for item in items {
            let Some(tuple) = free.as_deref_mut() else { return };
            write(item, tuple);
            if tuple.iter().any(|number| number.is_nan()) {
                tuple.fill(NO_ANSWER);
            } else {
                free = tuples.next();
            }
        }
    }

    /// Where the numbers of `output` are.
    fn place<K>(&mut self, output: Output<K>) -> &mut [f64] {
        &mut self.numbers[output.slot..][..output.shape.numbers()]
    }
}

/// Writes a tuple of a `grouped_mean`: the cell's places, and the number.
fn write_value(tuple: &mut [f64], cell: impl Cell, number: impl Into<Option<f64>>) {
    if let Some((value, axes)) = tuple.split_last_mut() {
        cell.write(axes);
        *value = number.into().unwrap_or(NO_ANSWER);
    }
}
