use spe_abi::bit_is_set;

use crate::kinds::{Boolean, ColumnKind, Numeric};
use crate::raw::{Memory, RawColumn};

/// The values of one column for one person, one a row; a missing one is `None`.
pub struct Values<'a, K: ColumnKind> {
    rows: usize,
    validity: Option<&'a [u8]>,
    data: K::Data<'a>,
}

impl<K: ColumnKind> Clone for Values<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ColumnKind> Copy for Values<'_, K> {}

impl<'a, K: ColumnKind> Values<'a, K> {
    pub(crate) fn new(memory: Memory<'a>, column: RawColumn, rows: usize) -> Self {
        Values { rows, validity: memory.validity(column, rows), data: K::data(memory, column, rows) }
    }

    /// How many rows there are, missing values included.
    #[must_use]
    pub fn len(self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.rows == 0
    }

    /// The value of row `row`, unless it is missing or there is no such row.
    #[must_use]
    pub fn get(self, row: usize) -> Option<K::Value<'a>> {
        let present = row < self.rows && self.validity.is_none_or(|bitmap| bit_is_set(bitmap, row));
        if present {
            K::value(self.data, row)
        } else {
            None
        }
    }

    /// Every row's value.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Option<K::Value<'a>>> + ExactSizeIterator + 'a {
        (0..self.rows).map(move |row| self.get(row))
    }

    /// The values that are not missing.
    pub fn present(self) -> impl DoubleEndedIterator<Item = K::Value<'a>> + 'a {
        self.iter().flatten()
    }

    /// The first value that is not missing.
    #[must_use]
    pub fn first(self) -> Option<K::Value<'a>> {
        self.present().next()
    }

    /// The last value that is not missing.
    #[must_use]
    pub fn last(self) -> Option<K::Value<'a>> {
        self.present().next_back()
    }
}

impl<'a, K: Numeric> Values<'a, K> {
    /// The values that are not missing, as numbers; yes is 1, no is 0.
    pub fn numbers(self) -> impl DoubleEndedIterator<Item = f64> + 'a {
        self.present().map(K::number)
    }

    /// The sum of the values that are not missing.
    #[must_use]
    pub fn sum(self) -> f64 {
        self.numbers().fold(0.0, |sum, number| sum + number)
    }

    /// The mean of the values that are not missing.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        let (sum, count) = self.numbers().fold((0.0, 0.0), |(sum, count), number| (sum + number, count + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    /// The smallest of the values that are not missing.
    #[must_use]
    pub fn min(self) -> Option<f64> {
        self.numbers().reduce(f64::min)
    }

    /// The largest of the values that are not missing.
    #[must_use]
    pub fn max(self) -> Option<f64> {
        self.numbers().reduce(f64::max)
    }
}

impl Values<'_, Boolean> {
    /// Whether any row says yes.
    #[must_use]
    pub fn any(self) -> bool {
        self.present().any(|yes| yes)
    }
}
