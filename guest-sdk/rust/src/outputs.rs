use core::marker::PhantomData;

use spe_abi::NO_ANSWER;

/// An output's place among the numbers that a data subject writes; from a [`Manifest`](crate::Manifest).
pub struct Output<K> {
    pub(crate) slot: usize,
    pub(crate) kind: PhantomData<K>,
}

impl<K> Clone for Output<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Output<K> {}

/// How many people.
pub enum Count {}
/// A sum over people.
pub enum Sum {}
/// A mean over people.
pub enum Mean {}
/// How many people by category.
pub enum Histogram {}
/// A mean over people by category.
pub enum GroupedMean {}

/// The answer of one data subject. What is not set is missing, and takes the default that the manifest declares.
pub struct Outputs<'a> {
    numbers: &'a mut [f64],
}

impl<'a> Outputs<'a> {
    pub(crate) fn new(numbers: &'a mut [f64]) -> Outputs<'a> {
        numbers.fill(NO_ANSWER);
        Outputs { numbers }
    }

    /// Counts this person, or does not.
    pub fn count(&mut self, output: Output<Count>, counted: bool) {
        self.numbers[output.slot] = f64::from(u8::from(counted));
    }

    /// Adds this person's number, clamped to the output's bounds.
    pub fn sum(&mut self, output: Output<Sum>, number: impl Into<Option<f64>>) {
        self.numbers[output.slot] = number.into().unwrap_or(NO_ANSWER);
    }

    /// Averages this person's number in, clamped to the output's bounds.
    pub fn mean(&mut self, output: Output<Mean>, number: impl Into<Option<f64>>) {
        self.numbers[output.slot] = number.into().unwrap_or(NO_ANSWER);
    }

    /// Counts this person in the category that has index `code` in the *output's* list; past its end, in `other`.
    pub fn histogram(&mut self, output: Output<Histogram>, code: impl Into<Option<u32>>) {
        self.numbers[output.slot] = number_of(code.into());
    }

    /// Averages this person's number into the category that has index `code` in the *output's* list; past its end, into
    /// `other`. If either is `None`, this person is missing from the output.
    pub fn grouped_mean(
        &mut self,
        output: Output<GroupedMean>,
        code: impl Into<Option<u32>>,
        number: impl Into<Option<f64>>,
    ) {
        self.numbers[output.slot] = number_of(code.into());
        self.numbers[output.slot + 1] = number.into().unwrap_or(NO_ANSWER);
    }
}

fn number_of(code: Option<u32>) -> f64 {
    code.map_or(NO_ANSWER, f64::from)
}
